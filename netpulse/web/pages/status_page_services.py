"""Which services a status page shows: their names, groups and order, and a search for more.

The search is the server's own, so that the ten-thousandth monitor is found as the first is.
"""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.monitor import type_of
from netpulse.model.status_page import StatusPage
from netpulse.rules import status_pages as rules
from netpulse.rules import targets
from netpulse.storage import monitor_list, monitors, status_pages
from netpulse.storage.db import Conn
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.storage.table import Page
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.languages import mark
from netpulse.web.pages import forms, render
from netpulse.web.pages import status_pages as builder
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect

FOUND = 20
"""Monitors that a search shows at once."""
LABELS = {"groups": mark("Services"), "monitor_id": mark("Monitors")}
MOST_FIELDS = 4 * rules.MOST_SERVICES + 20
STEP = 10
"""Between the places of two services, so that a third fits in."""


class _Seen(Struct, frozen=True):
    page: StatusPage
    names: dict[Id, str]
    """Of the monitors on the page, as they are known inside."""
    found: Page[MonitorRow]


def _seen(conn: Conn, org_id: Id, page_id: Id, q: str, offset: int) -> _Seen | None:
    item = status_pages.get(conn, org_id, page_id)
    if item is None:
        return None
    wanted = MonitorFilter(q=q or None)
    return _Seen(
        item,
        monitors.names(conn, org_id, item.monitor_ids),
        monitor_list.page(conn, org_id, wanted, offset, FOUND),
    )


@page("GET", f"{builder.HERE}/{{id:str}}/services", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """Show what is on the page, and what fits the search."""
    return await _shown(call)


@page("POST", f"{builder.HERE}/{{id:str}}/services", access=ADMIN)
async def save(call: Call) -> Response[bytes]:
    """Give the services their names, groups and places, or take some away."""
    item = await builder.stored(call)
    form = await forms.read(call, most=MOST_FIELDS)
    version = form.number("version")
    try:
        body = builder.as_body(item) | {"groups": _arranged(item, form)}
        await builder.put(call, item, body, version if isinstance(version, int) else None)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        return await _shown(call, found, form, status=error.status)
    return redirect(f"{builder.HERE}/{item.id}/services", "saved")


@page("POST", f"{builder.HERE}/{{id:str}}/services/add", access=ADMIN)
async def add(call: Call) -> Response[bytes]:
    """Put the chosen monitors at the end of a group."""
    item = await builder.stored(call)
    form = await forms.read(call)
    name = form.text("group")
    chosen = [one for one in dict.fromkeys(form.every("monitor_id")) if one not in item.monitor_ids]
    body = builder.as_body(item)
    try:
        if not form.every("monitor_id"):
            raise invalid([Problem("$.monitor_id", mark("choose at least one"))])
        group = next((one for one in body["groups"] if one["name"] == name), None)
        if group is None:
            group = {"name": name, "monitors": []}
            body["groups"].append(group)
        group["monitors"] += [{"monitor_id": one, "public_name": ""} for one in chosen]
        await builder.put(call, item, body)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        return await _shown(call, found, status=error.status)
    return redirect(f"{builder.HERE}/{item.id}/services", "saved")


def _arranged(item: StatusPage, form: forms.Form) -> list[dict[str, Any]]:
    """Return the groups that the sent form makes of the page's services.

    Groups stand in the order of their first service; a service without a place keeps its own.
    """
    rows: list[tuple[int, int, str, dict[str, str]]] = []
    for number, monitor_id in enumerate(item.monitor_ids):
        if form.checked(f"remove-{monitor_id}"):
            continue
        place = form.number(f"place-{monitor_id}")
        if not isinstance(place, int):
            place = (number + 1) * STEP
        service = {"monitor_id": monitor_id, "public_name": form.text(f"name-{monitor_id}")}
        rows.append((place, number, form.text(f"group-{monitor_id}"), service))
    groups: dict[str, list[dict[str, str]]] = {}
    for _, _, name, service in sorted(rows, key=lambda row: row[:2]):
        groups.setdefault(name, []).append(service)
    return [{"name": name, "monitors": services} for name, services in groups.items()]


async def _shown(
    call: Call,
    errors: dict[str, str] | None = None,
    form: forms.Form | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    given = call.request.query_params
    q = given.get("q", "").strip()[:200]
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    page_id = call.id("id", "status page")
    seen = await call.session.read(_seen, page_id, q, (at - 1) * FOUND)
    if seen is None:
        raise not_found("status page")
    there = set(seen.page.monitor_ids)
    path = f"{builder.HERE}/{seen.page.id}/services"
    return await render.page(
        call,
        "status_pages/services.html",
        active=builder.ACTIVE,
        status=status,
        page=builder.head(seen.page),
        tabs=builder.tabs(seen.page, "Services"),
        services=_rows(seen, form),
        groups=[group.name for group in seen.page.groups if group.name],
        found=[
            {
                "id": row.monitor.id,
                "name": row.monitor.spec.name,
                "type": type_of(row.monitor.spec),
                "target": targets.shown(row.monitor.spec.target),
                "status": row.shown.status.value,
                "is_there": row.monitor.id in there,
            }
            for row in seen.found.rows
        ],
        q=q,
        most=rules.MOST_SERVICES,
        form=forms.view({}, errors),
        pager=pager(path, {"q": q}, at, FOUND, seen.found.total),
    )


def _rows(seen: _Seen, form: forms.Form | None) -> list[dict[str, Any]]:
    rows = []
    number = 0
    for group in seen.page.groups:
        for service in group.monitors:
            number += 1
            one = service.monitor_id
            row = {
                "id": one,
                "monitor": seen.names.get(one, ""),
                "name": service.public_name,
                "group": group.name,
                "place": str(number * STEP),
            }
            if form is not None:
                row |= {key: form.text(f"{key}-{one}") for key in ("name", "group", "place")}
            rows.append(row)
    return rows


ROUTES = (show, save, add)
