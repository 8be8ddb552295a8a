"""Fallbacks: the other channel of a rule, told when its own has not taken a notice in time."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from netpulse.model.alert import PROBLEMS, Cause, Event, Notice, NoticeStatus, Suppressed
from netpulse.model.ids import Id, derived_id
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.rules import outbox
from netpulse.storage import notice_rows
from netpulse.storage.conn import Conn
from netpulse.storage.notice_rows import COLUMNS, of_row

_AT_ONCE = 1000
"""Notices whose fallback is told in one transaction."""


def tell_overdue(conn: Conn, now: Millis) -> None:
    """Tell the fallback channels of what is due and has not been delivered for five minutes."""
    for notice_id, due_at in conn.all(
        "SELECT id, due_at FROM alert_events WHERE fallback_at <= ? AND status = 'pending'"
        " AND held_for IS NULL ORDER BY fallback_at, seq LIMIT ?",
        (now, _AT_ONCE),
    ):
        at = due_at + outbox.FALLBACK_AFTER
        if at > now:
            # It was held when it was written, and is due only since it was released.
            conn.execute("UPDATE alert_events SET fallback_at = ? WHERE id = ?", (at, notice_id))
        else:
            tell(conn, notice_id, now)


def put_off(conn: Conn, now: Millis) -> None:
    """Give the channel of whatever was never tried its five minutes from now on: nobody could
    try it before."""
    conn.execute(
        "UPDATE alert_events SET fallback_at = ?1 WHERE fallback_at < ?1 AND status = 'pending'"
        " AND held_for IS NULL AND first_attempt_at IS NULL",
        (now + outbox.FALLBACK_AFTER,),
    )


def next_due(conn: Conn) -> Millis | None:
    """Return when the next fallback channel is to be told, or None."""
    row = conn.one(
        "SELECT min(fallback_at) FROM alert_events WHERE fallback_at IS NOT NULL"
        " AND status = 'pending' AND held_for IS NULL"
    )
    return None if row is None or row[0] is None else int(row[0])


def tell(conn: Conn, notice_id: Id, now: Millis) -> None:
    """Write a notice for the fallback channel in place of this one, unless that was done or its
    rule names none (any more).

    With a problem goes the recovery that waits behind it; one that is over without is left out.
    One that is held back is held for that channel as it was.
    Where the channel was told the same by another rule, the notice is a suppressed duplicate;
    where it is switched off, suppressed too.
    """
    found = conn.one(
        f"SELECT {COLUMNS}, e.seq, e.transition_id, c.id, c.is_active FROM alert_events e"
        " JOIN alert_rules r ON r.id = e.rule_id JOIN alert_channels c"
        " ON c.id = r.fallback_channel_id AND c.deleted_at IS NULL AND c.id <> e.channel_id"
        " WHERE e.id = ? AND e.fallback_at IS NOT NULL",
        (notice_id,),
    )
    conn.execute("UPDATE alert_events SET fallback_at = NULL WHERE id = ?", (notice_id,))
    if found is None:
        return
    notice, (seq, transition_id, channel_id, is_active) = of_row(found[:-4]), found[-4:]
    recovery = None
    if notice.event in PROBLEMS and notice.held_for is None:
        recovery = conn.one(
            "SELECT id FROM alert_events WHERE channel_id = ? AND monitor_id = ? AND seq > ?"
            " AND event = ? AND status = 'pending' AND held_for IS NULL"
            " AND fallback_at IS NOT NULL ORDER BY seq LIMIT 1",
            (notice.channel_id, notice.monitor_id, seq, Event.MONITOR_UP.value),
        )
        if recovery is None and _is_over(conn, notice):
            # Its recovery is held back (it flaps), or was told: nobody else would close this.
            return
    reason = None if is_active else Suppressed.CHANNEL_INACTIVE
    if reason is None and _is_told(conn, transition_id, channel_id, notice.event):
        reason = Suppressed.DUPLICATE
    _write(conn, notice, transition_id, channel_id, reason, now)
    if recovery is not None:
        tell(conn, recovery[0], now)


def _is_over(conn: Conn, notice: Notice) -> bool:
    """Tell whether the problem of a notice has ended."""
    if notice.event is Event.MONITOR_DEGRADED:
        row = conn.one("SELECT settled FROM watches WHERE monitor_id = ?", (notice.monitor_id,))
        return row is None or row[0] != Status.DEGRADED
    row = conn.one("SELECT resolved_at FROM incidents WHERE id = ?", (notice.incident_id,))
    return row is not None and row[0] is not None


def _is_told(conn: Conn, transition_id: Id | None, channel_id: Id, event: Event) -> bool:
    if transition_id is None:
        return False
    told = conn.one(
        "SELECT 1 FROM alert_events WHERE transition_id = ? AND channel_id = ? AND event = ?"
        " AND status <> 'suppressed'",
        (transition_id, channel_id, event.value),
    )
    return told is not None


def _write(
    conn: Conn,
    notice: Notice,
    transition_id: Id | None,
    channel_id: Id,
    reason: Suppressed | None,
    now: Millis,
) -> None:
    fresh = derived_id(now, notice.id, channel_id)
    payload = msgspec.json.decode(notice.payload)
    payload["id"] = fresh
    status, due_at, held_for = NoticeStatus.SUPPRESSED, None, None
    if reason is None:
        status, due_at, held_for = NoticeStatus.PENDING, now, notice.held_for
        if held_for is not None:
            due_at = notice.next_attempt_at
            # It speaks for its threshold now: `held` looks there whether that is so still.
            conn.execute(
                "UPDATE threshold_states SET notice_id = ? WHERE notice_id = ?", (fresh, notice.id)
            )
    notice_rows.write(
        conn,
        Notice(
            id=fresh,
            org_id=notice.org_id,
            event=notice.event,
            rule_id=notice.rule_id,
            channel_id=channel_id,
            monitor_id=notice.monitor_id,
            incident_id=notice.incident_id,
            status=status,
            reason=reason,
            held_for=held_for,
            payload=Raw(msgspec.json.encode(payload)),
            created_at=now,
            next_attempt_at=due_at,
            cause=Cause.FALLBACK,
            template=notice.template,
            fallback_of=notice.id,
        ),
        transition_id=transition_id,
    )
