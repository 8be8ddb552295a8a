"""The pages of incidents: the list, and one with its story and its acknowledgement."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import UNSET, Struct

from netpulse.model.ids import Id, is_id
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import incident_list, incidents, monitors
from netpulse.storage.db import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.table import Page
from netpulse.web.api import incident_acts
from netpulse.web.api import incident_changes as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import date_range, forms, incident_story, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.rows import incident_row

LIMIT = 20
_OPEN = {"open": True, "resolved": False, "all": None}
_TABS = {"open": mark("Open"), "resolved": mark("Resolved"), "all": mark("All")}
_FILTERS = ("q", "status", "origin", "monitor_id", "from", "to")
_LONGEST = 200
_LABELS = {
    "message": mark("What is known"),
    "status": mark("Status"),
    "root_cause": mark("Root cause"),
}


class _Listed(Struct, frozen=True):
    found: Page[Incident]
    still: int
    over: int
    monitor: str | None
    """The name of the one that was asked for."""


def _listed(conn: Conn, org_id: Id, wanted: IncidentFilter, offset: int) -> _Listed:
    named = wanted.monitor_id and monitors.get(conn, org_id, wanted.monitor_id)
    still, over = incident_list.open_and_over(conn, org_id, wanted)
    total = {None: still + over, True: still, False: over}[wanted.is_open]
    return _Listed(
        found=incident_list.page(conn, org_id, wanted, offset, LIMIT, total=total),
        still=still,
        over=over,
        monitor=named.spec.name if named else None,
    )


def _filters(call: Call) -> dict[str, str]:
    """Return what was asked for, with "" for what was not or is nothing that could be."""
    given = call.request.query_params
    found = {name: str(given.get(name, "")).strip()[:_LONGEST] for name in _FILTERS}
    found["status"] = found["status"] if found["status"] in _OPEN else "all"
    if found["origin"] not in set(Origin):
        found["origin"] = ""
    if not is_id(found["monitor_id"]):
        found["monitor_id"] = ""
    for name in ("from", "to"):
        found[name] = date_range.known(found[name])
    return found


def _wanted(filters: dict[str, str]) -> IncidentFilter:
    start, end = date_range.moments(filters["from"], filters["to"])
    return IncidentFilter(
        is_open=_OPEN[filters["status"]],
        monitor_id=filters["monitor_id"] or None,
        origin=Origin(filters["origin"]) if filters["origin"] else None,
        q=filters["q"] or None,
        start=start,
        end=end,
    )


@page("GET", "/incidents", access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, the open ones or all."""
    given = call.request.query_params
    filters = _filters(call)
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    seen = await call.session.read(_listed, _wanted(filters), (at - 1) * LIMIT)
    kept = {name: value for name, value in filters.items() if value}
    shown: dict[str, Any] = {
        "incidents": [incident_row(one, call.now) for one in seen.found.rows],
        "filters": filters | {"active": bool(kept.keys() - {"status"})},
        "pager": pager("/incidents", filters, at, LIMIT, seen.found.total),
        "self_url": f"/incidents?{urlencode(kept | {'page': at, 'part': 'list'})}",
    }
    if given.get("part") == "list":
        return await render.page(call, "incidents/_list.html", **shown)
    totals = {"open": seen.still, "resolved": seen.over, "all": None}
    tabs = [
        {
            "value": value,
            "label": say(label),
            "total": totals[value],
            "href": f"/incidents?{urlencode(kept | {'status': value})}",
        }
        for value, label in _TABS.items()
    ]
    return await render.page(
        call,
        "incidents/list.html",
        active="Incidents",
        tabs=tabs,
        monitor_name=seen.monitor,
        **shown,
    )


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
        "picture": incident_story.picture(seen, call.now),
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
        statuses=[
            {"value": one.value, "label": say(one.value.capitalize())} for one in IncidentStatus
        ],
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
        raise invalid([Problem("$.status", mark("there is no such status"))])
    status = IncidentStatus(word)
    cause = form.text("root_cause")
    changed = status is not old.status
    if not message and not changed and cause == (old.root_cause or ""):
        raise invalid([Problem("$.message", mark("there is nothing to add yet"))])
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
