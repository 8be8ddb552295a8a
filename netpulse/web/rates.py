"""How often something may be done: a count per name and minute, forgotten with the minute."""

from __future__ import annotations

from netpulse.model.time import MINUTE, SECOND, Millis

MOST_NAMES = 10_000
"""Names counted at once; beyond that the minute begins anew rather than memory grows."""


class Rate:
    """Counts by name. `wait` counts one and says whether it is one too many."""

    __slots__ = ("_counts", "_minute", "_most")

    def __init__(self, most: int) -> None:
        """Allow `most` a minute and name."""
        self._most = most
        self._minute = 0
        self._counts: dict[str, int] = {}

    def wait(self, name: str, now: Millis) -> int:
        """Count one for `name`; return 0, or the seconds after which it is allowed again."""
        minute = now // MINUTE
        if minute != self._minute or len(self._counts) >= MOST_NAMES:
            self._minute = minute
            self._counts.clear()
        count = self._counts[name] = self._counts.get(name, 0) + 1
        if count <= self._most:
            return 0
        return max(1, ((minute + 1) * MINUTE - now) // SECOND)
