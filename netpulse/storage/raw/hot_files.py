"""The hot files that are written to: one connection each, used by the thread `bulk` alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw

from netpulse.model.time import Millis
from netpulse.storage.raw.files import (
    DamagedFile,
    blaming,
    create,
    empty_log,
    identity,
    open_file,
    sync_log,
)
from netpulse.storage.raw.heads import Heads
from netpulse.storage.raw.hot import (
    CHAINED,
    PAGE_BYTES,
    SCHEMA,
    VERSION,
    last_number,
)
from netpulse.storage.raw.names import Places
from netpulse.storage.raw.row import Row

log = logging.getLogger(__name__)

_INSERT = "INSERT INTO checks VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_OPEN_AT_ONCE = 4
_SHORT_SECONDS = 0.05
"""So long a reader waits for another that looks through a file."""
_TEXTS_KNOWN = 2_000
"""Texts remembered per file; past that a text may be stored twice, which costs only space."""
_NO_TEXTS = (None, None, None)

Keyed = tuple[int, Row]
"""A monitor's key, and a row of it."""


class OpenHot:
    """A hot file with the one connection that writes to it."""

    def __init__(self, path: Path, hour: Millis, heads: Heads) -> None:
        """Open the file of `hour`, making it where there is none."""
        self.path = path
        self.hour = hour
        if not path.exists():
            create(path, SCHEMA, VERSION, page_bytes=PAGE_BYTES)
        self._identity = identity(path)
        self._connection = open_file(path, VERSION)
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            with blaming(path):
                if self._connection.pragma("user_version") < VERSION:
                    self._connection.execute(f"BEGIN IMMEDIATE; {CHAINED}; COMMIT")
                self._texts = self._load_texts()
                # Nothing is ever deleted here: row numbers have no holes.
                self._last = last_number(self._connection, path)
                self.newest = heads.of(self._connection, path)
                """The number of the newest row of each monitor; None where not all are chained."""
        except BaseException:
            self._connection.close()
            raise

    def _load_texts(self) -> dict[str, int]:
        highest = self._connection.execute("SELECT max(id) FROM texts").get
        self._next_text: int = (highest or 0) + 1
        self._new_texts: list[str] = []
        rows = self._connection.execute(
            "SELECT text, id FROM texts ORDER BY id LIMIT ?", (_TEXTS_KNOWN,)
        )
        return {str(text): int(number) for text, number in rows}

    def append(self, rows: Sequence[Keyed]) -> None:
        """Write rows in one transaction; when this returns they survive the end of the process."""
        connection, newest = self._connection, self.newest
        fresh: dict[int, int] = {}
        with blaming(self.path):
            try:
                connection.execute("BEGIN IMMEDIATE")
                values = []
                for number, (key, row) in enumerate(rows, self._last + 1):
                    back = None
                    if newest is not None:
                        before = fresh.get(key) or newest.get(key)
                        back = 0 if before is None else number - before
                        fresh[key] = number
                    values.append((*self._values(key, row), back))
                connection.executemany(_INSERT, values)
                connection.execute("COMMIT")
            except apsw.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                for text in self._new_texts:
                    self._texts.pop(text, None)
                raise
            finally:
                self._new_texts.clear()
        if newest is not None:
            newest.update(fresh)
        self._last += len(rows)

    def _values(self, key: int, row: Row) -> tuple[int | None, ...]:
        due, region, counted, lag, result, code, failure, detail, message, *tenths = row
        if failure is not None or detail is not None or message is not None:
            texts = (self._text(failure), self._text(detail), self._text(message))
        else:
            texts = _NO_TEXTS
        number = self._texts.get(region)
        if number is None:
            number = self._text(region)
        return (key, due - self.hour, number, counted, lag, result, code, *texts, *tenths)

    def _text(self, text: str | None) -> int | None:
        if text is None:
            return None
        number = self._texts.get(text)
        if number is None:
            if len(self._texts) >= _TEXTS_KNOWN:
                self._texts.clear()
            number = self._next_text
            self._next_text += 1
            self._connection.execute("INSERT INTO texts VALUES(?,?)", (number, text))
            self._texts[text] = number
            self._new_texts.append(text)
        return number

    @property
    def is_there(self) -> bool:
        """False where somebody deleted or replaced the file: rows would go nowhere."""
        return identity(self.path) == self._identity

    def empty_log(self) -> None:
        """Move the write-ahead log into the file, where nobody reads from it just now."""
        with blaming(self.path):
            empty_log(self._connection)

    def close(self) -> None:
        """Close it; the log stays beside it for whoever opens it next."""
        self._connection.close(True)


