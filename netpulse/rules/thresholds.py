"""Conditions on measures: when a term of a rule becomes true, when it ends, and what is said.

Held against one conclusive check after the other. A term may be neither true nor false, where its
window is not covered yet or nobody has seen the certificate: then what was so stays so. That is
how a restart, after which windows begin anew, neither repeats a notice nor ends one.
"""

from __future__ import annotations

import math

from msgspec import Struct

from netpulse.model.alert import Event, Rule
from netpulse.model.check import Certificate
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.rules import certificates
from netpulse.rules.durations import lasted
from netpulse.rules.terms import CERTIFICATE_DAYS, RESPONSE_TIME, Comparison, Term, number_text

Key = tuple[Id, Id, str]
"""Rule, monitor and the term's text."""

_LEAST = 2
"""Checks that a window needs."""


class Sight(Struct, frozen=True, kw_only=True):
    """What is known of a monitor after one conclusive check."""

    at: Millis
    """When the check began."""
    status: Status
    """The confirmed state."""
    response_time_ms: int | None = None
    certificate: Certificate | None = None
    """The one that was seen last."""

    def value(self, measure: str) -> int | None:
        """Return what a measure is, or None without one."""
        if measure == RESPONSE_TIME:
            return self.response_time_ms
        if self.certificate is None:
            return None
        return certificates.days_left(self.certificate, self.at)


class Streak(Struct, frozen=True, gc=False):
    """The conclusive checks in a row that met a comparison, up to the last one: all that a window
    needs to be remembered by."""

    first_at: Millis
    last_at: Millis
    count: int


class Standing(Struct, frozen=True, kw_only=True):
    """A term of a rule that is so for a monitor."""

    rule_id: Id
    monitor_id: Id
    term: str
    """`Term.text`."""
    since: Millis
    speaks_at: Millis | None = None
    """Until then nobody is told (the rule escalates); None: it has spoken."""
    fingerprint: str | None = None
    """Of the certificate that runs out; None for other terms."""
    notice_id: Id | None = None
    """The last notice that the rule's channel got, or is to get, of it."""
    told_id: Id | None = None
    """An earlier one, that was told."""

    @property
    def key(self) -> Key:
        """What there is one of."""
        return self.rule_id, self.monitor_id, self.term


class Turn(Struct, frozen=True, kw_only=True):
    """A change that is to be written and told: a term became true, says more, or ended."""

    rule: Rule
    standing: Standing
    """As it is to be kept; of one that ended, as it was."""
    event: Event
    reason: str
    ended: bool = False
    thresholds: tuple[int, ...] = ()
    """Of a certificate: the days it has fallen below; told unless the last of them was."""


def follow(
    comparison: Comparison, streak: Streak | None, sight: Sight, interval_ms: int
) -> Streak | None:
    """Return the streak of a comparison with a window after another check.

    It begins anew where nothing was known for longer than the window: that stretch may have been
    otherwise. One that is shorter than twice the monitor's interval is none.
    """
    if not _met(comparison, sight):
        return None
    longest = max(comparison.window_ms, 2 * interval_ms)
    if streak is None or not 0 <= sight.at - streak.last_at <= longest:
        return Streak(sight.at, sight.at, 1)
    return Streak(streak.first_at, sight.at, streak.count + 1)


def truth(term: Term, streaks: tuple[Streak | None, ...], sight: Sight) -> bool | None:
    """Tell whether a term is so, or None where that cannot be said.

    `streaks` are those of its comparisons, in their order, this check included.
    """
    known: list[bool | None] = [_in_state(term.state, sight.status)]
    for comparison, streak in zip(term.comparisons, streaks, strict=True):
        met = _met(comparison, sight)
        if met and comparison.window_ms and not _covered(comparison, streak):
            met = None
        known.append(met)
    if False in known:
        return False
    return None if None in known else True


def began_at(term: Term, streaks: tuple[Streak | None, ...], sight: Sight) -> Millis:
    """Return since when a term that is true has been so."""
    if any(not one.window_ms for one in term.comparisons):
        return sight.at
    return max((one.first_at for one in streaks if one is not None), default=sight.at)


def bound(term: Term) -> int | None:
    """Return the days below which a term that speaks of the certificate alone is true, or None
    for any other term."""
    if term.measures != {CERTIFICATE_DAYS}:
        return None
    bounds = [
        math.ceil(one.number) if one.operator == "<" else math.floor(one.number) + 1
        for one in term.comparisons
        if one.operator in {"<", "<="}
    ]
    return min(bounds, default=None)


def began(term: Term, sight: Sight) -> str:
    """Return the sentence that tells of a term that became true."""
    parts = [] if term.state is None else [term.state]
    for one in term.comparisons:
        lasting = f" for {lasted(one.window_ms)}" if one.window_ms else ""
        parts.append(f"{_measured(one.measure, sight)}, {_limit(one)}{lasting}")
    return "; ".join(parts)


def ended(term: Term, sight: Sight, since: Millis) -> str:
    """Return the sentence that tells of a term that was true since `since` and is no longer."""
    parts = []
    if term.state is not None and not _in_state(term.state, sight.status):
        parts.append(f"{sight.status.value}, no longer {term.state}")
    parts += [
        f"{_measured(one.measure, sight)}, no longer {_limit(one)}"
        for one in term.comparisons
        if _met(one, sight) is False
    ]
    return "; ".join((*parts, f"it was for {lasted(sight.at - since)}"))


def _met(comparison: Comparison, sight: Sight) -> bool | None:
    value = sight.value(comparison.measure)
    if value is not None:
        return comparison.holds(value)
    # No answer was no fast and no slow one. A certificate that nobody saw is still there.
    return False if comparison.measure == RESPONSE_TIME else None


def _covered(comparison: Comparison, streak: Streak | None) -> bool:
    if streak is None or streak.count < _LEAST:
        return False
    return streak.last_at - streak.first_at >= comparison.window_ms


def _in_state(state: str | None, status: Status) -> bool | None:
    if state is None:
        return True
    return None if status is Status.UNKNOWN else status.value == state


def _measured(measure: str, sight: Sight) -> str:
    value = sight.value(measure)
    if measure == RESPONSE_TIME:
        return "no answer" if value is None else f"response time {value:,} ms"
    if value is None:
        return "certificate unknown"
    assert sight.certificate is not None, "its days are known"
    return certificates.expiring(sight.certificate, sight.at)


_LIMITS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below", "=": "at"}


def _limit(comparison: Comparison) -> str:
    unit = "ms" if comparison.measure == RESPONSE_TIME else "days"
    if comparison.measure == CERTIFICATE_DAYS and comparison.number == 1:
        unit = "day"
    word = _LIMITS.get(comparison.operator, "other than")
    return f"{word} {number_text(comparison.number, grouped=True)} {unit}"
