"""/v1/status-pages/{id}/subscribers: who is told what a page tells."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec
from litestar.response import Stream
from msgspec import Struct

from netpulse.model.ids import Id, is_id
from netpulse.model.subscriber import Subscriber, SubscriberKind
from netpulse.model.time import rfc3339
from netpulse.storage import status_pages, subscribers
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import exports, limits
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import not_found
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession
from netpulse.web.status import subscribing

AT_ONCE = 500
"""Subscribers that an export has in hand at a time."""


class SubscriberAnswer(Struct, frozen=True, kw_only=True):
    """Somebody who is told what a page tells."""

    id: Id
    status_page_id: Id
    kind: SubscriberKind
    address: str
    """An email address; of a webhook its host alone, for the rest may be a secret of theirs. Empty
    where it cannot be read any more."""
    created_at: str
    confirmed_at: str
    error: str | None
    """Why the last message was not taken."""


def shown(row: Subscriber) -> SubscriberAnswer:
    """Return a confirmed subscriber as the API answers it."""
    assert row.confirmed_at is not None, "the others are nobody's business yet"
    return SubscriberAnswer(
        id=row.id,
        status_page_id=row.page_id,
        kind=row.kind,
        address=_shown_address(row),
        created_at=rfc3339(row.created_at),
        confirmed_at=rfc3339(row.confirmed_at),
        error=row.error or row.damage,
    )


def _shown_address(row: Subscriber) -> str:
    if row.kind is SubscriberKind.EMAIL or not row.address:
        return row.address
    parts = urlsplit(row.address)
    return f"{parts.scheme}://{parts.netloc}/…"


def listed(conn: Conn, org_id: Id, page_id: Id, offset: int, limit: int) -> Page[Subscriber] | None:
    """Return the confirmed subscribers of the organization's page, the latest first; None if it has
    no such page."""
    if status_pages.get(conn, org_id, page_id) is None:
        return None
    return subscribers.page(conn, page_id, offset=offset, limit=limit)


@endpoint(
    "GET",
    "/v1/status-pages/{id:str}/subscribers",
    access=ADMIN,
    tag="status-pages",
    summary="List who is told what a status page tells, the latest first",
    query=ListQuery,
    answer=SubscriberAnswer,
    many=True,
    errors=(404,),
)
async def list_all(call: Call) -> Many[SubscriberAnswer]:
    """List."""
    query = call.query(ListQuery)
    page_id = call.id("id", "status page")
    found = await call.session.read(listed, page_id, query.offset, query.limit)
    if found is None:
        raise not_found("status page")
    rows = [shown(row) for row in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


class SubscriberExportQuery(Struct, frozen=True, kw_only=True):
    """As what."""

    format: Literal["csv", "jsonl"] = "csv"


@endpoint(
    "GET",
    "/v1/status-pages/{id:str}/subscribers/export",
    access=ADMIN,
    tag="status-pages",
    summary="Export who is told what a status page tells, the earliest first",
    query=SubscriberExportQuery,
    media=tuple(exports.MEDIA.values()),
    errors=(404,),
)
async def export(call: Call) -> Stream:
    """Export."""
    wanted = call.query(SubscriberExportQuery)
    return await exported(call, call.id("id", "status page"), wanted.format)


async def exported(call: Call, page_id: Id, kind: Literal["csv", "jsonl"]) -> Stream:
    """Note the export, and return it as a stream of pieces.

    Raises:
        ApiError: 404 if the organization has no such page, 429.
    """
    limits.export_counts(call)

    def work(deed: Deed) -> str:
        page = status_pages.get(deed.conn, deed.org_id, page_id)
        if page is None:
            raise not_found("status page")
        count, _ = subscribers.count(deed.conn, page_id)
        after = {"subscribers": count, "format": kind}
        deed.note("status_page.subscribers_exported", "status_page", page_id, after=after)
        return page.slug

    slug = await call.session.change(work)

    org_id = call.session.org_id

    def piece(conn: Conn, after: Id | None) -> tuple[bytes, Id | None]:
        if status_pages.get(conn, org_id, page_id) is None:
            # Deleted meanwhile, and its subscribers with it: what is left is not the whole list.
            raise exports.BrokenOff
        found = subscribers.following(conn, page_id, after or "", AT_ONCE)
        last = found[-1].id if len(found) == AT_ONCE else None
        rows = [shown(row) for row in found]
        return _csv(rows, after is None) if kind == "csv" else _encoder.encode_lines(rows), last

    return exports.answer(call, piece, f"subscribers-{slug}", kind)


COLUMNS = ("address", "kind", "created_at", "confirmed_at", "error", "id", "status_page_id")
"""The columns of the CSV."""
_encoder = msgspec.json.Encoder()


def _csv(rows: list[SubscriberAnswer], is_first: bool) -> bytes:
    cells = [tuple(getattr(row, name) for name in COLUMNS) for row in rows]
    return exports.csv_rows([COLUMNS, *cells] if is_first else cells)


def confirmed(conn: Conn, org_id: Id, page_id: Id, subscriber_id: Id) -> Subscriber | None:
    """Return a confirmed subscriber of the organization's page, or None."""
    if status_pages.get(conn, org_id, page_id) is None:
        return None
    found = subscribers.get(conn, subscriber_id)
    if found is None or found.page_id != page_id or found.confirmed_at is None:
        return None
    return found


async def remove(session: OrgSession, page_id: Id, subscriber_id: str) -> None:
    """Remove a subscriber; it is told nothing more. Raises ApiError: 404."""

    def work(deed: Deed) -> None:
        if status_pages.get(deed.conn, deed.org_id, page_id) is None:
            raise not_found("status page")
        found = None
        if is_id(subscriber_id):
            found = confirmed(deed.conn, deed.org_id, page_id, subscriber_id)
        if found is None:
            raise not_found("subscriber")
        subscribing.remove(deed.conn, found)
        before = subscribing.record(found)
        deed.note("status_page.subscriber_removed", "status_page", page_id, before=before)

    await session.change(work)


@endpoint(
    "DELETE",
    "/v1/status-pages/{id:str}/subscribers/{subscriber_id:str}",
    access=ADMIN,
    tag="status-pages",
    summary="Remove a subscriber",
    errors=(404,),
)
async def delete(call: Call) -> One[None]:
    """Remove one."""
    page_id = call.id("id", "status page")
    await remove(call.session, page_id, str(call.request.path_params["subscriber_id"]))
    return NOTHING


ROUTES = (list_all, export, delete)
