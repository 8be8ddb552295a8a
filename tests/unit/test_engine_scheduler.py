"""The schedule, driven by hand through virtual time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpulse.engine.clock import Clock
from netpulse.engine.due import Due
from netpulse.engine.scheduler import Scheduler
from netpulse.model.ids import Id, new_id
from netpulse.model.time import Millis
from netpulse.rules.schedule import next_slot, phase_ms
from tests.clock import START, FakeClock

MINUTE = 60_000


class Bench:
    """A schedule whose checks take as long as a test says, in virtual time."""

    def __init__(self, *, limit: int = 100, takes: float = 0.0, clock: FakeClock | None = None):
        self.clock = clock or FakeClock()
        self.takes = takes
        self.begun: list[tuple[Id, Millis | None, float]] = []
        self.lags: list[float] = []
        self.running: list[tuple[float, Due]] = []
        self.hang = False
        # Turns here take no time, whatever the machine does.
        self.schedule = Scheduler(self.clock, self.begin, limit=limit, used=lambda: 0.0)

    def begin(self, due: Due) -> None:
        mono = self.clock.monotonic()
        self.begun.append((due.monitor_id, due.at, mono))
        self.lags.append(mono - due.mono)
        self.running.append((mono + self.takes, due))

    def finish(self) -> None:
        if self.hang:
            return
        mono = self.clock.monotonic()
        for end, due in list(self.running):
            if end <= mono:
                self.running.remove((end, due))
                self.schedule.done(due)

    def run(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass, never further than to the next thing that is planned."""
        until = self.clock.monotonic() + seconds
        while True:
            self.finish()
            delay = self.schedule.turn()
            left = until - self.clock.monotonic()
            if delay == 0 and left > 0:
                if self.running and not self.hang:
                    ends = min(end for end, _ in self.running) - self.clock.monotonic()
                    self.clock.advance(max(0.0, min(ends, step)))
                continue
            if left <= 0:
                return
            self.clock.advance(min(left, step, delay if delay is not None else step) or 1e-6)

    def slots(self, monitor_id: Id) -> list[Millis]:
        return [at for name, at, _ in self.begun if name == monitor_id and at is not None]


def ids(count: int) -> list[Id]:
    """Return ids that are the same each time: where their grids lie is no matter of chance."""
    return [f"monitor-{n}" for n in range(count)]


def put(schedule: Scheduler, one: Id, interval_ms: int, *, within: float | None = None) -> None:
    """Put a monitor on the grid that it would have."""
    schedule.put(one, interval_ms, phase_ms(one, interval_ms), within=within)


def test_a_monitor_keeps_its_grid() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE)
    bench.run(600)
    slots = bench.slots(one)
    assert len(slots) == 10
    assert all(b - a == MINUTE for a, b in pairwise(slots))
    assert all(slot % MINUTE == phase_ms(one, MINUTE) for slot in slots)
    assert max(bench.lags) < 0.002


def test_a_restart_continues_the_grid() -> None:
    (one,) = ids(1)
    before, after = Bench(), Bench(clock=FakeClock(START + 123_456, 5.0))
    for bench in (before, after):
        put(bench.schedule, one, MINUTE)
        bench.run(300)
    assert set(after.slots(one)[:2]) <= set(before.slots(one))


def test_ten_thousand_monitors_spread_evenly() -> None:
    bench = Bench(limit=10_000)
    for one in ids(2_000):
        put(bench.schedule, one, 10_000)
    bench.run(10)
    assert len(bench.begun) == 2_000
    seconds = [0] * 11
    for _, _, mono in bench.begun:
        seconds[int(mono - 1_000)] += 1
    assert max(seconds) < 280


def test_a_new_monitor_is_checked_at_once_and_then_on_its_grid() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE, within=0.0)
    bench.run(0.5)
    assert [(at, mono) for _, at, mono in bench.begun] == [(None, 1_000.0)]
    bench.run(180)
    assert len(bench.slots(one)) == 3


def test_a_running_check_is_skipped_and_counted_never_stacked() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, 10_000)
    bench.hang = True
    bench.run(55)
    assert len(bench.begun) == 1
    assert bench.schedule.running == 1
    assert bench.schedule.skipped in (4, 5)
    bench.hang = False
    bench.run(30)
    assert len(bench.begun) == 4


