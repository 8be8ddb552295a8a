"""Who is told what of a flip: every notice, the suppressed ones with their reason.

The law is "Alerts: Rule" of the contract: one notice per (incident, transition, channel) however
many rules ask; a problem inside its rule's cooldown waits and is told when the cooldown ends, if
it still holds; a recovery is told exactly when its problem was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from netpulse.model.alert import Event, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor, type_of
from netpulse.model.org import Org
from netpulse.model.time import SECOND, Millis, rfc3339
from netpulse.model.watch import Flip, Status
from netpulse.rules import condition, targets

PROBLEMS = frozenset({Event.MONITOR_DOWN, Event.MONITOR_DEGRADED})
"""Events that say something is wrong, and that have a recovery."""


class ProblemNotice(Struct, frozen=True, kw_only=True):
    """What became of a notice about a problem."""

    id: Id
    event: Event
    """monitor.down or monitor.degraded."""
    rule_id: Id | None
    channel_id: Id
    status: NoticeStatus
    reason: Suppressed | None = None
    held_for: Suppressed | None = None

    @property
    def told(self) -> bool:
        """Sent, or on its way and not held back."""
        if self.status is NoticeStatus.PENDING:
            return self.held_for is None
        return self.status is NoticeStatus.SENT


class Facts(Struct, frozen=True, kw_only=True):
    """What the decision needs of the past, read in the transaction that writes the flip."""

    active_channels: frozenset[Id]
    """The channels that exist and are active."""
    told_at: Mapping[Id, Millis] = {}
    """By rule id: when it last told a problem of this monitor, that is the latest
    `sent_at ?? created_at` of its monitor.down and monitor.degraded notices that are sent, or
    pending and not held."""
    problems: Sequence[ProblemNotice] = ()
    """The problem notices that no recovery has answered yet: monitor.down of the incident that is
    open before this flip, and monitor.degraded of this monitor since it was last up."""


class NoticeDraft(Struct, frozen=True, kw_only=True):
    """A notice to be written: storage adds its id, the payload, the transition and the incident."""

    event: Event
    rule_id: Id
    channel_id: Id
    status: NoticeStatus
    reason: Suppressed | None = None
    held_for: Suppressed | None = None
    next_attempt_at: Millis | None = None


_SUPPRESSED = 3


class _Wish(Struct, frozen=True):
    """One rule's wish to tell an event, before the channel's one notice is chosen."""

    draft: NoticeDraft
    rank: int
    """Which wish of a channel wins: the lowest. 0 a recovery, 1 a problem told now, 2 a held one,
    3 suppressed. The recovery goes first so that no receiver keeps open what has ended."""


def due(flip: Flip, rules: Sequence[Rule], facts: Facts) -> list[NoticeDraft]:
    """Return every notice of a flip, the older rules first.

    `rules` are the active ones that cover the monitor; their conditions have been accepted when
    they were saved. At most one draft a channel is not suppressed.
    """
    ordered = sorted(rules, key=_age)
    return _one_a_channel([wish for rule in ordered for wish in _wishes(flip, rule, facts)])


def due_of_system(
    event: Event, rules: Sequence[Rule], active_channels: frozenset[Id], *, at: Millis
) -> list[NoticeDraft]:
    """Return every notice of an event about NetPulse itself, for the rules that ask for `system`.

    No cooldown holds these back: they are rare, and each says something of its own.
    """
    wishes: list[_Wish] = []
    for rule in sorted(rules, key=_age):
        if event in condition.parse(rule.condition).events:
            draft = _draft(rule, event, NoticeStatus.PENDING)
            wishes.append(_to(active_channels, _Wish(replace(draft, next_attempt_at=at), 0)))
    return _one_a_channel(wishes)


def withdrawn(flip: Flip, facts: Facts) -> tuple[Id, ...]:
    """Return the ids of held problems that this flip ends before they were told.

    They become suppressed, for the reason they were held for.
    """
    return tuple(
        problem.id
        for problem in facts.problems
        if problem.status is NoticeStatus.PENDING
        and problem.held_for is not None
        and _ends(flip, problem.event)
    )


def still_holds(event: Event, *, settled: Status, incident_open: bool) -> bool:
    """Tell whether a held problem is still one when its time has come.

    `settled` is the monitor's last confirmed state, which an unknown one keeps.
    """
    if event is Event.MONITOR_DOWN:
        return incident_open
    return event is Event.MONITOR_DEGRADED and settled is Status.DEGRADED


def payload(
    notice_id: Id,
    event: Event,
    org: Org,
    *,
    at: Millis,
    monitor: Monitor | None = None,
    incident: Incident | None = None,
    reason: str | None = None,
) -> Raw:
    """Return the JSON that a webhook's receiver gets; `at` is the moment it was decided.

    `duration_seconds` of an incident is the whole outage once it is resolved, else the time from
    its first failing check to `at`. The target is shown without user names and passwords.
    """
    body = {
        "id": notice_id,
        "event": event.value,
        "monitor": None if monitor is None else _monitor(monitor),
        "incident": None if incident is None else _incident(incident, at),
        "org": {"id": org.id, "name": org.name},
        "reason": reason,
        "timestamp": rfc3339(at),
    }
    return Raw(msgspec.json.encode(body))


def reason_of(flip: Flip, event: Event, incident: Incident | None) -> str | None:
    """Return the sentence a notice carries: why it is so, or for a recovery why it had not been."""
    if event is Event.MONITOR_UP:
        return None if incident is None else incident.reason
    return None if flip.check is None else flip.check.message


def _monitor(monitor: Monitor) -> dict[str, str]:
    spec = monitor.spec
    return {
        "id": monitor.id,
        "name": spec.name,
        "type": type_of(spec),
        "target": targets.shown(spec.target),
    }


def _incident(incident: Incident, at: Millis) -> dict[str, str | int]:
    end = at if incident.resolved_at is None else incident.resolved_at
    return {
        "id": incident.id,
        "started_at": rfc3339(incident.started_at),
        "duration_seconds": max(0, end - incident.started_at) // SECOND,
    }


def _events(flip: Flip) -> Iterator[tuple[str, Event]]:
    """Yield the words that came true with this flip, and the event each is told as."""
    known = flip.settled if flip.before is Status.UNKNOWN else flip.before
    if flip.opens:
        yield "down", Event.MONITOR_DOWN
    elif flip.after is Status.DEGRADED and known is not Status.DEGRADED:
        yield "degraded", Event.MONITOR_DEGRADED
    elif flip.after is Status.UP and (flip.closes or flip.before in {Status.DOWN, Status.DEGRADED}):
        # Out of pending or unknown only the end of an incident is news.
        yield "up", Event.MONITOR_UP


def _ends(flip: Flip, problem: Event) -> bool:
    """Tell whether this flip ends a problem (by recovery, pause or deletion)."""
    if flip.after in {Status.UP, Status.PAUSED}:
        return True
    if problem is Event.MONITOR_DOWN:
        return flip.closes
    return flip.after is Status.DOWN


def _recovered(flip: Flip, words: frozenset[str]) -> Iterator[Event]:
    """Yield the problems whose recovery this flip is, among those a condition's words name."""
    if "down" in words and flip.closes and flip.after in {Status.UP, Status.DEGRADED}:
        yield Event.MONITOR_DOWN
    if "degraded" in words and flip.after is Status.UP:
        yield Event.MONITOR_DEGRADED


