"""The laws of the grid."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.ids import new_id
from netpulse.rules.schedule import (
    LIGHT_STEP_MS,
    STEP_MS,
    next_slot,
    phase_ms,
    slot_at_or_before,
    vouched_until,
)

moments = st.integers(-(2**41), 2**42)
intervals = st.integers(1, 365 * 86_400_000)
phases = st.integers(0, 2**40)


@given(moments, intervals, phases)
def test_due_is_after_now_and_within_an_interval(now: int, interval: int, phase: int) -> None:
    due = next_slot(now, interval, phase)

    assert now < due <= now + interval
    assert (due - phase) % interval == 0


@given(moments, intervals, phases)
def test_the_last_slot_is_one_interval_before_the_next(now: int, interval: int, phase: int) -> None:
    last = slot_at_or_before(now, interval, phase)

    assert last <= now < last + interval
    assert next_slot(now, interval, phase) == last + interval
    assert slot_at_or_before(last, interval, phase) == last


@given(moments, intervals, phases, st.integers(0, 86_400_000))
def test_a_restart_continues_the_grid(now: int, interval: int, phase: int, later: int) -> None:
    """Whenever it is asked again before the next slot, the answer is the same."""
    due = next_slot(now, interval, phase)

    assert next_slot(now + later % (due - now), interval, phase) == due


@given(moments, intervals, phases, st.integers(0, 86_400_000))
def test_a_verdict_vouches_past_the_next_slot(
    due: int, interval: int, phase: int, timeout: int
) -> None:
    until = vouched_until(due, interval, phase, timeout)

    assert due + timeout < until <= due + interval + timeout


@given(st.uuids(), intervals)
def test_a_phase_is_within_the_interval_and_on_a_step(monitor_id: object, interval: int) -> None:
    for step in (STEP_MS, LIGHT_STEP_MS):
        phase = phase_ms(str(monitor_id), interval, step)
        assert 0 <= phase < interval
        assert phase % step == 0


def test_ten_thousand_monitors_made_together_are_spread_evenly() -> None:
    made_at = 1_700_000_000_000
    ids = [new_id(made_at + number // 100) for number in range(10_000)]

    for interval in (10_000, 60_000, 3_600_000):
        tenths = Counter(phase_ms(one, interval) * 10 // interval for one in ids)
        hundredths = Counter(phase_ms(one, interval) * 100 // interval for one in ids)
        # 1,000 expected each, standard deviation 30; and 100 each, standard deviation 10.
        assert all(800 <= tenths[part] <= 1_200 for part in range(10))
        assert all(40 <= hundredths[part] <= 170 for part in range(100))
