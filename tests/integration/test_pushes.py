"""Deadlines of push monitors in a real engine: missed, forgiven, and through restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netpulse.engine.lag import TICK_SECONDS
from netpulse.model.check import Failure, Result
from netpulse.model.ids import new_id
from netpulse.model.monitor import Monitor, PushSpec
from netpulse.model.push import Ping, PingKind
from netpulse.model.time import HOUR, SECOND
from netpulse.model.watch import Status
from netpulse.storage import edges, incident_list, monitors, pushes, runs, spans
from netpulse.storage.incident_list import IncidentFilter
from tests.clock import FakeClock, ShiftedClock
from tests.home import Home, home
from tests.store import open_incidents


class Ward:
    """An engine that is driven by hand."""

    def __init__(self, at: Home, clock: FakeClock) -> None:
        self.at = at
        self.clock = clock
        self.engine = at.engine

    async def made(self, **fields: Any) -> Monitor:
        spec = PushSpec(
            **({"name": "Backup", "interval_seconds": 60, "grace_seconds": 10} | fields)
        )
        at = self.clock.now()
        draft = Monitor(id=new_id(at), key=0, org_id=self.at.org.id, spec=spec, created_at=at)
        monitor = await self.at.db.write(monitors.insert, draft)
        self.engine.changed(monitor.id)
        await self.engine.settled()
        return monitor

    async def passed(self, seconds: float) -> None:
        """Let time pass as it does for a process that is well: in small steps."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.clock.advance(TICK_SECONDS)
            self.engine.lag.tick()
        await self.look()

    async def look(self) -> None:
        while self.engine.pushes.turn() == 0.0:
            pass
        await self.engine.pushes.quiet()

    async def ping(self, monitor: Monitor, kind: PingKind = PingKind.UP, **fields: Any) -> None:
        assert await self.engine.ping(monitor.id, Ping(kind=kind, **fields))

    def status(self, monitor: Monitor) -> Status:
        watch = self.engine.watch(monitor.id)
        assert watch is not None
        return watch.status

    async def results(self, monitor: Monitor) -> list[tuple[Result, Failure | None]]:
        await self.at.raw.flush()
        found = await self.at.raw.range(monitor.key, 0, self.clock.now() + HOUR, newest_first=False)
        return [(check.result, check.failure) for check in found]


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    clock = FakeClock()
    async with home(tmp_path, clock=clock, start=False) as at:
        yield Ward(at, clock)
        await at.engine.settled()


async def test_missed_and_back(ward: Ward) -> None:
    monitor = await ward.made()
    await ward.ping(monitor)
    pinged_at = ward.clock.now()
    assert ward.status(monitor) is Status.UP
    await ward.passed(69)
    assert ward.status(monitor) is Status.UP, "the grace is not over"
    await ward.passed(1)
    assert ward.status(monitor) is Status.DOWN
    check = ward.engine.last_check(monitor.id)
    assert check is not None
    assert (check.failure, check.detail) == (Failure.MISSED, "late")
    assert check.started_at == pinged_at + 70 * SECOND
    assert "60 s" not in (check.message or "")
    assert "10 s of grace are over" in (check.message or "")
    (found,) = (
        await ward.at.db.read(incident_list.page, ward.at.org.id, IncidentFilter(), 0, 9)
    ).rows
    assert (found.failure, found.started_at) == ("missed", pinged_at + 70 * SECOND)
    await ward.passed(60)
    assert len(await ward.results(monitor)) == 3, "each further missed slot is a further check"
    await ward.passed(5)
    await ward.ping(monitor)
    assert ward.status(monitor) is Status.UP
    states = await ward.at.db.read(spans.between, monitor.id, 0, ward.clock.now() + 1)
    assert [span.status.value for span in states][-3:] == ["up", "down", "up"]


