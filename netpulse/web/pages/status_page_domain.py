"""A status page's own domain: what to do for it, and looking whether it was done."""

from __future__ import annotations

from litestar import Response

from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.web import limits
from netpulse.web.api import status_page_answers as answers
from netpulse.web.api import status_page_domains as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError
from netpulse.web.pages import render
from netpulse.web.pages import status_pages as builder
from netpulse.web.pages.render import redirect


@page("GET", f"{builder.HERE}/{{id:str}}/domain", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """Say what to do, and how it stands."""
    item = await builder.stored(call)
    domain = item.domain
    server = call.house.config.server
    ours = server.public_url.partition("://")[2].rstrip("/") or call.origin.host
    return await render.page(
        call,
        "status_pages/domain.html",
        active=builder.ACTIVE,
        page=builder.head(item),
        tabs=builder.tabs(item, "Domain"),
        domain=None if domain is None else answers.shown_domain(domain),
        claimed_at=None if domain is None else rfc3339(domain.claimed_at),
        host=ours.rpartition(":")[0] if ":" in ours and not ours.endswith("]") else ours,
        listens=f"{server.host}:{server.port}",
        may_vouch=call.session.role >= Role.SUPER_ADMIN,
    )


@page("POST", f"{builder.HERE}/{{id:str}}/domain/check", access=ADMIN)
async def check(call: Call) -> Response[bytes]:
    """Look for the record now."""
    page_id = call.id("id", "status page")
    try:
        limits.run_counts(call)
        item = await api.look(call.house, call.session, page_id)
    except ApiError as error:
        if error.status != 409:
            raise
        return redirect(f"{builder.HERE}/{page_id}")
    proved = item.domain is not None and item.domain.verified_at is not None
    told = "domain-proved" if proved else "domain-not-proved"
    return redirect(f"{builder.HERE}/{page_id}/domain", told)


@page("POST", f"{builder.HERE}/{{id:str}}/domain/vouch", access=Role.SUPER_ADMIN)
async def vouch(call: Call) -> Response[bytes]:
    """Take it as proved."""
    page_id = call.id("id", "status page")
    try:
        await api.vouch(call.house, call.session, page_id)
    except ApiError as error:
        if error.status != 409:
            raise
        return redirect(f"{builder.HERE}/{page_id}")
    return redirect(f"{builder.HERE}/{page_id}/domain", "domain-proved")


ROUTES = (show, check, vouch)
