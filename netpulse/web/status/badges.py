"""The badges of single monitors as the world asks for them: pictures, by a token in the address."""

from __future__ import annotations

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from netpulse.rules import badges
from netpulse.web.api.badges import HEADERS
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import of_status
from netpulse.web.status import sending
from netpulse.web.status.shelf import rendered


@page("GET", "/badge/{token:str}/{name:str}", access=PUBLIC)
async def badge(call: Call) -> Response[bytes]:
    """Send one."""
    name = call.request.path_params["name"].removesuffix(".svg")
    known = name in badges.NAMES and call.request.scope["path"].endswith(".svg")
    facts = await call.house.rack.look(call.request.path_params["token"]) if known else None
    if facts is None:
        raise of_status(404)
    made = rendered(sending.SVG, badges.of_monitor(facts, name))
    return sending.send(call, made, HEADERS | sending.PICTURE | {"ETag": made.tag})


ROUTES: tuple[HTTPRouteHandler, ...] = (badge,)
