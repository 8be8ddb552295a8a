"""An incident: one outage of one monitor, or one announced by a person."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class IncidentStatus(StrEnum):
    """Where the work on an incident stands."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


class Origin(StrEnum):
    """What opened an incident."""

    CHECK = "check"
    MANUAL = "manual"


class Impact(StrEnum):
    """How bad a person says a manual incident is."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Incident(Struct, frozen=True, kw_only=True):
    """An outage with its story. Moments are Unix milliseconds."""

    id: Id
    org_id: Id
    title: str
    status: IncidentStatus
    origin: Origin
    impact: Impact = Impact.MAJOR
    monitor_ids: tuple[Id, ...] = ()
    page_ids: tuple[Id, ...] = ()
    """The status pages that somebody posted it on, beside those that show one of its monitors."""
    started_at: Millis
    """The first failing check, not the moment of confirmation."""
    resolved_at: Millis | None = None
    """The first good check that ended it."""
    reason: str | None = None
    """The deciding check's sentence."""
    failure: str | None = None
    resolution: str | None = None
    """recovered, paused, deleted, or manual; null while open."""
    root_cause: str | None = None
    acknowledged_at: Millis | None = None
    acknowledged_by: str | None = None
    """Whom it was: an email address, or the channel whose link was used."""
    acknowledged_via: str | None = None
    """page, api or link."""
    created_at: Millis
    version: int = 1


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """One step of an incident's story.

    `kind`: opened, check, confirmed, status, update, root_cause, notice, acknowledged, maintenance,
    resolved.
    """

    id: Id
    incident_id: Id
    at: Millis
    kind: str
    status: IncidentStatus | None = None
    message: str = ""
    is_public: bool = False
    """Somebody said that status pages may tell it, though the incident is an automatic one."""
    user_id: Id | None = None
    author: str | None = None
    seq: int = 0
    """By which steps of all stories are in the order in which they were written."""
