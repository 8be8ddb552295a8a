"""How often a new password may be asked for in somebody's name, and how long a link holds."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.model.time import HOUR, MINUTE, Millis

LASTS = 30 * MINUTE
"""How long a link holds (ASVS 6.4.1 allows an hour)."""
MOST_AN_HOUR = 3
MOST_AT_ONCE = 2
"""Within LASTS. So the newest link of somebody who gets no further letter always holds still, and
whoever asks in their name again and again only sends them links that work."""


def may_write(written: Iterable[Millis], now: Millis) -> bool:
    """Tell whether somebody may be written another letter; `written` says when they were before.

    What a clock that was set back left in the future counts as written now.
    """
    ages = [max(0, now - at) for at in written]
    return (
        sum(age < HOUR for age in ages) < MOST_AN_HOUR
        and sum(age < LASTS for age in ages) < MOST_AT_ONCE
    )
