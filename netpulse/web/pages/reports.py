"""The place of reports: what answers their questions today."""

from __future__ import annotations

from litestar import Response

from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.pages import render


@page("GET", "/reports", access=VIEWER)
async def look(call: Call) -> Response[bytes]:
    """Show it."""
    return await render.page(call, "reports.html")


ROUTES = (look,)
