"""Who is told what a status page tells."""

from __future__ import annotations

from litestar import Response
from litestar.response import Stream

from netpulse.model.subscriber import Subscriber
from netpulse.storage import subscribers
from netpulse.web.api import subscribers as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import not_found
from netpulse.web.languages import say
from netpulse.web.pages import forms, render
from netpulse.web.pages import status_pages as builder
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.status import subscribing

LIMIT = 50


@page("GET", f"{builder.HERE}/{{id:str}}/subscribers", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """List them, and say how others come."""
    item = await builder.stored(call)
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await call.session.read(api.listed, item.id, (at - 1) * LIMIT, LIMIT)
    assert found is not None, "the page was just found"
    _, asked = await call.house.db.read(subscribers.count, item.id)
    offered = subscribing.offer(call.house, item)
    here = f"{builder.HERE}/{item.id}/subscribers"
    return await render.page(
        call,
        "status_pages/subscribers.html",
        active=builder.ACTIVE,
        page=builder.head(item),
        tabs=builder.tabs(item, "Subscribers"),
        subscribers=[api.shown(row) for row in found.rows],
        total=found.total,
        asked=asked,
        takes=item.takes_subscribers,
        offers={"email": offered.email, "webhook": offered.webhook},
        pager=pager(here, {}, at, LIMIT, found.total),
    )


@page("GET", f"{builder.HERE}/{{id:str}}/subscribers/{{subscriber_id:str}}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask."""
    item = await builder.stored(call)
    row = await _stored(call, item.id)
    return await render.page(
        call,
        "delete.html",
        active=builder.ACTIVE,
        question=say("Remove the subscriber %(address)s?", address=api.shown(row).address),
        consequences=[
            say("It is told nothing more, and its address is forgotten."),
            say("Whoever it belongs to hears nothing of it, and may subscribe again."),
        ],
        action=f"{builder.HERE}/{item.id}/subscribers/{row.id}/delete",
        button=say("Remove the subscriber"),
        back=f"{builder.HERE}/{item.id}/subscribers",
    )


@page("POST", f"{builder.HERE}/{{id:str}}/subscribers/{{subscriber_id:str}}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Remove it."""
    item = await builder.stored(call)
    await api.remove(call.session, item.id, str(call.request.path_params["subscriber_id"]))
    return redirect(f"{builder.HERE}/{item.id}/subscribers", "unsubscribed")


@page("POST", f"{builder.HERE}/{{id:str}}/subscribers/export", access=ADMIN)
async def export(call: Call) -> Stream:
    """Export them."""
    item = await builder.stored(call)
    sent = await forms.read(call)
    return await api.exported(call, item.id, "jsonl" if sent.text("format") == "jsonl" else "csv")


async def _stored(call: Call, page_id: str) -> Subscriber:
    wanted = call.id("subscriber_id", "subscriber")
    found = await call.session.read(api.confirmed, page_id, wanted)
    if found is None:
        raise not_found("subscriber")
    return found


ROUTES = (show, delete_form, delete, export)
