"""The pages of a rule: making, changing and deleting it."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.alert import Rule
from netpulse.model.ids import Id, is_id
from netpulse.storage import channels, monitors
from netpulse.storage.db import Conn
from netpulse.storage.monitors import MonitorFilter
from netpulse.web import resource
from netpulse.web.api import alert_rules as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import forms, render
from netpulse.web.pages.render import redirect

LABELS = {
    "name": "Name",
    "channel_id": "Tell by",
    "scope": "Of",
    "condition": "When",
    "monitor_id": "Monitor",
    "tag": "Tag",
    "notify_recovery": "Tell when it is over",
    "cooldown_seconds": "Then be quiet for",
    "is_active": "Use this rule",
}
BOXES = ("notify_recovery", "is_active")
CONDITIONS = ["down", "down or degraded", "degraded", "up", "system"]
MOST_MONITORS = 200
FRESH: dict[str, Any] = {
    "name": "",
    "scope": "all",
    "condition": "down",
    "cooldown_seconds": "300",
    "notify_recovery": True,
    "is_active": True,
}


@page("GET", "/alerts/rules/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form; `monitor_id` in the address makes it about that monitor."""
    shown = dict(FRESH)
    wanted = call.request.query_params.get("monitor_id", "")
    if is_id(wanted):
        monitor = await call.session.read(monitors.get, wanted)
        if monitor is not None:
            shown |= {"scope": "monitor", "monitor_id": wanted}
            shown["name"] = f"{monitor.spec.name} is down"[:200]
    return await _form(call, None, shown)


@page("POST", "/alerts/rules/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one."""
    form = await forms.read(call)
    try:
        spec = api.RULES.read_spec(_values(form))
        await resource.create(api.RULES, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, form, None, error)
    return redirect("/alerts", "saved")


@page("GET", "/alerts/rules/{id:str}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    rule = await _stored(call)
    return await _form(call, rule, _entered(rule))


@page("POST", "/alerts/rules/{id:str}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it."""
    rule = await _stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = api.RULES.read_spec(_values(form))
        await resource.replace(
            api.RULES,
            call.house,
            call.session,
            rule.id,
            spec,
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, form, rule, error)
    return redirect("/alerts", "saved")


@page("GET", "/alerts/rules/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    rule = await _stored(call)
    return await render.page(
        call,
        "delete.html",
        active="Alerts",
        question=f"Delete the rule {rule.name}?",
        consequences=["What only this rule tells of is told to nobody then."],
        action=f"/alerts/rules/{rule.id}/delete",
        button="Delete the rule",
        back="/alerts",
    )


@page("POST", "/alerts/rules/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    rule_id = call.id("id", "alert rule")
    await resource.delete(api.RULES, call.house, call.session, rule_id)
    return redirect("/alerts", "deleted")


async def _stored(call: Call) -> Rule:
    rule = await call.session.read(api.RULES.get, call.id("id", "alert rule"))
    if rule is None:
        raise not_found("alert rule")
    return rule


def _values(form: forms.Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/alert-rules."""
    scope = form.text("scope")
    found: dict[str, Any] = {
        "name": form.text("name"),
        "channel_id": form.text("channel_id"),
        "condition": form.text("condition"),
        "notify_recovery": form.checked("notify_recovery"),
        "is_active": form.checked("is_active"),
    }
    if scope == "monitor":
        found["monitor_id"] = form.text("monitor_id")
    elif scope == "tag":
        found["tag"] = form.text("tag")
    if form.text("cooldown_seconds"):
        found["cooldown_seconds"] = form.number("cooldown_seconds")
    return found


def _entered(rule: Rule) -> dict[str, Any]:
    scope = "monitor" if rule.monitor_id is not None else "tag" if rule.tag is not None else "all"
    return {
        "name": rule.name,
        "scope": scope,
        "channel_id": rule.channel_id,
        "monitor_id": rule.monitor_id or "",
        "tag": rule.tag or "",
        "condition": rule.condition,
        "cooldown_seconds": str(rule.cooldown_seconds),
        "notify_recovery": rule.notify_recovery,
        "is_active": rule.is_active,
    }


async def _refused(
    call: Call, form: forms.Form, rule: Rule | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, LABELS)
    return await _form(call, rule, form.again(BOXES, ()), found, status=error.status)


class _Choices(Struct, frozen=True):
    channels: list[dict[str, str]]
    monitors: list[dict[str, str]]
    truncated: bool
    tags: list[str]


def _choices(conn: Conn, org_id: Id, chosen: Id) -> _Choices:
    ways = channels.page(conn, org_id, limit=500).rows
    found = monitors.page(conn, org_id, MonitorFilter(), 0, MOST_MONITORS)
    listed = {row.monitor.id: row.monitor.spec.name for row in found.rows}
    if chosen:
        listed |= monitors.names(conn, org_id, [chosen])
    return _Choices(
        channels=[{"value": one.id, "label": one.name} for one in ways],
        monitors=[{"value": id_, "label": name} for id_, name in listed.items()],
        truncated=found.total > MOST_MONITORS,
        tags=monitors.tags(conn, org_id),
    )


async def _form(
    call: Call,
    rule: Rule | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    choices = await call.session.read(_choices, str(shown.get("monitor_id") or ""))
    return await render.page(
        call,
        "alerts/rule_form.html",
        active="Alerts",
        status=status,
        rule=None if rule is None else {"id": rule.id, "name": rule.name, "version": rule.version},
        channels=choices.channels,
        monitors=choices.monitors,
        monitors_truncated=choices.truncated,
        tags=choices.tags,
        conditions=CONDITIONS,
        form=forms.view(shown, errors),
    )


ROUTES = (new_form, create, edit_form, replace, delete_form, delete)
