"""Incidents: what is wrong, since when, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace as with_changes

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.storage import incident_story
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing, VersionConflict
from netpulse.storage.table import Page, like

_COLUMNS = (
    "i.id, i.org_id, i.title, i.status, i.origin, i.impact, i.started_at, i.resolved_at, i.reason,"
    " i.failure, i.resolution, i.root_cause, i.created_at, i.version,"
    " i.acknowledged_at, i.acknowledged_by, i.acknowledged_via,"
    " (SELECT group_concat(monitor_id) FROM incident_monitors WHERE incident_id = i.id),"
    " (SELECT group_concat(page_id) FROM incident_pages WHERE incident_id = i.id)"
)
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


class StillDown(Exception):
    """An incident cannot be resolved by hand while its monitor is down."""


class AlreadyOver(Exception):
    """An automatic incident that is resolved stays so: the next outage opens its own."""


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


def get(conn: Conn, org_id: Id, incident_id: Id) -> Incident | None:
    """Return the organization's incident, or None."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM incidents i WHERE i.org_id = ? AND i.id = ?",
        (org_id, incident_id),
    )
    return None if row is None else _incident(row)


def anywhere(conn: Conn, incident_id: Id) -> Incident | None:
    """Return an incident of whatever organization: for whoever proves otherwise that they may."""
    row = conn.one(f"SELECT {_COLUMNS} FROM incidents i WHERE i.id = ?", (incident_id,))
    return None if row is None else _incident(row)


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
        f"SELECT {_COLUMNS} FROM (SELECT id FROM ({ids}) ORDER BY started_at DESC, id DESC"
        " LIMIT ? OFFSET ?) few CROSS JOIN incidents i ON i.id = few.id"
        " ORDER BY i.started_at DESC, i.id DESC",
        (*params, limit, offset),
    )
    return Page([_incident(row) for row in rows], total)


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
        f"SELECT {_COLUMNS} FROM ({_TOUCHING}) few CROSS JOIN incidents i ON i.id = few.id"
        " ORDER BY i.started_at, i.id",
        (monitor_id, end, start),
    )
    return [_incident(row) for row in rows]


def of_page(conn: Conn, page_id: Id, since: Millis, limit: int) -> list[Incident]:
    """Return what a status page may tell: the incidents of its monitors and those posted on it,
    which are open or ended after `since`, the latest beginning first."""
    rows = conn.all(
        "WITH recent (id) AS MATERIALIZED (SELECT o.id FROM status_pages p CROSS JOIN incidents o"
        " ON o.org_id = p.org_id WHERE p.id = ?1 AND o.resolved_at IS NULL"
        " UNION ALL SELECT o.id FROM status_pages p CROSS JOIN incidents o"
        " ON o.org_id = p.org_id WHERE p.id = ?1 AND o.resolved_at > ?2)"
        f" SELECT {_COLUMNS} FROM (SELECT i.id FROM recent r CROSS JOIN incidents i ON i.id = r.id"
        f" WHERE {_TOLD} ORDER BY i.resolved_at IS NOT NULL, i.started_at DESC, i.id DESC"
        " LIMIT ?3) few CROSS JOIN incidents i ON i.id = few.id",
        (page_id, since, limit),
    )
    return sorted(
        (_incident(row) for row in rows), key=lambda one: (one.started_at, one.id), reverse=True
    )


def with_news(conn: Conn, page_id: Id, after: int) -> list[Incident]:
    """Return the incidents that a status page may tell and that are open, or have a line in their
    story after `after` (by `seq`), the earliest beginning first."""
    # By its number: SQLite would rather look through an index of all lines of all years.
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM ("
        "SELECT incident_id AS id FROM incident_updates NOT INDEXED WHERE seq > ?2"
        " UNION SELECT o.id FROM status_pages p CROSS JOIN incidents o ON o.org_id = p.org_id"
        " WHERE p.id = ?1 AND o.resolved_at IS NULL) few CROSS JOIN incidents i ON i.id = few.id"
        f" WHERE {_TOLD} ORDER BY i.started_at, i.id",
        (page_id, after),
    )
    return [_incident(row) for row in rows]


