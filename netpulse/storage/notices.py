"""Notices: what was told to whom, and what still waits. The outbox's protocol is in `claims`."""

from __future__ import annotations

from collections.abc import Collection

from netpulse.model.alert import Attempt, Event, Notice, NoticeStatus
from netpulse.model.ids import Id, derived_id
from netpulse.model.time import Millis
from netpulse.rules import alerting
from netpulse.rules.alerting import NoticeDraft
from netpulse.storage import alert_rules, channels, notice_list, orgs
from netpulse.storage.claims import (
    PER_CHANNEL,
    Claimed,
    claim,
    hurry,
    is_undecided,
    next_due,
    release_claims,
    turn_back,
)
from netpulse.storage.conn import Conn
from netpulse.storage.disabling import refused
from netpulse.storage.errors import Missing
from netpulse.storage.notice_rows import COLUMNS, of_row, write
from netpulse.storage.settling import failed, retry, sent, suppress
from netpulse.storage.table import listed

__all__ = [
    "PER_CHANNEL",
    "Claimed",
    "add_system",
    "are_stored",
    "attempts",
    "claim",
    "failed",
    "for_incident",
    "get",
    "hurry",
    "is_undecided",
    "next_due",
    "pending_count",
    "recent",
    "refused",
    "release_claims",
    "resend",
    "retry",
    "sent",
    "suppress",
    "turn_back",
    "write",
]


def pending_count(conn: Conn) -> int:
    """Return how many notices wait to be told, the held ones too."""
    row = conn.one(
        "SELECT (SELECT count(*) FROM alert_events WHERE status = 'pending' AND held_for IS NULL)"
        " + (SELECT count(*) FROM alert_events WHERE status = 'pending' AND held_for IS NOT NULL)"
    )
    return int(row[0]) if row else 0


def for_incident(conn: Conn, incident_id: Id) -> list[Notice]:
    """Return the notices of an incident, the oldest first."""
    rows = conn.all(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.incident_id = ? ORDER BY e.seq",
        (incident_id,),
    )
    return [of_row(row) for row in rows]


def get(conn: Conn, org_id: Id, notice_id: Id) -> Notice | None:
    """Return the organization's notice, or None."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.org_id = ? AND e.id = ?",
        (org_id, notice_id),
    )
    return None if row is None else of_row(row)


def recent(conn: Conn, org_id: Id, limit: int = 20) -> list[Notice]:
    """Return the organization's latest notices, the newest first."""
    return notice_list.page(conn, org_id, limit=limit).rows


def resend(conn: Conn, org_id: Id, notice_id: Id, now: Millis) -> Notice:
    """Let a notice wait again, under the same id and held by nothing; return it as it is now.

    It goes singly and at once, storm or not. What was tried before is kept, and counted. Of several
    recipients those are left out who had it before it failed, not those who were refused.

    Raises:
        Missing: the organization has no such notice.
    """
    conn.execute(
        "UPDATE alert_events SET status = 'pending', reason = NULL, held_for = NULL, error = NULL,"
        " sent_at = NULL, next_attempt_at = ?1, due_at = ?1, digest_id = NULL,"
        " first_attempt_at = coalesce(first_attempt_at, ?1), fallback_at = NULL,"
        " claimed_by = NULL, claimed_until = NULL,"
        " shares = (SELECT json_group_object(key, value) FROM json_each(shares) WHERE value = ''),"
        # A duplicate stands beside the notice it doubles, which is the one of the transition.
        " transition_id = CASE WHEN reason IS NULL OR NOT EXISTS (SELECT 1 FROM alert_events t"
        " WHERE t.transition_id = alert_events.transition_id"
        " AND t.channel_id = alert_events.channel_id AND t.event = alert_events.event"
        " AND t.status <> 'suppressed') THEN transition_id END"
        " WHERE org_id = ?2 AND id = ?3",
        (now, org_id, notice_id),
    )
    found = get(conn, org_id, notice_id)
    if found is None:
        raise Missing("alert event")
    return found


def attempts(conn: Conn, notice_id: Id) -> list[Attempt]:
    """Return the attempts made for a notice, the first one first."""
    rows = conn.all(
        "SELECT at, ok, status_code, answer, latency_ms FROM alert_attempts"
        " WHERE notice_id = ? ORDER BY id",
        (notice_id,),
    )
    return [
        Attempt(at=row[0], ok=bool(row[1]), status_code=row[2], answer=row[3], latency_ms=row[4])
        for row in rows
    ]


def are_stored(conn: Conn, ids: Collection[Id]) -> bool:
    """Tell whether there are notices with all of these ids."""
    row = conn.one(
        "SELECT count(*) FROM alert_events WHERE id IN (SELECT value FROM json_each(?))",
        (listed(ids),),
    )
    return row is not None and row[0] == len(ids)


def _system_id(conn: Conn, event: Event, draft: NoticeDraft, now: Millis) -> Id:
    """Return the id of a notice about ourselves: the same when it has to be written again."""
    notice_id = derived_id(now, event.value, draft.channel_id, draft.rule_id or "")
    while are_stored(conn, (notice_id,)):
        notice_id = derived_id(now, notice_id)
    return notice_id


def add_system(conn: Conn, event: Event, reason: str, now: Millis) -> list[Id]:
    """Write the notices about NetPulse itself, for every rule of every organization that asks for
    them; `reason` is the sentence they carry. Returns the ids of those that wait to be sent."""
    waiting: list[Id] = []
    rules = alert_rules.for_system(conn)
    for org_id in sorted({rule.org_id for rule in rules}):
        org = orgs.get(conn, org_id)
        if org is None:
            continue
        own = [rule for rule in rules if rule.org_id == org_id]
        active = channels.active_ids(conn, frozenset(rule.channel_id for rule in own))
        for draft in alerting.due_of_system(event, own, active, at=now):
            notice_id = _system_id(conn, event, draft, now)
            notice = Notice(
                id=notice_id,
                org_id=org_id,
                event=event,
                rule_id=draft.rule_id,
                channel_id=draft.channel_id,
                monitor_id=None,
                incident_id=None,
                status=draft.status,
                reason=draft.reason,
                held_for=draft.held_for,
                payload=alerting.payload(notice_id, event, org, at=now, reason=reason),
                created_at=now,
                next_attempt_at=draft.next_attempt_at,
            )
            write(conn, notice)
            if notice.status is NoticeStatus.PENDING:
                waiting.append(notice_id)
    return waiting
