"""The pages of incidents: the list, and one with its story and its acknowledgement."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import UNSET

from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import incidents, overview
from netpulse.storage.db import Conn
from netpulse.storage.incidents import IncidentFilter
from netpulse.storage.table import Page
from netpulse.web.api import incident_acts
from netpulse.web.api import incidents as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.pages import forms, incident_story, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.rows import incident_row

LIMIT = 20
_OPEN = {"open": True, "resolved": False, "all": None}
_LABELS = {
    "message": "What is known",
    "status": "Status",
    "root_cause": "Root cause",
}


def _page(conn: Conn, org_id: Id, is_open: bool | None, offset: int) -> Page[Incident]:
    return incidents.page(conn, org_id, IncidentFilter(is_open=is_open), offset, LIMIT)


@page("GET", "/incidents", access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, the open ones or all."""
    given = call.request.query_params
    status = given.get("status", "all")
    status = status if status in _OPEN else "all"
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await call.session.read(_page, _OPEN[status], (at - 1) * LIMIT)
    shown: dict[str, Any] = {
        "incidents": [incident_row(one, call.now) for one in found.rows],
        "filters": {"status": status},
        "pager": pager("/incidents", {"status": status}, at, LIMIT, found.total),
        "self_url": f"/incidents?status={status}&page={at}&part=list",
    }
    if given.get("part") == "list":
        return await render.page(call, "incidents/_list.html", **shown)
    still, over = await call.session.read(overview.open_and_resolved)
    tabs = [
        {"value": "open", "label": "Open", "total": still},
        {"value": "resolved", "label": "Resolved", "total": over},
        {"value": "all", "label": "All", "total": None},
    ]
    return await render.page(call, "incidents/list.html", active="Incidents", tabs=tabs, **shown)


@page("GET", "/incidents/{id:str}", access=VIEWER)
async def detail(call: Call) -> Response[bytes]:
    """Show one, or its story alone."""
    return await _detail(call, {})


async def _detail(
    call: Call,
    entered: dict[str, Any],
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response[bytes]:
    is_admin = call.session.role >= Role.ADMIN
    seen = await call.session.read(
        incident_story.read, call.id("id", "incident"), for_admin=is_admin
    )
    if seen is None:
        raise not_found("incident")
    incident = seen.incident
    checked = await incident_story.checks(call.house.raw, seen, call.now)
    can_acknowledge = incident.resolved_at is None and incident.acknowledged_at is None
    shown: dict[str, Any] = {
        "incident": incident_row(incident, call.now)
        | {
            "origin": incident.origin.value,
            "impact": incident.impact.value,
            "root_cause": incident.root_cause,
            "resolution_text": incident_story.resolution_text(incident),
            "acknowledged_at": None
            if incident.acknowledged_at is None
            else rfc3339(incident.acknowledged_at),
        },
        "timeline": incident_story.timeline(seen, checked),
        "monitors": seen.monitors,
        "notices": seen.notices,
        "why": incident_story.why(seen),
        "can": {"acknowledge": is_admin and can_acknowledge, "update": is_admin},
    }
    if call.request.query_params.get("part") == "story":
        return await render.page(call, "incidents/_story.html", **shown)
    form = {"status": incident.status.value, "root_cause": incident.root_cause or ""} | entered
    return await render.page(
        call,
        "incidents/detail.html",
        active="Incidents",
        status=status,
        form=forms.view(form, errors),
        statuses=[{"value": one.value, "label": one.value.capitalize()} for one in IncidentStatus],
        **shown,
    )


@page("POST", "/incidents/{id:str}", access=ADMIN)
async def add(call: Call) -> Response[bytes]:
    """Add to its story: a message, another status, the root cause."""
    incident_id = call.id("id", "incident")
    form = await forms.read(call)
    message = form.text("message")
    try:
        old = await call.session.read(incidents.get, incident_id)
        if old is None:
            raise not_found("incident")
        await _add(call, old, form, message)
    except ApiError as error:
        if error.status == 404:
            raise
        shown = form.again(["is_public"], [])
        return await _detail(call, shown, forms.problems(error, _LABELS), status=error.status)
    return redirect(f"/incidents/{incident_id}", "added")


async def _add(call: Call, old: Incident, form: forms.Form, message: str) -> None:
    """Do what was entered. Raises ApiError for what cannot be."""
    word = form.text("status")
    if word not in set(IncidentStatus):
        raise invalid([Problem("$.status", "there is no such status")])
    status = IncidentStatus(word)
    cause = form.text("root_cause")
    changed = status is not old.status
    if not message and not changed and cause == (old.root_cause or ""):
        raise invalid([Problem("$.message", "there is nothing to add yet")])
    if message:
        spec = api.UpdateSpec(
            message=message[:10_000],
            status=status if changed else None,
            is_public=form.checked("is_public"),
        )
        await api.add_update(call.house, call.session, old.id, spec)
        changed = False
    if changed or cause != (old.root_cause or ""):
        patch = api.IncidentPatch(
            status=status if changed else UNSET,
            root_cause=cause or None if cause != (old.root_cause or "") else UNSET,
        )
        await api.patch(call.house, call.session, old.id, patch)


@page("POST", "/incidents/{id:str}/acknowledge", access=ADMIN)
async def acknowledge(call: Call) -> Response[bytes]:
    """Take one on."""
    incident_id = call.id("id", "incident")
    try:
        await incident_acts.acknowledge(call.house, call.session, incident_id, "page")
    except ApiError as error:
        if error.status != 409:
            raise
        return redirect(f"/incidents/{incident_id}", "over")
    return redirect(f"/incidents/{incident_id}", "acknowledged")


ROUTES = (list_all, detail, add, acknowledge)
