"""Loading: after a start, every monitor comes on duty with what was known of it.

The first checks need not wait for all of it: `load` does what they need, and returns the arrears,
which are settled while they run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from netpulse.engine.clock import Clock
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import monitors
from netpulse.storage.db import Database
from netpulse.storage.raw import Raw

LAPSES_AT_ONCE = 250
"""Edges written together: they share a commit, and no more tasks start in one turn."""
PER_TURN = 250
"""Monitors handled in one turn of the loop."""
RECENT_MS = 10 * MINUTE
"""Monitors are checked often where what vouches for them is younger than this: it lies among the
newest rows, and an hour of a thousand checks a second need not be read for it."""

T = TypeVar("T")


class Arrears:
    """What a start still owes: monitors that nobody vouches for, and last checks to be shown."""

    def __init__(
        self,
        raw: Raw,
        clock: Clock,
        roster: Roster,
        scheduler: Scheduler,
        runner: Runner,
        started_at: Millis,
    ) -> None:
        """Take the parts, and when this run began."""
        self._raw = raw
        self._clock = clock
        self._roster = roster
        self._scheduler = scheduler
        self._runner = runner
        self._started_at = started_at
        self._rare: list[Watched] = []
        self._lapsed: list[Watched] = []
        self.owed = 0
        """How many monitors are checked first, as far as that is known."""

    async def begin(self) -> None:
        """Find out who is vouched for, and put on the schedule who can be at once."""
        often = [one for one in self._roster if not _is_rare(one)]
        self._rare = [one for one in self._roster if _is_rare(one) and not one.is_push]
        pushed = [one for one in self._roster if one.is_push]
        reach = max(map(_reach_ms, often), default=0)
        await self._recall(often, self._started_at - reach)
        await self._recall(pushed)
        self._lapsed = self._part(often) + self._part(pushed)
        # Who waits for pings is judged from the start on. The others come as they were made, which
        # has nothing to do with when they are due: of the first few, one is due at once.
        self._lapsed.sort(key=lambda one: (not one.is_push, one.monitor.key))
        await self._lapse(max(LAPSES_AT_ONCE, len(pushed)))

    async def settle(self) -> None:
        """Do the rest: afterwards no monitor shows a verdict that nobody vouches for."""
        await self._lapse(len(self._lapsed))
        await self._recall(self._rare)
        self._lapsed = self._part(self._rare)
        self._rare = []
        await self._lapse(len(self._lapsed))
        # The others' last checks, however old, are only looked at.
        await self._recall([one for one in self._roster if one.last is None])

    def _part(self, some: Iterable[Watched]) -> list[Watched]:
        """Put on the schedule those of `some` that need no lapse first; return the others."""
        unknown, lapsed = [], []
        for one in some:
            if one.paused or one.gone:
                continue
            if _vouched(one, self._started_at):
                self._put(one, owed=False)
            elif one.watch.status in {Status.PENDING, Status.UNKNOWN}:
                unknown.append(one)
            else:
                lapsed.append(one)
        self.owed += sum(not one.is_push for one in (*unknown, *lapsed))
        for one in unknown:
            self._put(one, owed=True)
        return lapsed

    async def _lapse(self, most: int) -> None:
        """Turn at most `most` of the monitors unknown, and then put them on the schedule."""
        due, self._lapsed = self._lapsed[:most], self._lapsed[most:]
        for some in _parts(due, LAPSES_AT_ONCE):
            await asyncio.gather(
                *(self._runner.lapse(one, UnknownReason.STOPPED, self._started_at) for one in some)
            )
        # All of them first: their checks, and what follows from those, would hold up the others.
        for some in _parts(due, PER_TURN):
            for one in some:
                if not one.gone and not one.paused:
                    self._put(one, owed=True)
            await asyncio.sleep(0)

    async def _recall(self, some: Sequence[Watched], since: Millis = 0) -> None:
        """Find the last checks of `some` in the raw results, as far back as `since`."""
        if not some:
            return
        by_key = {watched.monitor.key: watched for watched in some}
        last = await self._raw.last(by_key, since=since)
        for part in _parts(list(last.items()), PER_TURN):
            for key, check in part:
                watched = by_key[key]
                if watched.last is not None:
                    continue  # It was checked meanwhile.
                watched.last = check
                # One from the future (the clock was set back meanwhile) vouches for nothing.
                if check.conclusive and check.started_at <= self._started_at:
                    until = watched.vouched_until(check)
                    watched.watch = replace(watched.watch, vouched_until=until)
            await asyncio.sleep(0)

    def _put(self, watched: Watched, *, owed: bool) -> None:
        if watched.is_push:
            return
        within = None
        if not owed and (watched.watch.downs or watched.watch.slows):
            within = float(watched.monitor.spec.retry_seconds)
        self._scheduler.put(watched.id, watched.interval_ms, watched.phase, within=within)
        if owed:
            self._scheduler.owe(watched.id, self.owed)


async def load(
    db: Database,
    raw: Raw,
    clock: Clock,
    roster: Roster,
    scheduler: Scheduler,
    runner: Runner,
    *,
    started_at: Millis,
) -> Arrears:
    """Put all monitors on duty and the first of them on the schedule; return what is left to do.

    A verdict whose next slot + timeout has not passed still vouches, and its monitor waits for its
    grid. The others are unknown (`stopped`) from `started_at` on and are checked soon, spread.
    """
    for part in _parts(await db.read(monitors.load_all), PER_TURN):
        for monitor, watch in part:
            roster.add(Watched(monitor, watch, clock.monotonic()))
        await asyncio.sleep(0)
    await runner.dependencies.load()
    arrears = Arrears(raw, clock, roster, scheduler, runner, started_at)
    await arrears.begin()
    return arrears


def _is_rare(watched: Watched) -> bool:
    """Tell whether a verdict may vouch for longer than the newest rows reach back."""
    return watched.is_push or _reach_ms(watched) > RECENT_MS


def _reach_ms(watched: Watched) -> Millis:
    """Return how old a check may be whose verdict vouches: its next slot and the timeout, with an
    interval to spare."""
    return 2 * watched.interval_ms + watched.monitor.spec.timeout_seconds * SECOND


def _vouched(watched: Watched, now: Millis) -> bool:
    watch = watched.vouched
    if watch.status in {Status.PENDING, Status.UNKNOWN}:
        return False
    return watch.vouched_until is not None and watch.vouched_until > now


def _parts(items: Sequence[T], size: int) -> Iterator[Iterable[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
