"""What the dashboard says of a whole organization, in few queries however many monitors."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis
from netpulse.model.watch import Status
from netpulse.rules import uptime
from netpulse.storage import alert_rules, channels, monitors, standings
from netpulse.storage.conn import Conn


class Looked(Struct, frozen=True):
    """How the time up to now went for all monitors together."""

    uptime_percent: float | None
    coverage_percent: float | None
    """What somebody vouches for, of the time in which somebody was to look: a pause is wanted and
    takes nothing from how well we looked."""


class Lately(Struct, frozen=True):
    """What went on in the last 24 hours."""

    incidents: int
    checks_per_minute: int


class Steps(Struct, frozen=True):
    """How far somebody has come on the way to being told."""

    monitor: bool
    channel: bool
    rule: bool


def looked(conn: Conn, org_id: Id, start: Millis, now: Millis) -> Looked:
    """Add up the account of every monitor from `start` to `now`."""
    every = standings.together(conn, org_id, start, now)
    return Looked(
        uptime_percent=every.uptime_percent,
        coverage_percent=uptime.percent(every.known, every.period - every.paused),
    )


def uptimes(conn: Conn, org_id: Id, start: Millis, now: Millis) -> dict[Id, float]:
    """Return the uptime of each monitor from `start` to `now` in percent; those that were neither
    up nor down are left out."""
    found = standings.of_all(conn, org_id, start, now)
    told = ((monitor_id, one.uptime_percent) for monitor_id, one in found.items())
    return {monitor_id: percent for monitor_id, percent in told if percent is not None}


def lately(conn: Conn, org_id: Id, now: Millis) -> Lately:
    """Count incidents that lasted in the last 24 hours, and the checks of a minute."""
    row = conn.one(
        "SELECT (SELECT count(*) FROM incidents WHERE org_id = ?1 AND resolved_at IS NULL)"
        " + (SELECT count(*) FROM incidents WHERE org_id = ?1 AND resolved_at > ?2)",
        (org_id, now - DAY),
    )
    pace = conn.one(
        "SELECT total(60.0 / interval_seconds) FROM monitors INDEXED BY monitors_by_name"
        " WHERE org_id = ? AND deleted_at IS NULL AND NOT is_paused AND type <> 'push'",
        (org_id,),
    )
    assert row is not None, "an aggregate has a row"
    assert pace is not None, "an aggregate has a row"
    return Lately(incidents=int(row[0]), checks_per_minute=round(pace[0]))


def steps(conn: Conn, org_id: Id) -> Steps:
    """Tell what there is already."""
    return Steps(
        monitor=monitors.count(conn, org_id) > 0,
        channel=bool(channels.page(conn, org_id, limit=1).rows),
        rule=bool(alert_rules.page(conn, org_id, limit=1).rows),
    )


def uncovered(conn: Conn, org_id: Id, limit: int) -> tuple[int, list[tuple[Id, str]]]:
    """Return how many monitors nobody is told about, and the first of them (id, name)."""
    rules = alert_rules.telling_of_down(conn, org_id)
    if any(rule.monitor_id is None and rule.tag is None for rule in rules):
        return 0, []
    alone = {rule.monitor_id for rule in rules if rule.monitor_id is not None}
    tags = {rule.tag for rule in rules if rule.tag is not None and rule.monitor_id is None}
    where = (
        "FROM monitors m INDEXED BY monitors_by_name"
        " WHERE m.org_id = ?1 AND m.deleted_at IS NULL AND m.is_paused = 0"
        " AND m.id NOT IN (SELECT value FROM json_each(?2)) AND m.key NOT IN (SELECT t.monitor_key"
        " FROM monitor_tags t WHERE t.org_id = ?1 AND t.tag IN (SELECT value FROM json_each(?3)))"
    )
    params = (org_id, *(msgspec.json.encode(sorted(each)).decode() for each in (alone, tags)))
    counted = conn.one(f"SELECT count(*) {where}", params)
    rows = conn.all(
        f"SELECT m.id, m.name {where} ORDER BY m.name COLLATE NOCASE, m.key LIMIT ?4",
        (*params, limit),
    )
    return int(counted[0]) if counted else 0, [(row[0], row[1]) for row in rows]


def last_end(conn: Conn, org_id: Id) -> Millis | None:
    """Return when the last incident of the organization ended."""
    row = conn.one("SELECT max(resolved_at) FROM incidents WHERE org_id = ?", (org_id,))
    return None if row is None else row[0]


TROUBLE = (Status.DOWN, Status.DEGRADED, Status.UNKNOWN)
"""The states that a dashboard shows first, the worst first."""
