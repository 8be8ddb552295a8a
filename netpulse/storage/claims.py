"""Claiming and settling: how a notice of the outbox becomes one that was told.

A notice is claimed by a conditional UPDATE (`claimed_by`, `claimed_until`), sent, and settled.
What was claimed and not settled when a process died is released at the next start, so that every
notice is told at least once, always under the same id. Of one channel and one monitor only the
oldest unsettled notice is claimed: what is told keeps the order in which it happened.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from netpulse.model.alert import Attempt, Event, Notice, Suppressed
from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.model.watch import Status
from netpulse.rules import alerting
from netpulse.storage import alert_rules, channels, incidents, watches
from netpulse.storage.conn import Conn
from netpulse.storage.notice_rows import COLUMNS, of_row

PER_CHANNEL = 16
"""Notices of one channel that may be on their way at once."""

_DAMAGED_WAIT = 15 * MINUTE
"""Until a channel whose configuration does not open is looked at again (milliseconds)."""

_PROBLEMS = (Event.MONITOR_DOWN.value, Event.MONITOR_DEGRADED.value)

_UNCLAIM = "claimed_by = NULL, claimed_until = NULL"


class Claimed(Struct, frozen=True):
    """A notice that this worker may send now, and through what."""

    notice: Notice
    channel: Channel


def claim(
    conn: Conn,
    worker: str,
    now: Millis,
    *,
    limit: int,
    lease_ms: int,
    busy: Collection[tuple[Id, Id | None]] = (),
) -> list[Claimed]:
    """Claim up to `limit` notices that are due for `worker`, for `lease_ms` milliseconds.

    Held notices whose time has come are resolved first: told if what they say still holds, else
    suppressed for the reason they were held. `busy` names pairs (channel, monitor) that the
    worker is still sending for. A channel whose configuration does not open costs its notice an
    attempt and says so.
    """
    _resolve_held(conn, now)
    claimed: list[Claimed] = []
    for channel_row in conn.all(
        f"SELECT {channels.COLUMNS} FROM alert_channels WHERE EXISTS (SELECT 1 FROM alert_events e"
        " WHERE e.channel_id = alert_channels.id AND e.status = 'pending'"
        " AND e.held_for IS NULL) ORDER BY (SELECT count(*) FROM alert_events f"
        # Who has the least on its way comes first: slow receivers must not take every place.
        " WHERE f.channel_id = alert_channels.id AND f.claimed_until > ?), id",
        (now,),
    ):
        if len(claimed) >= limit:
            break
        channel = channels.of_row(conn, channel_row)
        room = min(limit - len(claimed), PER_CHANNEL - _in_flight(conn, channel.id, now))
        for notice in _due(conn, channel.id, now, room, busy):
            if channel.damage is not None:
                attempt = Attempt(at=now, ok=False, answer=channel.damage)
                retry(conn, notice.id, attempt, now + _DAMAGED_WAIT, channel.damage)
            elif _take(conn, notice.id, worker, now, lease_ms):
                claimed.append(Claimed(notice, channel))
    return claimed


def sent(conn: Conn, notice_id: Id, attempt: Attempt, now: Millis) -> None:
    """Settle a notice that was accepted; it becomes a line of its incident's story.

    Also where it was suppressed meanwhile (its channel was switched off): it has been told.
    """
    conn.execute(
        "UPDATE alert_events SET status = 'sent', reason = NULL, sent_at = ?,"
        " next_attempt_at = NULL,"
        f" attempt_count = attempt_count + 1, error = NULL, {_UNCLAIM}"
        " WHERE id = ? AND status <> 'sent'",
        (now, notice_id),
    )
    if conn.changes:
        _note_attempt(conn, notice_id, attempt)
        _tell_story(conn, notice_id, now, "Told")


def retry(conn: Conn, notice_id: Id, attempt: Attempt, next_attempt_at: Millis, error: str) -> None:
    """Note an attempt that failed, and when the next one is made."""
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = ?, attempt_count = attempt_count + 1,"
        f" error = ?, {_UNCLAIM} WHERE id = ? AND status = 'pending'",
        (next_attempt_at, error, notice_id),
    )
    _note_attempt(conn, notice_id, attempt)


def failed(conn: Conn, notice_id: Id, attempt: Attempt, error: str) -> None:
    """Settle a notice that will not be told: no further attempt is made.

    A recovery that waits behind it falls away with it: who never heard of a problem is not told
    that it is over.
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
        _withdraw_recovery(conn, notice_id)


def suppress(conn: Conn, notice_id: Id, reason: Suppressed) -> None:
    """Decide that a notice that waits will not be told."""
    conn.execute(
        "UPDATE alert_events SET status = 'suppressed', reason = ?, held_for = NULL,"
        f" next_attempt_at = NULL, {_UNCLAIM} WHERE id = ? AND status = 'pending'",
        (reason.value, notice_id),
    )


