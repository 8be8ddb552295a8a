"""Loading: after a start, every monitor comes on duty with what was known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from netpulse.engine.clock import Clock
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.model.time import Millis
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import monitors
from netpulse.storage.db import Database
from netpulse.storage.raw import Raw

LAPSES_AT_ONCE = 250
"""Edges written together: they share a commit, and no more tasks start in one turn."""
PER_TURN = 250
"""Monitors handled in one turn of the loop."""

T = TypeVar("T")


async def load(
    db: Database,
    raw: Raw,
    clock: Clock,
    roster: Roster,
    scheduler: Scheduler,
    runner: Runner,
    *,
    started_at: Millis,
) -> int:
    """Put all monitors on duty and on the schedule; return how many are checked first.

    A verdict whose next slot + timeout has not passed still vouches, and its monitor waits for its
    grid. The others are unknown (`stopped`) from `started_at` on and are checked soon, spread.
    """
    for part in _parts(await db.read(monitors.load_all), PER_TURN):
        for monitor, watch in part:
            roster.add(Watched(monitor, watch, clock.monotonic()))
        await asyncio.sleep(0)
    await runner.dependencies.load()
    await _recall(raw, roster, started_at)
    silent = [one for one in roster if not one.paused and not _vouched(one, started_at)]
    lapsed = [one for one in silent if one.watch.status not in {Status.PENDING, Status.UNKNOWN}]
    for some in _parts(lapsed, LAPSES_AT_ONCE):
        await asyncio.gather(
            *(runner.lapse(one, UnknownReason.STOPPED, started_at) for one in some)
        )
    owed = {one.id for one in silent if not one.is_push}
    for watching in _parts(list(roster), PER_TURN):
        for watched in watching:
            if not watched.paused and not watched.is_push:
                _put(scheduler, watched, owed=watched.id in owed, among=len(owed))
        await asyncio.sleep(0)
    return len(owed)


async def _recall(raw: Raw, roster: Roster, now: Millis) -> None:
    """Find every monitor's last check in the raw results."""
    by_key = {watched.monitor.key: watched for watched in roster}
    last = await raw.last(by_key)
    for part in _parts(list(last.items()), PER_TURN):
        for key, check in part:
            watched = by_key[key]
            watched.last = check
            # One from the future (the clock was set back meanwhile) vouches for nothing.
            if check.conclusive and check.started_at <= now:
                until = watched.vouched_until(check)
                watched.watch = replace(watched.watch, vouched_until=until)
        await asyncio.sleep(0)


def _vouched(watched: Watched, now: Millis) -> bool:
    watch = watched.watch
    if watch.status in {Status.PENDING, Status.UNKNOWN}:
        return False
    return watch.vouched_until is not None and watch.vouched_until > now


def _put(scheduler: Scheduler, watched: Watched, *, owed: bool, among: int) -> None:
    within = None
    if owed:
        within = scheduler.spread_seconds(watched.id, watched.interval_ms, among)
    elif watched.watch.downs or watched.watch.slows:
        within = float(watched.monitor.spec.retry_seconds)
    scheduler.put(watched.id, watched.interval_ms, within=within)


def _parts(items: Sequence[T], size: int) -> Iterator[Iterable[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
