"""Held notices: what becomes of those that something holds back, when they are looked at again.

A notice that is held waits with `held_for` and the moment to look at it again. Then it is told if
what it says is still so and nothing holds it back any more, held on if something does, and else
suppressed with the reason it was held for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from netpulse.model.alert import Cause, Event, Notice, Rule, Suppressed
from netpulse.model.channel import MACHINES
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.rules import alerting, holding, outbox
from netpulse.rules.holding import Holds
from netpulse.rules.payload import through_maintenance
from netpulse.storage import (
    alert_rules,
    flaps,
    incidents,
    maintenance_spans,
    parents,
    settling,
    watches,
)
from netpulse.storage.conn import Conn, Row
from netpulse.storage.notice_rows import COLUMNS, of_row
from netpulse.storage.parents import NOTHING_HEARD, Heard
from netpulse.storage.table import listed

AT_ONCE = 250
"""Held notices that are looked at in one transaction."""

_MEASURES = frozenset({Event.MONITOR_THRESHOLD, Event.CERTIFICATE_EXPIRING})
_HEARD = (
    Event.MONITOR_DOWN.value,
    Event.MONITOR_DEGRADED.value,
    Event.MONITOR_FLAPPING.value,
)
"""Events after which a channel may be told of a recovery."""
_GOES_OUT = "(status = 'sent' OR (status = 'pending' AND held_for IS NULL))"
"""What was told, or is about to be: of what was sent, nearly all in years, indexes say enough."""
_TOLD_OF = f"channel_id = ?1 AND monitor_id = ?2 AND {_GOES_OUT}"
"""The same of a channel (?1) and a monitor (?2)."""
_COOLING = (
    Event.MONITOR_DOWN.value,
    Event.MONITOR_DEGRADED.value,
    Event.MONITOR_THRESHOLD.value,
    Event.CERTIFICATE_EXPIRING.value,
)
"""Events that a rule's cooldown counts from."""


class Channels(Struct, frozen=True):
    """Channels that can be told something."""

    active: frozenset[Id]
    machines: frozenset[Id]
    """Those of them that get every edge."""


def resolve(conn: Conn, now: Millis) -> bool:
    """Look at the held notices whose time has come; tell whether there may be more of them."""
    due = conn.all(
        # Without the word for it SQLite reads the whole log of notices, by `seq`.
        f"SELECT {COLUMNS} FROM alert_events e INDEXED BY alert_events_held"
        " WHERE e.status = 'pending' AND e.held_for IS NOT NULL AND e.next_attempt_at <= ?"
        " ORDER BY e.seq LIMIT ?",
        (now, AT_ONCE),
    )
    for row in due:
        _look(conn, of_row(row), now)
    return len(due) == AT_ONCE


def holds_of(
    conn: Conn,
    monitor_id: Id,
    *,
    since: Millis,
    decided_at: Millis,
    now: Millis,
    heard: Heard = NOTHING_HEARD,
) -> Holds:
    """Return what holds a monitor's notices back at `now`; `since` is when what they tell of
    began, `decided_at` when it was certain."""
    flapping = flaps.of(conn, monitor_id, now)
    return Holds(
        maintained_until=maintenance_spans.active_until(conn, monitor_id, now),
        parent_until=parents.until(
            conn, monitor_id, since=since, decided_at=decided_at, now=now, heard=heard
        ),
        calm_at=None if flapping is None else flapping.calm_at,
    )


def channels_of(conn: Conn, ids: frozenset[Id]) -> Channels:
    """Return those of `ids` that exist and are active."""
    rows = conn.all(
        "SELECT id, type FROM alert_channels WHERE id IN (SELECT value FROM json_each(?))"
        " AND is_active AND deleted_at IS NULL",
        (listed(ids),),
    )
    return Channels(
        frozenset(row[0] for row in rows), frozenset(row[0] for row in rows if row[1] in MACHINES)
    )


def told_at(conn: Conn, monitor_id: Id, rule_id: Id) -> Millis | None:
    """Return when a rule last told a problem of a monitor, reminders apart."""
    row = conn.one(
        "SELECT coalesce(sent_at, due_at) FROM alert_events"
        " WHERE monitor_id = ? AND rule_id = ? AND event IN (?, ?, ?, ?)"
        f" AND cause NOT IN ('reminder', 'recovery') AND {_GOES_OUT}"
        " ORDER BY seq DESC LIMIT 1",
        (monitor_id, rule_id, *_COOLING),
    )
    return None if row is None else int(row[0])


