"""Who is told what of a flip: every notice, the suppressed ones with their reason.

One notice per (incident, transition, channel), however many rules ask; a problem that something
holds back (`rules.holding`) waits and is told when that ends, if it still holds; a recovery is told
exactly when its problem was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.alert import Cause, Event, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status
from netpulse.rules import condition, holding
from netpulse.rules.holding import NOTHING, Holds
from netpulse.rules.payload import payload, reason_of

__all__ = [
    "Facts",
    "NoticeDraft",
    "ProblemNotice",
    "due",
    "due_for_rules",
    "due_of_system",
    "payload",
    "reason_of",
    "speaks_later",
    "still_holds",
    "withdrawn",
]


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
    cause: Cause = Cause.CHANGE

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
    machines: frozenset[Id] = frozenset()
    """Those of them that get every edge, also of a monitor that flaps."""
    told_at: Mapping[Id, Millis] = {}
    """By rule id: when it last told a problem of this monitor, that is the latest
    `sent_at ?? due_at` of its notices of problems, reminders apart, that are sent, or pending
    and not held."""
    problems: Sequence[ProblemNotice] = ()
    """The problem notices that no recovery has answered yet: monitor.down of the incident that is
    open before this flip, and monitor.degraded of this monitor since it was last up."""
    holds: Holds = NOTHING
    """What holds notices of this monitor back; `calm_at` is set while it flaps."""
    states: frozenset[Status] = frozenset()
    """Set when it begins to flap with this flip: the states it changes between."""
    announced: frozenset[Id] = frozenset()
    """The channels that were told that it flaps: they are owed how it ends."""


class NoticeDraft(Struct, frozen=True, kw_only=True):
    """A notice to be written: storage adds its id, the payload, the transition and the incident."""

    event: Event
    rule_id: Id
    channel_id: Id
    status: NoticeStatus
    reason: Suppressed | None = None
    held_for: Suppressed | None = None
    next_attempt_at: Millis | None = None


_RECOVERY, _PROBLEM, _SUPPRESSED = 0, 2, 4


class _Wish(Struct, frozen=True):
    """One rule's wish to tell an event, before the channel's one notice is chosen."""

    draft: NoticeDraft
    rank: int
    """Which wish of a channel wins: the lowest. 0 a recovery told now, 1 a held one, 2 a problem
    told now, 3 a held one, 4 suppressed. The recovery goes first so that no receiver keeps open
    what has ended."""


def due(flip: Flip, rules: Sequence[Rule], facts: Facts) -> list[NoticeDraft]:
    """Return every notice of a flip, the older rules first.

    `rules` are the active ones that cover the monitor; their conditions have been accepted when
    they were saved. At most one draft of a change a channel is not suppressed, and one that says
    that the monitor has begun to flap.
    """
    ordered = sorted(rules, key=age)
    flaps = _one_a_channel([wish for rule in ordered for wish in _flaps(flip, rule, facts)])
    begun = {one.channel_id for one in flaps if one.status is NoticeStatus.PENDING}
    facts = replace(facts, announced=facts.announced | begun)
    wishes = [wish for rule in ordered for wish in _wishes(flip, rule, facts)]
    wishes += _in_place(flip, ordered, facts)
    return [*flaps, *_one_a_channel(wishes)]


def due_for_rules(
    event: Event, cause: Cause, rules: Sequence[Rule], facts: Facts, *, now: Millis
) -> list[NoticeDraft]:
    """Return every notice of something that these rules ask for, the older rules first."""
    wishes = [_tell(event, cause, rule, facts, now) for rule in sorted(rules, key=age)]
    return _one_a_channel([_to(facts.active_channels, wish) for wish in wishes])


def due_of_system(
    event: Event, rules: Sequence[Rule], active_channels: frozenset[Id], *, at: Millis
) -> list[NoticeDraft]:
    """Return every notice of an event about NetPulse itself, for the rules that ask for `system`.

    Nothing holds these back: they are rare, and each says something of its own.
    """
    wishes: list[_Wish] = []
    for rule in sorted(rules, key=age):
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


def speaks_later(rule: Rule) -> bool:
    """Tell whether a rule is an escalation that waits for an incident to go unacknowledged.

    One whose condition cannot be read (any more) is none: it must not keep others from being told.
    """
    if rule.escalation_minutes is None:
        return False
    try:
        return "down" in condition.parse(rule.condition).words
    except ValueError:
        return False


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


def _flaps(flip: Flip, rule: Rule, facts: Facts) -> Iterator[_Wish]:
    """Yield the wish to say that the monitor has begun to flap, to whom its changes are told."""
    words = condition.parse(rule.condition).words
    if not speaks_later(rule) and words & {state.value for state in facts.states}:
        wish = _tell(Event.MONITOR_FLAPPING, Cause.CHANGE, rule, facts, flip.decided_at)
        yield _to(facts.active_channels, wish)


def _wishes(flip: Flip, rule: Rule, facts: Facts) -> Iterator[_Wish]:
    """Yield what one rule wants told: at most a recovery and what the condition asks for."""
    words = condition.parse(rule.condition).words
    asked = [event for word, event in _events(flip) if word in words]
    if speaks_later(rule):
        # It speaks of incidents that nobody takes on, and of nothing else.
        asked = []
    if rule.notify_recovery and Event.MONITOR_UP not in asked:
        recovery = _recovery(flip, rule, words, facts)
        if recovery is not None:
            yield recovery
    for event in asked:
        wish = _tell(event, Cause.CHANGE, rule, facts, flip.decided_at)
        yield _to(facts.active_channels, wish)


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
    flapped = rule.channel_id in facts.announced and rule.channel_id not in facts.machines
    if any(problem.told for problem in problems) or (ended and flapped and not speaks_later(rule)):
        wish = _tell(Event.MONITOR_UP, Cause.CHANGE, rule, facts, flip.decided_at)
        return _to(facts.active_channels, wish)
    own = [problem for problem in problems if problem.rule_id == rule.id]
    if not own:
        return None
    draft = _draft(rule, Event.MONITOR_UP, NoticeStatus.SUPPRESSED)
    return _Wish(replace(draft, reason=_untold(own[-1])), _SUPPRESSED)


def _in_place(flip: Flip, rules: Sequence[Rule], facts: Facts) -> Iterator[_Wish]:
    """Yield the recoveries that other channels than the rules' own are owed: they were told in
    place of those, or before the rule was changed."""
    by_id = {rule.id: rule for rule in rules}
    owed: set[tuple[Id, Id]] = set()
    for problem in facts.problems:
        rule = None if problem.rule_id is None else by_id.get(problem.rule_id)
        if rule is None or problem.channel_id == rule.channel_id or not problem.told:
            continue
        # Reminders may have told it thousands of times.
        if (rule.id, problem.channel_id) in owed:
            continue
        words = condition.parse(rule.condition).words
        if rule.notify_recovery and problem.event in _recovered(flip, words):
            owed.add((rule.id, problem.channel_id))
            stand_in = replace(rule, channel_id=problem.channel_id)
            wish = _tell(Event.MONITOR_UP, Cause.CHANGE, stand_in, facts, flip.decided_at)
            yield _to(facts.active_channels, wish)


def _tell(event: Event, cause: Cause, rule: Rule, facts: Facts, now: Millis) -> _Wish:
    """Return the wish to tell `event`: now, or when what holds it back is over."""
    draft = _draft(rule, event, NoticeStatus.PENDING)
    rank = _PROBLEM if holding.is_problem(event, cause) else _RECOVERY
    held = holding.hold(
        event,
        cause,
        rule,
        facts.holds,
        is_machine=rule.channel_id in facts.machines,
        told_at=facts.told_at.get(rule.id),
        now=now,
    )
    if held is None:
        return _Wish(replace(draft, next_attempt_at=now), rank)
    return _Wish(replace(draft, held_for=held.reason, next_attempt_at=held.until), rank + 1)


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


def age(rule: Rule) -> tuple[Millis, Id]:
    """Return what rules are ordered by: the older ones first."""
    return rule.created_at, rule.id
