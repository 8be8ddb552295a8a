"""Limits by the minute: turned off, flooded with names, and with a clock that does odd things."""

from __future__ import annotations

import tracemalloc

from netpulse.config import Limits
from netpulse.web import rates
from netpulse.web.rates import Rate, Rates, Taken


def test_what_is_told() -> None:
    rate = Rate(2)
    assert rate.take("a", 1000) == Taken(2, 1, 65, True)
    assert rate.take("a", 1004) == Taken(2, 0, 61, True)
    assert rate.take("a", 1010) == Taken(2, 0, 55, False)
    # Twenty refusals later it is still as long until the first one no longer counts.
    assert {rate.wait("a", 1011) for _ in range(20)} == {54}
    assert rate.take("a", 1064.9) == Taken(2, 0, 1, False)
    assert rate.take("a", 1065) == Taken(2, 1, 65, True)


def test_no_limit_counts_nothing() -> None:
    rate = Rate(0)
    assert [rate.take("a", 1.0) for _ in range(1000)] == [None] * 1000
    assert rate.wait("a", 1.0) == 0
    assert len(rate) == 0


def test_the_limits_that_can_be_set() -> None:
    made = Rates(
        Limits(
            requests_per_minute=1,
            anonymous_per_minute=2,
            runs_per_minute=3,
            channel_tests_per_minute=4,
        )
    )
    one_each = [made.signed_in, made.strangers, made.runs, made.channel_tests]
    assert [(taken.most if taken else 0) for taken in (rate.take("a", 1) for rate in one_each)] == [
        1,
        2,
        3,
        4,
    ]


def test_a_flood_of_names_takes_nobodys_count_away_and_little_memory() -> None:
    rate = Rate(3)
    assert [rate.wait("busy", 1000) == 0 for _ in range(5)] == [True, True, True, False, False]
    tracemalloc.start()
    for number in range(5 * rates.MOST_NAMES):
        rate.take(f"2001:db8:{number:x}::/64", 1001)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rate) <= rates.MOST_NAMES + rates.SHARED
    assert size < 16 * 1024 * 1024
    assert rate.wait("busy", 1002) > 0, "its count was kept"
    # The crowd shares its counts, and those are used up by now.
    assert rate.wait("a newcomer", 1003) > 0
    # A minute later all of them are forgotten, and everybody has a count of their own.
    assert rate.wait("a newcomer", 1070) == 0
    rate.take("another", 1140)
    assert len(rate) <= 2


def test_who_keeps_asking_is_never_forgotten() -> None:
    rate = Rate(10)
    for second in range(0, 600, 5):
        rate.take("steady", 1000 + second)
        rate.take(f"passing {second}", 1000 + second)
    taken = rate.take("steady", 1600)
    assert taken is not None
    assert taken.left == 0 or not taken.allowed
    assert len(rate) < 60


def test_a_clock_that_jumps_locks_nobody_for_longer_than_a_minute() -> None:
    rate = Rate(1)
    assert rate.wait("a", 1_000_000) == 0
    assert rate.wait("a", 1_000_000) > 0
    for at in (5.0, 10**9, 0.0):
        assert rate.wait("a", at) == 0
        assert 0 < rate.wait("a", at) <= 65