def still_so(conn: Conn, notice_id: Id) -> bool:
    """Tell whether what a notice of a threshold or certificate says is still so, and is the last
    that is to be said about it."""
    found = conn.one("SELECT 1 FROM threshold_states WHERE notice_id = ? LIMIT 1", (notice_id,))
    return found is not None


def mute(conn: Conn, monitor_id: Id, channel_ids: Collection[Id]) -> None:
    """Suppress what these channels have held because the monitor flaps: it has changed once more,
    and they are to be told of that instead. Who does not ask for the new state keeps the last
    one that they do ask for."""
    for (notice_id,) in conn.all(
        "SELECT id FROM alert_events WHERE monitor_id = ? AND status = 'pending' AND held_for = ?"
        " AND channel_id IN (SELECT value FROM json_each(?))",
        (monitor_id, Suppressed.FLAPPING.value, listed(channel_ids)),
    ):
        settling.suppress(conn, notice_id, Suppressed.FLAPPING)


def turn_back(conn: Conn, by: Millis) -> None:
    """Bring nearer, by `by` milliseconds, what waits for a stretch of time to pass: the clock was
    set back by that. Quiet hours and maintenance are moments of the clock itself."""
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = next_attempt_at - ? WHERE status = 'pending'"
        " AND held_for IN (?, ?, ?)",
        (
            by,
            Suppressed.COOLDOWN.value,
            Suppressed.PARENT_DOWN.value,
            Suppressed.FLAPPING.value,
        ),
    )
    flaps.turn_back(conn, by)


# Children that wait for their parents


def waiting_children(conn: Conn) -> list[Id]:
    """Return the monitors that have a notice held for what they depend on."""
    rows = conn.all(
        "SELECT DISTINCT monitor_id FROM alert_events WHERE status = 'pending' AND held_for = ?",
        (Suppressed.PARENT_DOWN.value,),
    )
    return [row[0] for row in rows]


def parent_changed(conn: Conn, parent_id: Id, now: Millis) -> None:
    """Have the notices looked at that wait for a monitor whose state has changed."""
    for child_id in parents.descendants(conn, parent_id):
        look_soon(conn, child_id, now)


def look_soon(conn: Conn, monitor_id: Id, now: Millis) -> None:
    """Have what a monitor has held for its parent looked at: it may have another now."""
    conn.execute(
        "UPDATE alert_events SET next_attempt_at = ?1 WHERE monitor_id = ?2"
        " AND status = 'pending' AND held_for = ?3 AND next_attempt_at > ?1",
        (now, monitor_id, Suppressed.PARENT_DOWN.value),
    )


def hear(conn: Conn, monitor_ids: Sequence[Id], heard: Heard, now: Millis) -> frozenset[Id]:
    """Look at what monitors have held for their parent, knowing what checks have just said.

    Returns those of which something waits for the parent still.
    """
    still: set[Id] = set()
    for monitor_id in monitor_ids:
        for row in _held_for_parent(conn, monitor_id):
            _look(conn, of_row(row), now, heard)
        if _held_for_parent(conn, monitor_id):
            still.add(monitor_id)
    return frozenset(still)


# One notice


def _look(conn: Conn, notice: Notice, now: Millis, heard: Heard = NOTHING_HEARD) -> None:
    reason = _over(conn, notice, now)
    if reason is not None:
        settling.suppress(conn, notice.id, reason)
        return
    rule = None
    if notice.rule_id is not None:
        rule = alert_rules.get(conn, notice.org_id, notice.rule_id)
    since = _since(conn, notice)
    hold = _hold(conn, notice, rule, since, now, heard)
    if hold is not None:
        conn.execute(
            "UPDATE alert_events SET held_for = ?, next_attempt_at = ? WHERE id = ?",
            (hold.reason.value, hold.until, notice.id),
        )
        return
    payload = notice.payload
    if notice.held_for is Suppressed.MAINTENANCE and notice.event not in _MEASURES:
        payload = through_maintenance(payload, since)
    conn.execute(
        "UPDATE alert_events SET held_for = NULL, due_at = ?1, next_attempt_at = ?1, payload = ?2,"
        " fallback_at = iif(fallback_at IS NULL, NULL, ?3) WHERE id = ?4",
        (now, bytes(payload).decode(), now + outbox.FALLBACK_AFTER, notice.id),
    )


