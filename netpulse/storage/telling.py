"""From what happened to rows of the outbox: the facts that `rules.alerting` decides on, and its
drafts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.alert import Cause, Considered, Event, Notice, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id, derived_id, new_id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status
from netpulse.rules import alerting, considered, flapping, outbox
from netpulse.rules.alerting import Facts, NoticeDraft, ProblemNotice
from netpulse.rules.holding import Holds
from netpulse.rules.payload import payload, reason_of
from netpulse.storage import alert_rules, flaps, held, incidents, notice_rows, orgs, settling
from netpulse.storage.conn import Conn, Row
from netpulse.storage.flaps import Flapping
from netpulse.storage.parents import Heard
from netpulse.storage.table import listed

_PROBLEM = "e.id, e.event, e.rule_id, e.channel_id, e.status, e.reason, e.held_for, e.cause"
_OF_INCIDENTS = frozenset({Event.MONITOR_DOWN, Event.MONITOR_UP})


class Told(Struct, frozen=True, kw_only=True):
    """What was made of a flip."""

    notice_ids: tuple[Id, ...] = ()
    """Notices that wait to be sent."""
    considered: tuple[Considered, ...] = ()
    """What each rule that covers the monitor made of it."""
    rules: tuple[Rule, ...] = ()
    """The active ones of them."""
    waits_for_parent: bool = False
    """A notice is held for what the monitor depends on."""


def write(
    conn: Conn,
    monitor: Monitor,
    flip: Flip,
    *,
    transition_id: Id,
    open_before: Incident | None,
    incident: Incident | None,
    parent_good_at: Millis | None = None,
) -> Told:
    """Write every notice of a flip and withdraw the held ones that it ends.

    `open_before` is the incident that was open before the flip, `incident` the one it has opened
    or closed, as it is now; `parent_good_at` is when the last conclusive check of its parent
    began, if that was good. Called before the transition's own row is written, so that "since it
    was last up" is about the past.

    Of a monitor that becomes unknown, or is watched again, no rule can speak: after a start that
    may be all of them at once, and nothing is asked of the file.
    """
    if flip.after in {Status.UNKNOWN, Status.PENDING}:
        return Told()
    by_hand = _resolved_by_hand(conn, monitor, flip) if open_before is None else None
    if by_hand is not None:
        open_before = incident = by_hand
        flip = replace(flip, closes=True)
    covering = alert_rules.covering(conn, monitor.org_id, monitor.id, monitor.spec.tags)
    rules = _standing_in(conn, [rule for rule in covering if rule.is_active])
    flaps_now = flaps.note(conn, monitor.id, flip)
    heard = Heard(
        own_check_at=None if flip.check is None else flip.check.started_at,
        parent_good_at=parent_good_at,
    )
    holds = held.holds_of(
        conn,
        monitor.id,
        since=flip.at,
        decided_at=flip.decided_at,
        now=flip.decided_at,
        heard=heard,
    )
    facts = _facts(conn, monitor.id, rules, holds)
    facts = replace(
        facts,
        problems=_problems(conn, monitor.id, open_before),
        states=frozenset() if flaps_now is None else flaps_now.states,
        announced=_announced(conn, monitor.id, flaps_now),
    )
    facts = _with_places(conn, facts)
    drafts = alerting.due(flip, rules, facts)
    held_for = {problem.id: problem.held_for for problem in facts.problems}
    for notice_id in alerting.withdrawn(flip, facts):
        settling.suppress(conn, notice_id, held_for[notice_id] or Suppressed.COOLDOWN)
    if flaps_now is not None and flapping.is_change(flip):
        held.mute(conn, monitor.id, {one.channel_id for one in drafts if _is_news(one)})
    writer = _Writer(conn, monitor, rules, flip.decided_at, Cause.CHANGE, transition_id)
    written = []
    for draft in drafts:
        about = incident if draft.event in _OF_INCIDENTS else None
        written.append(writer.write(draft, reason_of(flip, draft.event, about), about))
    return Told(
        notice_ids=_waiting(written),
        considered=considered.of_flip(flip, covering, drafts),
        rules=tuple(rules),
        waits_for_parent=any(one.held_for is Suppressed.PARENT_DOWN for one in drafts),
    )


def write_for_rules(
    conn: Conn,
    monitor: Monitor,
    event: Event,
    rules: Sequence[Rule],
    *,
    now: Millis,
    reason: str | None,
    incident: Incident | None = None,
    cause: Cause = Cause.CHANGE,
) -> tuple[Id, ...]:
    """Write the notices of something that these rules ask for, held back as those of a flip are.

    An escalation tells of the transition that opened its incident: a channel that was told of
    that is told once. Returns the ids of the notices that wait to be sent.
    """
    rules = _standing_in(conn, rules)
    since = now if incident is None else incident.started_at
    # What it depends on has had its time for a verdict since then.
    decided_at = now if incident is None else incident.created_at
    holds = held.holds_of(conn, monitor.id, since=since, decided_at=decided_at, now=now)
    facts = _facts(conn, monitor.id, rules, holds)
    transition_id = None
    if cause is Cause.ESCALATION and incident is not None:
        transition_id = _opened_by(conn, monitor.id, incident.id)
    writer = _Writer(conn, monitor, rules, now, cause, transition_id)
    drafts = alerting.due_for_rules(event, cause, rules, facts, now=now)
    return _waiting(
        writer.write(_once(conn, draft, transition_id), reason, incident) for draft in drafts
    )


def write_suppressed(
    conn: Conn,
    monitor: Monitor,
    rule: Rule,
    why: Suppressed,
    *,
    now: Millis,
    reason: str | None,
    incident: Incident,
    cause: Cause,
) -> None:
    """Record that a rule would have told of an incident, and why it does not."""
    draft = NoticeDraft(
        event=Event.MONITOR_DOWN,
        rule_id=rule.id,
        channel_id=rule.channel_id,
        status=NoticeStatus.SUPPRESSED,
        reason=why,
    )
    _Writer(conn, monitor, [rule], now, cause, None).write(draft, reason, incident)


class _Writer:
    """Writes drafts about one monitor."""

    def __init__(
        self,
        conn: Conn,
        monitor: Monitor,
        rules: Iterable[Rule],
        now: Millis,
        cause: Cause,
        transition_id: Id | None,
    ) -> None:
        self._conn = conn
        self._monitor = monitor
        self._rules: Mapping[Id, Rule] = {rule.id: rule for rule in rules}
        self._now = now
        self._cause = cause
        self._transition_id = transition_id
        self._org: Org | None = None
        self._made: set[Id] = set()

    def write(self, draft: NoticeDraft, reason: str | None, incident: Incident | None) -> Notice:
        """Write one draft and return it as a notice."""
        monitor, now = self._monitor, self._now
        if self._org is None:
            self._org = orgs.get(self._conn, monitor.org_id)
        assert self._org is not None, "a monitor's organization exists (foreign key)"
        notice_id = self._id(draft)
        rule = self._rules.get(draft.rule_id)
        fallback_at = None
        if rule is not None and rule.fallback_channel_id and draft.next_attempt_at is not None:
            fallback_at = draft.next_attempt_at + outbox.FALLBACK_AFTER
        notice = Notice(
            id=notice_id,
            org_id=monitor.org_id,
            event=draft.event,
            rule_id=draft.rule_id,
            channel_id=draft.channel_id,
            monitor_id=monitor.id,
            incident_id=None if incident is None else incident.id,
            status=draft.status,
            reason=draft.reason,
            held_for=draft.held_for,
            payload=payload(
                notice_id,
                draft.event,
                self._org,
                at=now,
                monitor=monitor,
                incident=incident,
                reason=reason,
            ),
            created_at=now,
            next_attempt_at=draft.next_attempt_at,
            cause=self._cause,
            template=None if rule is None else rule.message,
            fallback_at=fallback_at,
        )
        notice_rows.write(self._conn, notice, transition_id=self._transition_id)
        return notice

    def _id(self, draft: NoticeDraft) -> Id:
        """Return the id of a draft: of a flip's, the same whenever the flip is written."""
        if self._transition_id is None or self._cause is not Cause.CHANGE:
            return new_id(self._now)
        parts = (self._transition_id, draft.event.value, draft.channel_id, draft.rule_id or "")
        notice_id = derived_id(self._now, *parts)
        while notice_id in self._made:
            notice_id = derived_id(self._now, notice_id)
        self._made.add(notice_id)
        return notice_id


