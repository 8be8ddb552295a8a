"""Making, opening, sharing and removing the SQLite files of the raw results.

A file is taken away (sealed, dropped, found damaged) only while nobody has it open here: a
connection that outlives its file would mistake the next file of that name for its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

_BUSY_MS = 5_000
_CACHE_KB = 500
"""Rows are appended, and read once: what is kept of a file beyond the way to its end is hardly
asked for again, and would grow in each connection for half an hour after each full one."""
_IDLE_SECONDS = 60.0
SIDES = ("-wal", "-shm")
_NEW = ".new"


class DamagedFile(Exception):
    """A file is no database, or not one of ours any more."""

    def __init__(self, path: Path, why: str) -> None:
        """Take the file and what SQLite says about it."""
        super().__init__(f"{path.name}: {why}")
        self.path = path
        self.why = why


class NewerFile(Exception):
    """A file was written by a newer version of NetPulse: it is left alone."""

    def __init__(self, path: Path, found: object, known: int) -> None:
        """Take the file, its format and the one this version knows."""
        super().__init__(
            f"it has format {found}, this NetPulse knows {known}: start the newer version again"
        )
        self.path = path


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a damaged file into `DamagedFile` of `path`."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedFile(path, str(error)) from error
    except apsw.SQLError as error:
        # A file cut to nothing is a valid, empty database for SQLite.
        if "no such table" in str(error):
            raise DamagedFile(path, f"it is empty or cut short ({error})") from error
        raise


def empty_log(connection: apsw.Connection) -> bool:
    """Move the write-ahead log into the file at once; False where somebody still reads from it."""
    connection.set_busy_timeout(0)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    finally:
        connection.set_busy_timeout(_BUSY_MS)
    return True


def create(path: Path, schema: str, version: int, *, page_bytes: int) -> None:
    """Make the file at `path` with `schema`; it appears under its name only when it is whole."""
    new = beside(path, _NEW)
    _remove_unfinished(path.parent, new.name)
    # What a crash left of a file of that name must never be taken for this one's.
    for side in SIDES:
        beside(path, side).unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = apsw.Connection(str(new), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.pragma("page_size", page_bytes)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.execute(f"BEGIN; {schema}; PRAGMA user_version = {version}; COMMIT")
        # Closing would do that too, and say nothing where the disk does not take it.
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    new.rename(path)
    sync_directory(path.parent)


def open_file(
    path: Path,
    version: int,
    *,
    synchronous: str = "normal",
    query_only: bool = False,
    cache_kb: int = _CACHE_KB,
) -> apsw.Connection:
    """Open the existing file at `path`.

    Raises:
        DamagedFile: it is no database of this kind.
        NewerFile: its format is newer than `version`.
        apsw.CantOpenError: there is no such file, or it may not be opened.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        with blaming(path):
            found = connection.pragma("user_version")
            connection.pragma("synchronous", synchronous)
            connection.pragma("temp_store", "memory")
            connection.pragma("cache_size", -cache_kb)
            if query_only:
                connection.pragma("query_only", True)
        if found == 0:
            raise DamagedFile(path, "it is empty or cut short (no format version)")
        if not isinstance(found, int) or found > version:
            raise NewerFile(path, found, version)
    except BaseException:
        connection.close()
        raise
    return connection


def remove_orphans(directory: Path) -> None:
    """Unlink -wal and -shm files whose database is gone, and files that were never finished."""
    _remove_unfinished(directory, f".db{_NEW}")
    for entry in list(directory.iterdir()):
        for side in SIDES:
            database = entry.with_name(entry.name.removesuffix(side))
            if entry.name.endswith(f".db{side}") and not database.exists():
                entry.unlink(missing_ok=True)
    sync_directory(directory)


def _remove_unfinished(directory: Path, name: str) -> None:
    # With a log or a journal of its own, depending on how far it had come.
    for entry in list(directory.iterdir()):
        if entry.name.endswith((name, f"{name}-journal", *(f"{name}{side}" for side in SIDES))):
            entry.unlink(missing_ok=True)


