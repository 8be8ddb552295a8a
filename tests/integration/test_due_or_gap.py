"""Between two starts each check that was due ran, or the record says why nobody looked.

The real engine, its schedule and its store, by a clock that is moved by hand: kills, restarts,
sleep, stops, clocks set forward and back, a disk that takes nothing. At the end every slot of every
monitor's grid is looked for among the stored results and the gaps.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from netpulse.engine.due import Due
from netpulse.engine.loading import load
from netpulse.model.check import Check, Result
from netpulse.model.monitor import Monitor
from netpulse.model.time import HOUR, SECOND, Millis
from netpulse.model.watch import Gap, UnknownReason
from netpulse.rules.schedule import next_slot, phase_ms
from netpulse.storage import alive, monitors, runs
from netpulse.storage import db as db_module
from netpulse.storage.errors import StorageTrouble
from tests.clock import FakeClock
from tests.home import Home, home, now, spec
from tests.whole_disk import WholeDisk, mounted

MONITORS = 6
TICK_MS = 200
"""Two ticks of the loop: a stretch is known by the ticks on its two sides."""
LOST_MS = 2 * SECOND
"""So long before a kill what was found may be lost with the process."""


class Watching:
    """An engine whose schedule, ticks and signs of life are driven by hand."""

    def __init__(self, at: Home, clock: FakeClock) -> None:
        self.at = at
        self.clock = clock
        self.due: list[Due] = []

    async def start(self) -> None:
        """Take up what was known, as the engine does at its start."""
        engine = self.at.engine
        engine.scheduler._begin = self.due.append
        began = self.clock.now()
        data = self.at.raw.data
        run_id, _ = await self.at.db.write(runs.begin, began, "test", alive.last(data))
        engine.breaks.record()
        arrears = await load(
            self.at.db,
            self.at.raw,
            self.clock,
            engine.roster,
            engine.scheduler,
            engine.runner,
            started_at=began,
        )
        await arrears.settle()
        engine.housekeeping.start(run_id)
        await engine.housekeeping.stop()
        self.run_id = run_id

    async def live(self, seconds: int) -> None:
        """Let time pass: the loop ticks, what is due is checked, and each second is kept."""
        for number in range(seconds * 10):
            self.clock.advance(0.1)
            await self.turn()
            if number % 10 == 9:
                await self.at.raw.keep()
            if number % 50 == 49:
                with suppress(StorageTrouble):
                    await self.at.engine.housekeeping.seen()

    async def turn(self) -> None:
        """Do what the loop does in one turn."""
        engine = self.at.engine
        engine.lag.tick()
        while engine.scheduler.turn() == 0:
            pass
        for due in self.due:
            watched = engine.roster.get(due.monitor_id)
            assert watched is not None
            started = self.clock.now()
            at = started if due.at is None else due.at
            await engine.runner.take(
                watched, Check(due_at=at, started_at=started, result=Result.UP, response_time_ms=1)
            )
            engine.scheduler.done(due)
        self.due.clear()

    async def stop(self) -> None:
        """End in order."""
        await self.at.raw.flush()
        await self.at.engine.breaks.stop()
        await self.at.db.write(runs.finish, self.run_id, self.clock.now())


@asynccontextmanager
async def watching(data: Path, clock: FakeClock) -> AsyncIterator[Watching]:
    async with home(data, clock=clock, start=False) as at:
        found = Watching(at, clock)
        await found.start()
        yield found


async def furnish(data: Path, clock: FakeClock) -> None:
    async with home(data, clock=clock, start=False) as at:
        for number in range(MONITORS):
            await at.monitor(
                spec("http://shop.example/", interval_seconds=(10, 20, 60)[number % 3])
            )


async def trouble(one: Watching, chance: random.Random, disk: WholeDisk) -> None:
    """Let one thing happen while the process lives, and the time after it."""
    clock = one.clock
    what = chance.choice(["sleep", "stop", "forward", "back", "a little", "disk"])
    if what == "sleep":
        clock.suspend(chance.choice([4, 90, 600]))
    elif what == "stop":
        clock.advance(chance.choice([3, 30, 200]))
    elif what == "forward":
        clock.set_wall(chance.choice([3 * SECOND, 50 * SECOND, HOUR]))
    elif what == "back":
        clock.set_wall(-chance.choice([3 * SECOND, 50 * SECOND, HOUR]))
    elif what == "a little":
        clock.set_wall(chance.choice([-SECOND, SECOND]))
    else:
        disk.fail_once(1, 1_000_000)
        await one.live(chance.choice([10, 70]))
        disk.fail_from = disk.fail_until = 0
    await one.live(chance.randint(1, 150))


@pytest.mark.parametrize("seed", range(4))
async def test_every_due_check_ran_or_a_gap_says_why(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "REOPEN_SECONDS", 0.0)
    monkeypatch.setattr("netpulse.engine.breaks.TROUBLE_SECONDS", 0.01)
    chance = random.Random(seed)
    clock = FakeClock(now())
    data = tmp_path / "data"
    await furnish(data, clock)
    killed: list[Millis] = []
    began = clock.now()
    latest = began
    for number in range(8):
        with mounted(data) as disk:
            async with watching(data, clock) as one:
                await one.live(chance.randint(20, 120))
                for _ in range(chance.randint(0, 2)):
                    await trouble(one, chance, disk)
                    latest = max(latest, clock.now())
                await one.live(chance.randint(1, 60))
                latest = max(latest, clock.now())
                if number % 2:
                    await one.stop()
                else:
                    # What a killed process leaves is what lies there now.
                    killed.append(clock.now())
                    data = data.with_name(f"after {number}")
                    shutil.copytree(one.at.raw.data, data)
        clock.advance(chance.choice([0.5, 5, 300]))
    async with home(data, clock=clock, start=False) as at:
        await at.db.write(runs.begin, max(latest, clock.now()) + SECOND, "test", alive.last(data))
        gaps = await at.db.read(runs.gaps, 0, latest + HOUR)
        looked = 0
        for monitor, _ in await at.db.read(monitors.load_all):
            checks = await at.raw.range(monitor.key, 0, latest + HOUR)
            missing = list(unexplained(monitor, checks, gaps, killed, began, latest))
            assert missing == []
            looked += len(checks)
        assert looked > 300
        assert {gap.reason for gap in gaps} == {UnknownReason.STOPPED, UnknownReason.STARVED}


def unexplained(
    monitor: Monitor,
    checks: list[Check],
    gaps: list[Gap],
    killed: list[Millis],
    began: Millis,
    end: Millis,
) -> list[Millis]:
    """Return the slots for which the monitor was not checked, and nothing says why."""
    interval = monitor.spec.interval_seconds * SECOND
    phase = phase_ms(monitor.id, interval)
    seen = {(check.due_at - phase) // interval for check in checks}
    slot, found = next_slot(began, interval, phase), []
    while slot + interval <= end:
        if (
            (slot - phase) // interval not in seen
            and not any(gap.start - TICK_MS <= slot <= gap.end + TICK_MS for gap in gaps)
            and not any(at - LOST_MS <= slot <= at for at in killed)
        ):
            found.append(slot)
        slot += interval
    return found
