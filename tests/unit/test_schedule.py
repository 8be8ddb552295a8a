"""The grid of a monitor."""

from __future__ import annotations

from netpulse.rules.schedule import next_slot, phase_ms, slot_at_or_before, vouched_until


def test_a_grid_by_hand() -> None:
    assert slot_at_or_before(60_000, 60_000, 0) == 60_000
    assert slot_at_or_before(59_999, 60_000, 0) == 0
    assert slot_at_or_before(60_000, 60_000, 1) == 1
    assert next_slot(60_000, 60_000, 0) == 120_000
    assert next_slot(59_999, 60_000, 0) == 60_000


def test_the_phase_is_the_same_for_ever() -> None:
    monitor_id = "01890a5d-ac96-774b-bcce-b302099a8057"

    assert phase_ms(monitor_id, 60_000) == 33_270
    assert phase_ms(monitor_id, 10_000) == 3_270


def test_a_verdict_vouches_until_its_next_slot_and_the_timeout() -> None:
    assert vouched_until(60_000, 60_000, 0, 10_000) == 130_000
    # A check off the grid (a retry) vouches no longer than until the next slot on it.
    assert vouched_until(70_000, 60_000, 0, 10_000) == 130_000
