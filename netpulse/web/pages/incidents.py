"""The pages of incidents: the list, and one with its story."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import UNSET, Struct

from netpulse.model.alert import Notice
from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus, TimelineEntry
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.rules import targets
from netpulse.storage import incidents, monitors, notices, overview
from netpulse.storage.db import Conn
from netpulse.storage.incidents import IncidentFilter
from netpulse.storage.table import Page
from netpulse.web.api import incidents as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.rows import incident_row, notice_rows

LIMIT = 20
_OPEN = {"open": True, "resolved": False, "all": None}
_LABELS = {
    "message": "What is known",
    "status": "Status",
    "root_cause": "Root cause",
}
_RESOLUTIONS = {
    "recovered": "The monitor recovered.",
    "paused": "The monitor was paused.",
    "deleted": "The monitor was deleted.",
    "manual": "Somebody resolved it.",
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


class _Story(Struct, frozen=True):
    incident: Incident
    timeline: list[TimelineEntry]
    monitors: list[dict[str, Any]]
    notices: list[dict[str, Any]]


def _story(conn: Conn, org_id: Id, incident_id: Id) -> _Story | None:
    incident = incidents.get(conn, org_id, incident_id)
    if incident is None:
        return None
    about = []
    names = monitors.names(conn, org_id, incident.monitor_ids)
    for monitor_id in incident.monitor_ids:
        row = monitors.get_row(conn, org_id, monitor_id)
        about.append(
            {
                "id": monitor_id,
                "name": names.get(monitor_id, "a deleted monitor"),
                "target": "" if row is None else targets.shown(row.monitor.spec.target),
                "status": "unknown" if row is None else row.watch.status.value,
                "deleted": row is None,
            }
        )
    told: list[Notice] = notices.for_incident(conn, incident_id)
    return _Story(
        incident=incident,
        timeline=incidents.timeline(conn, incident_id),
        monitors=about,
        notices=notice_rows(conn, org_id, told),
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
    seen = await call.session.read(_story, call.id("id", "incident"))
    if seen is None:
        raise not_found("incident")
    incident = seen.incident
    shown: dict[str, Any] = {
        "incident": incident_row(incident, call.now)
        | {
            "origin": incident.origin.value,
            "root_cause": incident.root_cause,
            "resolution_text": _RESOLUTIONS.get(incident.resolution or ""),
        },
        "timeline": [_entry(entry) for entry in seen.timeline],
        "monitors": seen.monitors,
        "notices": seen.notices,
    }
    if call.request.query_params.get("part") == "story":
        return await render.page(call, "incidents/_story.html", **shown)
    form = {"status": incident.status.value, "root_cause": incident.root_cause or ""} | entered
    return await render.page(
        call,
        "incidents/detail.html",
        active="Incidents",
        status=status,
        can={"acknowledge": False, "update": call.session.role >= Role.ADMIN},
        form=forms.view(form, errors),
        statuses=[{"value": one.value, "label": one.value.capitalize()} for one in IncidentStatus],
        **shown,
    )


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "at": rfc3339(entry.at),
        "text": entry.message or _SILENT.get(entry.kind, "Changed."),
        "detail": None,
        "status": None if entry.status is None else entry.status.value,
        "author": entry.author,
    }


_SILENT = {"opened": "Incident opened.", "resolved": "Resolved.", "status": "Status changed."}


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
        shown = form.again([], [])
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
        spec = api.UpdateSpec(message=message[:10_000], status=status if changed else None)
        await api.add_update(call.house, call.session, old.id, spec)
        changed = False
    if changed or cause != (old.root_cause or ""):
        patch = api.IncidentPatch(
            status=status if changed else UNSET,
            root_cause=cause or None if cause != (old.root_cause or "") else UNSET,
        )
        await api.patch(call.house, call.session, old.id, patch)


ROUTES = (list_all, detail, add)