def move_aside(path: Path, name: str) -> None:
    """Rename a database and its -wal to `name`, so that somebody can still look into them."""
    for side in ("-wal", ""):
        part = beside(path, side)
        if part.exists():
            part.rename(beside(path.with_name(name), side))
    beside(path, "-shm").unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_log(path: Path) -> None:
    """Make what is committed to the database at `path` survive a power failure, where a commit
    does not wait for that; nothing where the file is gone."""
    # A descriptor of its own: SQLite keeps its locks on the database and on -shm, not on the log.
    try:
        descriptor = os.open(beside(path, "-wal"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def size_of(directory: Path) -> int:
    """Return the bytes of all files in `directory`."""
    total = 0
    for entry in os.scandir(directory):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue  # sealed or checkpointed meanwhile
    return total


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from any other; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def beside(path: Path, side: str) -> Path:
    """Return the name of a file that belongs to the database at `path`: its -wal or -shm."""
    return path.with_name(path.name + side)


class _Idle(NamedTuple):
    since: float
    identity: tuple[int, int] | None
    connection: apsw.Connection


class Readers:
    """Reading connections, lent to one thread at a time, opened when needed, closed when idle."""

    def __init__(self, version: int, *, tidy: bool) -> None:
        """Take the format version of the files, and whether the last to close empties the log."""
        self._version = version
        self._tidy = tidy
        self._changed = threading.Condition()
        self._idle: dict[Path, list[_Idle]] = {}
        self._lent: dict[Path, int] = {}
        self._retiring: set[Path] = set()

    @contextmanager
    def borrow(self, path: Path) -> Iterator[apsw.Connection | None]:
        """Lend a connection to `path`, in a transaction: one state of the file throughout.

        None where there is no such file. The file stays while it is lent.
        """
        with self._changed:
            while path in self._retiring:
                self._changed.wait()
            self._lent[path] = self._lent.get(path, 0) + 1
            idle = self._idle.get(path)
            loan = idle.pop() if idle else None
        connection, sound = None, False
        try:
            there = identity(path)
            if loan is not None and loan.identity == there:
                connection = loan.connection
            elif loan is not None:
                # Somebody deleted or replaced the file.
                loan.connection.close(True)
            if connection is None and there is not None:
                connection = open_file(path, self._version, query_only=True)
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, not self._tidy)
            if connection is not None:
                connection.execute("BEGIN")
            yield connection
            if connection is not None:
                connection.execute("COMMIT")
            sound = True
        finally:
            if connection is not None and not sound:
                connection.close(True)
            with self._changed:
                if connection is not None and sound:
                    self._idle.setdefault(path, []).append(
                        _Idle(time.monotonic(), there, connection)
                    )
                self._lent[path] -= 1
                if not self._lent[path]:
                    del self._lent[path]
                self._changed.notify_all()
            self.close_idle(_IDLE_SECONDS)

    @contextmanager
    def retire(self, path: Path) -> Iterator[None]:
        """Wait until nobody reads `path`, close what is open, and let nobody in meanwhile."""
        with self._changed:
            while path in self._retiring:
                self._changed.wait()
            self._retiring.add(path)
            while self._lent.get(path):
                self._changed.wait()
            idle = self._idle.pop(path, [])
        try:
            for entry in idle:
                entry.connection.close(True)
            yield
        finally:
            with self._changed:
                self._retiring.discard(path)
                self._changed.notify_all()

    def close_idle(self, seconds: float = 0.0) -> None:
        """Close the connections that nobody has borrowed for `seconds`."""
        before = time.monotonic() - seconds
        with self._changed:
            old = []
            for path, idle in list(self._idle.items()):
                old += [entry.connection for entry in idle if entry.since <= before]
                self._idle[path] = [entry for entry in idle if entry.since > before]
                if not self._idle[path]:
                    del self._idle[path]
        for connection in old:
            connection.close(True)
