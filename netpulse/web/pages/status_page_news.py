"""What is told on a status page beside its services: announcements, and the way to the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from litestar import Response

from netpulse.model.status_page import Announcement, StatusPage
from netpulse.model.time import rfc3339
from netpulse.storage import announcements
from netpulse.web import reading
from netpulse.web.api import announcements as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages import status_pages as builder
from netpulse.web.pages.render import redirect
from netpulse.web.status import views

LABELS = {"title": mark("Title"), "text": mark("Text"), "ends_at": mark("Shown until")}


@page("GET", f"{builder.HERE}/{{id:str}}/news", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """Show the announcements, what else the page tells, and a form for another."""
    return await _shown(call, await builder.stored(call), forms.view({}))


@page("POST", f"{builder.HERE}/{{id:str}}/news", access=ADMIN)
async def announce(call: Call) -> Response[bytes]:
    """Announce something."""
    item = await builder.stored(call)
    form = await forms.read(call)
    values = {
        "title": form.text("title"),
        "text": form.text("text"),
        "ends_at": _moment(form.text("ends_at")),
    }
    try:
        spec = reading.into(api.AnnouncementSpec, values)
        await api.announce(call.house, call.session, item.id, spec)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        return await _shown(call, item, forms.view(form.again((), ()), found), error.status)
    return redirect(f"{builder.HERE}/{item.id}/news", "page-announced")


def _moment(text: str) -> str | None:
    """Return a datetime-local field (UTC) as RFC 3339; what is none stays for the API to refuse."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text or None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat()


@page("GET", f"{builder.HERE}/{{id:str}}/news/{{announcement_id:str}}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask."""
    item = await builder.stored(call)
    told = await _told(call, item)
    return await render.page(
        call,
        "delete.html",
        active=builder.ACTIVE,
        question=say("Delete the announcement %(title)s?", title=told.title),
        consequences=[say("The page does not tell it any more.")],
        action=f"{builder.HERE}/{item.id}/news/{told.id}/delete",
        button=say("Delete the announcement"),
        back=f"{builder.HERE}/{item.id}/news",
    )


@page("POST", f"{builder.HERE}/{{id:str}}/news/{{announcement_id:str}}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    item = await builder.stored(call)
    announcement_id = str(call.request.path_params["announcement_id"])
    await api.withdraw(call.house, call.session, item.id, announcement_id)
    return redirect(f"{builder.HERE}/{item.id}/news", "deleted")


async def _told(call: Call, item: StatusPage) -> Announcement:
    wanted = str(call.request.path_params["announcement_id"])
    found = await call.house.db.read(announcements.get, item.id, wanted)
    if found is None:
        raise not_found("announcement")
    return found


async def _shown(
    call: Call, item: StatusPage, form: dict[str, Any], status: int = 200
) -> Response[bytes]:
    told = await call.session.read(api.listed, item.id)
    shown = await call.house.shelf.look(item.slug)
    board = None if shown is None else shown.board
    return await render.page(
        call,
        "status_pages/news.html",
        active=builder.ACTIVE,
        status=status,
        page=builder.head(item),
        tabs=builder.tabs(item, "News"),
        form=form,
        announcements=[
            {
                "id": one.id,
                "title": one.title,
                "text": one.text,
                "at": rfc3339(one.created_at),
                "ends_at": None if one.ends_at is None else rfc3339(one.ends_at),
                "is_over": one.ends_at is not None and one.ends_at <= call.now,
            }
            for one in told or ()
        ],
        incidents=[]
        if board is None
        else [
            views.incident_view(one, board) for one in board.incidents if one.resolved_at is None
        ],
        maintenance=[]
        if board is None
        else [
            {
                "title": one.title,
                "starts_at": rfc3339(one.starts_at),
                "ends_at": rfc3339(one.ends_at),
                "is_active": one.is_active,
            }
            for one in board.maintenance
        ],
    )


ROUTES = (show, announce, delete_form, delete)