def _wishes(flip: Flip, rule: Rule, facts: Facts) -> Iterator[_Wish]:
    """Yield what one rule wants told: at most a recovery and what the condition asks for."""
    words = condition.parse(rule.condition).words
    asked = [event for word, event in _events(flip) if word in words]
    if rule.notify_recovery and Event.MONITOR_UP not in asked:
        recovery = _recovery(flip, rule, words, facts)
        if recovery is not None:
            yield recovery
    for event in asked:
        yield _to(facts.active_channels, _tell(flip, rule, facts, event))


def _recovery(flip: Flip, rule: Rule, words: frozenset[str], facts: Facts) -> _Wish | None:
    """Return the recovery a rule owes its channel, suppressed where the problem was not told.

    What counts is what the channel heard, by whichever rule: one rule's problem may have been
    the duplicate of another's.
    """
    ended = frozenset(_recovered(flip, words))
    problems = [
        problem
        for problem in facts.problems
        if problem.event in ended and problem.channel_id == rule.channel_id
    ]
    if any(problem.told for problem in problems):
        return _to(facts.active_channels, _tell(flip, rule, facts, Event.MONITOR_UP))
    own = [problem for problem in problems if problem.rule_id == rule.id]
    if not own:
        return None
    draft = _draft(rule, Event.MONITOR_UP, NoticeStatus.SUPPRESSED)
    return _Wish(replace(draft, reason=_untold(own[-1])), _SUPPRESSED)


