"""The settings' page about NetPulse itself: which one it is, how it is, where to read on."""

from __future__ import annotations

import platform
from typing import Any

from litestar import Response

from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import opening, overview
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.pages import render
from netpulse.web.pages.settings import tabs


@page("GET", "/settings/about", access=VIEWER)
async def look(call: Call) -> Response[bytes]:
    """Show it; what it runs on to those who run the instance."""
    house, engine = call.house, call.house.engine
    lately = await call.session.read(overview.lately, call.now)
    machine: dict[str, Any] | None = None
    if call.session.role >= Role.SUPER_ADMIN:
        machine = {
            "python": platform.python_version(),
            "sqlite": opening.sqlite_version(),
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "monitors": len(engine.roster),
            "name": house.config.server.public_url or None,
        }
    return await render.page(
        call,
        "settings/about.html",
        active="Settings",
        tabs=tabs(call.session, "About"),
        version=house.version,
        started_at=None if engine.started_at is None else rfc3339(engine.started_at),
        checks_per_minute=lately.checks_per_minute,
        lag_ms=round(engine.lag_stats().p99_ms),
        trouble=None if engine.trouble is None else str(engine.trouble),
        machine=machine,
    )


ROUTES = (look,)
