"""The main file at run time: one writer thread with group commit, and reader threads.

A function that writes is plain code over a `Conn`. The writer takes all functions that wait, runs
each in a savepoint of its own inside one transaction, commits once, and only then tells the
callers. So a thousand edges cost one fsync, and one function's failure costs only itself.

**A function may be run again** when its transaction failed as a whole (a disk that was full and has
been given its reserve back): it must have no effect but on its connection.

**After an error of the disk** nobody knows what of that transaction is on it, so its connection is
given up: nothing is written until a new one has found the file sound, has moved the log into it
and has committed something of its own. That is what a restart would do. What was acknowledged
before was flushed by an fsync that succeeded, and what comes after is written anew, log and pages
alike, never taken for written because an fsync that failed was asked again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import apsw

from netpulse.crypto.vault import Vault
from netpulse.storage.conn import Conn
from netpulse.storage.errors import (
    AlreadySetUp,
    Missing,
    QuotaReached,
    StartRefused,
    StorageTrouble,
    TroubleKind,
    UniqueConflict,
    VersionConflict,
    translated,
)
from netpulse.storage.jobs import (
    Job,
    Queue,
    deliver,
    fail,
    in_savepoint,
    look_up,
    rehearse,
    roll_back,
)
from netpulse.storage.reserve import Reserve

__all__ = [
    "AlreadySetUp",
    "Conn",
    "Database",
    "Missing",
    "QuotaReached",
    "StartRefused",
    "StorageTrouble",
    "TroubleKind",
    "UniqueConflict",
    "VersionConflict",
]

MAX_BATCH = 1_000
"""Functions in one transaction: more would keep the interpreter lock and the file too long."""

READERS = 2
CHECKPOINT_PAGES = 1_000
"""From so many pages on (4 MB) the log is moved into the file, after a commit."""
FEW = 10
"""What SQLite notes of a table with fewer rows says nothing of the one that it may become."""
REOPEN_SECONDS = 2.0
MOST_REOPEN_SECONDS = 60.0
"""How soon a disk that reported an error is tried again, and how rarely at last."""

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("netpulse.storage")


class Database:
    """The open main file. Made by `opening.open_database`; `close` it."""

    def __init__(
        self,
        path: Path,
        vault: Vault,
        writer: apsw.Connection,
        readers: list[apsw.Connection],
        reopen: Callable[[], apsw.Connection],
    ) -> None:
        """Take the file's path, the vault and connections that are ready; starts the threads.

        The last of the readers is for `version` alone. `reopen` makes another connection for the
        writer after an error of the disk; it raises `StorageTrouble` while the file is not sound.
        """
        self.path = path
        self.vault = vault
        self._trouble: StorageTrouble | None = None
        self._reopen = reopen
        self._reopen_at: float | None = None
        """Monotonic moment from which on a new connection is tried; None: this one is trusted."""
        self._reopen_wait = REOPEN_SECONDS
        self._log_pages = 0
        """Pages in the log when something was committed last."""
        self._committed = False
        """The transaction that was begun last is on disk."""
        self._closed = False
        self._has_key = True
        self._reserve = Reserve(path.with_name("reserve"), time.monotonic())
        self._writes: Queue = SimpleQueue()
        self._reads: Queue = SimpleQueue()
        self._writer = threading.Thread(
            target=self._write_loop, args=(writer,), name="main", daemon=True
        )
        self._versions: Queue = SimpleQueue()
        *usual, last = readers
        self._readers = [
            threading.Thread(
                target=self._read_loop,
                args=(self._reads, raw),
                name=f"reader-{number}",
                daemon=True,
            )
            for number, raw in enumerate(usual, start=1)
        ]
        self._watcher = threading.Thread(
            target=self._read_loop, args=(self._versions, last), name="version", daemon=True
        )
        for thread in (self._writer, *self._readers, self._watcher):
            thread.start()

    @property
    def trouble(self) -> StorageTrouble | None:
        """What keeps the file from being written: the last transaction's failure, or None.

        It ends with the next commit; after an error of the disk, with that of a new connection.
        """
        return self._trouble

    @property
    def backlog(self) -> int:
        """How many writes wait for the writer."""
        return self._writes.qsize()

    async def write(
        self, fn: Callable[Concatenate[Conn, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(conn, *args)` in the writer's transaction; return once it is committed.

        An exception of `fn` undoes what it wrote, and only that, and is raised here. A caller
        that is cancelled meanwhile does not know whether it was written.

        Raises:
            StorageTrouble: the machine failed (full, busy, broken); nothing was written.
        """
        return cast(T, await self._submit(self._writes, fn, args, kwargs))

    async def rehearse(
        self, fn: Callable[Concatenate[Conn, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(conn, *args)` as `write` does, take back what it wrote, and return what it says.

        Nothing of it reaches the disk, so that it works while the disk takes nothing: this is how
        to learn what would be written.

        Raises:
            StorageTrouble: the file cannot even be read, or another process writes to it.
        """
        call = partial(fn, **kwargs) if kwargs else fn
        return cast(T, await self._queue(self._writes, Job(call, args, is_rehearsal=True)))

    async def read(
        self, fn: Callable[Concatenate[Conn, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(conn, *args)` on a reader's connection, over one state of the whole file.

        It sees every write that returned before it began, and cannot write.
        """
        return cast(T, await self._submit(self._reads, fn, args, kwargs))

    async def version(self) -> int:
        """Return a number that is another one when anybody has written to the file since it was
        last asked for: this process, or another one such as a command."""
        return cast(int, await self._submit(self._versions, _version, (), {}))

    async def close(self) -> None:
        """Run what waits, check the log into the file and close it. Later calls fail."""
        if self._closed:
            return
        self._closed = True
        for _ in self._readers:
            self._reads.put(None)
        self._versions.put(None)
        for thread in (*self._readers, self._watcher):
            await asyncio.to_thread(thread.join)
        self._writes.put(None)
        await asyncio.to_thread(self._writer.join)
        self._reserve.give_back()

    def _submit(
        self, queue: Queue, fn: Callable[..., Any], args: Any, kwargs: Any
    ) -> asyncio.Future[Any]:
        return self._queue(queue, Job(partial(fn, **kwargs) if kwargs else fn, args))

    def _queue(self, queue: Queue, job: Job) -> asyncio.Future[Any]:
        if self._closed:
            raise StorageTrouble(TroubleKind.CLOSED)
        queue.put(job)
        return job.future

    # --- the writer thread ---

    def _write_loop(self, raw: apsw.Connection) -> None:
        conn = Conn(raw, self.vault)
        raw.set_wal_hook(self._note_commit)
        try:
            while True:
                first = self._writes.get()
                if first is None:
                    return
                jobs, last = self._drain(first)
                real = [job for job in jobs if not job.is_rehearsal]
                if real and self._reopen_at is not None and time.monotonic() >= self._reopen_at:
                    raw, conn = self._renewed(raw, conn)
                if real and self._reopen_at is not None and self._trouble is not None:
                    fail(real, self._trouble)
                elif real:
                    self._transact(conn, real)
                    if self._log_pages >= CHECKPOINT_PAGES and self._reopen_at is None:
                        self._shorten_log(raw)
                for job in jobs:
                    if job.is_rehearsal:
                        rehearse(conn, job)
                deliver(jobs)
                if last:
                    return
        finally:
            _close_writer(raw)

    def _renewed(self, raw: apsw.Connection, conn: Conn) -> tuple[apsw.Connection, Conn]:
        """Return another connection in place of one that met an error of the disk, or that one
        while there is none: it still serves for rehearsals."""
        try:
            another = self._reopen()
        except StorageTrouble as trouble:
            self._distrust(trouble)
            return raw, conn
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread must go on
            # No memory, say. Otherwise everybody would wait for ever.
            _log.exception("database: another connection cannot be made")
            self._distrust(self._trouble or StorageTrouble(TroubleKind.INTERNAL, str(error)))
            return raw, conn
        try:
            raw.close(True)
        except apsw.Error as error:
            _log.warning("database: the connection was given up: %s", translated(error))
        self._reopen_at = None
        another.set_wal_hook(self._note_commit)
        return another, Conn(another, self.vault)

    def _note_commit(self, _: apsw.Connection, name: str, pages: int) -> int:
        """Take SQLite's word that something was committed, and how long the log is now.

        This stands in place of its own checkpoints, which would hide an error of the disk.
        """
        del name
        self._committed = True
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _shorten_log(self, raw: apsw.Connection) -> None:
        """Move as much of the log into the file as readers allow; what cannot be moved stays."""
        try:
            raw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            problem = translated(error)
            if isinstance(problem, StorageTrouble) and problem.kind is TroubleKind.IO:
                self._distrust(problem)
            else:
                # A full disk: the log grows meanwhile, and it is tried after each commit.
                _log.debug("database: the log stays as it is: %s", problem)

    def _distrust(self, trouble: StorageTrouble) -> None:
        """Write nothing more through this connection; try another one after a while."""
        self._note(trouble)
        self._reopen_at = time.monotonic() + self._reopen_wait
        self._reopen_wait = min(2 * self._reopen_wait, MOST_REOPEN_SECONDS)

    def _note(self, trouble: StorageTrouble) -> None:
        if self._trouble is None or self._trouble.kind is not trouble.kind:
            _log.error("database: %s", trouble)
        self._trouble = trouble

    def _drain(self, first: Job) -> tuple[list[Job], bool]:
        """Return the jobs that wait (`first` and up to MAX_BATCH), and whether to stop then."""
        jobs = [first]
        while len(jobs) < MAX_BATCH:
            try:
                job = self._writes.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _transact(self, conn: Conn, jobs: list[Job]) -> None:
        """Run `jobs` in one transaction; afterwards each has a result or an error."""
        trouble = self._attempt(conn, jobs)
        if trouble is not None and trouble.kind is TroubleKind.FULL and self._reserve.release():
            _log.warning("disk full: the reserve is used up; free some space")
            trouble = self._attempt(conn, jobs)
        if trouble is None:
            if self._trouble is not None and not self._committed:
                return  # Nothing was written: that shows nothing of the disk.
            if self._trouble is not None:
                _log.info("database: it can be written again (was: %s)", self._trouble)
            self._trouble = None
            self._reopen_wait = REOPEN_SECONDS
            self._reserve.refill(time.monotonic())
            return
        if trouble.kind is TroubleKind.IO:
            self._distrust(trouble)
        self._note(trouble)
        fail(jobs, trouble)

    def _attempt(self, conn: Conn, jobs: list[Job]) -> StorageTrouble | None:
        """Try once; return what made the transaction fail as a whole, or None."""
        self._committed = False
        try:
            conn.execute("BEGIN IMMEDIATE")
            self._follow(conn)
            for job in jobs:
                trouble = in_savepoint(conn, job)
                if trouble is not None:
                    roll_back(conn)
                    return trouble
            conn.execute("COMMIT")
        except StorageTrouble as trouble:
            roll_back(conn)
            return None if self._committed else trouble
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread must go on
            # Otherwise everybody would wait for ever.
            _log.exception("database: the transaction broke")
            roll_back(conn)
            return StorageTrouble(TroubleKind.INTERNAL, str(error))
        return None

    def _follow(self, conn: Conn) -> None:
        """Have this transaction seal with the key that the data names: another process may be
        changing it, and only within a transaction it cannot change any more."""
        row = conn.one("SELECT value FROM meta WHERE key = 'vault_check'")
        if row is None or not isinstance(row[0], bytes):
            return
        before = self.vault.header
        known = self.vault.follow(row[0])
        if self._has_key and not known:
            _log.error("database: the encryption key was changed, and the new one cannot be read")
        elif known and self.vault.header != before:
            _log.info("database: secrets are encrypted with another key from now on")
        self._has_key = known

    # --- the reader threads ---

    def _read_loop(self, queue: Queue, raw: apsw.Connection) -> None:
        conn = Conn(raw, self.vault)
        try:
            while (job := queue.get()) is not None:
                if not job.future.cancelled():
                    look_up(conn, job)
                deliver([job])
        finally:
            raw.close()


def _version(conn: Conn) -> int:
    """Return SQLite's data_version, which tells of changes seen by one and the same connection."""
    row = conn.one("PRAGMA data_version")
    assert row is not None
    return int(row[0])


def _close_writer(raw: apsw.Connection) -> None:
    try:
        raw.execute("PRAGMA optimize").fetchall()
        # For a table of one row SQLite takes no index. Where thousands come later, each of them
        # would be found by looking through all.
        sizes = raw.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchall()
        if sizes:
            raw.execute(f"DELETE FROM sqlite_stat1 WHERE cast(stat AS INTEGER) < {FEW}").fetchall()
        raw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error as error:
        # Nothing is lost: the next start reads the log.
        _log.warning("database: cannot check the log in at the end: %s", translated(error))
    finally:
        raw.close()
