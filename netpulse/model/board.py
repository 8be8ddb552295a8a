"""The board: what a status page says at one moment, in public words and under public ids.

Nothing in here names a target, an id of the inside or an error: what is not in a board cannot
leak from a page, a feed, a badge or the API.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Impact, IncidentStatus
from netpulse.model.time import Millis


class PublicStatus(StrEnum):
    """The state of a service, or of a page as a whole, as the world is told it."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    OUTAGE = "outage"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


class BoardDay(Struct, frozen=True, kw_only=True, gc=False):
    """One UTC day of a service. Seconds are whole."""

    start: Millis
    status: PublicStatus
    known: bool = True
    """False for a day before there was anything to show."""
    up_seconds: int = 0
    degraded_seconds: int = 0
    down_seconds: int = 0
    outages: int = 0


class BoardService(Struct, frozen=True, kw_only=True):
    """One service of a page."""

    id: Id
    """The page's own."""
    name: str
    status: PublicStatus
    since: Millis
    days: tuple[BoardDay, ...] = ()
    """Oldest first; the last is today."""
    uptime_percent: float | None = None
    """Of the time of these days, rounded down at 4 decimals; None without data."""
    response_time_ms: int | None = None
    """The mean of the last 24 finished hours; None without, and where the page does not show it."""


class BoardGroup(Struct, frozen=True, kw_only=True):
    """Services under one heading."""

    name: str
    services: tuple[BoardService, ...]


class BoardUpdate(Struct, frozen=True, kw_only=True, gc=False):
    """A line of an incident's public story."""

    at: Millis
    status: IncidentStatus | None
    text: str
    is_ours: bool = False
    """Whether these are the product's own words (`rules.boards`), and nobody's."""


class BoardIncident(Struct, frozen=True, kw_only=True):
    """An incident as the world is told of it."""

    id: Id
    """The page's own."""
    title: str
    status: IncidentStatus
    impact: Impact
    is_manual: bool
    """Somebody wrote it; else the words are the product's own."""
    started_at: Millis
    resolved_at: Millis | None
    changed_at: Millis
    """When its story grew last."""
    services: tuple[Id, ...]
    """The page's own ids."""
    updates: tuple[BoardUpdate, ...]
    """Oldest first."""


class BoardMaintenance(Struct, frozen=True, kw_only=True):
    """A window of planned maintenance that may be announced."""

    id: Id
    """The page's own."""
    title: str
    text: str
    starts_at: Millis
    ends_at: Millis
    announced_at: Millis
    is_active: bool
    repeats: bool
    """More windows follow this one."""
    plan: Id
    """The page's own id for all windows of a plan that repeats, and for the one that does not."""
    services: tuple[Id, ...]


class BoardAnnouncement(Struct, frozen=True, kw_only=True, gc=False):
    """What the organization wants to say beside all that."""

    id: Id
    """The page's own."""
    title: str
    text: str
    at: Millis


class Board(Struct, frozen=True, kw_only=True):
    """All that a page says."""

    status: PublicStatus
    groups: tuple[BoardGroup, ...] = ()
    incidents: tuple[BoardIncident, ...] = ()
    """Those that are open and those of the last 90 days, the latest first."""
    maintenance: tuple[BoardMaintenance, ...] = ()
    """What lasts and what comes, by its beginning."""
    announcements: tuple[BoardAnnouncement, ...] = ()
    """The latest first."""
    changes_at: Millis
    """When it says something else by the mere passing of time."""

    @property
    def services(self) -> tuple[BoardService, ...]:
        """All services, in the page's order."""
        return tuple(service for group in self.groups for service in group.services)
