"""Marks: timers that may wait a little ring together."""

from __future__ import annotations

import asyncio

import pytest

from netpulse.engine.alarm import Alarm
from netpulse.engine.lag import TICK_SECONDS, LoopLag
from netpulse.engine.marks import MARK_SECONDS, mark_after
from tests.clock import FakeClock


class Timers:
    """A loop that only notes for how long it is asked to wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: list[float] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(self, delay: float, *_: object) -> asyncio.Handle:
        self.waits.append(delay)
        return asyncio.Handle(lambda: None, (), asyncio.get_running_loop())


@pytest.mark.parametrize("at", [0.0, 1000.0, 1000.001, 1000.0199, 123456.789])
@pytest.mark.parametrize("every", [1, 5])
def test_the_next_mark(at: float, every: int) -> None:
    step = MARK_SECONDS * every
    found = mark_after(at, every)
    assert at <= found < at + step + 1e-9
    assert found / step == pytest.approx(round(found / step), abs=1e-6)


@pytest.mark.parametrize(
    ("now", "delay", "wait"),
    [
        (1000.0, 0.005, 0.02),  # the schedule's next check comes soon: at the next mark
        (1000.015, 0.001, 0.025),  # one that is nearly there may have rung just now
        (1000.007, 0.019, 0.033),  # never before it is due
        (1000.007, 0.5, 0.5),  # what comes alone is on time
    ],
)
async def test_the_schedule_rings_at_marks(
    monkeypatch: pytest.MonkeyPatch, now: float, delay: float, wait: float
) -> None:
    clock = FakeClock(monotonic=now)
    alarm = Alarm(clock, lambda: None)
    alarm.start()
    alarm.stop()
    timers = Timers(monkeypatch)
    alarm._loop = asyncio.get_running_loop()
    alarm.set(now + delay)
    assert timers.waits == [pytest.approx(wait, abs=1e-6)]


async def test_the_tick_rings_with_the_schedule_and_is_not_late_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(monotonic=1000.033)
    lag = LoopLag(clock, lambda _: None)
    timers = Timers(monkeypatch)
    lag.start()
    assert timers.waits == [pytest.approx(TICK_SECONDS - 0.033, abs=1e-6)]
    clock.advance(timers.waits[0] + 0.25)
    lag._fire(asyncio.get_running_loop())
    assert lag.worst_since(1000.0) == pytest.approx(250, abs=0.01)
    assert lag.beats == 1
    assert timers.waits[1] == pytest.approx(TICK_SECONDS / 2, abs=1e-6)
    clock.advance(timers.waits[1])
    lag._fire(asyncio.get_running_loop())
    assert lag.worst_since(clock.monotonic()) == 0
    assert lag.worst_since(1000.4) == pytest.approx(0, abs=0.01)


async def test_asking_once_more_does_not_put_off_a_ring_that_is_due() -> None:
    clock, story = FakeClock(), list[str]()
    alarm = Alarm(clock, lambda: story.append("ring"))
    alarm.start()
    asyncio.get_running_loop().call_soon(story.append, "other work")
    alarm.set(clock.monotonic() - 5)
    await asyncio.sleep(0)
    assert story == ["ring", "other work"]
