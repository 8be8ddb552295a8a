"""The pages of planned maintenance: the list, planning, changing, ending and deleting it."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Maintenance, Schedule, State
from netpulse.model.time import MINUTE, Millis, rfc3339
from netpulse.rules import maintenance as rules
from netpulse.rules.push import ScheduleError
from netpulse.storage import maintenances, monitor_list, monitors
from netpulse.storage.db import Conn
from netpulse.storage.maintenances import MaintenanceFilter
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.web import reading, resource
from netpulse.web.api import maintenance as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.figures import duration
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect

LABELS = {
    "title": mark("Title"),
    "description": mark("Description"),
    "starts_at": mark("Begins"),
    "ends_at": mark("Ends"),
    "timezone": mark("Time zone"),
    "duration_minutes": mark("Lasts"),
    "rrule": "RRULE",
    "cron": mark("Crontab"),
    "monitor_ids": mark("Monitors"),
    "tags": mark("Tags"),
}
BOXES = ("is_public",)
LIMIT = 20
MOST_MONITORS = 200
NAMES_SHOWN = 3
PREVIEWED = 5
WEEKDAYS = (
    ("MO", mark("Monday")),
    ("TU", mark("Tuesday")),
    ("WE", mark("Wednesday")),
    ("TH", mark("Thursday")),
    ("FR", mark("Friday")),
    ("SA", mark("Saturday")),
    ("SU", mark("Sunday")),
)
MONTHLY = (
    ("day", mark("the same day of the month")),
    ("1", mark("the first such weekday")),
    ("2", mark("the second such weekday")),
    ("3", mark("the third such weekday")),
    ("4", mark("the fourth such weekday")),
    ("-1", mark("the last such weekday")),
)
_WEEKLY = re.compile(r"FREQ=WEEKLY;BYDAY=((?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:MO|TU|WE|TH|FR|SA|SU))*)")


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
        "starts_at": _local(start, "UTC"),
        "ends_at": _local(start + 60 * MINUTE, "UTC"),
        "duration_minutes": "60",
        "monthly": "day",
    }
    return await _form(call, None, shown, frozenset(), frozenset())


@page("POST", "/maintenance/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Plan one, or show when it would be."""
    form = await forms.read(call)
    try:
        spec = api.MAINTENANCES.read_spec(_values(form))
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
        _entered(item),
        frozenset(item.coverage.monitor_ids),
        _weekdays(item.schedule),
        preview=_windows(item.schedule, call.now, item.ended_through),
    )


