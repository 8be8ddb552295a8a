"""Monitors, with what is remembered of each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace as changed

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, MonitorSpec, PushSpec
from netpulse.model.time import Millis
from netpulse.model.watch import Span, Status, Watch
from netpulse.storage import (
    alert_rules,
    maintenance_spans,
    maintenances,
    pushes,
    quotas,
    spans,
    watches,
)
from netpulse.storage.conn import Conn
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
from netpulse.storage.table import Page, like

__all__ = [
    "SORTS",
    "MonitorFilter",
    "MonitorRow",
    "bound_to",
    "count",
    "covered",
    "get",
    "get_row",
    "groups",
    "insert",
    "load_all",
    "load_one",
    "matching",
    "names",
    "page",
    "page_by",
    "present",
    "replace",
    "rows_of",
    "set_deleted",
    "set_paused",
    "status_counts",
    "tags",
]

_SHOWN = (
    "CASE WHEN m.maintained_until IS NOT NULL AND w.status <> 'paused' THEN 'maintenance'"
    " ELSE w.status END"
)
"""The status that people see, with `watches w` beside `monitors m`."""
_ON_DUTY = (
    "m.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = m.org_id"
    " AND o.deleted_at IS NOT NULL)"
)
"""Those of an organization that was deleted are retired one after another; none is watched."""
_SEVERITY = (
    f"CASE {_SHOWN} WHEN 'down' THEN 0 WHEN 'degraded' THEN 1 WHEN 'unknown' THEN 2"
    " WHEN 'pending' THEN 3 WHEN 'maintenance' THEN 4 WHEN 'up' THEN 5 ELSE 6 END"
)
_NAME = "m.name COLLATE NOCASE, m.key"
_WATCH = f" JOIN watches w ON w.monitor_id = m.id AND w.region = '{LOCAL}'"

SORTS: dict[str, str] = {
    "name": _NAME,
    "-name": "m.name COLLATE NOCASE DESC, m.key DESC",
    "created_at": "m.key",
    "-created_at": "m.key DESC",
    "status": f"{_SEVERITY}, {_NAME}",
    "-status": f"{_SEVERITY} DESC, {_NAME}",
    "type": f"m.type, {_NAME}",
    "-type": f"m.type DESC, {_NAME}",
    "target": "m.target, m.key",
    "-target": "m.target DESC, m.key DESC",
    "group": f"m.group_name COLLATE NOCASE, {_NAME}",
    "-group": f"m.group_name COLLATE NOCASE DESC, {_NAME}",
    "interval_seconds": f"m.interval_seconds, {_NAME}",
    "-interval_seconds": f"m.interval_seconds DESC, {_NAME}",
    "status_since": f"w.since, {_NAME}",
    "-status_since": f"w.since DESC, {_NAME}",
}
"""The orders a list may be asked in; `status` has the worst first."""

_log = logging.getLogger("netpulse.storage")


class MonitorFilter(Struct, frozen=True, kw_only=True):
    """Which monitors a list has, and in which order; None leaves a part out."""

    status: Status | None = None
    type: str | None = None
    tag: str | None = None
    group: str | None = None
    q: str | None = None
    """Text that name, target, group or a tag contains, case aside."""
    sort: str = "name"
    """A word of SORTS."""


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
    """Return every monitor that is not deleted, nor its organization, with its watch, the oldest
    first.

    A row that cannot be read is left out and logged: it must not stop the others.
    """
    loaded: list[tuple[Monitor, Watch]] = []
    for row in conn.all(f"{JOINED} WHERE {_ON_DUTY} ORDER BY m.key"):
        try:
            found = joined(conn, row)
        except (msgspec.MsgspecError, ValueError) as error:
            _log.error("monitor %s cannot be read and is not checked: %s", row[0], error)
        else:
            loaded.append((found.monitor, found.watch))
    return loaded


def names(conn: Conn, org_id: Id, ids: Collection[Id]) -> dict[Id, str]:
    """Return the names of monitors by id, of deleted ones too: history keeps its names."""
    wanted = tuple(ids)
    rows = conn.all(
        f"SELECT id, name FROM monitors WHERE org_id = ? AND id IN ({_marks(wanted)})",
        (org_id, *wanted),
    )
    return {row[0]: row[1] for row in rows}


def present(conn: Conn, org_id: Id, ids: Collection[Id]) -> set[Id]:
    """Return those of `ids` that are monitors of the organization and not deleted."""
    wanted = tuple(ids)
    rows = conn.all(
        "SELECT id FROM monitors WHERE org_id = ? AND deleted_at IS NULL"
        f" AND id IN ({_marks(wanted)})",
        (org_id, *wanted),
    )
    return {row[0] for row in rows}


def page(
    conn: Conn, org_id: Id, wanted: MonitorFilter, offset: int = 0, limit: int = 20
) -> Page[MonitorRow]:
    """Return `limit` monitors from `offset` on, with how many fit the filter in all.

    Raises:
        ValueError: `wanted.sort` is not in SORTS.
    """
    if wanted.sort not in SORTS:
        raise ValueError(f"sort {wanted.sort!r} is none of {', '.join(SORTS)}")
    order = SORTS[wanted.sort]
    where, params = _where(org_id, wanted)
    counted = conn.one(f"SELECT count(*) FROM monitors m WHERE {where}", params)
    # First only the keys: sorting must not drag every configuration along.
    keys = (
        f"SELECT m.key FROM monitors m{_WATCH if 'w.' in order else ''} WHERE {where}"
        f" ORDER BY {order} LIMIT ? OFFSET ?"
    )
    rows = conn.all(f"{JOINED} WHERE m.key IN ({keys}) ORDER BY {order}", (*params, limit, offset))
    return Page([joined(conn, row) for row in rows], int(counted[0]) if counted else 0)


def page_by(
    conn: Conn,
    org_id: Id,
    wanted: MonitorFilter,
    figures: Mapping[Id, float],
    offset: int = 0,
    limit: int = 20,
    *,
    largest_first: bool = False,
) -> Page[MonitorRow]:
    """Return a page in the order of a figure that is not in the table; those without one are last,
    and the same figures go by name. `wanted.sort` is not looked at."""
    ids = matching(conn, org_id, wanted)
    sign = -1 if largest_first else 1
    last = float("inf")
    ids.sort(key=lambda id_: sign * figures[id_] if id_ in figures else last)
    return Page(rows_of(conn, org_id, ids[offset : offset + limit]), len(ids))


def rows_of(conn: Conn, org_id: Id, ids: Sequence[Id]) -> list[MonitorRow]:
    """Return those of `ids` that are monitors of the organization, in that order."""
    wanted = tuple(ids)
    found = conn.all(
        f"{JOINED} WHERE m.org_id = ? AND m.id IN ({_marks(wanted)}) AND m.deleted_at IS NULL",
        (org_id, *wanted),
    )
    by_id = {row.monitor.id: row for row in (joined(conn, each) for each in found)}
    return [by_id[id_] for id_ in ids if id_ in by_id]


def matching(conn: Conn, org_id: Id, wanted: MonitorFilter) -> list[Id]:
    """Return the ids of all monitors that fit the filter, by name."""
    where, params = _where(org_id, wanted)
    rows = conn.all(f"SELECT m.id FROM monitors m WHERE {where} ORDER BY {_NAME}", params)
    return [row[0] for row in rows]


def bound_to(conn: Conn, org_id: Id, ids: Sequence[Id]) -> tuple[int, int]:
    """Return how many incidents are open because one of `ids` is down, and how many rules name one
    of them alone: what goes with them."""
    listed = msgspec.json.encode(list(ids)).decode()
    row = conn.one(
        "SELECT (SELECT count(*) FROM watches WHERE org_id = ?1 AND incident_id IS NOT NULL"
        " AND monitor_id IN (SELECT value FROM json_each(?2))),"
        " (SELECT count(*) FROM alert_rules WHERE org_id = ?1"
        " AND monitor_id IN (SELECT value FROM json_each(?2)))",
        (org_id, listed),
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
    """
    row = conn.one(
        "SELECT key, version FROM monitors WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (org_id, monitor_id),
    )
    if row is None:
        raise Missing("monitor")
    if expected_version is not None and row[1] != expected_version:
        raise VersionConflict(expected_version, int(row[1]))
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


