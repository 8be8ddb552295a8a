"""Lists of monitors: which, in which order, and by which words they can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.watch import Status
from netpulse.storage import monitors
from netpulse.storage.conn import Conn
from netpulse.storage.monitor_rows import SELECTED, WATCHED, MonitorRow, joined
from netpulse.storage.table import Page, like, listed

_SHOWN = (
    "CASE WHEN m.maintained_until IS NOT NULL AND w.status <> 'paused' THEN 'maintenance'"
    " ELSE w.status END"
)
"""The status that people see, with `watches w` beside `monitors m`."""
_SEVERITY = (
    f"CASE {_SHOWN} WHEN 'down' THEN 0 WHEN 'degraded' THEN 1 WHEN 'unknown' THEN 2"
    " WHEN 'pending' THEN 3 WHEN 'maintenance' THEN 4 WHEN 'up' THEN 5 ELSE 6 END"
)
_NAME = "m.name COLLATE NOCASE, m.key"

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
    total = _count(conn, org_id, wanted)
    if offset >= total:
        return Page([], total)
    # First only the keys: sorting must not drag every configuration along.
    keys = (
        f"SELECT m.key FROM monitors m {_index(wanted, order)}{WATCHED if 'w.' in order else ''}"
        f" WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
    )
    rows = conn.all(
        f"{SELECTED} FROM ({keys}) few CROSS JOIN monitors m ON m.key = few.key{WATCHED}"
        f" ORDER BY {order}",
        (*params, limit, offset),
    )
    return Page([joined(conn, row) for row in rows], total)


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
    found = conn.all(
        f"{SELECTED} FROM json_each(?) few CROSS JOIN monitors m ON m.id = few.value{WATCHED}"
        " WHERE +m.org_id = ? AND m.deleted_at IS NULL",
        (listed(ids), org_id),
    )
    by_id = {row.monitor.id: row for row in (joined(conn, each) for each in found)}
    return [by_id[id_] for id_ in ids if id_ in by_id]


def matching(conn: Conn, org_id: Id, wanted: MonitorFilter) -> list[Id]:
    """Return the ids of all monitors that fit the filter, by name."""
    where, params = _where(org_id, wanted)
    rows = conn.all(
        f"SELECT m.id FROM monitors m {_index(wanted, _NAME)} WHERE {where} ORDER BY {_NAME}",
        params,
    )
    return [row[0] for row in rows]


def choices(conn: Conn, org_id: Id, limit: int) -> dict[Id, str]:
    """Return the first `limit` monitors (id and name) by name, for people to choose among."""
    rows = conn.all(
        "SELECT m.id, m.name FROM monitors m INDEXED BY monitors_by_name WHERE m.org_id = ?"
        f" AND m.deleted_at IS NULL ORDER BY {_NAME} LIMIT ?",
        (org_id, limit),
    )
    return {row[0]: row[1] for row in rows}


def tags(conn: Conn, org_id: Id) -> list[str]:
    """Return the tags that monitors of the organization have, by name."""
    rows = conn.all("SELECT DISTINCT tag FROM monitor_tags WHERE org_id = ?", (org_id,))
    return sorted((row[0] for row in rows), key=str.casefold)


def groups(conn: Conn, org_id: Id) -> list[str]:
    """Return the groups that monitors of the organization are in, by name."""
    rows = conn.all(
        "SELECT DISTINCT group_name FROM monitors INDEXED BY monitors_by_name"
        " WHERE org_id = ? AND deleted_at IS NULL AND group_name <> ''",
        (org_id,),
    )
    return sorted((row[0] for row in rows), key=str.casefold)


def _count(conn: Conn, org_id: Id, wanted: MonitorFilter) -> int:
    if _is_whole(wanted):
        return monitors.count(conn, org_id)
    where, params = _where(org_id, wanted)
    row = conn.one(f"SELECT count(*) FROM monitors m {_index(wanted, _NAME)} WHERE {where}", params)
    return int(row[0]) if row else 0


def _is_whole(wanted: MonitorFilter) -> bool:
    return wanted == MonitorFilter(sort=wanted.sort)


def _index(wanted: MonitorFilter, order: str) -> str:
    """Return which index to take, whatever SQLite knows of the table: one without the rows, which
    are a kilobyte each and more. What is searched in, and targets, are in the rows alone."""
    if "m.target" in order or (wanted.q is not None and wanted.q.strip()):
        return ""
    is_by_age = _is_whole(wanted) and order in {SORTS["created_at"], SORTS["-created_at"]}
    return f"INDEXED BY monitors_by_{'age' if is_by_age else 'name'}"


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
