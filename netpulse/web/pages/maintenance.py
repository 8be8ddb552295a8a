"""The pages of planned maintenance: the list, planning, changing, ending and deleting it."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Maintenance, Schedule, State
from netpulse.model.time import MINUTE, Millis, rfc3339
from netpulse.rules import maintenance as rules
from netpulse.storage import maintenances, monitor_list, monitors
from netpulse.storage.db import Conn
from netpulse.storage.maintenances import MaintenanceFilter
from netpulse.web import reading, resource
from netpulse.web.api import maintenance as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.languages import say
from netpulse.web.pages import forms, maintenance_form, render, zones
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect

LIMIT = 20
MOST_MONITORS = 200
NAMES_SHOWN = 3


class _Listed(Struct, frozen=True):
    rows: list[Maintenance]
    total: int
    names: dict[Id, str]


def _listed(conn: Conn, org_id: Id, offset: int) -> _Listed:
    found = maintenances.page(conn, org_id, MaintenanceFilter(), offset=offset, limit=LIMIT)
    wanted = {one for row in found.rows for one in row.coverage.monitor_ids[:NAMES_SHOWN]}
    return _Listed(found.rows, found.total, monitors.names(conn, org_id, wanted))


@page("GET", "/maintenance", access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, or the part that `part` names."""
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    seen = await call.session.read(_listed, (at - 1) * LIMIT)
    part = call.request.query_params.get("part")
    return await render.page(
        call,
        "maintenance/_list.html" if part == "list" else "maintenance/list.html",
        active="Maintenance",
        plans=[_row(item, seen.names, call.now) for item in seen.rows],
        pager=pager("/maintenance", {}, at, LIMIT, seen.total),
        self_url=f"/maintenance?page={at}&part=list",
    )


