"""Marks: moments of the monotonic clock at which what may wait a little is done together.

What a wake-up costs is mostly finding the program out of the processor's caches: two timers that
ring at one moment cost little more than one.
"""

from __future__ import annotations

import math

MARK_SECONDS = 0.02
"""Between two marks."""


def mark_after(at: float, every: int = 1) -> float:
    """Return the first mark that is not before `at`, of all marks or of each so many."""
    step = MARK_SECONDS * every
    return math.ceil(at / step) * step
