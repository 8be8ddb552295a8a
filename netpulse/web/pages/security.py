"""The settings' page on security: what lets somebody in, and what strangers may see."""

from __future__ import annotations

from litestar import Response
from msgspec import json

from netpulse.model.time import DAY, rfc3339
from netpulse.storage import exposure
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.pages import render
from netpulse.web.pages.settings import tabs


@page("GET", "/settings/security", access=ADMIN)
async def look(call: Call) -> Response[bytes]:
    """Show it."""
    seen = await call.session.read(exposure.look, call.now)
    return await render.page(
        call,
        "settings/security.html",
        active="Settings",
        tabs=tabs(call.session, "Security"),
        seen=seen,
        unprotected=[{"id": id_, "email": email} for id_, email in seen.unprotected],
        failures=[
            {
                "at": rfc3339(row.created_at),
                "who": row.actor_label,
                "ip": row.ip_address,
                "reason": json.decode(row.payload).get("after", {}).get("reason"),
            }
            for row in seen.failures
        ],
        unused_days=exposure.UNUSED // DAY,
        failures_days=exposure.LATELY // DAY,
    )


ROUTES = (look,)
