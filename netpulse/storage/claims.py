"""Claiming: how notices of the outbox become messages that are on their way.

A notice is claimed by a conditional UPDATE (`claimed_by`, `claimed_until`), sent, and settled
(`settling`). What was claimed and not settled when a process died is released at the next start,
so that every notice is told at least once, always under the same id. A lane is one channel and
one monitor: of each, only the oldest unsettled notice is claimed, so that what is told keeps the
order in which it happened. On channels that people read, storms are gathered into digests
(`rules.outbox`): those take a lane's notices together, and stay the same at every attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set

from msgspec import Struct
from msgspec.structs import replace as changed

from netpulse.model.alert import Attempt, Event, Notice, Suppressed
from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.rules import outbox
from netpulse.storage import channels, fallbacks, held, settling, timers
from netpulse.storage.conn import Conn, Row
from netpulse.storage.notice_rows import COLUMNS, of_row
from netpulse.storage.table import listed

PER_CHANNEL = 16
"""Messages of one channel that may be on their way at once."""

_DAMAGED_WAIT = 15 * MINUTE
"""Until a channel whose configuration does not open is looked at again (milliseconds)."""

_UNCLAIM = "claimed_by = NULL, claimed_until = NULL"

_WAITS = "e.channel_id = ?1 AND e.status = 'pending' AND e.held_for IS NULL"

_UNCLAIMED = "(e.claimed_until IS NULL OR e.claimed_until <= ?2)"

_IN_LANE = (
    "SELECT 1 FROM alert_events o WHERE o.channel_id = e.channel_id"
    " AND o.monitor_id IS e.monitor_id AND o.status = 'pending' AND o.held_for IS NULL"
    " AND o.seq < e.seq"
)
"""An older notice of the same lane that is not settled."""

_ON_THEIR_WAY = (
    "SELECT count(DISTINCT coalesce(f.digest_id, f.id)) FROM alert_events f"
    " WHERE f.channel_id = c.id AND f.claimed_until > ?1"
)


class Claimed(Struct, frozen=True, kw_only=True):
    """A message that this worker may send now, and through what."""

    notices: tuple[Notice, ...]
    """What it tells, the oldest first: one notice, or those of a digest."""
    channel: Channel
    timezone: str = "UTC"
    """The organization's (IANA)."""
    unacknowledged: frozenset[Id] = frozenset()
    """Those of its incidents that are open and nobody has taken on."""

    @property
    def notice(self) -> Notice:
        """The oldest."""
        return self.notices[0]

    @property
    def id(self) -> Id:
        """The message's id: the same at every attempt."""
        return self.notice.digest_id or self.notice.id

    @property
    def lanes(self) -> frozenset[tuple[Id, Id | None]]:
        """Channel and monitor of each of its notices."""
        return frozenset((notice.channel_id, notice.monitor_id) for notice in self.notices)


class Unseen(Struct, frozen=True, kw_only=True):
    """What counts and is not in the file."""

    told: Mapping[Id, Mapping[Id, Millis]] = {}
    """By channel: the messages that were begun, and when."""
    others: Set[Id] = frozenset()
    """Monitors of which nothing is told now: not all about them is in the file."""
    waiting_since: Millis | None = None
    """Since when something may wait to be told of them."""


NOTHING_UNSEEN = Unseen()


class _Claim(Struct, frozen=True, kw_only=True):
    """Who claims, when, and what not."""

    worker: str
    now: Millis
    until: Millis
    busy: Collection[tuple[Id, Id | None]]
    unseen: Unseen


