"""The process that test_sealing.py kills: fills and seals a raw store by a simulated clock.

It reads one order a line (JSON) and forks a worker for each, so that no start of an interpreter
stands between two kills. Sealing is done by the housekeeping, with its rollups in a main file. A
worker prints `verified N` when it has found again what was acknowledged earlier, `ack SLOT` when
all rows before SLOT are committed, `told HOUR {key: checks}` when the rollups of an hour are
written, `wrong …` when something is missing. The forking process adds `pid N` and `end N`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from netpulse.engine.housekeeping import Housekeeping
from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.model.time import DAY, HOUR, MINUTE, Millis
from netpulse.storage import monitors, rollups
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.raw import HourFigures, Raw
from tests import beats
from tests.clock import FakeClock
from tests.store import add_monitor, add_org, opened

START: Millis = 1_795_737_600_000
"""2026-11-27T00:00:00Z: the end of a month is near."""
INTERVAL = 3 * MINUTE
SLOTS_AN_HOUR = HOUR // INTERVAL
SLOTS_AT_ONCE = 5
"""So few that their checks may wait in the spool for others."""
KEYS = range(1, 61)
"""More than the 50 that are sealed in one transaction."""
BEATS = "beats"
LATE_BY = 40
"""Every seventh check of monitor 1 is written two hours late, when its hour was sealed before."""


def say(*words: object) -> None:
    """Print one line, in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def the_check(key: int, slot: int) -> Check:
    """The check of a slot: always the same one."""
    down = (key + slot) % 11 == 0
    return Check(
        due_at=START + slot * INTERVAL + key,
        started_at=START + slot * INTERVAL + key + slot % 5,
        result=Result.DOWN if down else Result.UP,
        failure=Failure.REFUSED if down else None,
        message=f"192.0.2.{key} refuses connections" if down else None,
        response_time_ms=None if down else (key * slot) % 97,
        timings=Timings(connect_ms=key / 10, total_ms=float((key * slot) % 97)),
    )


def written_at(key: int, slot: int) -> int:
    """The slot at which the check of `slot` is written."""
    return slot + LATE_BY if key == 1 and slot % 7 == 0 else slot


def expected(key: int, before: int, first: int = 0) -> list[Check]:
    """All checks from slot `first` on that are acknowledged with the slots before `before`."""
    return [the_check(key, slot) for slot in range(first, before) if written_at(key, slot) < before]


