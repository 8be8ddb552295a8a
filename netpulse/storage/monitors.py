"""Monitors, with what is remembered of each. Lists of them: `monitor_list`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import msgspec
from msgspec.structs import replace as changed

from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, MonitorSpec, PushSpec
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Span, Status, Watch
from netpulse.rules.schedule import phase_ms
from netpulse.storage import (
    alert_rules,
    maintenance_spans,
    maintenances,
    pushes,
    quotas,
    spans,
    watches,
)
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing, VersionConflict
from netpulse.storage.monitor_rows import (
    COLUMNS,
    JOINED,
    MonitorRow,
    joined,
    of_row,
    put_tags,
    values,
)
from netpulse.storage.table import listed

_ON_DUTY = (
    "m.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = m.org_id"
    " AND o.deleted_at IS NOT NULL)"
)
"""Those of an organization that was deleted are retired one after another; none is watched."""
_log = logging.getLogger("netpulse.storage")


def get(conn: Conn, org_id: Id, monitor_id: Id) -> Monitor | None:
    """Return the organization's monitor, or None if it has none with this id (any more)."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM monitors m"
        " WHERE m.org_id = ? AND m.id = ? AND m.deleted_at IS NULL",
        (org_id, monitor_id),
    )
    return None if row is None else of_row(conn, row)


def get_row(conn: Conn, org_id: Id, monitor_id: Id) -> MonitorRow | None:
    """Return the organization's monitor with its watch, or None."""
    row = conn.one(
        f"{JOINED} WHERE m.org_id = ? AND m.id = ? AND m.deleted_at IS NULL",
        (org_id, monitor_id),
    )
    return None if row is None else joined(conn, row)


def load_one(conn: Conn, monitor_id: Id) -> tuple[Monitor, Watch] | None:
    """Return a monitor of whatever organization with its watch, or None if it is gone.

    For the engine; people go through `get`.
    """
    row = conn.one(f"{JOINED} WHERE m.id = ? AND {_ON_DUTY}", (monitor_id,))
    if row is None:
        return None
    found = joined(conn, row)
    return found.monitor, found.watch


def load_all(conn: Conn) -> list[tuple[Monitor, Watch]]:
    """Return every monitor that is not deleted, nor its organization, with its watch, in the order
    in which they come due.

    So those that are checked together are made one after another, and lie side by side in memory:
    each check finds half of what it touches brought along by the one before.

    A row that cannot be read is left out and logged: it must not stop the others.
    """
    intervals: dict[Id, int] = dict(conn.all("SELECT id, max(1, interval_seconds) FROM monitors"))

    def place(row: Row) -> tuple[Millis, Millis]:
        interval_ms: Millis = intervals[row[0]] * SECOND
        # Types differ in their steps; by the phase to the millisecond those of each slot are
        # neighbours.
        return interval_ms, phase_ms(row[0], interval_ms, step=1)

    loaded: list[tuple[Monitor, Watch]] = []
    for row in sorted(conn.all(f"{JOINED} WHERE {_ON_DUTY}"), key=place):
        try:
            found = joined(conn, row)
        except (msgspec.MsgspecError, ValueError) as error:
            _log.error("monitor %s cannot be read and is not checked: %s", row[0], error)
        else:
            loaded.append((found.monitor, found.watch))
    return loaded


def names(conn: Conn, org_id: Id, ids: Collection[Id]) -> dict[Id, str]:
    """Return the names of monitors by id, of deleted ones too: history keeps its names."""
    rows = conn.all(
        "SELECT m.id, m.name FROM json_each(?) few CROSS JOIN monitors m ON m.id = few.value"
        " WHERE +m.org_id = ?",
        (listed(ids), org_id),
    )
    return {row[0]: row[1] for row in rows}


def present(conn: Conn, org_id: Id, ids: Collection[Id]) -> set[Id]:
    """Return those of `ids` that are monitors of the organization and not deleted."""
    rows = conn.all(
        "SELECT m.id FROM json_each(?) few CROSS JOIN monitors m ON m.id = few.value"
        " WHERE +m.org_id = ? AND m.deleted_at IS NULL",
        (listed(ids), org_id),
    )
    return {row[0] for row in rows}


def bound_to(conn: Conn, org_id: Id, ids: Sequence[Id]) -> tuple[int, int]:
    """Return how many incidents are open because one of `ids` is down, and how many rules name one
    of them alone: what goes with them."""
    row = conn.one(
        "SELECT (SELECT count(*) FROM watches WHERE org_id = ?1 AND incident_id IS NOT NULL"
        " AND monitor_id IN (SELECT value FROM json_each(?2))),"
        " (SELECT count(*) FROM alert_rules WHERE org_id = ?1"
        " AND monitor_id IN (SELECT value FROM json_each(?2)))",
        (org_id, listed(ids)),
    )
    assert row is not None, "counting has an answer"
    return int(row[0]), int(row[1])