def test_confirmations_come_off_the_grid_and_the_grid_goes_on() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE)
    bench.run(120)
    bench.schedule.soon(one, 0.5)
    bench.run(1.0)
    assert [at for _, at, _ in bench.begun].count(None) == 1
    bench.run(120)
    slots = bench.slots(one)
    # Where its grid lies is chance: 241 seconds have four of its slots, or five.
    assert len(slots) in {4, 5}
    assert all(after - before == MINUTE for before, after in pairwise(slots))


def test_a_slot_that_is_as_near_serves_as_the_confirmation() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, 10_000)
    bench.schedule.soon(one, 10)
    bench.run(30)
    assert all(at is not None for _, at, _ in bench.begun)


def test_an_extra_check_asked_while_one_runs_comes_right_after_it() -> None:
    bench = Bench(takes=3)
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE, within=0)
    bench.run(1)
    bench.schedule.soon(one, 0.0)
    bench.run(3)
    assert len(bench.begun) == 2
    assert bench.begun[1][2] - bench.begun[0][2] >= 3


def test_when_full_checks_wait_in_order_and_the_lag_is_honest() -> None:
    bench = Bench(limit=10, takes=1)
    names = ids(40)
    for one in names:
        put(bench.schedule, one, MINUTE, within=0)
    bench.run(0.5)
    assert bench.schedule.running == 10
    assert bench.schedule.waiting == 30
    bench.run(4)
    first = [one for one, at, _ in bench.begun if at is None]
    assert first == names
    assert 2.9 < max(bench.lags) < 3.5


def test_past_capacity_all_come_as_often_and_what_is_left_out_is_counted() -> None:
    # Ten a second can be done, twenty are asked for.
    bench = Bench(limit=2, takes=0.2)
    names = ids(200)
    for one in names:
        put(bench.schedule, one, 10_000)
    bench.run(60)
    begun, late, skipped = len(bench.begun), len(bench.lags), bench.schedule.skipped
    waiting = bench.schedule.waiting
    bench.run(60)
    made = Counter(name for name, _, _ in bench.begun[begun:])
    assert set(made) == set(names)
    assert max(made.values()) - min(made.values()) <= 1
    lags = bench.lags[late:]
    # A round takes twenty seconds now, and nobody waits for more than one: it does not grow.
    assert 10 < min(lags) < max(lags) < 25
    assert 450 < sum(made.values()) <= 600
    left_out = 1_200 - (sum(made.values()) + bench.schedule.waiting - waiting)
    assert bench.schedule.skipped - skipped == pytest.approx(left_out, abs=2)
    # The last minute there is counted by whole seconds: of sixty, one to four are over.
    assert 0.9 * left_out <= bench.schedule.left_out.total <= left_out
    assert len(bench.running) <= 2


def test_a_slow_target_is_not_counted_as_too_much_to_do() -> None:
    bench = Bench(takes=25)
    (one,) = ids(1)
    put(bench.schedule, one, 10_000)
    bench.run(60)
    assert bench.schedule.skipped >= 3
    assert bench.schedule.left_out.total == 0


def test_a_busy_loop_begins_fewer_in_a_turn_and_recovers() -> None:
    bench, used = Bench(limit=10_000), 0.0
    bench.schedule = Scheduler(bench.clock, bench.begin, limit=10_000, used=lambda: used)
    for one in ids(400):
        put(bench.schedule, one, MINUTE, within=0)
    in_a_turn = []
    for seconds in [*[0.009] * 6, *[0.001] * 20]:
        begun = len(bench.begun)
        assert bench.schedule.turn() == 0.0
        in_a_turn.append(len(bench.begun) - begun)
        used += seconds
        bench.clock.advance(1.0)  # what passes meanwhile makes no difference
    assert in_a_turn[:7] == [16, 8, 4, 2, 1, 1, 1]
    assert in_a_turn[7:22] == list(range(2, 17))
    assert set(in_a_turn[22:]) == {16}


