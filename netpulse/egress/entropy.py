"""Random bytes, asked of the system for many packets at once: each question costs as much as a
packet's way through the kernel."""

from __future__ import annotations

import secrets
import threading

AT_ONCE = 4_096


class Pool:
    """What one thread was given and has not handed out yet."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = b""
        self._at = 0

    def fresh(self, count: int) -> bytes:
        """Do as the function of that name, in the one thread that has this."""
        start = self._at
        end = start + count
        if end > len(self._left):
            self._left = secrets.token_bytes(AT_ONCE)
            start, end = 0, count
        self._at = end
        return self._left[start:end]


class _Local(threading.local):
    def __init__(self) -> None:
        self.pool = Pool()


_local = _Local()


def fresh(count: int) -> bytes:
    """Return `count` bytes (at most AT_ONCE) that nobody can guess and nobody was given before."""
    return _local.pool.fresh(count)
