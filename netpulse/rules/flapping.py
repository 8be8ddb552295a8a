"""Flapping: a monitor that keeps changing is told of once, and then only how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.model.time import MINUTE, Millis
from netpulse.model.watch import Flip, Status

WINDOW: Millis = 30 * MINUTE
"""Within this many changes are counted, and so long it must be stable to be calm again."""
MOST = 4
"""Changes within the window that are not flapping yet."""

STATES = frozenset({Status.UP, Status.DEGRADED, Status.DOWN})


def is_change(flip: Flip) -> bool:
    """Tell whether a flip is a change among up, degraded and down; what was unknown in between
    does not count, nor does the first state of all."""
    known = flip.settled if flip.before is Status.UNKNOWN else flip.before
    return flip.after in STATES and known in STATES and known is not flip.after


def changes(states: Iterable[Status]) -> int:
    """Return how many changes there are in a row of confirmed states, the oldest first; what
    comes after a pause or an unknown stretch is a change only where it is another state."""
    count = 0
    last: Status | None = None
    for state in states:
        if state is Status.PAUSED:
            last = None
        elif state in STATES:
            count += last is not None and state is not last
            last = state
    return count


def calm_at(changed_at: Millis, now: Millis) -> Millis:
    """Return when a monitor that changed last at `changed_at` is calm, if it stays as it is."""
    # A clock that was set back must not make it longer than it is.
    return min(changed_at, now) + WINDOW
