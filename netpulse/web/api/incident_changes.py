"""Incidents announced, changed and told further by people, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from netpulse.engine.runner import incident_event
from netpulse.model.ids import Id, is_id, new_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.storage import incidents, monitors, status_pages
from netpulse.storage.errors import Missing
from netpulse.storage.incidents import AlreadyOver, StillDown
from netpulse.web import reading
from netpulse.web.api.incident_answers import shown
from netpulse.web.errors import Problem, conflict, not_found
from netpulse.web.house import House
from netpulse.web.session import Deed, OrgSession

R = TypeVar("R")

Title = Annotated[str, Meta(min_length=1, max_length=300)]
Story = Annotated[str, Meta(max_length=10_000)]
Ids = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=100)]


class IncidentSpec(Struct, frozen=True, kw_only=True):
    """An incident that a person announces."""

    title: Title
    monitor_id: Annotated[str, Meta(max_length=100)] | None = None
    monitor_ids: Ids = []
    status: IncidentStatus = IncidentStatus.INVESTIGATING
    message: Story = ""
    impact: Impact = Impact.MAJOR
    status_page_ids: Ids = []
    """Status pages that tell it, beside those that show one of its monitors."""


class IncidentPatch(Struct, frozen=True, kw_only=True):
    """What a person may change of an incident; what is absent stays."""

    title: Title | UnsetType = UNSET
    status: IncidentStatus | UnsetType = UNSET
    root_cause: Story | UnsetType | None = UNSET
    status_page_ids: Ids | UnsetType = UNSET


class UpdateSpec(Struct, frozen=True, kw_only=True):
    """A line for an incident's story."""

    message: Annotated[str, Meta(min_length=1, max_length=10_000)]
    status: IncidentStatus | None = None
    is_public: bool = False
    """Status pages tell it. (What is said of an incident that somebody announced, they always
    tell.)"""


def unknown_pages(deed: Deed, ids: list[str]) -> list[Problem]:
    """Return a problem for each of `ids` that is no status page of the organization."""
    known = status_pages.present(deed.conn, deed.org_id, ids)
    return [
        Problem(f"$.status_page_ids[{number}]", "there is no status page with this id")
        for number, each in enumerate(ids)
        if each not in known
    ]


async def announce(house: House, session: OrgSession, spec: IncidentSpec) -> Incident:
    """Open an incident by hand."""
    named = {"$.monitor_id": spec.monitor_id} if spec.monitor_id is not None else {}
    named |= {f"$.monitor_ids[{number}]": each for number, each in enumerate(spec.monitor_ids)}
    wanted = tuple(dict.fromkeys(named.values()))
    title = spec.title.strip()

    def work(deed: Deed) -> Incident:
        problems = reading.line_problems("$.title", title)
        for path, each in named.items():
            if not is_id(each) or monitors.get(deed.conn, deed.org_id, each) is None:
                problems.append(Problem(path, "there is no monitor with this id"))
        problems += unknown_pages(deed, spec.status_page_ids)
        reading.at_least_one(problems)
        resolved = spec.status is IncidentStatus.RESOLVED
        incident = incidents.insert_manual(
            deed.conn,
            Incident(
                id=new_id(deed.now),
                org_id=deed.org_id,
                title=title,
                status=spec.status,
                origin=Origin.MANUAL,
                impact=spec.impact,
                monitor_ids=wanted,
                page_ids=tuple(dict.fromkeys(spec.status_page_ids)),
                started_at=deed.now,
                resolved_at=deed.now if resolved else None,
                resolution="manual" if resolved else None,
                created_at=deed.now,
            ),
            message=spec.message.strip(),
            user_id=deed.actor.user_id,
        )
        after = shown(incident, deed.now)
        deed.note("incident.created", "incident", incident.id, after=after)
        return incident

    incident = await session.change(work)
    tell(house, incident)
    return incident


async def patch(
    house: House,
    session: OrgSession,
    incident_id: Id,
    change: IncidentPatch,
    expected_version: int | None = None,
) -> Incident:
    """Change an incident. Raises ApiError: 404, 409 `MONITOR_DOWN` or `INCIDENT_RESOLVED`, 412."""

    def work(deed: Deed) -> Incident:
        old = incidents.get(deed.conn, deed.org_id, incident_id)
        if old is None:
            raise not_found("incident")
        pages = change.status_page_ids
        if not isinstance(pages, UnsetType):
            reading.at_least_one(unknown_pages(deed, pages))
        incident = incidents.patch(
            deed.conn,
            deed.org_id,
            incident_id,
            now=deed.now,
            user_id=deed.actor.user_id,
            title=change.title if isinstance(change.title, UnsetType) else change.title.strip(),
            status=change.status,
            root_cause=change.root_cause,
            page_ids=pages if isinstance(pages, UnsetType) else tuple(dict.fromkeys(pages)),
            expected_version=expected_version,
        )
        deed.note(
            "incident.updated",
            "incident",
            incident_id,
            before=shown(old, deed.now),
            after=shown(incident, deed.now),
        )
        return incident

    incident = await in_words(session, work)
    tell(house, incident)
    return incident


async def add_update(
    house: House, session: OrgSession, incident_id: Id, spec: UpdateSpec
) -> TimelineEntry:
    """Add a line to an incident's story. Raises ApiError as `patch`."""

    def work(deed: Deed) -> tuple[Incident, TimelineEntry]:
        if incidents.get(deed.conn, deed.org_id, incident_id) is None:
            raise not_found("incident")
        entry = incidents.add_update(
            deed.conn,
            deed.org_id,
            incident_id,
            spec.message.strip(),
            now=deed.now,
            user_id=deed.actor.user_id,
            status=spec.status,
            is_public=spec.is_public,
        )
        entry = replace(entry, author=session.user.email)
        after = {"message": entry.message, "status": spec.status, "is_public": spec.is_public}
        deed.note("incident.update_added", "incident", incident_id, after=after)
        incident = incidents.get(deed.conn, deed.org_id, incident_id)
        assert incident is not None, "it was just changed in this transaction"
        return incident, entry

    incident, entry = await in_words(session, work)
    tell(house, incident)
    return entry


async def in_words(session: OrgSession, work: Callable[[Deed], R]) -> R:
    """Make a change of an incident; what it may not be is said in words.

    Raises:
        ApiError: 404, 409 `MONITOR_DOWN` or `INCIDENT_RESOLVED`.
    """
    try:
        return await session.change(work)
    except StillDown:
        raise conflict(
            "MONITOR_DOWN",
            "A monitor of this incident is down: wait until it recovers, or pause it",
        ) from None
    except AlreadyOver:
        raise conflict(
            "INCIDENT_RESOLVED",
            "This incident is over; the next outage of the monitor opens its own",
        ) from None
    except Missing:
        raise not_found("incident") from None


def tell(house: House, incident: Incident) -> None:
    """Let browsers hear of it, and the engine of an incident that ended under its monitors."""
    monitor_id = incident.monitor_ids[0] if incident.monitor_ids else None
    event = incident_event(incident, monitor_id)
    house.engine.live.tell(incident.org_id, "incident", event)
    house.shelf.edited(incident.org_id)
    if incident.resolved_at is not None:
        for each in incident.monitor_ids:
            house.engine.changed(each)
