"""A clock that stands still until a test moves it."""

from __future__ import annotations

from netpulse.engine.clock import Clock
from netpulse.model.time import Millis

START: Millis = 1_766_000_000_000
"""Wall time at which a FakeClock starts: 2025-12-17T19:33:20Z."""


class FakeClock(Clock):
    """A clock moved by hand; wall, monotonic and boot time can drift apart as real ones do."""

    def __init__(self, now: Millis = START, monotonic: float = 1_000.0) -> None:
        """Start at `now` (Unix milliseconds) and `monotonic` (seconds)."""
        self._wall_ms = float(now)
        self._monotonic = monotonic
        self._suspended = 0.0

    def now(self) -> Millis:
        """Return the wall time in Unix milliseconds."""
        return int(self._wall_ms + 1e-6)

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return self._monotonic

    def boottime(self) -> float:
        """Return monotonic seconds including suspensions."""
        return self._monotonic + self._suspended

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on all clocks."""
        self._monotonic += seconds
        self._wall_ms += seconds * 1000

    def suspend(self, seconds: float) -> None:
        """Suspend the machine: wall and boot time go on, monotonic time stands still."""
        self._wall_ms += seconds * 1000
        self._suspended += seconds

    def set_wall(self, by_ms: float) -> None:
        """Set the wall clock forward (or back) by `by_ms`; no time passes."""
        self._wall_ms += by_ms


class ShiftedClock(Clock):
    """The real clock, ahead by a while: a restart after a long pause, without the pause."""

    def __init__(self, ahead_ms: Millis) -> None:
        """Be `ahead_ms` milliseconds ahead of the machine; a test may change that."""
        self.ahead_ms = ahead_ms

    def now(self) -> Millis:
        """Return the wall time in Unix milliseconds, shifted."""
        return super().now() + self.ahead_ms
