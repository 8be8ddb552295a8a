"""Room that is kept for the main file: given up when the disk is full, taken back later.

With a full disk even a DELETE and a checkpoint fail. A file of fixed size that can be removed
lets the edges of the next hours through, while the operator is told to make room.
"""

from __future__ import annotations

import os
from pathlib import Path

SIZE = 16 * 1024 * 1024
"""Bytes: more than twice the largest log (journal_size_limit 4 MiB), which a checkpoint needs."""

_FIRST_SECONDS = 5.0
_REFILL_SECONDS = 60.0


class Reserve:
    """The file `<data>/reserve`."""

    def __init__(self, path: Path, now: float) -> None:
        """Take the path and the time (monotonic seconds).

        The file is made some seconds later, so that a short command never makes one.
        """
        self._path = path
        self._next_try = now + _FIRST_SECONDS
        self._mine = False

    def release(self) -> bool:
        """Remove the reserve; tell whether that made room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def refill(self, now: float) -> bool:
        """Make the reserve if it is missing, at most once a minute (`now`: monotonic seconds).

        It leaves as much again free. Tells whether the reserve is there.
        """
        if now < self._next_try:
            return False
        self._next_try = now + _REFILL_SECONDS
        draft = self._path.with_name(f"{self._path.name}.part")
        try:
            if self._path.exists():
                self._mine = True
                return True
            free = os.statvfs(self._path.parent)
            if free.f_bavail * free.f_frsize < 4 * SIZE:
                return False
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _allocate(handle)
            finally:
                os.close(handle)
            draft.rename(self._path)
        except OSError:
            # No room for it now; the next minute may have some.
            draft.unlink(missing_ok=True)
            return False
        self._mine = True
        return True

    def give_back(self) -> None:
        """Remove the reserve at the end of the process that held it."""
        if self._mine:
            self._path.unlink(missing_ok=True)


def _allocate(handle: int) -> None:
    """Take SIZE bytes of the disk for an open file: a hole in it would keep nothing free."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, SIZE)
        return
    block = bytes(1024 * 1024)
    for _ in range(SIZE // len(block)):
        os.write(handle, block)
