"""What an incident and its story look like from outside."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.alert import Considered
from netpulse.model.ids import Id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.time import SECOND, Millis, rfc3339
from netpulse.storage.considered import Change


class EntryAnswer(Struct, frozen=True, kw_only=True):
    """A line of an incident's story."""

    id: Id
    at: str
    kind: str
    """opened, check, confirmed, status, update, root_cause, notice, acknowledged or resolved."""
    status: IncidentStatus | None
    message: str
    is_public: bool
    """Status pages tell it, though the incident is an automatic one."""
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
    status_page_ids: tuple[Id, ...]
    """Those that it was posted on, beside those that show one of its monitors."""
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
    acknowledged_at: str | None
    acknowledged_by: str | None
    """Whom it was: an email address, or the channel whose link was used."""
    acknowledged_via: str | None
    """page, api or link."""
    created_at: str
    version: int


class ConsideredAnswer(Struct, frozen=True, kw_only=True):
    """What one rule made of one change of a monitor of the incident."""

    at: str
    """When the change was certain."""
    before: str
    after: str
    rule_id: Id
    rule_name: str
    channel_id: Id
    verdict: str
    """told, held, suppressed, later (an escalation waits), not_asked or inactive; as it was decided
    then: what became of the notice is in /v1/alert-events."""
    reason: str | None
    until: str | None


class IncidentWithStory(IncidentAnswer, frozen=True, kw_only=True):
    """An incident with its story, the oldest line first, and every rule that was considered."""

    timeline: list[EntryAnswer]
    considered: list[ConsideredAnswer]


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
        is_public=entry.is_public,
        user_id=entry.user_id,
        author=entry.author,
    )


def shown_considered(change: Change, one: Considered) -> ConsideredAnswer:
    """Return what one rule made of one change, as the API answers it."""
    return ConsideredAnswer(
        at=rfc3339(change.at),
        before=change.before.value,
        after=change.after.value,
        rule_id=one.rule_id,
        rule_name=one.rule_name,
        channel_id=one.channel_id,
        verdict=one.verdict,
        reason=one.reason,
        until=None if one.until is None else rfc3339(one.until),
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
        "status_page_ids": incident.page_ids,
        "started_at": rfc3339(incident.started_at),
        "resolved_at": None if incident.resolved_at is None else rfc3339(incident.resolved_at),
        "duration_seconds": max(0, end - incident.started_at) // SECOND,
        "reason": incident.reason,
        "failure": incident.failure,
        "resolution": incident.resolution,
        "root_cause": incident.root_cause,
        "acknowledged_at": None
        if incident.acknowledged_at is None
        else rfc3339(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "acknowledged_via": incident.acknowledged_via,
        "created_at": rfc3339(incident.created_at),
        "version": incident.version,
    }
