"""Figures the engine keeps about itself: scheduling lag, checks by result, what was skipped."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise

from msgspec import Struct

from netpulse.engine.clock import Clock
from netpulse.model.check import Result

WINDOW_SECONDS = 60
_STEPS = 8
"""Bins per doubling: a percentile is at most 9 % above the truth."""
_LOWEST_MS = 0.1
_BINS = 24 * _STEPS
BUCKETS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds of the histogram shown at /metrics; one more bucket is for what is above."""


class LagStats(Struct, frozen=True, kw_only=True):
    """Scheduling lag over the last minute, in milliseconds: start of a probe less its slot."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Minute:
    """A count over the last minute."""

    def __init__(self, clock: Clock) -> None:
        """Start at zero."""
        self._clock = clock
        self._ring = [(-1, 0)] * WINDOW_SECONDS

    def add(self, number: int) -> None:
        """Count `number` now."""
        if number:
            now = int(self._clock.monotonic())
            second, count = self._ring[now % WINDOW_SECONDS]
            self._ring[now % WINDOW_SECONDS] = now, number + (count if second == now else 0)

    @property
    def total(self) -> int:
        """What was counted in the last 60 s."""
        now = int(self._clock.monotonic())
        return sum(count for second, count in self._ring if now - WINDOW_SECONDS < second <= now)


class _Second:
    __slots__ = ("bins", "count", "largest", "second")

    def __init__(self) -> None:
        self.second = -1
        self.bins = [0] * _BINS
        self.count = 0
        self.largest = 0.0

    def clear(self, second: int) -> None:
        self.second = second
        if self.count:
            self.bins = [0] * _BINS
        self.count = 0
        self.largest = 0.0


def _bin(ms: float) -> int:
    if ms <= _LOWEST_MS:
        return 0
    found = int(math.log2(ms / _LOWEST_MS) * _STEPS) + 1
    return found if found < _BINS else _BINS - 1


_BOUNDS = [
    *(_LOWEST_MS * 2 ** (number / _STEPS) / 1000 for number in range(_BINS - 1)),
    math.inf,
]
"""The seconds up to which each bin reaches."""


class Lags:
    """A minute of scheduling lags in 60 one-second histograms, and a histogram since the start.

    Those of a second are counted together when it is over, or somebody asks: one by one that
    would be a fiftieth of a ping.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty."""
        self._clock = clock
        self._ring = [_Second() for _ in range(WINDOW_SECONDS)]
        self._buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self._total_seconds = 0.0
        self._count = 0
        self._second = -1
        self._fresh: list[float] = []
        """Those of `_second` that are not counted yet."""

    def add(self, seconds: float, now: float | None = None) -> None:
        """Record that a probe started `seconds` after its slot; `now` is the monotonic present,
        where the caller has it."""
        second = int(self._clock.monotonic() if now is None else now)
        if second != self._second:
            self._settle()
            self._second = second
        self._fresh.append(seconds)

    def _settle(self) -> None:
        """Count what is not counted yet."""
        late = self._fresh
        if not late:
            return
        self._fresh = []
        late.sort()
        early = bisect_left(late, 0.0)
        late[:early] = [0.0] * early
        second = self._ring[self._second % WINDOW_SECONDS]
        if second.second != self._second:
            second.clear(self._second)
        second.count += len(late)
        second.largest = max(second.largest, late[-1] * 1000)
        self._count += len(late)
        self._total_seconds += math.fsum(late)
        start = 0
        while start < len(late):
            number = _bin(late[start] * 1000)
            # One at least: a bound may seem a hair lower than what lies in front of it.
            end = max(start + 1, bisect_left(late, _BOUNDS[number], start))
            second.bins[number] += end - start
            start = end
        counted = [bisect_right(late, bound) for bound in BUCKETS_SECONDS]
        for number, (start, end) in enumerate(pairwise((0, *counted, len(late)))):
            self._buckets[number] += end - start

    @property
    def total_seconds(self) -> float:
        """The sum of all since the start."""
        self._settle()
        return self._total_seconds

    @property
    def count(self) -> int:
        """How many there were since the start."""
        self._settle()
        return self._count

    def cumulative(self) -> list[tuple[float, int]]:
        """Return (upper bound in seconds, count up to it), the last bound infinite."""
        self._settle()
        return list(zip((*BUCKETS_SECONDS, math.inf), accumulate(self._buckets), strict=True))

    def stats(self) -> LagStats:
        """Return count, median, 99th percentile and maximum of the last 60 s."""
        self._settle()
        now = int(self._clock.monotonic())
        recent = [s for s in self._ring if s.count and now - WINDOW_SECONDS < s.second <= now]
        count = sum(s.count for s in recent)
        largest = max((s.largest for s in recent), default=0.0)
        bins = [sum(column) for column in zip(*(s.bins for s in recent), strict=True)]

        def percentile(share: float) -> float:
            wanted, seen = math.ceil(count * share), 0
            for index, number in enumerate(bins):
                seen += number
                if number and seen >= wanted:
                    return min(largest, _LOWEST_MS * 2 ** (index / _STEPS))
            return 0.0

        return LagStats(
            count=count,
            p50_ms=round(percentile(0.5), 2),
            p99_ms=round(percentile(0.99), 2),
            max_ms=round(largest, 2),
        )


class Figures:
    """Plain counters since the start of the process."""

    def __init__(self, clock: Clock) -> None:
        """Start at zero."""
        self.lags = Lags(clock)
        self.checks: dict[Result, int] = dict.fromkeys(Result, 0)
        self.internal_errors = 0
        """Checks that ended in a mistake of our own."""
        self.breaks = 0
        """Times this process was found not to have run for over 2 s."""
        self.notices_sent = 0
        self.notices_failed = 0
        self.attempts_failed = 0
