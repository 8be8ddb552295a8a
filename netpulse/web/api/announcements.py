"""/v1/status-pages/{id}/announcements: what a page tells beside incidents and maintenance."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.model.ids import Id, new_id
from netpulse.model.status_page import Announcement
from netpulse.model.time import rfc3339
from netpulse.storage import announcements, status_pages
from netpulse.storage.db import Conn
from netpulse.web import reading
from netpulse.web.api.checks import moment
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import Problem, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

MOST = 50
"""Kept of one page: the reader of more would find none."""


class AnnouncementSpec(Struct, frozen=True, kw_only=True):
    """Something to tell."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(max_length=5000)] = ""
    ends_at: Annotated[str, Meta(max_length=50)] | None = None
    """RFC 3339: from when on it is not shown any more; null: until it is deleted."""


class AnnouncementAnswer(Struct, frozen=True, kw_only=True):
    """Something that a page tells."""

    id: Id
    status_page_id: Id
    title: str
    text: str
    ends_at: str | None
    created_by: Id | None
    created_at: str


def shown(item: Announcement) -> AnnouncementAnswer:
    """Return an announcement as the API answers it."""
    return AnnouncementAnswer(
        id=item.id,
        status_page_id=item.page_id,
        title=item.title,
        text=item.text,
        ends_at=None if item.ends_at is None else rfc3339(item.ends_at),
        created_by=item.created_by,
        created_at=rfc3339(item.created_at),
    )


def listed(conn: Conn, org_id: Id, page_id: Id) -> list[Announcement] | None:
    """Return the announcements of the organization's page, or None if it has no such page."""
    if status_pages.get(conn, org_id, page_id) is None:
        return None
    return announcements.of_page(conn, page_id, limit=MOST)


@endpoint(
    "GET",
    "/v1/status-pages/{id:str}/announcements",
    access=VIEWER,
    tag="status-pages",
    summary="List the announcements of a status page, the latest first",
    query=ListQuery,
    answer=AnnouncementAnswer,
    many=True,
    errors=(404,),
)
async def list_all(call: Call) -> Many[AnnouncementAnswer]:
    """List."""
    query = call.query(ListQuery)
    found = await call.session.read(listed, call.id("id", "status page"))
    if found is None:
        raise not_found("status page")
    rows = [shown(item) for item in found[query.offset : query.offset + query.limit]]
    return page_of(rows, page=query.page, limit=query.limit, total=len(found))


async def announce(
    house: House, session: OrgSession, page_id: Id, spec: AnnouncementSpec
) -> Announcement:
    """Tell something. Raises ApiError: 400, or 404 without such a page."""
    title = spec.title.strip()
    problems = reading.line_problems("$.title", title)
    ends_at = moment(spec.ends_at, "$.ends_at", problems)
    if ends_at is not None and ends_at <= session.now:
        problems.append(Problem("$.ends_at", "must be in the future"))

    def work(deed: Deed) -> Announcement:
        if status_pages.get(deed.conn, deed.org_id, page_id) is None:
            raise not_found("status page")
        reading.at_least_one(problems)
        there = announcements.of_page(deed.conn, page_id, limit=MOST)
        if len(there) >= MOST:
            why = f"a page has at most {MOST} announcements; delete an old one first"
            reading.at_least_one([Problem("$.title", why)])
        item = announcements.insert(
            deed.conn,
            Announcement(
                id=new_id(deed.now),
                page_id=page_id,
                title=title,
                text=spec.text.strip(),
                ends_at=ends_at,
                created_by=deed.actor.user_id,
                created_at=deed.now,
            ),
        )
        deed.note("status_page.announced", "status_page", page_id, after=shown(item))
        return item

    item = await session.change(work)
    house.shelf.edited(session.org_id)
    return item


@endpoint(
    "POST",
    "/v1/status-pages/{id:str}/announcements",
    access=ADMIN,
    tag="status-pages",
    summary="Announce something on a status page",
    body=AnnouncementSpec,
    answer=AnnouncementAnswer,
    status=201,
    errors=(404,),
)
async def create(call: Call) -> One[AnnouncementAnswer]:
    """Announce something."""
    page_id = call.id("id", "status page")
    if await call.session.read(status_pages.get, page_id) is None:
        raise not_found("status page")
    spec = await call.body(AnnouncementSpec)
    return One.of(shown(await announce(call.house, call.session, page_id, spec)))


async def withdraw(
    house: House, session: OrgSession, page_id: Id, announcement_id: Id
) -> Announcement:
    """Delete an announcement. Raises ApiError: 404."""

    def work(deed: Deed) -> Announcement:
        if status_pages.get(deed.conn, deed.org_id, page_id) is None:
            raise not_found("status page")
        item = announcements.get(deed.conn, page_id, announcement_id)
        if item is None:
            raise not_found("announcement")
        announcements.delete(deed.conn, item)
        deed.note("status_page.withdrawn", "status_page", page_id, before=shown(item))
        return item

    item = await session.change(work)
    house.shelf.edited(session.org_id)
    return item


@endpoint(
    "DELETE",
    "/v1/status-pages/{id:str}/announcements/{announcement_id:str}",
    access=ADMIN,
    tag="status-pages",
    summary="Delete an announcement",
    errors=(404,),
)
async def delete(call: Call) -> One[None]:
    """Delete one."""
    page_id = call.id("id", "status page")
    # What is no id is nobody's announcement; the page is looked for first all the same.
    announcement_id = str(call.request.path_params["announcement_id"])
    await withdraw(call.house, call.session, page_id, announcement_id)
    return NOTHING


ROUTES = (list_all, create, delete)
