"""Keeping house beside a schedule that runs: no check waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from pathlib import Path

from netpulse.crypto.vault import Vault
from netpulse.engine.clock import Clock
from netpulse.engine.due import Due
from netpulse.engine.housekeeping import ROWS_AT_ONCE, Housekeeping
from netpulse.engine.scheduler import Scheduler
from netpulse.model.check import Check, Result, Timings
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.storage import directory, rollups
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw, hot, month
from netpulse.storage.raw.damage import Infirmary
from netpulse.storage.raw.files import Readers
from netpulse.storage.raw.hot_files import HotFiles
from netpulse.storage.raw.names import Places, day_of, hour_of, month_of
from netpulse.storage.raw.seal import SEAL_AFTER, Sealer
from netpulse.storage.rollups import Rollup

KEYS = range(1, 151)
AT_ONCE = 50
KEPT_DAYS = 30
LONGEST_SECONDS = 0.1
"""What the loop may compute between two checks, ten milliseconds apart. Of its own thread: what a
busy machine does to it is not in there, and a check is late by as much at least."""
LEAST_SECONDS = 0.2
"""What sealing takes at least here: on the loop it would be felt."""


def hour_of_checks(hour: Millis) -> list[Check]:
    return [
        Check(
            due_at=hour + slot * 10_000,
            started_at=hour + slot * 10_000 + 3,
            result=Result.UP,
            response_time_ms=slot % 50,
            status_code=200,
            timings=Timings(1.0, 2.0, None, 3.5 + slot % 7, float(slot % 50)),
        )
        for slot in range(360)
    ]


async def fill(db: Database, raw: Raw, old: Millis, hour: Millis) -> None:
    """Write an hour of every monitor, and one check of a month that is too old to be kept."""
    for first in range(0, len(KEYS), AT_ONCE):
        keys = KEYS[first : first + AT_ONCE]
        raw.append([(key, check) for check in hour_of_checks(hour) for key in keys])
        assert await raw.flush()
    raw.append([(1, hour_of_checks(old)[0])])
    assert await raw.flush()
    await db.write(rollups.set_cursor, "hour", hour)
    await db.write(rollups.set_cursor, "day", hour - hour % DAY)


async def test_no_check_waits_for_an_hour_that_is_sealed_or_a_month_that_goes(
    tmp_path: Path,
) -> None:
    clock = Clock()
    now = clock.now()
    hour = day_of(now - SEAL_AFTER) - DAY + 7 * HOUR  # of a day that is over: merged as well
    old = now - now % HOUR - (KEPT_DAYS + 62) * DAY
    threads: dict[str, set[int]] = {}

    def checkpoint(step: str) -> None:
        threads.setdefault(step, set()).add(threading.get_ident())

    directory.prepare(tmp_path)
    db = await open_database(tmp_path, Vault(bytes(range(32))))
    raw = Raw(tmp_path, now=clock.now, checkpoint=checkpoint)
    keeping = Housekeeping(db=db, raw=raw, clock=clock, raw_days=KEPT_DAYS)
    await fill(db, raw, old, hour)
    before, longest, begun = time.thread_time(), 0.0, 0

    def begin(due: Due) -> None:
        nonlocal before, longest, begun
        used = time.thread_time()
        longest, before, begun = max(longest, used - before), used, begun + 1
        schedule.done(due)

    schedule = Scheduler(clock, begin, limit=100)
    for number in range(100):
        schedule.put(f"monitor-{number}", 1_000, 10 * number)
    schedule.start()
    try:
        began = time.process_time()
        await keeping.seal()
        assert time.process_time() - began > LEAST_SECONDS
        await keeping.retain()
    finally:
        schedule.stop()
        await raw.close()
        await db.close()
    assert begun > 10
    assert longest < LONGEST_SECONDS

    # All was done, and nothing of it by the loop but to write the rollups.
    assert raw.months() == [month_of(hour)]
    assert threads.pop("told") == {threading.get_ident()}
    assert {"read", "stored", "verified", "synced", "day stored", "month gone"} <= set(threads)
    assert all(threading.get_ident() not in some for some in threads.values())


class Rests(threading.Event):
    """Whether the store is being closed, which remembers how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds += timeout
        return super().wait(timeout)


async def test_sealing_rests_as_long_as_it_computes(tmp_path: Path) -> None:
    now = Clock().now()
    hour = hour_of(now) - DAY
    raw = Raw(tmp_path)
    raw.append([(key, check) for check in hour_of_checks(hour) for key in KEYS[:AT_ONCE]])
    assert await raw.flush()
    await raw.close()
    places, rests = Places(tmp_path), Rests()
    sealer = Sealer(
        places,
        HotFiles(places, threading.Event()),
        Readers(hot.VERSION, tidy=False),
        Readers(month.VERSION, tidy=True),
        Infirmary(places, lambda: now),
        rests,
        lambda step: None,
    )
    began = time.thread_time()
    assert len(sealer.pack_hour(hour, 0).figures) == AT_ONCE
    sealer.finish(hour, AT_ONCE * 360)
    sealer.merge_days(now + DAY)
    used = time.thread_time() - began
    # But for what opens, commits and looks over: that waits for the disk more than it computes.
    assert rests.seconds > 0.8 * used


async def test_the_sums_of_a_day_leave_room_for_edges(tmp_path: Path) -> None:
    """What is written meanwhile waits for a thousand rows, not for those of all monitors."""
    clock = Clock()
    today = day_of(clock.now() - SEAL_AFTER)
    directory.prepare(tmp_path)
    db = await open_database(tmp_path, Vault(bytes(range(32))))
    raw = Raw(tmp_path)
    await db.write(rollups.set_cursor, "day", today - DAY)
    keys = range(1, 201)
    for hour in range(today - DAY, today, HOUR):
        await db.write(rollups.put_hour, [a_sum(key, hour) for key in keys], hour + HOUR)
    assert await db.write(still_to_fold) == len(keys) * 24
    folding = asyncio.create_task(
        Housekeeping(db=db, raw=raw, clock=clock, raw_days=KEPT_DAYS).seal()
    )
    left = [len(keys) * 24]
    while left[-1]:
        left.append(await db.write(still_to_fold))
    await folding
    await raw.close()
    await db.close()
    assert max(before - after for before, after in pairwise(left)) <= 2 * ROWS_AT_ONCE


def a_sum(key: int, hour: Millis) -> Rollup:
    return Rollup(key=key, from_ms=hour, checks=9, ups=9, degraded=0, downs=0, inconclusive=0)


def still_to_fold(conn: Conn) -> int:
    return int(conn.all("SELECT count(*) FROM rollups_recent")[0][0])
