"""A monitor's days, for the bars: which state a day was in, and how long it was down."""

from __future__ import annotations

from collections.abc import Sequence

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
    found = []
    at = 0
    for number in range(count):
        start = first + number * DAY
        end = start + DAY
        while at + 1 < len(spans) and spans[at + 1].at <= start:
            at += 1
        inside = [span for span in spans[at:] if span.at < end]
        if not inside or min(end, now) <= start:
            found.append(Day(start=start, status="none"))
            continue
        watched_from = max(start, inside[0].at)
        over = [gap for gap in gaps if gap.start < end and gap.end > watched_from]
        windows = [one for one in maintained if one.start < end and one.end > watched_from]
        if end <= now and watched_from == start and len(inside) == 1 and not over and not windows:
            # Most days of most monitors are one state from end to end.
            found.append(_whole(start, inside[0].status))
            continue
        found.append(_day(start, account(watched_from, end, inside, over, now, windows)))
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
    return Day(
        start=start,
        status=_status(of),
        up_seconds=of.up_seconds,
        down_seconds=of.down_seconds,
        degraded_seconds=of.degraded_seconds,
        outages=sum(outage.duration_seconds > 0 for outage in of.outages),
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