async def test_never_pinged(ward: Ward) -> None:
    monitor = await ward.made()
    await ward.passed(70)
    assert ward.status(monitor) is Status.DOWN
    check = ward.engine.last_check(monitor.id)
    assert check is not None
    assert check.detail == "never"


async def test_two_confirmations(ward: Ward) -> None:
    monitor = await ward.made(confirmations=2)
    await ward.ping(monitor)
    await ward.passed(70)
    assert ward.status(monitor) is Status.UP
    await ward.passed(60)
    assert ward.status(monitor) is Status.DOWN


async def test_a_job_that_never_ends(ward: Ward) -> None:
    monitor = await ward.made(interval_seconds=3600, grace_seconds=30)
    await ward.ping(monitor)
    await ward.passed(5)
    await ward.ping(monitor, PingKind.START)
    await ward.passed(29)
    assert ward.status(monitor) is Status.UP
    await ward.passed(1)
    check = ward.engine.last_check(monitor.id)
    assert check is not None
    assert (check.failure, check.detail) == (Failure.MISSED, "unfinished")
    assert ward.status(monitor) is Status.DOWN


async def test_a_job_that_ends_in_time(ward: Ward) -> None:
    monitor = await ward.made(interval_seconds=60, grace_seconds=30)
    await ward.ping(monitor)
    await ward.passed(80)
    await ward.ping(monitor, PingKind.START)
    await ward.passed(20)
    assert ward.status(monitor) is Status.UP, "it started within the grace"
    await ward.ping(monitor, exit_status=0)
    check = ward.engine.last_check(monitor.id)
    assert check is not None
    assert check.response_time_ms == 20_000


async def test_cron(ward: Ward) -> None:
    """The clock stands at 19:33:20 UTC."""
    monitor = await ward.made(cron="35 19 * * *", timezone="UTC", grace_seconds=30)
    await ward.passed(120)
    assert ward.status(monitor) is Status.PENDING
    await ward.passed(10)
    assert ward.status(monitor) is Status.DOWN
    beat = ward.engine.pushes.beat(monitor.id)
    assert beat is not None
    assert beat.deadline_at == ward.clock.now() + 24 * HOUR


async def test_a_stretch_in_which_nothing_ran_is_nobodys_fault(ward: Ward) -> None:
    """A process that was stopped for ten minutes has pings waiting at its door."""
    monitor = await ward.made()
    await ward.ping(monitor)
    await ward.passed(30)
    ward.clock.advance(600)
    # The deadlines' timer may fire before the tick that notices.
    await ward.look()
    ward.engine.lag.tick()
    await ward.look()
    assert ward.status(monitor) is Status.UP
    await ward.passed(45)
    assert ward.status(monitor) is Status.UP
    await ward.ping(monitor)
    await ward.passed(70)
    assert ward.status(monitor) is Status.DOWN, "from then on it is judged as ever"


@pytest.mark.parametrize("by", [3600, -3600])
async def test_a_clock_that_is_set(ward: Ward, by: int) -> None:
    monitor = await ward.made()
    await ward.ping(monitor)
    await ward.passed(30)
    ward.clock.set_wall(by * 1000)
    await ward.look()
    ward.engine.lag.tick()
    await ward.look()
    assert ward.status(monitor) is Status.UP
    await ward.passed(20)
    await ward.ping(monitor)
    await ward.passed(69)
    assert ward.status(monitor) is Status.UP
    await ward.passed(2)
    assert ward.status(monitor) is Status.DOWN


