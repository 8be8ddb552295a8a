"""Random bytes, asked of the system for many packets at once: each question costs as much as a
packet's way through the kernel."""

from __future__ import annotations

import secrets
import threading

AT_ONCE = 4_096


class _Pool(threading.local):
    """What a thread was given and has not handed out yet."""

    left = b""
    at = 0


_pool = _Pool()


def fresh(count: int) -> bytes:
    """Return `count` bytes (at most AT_ONCE) that nobody can guess and nobody was given before."""
    start = _pool.at
    end = start + count
    if end > len(_pool.left):
        _pool.left = secrets.token_bytes(AT_ONCE)
        start, end = 0, count
    _pool.at = end
    return _pool.left[start:end]