def open_of(conn: Conn, monitor_id: Id) -> Incident | None:
    """Return the open automatic incident of a monitor, or None. There is at most one."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM incidents i WHERE i.monitor_id = ? AND i.resolved_at IS NULL",
        (monitor_id,),
    )
    return None if row is None else _incident(row)


def insert(conn: Conn, incident: Incident, monitor_id: Id | None = None) -> Incident:
    """Add an incident; `monitor_id` is the monitor whose checks opened it."""
    conn.execute(
        "INSERT INTO incidents (id, org_id, monitor_id, title, status, origin, impact, started_at,"
        " resolved_at, reason, failure, resolution, root_cause, created_at, updated_at, version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            incident.id,
            incident.org_id,
            monitor_id,
            incident.title,
            incident.status.value,
            incident.origin.value,
            incident.impact.value,
            incident.started_at,
            incident.resolved_at,
            incident.reason,
            incident.failure,
            incident.resolution,
            incident.root_cause,
            incident.created_at,
            incident.created_at,
            incident.version,
        ),
    )
    conn.many(
        "INSERT INTO incident_monitors (incident_id, monitor_id) VALUES (?, ?)",
        [(incident.id, each) for each in incident.monitor_ids],
    )
    _put_pages(conn, incident.id, incident.page_ids)
    return incident


def _put_pages(conn: Conn, incident_id: Id, page_ids: Iterable[Id]) -> None:
    conn.many(
        "INSERT INTO incident_pages (incident_id, page_id) VALUES (?, ?)",
        [(incident_id, each) for each in page_ids],
    )


def insert_manual(
    conn: Conn, incident: Incident, *, message: str = "", user_id: Id | None = None
) -> Incident:
    """Add an incident that a person announces. That its monitors and status pages are the
    organization's own is the caller's to check, in the same transaction."""
    insert(conn, incident)
    incident_story.tell(
        conn,
        incident.id,
        "opened",
        incident.started_at,
        message or incident.title,
        status=incident.status,
        user_id=user_id,
    )
    return incident


def close(conn: Conn, incident: Incident, at: Millis, resolution: str, now: Millis) -> Incident:
    """Resolve an open incident at `at`, but not before it began; returns it as it is now."""
    conn.execute(
        "UPDATE incidents SET status = 'resolved', resolved_at = max(started_at, ?),"
        " resolution = ?, updated_at = ?, version = version + 1"
        " WHERE id = ? AND resolved_at IS NULL",
        (at, resolution, now, incident.id),
    )
    stored = get(conn, incident.org_id, incident.id)
    assert stored is not None, "it was just changed in this transaction"
    return stored


def patch(
    conn: Conn,
    org_id: Id,
    incident_id: Id,
    *,
    now: Millis,
    user_id: Id | None = None,
    title: str | UnsetType = UNSET,
    status: IncidentStatus | UnsetType = UNSET,
    root_cause: str | UnsetType | None = UNSET,
    page_ids: tuple[Id, ...] | UnsetType = UNSET,
    expected_version: int | None = None,
) -> Incident:
    """Change what a person may change of an incident, with a line in its story for each change.

    Raises:
        Missing: the organization has no such incident.
        VersionConflict: somebody has changed it since `expected_version`.
        StillDown: it should be resolved, but a monitor of it is down.
        AlreadyOver: an automatic one that is resolved should be opened again.
    """
    old = get(conn, org_id, incident_id)
    if old is None:
        raise Missing("incident")
    if expected_version is not None and old.version != expected_version:
        raise VersionConflict(expected_version, old.version)
    if not isinstance(status, UnsetType) and status is not old.status:
        _set_status(conn, old, status, now)
        incident_story.tell(conn, incident_id, "status", now, status=status, user_id=user_id)
    if not isinstance(title, UnsetType) and title != old.title:
        conn.execute("UPDATE incidents SET title = ? WHERE id = ?", (title, incident_id))
    if not isinstance(root_cause, UnsetType) and root_cause != old.root_cause:
        conn.execute("UPDATE incidents SET root_cause = ? WHERE id = ?", (root_cause, incident_id))
        incident_story.tell(conn, incident_id, "root_cause", now, root_cause or "", user_id=user_id)
    if not isinstance(page_ids, UnsetType):
        conn.execute("DELETE FROM incident_pages WHERE incident_id = ?", (incident_id,))
        _put_pages(conn, incident_id, page_ids)
    conn.execute(
        "UPDATE incidents SET updated_at = ?, version = version + 1 WHERE id = ?",
        (now, incident_id),
    )
    stored = get(conn, org_id, incident_id)
    assert stored is not None, "it was just changed in this transaction"
    return stored


def add_update(
    conn: Conn,
    org_id: Id,
    incident_id: Id,
    message: str,
    *,
    now: Millis,
    user_id: Id | None = None,
    status: IncidentStatus | None = None,
    is_public: bool = False,
) -> TimelineEntry:
    """Add what a person has to say to an incident's story, with a new status if given.

    `is_public`: status pages tell it, also where the incident is an automatic one.

    Raises:
        Missing, StillDown, AlreadyOver: as `patch`.
    """
    old = get(conn, org_id, incident_id)
    if old is None:
        raise Missing("incident")
    if status is not None and status is not old.status:
        _set_status(conn, old, status, now)
    conn.execute(
        "UPDATE incidents SET updated_at = ?, version = version + 1 WHERE id = ?",
        (now, incident_id),
    )
    return incident_story.tell(
        conn,
        incident_id,
        "update",
        now,
        message,
        status=status,
        user_id=user_id,
        is_public=is_public,
    )


def _set_status(conn: Conn, incident: Incident, status: IncidentStatus, now: Millis) -> None:
    if status is IncidentStatus.RESOLVED:
        down = conn.one(
            "SELECT 1 FROM incident_monitors im JOIN watches w ON w.monitor_id = im.monitor_id"
            " WHERE im.incident_id = ? AND w.status = ? AND w.region = ?",
            (incident.id, Status.DOWN.value, LOCAL),
        )
        if down is not None:
            raise StillDown("a monitor of this incident is down")
        close(conn, incident, now, "manual", now)
        conn.execute("UPDATE watches SET incident_id = NULL WHERE incident_id = ?", (incident.id,))
        return
    if incident.resolved_at is not None and incident.origin is Origin.CHECK:
        raise AlreadyOver("this incident is resolved; the next outage opens its own")
    conn.execute(
        "UPDATE incidents SET status = ?, resolved_at = NULL, resolution = NULL WHERE id = ?",
        (status.value, incident.id),
    )


def _incident(row: Row) -> Incident:
    return Incident(
        id=row[0],
        org_id=row[1],
        title=row[2],
        status=IncidentStatus(row[3]),
        origin=Origin(row[4]),
        impact=Impact(row[5]),
        started_at=row[6],
        resolved_at=row[7],
        reason=row[8],
        failure=row[9],
        resolution=row[10],
        root_cause=row[11],
        created_at=row[12],
        version=row[13],
        acknowledged_at=row[14],
        acknowledged_by=row[15],
        acknowledged_via=row[16],
        monitor_ids=tuple(row[17].split(",")) if row[17] else (),
        page_ids=tuple(row[18].split(",")) if row[18] else (),
    )
