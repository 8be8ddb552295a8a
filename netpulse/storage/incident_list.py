"""Lists of incidents: the latest first among those of years, how many there are, and those that a
monitor's figures and a status page ask for.

Nothing here reads the incidents of all years where less will do: lists have an index that is named,
and what needs no look at texts is counted by `incident_tallies`.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace as with_changes

from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn
from netpulse.storage.incident_rows import COLUMNS, of_row
from netpulse.storage.table import Page, like

_OF_MONITOR = (
    "SELECT o.id, o.started_at, o.resolved_at FROM monitors m CROSS JOIN incidents o"
    " ON o.monitor_id = m.id WHERE m.id = ?1 {more}"
    " UNION ALL SELECT o.id, o.started_at, o.resolved_at FROM monitors m"
    " CROSS JOIN incidents o ON o.org_id = m.org_id AND o.origin = 'manual'"
    " CROSS JOIN incident_monitors x ON x.incident_id = o.id AND x.monitor_id = m.id"
    " WHERE m.id = ?1 {more}"
)
"""What befell a monitor (?1) by its own checks, and what people announced of it: each from an index
that has the times, so that of the years nothing else is read."""
_OF_ORG_MONITOR = _OF_MONITOR.format(more="AND m.org_id = ?2")
_TOUCHING = _OF_MONITOR.format(
    more="AND o.started_at < ?2 AND (o.resolved_at IS NULL OR o.resolved_at > ?3)"
)
_TOLD = (
    "(EXISTS (SELECT 1 FROM incident_monitors im JOIN status_page_services s"
    " ON s.monitor_id = im.monitor_id WHERE im.incident_id = i.id AND s.page_id = ?1)"
    " OR EXISTS (SELECT 1 FROM incident_pages x WHERE x.incident_id = i.id AND x.page_id = ?1))"
)
"""What a status page (?1) may tell: what befell a monitor of it, and what was posted on it."""


class IncidentFilter(Struct, frozen=True, kw_only=True):
    """Which incidents a list has; None leaves a part out."""

    status: IncidentStatus | None = None
    is_open: bool | None = None
    monitor_id: Id | None = None
    origin: Origin | None = None
    q: str | None = None
    """Text in title or root cause, or in name, target, group or a tag of one of its monitors."""
    start: Millis | None = None
    """Those that began at this moment or later."""
    end: Millis | None = None
    """Those that began before this moment."""


def page(
    conn: Conn,
    org_id: Id,
    wanted: IncidentFilter,
    offset: int = 0,
    limit: int = 20,
    *,
    total: int | None = None,
) -> Page[Incident]:
    """Return incidents, the latest beginning first; `total` is for who has counted them already."""
    if total is None:
        total = _count(conn, org_id, wanted)
    if offset >= total:
        return Page([], total)
    where, params = _where(org_id, wanted)
    ids = f"SELECT i.id, i.started_at FROM incidents i {_index(wanted)} WHERE {where}"
    if _is_whole_monitor(wanted):
        ids, params = _OF_ORG_MONITOR, [str(wanted.monitor_id), org_id]
    rows = conn.all(
        f"SELECT {COLUMNS} FROM (SELECT id FROM ({ids}) ORDER BY started_at DESC, id DESC"
        " LIMIT ? OFFSET ?) few CROSS JOIN incidents i ON i.id = few.id"
        " ORDER BY i.started_at DESC, i.id DESC",
        (*params, limit, offset),
    )
    return Page([of_row(row) for row in rows], total)


def open_and_over(conn: Conn, org_id: Id, wanted: IncidentFilter) -> tuple[int, int]:
    """Return how many incidents that fit are open, and how many are over; `wanted.is_open` does
    not count here."""
    # Of what has to be looked for in texts, the open ones are few.
    still, all_ = (
        _count(conn, org_id, with_changes(wanted, is_open=is_open)) for is_open in (True, None)
    )
    return still, all_ - still


def _count(conn: Conn, org_id: Id, wanted: IncidentFilter) -> int:
    kind = IncidentFilter(status=wanted.status, is_open=wanted.is_open, origin=wanted.origin)
    if wanted == kind:
        row = conn.one(
            "SELECT coalesce(sum(incidents), 0) FROM incident_tallies WHERE org_id = ?1"
            " AND status = coalesce(?2, status) AND is_open = coalesce(?3, is_open)"
            " AND origin = coalesce(?4, origin)",
            (org_id, wanted.status, wanted.is_open, wanted.origin),
        )
    elif _is_whole_monitor(wanted):
        row = conn.one(f"SELECT count(*) FROM ({_OF_ORG_MONITOR})", (wanted.monitor_id, org_id))
    else:
        where, params = _where(org_id, wanted)
        row = conn.one(f"SELECT count(*) FROM incidents i {_index(wanted)} WHERE {where}", params)
    return int(row[0]) if row else 0


def _is_whole_monitor(wanted: IncidentFilter) -> bool:
    only = IncidentFilter(monitor_id=wanted.monitor_id)
    return wanted.monitor_id is not None and wanted == only


def _index(wanted: IncidentFilter) -> str:
    """Return which index to take, which has the order of lists: what SQLite knows of a table may
    be from a day when there was hardly anything in it."""
    if wanted.monitor_id is not None:
        return ""
    if wanted.is_open or wanted.status not in {None, IncidentStatus.RESOLVED}:
        return "INDEXED BY incidents_open"
    is_manual = wanted.origin is Origin.MANUAL
    return f"INDEXED BY incidents_by_{'hand' if is_manual else 'start'}"


def _where(org_id: Id, wanted: IncidentFilter) -> tuple[str, list[str | int]]:
    # Those of a monitor are few, and found by its own index: not among all of the organization.
    parts: list[str] = ["i.org_id = ?" if wanted.monitor_id is None else "+i.org_id = ?"]
    params: list[str | int] = [org_id]
    if wanted.status is not None:
        parts.append("i.status = ?")
        params.append(wanted.status.value)
        # This says the same, and has an index.
        is_over = wanted.status is IncidentStatus.RESOLVED
        parts.append("i.resolved_at IS NOT NULL" if is_over else "i.resolved_at IS NULL")
    if wanted.is_open is not None:
        parts.append("i.resolved_at IS NULL" if wanted.is_open else "i.resolved_at IS NOT NULL")
    if wanted.monitor_id is not None:
        parts.append("i.id IN (SELECT incident_id FROM incident_monitors WHERE monitor_id = ?)")
        params.append(wanted.monitor_id)
    if wanted.origin is not None:
        # The few that people announce have an index, which wants to be asked for by the word.
        is_manual = wanted.origin is Origin.MANUAL
        parts.append("i.origin = 'manual'" if is_manual else "i.origin <> 'manual'")
    if wanted.q is not None and wanted.q.strip():
        parts.append(
            "(i.title LIKE ? ESCAPE '\\' OR i.root_cause LIKE ? ESCAPE '\\' OR i.id IN ("
            "SELECT im.incident_id FROM monitors m JOIN incident_monitors im"
            " ON im.monitor_id = m.id WHERE m.org_id = ? AND m.search LIKE ? ESCAPE '\\'))"
        )
        text = wanted.q.strip()
        params += [like(text), like(text), org_id, like(text.casefold())]
    if wanted.start is not None:
        parts.append("i.started_at >= ?")
        params.append(wanted.start)
    if wanted.end is not None:
        parts.append("i.started_at < ?")
        params.append(wanted.end)
    return " AND ".join(parts), params


def for_monitor(conn: Conn, monitor_id: Id, start: Millis, end: Millis) -> list[Incident]:
    """Return the incidents of a monitor that touch [start, end), the oldest first."""
    rows = conn.all(
        f"SELECT {COLUMNS} FROM ({_TOUCHING}) few CROSS JOIN incidents i ON i.id = few.id"
        " ORDER BY i.started_at, i.id",
        (monitor_id, end, start),
    )
    return [of_row(row) for row in rows]


def of_page(conn: Conn, page_id: Id, since: Millis, limit: int) -> list[Incident]:
    """Return what a status page may tell: the incidents of its monitors and those posted on it,
    which are open or ended after `since`, the latest beginning first."""
    rows = conn.all(
        "WITH recent (id) AS MATERIALIZED (SELECT o.id FROM status_pages p CROSS JOIN incidents o"
        " ON o.org_id = p.org_id WHERE p.id = ?1 AND o.resolved_at IS NULL"
        " UNION ALL SELECT o.id FROM status_pages p CROSS JOIN incidents o"
        " ON o.org_id = p.org_id WHERE p.id = ?1 AND o.resolved_at > ?2)"
        f" SELECT {COLUMNS} FROM (SELECT i.id FROM recent r CROSS JOIN incidents i ON i.id = r.id"
        f" WHERE {_TOLD} ORDER BY i.resolved_at IS NOT NULL, i.started_at DESC, i.id DESC"
        " LIMIT ?3) few CROSS JOIN incidents i ON i.id = few.id",
        (page_id, since, limit),
    )
    return sorted(
        (of_row(row) for row in rows), key=lambda one: (one.started_at, one.id), reverse=True
    )


def with_news(conn: Conn, page_id: Id, after: int) -> list[Incident]:
    """Return the incidents that a status page may tell and that are open, or have a line in their
    story after `after` (by `seq`), the earliest beginning first."""
    # By its number: SQLite would rather look through an index of all lines of all years.
    rows = conn.all(
        f"SELECT {COLUMNS} FROM ("
        "SELECT incident_id AS id FROM incident_updates NOT INDEXED WHERE seq > ?2"
        " UNION SELECT o.id FROM status_pages p CROSS JOIN incidents o ON o.org_id = p.org_id"
        " WHERE p.id = ?1 AND o.resolved_at IS NULL) few CROSS JOIN incidents i ON i.id = few.id"
        f" WHERE {_TOLD} ORDER BY i.started_at, i.id",
        (page_id, after),
    )
    return [of_row(row) for row in rows]
