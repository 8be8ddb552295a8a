"""Settling: what an attempt came to, for the notice, its incident's story and who waits behind."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from netpulse.model.alert import PROBLEMS, Attempt, Cause, Event, Suppressed
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.rules import outbox
from netpulse.storage import alert_rules, fallbacks, incident_story
from netpulse.storage.conn import Conn
from netpulse.storage.notice_rows import COLUMNS, of_row

_PROBLEMS = tuple(event.value for event in PROBLEMS)

_UNCLAIM = "claimed_by = NULL, claimed_until = NULL"


def sent(conn: Conn, notice_id: Id, attempt: Attempt, now: Millis, *, words: str = "Told") -> None:
    """Settle a notice that was accepted; it becomes a line of its incident's story, which begins
    with `words`.

    Also where it was suppressed meanwhile (its channel was switched off): it has been told.
    """
    conn.execute(
        "UPDATE alert_events SET status = 'sent', reason = NULL, sent_at = ?,"
        " next_attempt_at = NULL, held_for = NULL, fallback_at = NULL, shares = NULL,"
        f" attempt_count = attempt_count + 1, error = NULL, {_UNCLAIM}"
        " WHERE id = ? AND status <> 'sent'",
        (now, notice_id),
    )
    if conn.changes:
        conn.execute(
            "UPDATE alert_channels SET refusals = 0 WHERE refusals > 0"
            " AND id = (SELECT channel_id FROM alert_events WHERE id = ?)",
            (notice_id,),
        )
        _note_attempt(conn, notice_id, attempt)
        _tell_story(conn, notice_id, now, words)


def retry(
    conn: Conn,
    notice_id: Id,
    attempt: Attempt,
    next_attempt_at: Millis,
    error: str,
    shares: Mapping[str, str] | None = None,
) -> None:
    """Note an attempt that failed, when the next one is made, and who of several recipients is
    settled by now."""
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = ?, attempt_count = attempt_count + 1,"
        f" error = ?, shares = ?, {_UNCLAIM} WHERE id = ? AND status = 'pending'",
        (
            next_attempt_at,
            error,
            msgspec.json.encode(shares).decode() if shares else None,
            notice_id,
        ),
    )
    _note_attempt(conn, notice_id, attempt)


def failed(conn: Conn, notice_id: Id, attempt: Attempt, error: str) -> None:
    """Settle a notice that will not be told: no further attempt is made.

    Its rule's fallback channel is told in its place. A recovery that waits behind it falls away
    with it: who never heard of a problem is not told that it is over.
    """
    conn.execute(
        "UPDATE alert_events SET status = 'failed', next_attempt_at = NULL,"
        f" attempt_count = attempt_count + 1, error = ?, {_UNCLAIM}"
        " WHERE id = ? AND status = 'pending'",
        (error, notice_id),
    )
    settled = conn.changes > 0
    _note_attempt(conn, notice_id, attempt)
    if settled:
        _tell_story(conn, notice_id, attempt.at, "Could not tell")
        fallbacks.tell(conn, notice_id, attempt.at)
        _withdraw_recovery(conn, notice_id)


def suppress(conn: Conn, notice_id: Id, reason: Suppressed) -> None:
    """Decide that a notice that waits will not be told."""
    conn.execute(
        "UPDATE alert_events SET status = 'suppressed', reason = ?, held_for = NULL,"
        f" next_attempt_at = NULL, fallback_at = NULL, {_UNCLAIM}"
        " WHERE id = ? AND status = 'pending'",
        (reason.value, notice_id),
    )


def _withdraw_recovery(conn: Conn, notice_id: Id) -> None:
    """Suppress the recovery that waits behind a problem nobody could be told of, if its channel
    has not heard of any problem since the recovery before, and no rule asks for `up` itself."""
    found = conn.one(
        f"SELECT e.seq, {COLUMNS} FROM alert_events o JOIN alert_events e"
        " ON e.channel_id = o.channel_id AND e.monitor_id = o.monitor_id AND e.seq > o.seq"
        " AND e.status = 'pending' AND e.held_for IS NULL AND e.event = ?2"
        " WHERE o.id = ?1 AND o.event IN (?3, ?4) ORDER BY e.seq LIMIT 1",
        (notice_id, Event.MONITOR_UP.value, *_PROBLEMS),
    )
    if found is None:
        return
    seq, recovery = found[0], of_row(found[1:])
    heard = conn.one(
        "SELECT 1 FROM alert_events WHERE channel_id = ?1 AND monitor_id = ?2 AND seq < ?3"
        " AND event IN (?5, ?6) AND status IN ('sent', 'pending') AND held_for IS NULL"
        " AND seq > coalesce((SELECT max(seq) FROM alert_events WHERE channel_id = ?1"
        " AND monitor_id = ?2 AND seq < ?3 AND event = ?4 AND status = 'sent'), 0)",
        (recovery.channel_id, recovery.monitor_id, seq, Event.MONITOR_UP.value, *_PROBLEMS),
    )
    rule = None
    if recovery.rule_id is not None:
        rule = alert_rules.get(conn, recovery.org_id, recovery.rule_id)
    asked = rule is not None and Event.MONITOR_UP in alert_rules.events(rule)
    if heard is None and not asked:
        suppress(conn, recovery.id, Suppressed.COLLAPSED)


def _note_attempt(conn: Conn, notice_id: Id, attempt: Attempt) -> None:
    """Note an attempt; nothing where there is no such notice (of several, told from memory)."""
    conn.execute(
        "INSERT INTO alert_attempts (notice_id, at, ok, status_code, answer, latency_ms)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM alert_events WHERE id = ?1)",
        (
            notice_id,
            attempt.at,
            int(attempt.ok),
            attempt.status_code,
            None if attempt.answer is None else attempt.answer[:4096],
            attempt.latency_ms,
        ),
    )


def _tell_story(conn: Conn, notice_id: Id, at: Millis, what: str) -> None:
    """Add a line to the story of a notice's incident: who was told what, and how late."""
    row = conn.one(
        "SELECT e.incident_id, c.name, f.name, e.payload, e.cause, e.digest_id, e.error, e.due_at"
        " FROM alert_events e JOIN alert_channels c ON c.id = e.channel_id"
        " LEFT JOIN alert_events o ON o.id = e.fallback_of"
        " LEFT JOIN alert_channels f ON f.id = o.channel_id WHERE e.id = ?",
        (notice_id,),
    )
    if row is None or row[0] is None:
        return
    incident_id, channel, instead_of, payload, cause, digest_id, error, due_at = row
    line = f"{what} {channel}"
    if instead_of is not None:
        line += f" in place of {instead_of}"
    if digest_id is not None:
        line += " in a digest"
    line += f": {outbox.subject(payload.encode(), Cause(cause))}"
    if error:
        line += f" ({error})"
    elif delay := outbox.delay(at - due_at):
        line += f" ({delay})"
    incident_story.tell(conn, incident_id, "notice", at, line)
