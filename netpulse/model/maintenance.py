"""Planned maintenance: when it is, what it covers, and how a monitor looks in it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status, Watch


class State(StrEnum):
    """Where a maintenance stands."""

    ACTIVE = "active"
    PLANNED = "planned"
    OVER = "over"


class Window(Struct, frozen=True, gc=False):
    """A stretch of time in maintenance, its end excluded."""

    start: Millis
    end: Millis


class Schedule(Struct, frozen=True, kw_only=True):
    """When: once (`ends_at`), or as often as an RRULE or a crontab says (`duration_minutes`)."""

    starts_at: Millis
    """The beginning; of a recurring one, where its rule begins to count (RFC 5545: DTSTART)."""
    ends_at: Millis | None = None
    rrule: str | None = None
    cron: str | None = None
    timezone: str = "UTC"
    """The IANA name of the zone whose clock on the wall a recurring one follows."""
    duration_minutes: int | None = None
    """Elapsed minutes, whatever a clock on the wall shows meanwhile."""


class Coverage(Struct, frozen=True, kw_only=True):
    """What: every monitor, or those of a list, or those with one of some tags."""

    all: bool = False
    monitor_ids: tuple[Id, ...] = ()
    tags: tuple[str, ...] = ()


class Maintenance(Struct, frozen=True, kw_only=True):
    """A maintenance as it is stored."""

    id: Id
    org_id: Id
    title: str
    description: str = ""
    schedule: Schedule
    coverage: Coverage
    is_public: bool = False
    next: Window | None = None
    """The window that lasts, or else the next one; None when there is none to come."""
    ended_through: Millis | None = None
    """Windows that began until then are over: somebody ended the last of them early."""
    created_by: Id | None = None
    created_at: Millis
    version: int = 1

    def state(self, now: Millis) -> State:
        """Return where it stands at `now`."""
        if self.next is None or self.next.end <= now:
            # Between the end of a window and its being noticed, a recurring one is planned.
            recurring = self.next is not None and self.schedule.ends_at is None
            return State.PLANNED if recurring else State.OVER
        return State.ACTIVE if self.next.start <= now else State.PLANNED


def shown(watch: Watch, stretch: Window | None) -> Watch:
    """Return a monitor's memory as people see it while it is in maintenance in `stretch`.

    The confirmed state goes on underneath. A paused monitor stays paused.
    """
    if stretch is None or watch.status is Status.PAUSED:
        return watch
    return replace(watch, status=Status.MAINTENANCE, since=stretch.start)