class HotFiles:
    """The hot files that are written to. One thread appends; whoever seals takes the lock."""

    def __init__(self, places: Places, stopping: threading.Event) -> None:
        """Take the directories, and what is set at the end; files are opened when rows come."""
        self._heads = Heads(stopping)
        self._places = places
        self._open: dict[Millis, OpenHot] = {}
        self._loose: set[Path] = set()
        """The files with rows that a power failure may take."""
        self.lock = threading.Lock()
        """Held while rows are written, and while a file is taken away."""

    def append(self, hour: Millis, rows: Sequence[Keyed]) -> None:
        """Write rows of one hour in one transaction."""
        with self.lock:
            try:
                file = self.opened(hour)
                self._loose.add(file.path)
                file.append(rows)
            except (apsw.FullError, apsw.BusyError):
                raise
            except apsw.Error:
                # An I/O error, a file that was deleted under our hands: trust nothing that is open.
                self.forget(hour)
                raise

    @property
    def is_loose(self) -> bool:
        """Whether there are rows that a power failure may take."""
        return bool(self._loose)

    def sync(self) -> None:
        """Make all rows written until now survive a power failure, in the thread that appends.

        Raises:
            OSError: the disk does not vouch for them. It is not asked again for these: a second
                answer would say nothing about them.
        """
        trouble: OSError | None = None
        # Whoever seals is not kept waiting: a file that is taken away meanwhile is in its month.
        while self._loose:
            try:
                sync_log(self._loose.pop())
            except OSError as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def opened(self, hour: Millis) -> OpenHot:
        """Return the open file of `hour`; the lock is held by the caller."""
        file = self._open.pop(hour, None)
        if file is not None and not file.is_there:
            log.error("%s was deleted while it was in use: it is made anew", file.path.name)
            file.close()
            file = None
        if file is None:
            if len(self._open) >= _OPEN_AT_ONCE:
                self.forget(next(iter(self._open)))
            path = self._places.hot_path(hour)
            with self._heads.lock:
                file = OpenHot(path, hour, self._heads)
                self._open[hour] = file
                # They go on with what is written: nobody else may change them.
                self._heads.forget(path)
        # The one used last stands last.
        self._open[hour] = file
        return file

    def forget(self, hour: Millis) -> None:
        """Close the file of `hour` if it is open; the lock is held by the caller."""
        self._heads.forget(self._places.hot_path(hour))
        file = self._open.pop(hour, None)
        if file is not None:
            file.close()

    def forget_path(self, path: Path) -> None:
        """Close the file at `path` if it is open; the lock is held by the caller."""
        self._heads.forget(path)
        for hour, file in list(self._open.items()):
            if file.path == path:
                self.forget(hour)

    def newest(self, connection: apsw.Connection, hour: Millis, key: int) -> int | None:
        """Return the number of a monitor's newest row of `hour`: 0 where it has none, None where
        that is not known.

        `connection` is lent to read the file, and has not read yet: what it reads then is not older
        than this. A file that is not written to here is looked through when it is first asked for;
        whoever asks meanwhile is told that it is not known.

        Raises:
            DamagedFile: the file is damaged.
        """
        file = self._open.get(hour)
        if file is None or not file.is_there:
            if not self._heads.lock.acquire(timeout=_SHORT_SECONDS):
                return None
            try:
                # It may have been opened meanwhile.
                file = self._open.get(hour)
                if file is None or not file.is_there:
                    newest = self._heads.of(connection, self._places.hot_path(hour))
                    return None if newest is None else newest.get(key, 0)
            finally:
                self._heads.lock.release()
        return None if file.newest is None else file.newest.get(key, 0)

    def close(self) -> None:
        """Empty the logs and close all files."""
        with self.lock:
            for hour, file in list(self._open.items()):
                try:
                    file.empty_log()
                except (apsw.Error, DamagedFile) as error:
                    log.warning("%s: its log stays beside it: %s", file.path.name, error)
                self.forget(hour)
