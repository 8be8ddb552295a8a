"""The settings' table of contents: their pages are files of their own, by their noun."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.user import Role
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.languages import mark, say
from netpulse.web.pages.render import redirect
from netpulse.web.session import OrgSession

TABS = (
    (mark("Organization"), "/settings/organization", Role.VIEWER),
    (mark("Members"), "/settings/members", Role.VIEWER),
    (mark("Clients"), "/settings/clients", Role.ADMIN),
    (mark("Security"), "/settings/security", Role.ADMIN),
    (mark("API keys"), "/settings/api-keys", Role.ADMIN),
    (mark("Audit log"), "/settings/audit", Role.ADMIN),
    (mark("Retention"), "/settings/retention", Role.VIEWER),
    (mark("About"), "/settings/about", Role.VIEWER),
)
"""(label, address, the least role that may see it): what is refused is not shown either."""


def tabs(session: OrgSession, active: str) -> list[dict[str, Any]]:
    """Return the tabs that the role may see; `active` is the label of the page that is shown. A
    client has no clients."""
    return [
        {"label": say(label), "href": href, "active": label == active}
        for label, href, least in TABS
        if session.role >= least and (label != "Clients" or session.org.parent_id is None)
    ]


@page("GET", "/settings", access=VIEWER)
async def settings(call: Call) -> Response[bytes]:
    """Lead to the first of the settings."""
    del call
    return redirect(TABS[0][1])


ROUTES = (settings,)
