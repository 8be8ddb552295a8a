"""The laws of a limit by the minute, held against a list of every moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpulse.web.rates import SLICE_SECONDS, WINDOW_SECONDS, Rate

waits = st.lists(
    st.one_of(
        st.just(0.0),
        st.floats(0, 3, allow_nan=False),
        st.floats(0, 2 * WINDOW_SECONDS, allow_nan=False),
    ),
    max_size=120,
)
limits = st.integers(1, 8)
starts = st.floats(0, 10**7, allow_nan=False)


def within(moments: list[float], at: float, seconds: float) -> int:
    return sum(1 for moment in moments if at - seconds < moment <= at)


@given(limits, starts, waits)
def test_never_more_than_the_limit_within_any_sixty_seconds(
    most: int, at: float, pauses: list[float]
) -> None:
    rate, passed = Rate(most), list[float]()
    for pause in pauses:
        at += pause
        taken = rate.take("somebody", at)
        assert taken is not None
        if taken.allowed:
            passed.append(at)
        # Every sixty seconds that end with a request are all that could hold too many.
        assert within(passed, at, WINDOW_SECONDS) <= most
        assert taken.most == most
        assert 0 <= taken.left <= most - within(passed, at, WINDOW_SECONDS)


@given(limits, starts, waits)
def test_nobody_waits_longer_than_told_and_not_much_longer_than_needed(
    most: int, at: float, pauses: list[float]
) -> None:
    rate, passed = Rate(most), list[float]()
    for pause in pauses:
        at += pause
        taken = rate.take("somebody", at)
        assert taken is not None
        if taken.allowed:
            passed.append(at)
            continue
        # Sixty-five seconds hold a limit's worth: it was not refused for nothing.
        assert within(passed, at, WINDOW_SECONDS + SLICE_SECONDS) >= most
        assert 1 <= taken.reset <= WINDOW_SECONDS + SLICE_SECONDS
        at += taken.reset
        assert rate.wait("somebody", at) == 0
        passed.append(at)


@given(limits, starts, waits, st.lists(st.sampled_from("abc"), max_size=120))
def test_names_do_not_know_each_other(
    most: int, at: float, pauses: list[float], names: list[str]
) -> None:
    together, alone = Rate(most), {name: Rate(most) for name in "abc"}
    for pause, name in zip(pauses, names, strict=False):
        at += pause
        assert together.take(name, at) == alone[name].take(name, at)
