"""Which monitors are in maintenance, and were in it when: a stretch for each monitor and window.

Stretches carry their planned end from the beginning: also a window that nobody sees end has its
end. What a monitor's row says of it (`maintained_from`, `maintained_until`) follows from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from netpulse.model.alert import Suppressed
from netpulse.model.ids import Id
from netpulse.model.maintenance import Window
from netpulse.model.time import Millis
from netpulse.rules import maintenance as rules
from netpulse.storage import incident_story
from netpulse.storage.conn import Conn, Row
from netpulse.storage.maintenance_rows import as_json

ROWS_AT_ONCE = 1_000
"""Monitors whose time is changed in one transaction."""


def enter(conn: Conn, maintenance_id: Id, begun: Iterable[tuple[Id, Millis]], end: Millis) -> None:
    """Have monitors in a window of a plan: each from its own moment until the window's end."""
    conn.many(
        "INSERT OR REPLACE INTO maintenance_spans (monitor_id, maintenance_id, from_ms, to_ms)"
        " VALUES (?, ?, ?, ?)",
        [(monitor_id, maintenance_id, at, max(at, end)) for monitor_id, at in begun],
    )


def end_some(conn: Conn, maintenance_id: Id, at: Millis, now: Millis) -> bool:
    """End spans that reach beyond `at`; True when none is left."""
    rows = conn.all(
        "SELECT monitor_id, from_ms FROM maintenance_spans WHERE maintenance_id = ?"
        " AND to_ms > max(from_ms, ?) LIMIT ?",
        (maintenance_id, at, ROWS_AT_ONCE),
    )
    conn.many(
        "UPDATE maintenance_spans SET to_ms = max(from_ms, ?)"
        " WHERE monitor_id = ? AND from_ms = ? AND maintenance_id = ?",
        [(at, monitor_id, begun, maintenance_id) for monitor_id, begun in rows],
    )
    left = [row[0] for row in rows]
    _release(conn, left, now)
    look_again(conn, left, now)
    return len(rows) < ROWS_AT_ONCE


def _release(conn: Conn, monitor_ids: Sequence[Id], now: Millis) -> None:
    """Have the notices looked at that wait for the end of a maintenance."""
    conn.many(
        "UPDATE alert_events SET next_attempt_at = ?1 WHERE monitor_id = ?2"
        " AND status = 'pending' AND held_for = ?3 AND next_attempt_at > ?1",
        [(now, monitor_id, Suppressed.MAINTENANCE.value) for monitor_id in monitor_ids],
    )


def look_again(conn: Conn, monitor_ids: Sequence[Id], now: Millis) -> None:
    """Say of monitors whether they are in maintenance, and tell the stories of their incidents."""
    listed = as_json(monitor_ids)
    before = {row[0]: row[1] for row in _troubled(conn, listed)}
    conn.execute(
        "UPDATE monitors SET (maintained_from, maintained_until) ="
        " (SELECT min(from_ms), max(to_ms) FROM maintenance_spans"
        " WHERE monitor_id = monitors.id AND from_ms <= ?1 AND to_ms > ?1)"
        " WHERE id IN (SELECT value FROM json_each(?2))",
        (now, listed),
    )
    if not before:
        return
    for incident_id, is_maintained in _troubled(conn, listed):
        if before.get(incident_id) != is_maintained:
            text = "Maintenance begins" if is_maintained else "Maintenance is over"
            incident_story.tell(conn, incident_id, "maintenance", now, text)


def _troubled(conn: Conn, listed: str) -> list[Row]:
    """Return (incident id, in maintenance) of the open incidents of the monitors in `listed`."""
    return conn.all(
        "SELECT i.id, m.maintained_until IS NOT NULL FROM json_each(?) j"
        " JOIN incidents i ON i.monitor_id = j.value AND i.resolved_at IS NULL"
        " JOIN monitors m ON m.id = i.monitor_id",
        (listed,),
    )


