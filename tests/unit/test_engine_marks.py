"""Marks: timers that may wait a little ring together."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from netpulse.engine.alarm import Alarm
from netpulse.engine.due import Due
from netpulse.engine.lag import TICK_SECONDS, LoopLag
from netpulse.engine.marks import AFTER_SECONDS, MARK_MS, mark_after
from netpulse.engine.scheduler import Scheduler
from netpulse.model.time import Millis
from netpulse.rules.schedule import LIGHT_STEP_MS, STEP_MS, phase_ms
from tests.clock import START, FakeClock


class Timers:
    """A loop that only notes for how long it is asked to wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: list[float] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(self, delay: float, *_: object) -> asyncio.Handle:
        self.waits.append(delay)
        return asyncio.Handle(lambda: None, (), asyncio.get_running_loop())


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("after", [0.0, 0.0013, 0.5, 7.25, 3600.0])
def test_one_rings_just_after_the_next_mark(after: float, every: int) -> None:
    clock = FakeClock(now=START + 7)
    at = clock.monotonic() + after
    rings = mark_after(clock, at, every)
    assert at < rings <= at + MARK_MS * every / 1000 + AFTER_SECONDS
    mark = clock.now() + (rings - AFTER_SECONDS - clock.monotonic()) * 1000
    assert mark % (MARK_MS * every) == pytest.approx(0, abs=1e-3)


def test_a_slot_has_come_due_when_its_mark_rings_and_waits_for_no_later_one() -> None:
    # Between two readings of the wall clock in whole milliseconds lies up to one of them, and a
    # timer may ring one and a half early.
    for put, armed in itertools.product(range(0, 1000, 53), repeat=2):
        clock = FakeClock(now=START)
        clock.advance(put / 1e6)
        schedule = Scheduler(clock, lambda _: None, limit=8)
        schedule.put("one", 10_000, 3_260)
        slot = schedule.next_due("one")
        assert slot is not None
        on_time = clock.monotonic() + (slot - START) / 1000 - put / 1e6
        clock.advance((slot - START) / 1000 - 0.04 + armed / 1e6)
        due = schedule._entries["one"].grid_mono
        rings = mark_after(clock, due)
        assert due <= rings - 0.0015
        assert on_time <= due < rings < on_time + 0.005


async def test_checks_of_one_slot_begin_in_one_ring_and_none_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, begun = FakeClock(), list[tuple[Due, int]]()
    clock.advance(0.0007)
    schedule = Scheduler(
        clock, lambda due: begun.append((due, clock.now())), limit=10_000, per_turn=16
    )
    timers = Timers(monkeypatch)
    schedule._alarm._loop = asyncio.get_running_loop()
    for number in range(2_000):
        schedule.put(f"{number}", 10_000, phase_ms(f"{number}", 10_000, LIGHT_STEP_MS))
        if not number % 500:
            clock.advance(0.0003)
    slots = 10_000 // LIGHT_STEP_MS
    for _ in range(slots):
        # The timer rings early, as far as one may.
        clock.advance(max(0.0, timers.waits[-1] - 0.0015))
        schedule._alarm._fire()
        while schedule._alarm._asked < 0:
            clock.advance(0.0007)
            schedule._alarm._fire()
        for due, _ in begun:
            schedule.done(due)
    assert len(begun) == 2_000
    assert all(due.at is not None and 0 <= at - due.at < STEP_MS for due, at in begun)


@pytest.mark.parametrize(
    ("past", "delay", "wait"),
    [
        (0, 0.005, 0.02),  # the schedule's next check comes soon: at the next mark
        (7, 0.012, 0.013),  # never before it is due
        (7, 0.0135, 0.013),  # as near to the mark as the clock is known: it lies on it
        (7, 0.015, 0.033),
        (7, 0.500, 0.513),
    ],
)
async def test_the_schedule_rings_at_marks(
    monkeypatch: pytest.MonkeyPatch, past: int, delay: float, wait: float
) -> None:
    clock = FakeClock(now=START + past)
    timers = Timers(monkeypatch)
    alarm = Alarm(clock, lambda: None)
    alarm._loop = asyncio.get_running_loop()
    alarm.set(clock.monotonic() + delay)
    assert timers.waits == [pytest.approx(wait + AFTER_SECONDS, abs=1e-6)]


async def test_a_ring_that_took_long_does_not_put_off_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(now=START)
    timers = Timers(monkeypatch)

    def ring() -> float:
        clock.advance(0.003)
        return 0.0009

    alarm = Alarm(clock, ring)
    alarm._loop = asyncio.get_running_loop()
    alarm._fire()
    # What is due 0.9 ms after the mark may be the mark's own.
    assert timers.waits == [pytest.approx(AFTER_SECONDS - 0.003, abs=1e-6)]


async def test_the_tick_rings_with_the_schedule_and_is_not_late_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(now=START + 33)
    lag = LoopLag(clock, lambda _: None)
    timers = Timers(monkeypatch)
    lag.start()
    assert timers.waits == [pytest.approx(TICK_SECONDS - 0.033 + AFTER_SECONDS, abs=1e-6)]
    clock.advance(timers.waits[0] + 0.24)
    lag._fire(asyncio.get_running_loop())
    assert lag.worst_since(1000.0) == pytest.approx(240, abs=0.01)
    assert lag.beats == 1
    assert timers.waits[1] == pytest.approx(0.06, abs=0.001)
    clock.advance(timers.waits[1])
    lag._fire(asyncio.get_running_loop())
    assert lag.worst_since(clock.monotonic()) == 0
    assert lag.worst_since(1000.4) == pytest.approx(0, abs=0.01)


async def test_asking_for_later_does_not_put_off_a_ring_that_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(now=START)
    timers = Timers(monkeypatch)
    alarm = Alarm(clock, lambda: None)
    alarm._loop = asyncio.get_running_loop()
    alarm.set(clock.monotonic() + 0.0195)
    alarm.set(clock.monotonic() + 0.0215)
    assert timers.waits == [pytest.approx(0.02 + AFTER_SECONDS, abs=1e-6)]


@pytest.mark.parametrize("by_ms", [-7.0, 7.0])
async def test_after_the_clock_was_set_a_little_the_next_check_is_late_by_a_mark_at_most(
    monkeypatch: pytest.MonkeyPatch, by_ms: float
) -> None:
    clock, begun = FakeClock(now=START), list[Millis]()
    schedule = Scheduler(clock, lambda _: begun.append(clock.now()), limit=8)
    timers = Timers(monkeypatch)
    schedule._alarm._loop = asyncio.get_running_loop()
    schedule.put("one", 10_000, 3_260)
    clock.set_wall(by_ms)
    due = None
    for _ in range(4):
        clock.advance(timers.waits[-1])
        schedule._alarm._fire()
        if len(begun) == 1 and due is None:
            schedule.done(Due(schedule._entries["one"], None, 0.0))
            due = begun[0]
    assert 0 <= begun[0] - by_ms - (START + 3_260) <= MARK_MS + 3
    assert 0 <= begun[1] - (START + 13_260) <= 3


async def test_asking_once_more_does_not_put_off_a_ring_that_is_due() -> None:
    clock, story = FakeClock(), list[str]()
    alarm = Alarm(clock, lambda: story.append("ring"))
    alarm.start()
    asyncio.get_running_loop().call_soon(story.append, "other work")
    alarm.set(clock.monotonic() - 5)
    await asyncio.sleep(0)
    assert story == ["ring", "other work"]