def insert(conn: Conn, monitor: Monitor) -> Monitor:
    """Add a monitor; returns it with its key. Its watch and its first span begin with it.

    Raises:
        QuotaReached: the organization has as many as it may.
        UniqueConflict: the organization has one with this (source, external_id).
    """
    quotas.room_for_monitor(conn, monitor.org_id)
    spec = monitor.spec
    conn.execute(
        "INSERT INTO monitors (id, org_id, name, type, target, group_name, tags, search,"
        " interval_seconds, timeout_seconds, config, secrets, parent_id, is_paused, created_by,"
        " created_at, updated_at, version, source, external_id, managed_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            monitor.id,
            monitor.org_id,
            *values(conn, monitor.id, monitor.org_id, spec),
            int(spec.is_paused),
            monitor.created_by,
            monitor.created_at,
            monitor.created_at,
            monitor.version,
            monitor.source,
            monitor.external_id,
            monitor.managed_by,
        ),
    )
    stored = changed(monitor, key=conn.last_rowid)
    put_tags(conn, stored.key, stored.org_id, spec)
    status = Status.PAUSED if spec.is_paused else Status.PENDING
    watches.save(conn, stored.org_id, stored.id, Watch(status=status, since=stored.created_at))
    spans.put(conn, stored.id, Span(at=stored.created_at, status=status))
    maintenances.fit(conn, stored.org_id, stored.id, spec.tags, stored.created_at)
    if not isinstance(spec, PushSpec):
        return stored
    pushes.follow(conn, stored.org_id, stored.id, spec, stored.created_at)
    return get(conn, stored.org_id, stored.id) or stored


def replace(
    conn: Conn,
    org_id: Id,
    monitor_id: Id,
    spec: MonitorSpec,
    expected_version: int | None,
    *,
    now: Millis,
) -> Monitor:
    """Give the monitor another configuration; its version counts up.

    `spec.is_paused` is not looked at: pausing ends incidents and cuts time, see `edges.replace`.
    Confirmations that are under way begin anew.

    Raises:
        Missing: the organization has no such monitor.
        VersionConflict: somebody has changed it since `expected_version`.
        NoKey: its secrets cannot be read now, and would be lost.
    """
    row = conn.one(
        "SELECT key, version, secrets IS NOT NULL FROM monitors"
        " WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (org_id, monitor_id),
    )
    if row is None:
        raise Missing("monitor")
    if expected_version is not None and row[1] != expected_version:
        raise VersionConflict(expected_version, int(row[1]))
    if row[2]:
        conn.vault.demand()
    conn.execute(
        "UPDATE monitors SET name = ?, type = ?, target = ?, group_name = ?, tags = ?, search = ?,"
        " interval_seconds = ?, timeout_seconds = ?, config = ?, secrets = ?, parent_id = ?,"
        " updated_at = ?, version = version + 1 WHERE key = ?",
        (*values(conn, monitor_id, org_id, spec), now, row[0]),
    )
    put_tags(conn, row[0], org_id, spec)
    pushes.follow(conn, org_id, monitor_id, spec, now)
    watches.begin_again(conn, monitor_id)
    maintenances.fit(conn, org_id, monitor_id, spec.tags, now)
    stored = get(conn, org_id, monitor_id)
    assert stored is not None, "it was just changed in this transaction"
    return stored


def set_paused(conn: Conn, key: int, is_paused: bool, now: Millis) -> None:
    """Set the flag alone and count the version up; `edges.pause` and `resume` do the rest."""
    conn.execute(
        "UPDATE monitors SET is_paused = ?, updated_at = ?, version = version + 1 WHERE key = ?",
        (int(is_paused), now, key),
    )


def set_deleted(conn: Conn, key: int, now: Millis) -> None:
    """Mark as deleted and count the version up; `edges.retire` does the rest.

    The row stays, so that history keeps its name; its secrets go.
    """
    conn.execute(
        "UPDATE monitors SET deleted_at = ?, updated_at = ?, secrets = NULL,"
        " version = version + 1 WHERE key = ?",
        (now, now, key),
    )
    conn.execute("DELETE FROM monitor_tags WHERE monitor_key = ?", (key,))
    conn.execute(
        "UPDATE monitors SET parent_id = NULL"
        " WHERE parent_id = (SELECT id FROM monitors WHERE key = ?)",
        (key,),
    )
    conn.execute(
        "DELETE FROM pushes WHERE monitor_id = (SELECT id FROM monitors WHERE key = ?)", (key,)
    )
    row = conn.one("SELECT id FROM monitors WHERE key = ?", (key,))
    if row is not None:
        maintenance_spans.leave(conn, row[0], now)


def count(conn: Conn, org_id: Id | None = None) -> int:
    """Return how many monitors there are, in one organization or in all."""
    if org_id is None:
        row = conn.one("SELECT sum(monitors) FROM monitor_tallies")
    else:
        row = conn.one("SELECT monitors FROM monitor_tallies WHERE org_id = ?", (org_id,))
    return 0 if row is None or row[0] is None else int(row[0])


def covered(conn: Conn, org_id: Id, monitor_ids: Collection[Id]) -> set[Id]:
    """Return those of `monitor_ids` about whose being down somebody is told.

    That is: an active rule on an active channel, whose condition has `down` in it, covers them.
    """
    wanted = frozenset(monitor_ids)
    rules = alert_rules.telling_of_down(conn, org_id)
    if any(rule.monitor_id is None and rule.tag is None for rule in rules):
        return set(names(conn, org_id, wanted))
    found = {rule.monitor_id for rule in rules if rule.monitor_id is not None} & wanted
    tags = {rule.tag for rule in rules if rule.tag is not None and rule.monitor_id is None}
    rows = conn.all(
        "SELECT DISTINCT m.id FROM json_each(?) few CROSS JOIN monitors m ON m.id = few.value"
        " CROSS JOIN monitor_tags t ON t.monitor_key = m.key"
        " WHERE t.org_id = ? AND t.tag IN (SELECT value FROM json_each(?))",
        (listed(wanted), org_id, listed(tags)),
    )
    return found | {row[0] for row in rows}
