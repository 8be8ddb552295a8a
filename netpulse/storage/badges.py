"""Badges of single monitors, and what is read for whoever asks for one by its token."""

from __future__ import annotations

from typing import Any

from netpulse.model.badge import Badge, BadgeFacts
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor
from netpulse.model.time import PERIODS, Millis
from netpulse.rules import boards, uptime
from netpulse.storage import maintenance_spans, monitors, quotas, rollups, runs, spans
from netpulse.storage.conn import Conn

_COLUMNS = "monitor_id, token, label, created_at"


def get(conn: Conn, monitor_id: Id) -> Badge | None:
    """Return what a monitor's badges are, or None where it has none."""
    found = conn.one(f"SELECT {_COLUMNS} FROM monitor_badges WHERE monitor_id = ?", (monitor_id,))
    return None if found is None else _of_row(found)


def put(conn: Conn, badge: Badge) -> None:
    """Store a monitor's badges in place of those it had."""
    conn.execute(
        f"INSERT OR REPLACE INTO monitor_badges ({_COLUMNS}) VALUES (?, ?, ?, ?)",
        (badge.monitor_id, badge.token, badge.label, badge.created_at),
    )


def remove(conn: Conn, monitor_id: Id) -> None:
    """Switch a monitor's badges off: their address leads nowhere any more."""
    conn.execute("DELETE FROM monitor_badges WHERE monitor_id = ?", (monitor_id,))


def remove_all(conn: Conn, org_id: Id) -> None:
    """Switch off the badges of all of an organization's monitors."""
    conn.execute(
        "DELETE FROM monitor_badges WHERE monitor_id IN (SELECT id FROM monitors WHERE org_id = ?)",
        (org_id,),
    )


def facts(conn: Conn, token: str, now: Millis) -> BadgeFacts | None:
    """Return what the badges with this token tell at `now`; None: no monitor has it."""
    found = conn.one(
        f"SELECT {', '.join(f'b.{name}' for name in _COLUMNS.split(', '))}, m.org_id"
        " FROM monitor_badges b JOIN monitors m ON m.id = b.monitor_id WHERE b.token = ?",
        (token,),
    )
    if found is None:
        return None
    badge, org_id = _of_row(found[:-1]), found[-1]
    row = monitors.get_row(conn, org_id, badge.monitor_id)
    if row is None:
        return None
    monitor = row.monitor
    begun = max(monitor.created_at, quotas.shown_from(conn, org_id, now))
    return BadgeFacts(
        label=badge.label or monitor.spec.name,
        status=boards.status_of(row.shown.status),
        since=row.shown.since,
        uptime={
            period: _uptime(conn, monitor, max(begun, now - length), now)
            for period, length in PERIODS.items()
        },
        response_time_ms=rollups.response_time(conn, monitor.id, now),
        at=now,
    )


def _uptime(conn: Conn, monitor: Monitor, start: Millis, now: Millis) -> float | None:
    return uptime.account(
        start,
        now,
        spans.between(conn, monitor.id, start, now),
        runs.gaps(conn, start, now),
        now,
        maintenance_spans.between(conn, monitor.id, start, now),
    ).uptime_percent_time


def _of_row(row: tuple[Any, ...]) -> Badge:
    monitor_id, token, label, created_at = row
    return Badge(monitor_id=monitor_id, token=token, label=label, created_at=created_at)
