"""What holds a notice back: maintenance, a parent that is down, flapping, quiet hours, cooldown.

The same is asked when a notice is written and whenever a held one is looked at again.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.alert import PROBLEMS, Cause, Event, Rule, Suppressed
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.rules import quiet

LOOK_AGAIN: Millis = 15 * MINUTE
"""How often a notice is looked at that waits for something nobody knows the end of."""

_MEASURES = frozenset({Event.MONITOR_THRESHOLD, Event.CERTIFICATE_EXPIRING})
_OF_STATES = PROBLEMS | {Event.MONITOR_UP, Event.MONITOR_FLAPPING}


class Hold(Struct, frozen=True):
    """What holds a notice, and when to look at it again."""

    reason: Suppressed
    until: Millis


class Holds(Struct, frozen=True, kw_only=True):
    """What holds the notices of one monitor now, whatever the rule."""

    maintained_until: Millis | None = None
    """The end of the maintenance it is in."""
    parent_until: Millis | None = None
    """When to look again at what it depends on."""
    calm_at: Millis | None = None
    """When it has flapped enough."""


NOTHING = Holds()


def is_problem(event: Event, cause: Cause) -> bool:
    """Tell whether a notice says that something is wrong."""
    if event in _MEASURES:
        return cause is not Cause.RECOVERY
    return event in PROBLEMS or event is Event.MONITOR_FLAPPING


def hold(
    event: Event,
    cause: Cause,
    rule: Rule | None,
    holds: Holds,
    *,
    is_machine: bool,
    told_at: Millis | None,
    now: Millis,
) -> Hold | None:
    """Return what holds a notice back now, or None if it may be told.

    Args:
        event: what it tells of.
        cause: what made it be written.
        rule: who asks for it; None where the rule is gone.
        holds: what holds the monitor's notices.
        is_machine: its channel gets every edge, also of a monitor that flaps.
        told_at: when the rule last told a problem of this monitor.
        now: the moment, Unix milliseconds.
    """
    problem = is_problem(event, cause)
    if problem and _lasts(holds.maintained_until, now):
        return Hold(Suppressed.MAINTENANCE, holds.maintained_until or now)
    of_state = event in _OF_STATES
    if problem and of_state and _lasts(holds.parent_until, now):
        return Hold(Suppressed.PARENT_DOWN, holds.parent_until or now)
    muted = of_state and event is not Event.MONITOR_FLAPPING and not is_machine
    if muted and _lasts(holds.calm_at, now):
        return Hold(Suppressed.FLAPPING, holds.calm_at or now)
    if rule is None:
        return None
    if (problem or event is Event.MONITOR_UP or event in _MEASURES) and rule.quiet_hours:
        end = quiet.until(rule.quiet_hours, now)
        if end is not None:
            return Hold(Suppressed.QUIET_HOURS, end)
    cools = problem and event is not Event.MONITOR_FLAPPING and cause is not Cause.REMINDER
    if cools and told_at is not None:
        # A clock that was set back must not make the quiet time longer than it is.
        end = min(told_at, now) + rule.cooldown_seconds * SECOND
        if now < end:
            return Hold(Suppressed.COOLDOWN, end)
    return None


def _lasts(until: Millis | None, now: Millis) -> bool:
    return until is not None and until > now