def claim(
    conn: Conn,
    worker: str,
    now: Millis,
    *,
    limit: int,
    lease_ms: int,
    busy: Collection[tuple[Id, Id | None]] = (),
    anew: bool = True,
    unseen: Unseen = NOTHING_UNSEEN,
) -> list[Claimed]:
    """Claim up to `limit` messages that are due for `worker`, for `lease_ms` milliseconds.

    What time alone decides is decided first: held notices are told or suppressed, escalations and
    reminders are written, and fallback channels are told. `busy` names lanes that the worker is
    still sending for. A channel whose configuration does not open costs its notices an attempt
    and says so. Without `anew` no notices are written (escalations, reminders, fallbacks).
    `unseen` is what else counts.
    """
    held.resolve(conn, now)
    if anew:
        timers.ring(conn, now)
        fallbacks.tell_overdue(conn, now)
    by = _Claim(worker=worker, now=now, until=now + lease_ms, busy=busy, unseen=unseen)
    claimed: list[Claimed] = []
    for row in _waiting_channels(conn, now):
        if len(claimed) >= limit:
            break
        channel_id, kind, gathering_until, timezone, on_their_way = row
        room = min(limit - len(claimed), PER_CHANNEL - on_their_way)
        if room <= 0:
            continue
        channel = _channel(conn, channel_id)
        if channel.damage is not None:
            _note_damage(conn, channel, by)
            continue
        if outbox.is_read_by_people(kind):
            found = _for_people(conn, channel_id, gathering_until, room, by)
        else:
            found = [(notice,) for notice in _heads(conn, channel_id, room, by)]
        claimed += [
            Claimed(
                notices=together,
                channel=channel,
                timezone=timezone,
                unacknowledged=_unacknowledged(conn, together),
            )
            for together in found
        ]
    return claimed


def release_claims(conn: Conn, worker: str | None) -> int:
    """Give back what `worker` (None: anybody) had claimed; returns how many that were."""
    conn.execute(
        f"UPDATE alert_events SET {_UNCLAIM} WHERE claimed_until IS NOT NULL"
        " AND (?1 IS NULL OR claimed_by = ?1)",
        (worker,),
    )
    return conn.changes


def next_due(conn: Conn, now: Millis) -> Millis | None:
    """Return when the outbox is to be looked at again (`now` if something is due), or None if
    nothing waits.

    What stands behind another notice of its lane does not count, nor what waits for a channel
    with no place left: the end of an attempt comes first. A claimed one counts with the end of
    its claim.
    """
    row = conn.one(
        "SELECT min(at) FROM (SELECT min(next_attempt_at) AS at FROM alert_events"
        " WHERE status = 'pending' AND held_for IS NOT NULL"
        " UNION ALL SELECT min(claimed_until) FROM alert_events WHERE claimed_until IS NOT NULL)"
    )
    times = [row[0] if row else None, timers.next_due(conn), fallbacks.next_due(conn)]
    for channel_id, kind, gathering_until, _, on_their_way in _waiting_channels(conn, now):
        if on_their_way >= PER_CHANNEL:
            continue
        if not outbox.is_read_by_people(kind):
            times.append(_first(conn, channel_id))
            continue
        times.append(_first(conn, channel_id, "AND e.first_attempt_at IS NOT NULL"))
        fresh = _first(conn, channel_id, "AND e.first_attempt_at IS NULL")
        if fresh is not None:
            times.append(outbox.looks_at(fresh, gathering_until=gathering_until, now=now))
    known = [at for at in times if at is not None]
    return max(now, min(known)) if known else None


def is_undecided(conn: Conn, now: Millis) -> bool:
    """Tell whether `claim` has more to decide by time alone than it did in one transaction."""
    row = conn.one(
        "SELECT min(next_attempt_at) FROM alert_events"
        " WHERE status = 'pending' AND held_for IS NOT NULL"
    )
    times = [row[0] if row else None, timers.next_due(conn), fallbacks.next_due(conn)]
    return any(at is not None and at <= now for at in times)


def hurry(conn: Conn, now: Millis, channel_id: Id | None = None) -> int:
    """Make due at once what could not be delivered for want of a connection, of one channel or of
    all; returns how many.

    Where a receiver answered and asked us to wait, it stays as it is.
    """
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = ?1 WHERE status = 'pending'"
        " AND held_for IS NULL AND claimed_until IS NULL AND next_attempt_at > ?1"
        " AND attempt_count > 0 AND (?2 IS NULL OR channel_id = ?2)"
        " AND (SELECT a.status_code FROM alert_attempts a"
        " WHERE a.notice_id = alert_events.id ORDER BY a.id DESC LIMIT 1) IS NULL",
        (now, channel_id),
    )
    return conn.changes


