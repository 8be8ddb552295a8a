"""The runner: one check from measuring to what is remembered, written and told.

Edges are written before anything moves in memory or anybody hears of them. A monitor that breaks
(a bad row, a mistake in a probe) breaks itself only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from msgspec.structs import replace

from netpulse.engine.clock import Clock
from netpulse.engine.dependencies import Dependencies
from netpulse.engine.due import Due
from netpulse.engine.figures import Figures
from netpulse.engine.isolation import Isolation
from netpulse.engine.light import LightChecks
from netpulse.engine.live import Hub
from netpulse.engine.lone import LonePings
from netpulse.engine.measuring import Measured, Measuring, Since
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.scheduler import Scheduler
from netpulse.engine.taskless import Parts
from netpulse.engine.thresholds import Thresholds
from netpulse.model.check import Check, Failure
from netpulse.model.edge import Outcome
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.time import Millis, rfc3339
from netpulse.model.watch import Flip, UnknownReason, Watch
from netpulse.probes.begun import Begun
from netpulse.rules import incidents
from netpulse.storage import edges
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import Raw

log = logging.getLogger(__name__)

RETRIES = 3
"""Inconclusive checks in a row that are repeated off the grid; then the grid is soon enough."""
FIRST_RETRY_SECONDS = 1.0


class Runner:
    """Runs checks. `begin(due)` is what the scheduler calls."""

    def __init__(
        self,
        *,
        db: Database,
        raw: Raw,
        measuring: Measuring,
        isolation: Isolation,
        clock: Clock,
        scheduler: Scheduler,
        roster: Roster,
        hub: Hub,
        figures: Figures,
        thresholds: Thresholds,
        on_notices: Callable[[], None],
        on_dropped: Callable[[Id], object],
    ) -> None:
        """Take the parts.

        Args:
            db: the main file, for edges.
            raw: the raw results, for every check.
            measuring: how probes are run.
            isolation: who decides whether a silence is our own network's.
            clock: the time.
            scheduler: where further checks are asked for.
            roster: the monitors on duty.
            hub: who hears of edges and values.
            figures: the counters.
            thresholds: the rules that speak of a measure.
            on_notices: called when notices were written.
            on_dropped: called with a monitor's id when storage knows it otherwise than we do.
        """
        self._db = db
        self._raw = raw
        self._measuring = measuring
        self._isolation = isolation
        self._clock = clock
        self._scheduler = scheduler
        self._roster = roster
        self._hub = hub
        self._figures = figures
        self._thresholds = thresholds
        self._on_notices = on_notices
        self._on_dropped = on_dropped
        self.dependencies = Dependencies(
            db=db, clock=clock, scheduler=scheduler, roster=roster, on_notices=on_notices
        )
        parts = Parts(
            way=measuring.way,
            clock=clock,
            measuring=measuring,
            isolation=isolation,
            lags=figures.lags,
            confirms=self._confirms,
            go_on=self._go_on,
            conclude=self._conclude,
            done=scheduler.done,
        )
        self._lone = LonePings(parts)
        self._light = LightChecks(parts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.trouble: StorageTrouble | None = None
        """Why the last edge could not be written; None once one was."""

    # Checks of the schedule

    def begin(self, due: Due) -> None:
        """Start the check that is due."""
        watched = self._roster.get(due.monitor_id)
        if watched is None or watched.paused:
            self._scheduler.done(due)
            return
        if not (self._lone if watched.is_ping else self._light).begin(watched, due):
            self._go(watched, due, self._run(watched, due))

    def _go(
        self,
        watched: Watched,
        due: Due,
        check: Coroutine[Any, Any, None],
        begun: Begun | None = None,
    ) -> None:
        task = asyncio.get_running_loop().create_task(check)
        watched.task = task
        watched.probing = True
        self._tasks.add(task)
        # A callback, not a `finally`: a task that is cancelled before its first step runs none.
        task.add_done_callback(partial(self._ended, due, watched))
        if begun is not None:
            task.add_done_callback(lambda _: begun.close())

    def _ended(self, due: Due, watched: Watched, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if watched.task is task:
            watched.task = None
            watched.probing = False
        self._scheduler.done(due)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a check broke", exc_info=error, extra={"monitor_id": due.monitor_id})

    async def _run(self, watched: Watched, due: Due) -> None:
        now = self._clock.monotonic()
        self._figures.lags.add(now - due.mono, now)
        monitor = watched.monitor
        measured = await self._measuring.measure(
            monitor.org_id, monitor.spec, damage=monitor.damage
        )
        await self._weigh(watched, due, measured)

    def _go_on(self, watched: Watched, due: Due, begun: Begun, since: Since) -> None:
        """Go on, in a task, with a check that was begun without one."""
        self._go(watched, due, self._run_on(watched, due, begun, since), begun)

    async def _run_on(self, watched: Watched, due: Due, begun: Begun, since: Since) -> None:
        monitor = watched.monitor
        measured = await self._measuring.measure(
            monitor.org_id, monitor.spec, begun=begun, since=since
        )
        await self._weigh(watched, due, measured)

    def _conclude(self, watched: Watched, due: Due, measured: Measured) -> None:
        """Go on, in a task, with a check that was measured without one."""
        self._go(watched, due, self._weigh(watched, due, measured))

    async def _weigh(self, watched: Watched, due: Due, measured: Measured) -> None:
        """Tell what a measured check is worth, and take it."""
        if measured.reading.certificate is not None:
            watched.certificate = measured.reading.certificate
        watched.long = measured.reading.long
        if measured.error is not None or watched.internal:
            self._note_internal(watched, measured.error)
        if not self._isolation.passes(watched, measured):
            measured = await self._isolation.weigh(watched, measured)
        watched.probing = False
        check = measured.check(due.at)
        if not self._confirms(watched, check):
            await self.take(watched, check)

    def drop_probes(self) -> set[Id]:
        """Cancel the probes in flight, whose verdicts could not be trusted; return whose."""
        dropped: set[Id] = set()
        for watched in self._roster:
            if watched.probing and watched.task is not None:
                watched.task.cancel()
                dropped.add(watched.id)
        return dropped

    def drop(self, watched: Watched) -> None:
        """Cancel the probe of one monitor, whose result nobody wants any more."""
        if watched.probing and watched.task is not None:
            watched.task.cancel()

    async def stop(self, seconds: float) -> None:
        """Abandon the probes in flight, and wait for the edges that are being written."""
        self.drop_probes()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    # What a check means

    def _confirms(self, watched: Watched, check: Check) -> bool:
        """Take a check that only says once more what is on disk and waited for by nobody, and
        return True: what `take` does, without what it needs where something changes."""
        monitor = watched.monitor
        if (
            check.result is not watched.known
            or watched.busy
            or self._thresholds.covers(monitor.id)
            or self.dependencies.listens(watched, check)
        ):
            return False
        self._figures.checks[check.result] += 1
        self._raw.add(monitor.key, check)
        # As `_note_freshness` has it of a conclusive check.
        watched.finished_at = self._clock.monotonic()
        watched.silent_from = watched.own_failure = None
        watched.lapsed = False
        watched.last = watched.vouching = check
        watched.retries = 0
        if self._hub.hears(monitor.org_id):
            self._hub.steady(monitor, watched.shown, check)
        return True

    async def take(self, watched: Watched, check: Check) -> bool:
        """Hold a check against what is known; write, remember and tell what follows.

        Returns False if what follows could not be written: the check has to come again.
        """
        async with watched.alone():
            if watched.gone or watched.paused:
                return True
            self._figures.checks[check.result] += 1
            self._raw.append([(watched.monitor.key, check)])
            self._note_freshness(watched, check)
            watched.last = check
            watch, flip = incidents.step(
                watched.monitor.spec, watched.latest, check, now=self._clock.now()
            )
            if check.conclusive:
                watch = replace(watch, vouched_until=watched.vouched_until(check))
                self.dependencies.ask(watched, watch)
            saved = await self._settle(watched, watch, flip)
            if saved and self._thresholds.covers(watched.id):
                await self._thresholds.weigh(watched, check)
        if not saved:
            self._scheduler.soon(watched.id, watched.monitor.spec.retry_seconds)
            return False
        self._plan(watched, check)
        await self.dependencies.heard(watched, check)
        if flip is None:
            self._hub.steady(watched.monitor, watched.shown, check)
        return True

    async def lapse(self, watched: Watched, reason: UnknownReason, at: Millis) -> bool:
        """Turn a monitor unknown from `at` on (Unix milliseconds); return whether it is now."""
        async with watched.alone():
            if watched.gone or watched.paused:
                return False
            watch, flip = incidents.lapse(watched.latest, at, reason, now=self._clock.now())
            return await self._settle(watched, watch, flip)

    async def _settle(self, watched: Watched, watch: Watch, flip: Flip | None) -> bool:
        """Make `watch` what is known: on disk first, where a restart must know it too.

        Returns False if it could not be written; then it is owed, and what was known before is
        what people see.
        """
        if flip is not None or incidents.worth_saving(watched.latest, watch):
            watched.owe(watch, flip, self.dependencies.parent_good_at(watched))
        elif not watched.owed:
            watched.watch = watch
            return True
        else:
            watched.owe_still(watch)
        try:
            outcomes = await self._db.write(edges.record_all, tuple(watched.owed))
        except StorageTrouble as trouble:
            self._note_trouble(trouble)
            return False
        except Exception:
            # A mistake of ours, in what is owed perhaps: it must not spoil what comes after it.
            watched.owed.clear()
            if not watched.unsaved:
                log.exception("an edge could not be written", extra={"monitor_id": watched.id})
            watched.unsaved = True
            return False
        written, watched.owed = watched.owed, []
        self._note_written(watched)
        if outcomes[-1].dropped:
            watched.leave()
            self._on_dropped(watched.id)
            return True
        saved = outcomes[-1].watch or watch
        self._roster.remember(
            watched,
            replace(saved, vouched_until=watch.vouched_until, silent_since=watch.silent_since),
        )
        for edge, outcome in zip(written, outcomes, strict=True):
            if edge.flip is not None:
                self.dependencies.flipped(watched, edge.flip, outcome)
                self._tell(watched, edge.flip, outcome)
        return True

    def _tell(self, watched: Watched, flip: Flip, outcome: Outcome) -> None:
        """Let everybody hear of a flip that is on disk."""
        org_id = watched.monitor.org_id
        # After a start all those whose verdict does not vouch turn unknown: one line says so.
        level = logging.DEBUG if flip.reason is UnknownReason.STOPPED else logging.INFO
        log.log(
            level,
            "%s is %s",
            watched.monitor.spec.name,
            flip.after.value,
            extra={
                "monitor_id": watched.id,
                "before": flip.before.value,
                "after": flip.after.value,
                "at": rfc3339(flip.at),
                "incident_id": None if outcome.incident is None else outcome.incident.id,
            },
        )
        self._hub.edge(watched.monitor, watched.shown, watched.last)
        self._hub.counts(org_id, self._roster.counts)
        if outcome.incident is not None:
            self._hub.tell(org_id, "incident", incident_event(outcome.incident, watched.id))
        if outcome.notice_ids:
            self._on_notices()

    def _plan(self, watched: Watched, check: Check) -> None:
        """Ask for a check off the grid where the last one left a question open."""
        spec, watch = watched.monitor.spec, watched.watch
        if check.failure is Failure.OWN_LIMIT:
            self._scheduler.ease()
        if check.conclusive:
            watched.retries = 0
            if watch.downs or watch.slows:
                self._scheduler.soon(watched.id, spec.retry_seconds)
        elif watched.retries < RETRIES:
            watched.retries += 1
            wait = FIRST_RETRY_SECONDS if watched.retries == 1 else spec.retry_seconds
            self._scheduler.soon(watched.id, wait)

    def _note_freshness(self, watched: Watched, check: Check) -> None:
        watched.finished_at = self._clock.monotonic()
        if check.conclusive:
            watched.silent_from = watched.own_failure = None
            watched.lapsed = False
        else:
            watched.own_failure = check.failure
            if watched.silent_from is None:
                watched.silent_from = watched.finished_at

    # Troubles of our own, logged when they begin and when they end

    def _note_internal(self, watched: Watched, error: Exception | None) -> None:
        where = {"monitor_id": watched.id}
        if error is not None:
            self._figures.internal_errors += 1
            if not watched.internal:
                log.error("a check ended in a mistake of ours", exc_info=error, extra=where)
        elif watched.internal:
            log.info("checks work again", extra=where)
        watched.internal = error is not None

    def _note_trouble(self, trouble: StorageTrouble) -> None:
        if self.trouble is None:
            log.error("edges cannot be written: %s", trouble)
        self.trouble = trouble
        # Some of them may be told from memory.
        self._on_notices()

    def _note_written(self, watched: Watched) -> None:
        if self.trouble is not None:
            log.info("edges are written again")
            self.trouble = None
        if watched.unsaved:
            log.info("its edges are written again", extra={"monitor_id": watched.id})
            watched.unsaved = False


def incident_event(incident: Incident, monitor_id: Id | None) -> dict[str, Any]:
    """Return the `incident` event for browsers."""
    return {
        "id": incident.id,
        "status": incident.status.value,
        "monitor_id": monitor_id,
        "title": incident.title,
    }
