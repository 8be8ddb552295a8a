"""Rows of the outbox: a Notice in, a Notice out."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from netpulse.model.alert import Cause, Event, Notice, NoticeStatus, Suppressed
from netpulse.model.ids import Id
from netpulse.storage.conn import Conn, Row

COLUMNS = (
    "e.id, e.org_id, e.event, e.rule_id, e.channel_id, e.monitor_id, e.incident_id, e.status,"
    " e.reason, e.held_for, e.payload, e.created_at, e.sent_at, e.next_attempt_at,"
    " e.attempt_count, e.error, e.cause, e.template, e.digest_id, e.fallback_at, e.fallback_of,"
    " e.first_attempt_at, e.due_at, e.shares"
)
"""A select list (table alias `e`) that `of_row` takes."""


def write(
    conn: Conn,
    notice: Notice,
    *,
    transition_id: Id | None = None,
) -> None:
    """Put a notice into the outbox.

    Raises:
        UniqueConflict: one that is not suppressed tells the same event of this transition to the
            same channel already.
    """
    conn.execute(
        "INSERT INTO alert_events (id, org_id, event, rule_id, channel_id, monitor_id,"
        " incident_id, transition_id, status, reason, held_for, payload, created_at, due_at,"
        " next_attempt_at, cause, template, digest_id, fallback_at, fallback_of)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            notice.id,
            notice.org_id,
            notice.event.value,
            notice.rule_id,
            notice.channel_id,
            notice.monitor_id,
            notice.incident_id,
            transition_id,
            notice.status.value,
            None if notice.reason is None else notice.reason.value,
            None if notice.held_for is None else notice.held_for.value,
            bytes(notice.payload).decode(),
            notice.created_at,
            notice.due_at or notice.next_attempt_at or notice.created_at,
            notice.next_attempt_at,
            notice.cause.value,
            notice.template,
            notice.digest_id,
            notice.fallback_at,
            notice.fallback_of,
        ),
    )


def of_row(row: Row) -> Notice:
    """Return the Notice of a row selected with COLUMNS."""
    return Notice(
        id=row[0],
        org_id=row[1],
        event=Event(row[2]),
        rule_id=row[3],
        channel_id=row[4],
        monitor_id=row[5],
        incident_id=row[6],
        status=NoticeStatus(row[7]),
        reason=None if row[8] is None else Suppressed(row[8]),
        held_for=None if row[9] is None else Suppressed(row[9]),
        payload=Raw(row[10].encode()),
        created_at=row[11],
        sent_at=row[12],
        next_attempt_at=row[13],
        attempt_count=row[14],
        error=row[15],
        cause=Cause(row[16]),
        template=row[17],
        digest_id=row[18],
        fallback_at=row[19],
        fallback_of=row[20],
        first_attempt_at=row[21],
        due_at=row[22],
        shares={} if row[23] is None else msgspec.json.decode(row[23], type=dict[str, str]),
    )
