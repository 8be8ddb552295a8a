"""News of a status page: what its subscribers are told, in public words and under public ids."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.board import BoardUpdate
from netpulse.model.ids import Id
from netpulse.model.incident import Impact, IncidentStatus
from netpulse.model.time import Millis


class NewsEvent(StrEnum):
    """What has happened."""

    INCIDENT_OPENED = "incident.opened"
    INCIDENT_UPDATED = "incident.updated"
    INCIDENT_RESOLVED = "incident.resolved"
    MAINTENANCE_PLANNED = "maintenance.planned"
    ANNOUNCEMENT = "announcement"


class NewsItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One incident, maintenance or announcement, as far as it is new."""

    event: NewsEvent
    id: Id
    """The page's own."""
    title: str
    status: IncidentStatus | None = None
    """Of an incident, as it is now."""
    impact: Impact | None = None
    services: tuple[str, ...] = ()
    """Their public names."""
    starts_at: Millis
    ends_at: Millis | None = None
    repeats: bool = False
    """A maintenance that comes again after the window which is told."""
    text: str = ""
    updates: tuple[BoardUpdate, ...] = ()
    """The new lines of an incident's story, oldest first."""
    by_people: bool = False
    """Somebody wrote it: it waits no longer than it must."""
