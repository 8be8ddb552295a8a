"""The newest row of each monitor in hot files that this process does not write to just now.

A file looked through once is not looked through again: rows that came after are looked at alone.
"""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
from msgspec import Struct

from netpulse.storage.raw import hot

_FILES = 4
"""Of so many files it is kept, with ten thousand monitors a megabyte each."""


class _Known(Struct):
    newest: dict[int, int]
    last: int
    mark: hot.Mark | None


class Heads:
    """Where each monitor's rows begin to be read, by file. `of` is called with `lock` held."""

    def __init__(self, stopping: threading.Event) -> None:
        """Take what is set when the store is being closed. Until then whoever looks through a file
        leaves the interpreter to others for as long as it took from them."""
        self._stopping = stopping
        self._known: dict[Path, _Known] = {}
        self.lock = threading.Lock()

    def of(self, connection: apsw.Connection, path: Path) -> dict[int, int] | None:
        """Return the number of each monitor's newest row, as far as `connection` sees the file;
        None where not all rows are chained.

        Nothing was read yet in its transaction: what is kept is not newer than what it sees.

        Raises:
            DamagedFile: the file is damaged.
        """
        known = self._known.pop(path, None)
        last = hot.last_number(connection, path)
        newest: dict[int, int] | None
        if (
            known is not None
            and 0 <= last - known.last <= hot.LOOKED_THROUGH
            and hot.mark(connection, path, known.last) == known.mark
        ):
            newest = known.newest
            newest.update(hot.newest_after(connection, path, known.last, last))
        else:
            newest = hot.newest_of_each(connection, path, last, self._stopping.wait)
        if newest is None:
            return None
        self._known[path] = _Known(newest, last, hot.mark(connection, path, last))
        if len(self._known) > _FILES:
            # Another thread may have forgotten it just now.
            self._known.pop(next(iter(self._known)), None)
        return newest

    def forget(self, path: Path) -> None:
        """Forget a file that is taken away, or written to by whoever asked for it; at any time. Who
        looks through it just now keeps it with its mark, which no other file has."""
        self._known.pop(path, None)
