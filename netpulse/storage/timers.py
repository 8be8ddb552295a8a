"""Timers of incidents: escalations that wait for nobody to take one on, and reminders of it."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.model.alert import Cause, Event, Rule, Suppressed
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor
from netpulse.model.time import MINUTE, Millis
from netpulse.rules import alerting, condition
from netpulse.rules.payload import goes_on, nobody_answered
from netpulse.storage import alert_rules, incidents, monitors, telling
from netpulse.storage.conn import Conn

AT_ONCE = 250
"""Timers that ring in one transaction."""
ESCALATION = "escalation"
REMINDER = "reminder"


def begin(conn: Conn, incident: Incident, rules: Iterable[Rule], now: Millis) -> None:
    """Set the timers of an incident that was opened, for the active rules that cover it."""
    for rule in rules:
        if "down" not in condition.parse(rule.condition).words:
            continue
        if rule.escalation_minutes is not None:
            due_at = incident.started_at + rule.escalation_minutes * MINUTE
            _set(conn, incident.id, rule.id, ESCALATION, due_at)
        if rule.reminder_minutes is not None:
            _set(conn, incident.id, rule.id, REMINDER, now + rule.reminder_minutes * MINUTE)


def end(conn: Conn, incident_id: Id) -> None:
    """Take the timers of an incident away: it is over."""
    conn.execute("DELETE FROM alert_timers WHERE incident_id = ?", (incident_id,))


def acknowledged(conn: Conn, incident: Incident, now: Millis) -> None:
    """Take the timers of an incident away that somebody has taken on, and record who is not told
    because of that."""
    for rule_id, kind in conn.all(
        "SELECT rule_id, kind FROM alert_timers WHERE incident_id = ?", (incident.id,)
    ):
        if kind == ESCALATION:
            _ring(conn, incident, rule_id, kind, now)
    end(conn, incident.id)


def ring(conn: Conn, now: Millis) -> None:
    """Do what the timers that are due ask for."""
    for incident_id, rule_id, kind in conn.all(
        "SELECT incident_id, rule_id, kind FROM alert_timers WHERE due_at <= ?"
        " ORDER BY due_at, incident_id, rule_id LIMIT ?",
        (now, AT_ONCE),
    ):
        incident = incidents.anywhere(conn, incident_id)
        again = None if incident is None else _ring(conn, incident, rule_id, kind, now)
        if again is None:
            conn.execute(
                "DELETE FROM alert_timers WHERE incident_id = ? AND rule_id = ? AND kind = ?",
                (incident_id, rule_id, kind),
            )
        else:
            _set(conn, incident_id, rule_id, kind, again)


def next_due(conn: Conn) -> Millis | None:
    """Return when the next timer rings, or None."""
    row = conn.one("SELECT min(due_at) FROM alert_timers")
    return None if row is None or row[0] is None else int(row[0])


def turn_back(conn: Conn, by: Millis) -> None:
    """Bring every timer nearer, by `by` milliseconds: the clock was set back by that."""
    conn.execute("UPDATE alert_timers SET due_at = due_at - ?", (by,))


def _ring(conn: Conn, incident: Incident, rule_id: Id, kind: str, now: Millis) -> Millis | None:
    """Do what one timer asks for; returns when it rings again."""
    rule = alert_rules.get(conn, incident.org_id, rule_id)
    monitor = None
    if incident.monitor_ids:
        monitor = monitors.get(conn, incident.org_id, incident.monitor_ids[0])
    if rule is None or not rule.is_active or monitor is None or incident.resolved_at is not None:
        return None
    if not _covers(rule, monitor):
        return None  # one of the two was changed since
    if kind == REMINDER:
        return _remind(conn, incident, rule, monitor, now)
    _escalate(conn, incident, rule, monitor, now)
    return None


def _covers(rule: Rule, monitor: Monitor) -> bool:
    if rule.monitor_id is not None:
        return rule.monitor_id == monitor.id
    return rule.tag is None or rule.tag in monitor.spec.tags


def _escalate(conn: Conn, incident: Incident, rule: Rule, monitor: Monitor, now: Millis) -> None:
    if not alerting.speaks_later(rule):
        return
    reason = nobody_answered(incident, now)
    if incident.acknowledged_at is not None:
        telling.write_suppressed(
            conn,
            monitor,
            rule,
            Suppressed.ACKNOWLEDGED,
            now=now,
            reason=reason,
            incident=incident,
            cause=Cause.ESCALATION,
        )
        return
    telling.write_for_rules(
        conn,
        monitor,
        Event.MONITOR_DOWN,
        [rule],
        now=now,
        reason=reason,
        incident=incident,
        cause=Cause.ESCALATION,
    )


def _remind(
    conn: Conn, incident: Incident, rule: Rule, monitor: Monitor, now: Millis
) -> Millis | None:
    if rule.reminder_minutes is None or incident.acknowledged_at is not None:
        return None
    wait = rule.reminder_minutes * MINUTE
    told_at = _told_at(conn, incident.id, rule.channel_id)
    if told_at is not None and told_at <= now < told_at + wait:
        return told_at + wait
    if told_at is None or _waits(conn, incident.id, rule):
        # Nothing was told yet, or not even the reminder before could be delivered.
        return now + wait
    telling.write_for_rules(
        conn,
        monitor,
        Event.MONITOR_DOWN,
        [rule],
        now=now,
        reason=goes_on(incident, now),
        incident=incident,
        cause=Cause.REMINDER,
    )
    return now + wait


def _told_at(conn: Conn, incident_id: Id, channel_id: Id) -> Millis | None:
    """Return when the channel was last told of the incident's problem."""
    row = conn.one(
        "SELECT max(coalesce(sent_at, due_at)) FROM alert_events WHERE incident_id = ?"
        " AND channel_id = ? AND event = ? AND held_for IS NULL AND status IN ('sent', 'pending')",
        (incident_id, channel_id, Event.MONITOR_DOWN.value),
    )
    return None if row is None or row[0] is None else int(row[0])


def _waits(conn: Conn, incident_id: Id, rule: Rule) -> bool:
    """Tell whether a reminder of the rule waits still."""
    found = conn.one(
        "SELECT 1 FROM alert_events WHERE incident_id = ? AND channel_id = ? AND rule_id = ?"
        " AND cause = ? AND status = 'pending' LIMIT 1",
        (incident_id, rule.channel_id, rule.id, Cause.REMINDER.value),
    )
    return found is not None


def _set(conn: Conn, incident_id: Id, rule_id: Id, kind: str, due_at: Millis) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO alert_timers (incident_id, rule_id, kind, due_at)"
        " VALUES (?, ?, ?, ?)",
        (incident_id, rule_id, kind, due_at),
    )
