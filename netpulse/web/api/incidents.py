"""/v1/incidents: list, read with its story, announce one by hand, change, add to its story.

The last three are done by `incident_changes`, for the pages too.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.storage import considered, incident_list, incident_story, incidents
from netpulse.storage.considered import Change
from netpulse.storage.db import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.table import Page
from netpulse.web import reading
from netpulse.web.api.checks import Moment, moment
from netpulse.web.api.incident_answers import (
    EntryAnswer,
    IncidentAnswer,
    IncidentWithStory,
    fields_of,
    shown,
    shown_considered,
    shown_entry,
)
from netpulse.web.api.incident_changes import (
    IncidentPatch,
    IncidentSpec,
    UpdateSpec,
    add_update,
    announce,
    patch,
)
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import Many, One, page_of
from netpulse.web.errors import Problem, not_found
from netpulse.web.resource import ListQuery

READ_ONLY = frozenset(
    {
        "id",
        "org_id",
        "origin",
        "started_at",
        "resolved_at",
        "duration_seconds",
        "reason",
        "failure",
        "resolution",
        "acknowledged_at",
        "acknowledged_by",
        "acknowledged_via",
        "created_at",
        "version",
        "timeline",
        "considered",
    }
)


class IncidentQuery(ListQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which incidents, the latest first."""

    status: IncidentStatus | None = None
    is_open: bool | None = None
    monitor_id: Annotated[str, Meta(max_length=100)] | None = None
    origin: Origin | None = None
    q: Annotated[str, Meta(max_length=200)] | None = None
    """A part of title or root cause, or of name, target, group or a tag of one of its monitors."""
    from_: Moment | None = None
    """RFC 3339: those that began then or later."""
    to: Moment | None = None
    """RFC 3339: those that began before."""


def _wanted(query: IncidentQuery) -> IncidentFilter:
    """Return the filter that a query names.

    Raises:
        ApiError: 400 for what is no moment.
    """
    problems: list[Problem] = []
    start, end = moment(query.from_, "?from", problems), moment(query.to, "?to", problems)
    reading.at_least_one(problems)
    return IncidentFilter(
        status=query.status,
        is_open=query.is_open,
        monitor_id=query.monitor_id,
        origin=query.origin,
        q=query.q,
        start=start,
        end=end,
    )


def _page(
    conn: Conn, org_id: Id, wanted: IncidentFilter, offset: int, limit: int
) -> Page[Incident]:
    return incident_list.page(conn, org_id, wanted, offset, limit)


class _Story(Struct, frozen=True):
    incident: Incident
    timeline: list[TimelineEntry]
    considered: list[Change]


def _with_story(conn: Conn, org_id: Id, incident_id: Id) -> _Story | None:
    incident = incidents.get(conn, org_id, incident_id)
    if incident is None:
        return None
    return _Story(
        incident,
        incident_story.timeline(conn, incident_id),
        considered.of_incident(conn, incident_id),
    )


@endpoint(
    "GET",
    "/v1/incidents",
    access=VIEWER,
    tag="incidents",
    summary="List the incidents, the latest first",
    query=IncidentQuery,
    answer=IncidentAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[IncidentAnswer]:
    """List."""
    query = call.query(IncidentQuery)
    found = await call.session.read(_page, _wanted(query), query.offset, query.limit)
    rows = [shown(incident, call.now) for incident in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


@endpoint(
    "GET",
    "/v1/incidents/{id:str}",
    access=VIEWER,
    tag="incidents",
    summary="Read an incident with its story",
    answer=IncidentWithStory,
    errors=(404,),
)
async def read_one(call: Call) -> One[IncidentWithStory]:
    """Read one."""
    found = await call.session.read(_with_story, call.id("id", "incident"))
    if found is None:
        raise not_found("incident")
    call.tag(found.incident.version)
    return One.of(
        IncidentWithStory(
            **fields_of(found.incident, call.now),  # type: ignore[arg-type]  # one dict, many types
            timeline=[shown_entry(entry) for entry in found.timeline],
            considered=[
                shown_considered(change, one) for change in found.considered for one in change.rules
            ],
        )
    )


@endpoint(
    "POST",
    "/v1/incidents",
    access=ADMIN,
    tag="incidents",
    summary="Announce an incident by hand",
    body=IncidentSpec,
    answer=IncidentAnswer,
    status=201,
)
async def create(call: Call) -> One[IncidentAnswer]:
    """Announce one."""
    spec = await call.body(IncidentSpec)
    incident = await announce(call.house, call.session, spec)
    call.headers["Location"] = f"/v1/incidents/{incident.id}"
    call.tag(incident.version)
    return One.of(shown(incident, call.now))


@endpoint(
    "PATCH",
    "/v1/incidents/{id:str}",
    access=ADMIN,
    tag="incidents",
    summary="Change an incident's title, status or root cause",
    body=IncidentPatch,
    answer=IncidentAnswer,
    errors=(404, 409, 412),
)
async def patch_one(call: Call) -> One[IncidentAnswer]:
    """Change one; resolving one whose monitor is down is a conflict."""
    incident_id = call.id("id", "incident")
    expected = call.expected_version()
    if await call.session.read(incidents.get, incident_id) is None:
        raise not_found("incident")
    change = reading.into(IncidentPatch, await call.json(), ignore=READ_ONLY)
    if isinstance(change.title, str):
        reading.at_least_one(reading.line_problems("$.title", change.title.strip()))
    incident = await patch(call.house, call.session, incident_id, change, expected)
    call.tag(incident.version)
    return One.of(shown(incident, call.now))


@endpoint(
    "POST",
    "/v1/incidents/{id:str}/updates",
    access=ADMIN,
    tag="incidents",
    summary="Add a line to an incident's story",
    body=UpdateSpec,
    answer=EntryAnswer,
    status=201,
    errors=(404, 409),
)
async def update(call: Call) -> One[EntryAnswer]:
    """Add a line."""
    incident_id = call.id("id", "incident")
    if await call.session.read(incidents.get, incident_id) is None:
        raise not_found("incident")
    spec = await call.body(UpdateSpec)
    if not spec.message.strip():
        reading.at_least_one([Problem("$.message", "the message is empty")])
    return One.of(shown_entry(await add_update(call.house, call.session, incident_id, spec)))


ROUTES = (list_all, read_one, create, patch_one, update)