def _tell(flip: Flip, rule: Rule, facts: Facts, event: Event) -> _Wish:
    """Return the wish to tell `event`: now, or after the cooldown of its rule."""
    draft = _draft(rule, event, NoticeStatus.PENDING)
    now = replace(draft, next_attempt_at=flip.decided_at)
    if event is Event.MONITOR_UP:
        return _Wish(now, 0)
    told_at = facts.told_at.get(rule.id)
    if told_at is None:
        return _Wish(now, 1)
    # A clock that was set back must not make the quiet time longer than it is.
    end = min(told_at, flip.decided_at) + rule.cooldown_seconds * SECOND
    if flip.decided_at < end:
        return _Wish(replace(draft, held_for=Suppressed.COOLDOWN, next_attempt_at=end), 2)
    return _Wish(now, 1)


def _to(active_channels: frozenset[Id], wish: _Wish) -> _Wish:
    """Return the wish as it can be sent: suppressed where its channel is switched off."""
    if wish.draft.channel_id in active_channels:
        return wish
    return _Wish(_suppressed(wish.draft, Suppressed.CHANNEL_INACTIVE), _SUPPRESSED)


def _one_a_channel(wishes: Sequence[_Wish]) -> list[NoticeDraft]:
    """Return the drafts of all wishes; the ones a channel's best wish makes superfluous are
    suppressed as duplicates."""
    chosen: dict[Id, _Wish] = {}
    for wish in wishes:
        rival = chosen.get(wish.draft.channel_id)
        if rival is None or _order(wish) < _order(rival):
            chosen[wish.draft.channel_id] = wish
    return [
        wish.draft
        if wish is chosen[wish.draft.channel_id] or wish.rank == _SUPPRESSED
        else _suppressed(wish.draft, Suppressed.DUPLICATE)
        for wish in wishes
    ]


def _draft(rule: Rule, event: Event, status: NoticeStatus) -> NoticeDraft:
    return NoticeDraft(event=event, rule_id=rule.id, channel_id=rule.channel_id, status=status)


def _untold(problem: ProblemNotice) -> Suppressed:
    """Return why a problem was not told, which is why its recovery is not either."""
    if problem.reason is not None:
        return problem.reason
    if problem.held_for is not None:
        return problem.held_for
    # It failed for good. Nobody heard of the problem, so the pair falls away.
    return Suppressed.COLLAPSED


def _suppressed(draft: NoticeDraft, reason: Suppressed) -> NoticeDraft:
    return replace(
        draft,
        status=NoticeStatus.SUPPRESSED,
        reason=reason,
        held_for=None,
        next_attempt_at=None,
    )


def _order(wish: _Wish) -> tuple[int, Millis]:
    return wish.rank, wish.draft.next_attempt_at or 0


def _age(rule: Rule) -> tuple[Millis, Id]:
    return rule.created_at, rule.id
