"""Work on many rows: done in small transactions one after another, and watched while it goes.

A thousand monitors take seconds to change, and nobody else's change may wait for them. So a piece
of work is a list of ids that is fixed when it begins; each transaction takes some of them, with an
audit row for each, and asks anew whether whoever began it may still do so. What was done stays done
when the work ends early: an end of the process, or a right that was taken away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, field

from netpulse.model.ids import Id
from netpulse.model.time import Millis

log = logging.getLogger(__name__)

AT_ONCE = 25
"""Rows of one transaction: some 50 ms, in which everybody else's edges wait."""
NAMED = 20
"""Rows that could not be changed and are named; the others are counted."""
MOST = 200
"""Pieces of work that are remembered, the latest ones."""


class Left(Struct, frozen=True):
    """A row that was left as it was, and why."""

    id: Id
    name: str
    message: str


class Step(Struct, frozen=True, kw_only=True):
    """What came of some of the rows."""

    changed: int = 0
    left: tuple[Left, ...] = ()
    """Those that could not be changed; whatever is neither was so already, or is gone."""


class Stopped(Exception):
    """The work cannot go on; the text says why, for whoever began it."""


class Job(Struct, kw_only=True):
    """One piece of work, and how far it is."""

    id: Id
    org_id: Id
    action: str
    tag: str | None
    total: int
    begun_at: Millis
    done: int = 0
    """Rows that were looked at."""
    changed: int = 0
    left: list[Left] = field(default_factory=list)
    left_total: int = 0
    is_done: bool = False
    stopped: str | None = None
    """Why it ended before all was done."""


Work = Callable[[Sequence[Id]], Awaitable[Step]]


class Jobs:
    """The pieces of work of this process."""

    def __init__(self) -> None:
        """Begin without any."""
        self._jobs: dict[Id, Job] = {}
        self._tasks: dict[Id, asyncio.Task[None]] = {}

    def get(self, org_id: Id, job_id: Id) -> Job | None:
        """Return an organization's piece of work, or None."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.org_id == org_id else None

    def busy(self, org_id: Id) -> Job | None:
        """Return the one that is under way in an organization: there is one at a time."""
        return next(
            (job for job in self._jobs.values() if job.org_id == org_id and not job.is_done), None
        )

    def begin(self, job: Job, ids: Sequence[Id], work: Work, stopping: asyncio.Event) -> None:
        """Begin it; returns at once."""
        for old in [each.id for each in self._jobs.values() if each.is_done][: -MOST or None]:
            del self._jobs[old]
        self._jobs[job.id] = job
        task = asyncio.get_running_loop().create_task(_run(job, ids, work, stopping), name="bulk")
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def wait(self, job: Job, seconds: float) -> None:
        """Wait until it is done, but no longer than `seconds`."""
        task = self._tasks.get(job.id)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)


async def _run(job: Job, ids: Sequence[Id], work: Work, stopping: asyncio.Event) -> None:
    try:
        for start in range(0, len(ids), AT_ONCE):
            if stopping.is_set():
                raise Stopped("NetPulse was stopped")
            some = ids[start : start + AT_ONCE]
            step = await work(some)
            job.done += len(some)
            job.changed += step.changed
            job.left_total += len(step.left)
            job.left += step.left[: max(0, NAMED - len(job.left))]
    except Stopped as why:
        job.stopped = str(why)
    except Exception:
        log.exception("work on many rows stumbled", extra={"org_id": job.org_id})
        job.stopped = "NetPulse made a mistake and wrote it to its log"
    finally:
        job.is_done = True
