"""Filters by date: what a browser sends of two days, and the moments between which that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from netpulse.model.time import Millis


def known(text: str) -> str:
    """Return a date as it was sent, or "" for what is none."""
    return "" if _day(text) is None else text


def moments(first: str, last: str) -> tuple[Millis | None, Millis | None]:
    """Return the moments from which on and before which things lie that are of these days of UTC,
    the last one as a whole; None: not bounded."""
    start, end = _day(first), _day(last)
    return (
        None if start is None else _millis(start),
        None if end is None else _millis(end + timedelta(days=1)),
    )


def _day(text: str) -> datetime | None:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9999 else None


def _millis(moment: datetime) -> Millis:
    return int(moment.timestamp() * 1000)