async def verify(raw: Raw, key: int, before: int, first: int = 0) -> int:
    """Compare what is stored with what was acknowledged; return how many checks that is.

    Checks that were not acknowledged may be there: the process ended between the two.
    """
    found = await raw.range(key, START + first * INTERVAL, START * 2, newest_first=False)
    wanted = expected(key, before, first)
    if [check.due_at for check in found] != sorted({check.due_at for check in found}):
        say("wrong", f"monitor {key} has checks twice or out of order")
    stored = {check.due_at: check for check in found}
    for check in wanted:
        if stored.get(check.due_at) != check:
            say("wrong", f"monitor {key} lacks {check}, has {stored.get(check.due_at)}")
    for check in found:
        if check != the_check(key, (check.due_at - START) // INTERVAL):
            say("wrong", f"monitor {key} has {check}, which was never written")
    return len(wanted)


class Keeping(Housekeeping):
    """The housekeeping, which says when the rollups of an hour are written."""

    async def _on_hour(self, hour: Millis, figures: Mapping[int, HourFigures]) -> None:
        await super()._on_hour(hour, figures)
        say("told", hour, json.dumps({key: value.checks for key, value in figures.items()}))


class House:
    """The main file and the raw results, with who keeps them in order."""

    def __init__(self, db: Database, raw: Raw, clock: FakeClock) -> None:
        self.db = db
        self.raw = raw
        self.clock = clock
        self.keeping = Keeping(db=db, raw=raw, clock=clock, raw_days=0)

    async def seal(self, slot: int) -> None:
        """Do what is done each minute, at the time of a slot."""
        self.clock.set_wall(START + slot * INTERVAL - self.clock.now())
        await self.keeping.seal()


def furnish(conn: Conn) -> None:
    """Add the monitors, once."""
    if not monitors.load_all(conn):
        org = add_org(conn, at=START - DAY)
        added = [add_monitor(conn, org.id, at=START - DAY).key for _ in KEYS]
        assert added == list(KEYS)


@asynccontextmanager
async def house(order: dict[str, Any], crash_at: str | None = None) -> AsyncIterator[House]:
    """Open the data of an order; at the given time of a step the process kills itself."""
    steps = 0

    def checkpoint(step: str) -> None:
        nonlocal steps
        if step == crash_at:
            steps += 1
            if steps == order["time"]:
                say("crash", step)
                os.kill(os.getpid(), signal.SIGKILL)

    data = Path(order["data"])
    async with opened(data) as db:
        await db.write(furnish)
        raw = Raw(data, checkpoint=checkpoint)
        yield House(db, raw, FakeClock(START))
        await raw.close()


async def watch(raw: Raw, acked: list[int]) -> None:
    """Read all the time: what was acknowledged is there at every moment, however it moves."""
    rnd = random.Random(acked[0])
    while True:
        before = acked[0]
        await verify(raw, rnd.choice(KEYS), before, max(0, before - 4 * SLOTS_AN_HOUR))
        await asyncio.sleep(0.005)


async def fill(order: dict[str, Any]) -> None:
    """Append, seal and read until killed, or until the given slot."""
    slot = order["slot"]
    async with house(order, order.get("crash_at")) as at:
        raw = at.raw
        sample = [1, *random.Random(slot).sample(KEYS, 2)]
        for key in KEYS:
            first = 0 if key in sample else max(0, slot - 4 * SLOTS_AN_HOUR)
            await verify(raw, key, slot, first)
        say("verified", slot)
        acked = [slot]
        watching = asyncio.create_task(watch(raw, acked))
        sealing = asyncio.create_task(at.seal(0))
        # What the killed process may have written already is written again: nothing is there twice.
        while slot < order.get("until", 1 << 30):
            until = slot + SLOTS_AT_ONCE
            rows = [
                (key, the_check(key, one))
                for one in range(max(0, slot - LATE_BY), until)
                for key in KEYS
                if slot <= written_at(key, one) < until
            ]
            raw.append(rows)
            # Some wait in the spool when the process is killed: those are safe as well.
            if not await (raw.flush() if slot // SLOTS_AN_HOUR % 2 else raw.keep()):
                say("wrong", raw.trouble)
            acked[0] = slot = until
            say("ack", slot)
            # The next rows come while this goes on, late ones for the hours it seals among them.
            await sealing
            sealing = asyncio.create_task(at.seal(slot))
            if watching.done():
                watching.result()
        await sealing
        watching.cancel()


async def finish(order: dict[str, Any]) -> None:
    """Seal all there is, and compare every single check, and what the rollups say of them."""
    async with house(order) as at:
        await at.raw.flush()
        await at.seal(START // INTERVAL)
        count = 0
        for key in KEYS:
            count += await verify(at.raw, key, order["slot"])
        for monitor, _ in await at.db.read(monitors.load_all):
            stored = Counter(
                check.due_at // HOUR * HOUR
                for check in await at.raw.range(monitor.key, 0, START * 2)
            )
            hours = await at.db.read(rollups.hours, monitor.id, START, START * 2)
            if {hour.from_ms: hour.checks for hour in hours} != stored:
                say("wrong", f"monitor {monitor.key} has rollups {hours} of {stored}")
            days = await at.db.read(rollups.days, monitor.id, START, START * 2)
            for day in days:
                of_day = sum(n for hour, n in stored.items() if 0 <= hour - day.from_ms < DAY)
                if day.checks != of_day:
                    say("wrong", f"monitor {monitor.key} has {day}, and {of_day} checks of it")
        for problem in at.raw.damaged:
            say("wrong", problem)
        if sorted(await at.raw.verify(30)) != at.raw.months():
            say("wrong", "a month is not sound")
    say("verified", count)


async def trickle(order: dict[str, Any]) -> None:
    """Append a check every few milliseconds, never waiting for the disk, until killed."""
    data = Path(order["data"])
    raw = Raw(data)
    beats.begin(data / BEATS)
    slot = 0
    while True:
        raw.append([(2, the_check(2, slot))])
        say("appended", slot, time.monotonic())
        slot += 1
        await asyncio.sleep(0.005)


def main() -> None:
    """Fork a worker for each order."""
    work = {"fill": fill, "finish": finish, "trickle": trickle}
    for line in sys.stdin:
        order = json.loads(line)
        worker = os.fork()
        if not worker:
            status = 1
            try:
                asyncio.run(work[order["do"]](order))
                status = 0
            finally:
                os._exit(status)
        say("pid", worker)
        say("end", os.waitpid(worker, 0)[1])


if __name__ == "__main__":
    main()