def status_counts(conn: Conn, org_id: Id) -> dict[Status, int]:
    """Return how many monitors are in each state; states without one are left out."""
    rows = conn.all(
        f"SELECT {_SHOWN}, count(*) FROM watches w JOIN monitors m ON m.id = w.monitor_id"
        " WHERE w.org_id = ? AND w.region = ? GROUP BY 1",
        (org_id, LOCAL),
    )
    return {Status(row[0]): int(row[1]) for row in rows}


def count(conn: Conn, org_id: Id | None = None) -> int:
    """Return how many monitors there are, in one organization or in all."""
    row = conn.one(
        "SELECT count(*) FROM monitors WHERE deleted_at IS NULL AND (?1 IS NULL OR org_id = ?1)",
        (org_id,),
    )
    return int(row[0]) if row else 0


def covered(conn: Conn, org_id: Id, monitor_ids: Collection[Id]) -> set[Id]:
    """Return those of `monitor_ids` about whose being down somebody is told.

    That is: an active rule on an active channel, whose condition has `down` in it, covers them.
    """
    wanted = tuple(monitor_ids)
    rules = alert_rules.telling_of_down(conn, org_id)
    if any(rule.monitor_id is None and rule.tag is None for rule in rules):
        rows = conn.all(
            f"SELECT id FROM monitors WHERE org_id = ? AND id IN ({_marks(wanted)})",
            (org_id, *wanted),
        )
        return {row[0] for row in rows}
    found = {rule.monitor_id for rule in rules if rule.monitor_id is not None} & set(wanted)
    tags = tuple({rule.tag for rule in rules if rule.tag is not None and rule.monitor_id is None})
    rows = conn.all(
        "SELECT DISTINCT m.id FROM monitor_tags t JOIN monitors m ON m.key = t.monitor_key"
        f" WHERE t.org_id = ? AND t.tag IN ({_marks(tags)}) AND m.id IN ({_marks(wanted)})",
        (org_id, *tags, *wanted),
    )
    return found | {row[0] for row in rows}


