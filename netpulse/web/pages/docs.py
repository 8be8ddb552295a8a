"""The API reference, drawn from the OpenAPI document."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import msgspec
from litestar import Response

from netpulse.web import openapi
from netpulse.web.api.routes import ROUTES as API
from netpulse.web.auth import identify
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError
from netpulse.web.pages import render
from netpulse.web.reference import reference


@page("GET", "/docs", access=PUBLIC)
async def docs(call: Call) -> Response[bytes]:
    """Show the reference; the document behind it is public, and so is this."""
    # Half a megabyte: drawing and packing it takes 10 ms, and the first time 100. Not on the loop.
    api = await asyncio.to_thread(_api, call.house.version, call.house.config.server.public_url)
    try:
        session = await identify(call.request)
    except ApiError:
        return await asyncio.to_thread(render.outside, call, "docs.html", api=api)
    call.request.scope["state"]["session"] = session
    return await render.long_page(call, "docs.html", api=api)


@cache
def _api(version: str, public_url: str) -> dict[str, Any]:
    return reference(msgspec.json.decode(openapi.encoded(API, version, public_url)))


ROUTES = (docs,)
