"""Switching between the organizations that one may enter."""

from __future__ import annotations

from litestar import Response
from msgspec.structs import replace

from netpulse.model.ids import Id, is_id
from netpulse.storage import audit, orgs, places, sessions, users
from netpulse.storage.db import Conn
from netpulse.storage.places import Place
from netpulse.storage.table import Page
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import forbidden, not_found
from netpulse.web.pages import forms, render, switcher
from netpulse.web.pages.access import local
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.session import OrgSession

LIMIT = 50


@page("GET", "/switch", access=VIEWER)
async def choose(call: Call) -> Response[bytes]:
    """Show all of them, or those that fit what is searched for."""
    given = call.request.query_params
    q = given.get("q", "").strip()[:200]
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await call.session.read(_page, call.session, q, (at - 1) * LIMIT)
    return await render.page(
        call,
        "switch.html",
        q=q,
        places=[switcher.row(call.session, place) for place in found.rows],
        pager=pager("/switch", {"q": q}, at, LIMIT, found.total),
    )


def _page(conn: Conn, org_id: Id, session: OrgSession, q: str, offset: int) -> Page[Place]:
    del org_id  # where one may go does not hang on where one is
    return places.page(conn, session.user, q=q, offset=offset, limit=LIMIT)


@page("POST", "/switch", access=VIEWER, any_org=True)
async def switch(call: Call) -> Response[bytes]:
    """Have this browser act in another organization from now on."""
    form = await forms.read(call)
    await move(call.session, form.text("org_id"))
    return redirect(local(form.text("next")) or "/dashboard")


async def move(session: OrgSession, org_id: str) -> None:
    """Move a page session to another organization. That one's log says so: its people can see who
    of their provider came in, and when.

    Raises:
        ApiError: 404 for an organization that is not there for them, 403 without a page session.
    """
    digest = session.cookie_digest
    if digest is None:
        raise forbidden(
            "Only a page session is in one organization; name yours in X-Org-Id with each request"
        )
    if org_id == session.org_id:
        return

    def work(conn: Conn) -> None:
        session.refuse_ended(conn)
        found = users.reached(conn, session.user, org_id) if is_id(org_id) else None
        if found is None:
            raise not_found("organization")
        sessions.move(conn, digest, org_id)
        via = None if found.via is None else orgs.get(conn, found.via)
        # Where they come from is told only of who is no member there.
        actor = replace(
            session.actor,
            org_id=None if via is None else via.id,
            org_name="" if via is None else via.name,
        )
        after = {"role": found.role.word}
        audit.append(conn, org_id, actor, "auth.entered", "org", org_id, None, after, session.now)

    await session.db.write(work)


ROUTES = (choose, switch)
