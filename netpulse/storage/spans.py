"""Spans: each monitor's time, cut where its confirmed state changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Span, Status, UnknownReason
from netpulse.storage.conn import Conn, Row


def between(conn: Conn, monitor_id: Id, start: Millis, end: Millis) -> list[Span]:
    """Return the spans that touch [start, end), oldest first, with the one in force at `start`."""
    rows = conn.all(
        "SELECT from_ms, status, reason, incident_id FROM spans WHERE monitor_id = ?1"
        " AND from_ms < ?3 AND from_ms >= coalesce((SELECT max(from_ms) FROM spans"
        " WHERE monitor_id = ?1 AND from_ms <= ?2), ?2) ORDER BY from_ms",
        (monitor_id, start, end),
    )
    return [_span(row) for row in rows]


def of_some(
    conn: Conn, monitor_ids: Sequence[Id], start: Millis, end: Millis
) -> dict[Id, list[Span]]:
    """Return `between` of each of these monitors that has any."""
    rows = conn.all(
        "SELECT s.from_ms, s.status, s.reason, s.incident_id, s.monitor_id FROM json_each(?1) i"
        " CROSS JOIN spans s ON s.monitor_id = i.value WHERE s.from_ms < ?3"
        " AND s.from_ms >= coalesce((SELECT max(p.from_ms) FROM spans p"
        " WHERE p.monitor_id = i.value AND p.from_ms <= ?2), ?2) ORDER BY i.key, s.from_ms",
        (msgspec.json.encode(monitor_ids).decode(), start, end),
    )
    found: dict[Id, list[Span]] = {}
    for row in rows:
        found.setdefault(row[4], []).append(_span(row))
    return found


def last_start(conn: Conn, monitor_id: Id) -> Millis | None:
    """Return when the monitor's present span began, or None before its first."""
    row = conn.one("SELECT max(from_ms) FROM spans WHERE monitor_id = ?", (monitor_id,))
    return None if row is None else row[0]


def put(conn: Conn, monitor_id: Id, span: Span) -> None:
    """Begin a span, and drop what was said of the time from then on."""
    conn.execute("DELETE FROM spans WHERE monitor_id = ? AND from_ms >= ?", (monitor_id, span.at))
    conn.execute(
        "INSERT INTO spans (monitor_id, from_ms, status, reason, incident_id)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            monitor_id,
            span.at,
            span.status.value,
            None if span.reason is None else span.reason.value,
            span.incident_id,
        ),
    )


def _span(row: Row) -> Span:
    reason = None if row[2] is None else UnknownReason(row[2])
    return Span(at=row[0], status=Status(row[1]), reason=reason, incident_id=row[3])
