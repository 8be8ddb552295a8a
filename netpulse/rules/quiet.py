"""Quiet hours: the part of the week in which a rule keeps silent, by the clock of a time zone.

A stretch begins and ends at the first moment at which that day's clock shows the time, or a later
one. So 02:30 on the day on which clocks go from 02:00 to 03:00 is 03:00, and 01:30 on the day on
which they show it twice is the first of the two.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from netpulse.model.alert import QuietHours
from netpulse.model.time import Millis

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOST_IN_A_ROW = 8
"""Stretches that follow each other without a break: a rule that never speaks must end here."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def until(quiet: QuietHours, at: Millis) -> Millis | None:
    """Return when the quiet hours that last at `at` end (Unix milliseconds), or None if none do.

    Stretches that follow each other without a break are one. A zone that this host does not know
    (any more) silences nothing.
    """
    try:
        zone = ZoneInfo(quiet.timezone)
        start, end = time.fromisoformat(quiet.start), time.fromisoformat(quiet.end)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    found = _end(quiet, zone, start, end, at)
    for _ in range(_MOST_IN_A_ROW):
        further = None if found is None else _end(quiet, zone, start, end, found)
        if further is None:
            break
        found = further
    return found


def _end(quiet: QuietHours, zone: ZoneInfo, start: time, end: time, at: Millis) -> Millis | None:
    """Return the end of the one stretch that lasts at `at`."""
    today = (_EPOCH + at * _MILLISECOND).astimezone(zone).date()
    for begins in (today - timedelta(days=1), today):
        if _DAYS[begins.weekday()] not in quiet.days:
            continue
        ends = begins if start < end else begins + timedelta(days=1)
        last = _moment(ends, end, zone)
        if _moment(begins, start, zone) <= at < last:
            return last
    return None


def _moment(day: date, clock: time, zone: ZoneInfo) -> Millis:
    """Return the first moment of `day` at which its clock shows `clock` or later."""
    wall = datetime.combine(day, clock)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    other = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if other < first:  # the clock skips it (PEP 495): the moment at which it jumps lies between
        first = _jump(other, first, zone)
    return (first - _EPOCH) // _MILLISECOND


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first second in (before, after] with the offset that `after` has."""
    offset = after.astimezone(zone).utcoffset()
    low, high = 0, round((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)
