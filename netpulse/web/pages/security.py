"""The settings' page on security: what lets somebody in, and what strangers may see."""

from __future__ import annotations

from litestar import Response
from msgspec import Raw, json

from netpulse.model.time import DAY, rfc3339
from netpulse.storage import exposure
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.languages import mark, say
from netpulse.web.pages import render
from netpulse.web.pages.settings import tabs

REASONS = (
    mark("wrong password"),
    mark("wrong code"),
    mark("disabled"),
    mark("no organization"),
    mark("address not allowed"),
)
"""Why sign-ins of people we know fail, as `web.sign_in` writes it into the audit log."""


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
                "reason": _reason(row.payload),
            }
            for row in seen.failures
        ],
        unused_days=exposure.UNUSED // DAY,
        failures_days=exposure.LATELY // DAY,
    )


def _reason(payload: Raw) -> str | None:
    reason = json.decode(payload).get("after", {}).get("reason")
    return None if reason is None else say(reason)


ROUTES = (look,)
