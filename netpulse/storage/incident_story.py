"""The story of an incident, line by line: what changed, who said what, who was told.

Whose incident it is, the caller has asked: nothing here knows of organizations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from netpulse.model.ids import Id, new_id
from netpulse.model.incident import IncidentStatus, TimelineEntry
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn, Row


def tell(
    conn: Conn,
    incident_id: Id,
    kind: str,
    at: Millis,
    message: str = "",
    *,
    status: IncidentStatus | None = None,
    user_id: Id | None = None,
    is_public: bool = False,
) -> TimelineEntry:
    """Add a line to an incident's story (kinds: see TimelineEntry)."""
    entry = TimelineEntry(
        id=new_id(at),
        incident_id=incident_id,
        at=at,
        kind=kind,
        status=status,
        message=message,
        is_public=is_public,
        user_id=user_id,
    )
    conn.execute(
        "INSERT INTO incident_updates"
        " (id, incident_id, at, kind, status, message, user_id, is_public)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            incident_id,
            at,
            kind,
            None if status is None else status.value,
            message,
            user_id,
            int(is_public),
        ),
    )
    return entry


def timeline(conn: Conn, incident_id: Id) -> list[TimelineEntry]:
    """Return an incident's story, the oldest line first. Whose it is, `incidents.get` has told."""
    return timelines(conn, [incident_id])[incident_id]


def timelines(conn: Conn, incident_ids: Sequence[Id]) -> dict[Id, list[TimelineEntry]]:
    """Return the stories of some incidents, each as `timeline` does."""
    found: dict[Id, list[TimelineEntry]] = {one: [] for one in incident_ids}
    for row in conn.all(
        "SELECT t.id, t.incident_id, t.at, t.kind, t.status, t.message, t.user_id, u.email,"
        " t.is_public, t.seq FROM incident_updates t LEFT JOIN users u ON u.id = t.user_id"
        " WHERE t.incident_id IN (SELECT value FROM json_each(?)) ORDER BY t.at, t.seq",
        (msgspec.json.encode(list(incident_ids)).decode(),),
    ):
        found[row[1]].append(_entry(row))
    return found


def last_seq(conn: Conn) -> int:
    """Return the `seq` of the latest line of all stories; 0 without any."""
    row = conn.one("SELECT max(seq) FROM incident_updates")
    return 0 if row is None or row[0] is None else int(row[0])


def _entry(row: Row) -> TimelineEntry:
    return TimelineEntry(
        id=row[0],
        incident_id=row[1],
        at=row[2],
        kind=row[3],
        status=None if row[4] is None else IncidentStatus(row[4]),
        message=row[5],
        user_id=row[6],
        author=row[7],
        is_public=bool(row[8]),
        seq=row[9],
    )
