"""What counts as a change, and what holds a notice back."""

from __future__ import annotations

from typing import Any

import pytest

from netpulse.model.alert import Cause, Event, QuietHours, Rule, Suppressed
from netpulse.model.time import HOUR, MINUTE, parse_rfc3339
from netpulse.model.watch import Flip, Status
from netpulse.rules import flapping
from netpulse.rules.holding import Hold, Holds, hold
from netpulse.rules.payload import lasting

P, U, S, D, X = Status.PENDING, Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
Z = Status.PAUSED
NOW = parse_rfc3339("2026-11-24T23:00:00Z")
DOWN, UP = Event.MONITOR_DOWN, Event.MONITOR_UP
NIGHT = QuietHours(start="22:00", end="07:00")
MORNING = parse_rfc3339("2026-11-25T07:00:00Z")


@pytest.mark.parametrize(
    ("before", "after", "settled", "counts"),
    [
        (U, D, U, True),
        (D, S, D, True),
        (P, U, P, False),
        (P, D, P, False),
        (U, X, U, False),
        (X, U, U, False),
        (X, D, U, True),
        (U, Z, U, False),
        (Z, P, P, False),
    ],
)
def test_a_change_is_one_among_up_degraded_and_down(
    before: Status, after: Status, settled: Status, counts: bool
) -> None:
    flip = Flip(before=before, after=after, at=NOW, decided_at=NOW, settled=settled)

    assert flapping.is_change(flip) is counts


@pytest.mark.parametrize(
    ("states", "count"),
    [
        ([], 0),
        ([U], 0),
        ([U, D, U, D, U], 4),
        ([U, X, U], 0),
        ([U, X, D], 1),
        ([D, Z, P, U], 0),
        ([U, S, D, U], 3),
    ],
)
def test_how_many_changes_there_are(states: list[Status], count: int) -> None:
    assert flapping.changes(states) == count


def test_a_clock_set_back_does_not_make_it_flap_longer() -> None:
    assert flapping.calm_at(NOW + HOUR, NOW) == NOW + flapping.WINDOW


def asked(event: Event, holds: Holds, cause: Cause = Cause.CHANGE, **more: Any) -> Hold | None:
    rule = Rule(
        id="r",
        org_id="o",
        name="r",
        channel_id="c",
        created_at=1,
        quiet_hours=more.pop("quiet_hours", None),
    )
    return hold(
        event,
        cause,
        rule,
        holds,
        is_machine=more.pop("is_machine", False),
        told_at=more.pop("told_at", None),
        now=NOW,
    )


ALL = Holds(maintained_until=NOW + 1, parent_until=NOW + 2, calm_at=NOW + 3)


@pytest.mark.parametrize(
    ("event", "cause", "holds", "more", "reason"),
    [
        (DOWN, Cause.CHANGE, ALL, {}, "maintenance"),
        (UP, Cause.CHANGE, ALL, {}, "flapping"),
        (UP, Cause.CHANGE, ALL, {"is_machine": True}, None),
        (DOWN, Cause.CHANGE, Holds(parent_until=NOW + 1, calm_at=NOW + 2), {}, "parent_down"),
        (DOWN, Cause.CHANGE, Holds(calm_at=NOW + 2), {}, "flapping"),
        (DOWN, Cause.CHANGE, Holds(calm_at=NOW + 2), {"is_machine": True}, None),
        (Event.MONITOR_FLAPPING, Cause.CHANGE, Holds(calm_at=NOW + 2), {}, None),
        (Event.MONITOR_FLAPPING, Cause.CHANGE, ALL, {}, "maintenance"),
        (DOWN, Cause.CHANGE, Holds(), {"quiet_hours": NIGHT}, "quiet_hours"),
        (UP, Cause.CHANGE, Holds(), {"quiet_hours": NIGHT}, "quiet_hours"),
        (DOWN, Cause.CHANGE, Holds(), {"told_at": NOW - MINUTE}, "cooldown"),
        (DOWN, Cause.ESCALATION, Holds(), {"told_at": NOW - MINUTE}, "cooldown"),
        (DOWN, Cause.REMINDER, Holds(), {"told_at": NOW - MINUTE}, None),
        (DOWN, Cause.REMINDER, Holds(maintained_until=NOW + 1), {}, "maintenance"),
        (UP, Cause.CHANGE, Holds(), {"told_at": NOW - MINUTE}, None),
        (DOWN, Cause.CHANGE, Holds(), {"told_at": NOW - HOUR}, None),
        (Event.MONITOR_THRESHOLD, Cause.CHANGE, ALL, {}, "maintenance"),
        (Event.MONITOR_THRESHOLD, Cause.CHANGE, Holds(parent_until=NOW + 1), {}, None),
        (Event.MONITOR_THRESHOLD, Cause.RECOVERY, ALL, {}, None),
        (Event.CERTIFICATE_EXPIRING, Cause.CHANGE, Holds(), {"quiet_hours": NIGHT}, "quiet_hours"),
        (Event.MONITOR_THRESHOLD, Cause.RECOVERY, Holds(), {"quiet_hours": NIGHT}, "quiet_hours"),
        # what has passed holds nothing
        (DOWN, Cause.CHANGE, Holds(maintained_until=NOW, parent_until=NOW, calm_at=NOW), {}, None),
    ],
)
def test_what_holds_a_notice(
    event: Event, cause: Cause, holds: Holds, more: dict[str, Any], reason: str | None
) -> None:
    found = asked(event, holds, cause, **more)

    assert (None if found is None else found.reason.value) == reason
    assert found is None or found.until > NOW


def test_quiet_hours_end_in_the_morning() -> None:
    assert asked(DOWN, Holds(), quiet_hours=NIGHT) == Hold(Suppressed.QUIET_HOURS, MORNING)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (-5, "0 s"),
        (59_999, "59 s"),
        (MINUTE, "1 min"),
        (MINUTE + 5_000, "1 min 5 s"),
        (2 * HOUR, "2 h"),
        (26 * HOUR + 30 * MINUTE, "1 d 2 h"),
    ],
)
def test_how_long_it_lasts_in_words(milliseconds: int, words: str) -> None:
    assert lasting(milliseconds) == words
