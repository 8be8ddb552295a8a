"""Days as a clock on the wall has them: of 23 hours and of 25, of half an hour more, of a zone that
changed, none at all, and the last of a year. The account of each is all of its seconds, however
many they are, and the days of a week are the week.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.maintenance import Schedule, Window
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules.days import days
from netpulse.rules.maintenance import merged, moment_of, windows
from netpulse.rules.uptime import Account, account

# The day, its zone, and how many hours it has.
ODD_DAYS = [
    ("2026-03-29", "Europe/Berlin", 23.0),
    ("2026-10-25", "Europe/Berlin", 25.0),
    ("2026-03-08", "America/New_York", 23.0),
    ("2026-11-01", "America/New_York", 25.0),
    ("2026-04-05", "Australia/Lord_Howe", 24.5),
    ("2026-10-04", "Australia/Lord_Howe", 23.5),
    ("2014-10-26", "Europe/Moscow", 25.0),  # another zone from then on
    ("2011-12-30", "Pacific/Apia", 0.0),  # which went over to the other side of the date line
    ("2026-12-31", "Europe/Berlin", 24.0),
    ("2026-12-31", "Pacific/Kiritimati", 24.0),
    ("2028-02-29", "UTC", 24.0),
]
WEEK = 7


def midnights(day: str, zone: str) -> list[Millis]:
    """Return when the days of the week around `day` begin, and when the last one ends."""
    first = datetime.fromisoformat(day) - timedelta(days=WEEK // 2)
    return [moment_of(first + timedelta(days=number), zone) for number in range(WEEK + 1)]


def parts(of: Account) -> list[int]:
    return [
        of.up_seconds,
        of.degraded_seconds,
        of.down_seconds,
        of.maintenance_seconds,
        *of.unknown_reasons.values(),
    ]


moments = st.integers(-12 * HOUR // SECOND, 8 * DAY // SECOND).map(lambda at: at * SECOND)
stretches = st.lists(st.tuples(moments, moments).map(sorted), max_size=4)


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Millis, Status]]:
    ats = sorted(draw(st.lists(moments, max_size=12, unique=True)))
    return [(at, draw(st.sampled_from([*Status]))) for at in ats]


@given(st.sampled_from(ODD_DAYS), lives(), stretches, stretches, st.integers(0, 23 * 60))
def test_every_second_of_a_local_day_is_in_one_part(
    odd: tuple[str, str, float],
    life: list[tuple[Millis, Status]],
    unwatched: list[list[Millis]],
    maintained: list[list[Millis]],
    minute: int,
) -> None:
    day, zone, hours = odd
    begins = midnights(day, zone)
    first, end = begins[0], begins[-1]
    known = [
        Span(first + at, status, None, f"i{at}" if status is Status.DOWN else None)
        for at, status in life
    ]
    gaps = [Gap(first + one, first + two, UnknownReason.STOPPED) for one, two in unwatched]
    # Somebody's own window each day, by the clock on the wall, besides those that came once.
    daily = Schedule(
        starts_at=first - DAY,
        duration_minutes=45,
        timezone=zone,
        cron=f"{minute % 60} {minute // 60} * * *",
    )
    held = merged(
        [Window(first + one, first + two) for one, two in maintained]
        + [one for one in windows(daily, first, WEEK + 2) if one.start < end]
    )
    now = end + HOUR

    found = [account(start, finish, known, gaps, now, held) for start, finish in pairwise(begins)]

    lengths = [(finish - start) // SECOND for start, finish in pairwise(begins)]
    assert lengths[WEEK // 2] == hours * HOUR // SECOND
    assert [one.period_seconds for one in found] == lengths
    assert [sum(parts(one)) for one in found] == lengths
    week = account(first, end, known, gaps, now, held)
    assert [sum(column) for column in zip(*map(parts, found), strict=True)] == parts(week)
    assert sum(one.duration_seconds for one in week.outages) == week.down_seconds


@pytest.mark.parametrize(("day", "zone", "hours"), [odd for odd in ODD_DAYS if odd[2]])
@pytest.mark.parametrize("clock", [(0, 0), (1, 30), (2, 30), (3, 0), (22, 59)])
def test_a_daily_window_is_there_once_on_each_local_day(
    day: str, zone: str, hours: float, clock: tuple[int, int]
) -> None:
    """Also on the day that has no such time, or has it twice."""
    begins = midnights(day, zone)
    hour, minute = clock
    daily = Schedule(
        starts_at=begins[0] - DAY,
        duration_minutes=60,
        timezone=zone,
        cron=f"{minute} {hour} * * *",
    )
    held = windows(daily, begins[0], WEEK + 1)
    up = [Span(begins[0] - DAY, Status.UP)]
    for start, finish in pairwise(begins):
        one = account(start, finish, up, [], finish, held)
        assert one.maintenance_seconds == HOUR // SECOND
        assert one.up_seconds == (finish - start - HOUR) // SECOND
    assert (begins[WEEK // 2 + 1] - begins[WEEK // 2]) / HOUR == hours


@pytest.mark.parametrize("year", [2026, 2027, 2028])
def test_the_bars_over_the_end_of_a_year_are_its_time(year: int) -> None:
    """A bar's day is a day of UTC: 86,400 seconds, whatever a clock on the wall does; its parts are
    those of the time from the first bar to the last."""
    first = moment_of(datetime(year, 12, 1), "UTC")  # noqa: DTZ001 -- as a clock shows it
    known = [Span(first - DAY, Status.UP)]
    for number in range(0, 62 * 24, 7):
        at = first + number * HOUR + 59 * MINUTE
        status = (Status.DOWN, Status.DEGRADED, Status.UP)[number % 3]
        known.append(Span(at, status, None, f"i{number}" if status is Status.DOWN else None))
    gaps = [Gap(first + 30 * DAY + 23 * HOUR, first + 31 * DAY + HOUR, UnknownReason.STOPPED)]

    bars = days(first, 62, known, gaps, first + 62 * DAY)

    whole = account(first, first + 62 * DAY, known, gaps, first + 62 * DAY)
    assert [bar.start for bar in bars] == [first + number * DAY for number in range(62)]
    assert sum(bar.up_seconds for bar in bars) == whole.up_seconds
    assert sum(bar.degraded_seconds for bar in bars) == whole.degraded_seconds
    assert sum(bar.down_seconds for bar in bars) == whole.down_seconds
    watched = whole.up_seconds + whole.degraded_seconds + whole.down_seconds
    assert watched == 62 * DAY // SECOND - 2 * HOUR // SECOND
