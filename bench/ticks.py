"""The ticks of a timer on an event loop, those that could not come among them."""

from __future__ import annotations

TICK = 0.01
"""Seconds between two of them."""


def ticks(at: float, late: float) -> list[tuple[float, float]]:
    """Return (Unix seconds, late milliseconds) of a tick that came `late` seconds late at `at`, and
    of those that were due while the loop was held: one that is held for a second was late a hundred
    times, and not once among the hundred that come in the second after it."""
    return [
        (at, round((late - number * TICK) * 1000, 2))
        for number in range(max(0, int(late / TICK)) + 1)
    ]