def test_whoever_can_take_work_over_is_told_while_checks_are_late_and_no_longer() -> None:
    bench, told = Bench(limit=10_000), []
    bench.schedule = Scheduler(
        bench.clock,
        bench.begin,
        limit=10_000,
        used=lambda: 0.0,
        behind=lambda: told.append(len(bench.begun)),
    )
    for one in ids(64):
        put(bench.schedule, one, MINUTE, within=0)
    assert bench.schedule.turn() == 0.0
    assert told == []  # much to do, but nothing late
    bench.clock.advance(0.2)
    assert bench.schedule.turn() == 0.0
    assert bench.schedule.turn() == 0.0
    bench.schedule.turn()
    assert told == [32, 48]
    assert len(bench.begun) == 64


def test_long_turns_of_others_leave_the_checks_their_share() -> None:
    bench, used = Bench(limit=10_000), 0.0
    bench.schedule = Scheduler(bench.clock, bench.begin, limit=10_000, used=lambda: used)
    for one in ids(400):
        put(bench.schedule, one, MINUTE, within=0)
    in_a_turn = []
    for seconds in [*[0.041] * 5, *[0.4] * 3]:
        begun = len(bench.begun)
        assert bench.schedule.turn() == 0.0
        in_a_turn.append(len(bench.begun) - begun)
        used += seconds
    # One for each five milliseconds, and never more than in a short turn.
    assert in_a_turn == [16, 8, 8, 8, 8, 8, 16, 16]


def test_where_those_of_a_kind_are_too_many_no_other_of_them_begins() -> None:
    bench, crowded = Bench(), True
    one, two, other = ids(3)
    bench.schedule = Scheduler(
        bench.clock,
        bench.begin,
        limit=100,
        used=lambda: 0.0,
        crowded=lambda which: crowded and which != other,
    )
    for each in (one, two, other):
        put(bench.schedule, each, MINUTE, within=0)
    for _ in range(3):
        assert bench.schedule.turn() == 0.0
        bench.clock.advance(1)
        bench.finish()
    # Whoever is of another kind begins meanwhile.
    assert [due for due, _, _ in bench.begun] == [other]
    assert bench.schedule.waiting == 2
    assert bench.schedule.overdue(one)
    bench.schedule.remove(two)
    crowded = False
    bench.schedule.turn()
    assert [due for due, _, _ in bench.begun] == [other, one]
    assert bench.lags == [0.0, 3.0]
    assert bench.schedule.waiting == 0


def test_those_that_wait_for_a_place_and_for_their_kind_have_turns_each() -> None:
    bench, crowded = Bench(limit=2, takes=1), True
    both = ids(40)
    kind, others = both[:20], both[20:]
    bench.schedule = Scheduler(
        bench.clock,
        bench.begin,
        limit=2,
        used=lambda: 0.0,
        crowded=lambda which: crowded and which in kind,
    )
    for each in (*kind, *others):
        put(bench.schedule, each, 100 * MINUTE, within=0)
    for _ in range(150):  # the crowd does not go by waiting
        bench.finish()
        bench.schedule.turn()
        bench.clock.advance(0.1)
    assert {which for which, _, _ in bench.begun} == {*others}
    crowded = False
    bench.run(25)
    assert len({which for which, _, _ in bench.begun}) == 40
    assert bench.schedule.waiting == bench.schedule.running == 0


def test_a_clock_set_forward_left_nothing_out() -> None:
    bench = Bench()
    for one in ids(5):
        put(bench.schedule, one, MINUTE)
    bench.run(59)
    bench.clock.set_wall(86_400_000)
    bench.run(60)
    assert bench.schedule.skipped >= 5 * 1_439
    assert bench.schedule.left_out.total == 0


def test_a_monitor_taken_off_while_it_waits_does_not_start() -> None:
    bench = Bench(limit=1, takes=1)
    one, two = ids(2)
    put(bench.schedule, one, MINUTE, within=0)
    put(bench.schedule, two, MINUTE, within=0)
    bench.run(0.5)
    bench.schedule.remove(two)
    bench.run(3)
    assert two not in {name for name, _, _ in bench.begun}
    assert bench.schedule.running == 0


def test_a_change_of_interval_takes_effect_at_once() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, 86_400_000)
    put(bench.schedule, one, 10_000, within=0)
    bench.run(60)
    assert len(bench.slots(one)) == 6


