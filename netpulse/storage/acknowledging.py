"""Acknowledging: somebody has taken an incident on, and everybody who was told of it hears so."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.alert import PROBLEMS, Cause, Event, Notice, NoticeStatus
from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Incident
from netpulse.model.time import Millis
from netpulse.rules import alerting
from netpulse.storage import incident_story, incidents, monitors, notices, orgs, timers
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing
from netpulse.storage.incidents import AlreadyOver

_PROBLEMS = tuple(event.value for event in PROBLEMS)


class Acknowledged(Struct, frozen=True):
    """What came of it."""

    incident: Incident
    is_new: bool
    """False: somebody had done so before, and nothing was changed."""
    notice_ids: tuple[Id, ...] = ()
    """Notices that wait to be sent."""


def acknowledge(
    conn: Conn,
    org_id: Id,
    incident_id: Id,
    *,
    by: str,
    via: str,
    now: Millis,
    user_id: Id | None = None,
) -> Acknowledged:
    """Note that `by` (an email address, or whose link it was) has taken an incident on.

    Escalations and reminders of it end. `via` is page, api or link. Once acknowledged it stays so.

    Raises:
        Missing: the organization has no such incident.
        AlreadyOver: it is resolved.
    """
    old = incidents.get(conn, org_id, incident_id)
    if old is None:
        raise Missing("incident")
    if old.acknowledged_at is not None:
        return Acknowledged(old, is_new=False)
    if old.resolved_at is not None:
        raise AlreadyOver("this incident is resolved")
    conn.execute(
        "UPDATE incidents SET acknowledged_at = ?, acknowledged_by = ?, acknowledged_via = ?,"
        " updated_at = ?, version = version + 1 WHERE id = ?",
        (now, by, via, now, incident_id),
    )
    incident_story.tell(
        conn, incident_id, "acknowledged", now, f"Acknowledged by {by}", user_id=user_id
    )
    stored = incidents.get(conn, org_id, incident_id)
    assert stored is not None, "it was just changed in this transaction"
    timers.acknowledged(conn, stored, now)
    return Acknowledged(stored, is_new=True, notice_ids=_tell(conn, stored, by, now))


def _tell(conn: Conn, incident: Incident, by: str, now: Millis) -> tuple[Id, ...]:
    """Write a notice for every active channel that has heard of the problem."""
    heard = conn.all(
        "SELECT e.channel_id, e.rule_id, e.monitor_id, e.template FROM alert_events e"
        " JOIN alert_channels c ON c.id = e.channel_id AND c.is_active AND c.deleted_at IS NULL"
        " WHERE e.incident_id = ?1 AND e.event IN (?2, ?3) AND e.held_for IS NULL"
        " AND e.status IN ('sent', 'pending') GROUP BY e.channel_id ORDER BY min(e.seq)",
        (incident.id, *_PROBLEMS),
    )
    org = orgs.get(conn, incident.org_id)
    assert org is not None, "an incident's organization exists (foreign key)"
    written = []
    for channel_id, rule_id, monitor_id, template in heard:
        row = None
        if monitor_id is not None:
            row = monitors.get_row(conn, incident.org_id, monitor_id)
        notice_id = new_id(now)
        payload = alerting.payload(
            notice_id,
            Event.INCIDENT_ACKNOWLEDGED,
            org,
            at=now,
            monitor=None if row is None else row.monitor,
            incident=incident,
            reason=f"Acknowledged by {by}",
        )
        notices.write(
            conn,
            Notice(
                id=notice_id,
                org_id=incident.org_id,
                event=Event.INCIDENT_ACKNOWLEDGED,
                rule_id=rule_id,
                channel_id=channel_id,
                monitor_id=monitor_id,
                incident_id=incident.id,
                status=NoticeStatus.PENDING,
                payload=payload,
                created_at=now,
                next_attempt_at=now,
                cause=Cause.ACKNOWLEDGEMENT,
                template=template,
            ),
        )
        written.append(notice_id)
    return tuple(written)