def _hold(
    conn: Conn, notice: Notice, rule: Rule | None, since: Millis, now: Millis, heard: Heard
) -> holding.Hold | None:
    if notice.monitor_id is None:
        return None
    told = None if rule is None else told_at(conn, notice.monitor_id, rule.id)
    if told is not None and told > now and notice.held_for is Suppressed.COOLDOWN:
        told = None  # the clock was set back, and this has waited for its cooldown already
    return holding.hold(
        notice.event,
        notice.cause,
        rule,
        holds_of(
            conn,
            notice.monitor_id,
            since=since,
            decided_at=notice.created_at,
            now=now,
            heard=heard,
        ),
        is_machine=notice.channel_id in channels_of(conn, frozenset({notice.channel_id})).machines,
        told_at=told,
        now=now,
    )


def _since(conn: Conn, notice: Notice) -> Millis:
    """Return when what a notice tells of began."""
    row = conn.one(
        "SELECT coalesce((SELECT started_at FROM incidents WHERE id = ?1), (SELECT t.at"
        " FROM alert_events e JOIN transitions t ON t.id = e.transition_id WHERE e.id = ?2))",
        (notice.incident_id, notice.id),
    )
    return notice.created_at if row is None or row[0] is None else int(row[0])


def _over(conn: Conn, notice: Notice, now: Millis) -> Suppressed | None:
    """Return why a held notice is not to be told any more, or None if what it says is so."""
    held_for = notice.held_for or Suppressed.COOLDOWN
    watch = None if notice.monitor_id is None else watches.get(conn, notice.monitor_id)
    if watch is None or notice.monitor_id is None:
        return held_for
    if notice.event in _MEASURES:
        is_so = notice.cause is Cause.RECOVERY or still_so(conn, notice.id)
        return None if is_so else held_for
    if notice.event is Event.MONITOR_FLAPPING:
        return None if flaps.of(conn, notice.monitor_id, now) is not None else held_for
    if notice.event is Event.MONITOR_UP:
        return None if _was_heard(conn, notice) else held_for
    incident = None
    if notice.incident_id is not None:
        incident = incidents.get(conn, notice.org_id, notice.incident_id)
    is_open = incident is not None and incident.resolved_at is None
    settled = watch.status if watch.status is Status.PAUSED else watch.settled
    if not alerting.still_holds(notice.event, settled=settled, incident_open=is_open):
        return held_for
    waits = notice.cause in {Cause.ESCALATION, Cause.REMINDER}
    if waits and incident is not None and incident.acknowledged_at is not None:
        return Suppressed.ACKNOWLEDGED
    return None


def _was_heard(conn: Conn, notice: Notice) -> bool:
    """Tell whether a recovery that was held says something to its channel: a problem was told
    there since the recovery before, or the rule asks for `up` itself; and it has not been told
    of a later state, by a rule that nothing held."""
    if _is_passed(conn, notice):
        return False
    if notice.rule_id is not None:
        rule = alert_rules.get(conn, notice.org_id, notice.rule_id)
        asks = rule is not None and not alerting.speaks_later(rule)
        if rule is not None and asks and Event.MONITOR_UP in alert_rules.events(rule):
            return True
    found = conn.one(
        f"SELECT 1 FROM alert_events WHERE {_TOLD_OF} AND event IN (?4, ?5, ?6)"
        " AND +seq < (SELECT seq FROM alert_events WHERE id = ?7)"
        f" AND +seq > coalesce((SELECT max(+seq) FROM alert_events WHERE {_TOLD_OF}"
        " AND event = ?3), 0) LIMIT 1",
        (
            notice.channel_id,
            notice.monitor_id,
            Event.MONITOR_UP.value,
            *_HEARD,
            notice.id,
        ),
    )
    return found is not None


def _is_passed(conn: Conn, notice: Notice) -> bool:
    found = conn.one(
        "SELECT 1 FROM alert_events WHERE channel_id = ?1 AND monitor_id = ?2 AND held_for IS NULL"
        " AND status IN ('sent', 'pending') AND event IN (?3, ?4) AND transition_id IS NOT NULL"
        " AND seq > (SELECT seq FROM alert_events WHERE id = ?5)"
        " AND transition_id IS NOT (SELECT transition_id FROM alert_events WHERE id = ?5) LIMIT 1",
        (notice.channel_id, notice.monitor_id, *_HEARD[:2], notice.id),
    )
    return found is not None


def _held_for_parent(conn: Conn, monitor_id: Id) -> list[Row]:
    return conn.all(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.monitor_id = ? AND e.status = 'pending'"
        " AND e.held_for = ? ORDER BY e.seq",
        (monitor_id, Suppressed.PARENT_DOWN.value),
    )
