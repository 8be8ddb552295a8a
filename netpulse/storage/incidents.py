"""Incidents: what is wrong, since when, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.storage import incident_story
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing, VersionConflict
from netpulse.storage.incident_rows import COLUMNS, of_row


class StillDown(Exception):
    """An incident cannot be resolved by hand while its monitor is down."""


class AlreadyOver(Exception):
    """An automatic incident that is resolved stays so: the next outage opens its own."""


def get(conn: Conn, org_id: Id, incident_id: Id) -> Incident | None:
    """Return the organization's incident, or None."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM incidents i WHERE i.org_id = ? AND i.id = ?",
        (org_id, incident_id),
    )
    return None if row is None else of_row(row)


def anywhere(conn: Conn, incident_id: Id) -> Incident | None:
    """Return an incident of whatever organization: for whoever proves otherwise that they may."""
    row = conn.one(f"SELECT {COLUMNS} FROM incidents i WHERE i.id = ?", (incident_id,))
    return None if row is None else of_row(row)


def open_of(conn: Conn, monitor_id: Id) -> Incident | None:
    """Return the open automatic incident of a monitor, or None. There is at most one."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM incidents i WHERE i.monitor_id = ? AND i.resolved_at IS NULL",
        (monitor_id,),
    )
    return None if row is None else of_row(row)


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