def tags(conn: Conn, org_id: Id) -> list[str]:
    """Return the tags that monitors of the organization have, by name."""
    rows = conn.all("SELECT DISTINCT tag FROM monitor_tags WHERE org_id = ?", (org_id,))
    return sorted((row[0] for row in rows), key=str.casefold)


def groups(conn: Conn, org_id: Id) -> list[str]:
    """Return the groups that monitors of the organization are in, by name."""
    rows = conn.all(
        "SELECT DISTINCT group_name FROM monitors"
        " WHERE org_id = ? AND deleted_at IS NULL AND group_name <> ''",
        (org_id,),
    )
    return sorted((row[0] for row in rows), key=str.casefold)


def _where(org_id: Id, wanted: MonitorFilter) -> tuple[str, list[str]]:
    parts, params = ["m.org_id = ?", "m.deleted_at IS NULL"], [org_id]
    if wanted.status is not None:
        state = (
            "(SELECT monitor_id FROM watches"
            f" WHERE org_id = ? AND status = ? AND region = '{LOCAL}')"
        )
        if wanted.status is Status.MAINTENANCE:
            parts.append(f"m.maintained_until IS NOT NULL AND m.id NOT IN {state}")
            params += [org_id, Status.PAUSED.value]
        else:
            parts.append(f"m.id IN {state}")
            params += [org_id, wanted.status.value]
            if wanted.status is not Status.PAUSED:
                parts.append("m.maintained_until IS NULL")
    if wanted.type is not None:
        parts.append("m.type = ?")
        params.append(wanted.type)
    if wanted.group is not None:
        parts.append("m.group_name = ?")
        params.append(wanted.group)
    if wanted.tag is not None:
        parts.append("m.key IN (SELECT monitor_key FROM monitor_tags WHERE org_id = ? AND tag = ?)")
        params += [org_id, wanted.tag]
    if wanted.q is not None and wanted.q.strip():
        parts.append("m.search LIKE ? ESCAPE '\\'")
        params.append(like(wanted.q.strip().casefold()))
    return " AND ".join(parts), params


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
