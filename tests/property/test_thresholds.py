"""A window kept by its streak alone says what the whole history would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.alert import Rule
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.watch import Status
from netpulse.rules import condition
from netpulse.rules.gauges import Gauge
from netpulse.rules.thresholds import Sight, Standing

WINDOW = 5 * MINUTE
CONDITION = "response_time_ms > 800 for 5m"
(TERM,) = condition.parse(CONDITION).terms
RULE = Rule(
    id="rule",
    org_id="org",
    name="Slow",
    channel_id="channel",
    condition=CONDITION,
    created_at=0,
)

checks = st.lists(
    st.tuples(st.integers(30, 290), st.sampled_from([900, 900, 900, 900, 900, 100, None])),
    max_size=60,
)
"""Seconds since the check before, less than a window, and its response time."""


def slow(history: list[tuple[Millis, int | None]]) -> bool:
    """Tell whether all of the last five minutes was slow, by all that is known."""
    at = history[-1][0]
    recent = [value for when, value in history if when >= at - WINDOW]
    before = [value for when, value in history if when <= at - WINDOW]
    # What the window begins with is the last check at its beginning or before.
    known = [*before[-1:], *recent]
    return bool(before) and all(value is not None and value > 800 for value in known)


def turned(gauge: Gauge, at: Millis, value: int | None) -> bool | None:
    """Take a check in; return True when it began, False when it ended, else None."""
    sight = Sight(at=at, status=Status.UP, response_time_ms=value)
    turn = gauge.turn("monitor", 60 * SECOND, sight, at)
    if turn is None:
        return None
    kept: Standing | None = None if turn.ended else turn.standing
    gauge.take({turn.standing.key: kept}, turn)
    return not turn.ended


@given(checks)
def test_a_window_says_what_the_history_says(steps: list[tuple[int, int | None]]) -> None:
    gauge = Gauge(RULE, TERM, None)
    history: list[tuple[Millis, int | None]] = []
    at, was = 0, False
    for seconds, value in steps:
        at += seconds * SECOND
        history.append((at, value))
        turn = turned(gauge, at, value)
        met = value is not None and value > 800
        if slow(history):
            assert turn is (None if was else True)
            was = True
        elif was:
            assert turn is False
            assert not met
            was = False
        else:
            assert turn is None
        assert (gauge.standing is not None) == was


@given(steps=checks, restarts=st.sets(st.integers(0, 59)))
def test_restarts_neither_repeat_nor_lose_an_end(
    steps: list[tuple[int, int | None]], restarts: set[int]
) -> None:
    gauge = Gauge(RULE, TERM, None)
    at, turns = 0, []
    for number, (seconds, value) in enumerate(steps):
        if number in restarts:
            gauge = Gauge(RULE, TERM, gauge.standing)
        at += seconds * SECOND
        turn = turned(gauge, at, value)
        if turn is not None:
            turns.append(turn)
            # It begins at a slow check and ends at one that is not, whatever was forgotten.
            assert turn is (value == 900)
        assert gauge.standing is None or value == 900
    assert turns == [number % 2 == 0 for number in range(len(turns))]