def _is_news(draft: NoticeDraft) -> bool:
    """Tell whether a draft tells its channel of the monitor's state, now or later."""
    return draft.status is NoticeStatus.PENDING and draft.event is not Event.MONITOR_FLAPPING


def _waiting(written: Iterable[Notice]) -> tuple[Id, ...]:
    """Return the ids of those that wait to be sent."""
    return tuple(
        notice.id
        for notice in written
        if notice.status is NoticeStatus.PENDING and notice.held_for is None
    )


def _standing_in(conn: Conn, rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules as they can speak now: through the fallback channel while NetPulse has
    switched their own off because its far side refuses for good. (Whoever switches a channel off
    themselves wants silence.)"""
    rows = conn.all(
        "SELECT r.id, r.fallback_channel_id FROM alert_rules r"
        " JOIN alert_channels c ON c.id = r.channel_id AND NOT c.is_active"
        " AND c.disabled_at IS NOT NULL AND c.deleted_at IS NULL"
        " JOIN alert_channels f ON f.id = r.fallback_channel_id AND f.is_active"
        " AND f.deleted_at IS NULL WHERE r.id IN (SELECT value FROM json_each(?))",
        (listed(rule.id for rule in rules),),
    )
    instead = {row[0]: row[1] for row in rows}
    return [
        replace(rule, channel_id=instead[rule.id]) if rule.id in instead else rule for rule in rules
    ]


def _resolved_by_hand(conn: Conn, monitor: Monitor, flip: Flip) -> Incident | None:
    """Return the incident whose recovery this flip is though it is closed: somebody resolved it
    while the monitor was unknown, when nobody could say that it had recovered."""
    was_down = flip.before is Status.UNKNOWN and flip.settled is Status.DOWN
    if not was_down or flip.after not in {Status.UP, Status.DEGRADED}:
        return None
    row = conn.one(
        "SELECT incident_id FROM transitions WHERE monitor_id = ? AND after = 'down'"
        " ORDER BY seq DESC LIMIT 1",
        (monitor.id,),
    )
    found = None if row is None else incidents.get(conn, monitor.org_id, row[0])
    return found if found is not None and found.resolution == "manual" else None


def _facts(conn: Conn, monitor_id: Id, rules: Sequence[Rule], holds: Holds) -> Facts:
    told_at = {rule.id: held.told_at(conn, monitor_id, rule.id) for rule in rules}
    channels = held.channels_of(conn, frozenset(rule.channel_id for rule in rules))
    return Facts(
        active_channels=channels.active,
        machines=channels.machines,
        told_at={rule_id: at for rule_id, at in told_at.items() if at is not None},
        holds=holds,
    )


def _with_places(conn: Conn, facts: Facts) -> Facts:
    """Return the facts with the channels that were told in place of others."""
    others = frozenset(one.channel_id for one in facts.problems) - facts.active_channels
    if not others:
        return facts
    found = held.channels_of(conn, others)
    return replace(
        facts,
        active_channels=facts.active_channels | found.active,
        machines=facts.machines | found.machines,
    )


def _announced(conn: Conn, monitor_id: Id, now: Flapping | None) -> frozenset[Id]:
    """Return the channels that are told that the monitor flaps."""
    if now is None:
        return frozenset()
    rows = conn.all(
        "SELECT channel_id FROM alert_events WHERE monitor_id = ? AND event = ?"
        " AND status IN ('sent', 'pending') AND created_at >= ?",
        (monitor_id, Event.MONITOR_FLAPPING.value, now.since),
    )
    return frozenset(row[0] for row in rows)


def _opened_by(conn: Conn, monitor_id: Id, incident_id: Id) -> Id | None:
    row = conn.one(
        "SELECT id FROM transitions WHERE incident_id = ? AND after = 'down' AND +monitor_id = ?"
        " ORDER BY seq LIMIT 1",
        (incident_id, monitor_id),
    )
    return None if row is None else str(row[0])


def _once(conn: Conn, draft: NoticeDraft, transition_id: Id | None) -> NoticeDraft:
    """Return the draft, suppressed where its channel has its notice of the transition already;
    one that is held back there gives way to one that may be told now."""
    if transition_id is None or draft.status is NoticeStatus.SUPPRESSED:
        return draft
    row = conn.one(
        "SELECT id, status, held_for FROM alert_events WHERE transition_id = ? AND channel_id = ?"
        " AND event = ? AND status <> 'suppressed'",
        (transition_id, draft.channel_id, draft.event.value),
    )
    if row is None:
        return draft
    if row[1] == NoticeStatus.PENDING and row[2] is not None and draft.held_for is None:
        settling.suppress(conn, row[0], Suppressed.DUPLICATE)
        return draft
    return replace(
        draft,
        status=NoticeStatus.SUPPRESSED,
        reason=Suppressed.DUPLICATE,
        held_for=None,
        next_attempt_at=None,
    )


def _problems(
    conn: Conn, monitor_id: Id, open_before: Incident | None
) -> tuple[ProblemNotice, ...]:
    """Return the problem notices that no recovery has answered yet, the oldest first."""
    rows: list[Row] = []
    if open_before is not None:
        rows += conn.all(
            f"SELECT {_PROBLEM} FROM alert_events e WHERE e.incident_id = ? AND e.event = ?"
            " ORDER BY e.seq",
            (open_before.id, Event.MONITOR_DOWN.value),
        )
    rows += conn.all(
        f"SELECT {_PROBLEM} FROM transitions t JOIN alert_events e ON e.transition_id = t.id"
        " WHERE t.monitor_id = ?1 AND t.after = 'degraded' AND e.event = ?2"
        " AND t.seq > coalesce((SELECT max(seq) FROM transitions"
        " WHERE monitor_id = ?1 AND after IN (?3, ?4)), 0) ORDER BY e.seq",
        (
            monitor_id,
            Event.MONITOR_DEGRADED.value,
            Status.UP.value,
            Status.PAUSED.value,
        ),
    )
    return tuple(_problem(row) for row in rows)


def _problem(row: Row) -> ProblemNotice:
    return ProblemNotice(
        id=row[0],
        event=Event(row[1]),
        rule_id=row[2],
        channel_id=row[3],
        status=NoticeStatus(row[4]),
        reason=None if row[5] is None else Suppressed(row[5]),
        held_for=None if row[6] is None else Suppressed(row[6]),
        cause=Cause(row[7]),
    )


def encoded(considered: tuple[Considered, ...]) -> str | None:
    """Return what is kept of them with the transition; None where no rule covers the monitor."""
    return msgspec.json.encode(considered).decode() if considered else None