def test_what_is_owed_is_done_by_the_grid_where_that_is_as_near() -> None:
    bench = Bench(limit=1_000)
    every = ids(3_000)
    often, rare = every[:1_500], every[1_500:]
    for one in often:
        put(bench.schedule, one, 10_000)
        bench.schedule.owe(one, 3_000)
    for one in rare:
        put(bench.schedule, one, MINUTE)
        bench.schedule.owe(one, 3_000)
    bench.run(30)
    found: dict[Id, list[Millis | None]] = {one: [] for one in often + rare}
    for name, at, _ in bench.begun:
        found[name].append(at)
    for one in often:
        assert len(bench.slots(one)) == len(found[one]) in {3, 4}
    for one in rare:
        wait = next_slot(START, MINUTE, phase_ms(one, MINUTE)) - START
        if not 29_900 < wait < 30_100:
            assert [at is not None for at in found[one]] == [wait < 30_000]
    seconds = Counter(int(mono) for _, _, mono in bench.begun)
    assert max(seconds.values()) < 300, "as ever: 150 of the one, 50 of the other"


def test_one_that_is_owed_alone_is_checked_at_once() -> None:
    bench = Bench()
    one = next(
        each
        for each in ids(100)
        if next_slot(START, MINUTE, phase_ms(each, MINUTE)) > START + 2_000
    )
    put(bench.schedule, one, MINUTE)
    bench.schedule.owe(one, 1)
    bench.schedule.owe(new_id(START), 1)  # one that was deleted meanwhile
    bench.run(1)
    assert [(name, at) for name, at, _ in bench.begun] == [(one, None)]


def test_one_turn_begins_a_few_only() -> None:
    bench = Bench()
    for one in ids(50):
        put(bench.schedule, one, MINUTE, within=0)
    assert bench.schedule.turn() == 0.0
    assert len(bench.begun) == 16


def test_after_a_pause_slots_coalesce_without_a_burst() -> None:
    bench = Bench(limit=1_000)
    names = ids(600)
    for one in names:
        put(bench.schedule, one, MINUTE)
    bench.run(90)
    begun = len(bench.begun)
    bench.clock.advance(600)  # nothing ran for ten minutes
    bench.schedule.reanchor(set())
    bench.run(1)
    assert len(bench.begun) - begun < 160  # a hundred a second at most, besides the usual ten
    bench.run(60)
    late = {name for name, _, _ in bench.begun[begun:]}
    assert late == set(names)
    assert bench.schedule.skipped >= 600


def test_a_suspended_machine_finds_its_grid_again() -> None:
    bench = Bench()
    hour = 3_600_000
    # One whose slots are not near by chance: neither now nor, two hours later, then.
    one = next(
        each
        for each in ids(100)
        if 600_000 < next_slot(START, hour, phase_ms(each, hour)) - START < 3_000_000
    )
    put(bench.schedule, one, hour)
    bench.run(10)
    bench.clock.suspend(7_200)
    bench.schedule.reanchor(set())
    bench.run(70)
    assert len(bench.begun) == 1  # owed, within a minute
    bench.run(3_600)
    assert len(bench.slots(one)) == 1
    assert bench.slots(one)[0] <= bench.clock.now()


def test_the_clock_set_back_neither_doubles_nor_misses() -> None:
    for jump in (-3_600_000, 3_600_000, -315_360_000_000, -1_500, 1_500):
        bench = Bench()
        (one,) = ids(1)
        put(bench.schedule, one, MINUTE)
        bench.run(300)
        begun = len(bench.begun)
        bench.clock.set_wall(jump)
        if abs(jump) > 2_000:
            bench.schedule.reanchor(set())
        bench.run(600)
        # A clock that goes back 1.5 s may put a slot just behind the end.
        least = 9 if jump == -1_500 else 10
        assert least <= len(bench.begun) - begun <= 11
        gaps = [b[2] - a[2] for a, b in pairwise(bench.begun)]
        assert max(gaps) <= 121
        slots = bench.slots(one)[-8:]
        assert all(abs(at - bench.clock.now()) < 600_000 for at in slots)


