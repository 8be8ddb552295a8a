"""The form with which a person announces an incident."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Impact, IncidentStatus
from netpulse.storage import monitor_list, monitors, status_pages
from netpulse.storage.db import Conn
from netpulse.web import reading
from netpulse.web.api import incident_changes as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.render import redirect

MOST = 500
"""Monitors that the form lists; the API takes any."""
MOST_PAGES = 100

_LABELS = {
    "title": mark("Title"),
    "monitor_ids": mark("Monitors"),
    "status_page_ids": mark("Status pages"),
    "status": mark("Status"),
    "impact": mark("Impact"),
    "message": mark("What is known"),
}
_IMPACTS = {
    Impact.NONE: mark("None: for information"),
    Impact.MINOR: mark("Minor: some notice it"),
    Impact.MAJOR: mark("Major: many are affected"),
    Impact.CRITICAL: mark("Critical: nothing works"),
}


class _Choices(Struct, frozen=True):
    monitors: list[dict[str, str]]
    are_all: bool
    pages: list[dict[str, str]]


def _choices(conn: Conn, org_id: Id) -> _Choices:
    found = monitor_list.choices(conn, org_id, MOST)
    pages = status_pages.page(conn, org_id, limit=MOST_PAGES).rows
    return _Choices(
        [{"value": id_, "label": name} for id_, name in found.items()],
        monitors.count(conn, org_id) <= MOST,
        [{"value": item.id, "label": item.title} for item in pages],
    )


@page("GET", "/incidents/new", access=ADMIN)
async def form(call: Call) -> Response[bytes]:
    """Show the empty form; `?monitor_id=` picks a monitor, `?page_id=` a status page."""
    picked = call.request.query_params.get("monitor_id", "")
    page_id = call.request.query_params.get("page_id", "")
    shown = {
        "status": IncidentStatus.INVESTIGATING.value,
        "impact": Impact.MAJOR.value,
        "monitor_ids": [picked] if picked else [],
        "status_page_ids": [page_id] if page_id else [],
    }
    return await _form(call, shown)


@page("POST", "/incidents/new", access=ADMIN)
async def announce(call: Call) -> Response[bytes]:
    """Open it."""
    sent = await forms.read(call)
    values: dict[str, Any] = {
        "title": sent.text("title"),
        "status": sent.text("status"),
        "impact": sent.text("impact"),
        "message": sent.text("message"),
        "monitor_ids": sent.every("monitor_ids"),
        "status_page_ids": sent.every("status_page_ids"),
    }
    try:
        spec = reading.into(api.IncidentSpec, values)
        incident = await api.announce(call.house, call.session, spec)
    except ApiError as error:
        found = forms.problems(error, _LABELS)
        return await _form(call, values, found, status=error.status)
    return redirect(f"/incidents/{incident.id}", "announced")


async def _form(
    call: Call, shown: dict[str, Any], errors: dict[str, str] | None = None, *, status: int = 200
) -> Response[bytes]:
    choices = await call.session.read(_choices)
    return await render.page(
        call,
        "incidents/form.html",
        active="Incidents",
        status=status,
        form=forms.view(shown, errors),
        monitors=choices.monitors,
        monitors_truncated=not choices.are_all,
        pages=choices.pages,
        statuses=[
            {"value": one.value, "label": say(one.value.capitalize())} for one in IncidentStatus
        ],
        impacts=[{"value": one.value, "label": say(text)} for one, text in _IMPACTS.items()],
    )


ROUTES = (form, announce)
