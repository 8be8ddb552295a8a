"""A start with many monitors: the first checks wait for the first of them, not for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netpulse.engine.loading import LAPSES_AT_ONCE, RECENT_MS, Arrears, load
from netpulse.model.check import Check, Result
from netpulse.model.edge import Edge
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Status, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.rules.schedule import next_slot, phase_ms
from netpulse.storage import edges, monitors, spans
from netpulse.storage.conn import Conn
from tests.clock import START, FakeClock
from tests.home import Home, home, spec
from tests.store import add_monitor, check

MANY = LAPSES_AT_ONCE + 30
BORN = START - 10 * DAY


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path / "data", clock=FakeClock(), start=False) as one:
        yield one


def live(conn: Conn, org_id: str, count: int, interval: int, name: str) -> list[Monitor]:
    """Store monitors that were found up when they were young."""
    made = []
    for number in range(count):
        wanted = spec("http://192.0.2.1/", name=f"{name} {number}", interval_seconds=interval)
        monitor = add_monitor(conn, org_id, wanted, BORN)
        watch, flip = rules.step(
            wanted, Watch(since=BORN), check(Result.UP, BORN + SECOND), now=BORN + SECOND
        )
        edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))
        made.append(monitor)
    return made


async def begun(at: Home) -> Arrears:
    engine = at.engine
    return await load(
        at.db, at.raw, engine.clock, engine.roster, engine.scheduler, engine.runner,
        started_at=START,
    )  # fmt: skip


async def checked(at: Home, some: list[Monitor], ago: Millis = 0) -> list[Check]:
    """Give each a check at its last slot before the start, or that long before it."""
    made = []
    for one in some:
        interval = one.spec.interval_seconds * SECOND
        slot = next_slot(START - 1 - interval, interval, phase_ms(one.id, interval))
        made.append(check(Result.UP, slot - ago))
    at.raw.append([(one.key, each) for one, each in zip(some, made, strict=True)])
    await at.raw.flush()
    return made


def states(at: Home, some: list[Monitor]) -> list[Status]:
    found = [at.engine.watch(one.id) for one in some]
    return [watch.status for watch in found if watch is not None]


async def test_what_lapsed_waits_its_turn_and_nobody_is_forgotten(at: Home) -> None:
    some = await at.db.write(live, at.org.id, MANY, 60, "often")
    old = await checked(at, some, HOUR)
    arrears = await begun(at)
    assert arrears.owed == MANY
    assert sum(one.id in at.engine.scheduler for one in some) == LAPSES_AT_ONCE
    assert states(at, some).count(Status.UNKNOWN) == LAPSES_AT_ONCE

    await arrears.settle()
    assert all(one.id in at.engine.scheduler for one in some)
    assert states(at, some) == [Status.UNKNOWN] * MANY
    for place in (0, -1):
        last = (await at.db.read(spans.between, some[place].id, 0, START + 1))[-1]
        assert (last.at, last.status, last.reason) == (
            START,
            Status.UNKNOWN,
            UnknownReason.STOPPED,
        )
        assert at.engine.last_check(some[place].id) == old[place]


async def test_of_the_first_that_lapsed_some_are_due_at_once(at: Home) -> None:
    some = await at.db.write(live, at.org.id, 4 * LAPSES_AT_ONCE, 60, "often")
    await checked(at, some, HOUR)
    await begun(at)
    first = [one for one in some if one.id in at.engine.scheduler]
    assert len(first) == LAPSES_AT_ONCE
    waits = [next_slot(START, MINUTE, phase_ms(one.id, MINUTE)) - START for one in first]
    assert min(waits) < 5 * SECOND, "the first check of a start waits for all to be looked at"
    assert max(waits) > 45 * SECOND


async def test_a_fresh_verdict_still_vouches_and_is_not_checked_first(at: Home) -> None:
    some = await at.db.write(live, at.org.id, 3, 60, "often")
    fresh = await checked(at, some)
    arrears = await begun(at)
    assert arrears.owed == 0
    assert states(at, some) == [Status.UP] * 3
    assert all(one.id in at.engine.scheduler for one in some)
    assert at.engine.last_check(some[0].id) == fresh[0]


async def test_what_is_checked_seldom_is_vouched_for_by_an_old_check(at: Home) -> None:
    fresh = await at.db.write(live, at.org.id, 2, 86_400, "daily")
    old = await at.db.write(live, at.org.id, 2, 86_400, "forgotten")
    await checked(at, fresh)
    await checked(at, old, 2 * DAY)
    await at.raw.seal_due(START, _nobody)
    arrears = await begun(at)
    assert arrears.owed == 0, "not found out yet"
    await arrears.settle()
    assert arrears.owed == 2
    assert states(at, fresh) == [Status.UP] * 2
    assert states(at, old) == [Status.UNKNOWN] * 2
    assert all(one.id in at.engine.scheduler for one in fresh + old)


async def test_a_check_that_comes_meanwhile_is_not_replaced_by_an_old_one(at: Home) -> None:
    some = await at.db.write(live, at.org.id, 2, 60, "often")
    await checked(at, some, 2 * RECENT_MS)
    arrears = await begun(at)
    one = at.engine.roster.get(some[0].id)
    assert one is not None
    await at.engine.runner.take(one, check(Result.UP, START + SECOND))
    await arrears.settle()
    assert at.engine.last_check(some[0].id) == check(Result.UP, START + SECOND)
    assert states(at, some) == [Status.UP, Status.UNKNOWN]
    assert one.watch.vouched_until is not None
    assert one.watch.vouched_until > START


async def test_a_start_without_monitors_owes_nothing(at: Home) -> None:
    arrears = await begun(at)
    await arrears.settle()
    assert (arrears.owed, len(at.engine.scheduler)) == (0, 0)
    assert not await at.db.read(monitors.load_all)


async def _nobody(hour: Millis, figures: object) -> None:
    """Hear of a sealed hour."""