def release_claims(conn: Conn, worker: str | None) -> int:
    """Give back what `worker` (None: anybody) had claimed; returns how many that were."""
    conn.execute(
        f"UPDATE alert_events SET {_UNCLAIM} WHERE claimed_until IS NOT NULL"
        " AND (?1 IS NULL OR claimed_by = ?1)",
        (worker,),
    )
    return conn.changes


def next_due(conn: Conn, now: Millis) -> Millis | None:
    """Return when the next notice is to be looked at (`now` if it is due), or None if none waits.

    A claimed one counts with the end of its claim.
    """
    row = conn.one(
        "SELECT min(at) FROM (SELECT min(next_attempt_at) AS at FROM alert_events"
        " WHERE status = 'pending' AND claimed_until IS NULL"
        " UNION ALL SELECT min(claimed_until) FROM alert_events WHERE claimed_until IS NOT NULL)"
    )
    return None if row is None or row[0] is None else max(now, int(row[0]))


def hurry(conn: Conn, now: Millis) -> int:
    """Make due at once what could not be delivered for want of a connection; returns how many.

    Where a receiver answered and asked us to wait, it stays as it is.
    """
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = ?1 WHERE status = 'pending'"
        " AND held_for IS NULL AND claimed_until IS NULL AND next_attempt_at > ?1"
        " AND attempt_count > 0 AND (SELECT a.status_code FROM alert_attempts a"
        " WHERE a.notice_id = alert_events.id ORDER BY a.id DESC LIMIT 1) IS NULL",
        (now,),
    )
    return conn.changes


def _resolve_held(conn: Conn, now: Millis) -> None:
    for row in conn.all(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.status = 'pending'"
        " AND e.held_for IS NOT NULL AND e.next_attempt_at <= ? ORDER BY e.seq LIMIT 1000",
        (now,),
    ):
        notice = of_row(row)
        if _still_holds(conn, notice):
            conn.execute(
                "UPDATE alert_events SET held_for = NULL, due_at = ? WHERE id = ?", (now, notice.id)
            )
        else:
            suppress(conn, notice.id, notice.held_for or Suppressed.COOLDOWN)


def _still_holds(conn: Conn, notice: Notice) -> bool:
    watch = None if notice.monitor_id is None else watches.get(conn, notice.monitor_id)
    if watch is None:
        return False
    is_open = False
    if notice.incident_id is not None:
        incident = incidents.get(conn, notice.org_id, notice.incident_id)
        is_open = incident is not None and incident.resolved_at is None
    settled = watch.status if watch.status is Status.PAUSED else watch.settled
    return alerting.still_holds(notice.event, settled=settled, incident_open=is_open)


def _in_flight(conn: Conn, channel_id: Id, now: Millis) -> int:
    row = conn.one(
        "SELECT count(*) FROM alert_events WHERE channel_id = ? AND claimed_until > ?",
        (channel_id, now),
    )
    return int(row[0]) if row else 0


def _due(
    conn: Conn,
    channel_id: Id,
    now: Millis,
    room: int,
    busy: Collection[tuple[Id, Id | None]],
) -> list[Notice]:
    """Return up to `room` notices of a channel that may be sent now, oldest first."""
    if room <= 0:
        return []
    taken = [monitor_id for channel, monitor_id in busy if channel == channel_id]
    rows = conn.all(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.channel_id = ?1 AND e.status = 'pending'"
        " AND e.held_for IS NULL AND e.next_attempt_at <= ?2"
        " AND (e.claimed_until IS NULL OR e.claimed_until <= ?2)"
        " AND NOT EXISTS (SELECT 1 FROM alert_events o WHERE o.channel_id = e.channel_id"
        " AND o.monitor_id IS e.monitor_id AND o.status = 'pending' AND o.held_for IS NULL"
        " AND o.seq < e.seq) ORDER BY e.seq LIMIT ?3",
        (channel_id, now, room + len(taken)),
    )
    found = [notice for notice in map(of_row, rows) if notice.monitor_id not in taken]
    return found[:room]


def _take(conn: Conn, notice_id: Id, worker: str, now: Millis, lease_ms: int) -> bool:
    conn.execute(
        "UPDATE alert_events SET claimed_by = ?1, claimed_until = ?2 WHERE id = ?3"
        " AND status = 'pending' AND (claimed_until IS NULL OR claimed_until <= ?4)",
        (worker, now + lease_ms, notice_id, now),
    )
    return conn.changes == 1


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
    conn.execute(
        "INSERT INTO alert_attempts (notice_id, at, ok, status_code, answer, latency_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
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
    row = conn.one(
        "SELECT e.incident_id, e.event, c.name, e.error FROM alert_events e"
        " JOIN alert_channels c ON c.id = e.channel_id WHERE e.id = ?",
        (notice_id,),
    )
    if row is not None and row[0] is not None:
        why = f": {row[3]}" if row[3] else ""
        incidents.tell(conn, row[0], "notice", at, f"{what} {row[2]} ({row[1]}){why}")