async def test_while_our_network_is_away_nobody_is_late(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = await ward.made()
    await ward.ping(monitor)
    monkeypatch.setattr(ward.engine.isolation._record, "since", ward.clock.now())
    await ward.passed(300)
    assert ward.status(monitor) is Status.UP
    monkeypatch.setattr(ward.engine.isolation._record, "since", None)
    await ward.passed(60)
    assert ward.status(monitor) is Status.UP
    await ward.passed(330)
    assert ward.status(monitor) is Status.DOWN


async def test_paused_and_resumed(ward: Ward) -> None:
    monitor = await ward.made()
    await ward.ping(monitor)
    org = ward.at.org.id
    await ward.at.db.write(edges.pause, org, monitor.id, ward.clock.now())
    ward.engine.changed(monitor.id)
    await ward.engine.settled()
    await ward.passed(600)
    assert monitor.id not in ward.engine.pushes
    await ward.at.db.write(edges.resume, org, monitor.id, ward.clock.now())
    ward.engine.changed(monitor.id)
    await ward.engine.settled()
    await ward.passed(69)
    assert ward.status(monitor) is Status.PENDING
    await ward.passed(1)
    assert ward.status(monitor) is Status.DOWN


async def test_the_watchdog_gives_a_lost_deadline_back(ward: Ward) -> None:
    monitor = await ward.made()
    ward.engine.pushes.drop(monitor.id)
    await ward.engine.watchdog.scan()
    await ward.engine.pushes.quiet()
    assert monitor.id in ward.engine.pushes
    await ward.passed(65)
    await ward.engine.watchdog.scan()
    assert ward.engine.stale_count() == 0, "to be silent is not to be unwatched"


async def test_pings_at_once_come_in_order(ward: Ward) -> None:
    monitor = await ward.made()
    await asyncio.gather(*(ward.ping(monitor, exit_status=number % 2) for number in range(20)))
    assert ward.status(monitor) is Status.DOWN
    await ward.ping(monitor)
    assert ward.status(monitor) is Status.UP


async def made_and_pinged(data: Path, **fields: Any) -> Monitor:
    spec = PushSpec(**({"name": "Backup", "interval_seconds": 60, "grace_seconds": 10} | fields))
    async with home(data) as at:
        monitor = await at.monitor(spec)
        await at.engine.settled()
        assert await at.engine.ping(monitor.id, Ping())
    return monitor


async def test_a_restart_forgives_what_could_not_be_heard(tmp_path: Path) -> None:
    monitor = await made_and_pinged(tmp_path)
    async with home(tmp_path, clock=ShiftedClock(600 * SECOND)) as at:
        now = at.engine.clock.now()
        beat = at.engine.pushes.beat(monitor.id)
        assert beat is not None
        assert beat.last_at is not None
        assert beat.deadline_at >= beat.last_at + 70 * SECOND + 600 * SECOND
        assert now + 20 * SECOND <= beat.deadline_at <= now + 85 * SECOND
        assert await at.db.read(pushes.beat, monitor.id) == beat, "and it is kept"
        await asyncio.sleep(0.3)
        watch = at.engine.watch(monitor.id)
        assert watch is not None
        assert watch.status is Status.UNKNOWN, "nobody vouches for it before the next ping"
        gaps = await at.db.read(runs.gaps, 0, now + HOUR)
        assert [gap.reason.value for gap in gaps] == ["stopped"]
        assert await at.engine.ping(monitor.id, Ping())
        watch = at.engine.watch(monitor.id)
        assert watch is not None
        assert watch.status is Status.UP
        assert (await at.db.read(open_incidents, at.org.id)) == 0


async def test_a_short_restart_changes_nothing(tmp_path: Path) -> None:
    monitor = await made_and_pinged(tmp_path, interval_seconds=86_400)
    async with home(tmp_path, clock=ShiftedClock(5 * SECOND)) as at:
        watch = at.engine.watch(monitor.id)
        assert watch is not None
        assert watch.status is Status.UP


async def test_after_a_restart_a_job_that_is_gone_is_missed(tmp_path: Path) -> None:
    monitor = await made_and_pinged(tmp_path, interval_seconds=10, grace_seconds=1)
    async with home(tmp_path, clock=ShiftedClock(60 * SECOND)) as at:
        await at.until_status(monitor.id, Status.DOWN, 20)
        check = at.engine.last_check(monitor.id)
        assert check is not None
        assert check.failure is Failure.MISSED