@page("POST", "/maintenance/{id:str}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it, or show when it would be."""
    item = await _stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = api.MAINTENANCES.read_spec(_values(form))
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


# The form and what it means


def _values(form: forms.Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/maintenance."""
    zone = form.text("timezone")
    repeat = form.text("repeat")
    found: dict[str, Any] = {
        "title": form.text("title"),
        "description": form.text("description"),
        "is_public": form.checked("is_public"),
        "timezone": zone,
        "starts_at": _moment(form.text("starts_at"), zone),
    }
    if repeat == "once":
        found["ends_at"] = _moment(form.text("ends_at"), zone) or None
    else:
        found["duration_minutes"] = form.number("duration_minutes")
        found["cron" if repeat == "cron" else "rrule"] = _rule(form, repeat)
    scope = form.text("scope")
    if scope == "all":
        found["all"] = True
    elif scope == "tags":
        found["tags"] = [one.strip() for one in form.text("tags").split(",") if one.strip()]
        if not found["tags"]:
            raise invalid([Problem("$.tags", mark("name at least one"))])
    else:
        found["monitor_ids"] = form.every("monitor_ids")
        if not found["monitor_ids"]:
            raise invalid([Problem("$.monitor_ids", mark("choose at least one"))])
    return found


def _moment(text: str, zone: str) -> str:
    """Return a time of a datetime-local field as RFC 3339; what is none stays as it is, for the
    API to refuse. (A zone that there is not is refused too; then UTC does.)"""
    try:
        shown = datetime.fromisoformat(text)
    except ValueError:
        return text or "(empty)"
    if shown.tzinfo is not None:
        return text
    try:
        return rfc3339(rules.moment_of(shown, zone))
    except (ScheduleError, OverflowError):
        return f"{shown.isoformat(timespec='seconds')}Z"


def _rule(form: forms.Form, repeat: str) -> str:
    if repeat in {"rrule", "cron"}:
        if not form.text(repeat):
            raise invalid([Problem(f"$.{repeat}", mark("is empty; write when it comes"))])
        return form.text(repeat)
    if repeat == "daily":
        return "FREQ=DAILY"
    try:
        begin = datetime.fromisoformat(form.text("starts_at"))
    except ValueError:
        return f"FREQ={repeat.upper()}"
    weekday = WEEKDAYS[begin.weekday()][0]
    if repeat == "weekly":
        sent = form.every("weekday")
        days = [day for day, _ in WEEKDAYS if day in sent] or [weekday]
        return f"FREQ=WEEKLY;BYDAY={','.join(days)}"
    which = form.text("monthly")
    if which in {value for value, _ in MONTHLY} - {"day"}:
        return f"FREQ=MONTHLY;BYDAY={which}{weekday}"
    return f"FREQ=MONTHLY;BYMONTHDAY={begin.day}"


def _entered(item: Maintenance) -> dict[str, Any]:
    schedule = item.schedule
    repeat = "once"
    if schedule.cron is not None:
        repeat = "cron"
    elif schedule.rrule is not None:
        repeat = "daily" if schedule.rrule == "FREQ=DAILY" else "rrule"
        if _WEEKLY.fullmatch(schedule.rrule):
            repeat = "weekly"
    coverage = item.coverage
    zone = schedule.timezone
    ends_at = schedule.ends_at
    return {
        "title": item.title,
        "description": item.description,
        "scope": "all" if coverage.all else "tags" if coverage.tags else "monitors",
        "tags": ", ".join(coverage.tags),
        "is_public": item.is_public,
        "repeat": repeat,
        "timezone": zone,
        "starts_at": _local(schedule.starts_at, zone),
        "ends_at": "" if ends_at is None else _local(ends_at, zone),
        "duration_minutes": str(schedule.duration_minutes or ""),
        "rrule": schedule.rrule or "",
        "cron": schedule.cron or "",
        "monthly": "day",
    }


def _local(at: Millis, zone: str) -> str:
    """Return a moment as a datetime-local field shows it."""
    try:
        shown = rules.on_the_wall(at, zone)
    except ScheduleError:
        shown = rules.on_the_wall(at, "UTC")
    return shown.isoformat(timespec="seconds" if shown.second else "minutes")


def _weekdays(schedule: Schedule) -> frozenset[str]:
    found = _WEEKLY.fullmatch(schedule.rrule or "")
    return frozenset() if found is None else frozenset(found[1].split(","))


def _windows(
    schedule: Schedule, now: Millis, ended_through: Millis | None = None
) -> list[dict[str, str]]:
    """Return the next windows, also as the clocks of their zone show them."""
    try:
        return [
            {
                "local": f"{rules.on_the_wall(window.start, schedule.timezone):%A, %Y-%m-%d %H:%M}"
                f" {schedule.timezone}",
                "start": rfc3339(window.start),
                "end": rfc3339(window.end),
            }
            for window in rules.windows(schedule, now, PREVIEWED, ended_through)
        ]
    except ScheduleError:
        return []


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
        "repeats": _repeats(schedule),
        "start": None if end is None else rfc3339(start),
        "end": None if end is None else rfc3339(end),
        "all": coverage.all,
        "tags": list(coverage.tags),
        "monitors": [
            names.get(one, say("a monitor")) for one in coverage.monitor_ids[:NAMES_SHOWN]
        ],
        "more": max(0, len(coverage.monitor_ids) - NAMES_SHOWN),
    }


def _repeats(schedule: Schedule) -> str | None:
    """Return in words how a recurring one comes again; None for one that is once."""
    if schedule.duration_minutes is None:
        return None
    weekly = _WEEKLY.fullmatch(schedule.rrule or "")
    if weekly is not None:
        labels = {value: say(label) for value, label in WEEKDAYS}
        often = say("every %(days)s", days=", ".join(labels[day] for day in weekly[1].split(",")))
    elif schedule.rrule == "FREQ=DAILY":
        often = say("every day")
    else:
        often = schedule.rrule or schedule.cron or ""
    if schedule.cron is None and "BYHOUR" not in (schedule.rrule or ""):
        time = _local(schedule.starts_at, schedule.timezone)[11:16]
        often = say("%(often)s at %(time)s", often=often, time=time)
    return say(
        "%(often)s (%(zone)s), for %(duration)s",
        often=often,
        zone=schedule.timezone,
        duration=duration(schedule.duration_minutes * 60),
    )


class _Choices(Struct, frozen=True):
    monitors: list[dict[str, str]]
    truncated: bool
    tags: list[str]


def _choices(conn: Conn, org_id: Id, chosen: frozenset[Id]) -> _Choices:
    found = monitor_list.page(conn, org_id, MonitorFilter(), 0, MOST_MONITORS)
    listed = {row.monitor.id: row.monitor.spec.name for row in found.rows}
    there = monitors.present(conn, org_id, chosen)
    listed |= monitors.names(conn, org_id, there)
    return _Choices(
        monitors=[{"value": id_, "label": name} for id_, name in listed.items()],
        truncated=found.total > MOST_MONITORS,
        tags=monitor_list.tags(conn, org_id),
    )


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC"))


async def _previewed(
    call: Call, form: forms.Form, item: Maintenance | None, schedule: Schedule
) -> Response[bytes]:
    reading.at_least_one([*rules.problems(schedule, call.now)])
    return await _again(call, form, item, preview=_windows(schedule, call.now))


async def _refused(
    call: Call, form: forms.Form, item: Maintenance | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, LABELS)
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
    shown = form.again(BOXES, ("monitor_ids", "weekday"))
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
        zones=_zones(),
        weekdays=[{"value": value, "label": say(label)} for value, label in WEEKDAYS],
        days=days,
        monthly=[{"value": value, "label": say(label)} for value, label in MONTHLY],
        preview=preview,
        form=forms.view(shown, errors),
    )


ROUTES = (list_all, new_form, create, edit_form, replace, end, delete_form, delete)
