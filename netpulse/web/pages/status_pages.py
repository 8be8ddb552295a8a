"""The builder of status pages: the list, previewing and deleting one, and what its pages share."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.status_page import StatusPage
from netpulse.storage import status_pages, subscribers
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import resource
from netpulse.web.api import status_page_answers as answers
from netpulse.web.api.status_pages import STATUS_PAGES
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import not_found
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.status import views
from netpulse.web.status.routes import overview_of, speak

HERE = "/status-pages"
ACTIVE = mark("Status pages")
LIMIT = 20
_TABS = (
    (mark("Settings"), ""),
    (mark("Services"), "/services"),
    (mark("News"), "/news"),
    (mark("Subscribers"), "/subscribers"),
    (mark("Domain"), "/domain"),
)


def tabs(item: StatusPage, active: str) -> list[dict[str, Any]]:
    """Return the tabs of one page's pages."""
    return [
        {"label": say(label), "href": f"{HERE}/{item.id}{path}", "active": label == active}
        for label, path in _TABS
    ]


async def stored(call: Call) -> StatusPage:
    """Return the status page that the address names. Raises ApiError (404) where there is none."""
    item = await call.session.read(status_pages.get, call.id("id", "status page"))
    if item is None:
        raise not_found("status page")
    return item


def head(item: StatusPage) -> dict[str, Any]:
    """Return what the head of every page about one shows."""
    domain = item.domain
    return {
        "id": item.id,
        "title": item.title,
        "path": answers.page_path(item),
        "version": item.version,
        "services": len(item.monitor_ids),
        "has_password": item.password_hash is not None,
        "is_indexed": item.is_indexed,
        "domain": None if domain is None else domain.name,
        "domain_is_active": domain is not None and domain.verified_at is not None,
        "logo": answers.entered(item)["branding"].logo,
    }


async def put(
    call: Call, item: StatusPage, values: dict[str, Any], version: int | None = None
) -> StatusPage:
    """Store `values` (a whole body of the API) in place of a page; raises what the API raises."""
    draft = STATUS_PAGES.read_spec(values)
    return await resource.replace(
        STATUS_PAGES, call.house, call.session, item.id, draft, version or item.version
    )


def as_body(item: StatusPage) -> dict[str, Any]:
    """Return a stored page as the body that would leave it as it is."""
    found = answers.entered(item)
    branding = found["branding"]
    return found | {
        "branding": {
            "logo": branding.logo,
            "theme": branding.theme.value,
            "colors": {"accent": branding.colors.accent, "header": branding.colors.header},
        },
        "figures": {
            "uptime": found["figures"].uptime,
            "response_times": found["figures"].response_times,
        },
        "groups": [
            {
                "name": group.name,
                "monitors": [
                    {"monitor_id": one.monitor_id, "public_name": one.public_name}
                    for one in group.monitors
                ],
            }
            for group in item.groups
        ],
    }


# The list


def _listed(conn: Conn, org_id: str, offset: int) -> Page[StatusPage]:
    return status_pages.page(conn, org_id, offset=offset, limit=LIMIT)


@page("GET", HERE, access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, each with what it says now."""
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await call.session.read(_listed, (at - 1) * LIMIT)
    rows = []
    for item in found.rows:
        shown = await call.house.shelf.look(item.slug)
        said = None if shown is None else views.headline(shown.board)
        rows.append(head(item) | {"headline": said})
    return await render.page(
        call,
        "status_pages/list.html",
        active=ACTIVE,
        pages=rows,
        pager=pager(HERE, {}, at, LIMIT, found.total),
    )


@page("GET", "/status", access=VIEWER)
async def lead_there(call: Call) -> Response[bytes]:
    """Lead to the builder."""
    del call
    return redirect(HERE)


# Looking and deleting


@page("GET", f"{HERE}/{{id:str}}/preview", access=VIEWER)
async def preview(call: Call) -> Response[bytes]:
    """Show the page as strangers see it, whether it has a password or not."""
    item = await stored(call)
    shown = await call.house.shelf.look(item.slug)
    if shown is None:
        raise not_found("status page")
    speak(call, item)
    made = await overview_of(call, shown, answers.page_path(item))
    return Response(made.body, media_type=made.media_type, headers={"Cache-Control": "no-store"})


@page("GET", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    item = await stored(call)
    where = answers.page_path(item)
    consequences = [
        say(
            "%(where)s is no more, nor are its feeds and badges; another page may take its"
            " address.",
            where=where,
        ),
        say("Its announcements go with it; monitors, incidents and maintenance stay."),
    ]
    told, _ = await call.house.db.read(subscribers.count, item.id)
    if told:
        consequences.append(
            plural(
                told,
                "The addresses of its subscriber are forgotten, and nobody tells them.",
                "The addresses of its %(num)s subscribers are forgotten, and nobody tells them.",
            )
        )
    if item.domain is not None:
        consequences.insert(1, say("%(name)s leads nowhere any more.", name=item.domain.name))
    return await render.page(
        call,
        "delete.html",
        active=ACTIVE,
        question=say("Delete the status page %(title)s?", title=item.title),
        consequences=consequences,
        action=f"{HERE}/{item.id}/delete",
        button=say("Delete the page"),
        back=f"{HERE}/{item.id}",
    )


@page("POST", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    page_id = call.id("id", "status page")
    await resource.delete(STATUS_PAGES, call.house, call.session, page_id)
    return redirect(HERE, "deleted")


ROUTES = (list_all, lead_there, preview, delete_form, delete)