@page("GET", "/maintenance/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form: an hour from now, for an hour."""
    start = call.now - call.now % (5 * MINUTE) + 60 * MINUTE
    shown = {
        "title": "",
        "scope": "monitors",
        "repeat": "once",
        "timezone": "UTC",
        "starts_at": maintenance_form.local(start, "UTC"),
        "ends_at": maintenance_form.local(start + 60 * MINUTE, "UTC"),
        "duration_minutes": "60",
        "monthly": "day",
    }
    return await _form(call, None, shown, frozenset(), frozenset())


@page("POST", "/maintenance/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Plan one, or show when it would be."""
    form = await forms.read(call)
    try:
        spec = api.MAINTENANCES.read_spec(maintenance_form.values(form))
        if form.text("action") == "preview":
            return await _previewed(call, form, None, api.schedule_of(spec, call.now))
        await resource.create(api.MAINTENANCES, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, form, None, error)
    return redirect("/maintenance", "saved")


@page("GET", "/maintenance/{id:str}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored, and the next windows."""
    item = await _stored(call)
    return await _form(
        call,
        item,
        maintenance_form.entered(item),
        frozenset(item.coverage.monitor_ids),
        maintenance_form.weekdays(item.schedule),
        preview=maintenance_form.windows(item.schedule, call.now, item.ended_through),
    )


@page("POST", "/maintenance/{id:str}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it, or show when it would be."""
    item = await _stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = api.MAINTENANCES.read_spec(maintenance_form.values(form))
        if form.text("action") == "preview":
            schedule = api.schedule_of(spec, item.schedule.starts_at)
            return await _previewed(call, form, item, schedule)
        await resource.replace(
            api.MAINTENANCES,
            call.house,
            call.session,
            item.id,
            spec,
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, form, item, error)
    return redirect("/maintenance", "saved")


@page("POST", "/maintenance/{id:str}/end", access=ADMIN)
async def end(call: Call) -> Response[bytes]:
    """End the window that lasts; one that is over already stays so."""
    try:
        await api.end(call.house, call.session, call.id("id", "maintenance"))
    except ApiError as error:
        if error.status != 409:
            raise
        return redirect("/maintenance")
    return redirect("/maintenance", "ended")


@page("GET", "/maintenance/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    item = await _stored(call)
    consequences = [say("Time that was spent in it stays maintenance in every figure.")]
    if item.state(call.now) is State.ACTIVE:
        consequences.insert(0, say("Its window ends now: what is down is told."))
    return await render.page(
        call,
        "delete.html",
        active="Maintenance",
        question=say("Delete the maintenance %(title)s?", title=item.title),
        consequences=consequences,
        action=f"/maintenance/{item.id}/delete",
        button=say("Delete the maintenance"),
        back="/maintenance",
    )


@page("POST", "/maintenance/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    maintenance_id = call.id("id", "maintenance")
    await resource.delete(api.MAINTENANCES, call.house, call.session, maintenance_id)
    return redirect("/maintenance", "deleted")


async def _stored(call: Call) -> Maintenance:
    item = await call.session.read(api.MAINTENANCES.get, call.id("id", "maintenance"))
    if item is None:
        raise not_found("maintenance")
    return item


# What is shown


def _row(item: Maintenance, names: dict[Id, str], now: Millis) -> dict[str, Any]:
    schedule, coverage = item.schedule, item.coverage
    state = item.state(now)
    start, end = schedule.starts_at, schedule.ends_at
    window = None if state is State.OVER else item.next
    if window is not None:
        start, end = window.start, window.end
    return {
        "id": item.id,
        "title": item.title,
        "description": item.description,
        "is_public": item.is_public,
        "state": state.value,
        "is_recurring": schedule.ends_at is None,
        "repeats": maintenance_form.repeats(schedule),
        "start": None if end is None else rfc3339(start),
        "end": None if end is None else rfc3339(end),
        "all": coverage.all,
        "tags": list(coverage.tags),
        "monitors": [
            names.get(one, say("a monitor")) for one in coverage.monitor_ids[:NAMES_SHOWN]
        ],
        "more": max(0, len(coverage.monitor_ids) - NAMES_SHOWN),
    }


class _Choices(Struct, frozen=True):
    monitors: list[dict[str, str]]
    truncated: bool
    tags: list[str]


def _choices(conn: Conn, org_id: Id, chosen: frozenset[Id]) -> _Choices:
    listed = monitor_list.choices(conn, org_id, MOST_MONITORS)
    there = monitors.present(conn, org_id, chosen)
    listed |= monitors.names(conn, org_id, there)
    return _Choices(
        monitors=[{"value": id_, "label": name} for id_, name in listed.items()],
        truncated=monitors.count(conn, org_id) > MOST_MONITORS,
        tags=monitor_list.tags(conn, org_id),
    )


async def _previewed(
    call: Call, form: forms.Form, item: Maintenance | None, schedule: Schedule
) -> Response[bytes]:
    reading.at_least_one([*rules.problems(schedule, call.now)])
    return await _again(call, form, item, preview=maintenance_form.windows(schedule, call.now))


async def _refused(
    call: Call, form: forms.Form, item: Maintenance | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, maintenance_form.LABELS)
    return await _again(call, form, item, found, status=error.status)


async def _again(
    call: Call,
    form: forms.Form,
    item: Maintenance | None,
    errors: dict[str, str] | None = None,
    *,
    preview: list[dict[str, str]] | None = None,
    status: int = 200,
) -> Response[bytes]:
    chosen = frozenset(form.every("monitor_ids"))
    days = frozenset(form.every("weekday"))
    shown = form.again(maintenance_form.BOXES, ("monitor_ids", "weekday"))
    return await _form(call, item, shown, chosen, days, errors, preview=preview, status=status)


async def _form(
    call: Call,
    item: Maintenance | None,
    shown: dict[str, Any],
    chosen: frozenset[Id],
    days: frozenset[str],
    errors: dict[str, str] | None = None,
    *,
    preview: list[dict[str, str]] | None = None,
    status: int = 200,
) -> Response[bytes]:
    choices = await call.session.read(_choices, chosen)
    return await render.page(
        call,
        "maintenance/form.html",
        active="Maintenance",
        status=status,
        plan=None
        if item is None
        else {"id": item.id, "title": item.title, "version": item.version},
        monitors=choices.monitors,
        monitors_truncated=choices.truncated,
        chosen=chosen,
        tags=choices.tags,
        zones=zones.offered(str(shown.get("timezone") or "UTC")),
        weekdays=[
            {"value": value, "label": say(label)} for value, label in maintenance_form.WEEKDAYS
        ],
        days=days,
        monthly=[
            {"value": value, "label": say(label)} for value, label in maintenance_form.MONTHLY
        ],
        preview=preview,
        form=forms.view(shown, errors),
    )


ROUTES = (list_all, new_form, create, edit_form, replace, end, delete_form, delete)