def turn_back(conn: Conn, by: Millis) -> None:
    """Bring nearer, by `by` milliseconds, what waits to be sent: the clock was set back by that.

    Of what is held back, what waits for a moment of the wall clock stays.
    """
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = next_attempt_at - ?1, due_at = due_at - ?1,"
        " claimed_until = claimed_until - ?1, fallback_at = fallback_at - ?1"
        " WHERE status = 'pending' AND held_for IS NULL",
        (by,),
    )
    conn.execute("UPDATE alert_channels SET gathering_until = gathering_until - ?", (by,))
    held.turn_back(conn, by)
    timers.turn_back(conn, by)


def _waiting_channels(conn: Conn, now: Millis) -> list[Row]:
    """Return id, type, `gathering_until`, the organization's time zone and how many messages are
    on their way of each channel that has something to tell; who has the least on its way comes
    first, so that slow receivers do not take every place."""
    return conn.all(
        "SELECT c.id, c.type, c.gathering_until, o.timezone,"
        f" ({_ON_THEIR_WAY}) AS on_their_way FROM alert_channels c"
        " JOIN organizations o ON o.id = c.org_id"
        " WHERE EXISTS (SELECT 1 FROM alert_events e WHERE e.channel_id = c.id"
        " AND e.status = 'pending' AND e.held_for IS NULL) ORDER BY on_their_way, c.id",
        (now,),
    )


def _channel(conn: Conn, channel_id: Id) -> Channel:
    """Return a channel, a deleted one too."""
    row = conn.one(f"SELECT {channels.COLUMNS} FROM alert_channels WHERE id = ?", (channel_id,))
    assert row is not None, "a notice's channel exists (foreign key)"
    return channels.of_row(conn, row)


def _for_people(
    conn: Conn, channel_id: Id, gathering_until: Millis | None, room: int, by: _Claim
) -> list[tuple[Notice, ...]]:
    """Claim what a channel that people read may be told now: what was tried before, then fresh
    notices singly, or all that wait in one message."""
    collapse(conn, channel_id, by.now)
    found = _digests(conn, channel_id, room, by)
    again = _heads(conn, channel_id, room - len(found), by, "AND e.first_attempt_at IS NOT NULL")
    found += [(notice,) for notice in again]
    waits_since = conn.one(
        f"SELECT min(e.due_at) FROM alert_events e WHERE {_WAITS} AND {_UNCLAIMED}"
        " AND e.first_attempt_at IS NULL AND e.next_attempt_at <= ?2",
        (channel_id, by.now),
    )
    if waits_since is None or waits_since[0] is None or len(found) >= room:
        return found
    begun = _begun(conn, channel_id, by)
    since = waits_since[0]
    if by.unseen.waiting_since is not None:
        since = min(since, by.unseen.waiting_since)
    pace = outbox.pace(gathering_until=gathering_until, begun=begun, waits_since=since, now=by.now)
    if pace.digest:
        digest = _gather(conn, channel_id, by)
        if digest:
            _gather_until(conn, channel_id, by.now + outbox.window(_not_taken(conn, channel_id)))
            found.append(digest)
    elif not pace.is_gathering:
        allowed = min(room - len(found), pace.singles)
        fresh = _heads(conn, channel_id, allowed, by, "AND e.first_attempt_at IS NULL")
        found += [(notice,) for notice in fresh]
        if begun + len(fresh) >= outbox.SINGLES:
            _gather_until(conn, channel_id, by.now + outbox.WINDOW)
    return found


