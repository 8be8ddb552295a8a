"""From a flip to rows of the outbox: the facts that `rules.alerting` decides on, and its drafts."""

from __future__ import annotations

from collections.abc import Sequence

from netpulse.model.alert import Event, Notice, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status
from netpulse.rules import alerting
from netpulse.rules.alerting import Facts, NoticeDraft, ProblemNotice
from netpulse.storage import alert_rules, channels, notices, orgs
from netpulse.storage.conn import Conn, Row

_PROBLEM = "e.id, e.event, e.rule_id, e.channel_id, e.status, e.reason, e.held_for"


def write(
    conn: Conn,
    monitor: Monitor,
    flip: Flip,
    *,
    transition_id: Id,
    open_before: Incident | None,
    incident: Incident | None,
) -> tuple[Id, ...]:
    """Write every notice of a flip and withdraw the held ones that it ends.

    `open_before` is the incident that was open before the flip, `incident` the one it has opened
    or closed, as it is now. Called before the transition's own row is written, so that "since it
    was last up" is about the past. Returns the ids of the notices that wait to be sent.
    """
    rules = alert_rules.for_monitor(conn, monitor.org_id, monitor.id, monitor.spec.tags)
    facts = _facts(conn, monitor.id, rules, open_before)
    drafts = alerting.due(flip, rules, facts)
    held_for = {problem.id: problem.held_for for problem in facts.problems}
    for notice_id in alerting.withdrawn(flip, facts):
        notices.suppress(conn, notice_id, held_for[notice_id] or Suppressed.COOLDOWN)
    waiting = [_write_one(conn, monitor, flip, draft, transition_id, incident) for draft in drafts]
    return tuple(notice_id for notice_id in waiting if notice_id is not None)


def _write_one(
    conn: Conn,
    monitor: Monitor,
    flip: Flip,
    draft: NoticeDraft,
    transition_id: Id,
    incident: Incident | None,
) -> Id | None:
    """Write one draft; returns its id if it waits to be sent and is not held."""
    org = orgs.get(conn, monitor.org_id)
    assert org is not None, "a monitor's organization exists (foreign key)"
    about = incident if draft.event in {Event.MONITOR_DOWN, Event.MONITOR_UP} else None
    now = flip.decided_at
    notice_id = new_id(now)
    payload = alerting.payload(
        notice_id,
        draft.event,
        org,
        at=now,
        monitor=monitor,
        incident=about,
        reason=alerting.reason_of(flip, draft.event, about),
    )
    notice = Notice(
        id=notice_id,
        org_id=monitor.org_id,
        event=draft.event,
        rule_id=draft.rule_id,
        channel_id=draft.channel_id,
        monitor_id=monitor.id,
        incident_id=None if about is None else about.id,
        status=draft.status,
        reason=draft.reason,
        held_for=draft.held_for,
        payload=payload,
        created_at=now,
        next_attempt_at=draft.next_attempt_at,
    )
    notices.write(conn, notice, transition_id=transition_id)
    is_waiting = notice.status is NoticeStatus.PENDING and notice.held_for is None
    return notice_id if is_waiting else None


def _facts(
    conn: Conn, monitor_id: Id, rules: Sequence[Rule], open_before: Incident | None
) -> Facts:
    told_at = {rule.id: _told_at(conn, monitor_id, rule.id) for rule in rules}
    return Facts(
        active_channels=channels.active_ids(conn, frozenset(rule.channel_id for rule in rules)),
        told_at={rule_id: at for rule_id, at in told_at.items() if at is not None},
        problems=_problems(conn, monitor_id, open_before),
    )


def _told_at(conn: Conn, monitor_id: Id, rule_id: Id) -> Millis | None:
    row = conn.one(
        "SELECT coalesce(sent_at, created_at) FROM alert_events"
        " WHERE monitor_id = ? AND rule_id = ? AND event IN (?, ?)"
        " AND (status = 'sent' OR (status = 'pending' AND held_for IS NULL))"
        " ORDER BY seq DESC LIMIT 1",
        (monitor_id, rule_id, Event.MONITOR_DOWN.value, Event.MONITOR_DEGRADED.value),
    )
    return None if row is None else int(row[0])


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
    )
