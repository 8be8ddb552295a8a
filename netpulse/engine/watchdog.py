"""The watchdog: finds monitors that nobody checks any more, whatever the scheduler believes.

A monitor without a finished check for 2 x interval + timeout, or with nothing but inconclusive
ones for 3 intervals, turns unknown, back-dated to where its last verdict stopped vouching. Its
place on the schedule is restored, /readyz counts it, and one notice about ourselves goes out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from netpulse.engine.clock import Clock
from netpulse.engine.isolation import Isolation
from netpulse.engine.lag import LoopLag
from netpulse.engine.pushes import Pushes
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.model.alert import Event
from netpulse.model.check import Failure
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import notices, troubles
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

SCAN_SECONDS = 2.0
ROLL_CALL_SECONDS = 10.0
"""Between two times that all monitors are held against the schedule: the first that is new can be
unwatched after twice its interval."""
TROUBLE_SECONDS = 5.0
SCAN_SLICE = 500
"""Monitors looked at in one turn of the loop: well under a millisecond."""
SILENT_INTERVALS = 3
LAPSES_AT_ONCE = 100
"""Edges written together: more tasks at once would be felt on the loop."""
OWN_LAG_MS = 1_000.0
STALLED_SECONDS = 5.0
KIND = "unwatched"
"""The word of this trouble in the table of troubles."""

_REASONS = {
    Failure.OWN_NETWORK: UnknownReason.ISOLATED,
    Failure.OWN_LAG: UnknownReason.STARVED,
    Failure.OWN_LIMIT: UnknownReason.STARVED,
}


class Watchdog:
    """A task of its own, apart from the scheduler. `scan()` may be called by hand in tests."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        lag: LoopLag,
        roster: Roster,
        scheduler: Scheduler,
        runner: Runner,
        isolation: Isolation,
        pushes: Pushes,
        on_notices: Callable[[], None],
    ) -> None:
        """Take the parts; `on_notices` is called when a notice was written."""
        self._db = db
        self._clock = clock
        self._lag = lag
        self._roster = roster
        self._scheduler = scheduler
        self._runner = runner
        self._isolation = isolation
        self._pushes = pushes
        self._on_notices = on_notices
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False
        self._known: dict[Id, Watched] = {}
        self._looks: dict[int, list[Watched]] = {}
        """When each of them is to be looked at, by the scan. Not all in every scan: that alone
        would cost a tenth of what checking them does."""
        self._now: list[Watched] = []
        """Those that the next scan looks at, whenever it is: what they said is not news."""
        self._called_at = -ROLL_CALL_SECONDS
        self.restored = 0
        """Places on the schedule that were lost and given back."""

    async def start(self) -> None:
        """Take over a trouble that was open when the process ended, and begin."""
        open_kinds = {trouble.kind for trouble in await self._db.read(troubles.open)}
        if KIND in open_kinds:
            self._in_trouble = True
            for watched in self._roster:
                watched.lapsed = watched.watch.status is Status.UNKNOWN and not watched.is_push
        self._task = asyncio.create_task(self._run(), name="watchdog")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def stale_count(self) -> int:
        """Return how many monitors nobody vouches for through our own fault."""
        return sum(map(_is_stale, self._roster))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SCAN_SECONDS)
            try:
                await self.scan()
            except StorageTrouble as trouble:
                log.warning("the watchdog could not write: %s; it tries again", trouble)
                await asyncio.sleep(TROUBLE_SECONDS)
            except Exception:
                log.exception("the watchdog stumbled; it goes on")
                await asyncio.sleep(TROUBLE_SECONDS)

    async def scan(self) -> None:
        """Look at every monitor whose last check is not news any more."""
        now = self._clock.monotonic()
        if now - self._scheduler.turned_at > STALLED_SECONDS:
            self._scheduler.kick()
        if now - self._called_at >= ROLL_CALL_SECONDS:
            self._call_roll()
            self._called_at = now
        for scan in [scan for scan in self._looks if scan <= _scan_of(now)]:
            self._now += self._looks.pop(scan)
        todo, self._now = self._now, []
        stale = self._now
        try:
            number = 0
            while todo:
                number += 1
                if number % SCAN_SLICE == 0:
                    await asyncio.sleep(0)
                watched = todo.pop()
                if watched.gone:
                    if self._known.get(watched.id) is watched:
                        del self._known[watched.id]
                elif now < watched.fresh_until:
                    # In the first scan after that moment.
                    scan = _scan_of(watched.fresh_until) + 1
                    self._looks.setdefault(scan, []).append(watched)
                else:
                    stale.append(watched)
                    self._guard(watched)
        finally:
            # What a mistake left is looked at in the next one.
            stale += todo
        found = [one for one in stale if self._unwatched(one)]
        for start in range(0, len(found), LAPSES_AT_ONCE):
            await asyncio.gather(*map(self._lapse, found[start : start + LAPSES_AT_ONCE]))
        await self._tell(sum(map(_is_stale, stale)))

    def _guard(self, watched: Watched) -> None:
        """Give a monitor that lost it its place back."""
        if watched.paused:
            return
        if watched.is_push:
            # Silence is what it is about; all that can be lost is its deadline.
            self._pushes.guard(watched)
        elif watched.id not in self._scheduler:
            self._restore(watched)

    def _call_roll(self) -> None:
        """Find the monitors that are new, and those that lost their place on the schedule."""
        for one in self._roster:
            # Whoever was changed or resumed is another one, which has an interval of its own.
            if self._known.get(one.id) is not one:
                self._known[one.id] = one
                self._now.append(one)
        for monitor_id in self._scheduler.missing(self._roster.ids()):
            watched = self._roster.get(monitor_id)
            if watched is not None and not watched.is_push:
                self._guard(watched)

    def _restore(self, watched: Watched) -> None:
        # A check of it that is under way would be pushed aside by the next one, and never end.
        self._runner.drop(watched)
        if self._scheduler.restore(watched.id, watched.interval_ms, watched.phase):
            self.restored += 1
            log.error(
                "a monitor had lost its place on the schedule; it has it back",
                extra={"monitor_id": watched.id},
            )

    def _unwatched(self, watched: Watched) -> bool:
        if watched.lapsed or watched.gone or watched.paused or watched.is_push or watched.held:
            return False
        now, spec = self._clock.monotonic(), watched.monitor.spec
        if now - watched.finished_at > 2 * spec.interval_seconds + spec.timeout_seconds:
            return True
        silent = watched.silent_from
        return silent is not None and now - silent > SILENT_INTERVALS * spec.interval_seconds

    def _reason(self, watched: Watched) -> UnknownReason:
        if watched.own_failure is not None:
            return _REASONS.get(watched.own_failure, UnknownReason.STALE)
        scheduler = self._scheduler
        if scheduler.overdue(watched.id) or scheduler.left_out.total:
            return UnknownReason.STARVED  # there are more checks than can be made
        if self._lag.worst_since(watched.finished_at) > OWN_LAG_MS:
            return UnknownReason.STARVED
        return UnknownReason.STALE

    def _ended_vouching(self, watched: Watched) -> Millis:
        now, watch = self._clock.now(), watched.latest
        vouched = watch.since if watch.vouched_until is None else watch.vouched_until
        return max(watch.since, min(vouched, now))

    async def _lapse(self, watched: Watched) -> None:
        reason = self._reason(watched)
        if await self._runner.lapse(watched, reason, self._ended_vouching(watched)):
            watched.lapsed = True
        if not watched.probing:
            self._scheduler.soon(watched.id, 1.0)

    async def _tell(self, count: int) -> None:
        """Write one notice when the first monitor is lost, and one when all are back.

        While our own network is away that has been told, and explains all of it.
        """
        if self._isolation.isolated:
            return
        if (count > 0) is self._in_trouble:
            return
        now = self._clock.now()
        total = len(self._roster)
        if count:
            detail = f"{count} of {total} monitors have no result that can be trusted"
            written = await self._db.write(_begin, detail, count, now)
            log.error("%s", detail)
        else:
            detail = "all monitors have fresh results again"
            written = await self._db.write(_end, detail, now)
            log.info("%s", detail)
        self._in_trouble = count > 0
        if written:
            self._on_notices()


def _scan_of(at: float) -> int:
    """Return the number of the scan that is due at a monotonic moment."""
    return int(at // SCAN_SECONDS)


def _is_stale(watched: Watched) -> bool:
    return watched.lapsed and not watched.gone and not watched.paused


def _begin(conn: Conn, detail: str, count: int, now: Millis) -> bool:
    troubles.begin(conn, KIND, detail, now, monitor_count=count)
    return bool(notices.add_system(conn, Event.SYSTEM_ISOLATED, detail, now))


def _end(conn: Conn, detail: str, now: Millis) -> bool:
    troubles.end(conn, KIND, now)
    return bool(notices.add_system(conn, Event.SYSTEM_RECOVERED, detail, now))