def collapse(conn: Conn, channel_id: Id, now: Millis) -> None:
    """Suppress the problems that were not delivered and are over: their recovery, which waits
    behind them, tells it all."""
    conn.execute(
        "UPDATE alert_events AS e SET status = 'suppressed', reason = ?3, next_attempt_at = NULL,"
        f" fallback_at = NULL, {_UNCLAIM} WHERE {_WAITS} AND {_UNCLAIMED}"
        " AND e.event IN (?4, ?5, ?6) AND EXISTS (SELECT 1 FROM alert_events u"
        " WHERE u.channel_id = ?1 AND u.monitor_id = e.monitor_id AND u.status = 'pending'"
        " AND u.held_for IS NULL AND u.seq > e.seq AND u.event = ?7)",
        (
            channel_id,
            now,
            Suppressed.COLLAPSED.value,
            Event.MONITOR_DOWN.value,
            Event.MONITOR_DEGRADED.value,
            Event.INCIDENT_ACKNOWLEDGED.value,
            Event.MONITOR_UP.value,
        ),
    )


def _digests(conn: Conn, channel_id: Id, room: int, by: _Claim) -> list[tuple[Notice, ...]]:
    """Claim up to `room` digests again that were not taken; what is left of each stays together."""
    found: list[tuple[Notice, ...]] = []
    for (digest_id,) in conn.all(
        f"SELECT e.digest_id FROM alert_events e WHERE {_WAITS} AND {_UNCLAIMED}"
        " AND e.digest_id IS NOT NULL AND e.next_attempt_at <= ?2"
        " GROUP BY e.digest_id ORDER BY min(e.seq)",
        (channel_id, by.now),
    ):
        if len(found) >= room:
            break
        rows = conn.all(
            f"SELECT {COLUMNS} FROM alert_events e WHERE e.digest_id = ? AND e.status = 'pending'"
            " ORDER BY e.seq",
            (digest_id,),
        )
        together = tuple(of_row(row) for row in rows)
        if any((notice.channel_id, notice.monitor_id) in by.busy for notice in together):
            continue
        found.append(_taken(conn, together, by))
    return [together for together in found if together]


def _heads(conn: Conn, channel_id: Id, room: int, by: _Claim, which: str = "") -> list[Notice]:
    """Claim up to `room` notices of a channel that may be sent singly now, oldest first."""
    if room <= 0:
        return []
    taken = _taken_monitors(channel_id, by)
    rows = conn.all(
        f"SELECT {COLUMNS} FROM alert_events e INDEXED BY alert_events_outbox WHERE {_WAITS}"
        f" AND {_UNCLAIMED} AND e.next_attempt_at <= ?2 AND e.digest_id IS NULL {which}"
        f" AND NOT EXISTS ({_IN_LANE}) ORDER BY e.seq LIMIT ?3",
        (channel_id, by.now, room + len(taken)),
    )
    free = [notice for notice in map(of_row, rows) if notice.monitor_id not in taken]
    return list(_taken(conn, free[:room], by))


def _gather(conn: Conn, channel_id: Id, by: _Claim) -> tuple[Notice, ...]:
    """Claim all that waits and was not tried yet, as one message; a single notice stays one."""
    taken = _taken_monitors(channel_id, by)
    rows = conn.all(
        f"SELECT {COLUMNS} FROM alert_events e INDEXED BY alert_events_outbox WHERE {_WAITS}"
        f" AND {_UNCLAIMED} AND e.next_attempt_at <= ?2 AND e.first_attempt_at IS NULL"
        f" AND NOT EXISTS ({_IN_LANE} AND (o.first_attempt_at IS NOT NULL"
        " OR o.next_attempt_at > ?2)) ORDER BY e.seq LIMIT ?3",
        (channel_id, by.now, outbox.DIGEST_MOST + len(by.unseen.others)),
    )
    free = [notice for notice in map(of_row, rows) if notice.monitor_id not in taken]
    waiting = free[: outbox.DIGEST_MOST]
    digest_id = waiting[0].id if len(waiting) > 1 else None
    return _taken(conn, waiting, by, digest_id)


def _taken_monitors(channel_id: Id, by: _Claim) -> set[Id | None]:
    """Return the monitors of which a channel cannot be told now."""
    busy = {monitor_id for channel, monitor_id in by.busy if channel == channel_id}
    return busy | by.unseen.others


