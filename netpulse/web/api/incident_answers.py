"""What an incident and its story look like from outside."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.time import SECOND, Millis, rfc3339


class EntryAnswer(Struct, frozen=True, kw_only=True):
    """A line of an incident's story."""

    id: Id
    at: str
    kind: str
    """opened, check, confirmed, status, update, root_cause, notice or resolved."""
    status: IncidentStatus | None
    message: str
    user_id: Id | None
    author: str | None


class IncidentAnswer(Struct, frozen=True, kw_only=True):
    """An incident."""

    id: Id
    org_id: Id
    title: str
    status: IncidentStatus
    origin: Origin
    impact: Impact
    monitor_id: Id | None
    """The first of its monitors."""
    monitor_ids: tuple[Id, ...]
    started_at: str
    """The first failing check, not the moment of confirmation."""
    resolved_at: str | None
    duration_seconds: int
    """Until now where it is open."""
    reason: str | None
    failure: str | None
    resolution: str | None
    """recovered, paused, deleted or manual; null while open."""
    root_cause: str | None
    created_at: str
    version: int


class IncidentWithStory(IncidentAnswer, frozen=True, kw_only=True):
    """An incident with its story, the oldest line first."""

    timeline: list[EntryAnswer]


def shown(incident: Incident, now: Millis) -> IncidentAnswer:
    """Return an incident as the API answers it."""
    return IncidentAnswer(**fields_of(incident, now))  # type: ignore[arg-type]  # one dict, many types


def shown_entry(entry: TimelineEntry) -> EntryAnswer:
    """Return a line of a story as the API answers it."""
    return EntryAnswer(
        id=entry.id,
        at=rfc3339(entry.at),
        kind=entry.kind,
        status=entry.status,
        message=entry.message,
        user_id=entry.user_id,
        author=entry.author,
    )


def fields_of(incident: Incident, now: Millis) -> dict[str, object]:
    end = now if incident.resolved_at is None else incident.resolved_at
    return {
        "id": incident.id,
        "org_id": incident.org_id,
        "title": incident.title,
        "status": incident.status,
        "origin": incident.origin,
        "impact": incident.impact,
        "monitor_id": incident.monitor_ids[0] if incident.monitor_ids else None,
        "monitor_ids": incident.monitor_ids,
        "started_at": rfc3339(incident.started_at),
        "resolved_at": None if incident.resolved_at is None else rfc3339(incident.resolved_at),
        "duration_seconds": max(0, end - incident.started_at) // SECOND,
        "reason": incident.reason,
        "failure": incident.failure,
        "resolution": incident.resolution,
        "root_cause": incident.root_cause,
        "created_at": rfc3339(incident.created_at),
        "version": incident.version,
    }
