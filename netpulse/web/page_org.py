"""Which organization a page is of, held against the one that its browser is in.

A page session is in one organization at a time, and a browser has many tabs: somebody switches in
one of them, and a form that another has shown still names things of the organization before. So
every page says which organization it is of (`np_org` in its forms and in the address of its stream,
`X-Page-Org` with what its script fetches), and what says another one than the session is in does
nothing.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from litestar import Request

from netpulse.model.ids import Id, is_id
from netpulse.storage import orgs, places, users
from netpulse.storage.db import Conn
from netpulse.web.errors import conflict
from netpulse.web.session import OrgSession

FIELD = "np_org"
HEADER = "x-page-org"
SAFE = frozenset({"GET", "HEAD"})
_SENT = re.compile(rb"(?:^|&)" + FIELD.encode() + rb"=([^&]*)")
_FORM = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')


def marked(html: str, org_id: Id) -> str:
    """Return a page whose forms say which organization it is of: all of them, so that no template
    can forget it."""
    field = f'<input type="hidden" name="{FIELD}" value="{org_id}">'
    return _FORM.sub(lambda found: found[0] + field, html)


async def refuse_moved(request: Request[Any, Any, Any], session: OrgSession) -> None:
    """Refuse what a page of another organization than the session's sends.

    Who signs each request (a bearer token with `X-Org-Id`, a key) says the organization with it.

    Raises:
        ApiError: 409 `ORGANIZATION_CHANGED`.
    """
    if session.cookie_digest is None or "x-org-id" in request.headers:
        return
    said = request.headers.get(HEADER) or request.query_params.get(FIELD)
    if said is None and request.method not in SAFE:
        said = _field(await request.body())
        if said is None:
            # Not from a page of ours. Where there is only one organization it can mean no other.
            found = await session.db.read(places.page, session.user, limit=1)
            if found.total <= 1:
                return
    elif said is None:
        return
    if said != session.org_id:
        raise conflict(
            "ORGANIZATION_CHANGED",
            f"This page is of {await _name(session, said)}, and this browser is in "
            f"{session.org.name} by now: nothing was done. Switch back first, and send it again",
        )


async def _name(session: OrgSession, said: str | None) -> str:
    """Return the name of an organization that the person may enter; others have none for them."""

    def look(conn: Conn) -> str | None:
        if said is None or not is_id(said):
            return None
        org = orgs.get(conn, said)
        known = org is not None and users.reached(conn, session.user, said) is not None
        return org.name if org is not None and known else None

    return await session.db.read(look) or "another organization"


def _field(body: bytes) -> str | None:
    """Return what a form says, however many fields it has; how many it may have, its page knows."""
    found = _SENT.search(body)
    return None if found is None else unquote_plus(found[1].decode("ascii", "replace"))
