"""The table of contents: every route there is."""

from __future__ import annotations

import asyncio

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from netpulse.web import live, openapi, pages, pings
from netpulse.web.api import health
from netpulse.web.api.routes import ROUTES as API
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.status import badges, subscriptions
from netpulse.web.status import routes as status


@page("GET", "/v1/openapi.json", access=PUBLIC)
async def openapi_json(call: Call) -> Response[bytes]:
    """Give the OpenAPI document, without an envelope."""
    server = call.house.config.server.public_url
    # The first time it takes 60 ms: not on the loop.
    body = await asyncio.to_thread(openapi.encoded, API, call.house.version, server)
    headers = {"Cache-Control": "public, max-age=60"}
    return Response(body, media_type="application/json", headers=headers)


ROUTES: tuple[HTTPRouteHandler, ...] = (
    *API,
    openapi_json,
    *health.ROUTES,
    *live.ROUTES,
    *pings.ROUTES,
    *pages.ROUTES,
    *status.ROUTES,
    *badges.ROUTES,
    *subscriptions.ROUTES,
)
