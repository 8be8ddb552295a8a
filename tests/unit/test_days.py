"""The days of a bar: what names each, and that none is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules.days import Day, days, runs
from netpulse.web.pages.rows import day_text

FIRST: Millis = 19_000 * DAY
UP, DOWN, SLOW, PAUSED = Status.UP, Status.DOWN, Status.DEGRADED, Status.PAUSED
STOPPED = UnknownReason.STOPPED


def span(at: Millis, status: Status, incident: str | None = None) -> Span:
    reason = UnknownReason.PAUSED if status is PAUSED else None
    return Span(FIRST + at, status, reason, incident)


def gap(start: Millis, end: Millis) -> Gap:
    return Gap(FIRST + start, FIRST + end, STOPPED)


NOON = 12 * HOUR
ONE_DAY = [
    ("up all day", [span(-DAY, UP)], [], "up"),
    ("up since noon", [span(NOON, UP)], [], "up"),
    ("down for a second", [span(-DAY, UP), span(NOON, DOWN, "i"), span(NOON + SECOND, UP)], [], "down"),
    ("down for less than a second", [span(-DAY, UP), span(NOON + 1, DOWN, "i"), span(NOON + 2, UP)], [], "up"),
    ("down since before", [span(-DAY, DOWN, "i")], [], "down"),
    ("degraded for a minute", [span(-DAY, UP), span(NOON, SLOW), span(NOON + MINUTE, UP)], [], "degraded"),
    ("degraded and down", [span(-DAY, SLOW), span(NOON, DOWN, "i"), span(NOON + MINUTE, UP)], [], "down"),
    ("down while paused most of the day", [span(-DAY, PAUSED), span(23 * HOUR, DOWN, "i")], [], "down"),
    ("in maintenance", [span(-DAY, UP), span(NOON, Status.MAINTENANCE), span(NOON + HOUR, UP)], [], "maintenance"),
    ("paused all day", [span(-DAY, PAUSED)], [], "paused"),
    ("paused for an hour", [span(-DAY, UP), span(NOON, PAUSED), span(NOON + HOUR, UP)], [], "up"),
    ("a restart of ours", [span(-DAY, UP)], [gap(NOON, NOON + MINUTE)], "up"),
    ("we were off for an hour", [span(-DAY, UP)], [gap(NOON, NOON + HOUR)], "unknown"),
    ("we were off all day", [span(-DAY, UP)], [gap(-HOUR, DAY + HOUR)], "unknown"),
    ("off while it was down", [span(-DAY, DOWN, "i")], [gap(-HOUR, DAY + HOUR)], "unknown"),
    ("pending all day", [span(-DAY, Status.PENDING)], [], "unknown"),
    ("before there was anything", [], [], "none"),
    ("before its first span", [span(2 * DAY, UP)], [], "none"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "spans", "gaps", "status"), ONE_DAY)
def test_what_names_a_day(what: str, spans: list[Span], gaps: list[Gap], status: str) -> None:
    (day,) = days(FIRST, 1, spans, gaps, FIRST + 10 * DAY)

    assert day.start == FIRST
    assert day.status == status, what


def test_a_row_of_days() -> None:
    spans = [
        span(DAY + NOON, UP),
        span(2 * DAY + NOON, DOWN, "i1"),
        span(2 * DAY + NOON + 90 * SECOND, UP),
        span(2 * DAY + 20 * HOUR, DOWN, "i2"),
        span(3 * DAY + HOUR, UP),
        span(4 * DAY + HOUR, SLOW),
        span(4 * DAY + HOUR + MINUTE, UP),
    ]

    found = days(FIRST, 8, spans, [], FIRST + 5 * DAY + HOUR)

    assert [day.status for day in found] == [
        "none",
        "up",
        "down",
        "down",
        "degraded",
        "up",
        "none",
        "none",
    ]
    assert found[2] == Day(
        start=FIRST + 2 * DAY,
        status="down",
        up_seconds=20 * 3600 - 90,
        down_seconds=90 + 4 * 3600,
        outages=2,
        moments=(
            (FIRST + 2 * DAY + NOON, FIRST + 2 * DAY + NOON + 90 * SECOND),
            (FIRST + 2 * DAY + 20 * HOUR, None),
        ),
    )
    assert found[3] == Day(
        start=FIRST + 3 * DAY,
        status="down",
        up_seconds=23 * 3600,
        down_seconds=3600,
        outages=1,
        moments=((FIRST + 3 * DAY, FIRST + 3 * DAY + HOUR),),
    )
    assert found[4].degraded_seconds == 60
    assert runs(found) == [("none", 1), ("up", 1), ("down", 2), ("degraded", 1), ("up", 1), ("none", 2)]  # fmt: skip


def test_a_day_that_has_not_ended_counts_until_now() -> None:
    (day,) = days(FIRST, 1, [span(-DAY, UP), span(NOON, DOWN, "i")], [], FIRST + NOON + MINUTE)

    assert (day.status, day.down_seconds, day.outages) == ("down", 60, 1)
    assert day.moments == ((FIRST + NOON, None),)


FOUR = (
    "2022-01-08: down for 4 h (4 outages, UTC: 01:00 to 02:00, 03:00 to 04:00, 05:00 to 06:00, …)"
)


@pytest.mark.parametrize(
    ("outages", "said"),
    [
        ([(12, 13)], "2022-01-08: down for 1 h (1 outage, UTC: 12:00 to 13:00)"),
        ([(23, 24)], "2022-01-08: down for 1 h (1 outage, UTC: from 23:00 on)"),
        (
            [(hour, hour + 1) for hour in range(1, 9, 2)],
            FOUR,
        ),
        ([(0, 24)], "2022-01-08: down for 1 d (1 outage)"),
    ],
)
def test_a_day_in_words(outages: list[tuple[int, int]], said: str) -> None:
    spans = [span(-DAY, UP)]
    for number, (start, end) in enumerate(outages):
        spans += [span(start * HOUR, DOWN, f"i{number}"), span(end * HOUR, UP)]

    (day,) = days(FIRST, 1, spans, [], FIRST + 2 * DAY)

    assert day_text(day) == said


def test_no_days_have_no_runs() -> None:
    assert days(FIRST, 0, [], [], FIRST) == []
    assert runs([]) == []


offsets = st.integers(-2 * DAY // SECOND, 12 * DAY // SECOND).map(lambda n: n * SECOND)


@st.composite
def lives(draw: st.DrawFn) -> list[Span]:
    moments = sorted(draw(st.lists(offsets, max_size=15, unique=True)))
    statuses = draw(
        st.lists(st.sampled_from([*Status]), min_size=len(moments), max_size=len(moments))
    )
    # Spans begin with the one in force at the first day, if there is one.
    found = [
        span(at, status, f"i{at}" if status is DOWN else None)
        for at, status in zip(moments, statuses, strict=True)
    ]
    before = [one for one in found if one.at <= FIRST]
    return [*before[-1:], *(one for one in found if one.at > FIRST)]


@given(lives(), st.integers(0, 12), offsets, offsets, offsets)
def test_no_day_is_lost_and_none_hides_an_outage(
    spans: list[Span], count: int, begin: int, finish: int, now: int
) -> None:
    gaps = [gap(min(begin, finish), max(begin, finish))]

    found = days(FIRST, count, spans, gaps, FIRST + now)

    assert [day.start for day in found] == [FIRST + n * DAY for n in range(count)]
    named = runs(found)
    assert sum(length for _, length in named) == count
    assert all(length > 0 for _, length in named)
    assert all(one[0] != other[0] for one, other in itertools.pairwise(named))
    for day in found:
        assert (day.status == "down") == (day.down_seconds > 0)
        assert (day.outages > 0) == (day.down_seconds > 0)
        assert day.down_seconds + day.degraded_seconds <= DAY // SECOND
        assert day.status in {"up", "degraded", "down", "maintenance", "paused", "unknown", "none"}
        if day.start >= FIRST + now:
            assert day.status == "none"
