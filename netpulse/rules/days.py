"""A monitor's days, for the bars: which state a day was in, and how long it was down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.maintenance import Window
from netpulse.model.time import DAY, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules.uptime import Account, account

UNWATCHED_SHARE = 0.01
"""A day of which more than this is unknown is shown as such; less is a restart or two."""


class Day(Struct, frozen=True, kw_only=True):
    """One UTC day of a monitor."""

    start: Millis
    status: str
    """up, degraded, down, maintenance, paused, unknown, or none before there was anything."""
    up_seconds: int = 0
    down_seconds: int = 0
    degraded_seconds: int = 0
    outages: int = 0
    moments: tuple[tuple[Millis, Millis | None], ...] = ()
    """From when to when its first outages were, within the day; None: beyond its end, or now."""


MOST_MOMENTS = 3


def days(
    first: Millis,
    count: int,
    spans: Sequence[Span],
    gaps: Sequence[Gap],
    now: Millis,
    maintained: Sequence[Window] = (),
) -> list[Day]:
    """Return `count` days from the one that begins at `first` (a UTC midnight, Unix ms).

    `spans` begin with the one in force at `first`, if any. The worst state names a day: a minute
    down makes it a day with downtime.
    """
    holes, windows = _by_day(first, count, gaps), _by_day(first, count, maintained)
    found = []
    at = 0
    for number in range(count):
        start = first + number * DAY
        end = start + DAY
        while at + 1 < len(spans) and spans[at + 1].at <= start:
            at += 1
        is_whole = (
            end <= now
            and at < len(spans)
            and spans[at].at <= start
            and (at + 1 == len(spans) or spans[at + 1].at >= end)
            and number not in windows
        )
        if is_whole and number not in holes:
            # Most days of most monitors are one state from end to end.
            found.append(_whole(start, spans[at].status))
        elif is_whole and spans[at].status is Status.UP:
            # A restart of ours is a hole in the same day of all monitors.
            found.append(_up_but_for(start, tuple(holes[number])))
        else:
            inside = [span for span in spans[at:] if span.at < end]
            if not inside or min(end, now) <= start:
                found.append(Day(start=start, status="none"))
                continue
            over, maintenance = holes.get(number, ()), windows.get(number, ())
            watched_from = max(start, inside[0].at)
            found.append(_day(start, account(watched_from, end, inside, over, now, maintenance)))
    return found


Stretch = TypeVar("Stretch", Gap, Window)


def _by_day(first: Millis, count: int, stretches: Sequence[Stretch]) -> dict[int, list[Stretch]]:
    """Return by the number of the day, counted from `first`, which of `stretches` lie in it."""
    found: dict[int, list[Stretch]] = {}
    for stretch in stretches:
        begun, ended = (stretch.start - first) // DAY, -((first - stretch.end) // DAY)
        for number in range(max(0, begun), min(count, ended)):
            found.setdefault(number, []).append(stretch)
    return found


def clipped(known: Sequence[Span], at: Millis) -> list[Span]:
    """Return spans, which begin with the one in force at `at` if any, with what lies before `at`
    cut off."""
    return [replace(span, at=max(span.at, at)) for span in known[:1]] + list(known[1:])


def runs(named: Sequence[Day]) -> list[tuple[str, int]]:
    """Return the days as runs of one state: [("up", 60), ("down", 1), …]."""
    found: list[tuple[str, int]] = []
    for day in named:
        if found and found[-1][0] == day.status:
            found[-1] = (day.status, found[-1][1] + 1)
        else:
            found.append((day.status, 1))
    return found


@lru_cache(maxsize=2_048)
def _up_but_for(start: Millis, holes: tuple[Gap, ...]) -> Day:
    """Return a day that was up whenever somebody watched."""
    end = start + DAY
    return _day(start, account(start, end, [Span(at=start, status=Status.UP)], holes, end))


@lru_cache(maxsize=2_048)
def _whole(start: Millis, status: Status) -> Day:
    """Return the day that was in one state all through, as `_day` would."""
    seconds = DAY // SECOND
    if status is Status.UP:
        return Day(start=start, status=status.value, up_seconds=seconds)
    if status is Status.DOWN:
        return Day(start=start, status=status.value, down_seconds=seconds, outages=1)
    if status is Status.DEGRADED:
        return Day(start=start, status=status.value, degraded_seconds=seconds)
    if status is Status.PAUSED:
        return Day(start=start, status=status.value)
    # Pending and unknown: nobody vouched for any of it.
    return Day(start=start, status=Status.UNKNOWN.value)


def _day(start: Millis, of: Account) -> Day:
    outages = [outage for outage in of.outages if outage.duration_seconds > 0]
    return Day(
        start=start,
        status=_status(of),
        up_seconds=of.up_seconds,
        down_seconds=of.down_seconds,
        degraded_seconds=of.degraded_seconds,
        outages=len(outages),
        moments=tuple(
            (
                max(start, outage.started_at),
                None
                if outage.ended_at is None or outage.ended_at >= start + DAY
                else outage.ended_at,
            )
            for outage in outages[:MOST_MOMENTS]
        ),
    )


def _status(of: Account) -> str:
    if of.down_seconds:
        return Status.DOWN.value
    if of.degraded_seconds:
        return Status.DEGRADED.value
    if of.maintenance_seconds:
        return Status.MAINTENANCE.value
    paused = of.unknown_reasons[UnknownReason.PAUSED]
    if paused * 2 > of.period_seconds:
        return Status.PAUSED.value
    unwatched = of.unknown_seconds - paused
    if not of.up_seconds:
        return Status.UNKNOWN.value if unwatched else "none"
    if unwatched > of.period_seconds * UNWATCHED_SHARE:
        return Status.UNKNOWN.value
    return Status.UP.value