def leave(conn: Conn, monitor_id: Id, now: Millis) -> None:
    """Take a monitor that is deleted out of every window."""
    rows = conn.all(
        "SELECT maintenance_id FROM maintenance_spans WHERE monitor_id = ? AND to_ms > ?",
        (monitor_id, now),
    )
    leave_some(conn, monitor_id, {row[0] for row in rows}, now)


def leave_some(conn: Conn, monitor_id: Id, maintenance_ids: Collection[Id], now: Millis) -> None:
    """Take a monitor out of the windows of these plans."""
    conn.many(
        "UPDATE maintenance_spans SET to_ms = max(from_ms, ?1)"
        " WHERE monitor_id = ?2 AND maintenance_id = ?3 AND to_ms > ?1",
        [(now, monitor_id, maintenance_id) for maintenance_id in maintenance_ids],
    )
    if maintenance_ids:
        _release(conn, [monitor_id], now)
    look_again(conn, [monitor_id], now)


# What was and is in maintenance


def active_until(conn: Conn, monitor_id: Id, at: Millis) -> Millis | None:
    """Return until when the monitor is in maintenance at `at`, as planned, or None if it is not."""
    row = conn.one(
        "SELECT max(to_ms) FROM maintenance_spans WHERE monitor_id = ?1 AND from_ms <= ?2"
        " AND to_ms > ?2",
        (monitor_id, at),
    )
    return None if row is None or row[0] is None else int(row[0])


def now_in(conn: Conn) -> dict[Id, Window]:
    """Return the monitors of all organizations that are in maintenance, as last looked at."""
    rows = conn.all(
        "SELECT id, maintained_from, maintained_until FROM monitors"
        " WHERE maintained_until IS NOT NULL AND deleted_at IS NULL"
    )
    return {row[0]: Window(row[1], row[2]) for row in rows}


def between(conn: Conn, monitor_id: Id, start: Millis, end: Millis) -> list[Window]:
    """Return the monitor's stretches in maintenance that touch [start, end), in the order of
    time and none over another; what is to come is there as it is planned."""
    rows = conn.all(
        "SELECT from_ms, to_ms FROM maintenance_spans"
        " WHERE monitor_id = ? AND from_ms < ? AND to_ms > ?",
        (monitor_id, end, start),
    )
    return rules.merged([Window(*row) for row in rows])


def of_some(
    conn: Conn, monitor_ids: Sequence[Id], start: Millis, end: Millis
) -> dict[Id, list[Window]]:
    """Return `between` of each of these monitors that has any."""
    rows = conn.all(
        "SELECT s.monitor_id, s.from_ms, s.to_ms FROM json_each(?1) i"
        " CROSS JOIN maintenance_spans s ON s.monitor_id = i.value"
        " WHERE s.from_ms < ?3 AND s.to_ms > ?2",
        (msgspec.json.encode(monitor_ids).decode(), start, end),
    )
    return _by_monitor(rows)


def of_all(conn: Conn, org_id: Id, start: Millis, end: Millis) -> dict[Id, list[Window]]:
    """Return `between` of every monitor of an organization that has any."""
    rows = conn.all(
        "SELECT s.monitor_id, s.from_ms, s.to_ms FROM maintenance_spans s"
        " JOIN maintenances p ON p.id = s.maintenance_id"
        " WHERE p.org_id = ? AND s.from_ms < ? AND s.to_ms > ?",
        (org_id, end, start),
    )
    return _by_monitor(rows)


def by_key(conn: Conn, start: Millis, end: Millis) -> dict[int, list[Window]]:
    """Return the stretches of all monitors that touch [start, end), by a monitor's number."""
    rows = conn.all(
        "SELECT m.key, s.from_ms, s.to_ms FROM maintenance_spans s"
        " JOIN monitors m ON m.id = s.monitor_id WHERE s.from_ms < ? AND s.to_ms > ?",
        (end, start),
    )
    return _by_monitor(rows)


def _by_monitor(rows: Sequence[Row]) -> dict[Any, list[Window]]:
    found: dict[Any, list[Window]] = {}
    for monitor, begun, ended in rows:
        found.setdefault(monitor, []).append(Window(begun, ended))
    return {monitor: rules.merged(stretches) for monitor, stretches in found.items()}
