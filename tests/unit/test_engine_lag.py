"""Own lag and breaks, with a clock moved by hand."""

from __future__ import annotations

import asyncio
import time

import pytest

from netpulse.engine.clock import Clock
from netpulse.engine.figures import Lags
from netpulse.engine.lag import Break, LoopLag
from netpulse.model.watch import Gap, UnknownReason
from tests.clock import FakeClock


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breaks: list[Break] = []
        self.lag = LoopLag(self.clock, self.breaks.append)

    def ticks(self, count: int, every: float = 0.1) -> None:
        for _ in range(count):
            self.clock.advance(every)
            self.lag.tick()


def test_a_steady_loop_has_no_lag() -> None:
    bench = Bench()
    since = bench.clock.monotonic()
    bench.ticks(100)
    assert bench.lag.worst_since(since) == pytest.approx(0, abs=0.001)
    assert bench.breaks == []


def test_the_worst_lag_of_a_window() -> None:
    bench = Bench()
    start = bench.clock.monotonic()
    bench.ticks(5)
    bench.ticks(1, 0.1 + 0.9)
    middle = bench.clock.monotonic()
    bench.ticks(5)
    bench.ticks(1, 0.1 + 0.3)
    assert bench.lag.worst_since(start) == pytest.approx(900, abs=1)
    assert bench.lag.worst_since(middle) == pytest.approx(300, abs=1)
    bench.ticks(1)
    assert bench.lag.worst_since(bench.clock.monotonic()) == 0


def test_lateness_before_the_window_does_not_count() -> None:
    bench = Bench()
    bench.clock.advance(1.0)
    since = bench.clock.monotonic()
    bench.clock.advance(0.05)
    bench.lag.tick()
    assert bench.lag.worst_since(since) == pytest.approx(50, abs=1)


def test_the_overdue_tick_counts_already() -> None:
    bench = Bench()
    since = bench.clock.monotonic()
    bench.clock.advance(6)
    assert bench.lag.worst_since(since) == pytest.approx(5_900, abs=1)


def test_a_late_tick_is_a_break() -> None:
    bench = Bench()
    bench.ticks(3)
    before = bench.clock.now()
    bench.ticks(1, 6.0)
    (found,) = bench.breaks
    assert found.gap == Gap(before, bench.clock.now(), UnknownReason.STARVED)
    assert found.cause == "this process did not run for 5.9 s"


def test_a_suspended_machine_is_a_break() -> None:
    bench = Bench()
    bench.ticks(3)
    before, since = bench.clock.now(), bench.clock.monotonic()
    bench.clock.suspend(600)
    assert bench.lag.worst_since(since) == pytest.approx(600_000, abs=1)
    bench.ticks(1)
    (found,) = bench.breaks
    assert found.gap == Gap(before, bench.clock.now(), UnknownReason.STARVED)
    assert found.cause == "the machine was suspended for 600.0 s"
    bench.ticks(10)
    assert len(bench.breaks) == 1


@pytest.mark.parametrize(("jump", "has_gap"), [(3_600_000, True), (-3_600_000, False)])
def test_a_clock_set_is_a_break(jump: int, has_gap: bool) -> None:
    bench = Bench()
    bench.ticks(3)
    bench.clock.set_wall(jump)
    bench.ticks(1)
    (found,) = bench.breaks
    assert (found.gap is not None) is has_gap
    way = "forward" if jump > 0 else "back"
    assert found.cause == f"the clock was set {way} by 3600.0 s"


def test_slewing_is_no_break() -> None:
    bench = Bench()
    for _ in range(100):
        bench.clock.set_wall(50)
        bench.ticks(1)
    assert bench.breaks == []


async def test_the_running_loop_ticks_and_sees_itself_blocked() -> None:
    breaks: list[Break] = []
    lag = LoopLag(Clock(), breaks.append)
    lag.start()
    await asyncio.sleep(0.25)
    assert lag.beats >= 1
    since = time.monotonic()
    time.sleep(0.6)  # noqa: ASYNC251 - blocking the loop is the point
    assert lag.worst_since(since) > 350
    await asyncio.sleep(0.15)
    assert lag.worst_since(since) > 350
    lag.stop()


def test_lag_percentiles_of_the_last_minute() -> None:
    clock = FakeClock()
    lags = Lags(clock)
    for _ in range(980):
        lags.add(0.004)
    for _ in range(20):
        lags.add(1.5)
    stats = lags.stats()
    assert stats.count == 1_000
    assert 4 <= stats.p50_ms < 4.5
    assert 1_400 < stats.p99_ms <= 1_500
    assert stats.max_ms == 1_500
    assert lags.cumulative()[1] == (0.005, 980)
    assert lags.cumulative()[-1][1] == 1_000
    clock.advance(61)
    assert lags.stats().count == 0
    lags.add(0.0)
    assert lags.stats().count == 1


def test_no_lag_yet() -> None:
    stats = Lags(FakeClock()).stats()
    assert (stats.count, stats.p50_ms, stats.p99_ms, stats.max_ms) == (0, 0.0, 0.0, 0.0)
