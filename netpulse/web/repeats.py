"""What was written lately, so that what comes again and again is not written each time.

Time is the monotonic clock's. It is in memory alone: after a restart the next one is written.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from msgspec import Struct

QUIET_SECONDS = 600
MOST_KEPT = 10_000
"""Names that are remembered; beyond that the one that was written longest ago is forgotten."""


class _Written(Struct):
    at: float
    """Seconds of the monotonic clock."""
    left_out: int = 0


class Repeats:
    """Which names were written in the last QUIET_SECONDS."""

    def __init__(self) -> None:
        self._written: OrderedDict[Hashable, _Written] = OrderedDict()

    def left_out(self, name: Hashable, now: float) -> int | None:
        """Return how many of that name were left out since it was written last, and count it as
        written; None where it is too early for another. `now` is in seconds."""
        last = self._written.get(name)
        if last is not None and now - last.at < QUIET_SECONDS:
            last.left_out += 1
            return None
        self._written[name] = _Written(now)
        self._written.move_to_end(name)
        if len(self._written) > MOST_KEPT:
            self._written.popitem(last=False)
        return 0 if last is None else last.left_out
