"""Moments. Inside the product a moment is an integer: Unix milliseconds, UTC.

Only the border (API, pages, messages) speaks RFC 3339. Durations that leave a clock carry their
unit in their name: ``_ms``, ``_seconds``, ``_minutes``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

Millis = int
"""Unix time in milliseconds, UTC."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PERIODS: dict[str, Millis] = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
"""What uptime is told over, up to now."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at: Millis) -> str:
    """Return `at` (Unix milliseconds) as RFC 3339 in UTC: ``2026-01-01T12:00:00Z``.

    Milliseconds appear only where they are not zero.
    """
    moment = _EPOCH + timedelta(milliseconds=at)
    text = moment.isoformat(timespec="milliseconds" if at % SECOND else "seconds")
    return text.removesuffix("+00:00") + "Z"


def parse_rfc3339(text: str) -> Millis:
    """Return the Unix milliseconds of an RFC 3339 time; the offset is required.

    Raises:
        ValueError: `text` is no RFC 3339 date-time with an offset.
    """
    if len(text) < len("2026-01-01T12:00:00Z") or text[10] not in "Tt ":
        raise ValueError(f"{text!r} is not a time such as 2026-01-01T12:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-01-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; end it with Z for UTC")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
