"""Rows of incidents, and how they are read."""

from __future__ import annotations

from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin
from netpulse.storage.conn import Row

COLUMNS = (
    "i.id, i.org_id, i.title, i.status, i.origin, i.impact, i.started_at, i.resolved_at, i.reason,"
    " i.failure, i.resolution, i.root_cause, i.created_at, i.version,"
    " i.acknowledged_at, i.acknowledged_by, i.acknowledged_via,"
    " (SELECT group_concat(monitor_id) FROM incident_monitors WHERE incident_id = i.id),"
    " (SELECT group_concat(page_id) FROM incident_pages WHERE incident_id = i.id)"
)
"""What `of_row` takes, of the table incidents under the name i."""


def of_row(row: Row) -> Incident:
    """Return the incident of a row of `COLUMNS`."""
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