def test_the_clock_jumping_without_notice_keeps_the_rhythm() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE)
    bench.run(300)
    bench.clock.set_wall(-3_600_000)
    bench.run(300)
    gaps = [b[2] - a[2] for a, b in pairwise(bench.begun)]
    assert len(bench.begun) == 10
    assert max(gaps) < 61


def test_dropped_checks_are_owed() -> None:
    bench = Bench(takes=5)
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE, within=0)
    bench.run(1)
    bench.clock.advance(6)
    _, due = bench.running.pop()
    bench.schedule.reanchor({one})
    bench.schedule.done(due)
    bench.run(2)
    assert len(bench.begun) == 2


def test_full_descriptors_make_it_run_fewer_at_once() -> None:
    bench = Bench(limit=100, takes=1)
    for one in ids(300):
        put(bench.schedule, one, MINUTE, within=0)
    bench.run(0.5)
    bench.schedule.ease()
    assert bench.schedule.limit == min(100, bench.schedule.running) * 3 // 4
    bench.run(30)
    assert bench.schedule.limit == 100


def test_a_lost_place_is_restored() -> None:
    bench = Bench()
    (one,) = ids(1)
    put(bench.schedule, one, MINUTE)
    assert not bench.schedule.restore(one, MINUTE, phase_ms(one, MINUTE))
    bench.schedule.remove(one)
    assert bench.schedule.restore(one, MINUTE, phase_ms(one, MINUTE))
    bench.run(0.1)
    assert len(bench.begun) == 1


def test_begin_that_raises_harms_nobody_else() -> None:
    clock = FakeClock()
    begun: list[Id] = []
    one, two = ids(2)

    def begin(due: Due) -> None:
        if due.monitor_id == one:
            raise RuntimeError("poisoned")
        begun.append(due.monitor_id)
        schedule.done(due)

    schedule = Scheduler(clock, begin, limit=4)
    put(schedule, one, 10_000, within=0)
    put(schedule, two, 10_000, within=0)
    schedule.turn()
    assert begun == [two]
    assert schedule.running == 0


@settings(max_examples=40)
@given(
    intervals=st.lists(st.integers(10, 120), min_size=1, max_size=8),
    takes=st.floats(0, 30),
    limit=st.integers(1, 8),
)
def test_nothing_is_ever_stacked_and_slots_are_told_once(
    intervals: list[int], takes: float, limit: int
) -> None:
    bench = Bench(limit=limit, takes=takes)
    names = ids(len(intervals))
    for one, seconds in zip(names, intervals, strict=True):
        put(bench.schedule, one, seconds * 1_000)
    for _ in range(30):
        bench.run(10, step=1.0)
        active = [due.monitor_id for _, due in bench.running]
        assert len(active) == len(set(active)) <= limit
    for one, seconds in zip(names, intervals, strict=True):
        slots = bench.slots(one)
        assert slots == sorted(set(slots))
        expected = 300 / seconds
        assert len(slots) <= expected + 1
    started = sum(len(bench.slots(one)) for one in names)
    planned = sum(300 / seconds for seconds in intervals)
    waiting = bench.schedule.waiting
    assert abs(started + waiting + bench.schedule.skipped - planned) <= len(names) + waiting


async def test_the_loop_drives_it_and_a_change_wakes_it() -> None:
    begun: list[Id] = []

    def begin(due: Due) -> None:
        begun.append(due.monitor_id)
        schedule.done(due)

    schedule = Scheduler(Clock(), begin, limit=4)
    schedule.start()
    await asyncio.sleep(0.01)
    (one,) = ids(1)
    put(schedule, one, 86_400_000, within=0)
    await asyncio.sleep(0.05)
    assert begun == [one]
    schedule.soon(one, 0.02)
    await asyncio.sleep(0.1)
    assert begun == [one, one]
    schedule.stop()


def test_it_costs_little() -> None:
    """A thousand checks a second, for a virtual ten seconds: a small share of one core."""
    clock = FakeClock()
    schedule = Scheduler(clock, lambda due: schedule.done(due), limit=1_000)
    for one in ids(10_000):
        put(schedule, one, 10_000)
    began = time.process_time()
    ended = clock.monotonic() + 10
    while clock.monotonic() < ended:
        if schedule.turn() != 0.0:
            clock.advance(0.002)
    assert time.process_time() - began < 2.0
