"""How often a new password may be asked for in somebody's name, and how long a link holds."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.model.time import HOUR, MINUTE, Millis

LASTS = 30 * MINUTE
"""How long a link holds (ASVS 6.4.1 allows an hour)."""
MOST_AN_HOUR = 3
MOST_AT_ONCE = 2
"""Within LASTS, while one of them can still be used. So somebody who gets no further letter for
this has one whose link holds still, and whoever asks in their name again and again only sends them
links that work."""


def may_write(written: Iterable[Millis], now: Millis, *, one_holds: bool) -> bool:
    """Tell whether somebody may be written another letter; `written` says when they were before,
    `one_holds` whether a link of these can still be used.

    What a clock that was set back left in the future counts as written now.
    """
    ages = [max(0, now - at) for at in written]
    if sum(age < HOUR for age in ages) >= MOST_AN_HOUR:
        return False
    return not one_holds or sum(age < LASTS for age in ages) < MOST_AT_ONCE
