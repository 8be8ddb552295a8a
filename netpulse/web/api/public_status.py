"""/v1/public/status: status pages for programs, without a sign-in."""

from __future__ import annotations

from litestar import Response
from msgspec import Struct

from netpulse.model.board import BoardIncident, BoardMaintenance, BoardService, PublicStatus
from netpulse.model.ids import Id
from netpulse.model.incident import Impact, IncidentStatus
from netpulse.model.time import Millis, rfc3339
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, endpoint
from netpulse.web.envelope import One, encoded, page_of
from netpulse.web.resource import ListQuery
from netpulse.web.status import gate, sending
from netpulse.web.status.shelf import Rendered, Shown, rendered


class PublicDay(Struct, frozen=True, kw_only=True):
    """One UTC day of a service."""

    date: str
    status: PublicStatus
    """The worst of the day; unknown where nobody vouches for it."""
    down_seconds: int


class PublicService(Struct, frozen=True, kw_only=True):
    """One service of a page."""

    id: Id
    """Of this page alone."""
    name: str
    group: str
    status: PublicStatus
    since: str
    uptime_percent_90d: float | None
    """Of the time that somebody vouches for; null without any, and where the page does not
    show it."""
    response_time_ms: int | None
    """The mean of the last 24 hours; null where the page does not show it."""
    days: list[PublicDay]
    """90, the oldest first; none where the page does not show uptime."""


class PublicUpdate(Struct, frozen=True, kw_only=True):
    """A line of an incident's story."""

    at: str
    status: IncidentStatus | None
    message: str


class PublicIncident(Struct, frozen=True, kw_only=True):
    """An incident, in public words."""

    id: Id
    """Of this page alone."""
    title: str
    status: IncidentStatus
    impact: Impact
    started_at: str
    resolved_at: str | None
    service_ids: tuple[Id, ...]
    updates: list[PublicUpdate]
    """The oldest first."""


class PublicMaintenance(Struct, frozen=True, kw_only=True):
    """Planned maintenance that was announced."""

    id: Id
    title: str
    description: str
    starts_at: str
    ends_at: str
    is_active: bool
    service_ids: tuple[Id, ...]


class PublicAnnouncement(Struct, frozen=True, kw_only=True):
    """What a page tells beside that."""

    id: Id
    title: str
    text: str
    at: str


class PublicPage(Struct, frozen=True, kw_only=True):
    """A status page."""

    title: str
    text: str
    status: PublicStatus
    services: list[PublicService]
    incidents: list[PublicIncident]
    """Those that are open, the latest first; /incidents has those of the last 90 days too."""
    maintenance: list[PublicMaintenance]
    announcements: list[PublicAnnouncement]
    updated_at: str
    """When the page began to say this."""


def page_of_shown(shown: Shown) -> PublicPage:
    """Return what a page says at its moment."""
    board = shown.board
    return PublicPage(
        title=shown.page.title,
        text=shown.page.text,
        status=board.status,
        services=[
            _service(service, group.name) for group in board.groups for service in group.services
        ],
        incidents=[incident(one) for one in board.incidents if one.resolved_at is None],
        maintenance=[_maintenance(one) for one in board.maintenance],
        announcements=[
            PublicAnnouncement(id=one.id, title=one.title, text=one.text, at=rfc3339(one.at))
            for one in board.announcements
        ],
        updated_at=rfc3339(shown.updated_at),
    )


def _service(service: BoardService, group: str) -> PublicService:
    return PublicService(
        id=service.id,
        name=service.name,
        group=group,
        status=service.status,
        since=rfc3339(service.since),
        uptime_percent_90d=service.uptime_percent,
        response_time_ms=service.response_time_ms,
        days=[
            PublicDay(
                date=rfc3339(day.start)[:10], status=day.status, down_seconds=day.down_seconds
            )
            for day in service.days
        ],
    )


def incident(found: BoardIncident) -> PublicIncident:
    """Return an incident as programs read it."""
    return PublicIncident(
        id=found.id,
        title=found.title,
        status=found.status,
        impact=found.impact,
        started_at=rfc3339(found.started_at),
        resolved_at=_moment(found.resolved_at),
        service_ids=found.services,
        updates=[
            PublicUpdate(at=rfc3339(line.at), status=line.status, message=line.text)
            for line in found.updates
        ],
    )


def _maintenance(found: BoardMaintenance) -> PublicMaintenance:
    return PublicMaintenance(
        id=found.id,
        title=found.title,
        description=found.text,
        starts_at=rfc3339(found.starts_at),
        ends_at=rfc3339(found.ends_at),
        is_active=found.is_active,
        service_ids=found.services,
    )


def _moment(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)


def _page(shown: Shown) -> Rendered:
    return rendered("application/json", encoded(One.of(page_of_shown(shown))))


@endpoint(
    "GET",
    "/v1/public/status/{slug:str}",
    access=PUBLIC,
    counts=False,
    tag="public",
    summary="Read a status page",
    answer=PublicPage,
    errors=(404,),
)
async def read_page(call: Call) -> Response[bytes]:
    """Read one."""
    shown = await gate.opened(call, call.request.path_params["slug"])
    made = await call.house.shelf.render(shown, "json", _page)
    return sending.answer(call, shown, made, sending.ANYWHERE)


@endpoint(
    "GET",
    "/v1/public/status/{slug:str}/incidents",
    access=PUBLIC,
    counts=False,
    tag="public",
    summary="List the incidents of a status page: open ones and those of the last 90 days",
    query=ListQuery,
    answer=PublicIncident,
    many=True,
    errors=(404,),
)
async def list_incidents(call: Call) -> Response[bytes]:
    """List them, the latest first."""
    query = call.query(ListQuery)
    shown = await gate.opened(call, call.request.path_params["slug"])

    if query == ListQuery():
        made = await call.house.shelf.render(shown, "incidents", lambda one: _part(one, query))
    else:
        # Any other part of the list is made for this reader alone.
        made = _part(shown, query, pack=False)
    return sending.answer(call, shown, made, sending.ANYWHERE)


def _part(shown: Shown, query: ListQuery, *, pack: bool = True) -> Rendered:
    found = shown.board.incidents
    rows = [incident(one) for one in found[query.offset : query.offset + query.limit]]
    many = page_of(rows, page=query.page, limit=query.limit, total=len(found))
    return rendered("application/json", encoded(many), pack=pack)


ROUTES = (read_page, list_incidents)
