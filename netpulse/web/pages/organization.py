"""The organization's page among the settings."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import structs

from netpulse.web import reading
from netpulse.web.api import org as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark
from netpulse.web.pages import forms, render, zones
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs

LABELS = {"name": mark("Name"), "timezone": mark("Time zone")}


@page("GET", "/settings/organization", access=VIEWER)
async def show(call: Call) -> Response[bytes]:
    """Show what the organization calls itself, what it may have, and what it has."""
    seen = await call.session.read(api.look, call.now)
    entered = {"name": seen.org.name, "timezone": seen.org.timezone}
    return await _page(call, seen, forms.view(entered))


@page("POST", "/settings/organization", access=ADMIN)
async def change(call: Call) -> Response[bytes]:
    """Change it."""
    form = await forms.read(call)
    version = form.number("version")
    seen = await call.session.read(api.look, call.now)
    values = {
        "name": form.text("name"),
        "timezone": form.text("timezone"),
        "locale": seen.org.locale,
    }
    try:
        spec = reading.into(api.OrgSpec, values)
        await api.change(call.session, spec, version if isinstance(version, int) else None)
    except ApiError as error:
        shown = forms.view(form.again([], []), forms.problems(error, LABELS))
        return await _page(call, seen, shown, status=error.status)
    return redirect("/settings/organization", "saved")


async def _page(
    call: Call, seen: api.Seen, form: dict[str, Any], *, status: int = 200
) -> Response[bytes]:
    org = api.shown(seen)
    return await render.page(
        call,
        "settings/organization.html",
        active="Settings",
        status=status,
        tabs=tabs(call.session, "Organization"),
        organization=structs.asdict(org),
        form=form,
        zones=zones.offered(seen.org.timezone),
    )


ROUTES = (show, change)
