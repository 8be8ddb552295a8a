"""What the dashboard says of a whole organization, in few queries however many monitors."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis
from netpulse.model.watch import Status
from netpulse.rules import uptime
from netpulse.storage import alert_rules, channels, incidents, maintenances, monitors, runs, spans
from netpulse.storage.conn import Conn
from netpulse.storage.incidents import IncidentFilter


class Looked(Struct, frozen=True):
    """How the last 24 hours went for all monitors together."""

    uptime_percent: float | None
    coverage_percent: float | None
    incidents: int
    checks_per_minute: int


class Steps(Struct, frozen=True):
    """How far somebody has come on the way to being told."""

    monitor: bool
    channel: bool
    rule: bool


def last_day(conn: Conn, org_id: Id, now: Millis) -> Looked:
    """Add up the account of every monitor over the last 24 hours."""
    start = now - DAY
    gaps = runs.gaps(conn, start, now)
    maintained = maintenances.of_all(conn, org_id, start, now)
    up = down = known = period = 0
    per_minute = 0.0
    rows = conn.all(
        "SELECT id, created_at, interval_seconds, is_paused FROM monitors"
        " WHERE org_id = ? AND deleted_at IS NULL",
        (org_id,),
    )
    for monitor_id, created_at, interval_seconds, is_paused in rows:
        begun = max(start, created_at)
        found = spans.between(conn, monitor_id, begun, now)
        account = uptime.account(begun, now, found, gaps, now, maintained.get(monitor_id, ()))
        up += account.up_seconds + account.degraded_seconds
        down += account.down_seconds
        if not is_paused:
            # A pause is wanted; it takes nothing from how well we looked.
            known += account.period_seconds - account.unknown_seconds
            period += account.period_seconds
            per_minute += 60 / interval_seconds
    lately = conn.one(
        "SELECT count(*) FROM incidents WHERE org_id = ?"
        " AND (resolved_at IS NULL OR resolved_at > ?)",
        (org_id, start),
    )
    return Looked(
        uptime_percent=uptime.percent(up, up + down),
        coverage_percent=uptime.percent(known, period),
        incidents=int(lately[0]) if lately else 0,
        checks_per_minute=round(per_minute),
    )


def steps(conn: Conn, org_id: Id) -> Steps:
    """Tell what there is already."""
    return Steps(
        monitor=monitors.count(conn, org_id) > 0,
        channel=bool(channels.page(conn, org_id, limit=1).rows),
        rule=bool(alert_rules.page(conn, org_id, limit=1).rows),
    )


def uncovered(conn: Conn, org_id: Id, limit: int) -> tuple[int, list[tuple[Id, str]]]:
    """Return how many monitors nobody is told about, and the first of them (id, name)."""
    rows = conn.all(
        "SELECT id, name FROM monitors WHERE org_id = ? AND deleted_at IS NULL AND is_paused = 0"
        " ORDER BY name, id",
        (org_id,),
    )
    covered = monitors.covered(conn, org_id, [row[0] for row in rows])
    alone = [(row[0], row[1]) for row in rows if row[0] not in covered]
    return len(alone), alone[:limit]


def last_end(conn: Conn, org_id: Id) -> Millis | None:
    """Return when the last incident of the organization ended."""
    row = conn.one("SELECT max(resolved_at) FROM incidents WHERE org_id = ?", (org_id,))
    return None if row is None else row[0]


def open_and_resolved(conn: Conn, org_id: Id) -> tuple[int, int]:
    """Return how many incidents are open and how many are over."""
    still = incidents.page(conn, org_id, IncidentFilter(is_open=True), 0, 1).total
    over = incidents.page(conn, org_id, IncidentFilter(is_open=False), 0, 1).total
    return still, over


TROUBLE = (Status.DOWN, Status.DEGRADED, Status.UNKNOWN)
"""The states that a dashboard shows first, the worst first."""
