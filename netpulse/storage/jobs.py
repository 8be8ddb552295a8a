"""Jobs: functions that wait for a thread of the database, and the callers that wait for them.

The threads of `storage.db` run them; each keeps its result or its error until it is delivered to
the event loop that it came from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from netpulse.storage.conn import Conn
from netpulse.storage.errors import StorageTrouble, TroubleKind

_log = logging.getLogger("netpulse.storage")


AT_ONCE = 50
"""Callers that go on in one turn of their loop. A thousand outages share a commit: what follows
each of them takes some 60 µs, and all at once would hold up everybody else."""


class Job:
    """A function that waits for a thread, and the caller that waits for it."""

    __slots__ = ("args", "error", "fn", "future", "is_rehearsal", "loop", "result")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], *, is_rehearsal: bool = False
    ) -> None:
        """Take what is to be run and with what besides the connection; the caller's event loop is
        the running one."""
        self.fn = fn
        self.args = args
        self.is_rehearsal = is_rehearsal
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


Queue = SimpleQueue[Job | None]
"""What waits for a thread; None is the last, after which it ends."""


def in_savepoint(conn: Conn, job: Job) -> StorageTrouble | None:
    """Run one job; return the trouble that spoils the whole transaction, or None.

    The job's own exception is kept for its caller and costs the others nothing.
    """
    job.result = job.error = None
    if job.future.cancelled():
        return None
    conn.execute("SAVEPOINT job")
    try:
        job.result = job.fn(conn, *job.args)
    except StorageTrouble as trouble:
        return trouble
    except BaseException as error:  # noqa: BLE001 - it is raised again where the job came from
        job.error = error
        # Some errors end the transaction by themselves; then the savepoint is gone with it.
        if not conn.in_transaction:
            return StorageTrouble(TroubleKind.INTERNAL, f"the transaction was lost: {error}")
        conn.execute("ROLLBACK TO job")
    conn.execute("RELEASE job")
    return None


def rehearse(conn: Conn, job: Job) -> None:
    """Run one job in a transaction that is taken back; its pages stay in memory meanwhile."""
    if job.future.cancelled():
        return
    try:
        conn.execute("PRAGMA cache_spill = OFF")
        try:
            conn.execute("BEGIN IMMEDIATE")
            job.result = job.fn(conn, *job.args)
        finally:
            roll_back(conn)
            conn.execute("PRAGMA cache_spill = ON")
    except BaseException as error:  # noqa: BLE001 - it is raised again where the job came from
        job.error = error


def look_up(conn: Conn, job: Job) -> None:
    """Run one job over one state of the whole file."""
    try:
        conn.execute("BEGIN")
        try:
            job.result = job.fn(conn, *job.args)
        finally:
            roll_back(conn)
    except BaseException as error:  # noqa: BLE001 - it is raised again where the job came from
        job.error = error


def roll_back(conn: Conn) -> None:
    """End the transaction if there still is one."""
    if not conn.in_transaction:
        return
    try:
        conn.execute("ROLLBACK")
    except StorageTrouble as trouble:
        _log.error("database: cannot roll back: %s", trouble)


def fail(jobs: list[Job], trouble: StorageTrouble) -> None:
    """Give jobs the trouble that their transaction met, each an error of its own to raise."""
    for job in jobs:
        job.result, job.error = None, StorageTrouble(trouble.kind, trouble.detail)


def deliver(jobs: list[Job]) -> None:
    """Hand the outcomes to their event loops, one wake-up a loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, done in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, done)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            _log.debug("%d outcomes came after the end of their loop", len(done))


def _resolve(jobs: list[Job], first: int = 0) -> None:
    """Hand outcomes over from number `first` on, a few in each turn of the loop."""
    if first + AT_ONCE < len(jobs):
        jobs[first].loop.call_soon(_resolve, jobs, first + AT_ONCE)
    for job in jobs[first : first + AT_ONCE]:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        elif isinstance(job.error, StopIteration):
            # A future cannot carry it (PEP 479).
            job.future.set_exception(RuntimeError("a storage function raised StopIteration"))
        else:
            job.future.set_exception(job.error)
