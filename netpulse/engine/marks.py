"""Marks: moments at which what may wait a little is done together.

What a wake-up costs is mostly finding the program out of the processor's caches: two timers that
ring at one moment cost little more than one. Marks lie on the grid of Unix time on which the slots
of monitors do (`rules.schedule.STEP_MS`), so that what is due waits for no later mark than its own.
"""

from __future__ import annotations

import math

from netpulse.engine.clock import Clock
from netpulse.rules.schedule import STEP_MS

MARK_MS = STEP_MS
"""Milliseconds of Unix time between two marks."""
AFTER_SECONDS = 0.0025
"""So long after a mark its timer rings: a moment of the wall clock is known to a millisecond, and a
timer may ring one and a half too early. Then all that is due at the mark has come due."""


def mark_after(clock: Clock, at: float, every: int = 1) -> float:
    """Return when to ring for what is due at the monotonic moment `at`: just after its mark, or the
    next one, of all marks or of each so many. It is due by then, even if the timer is early."""
    # In this order: where something comes between, the ring is later by that, and by no whole mark.
    wall, now = clock.now(), clock.monotonic()
    step = MARK_MS * every
    # A slot may seem later than its mark, by as little as the wall clock is known to.
    mark = math.ceil((wall - 1 + (at - now) * 1000) / step) * step
    return now + (mark - wall) / 1000 + AFTER_SECONDS
