"""Quiet hours by the clock of a time zone, at both edges of summer time too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.alert import QuietHours
from netpulse.model.time import HOUR, MINUTE, Millis, parse_rfc3339
from netpulse.rules.quiet import until

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def at(text: str) -> Millis:
    return parse_rfc3339(text)


def quiet(start: str, end: str, zone: str = "UTC", days: str = "mon tue wed thu fri sat sun"):
    return QuietHours(days=tuple(days.split()), start=start, end=end, timezone=zone)


@pytest.mark.parametrize(
    ("hours", "moment", "end"),
    [
        # 2026-11-24 is a Tuesday.
        (quiet("22:00", "07:00"), "2026-11-24T21:59:59.999Z", None),
        (quiet("22:00", "07:00"), "2026-11-24T22:00:00Z", "2026-11-25T07:00:00Z"),
        (quiet("22:00", "07:00"), "2026-11-25T06:59:59.999Z", "2026-11-25T07:00:00Z"),
        (quiet("22:00", "07:00"), "2026-11-25T07:00:00Z", None),
        (quiet("09:00", "17:00"), "2026-11-24T12:00:00Z", "2026-11-24T17:00:00Z"),
        # the days are those on which it begins
        (quiet("22:00", "07:00", days="tue"), "2026-11-25T03:00:00Z", "2026-11-25T07:00:00Z"),
        (quiet("22:00", "07:00", days="tue"), "2026-11-24T03:00:00Z", None),
        (quiet("22:00", "07:00", days="mon"), "2026-11-24T22:30:00Z", None),
        # by the zone's clock and the zone's day
        (quiet("22:00", "07:00", NEW_YORK), "2026-11-25T02:59:00Z", None),
        (quiet("22:00", "07:00", NEW_YORK), "2026-11-25T03:00:00Z", "2026-11-25T12:00:00Z"),
        (quiet("00:00", "06:00", "Asia/Kolkata", "wed"), "2026-11-24T18:30:00Z",
         "2026-11-25T00:30:00Z"),
        # stretches that follow each other are one
        (quiet("18:00", "18:00", days="fri sat"), "2026-11-27T20:00:00Z", "2026-11-29T18:00:00Z"),
    ],
)  # fmt: skip
def test_when_it_is_quiet(hours: QuietHours, moment: str, end: str | None) -> None:
    assert until(hours, at(moment)) == (None if end is None else at(end))


@pytest.mark.parametrize(
    ("zone", "before", "jump"),
    [
        # 2026-03-29: 01:59:59 CET is followed by 03:00 CEST, which is 01:00 UTC
        (BERLIN, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
        # 2026-03-08: 01:59:59 EST is followed by 03:00 EDT, which is 07:00 UTC
        (NEW_YORK, "2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z"),
    ],
)
def test_a_time_that_the_clock_skips_is_the_moment_of_the_jump(
    zone: str, before: str, jump: str
) -> None:
    assert until(quiet("01:00", "02:30", zone), at(before)) == at(jump)
    assert until(quiet("01:00", "02:30", zone), at(jump)) is None
    assert until(quiet("02:30", "04:00", zone), at(jump) - 1) is None
    assert until(quiet("02:30", "04:00", zone), at(jump)) == at(jump) + HOUR
    # Both of its ends are skipped: this day has no such hours.
    assert until(quiet("02:10", "02:50", zone), at(jump)) is None
    assert until(quiet("02:10", "02:50", zone), at(jump) - 1) is None


@pytest.mark.parametrize(
    ("zone", "clock", "first"),
    [
        # 2026-10-25: the hour from 02:00 comes twice, first as CEST: 02:30 is 00:30 UTC
        (BERLIN, "02:30", "2026-10-25T00:30:00Z"),
        # 2026-11-01: the hour from 01:00 comes twice, first as EDT: 01:30 is 05:30 UTC
        (NEW_YORK, "01:30", "2026-11-01T05:30:00Z"),
    ],
)
def test_a_time_that_comes_twice_is_the_first_of_them(zone: str, clock: str, first: str) -> None:
    ends = quiet("00:15", clock, zone)
    assert until(ends, at(first) - 1) == at(first)
    assert until(ends, at(first)) is None
    assert until(ends, at(first) + HOUR - 1) is None

    begins = quiet(clock, "06:00", zone)
    assert until(begins, at(first) - 1) is None
    end = until(begins, at(first))
    assert end is not None
    wall = 6 * HOUR - (int(clock[:2]) * HOUR + int(clock[3:]) * MINUTE)
    assert end - at(first) == wall + HOUR


def test_a_night_over_either_edge_ends_when_the_clock_says_so() -> None:
    night = quiet("22:00", "07:00", BERLIN)

    assert until(night, at("2026-03-28T21:00:00Z")) == at("2026-03-29T05:00:00Z")  # 8 hours
    assert until(night, at("2026-10-24T20:00:00Z")) == at("2026-10-25T06:00:00Z")  # 10 hours


def test_one_that_never_ends_ends_for_us() -> None:
    end = until(quiet("08:00", "08:00"), at("2026-11-24T12:00:00Z"))

    assert end is not None
    assert end > at("2026-11-24T12:00:00Z")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_zone_that_nobody_knows_silences_nothing(zone: str) -> None:
    assert until(quiet("00:00", "23:59", zone), at("2026-11-24T12:00:00Z")) is None


clocks = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.integers(0, 59))


@given(
    clocks,
    clocks,
    st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.sets(st.sampled_from(["mon", "wed", "sun"]), min_size=1),
    st.integers(at("2026-01-01T00:00:00Z"), at("2027-12-31T00:00:00Z")),
)
def test_its_end_is_after_it_and_the_first_moment_that_is_not_quiet(
    start: str, end: str, zone: str, days: set[str], now: Millis
) -> None:
    hours = QuietHours(days=tuple(days), start=start, end=end, timezone=zone)
    found = until(hours, now)

    if found is not None:
        assert now < found <= now + 3 * 25 * HOUR
        assert until(hours, found - 1) == found
        assert until(hours, found) is None