def _taken(
    conn: Conn, found: Iterable[Notice], by: _Claim, digest_id: Id | None = None
) -> tuple[Notice, ...]:
    """Claim notices, for a new digest if it has an id; return those that were free, as they are
    now."""
    taken = []
    for notice in found:
        now = changed(
            notice,
            first_attempt_at=notice.first_attempt_at or by.now,
            digest_id=digest_id or notice.digest_id,
        )
        conn.execute(
            "UPDATE alert_events SET claimed_by = ?1, claimed_until = ?2, first_attempt_at = ?3,"
            " digest_id = ?4 WHERE id = ?5 AND status = 'pending'"
            " AND (claimed_until IS NULL OR claimed_until <= ?6)",
            (by.worker, by.until, now.first_attempt_at, now.digest_id, notice.id, by.now),
        )
        if conn.changes:
            taken.append(now)
    return tuple(taken)


def _begun(conn: Conn, channel_id: Id, by: _Claim) -> int:
    """Return how many messages were sent for the first time within the last window."""
    since = by.now - outbox.WINDOW
    rows = conn.all(
        "SELECT DISTINCT coalesce(digest_id, id) FROM alert_events"
        " WHERE channel_id = ? AND first_attempt_at > ? AND first_attempt_at <= ?",
        (channel_id, since, by.now),
    )
    told = by.unseen.told.get(channel_id, {})
    unseen = {message_id for message_id, at in told.items() if since < at <= by.now}
    return len(unseen.union(row[0] for row in rows))


def _not_taken(conn: Conn, channel_id: Id) -> int:
    """Return how many digests were tried and wait for another attempt."""
    row = conn.one(
        "SELECT count(DISTINCT digest_id) FROM alert_events WHERE channel_id = ?"
        " AND status = 'pending' AND held_for IS NULL AND digest_id IS NOT NULL"
        " AND attempt_count > 0",
        (channel_id,),
    )
    return int(row[0]) if row else 0


def _gather_until(conn: Conn, channel_id: Id, until: Millis) -> None:
    conn.execute("UPDATE alert_channels SET gathering_until = ? WHERE id = ?", (until, channel_id))


def _first(conn: Conn, channel_id: Id, which: str = "") -> Millis | None:
    """Return when the first notice of a channel is due that stands at the head of its lane."""
    row = conn.one(
        "SELECT e.next_attempt_at FROM alert_events e INDEXED BY alert_events_next"
        f" WHERE {_WAITS} AND e.claimed_until IS NULL {which} AND NOT EXISTS ({_IN_LANE})"
        " ORDER BY e.next_attempt_at LIMIT 1",
        (channel_id,),
    )
    return None if row is None else int(row[0])


def _note_damage(conn: Conn, channel: Channel, by: _Claim) -> None:
    """Note an attempt for what is due on a channel whose configuration does not open; the
    fallback channels are told at once, since only a person can mend it."""
    damage = channel.damage or ""
    attempt = Attempt(at=by.now, ok=False, answer=damage)
    again_at = by.now + _DAMAGED_WAIT
    digests = _digests(conn, channel.id, PER_CHANNEL, by)
    due = [notice for together in digests for notice in together]
    for notice in [*due, *_heads(conn, channel.id, PER_CHANNEL, by)]:
        why = outbox.gives_up(channel, notice, notice.attempt_count + 1, next_attempt_at=again_at)
        if why is None:
            settling.retry(conn, notice.id, attempt, again_at, damage)
            fallbacks.tell(conn, notice.id, by.now)
        else:
            settling.failed(conn, notice.id, attempt, f"{damage}; {why}")


def _unacknowledged(conn: Conn, together: Collection[Notice]) -> frozenset[Id]:
    about = {notice.incident_id for notice in together if notice.incident_id is not None}
    rows = conn.all(
        "SELECT id FROM incidents WHERE id IN (SELECT value FROM json_each(?))"
        " AND +resolved_at IS NULL AND acknowledged_at IS NULL",
        (listed(about),),
    )
    return frozenset(row[0] for row in rows)
