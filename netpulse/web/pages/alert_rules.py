"""The pages of a rule: making, changing and deleting it."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.alert import Rule
from netpulse.model.channel import Channel
from netpulse.model.ids import Id, is_id
from netpulse.model.org import Org
from netpulse.rules import templates
from netpulse.storage import channels, monitor_list, monitors, orgs
from netpulse.storage.db import Conn
from netpulse.web import resource
from netpulse.web.api import alert_rules as api
from netpulse.web.api.alert_rules import DAYS
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.languages import say
from netpulse.web.pages import forms, render, rule_form, zones
from netpulse.web.pages.channel_kinds import FACES
from netpulse.web.pages.render import redirect
from netpulse.web.phrases import phrase

MOST_MONITORS = 200
MOST_CHANNELS = 500


@page("GET", "/alerts/rules/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form; `monitor_id` in the address makes it about that monitor."""
    shown = dict(rule_form.FRESH)
    wanted = call.request.query_params.get("monitor_id", "")
    if is_id(wanted):
        monitor = await call.session.read(monitors.get, wanted)
        if monitor is not None:
            shown |= {"scope": "monitor", "monitor_id": wanted}
            shown["name"] = say("%(name)s is down", name=monitor.spec.name)[:200]
    org = await call.session.read(_org)
    shown["quiet_hours.timezone"] = org.timezone
    return await _form(call, None, shown)


@page("POST", "/alerts/rules/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one."""
    form = await forms.read(call)
    if form.text("action") == "preview":
        return await _previewed(call, form, None)
    try:
        spec = api.RULES.read_spec(rule_form.values(form))
        await resource.create(api.RULES, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, form, None, error)
    return redirect("/alerts", "saved")


@page("GET", "/alerts/rules/{id:str}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    rule = await _stored(call)
    return await _form(call, rule, rule_form.entered(rule))


@page("POST", "/alerts/rules/{id:str}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it."""
    rule = await _stored(call)
    form = await forms.read(call)
    if form.text("action") == "preview":
        return await _previewed(call, form, rule)
    version = form.number("version")
    try:
        spec = api.RULES.read_spec(rule_form.values(form))
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
        question=say("Delete the rule %(name)s?", name=rule.name),
        consequences=[say("What only this rule tells of is told to nobody then.")],
        action=f"/alerts/rules/{rule.id}/delete",
        button=say("Delete the rule"),
        back="/alerts",
    )


@page("POST", "/alerts/rules/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    rule_id = call.id("id", "alert rule")
    await resource.delete(api.RULES, call.house, call.session, rule_id)
    return redirect("/alerts", "deleted")


def _org(conn: Conn, org_id: Id) -> Org:
    org = orgs.get(conn, org_id)
    assert org is not None, "a membership refers to it"
    return org


async def _stored(call: Call) -> Rule:
    rule = await call.session.read(api.RULES.get, call.id("id", "alert rule"))
    if rule is None:
        raise not_found("alert rule")
    return rule


async def _refused(
    call: Call, form: forms.Form, rule: Rule | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, rule_form.LABELS)
    return await _form(call, rule, rule_form.again(form), found, status=error.status)


async def _previewed(call: Call, form: forms.Form, rule: Rule | None) -> Response[bytes]:
    """Show what the message would read like; nothing is saved, and nothing else is judged."""
    message = form.text("message")
    flaw = templates.problem(message)
    if flaw is not None:
        label = rule_form.LABELS["message"]
        errors = {"message": f"{say(label)}: {phrase(flaw)}."}
        return await _form(call, rule, rule_form.again(form), errors, status=400)
    return await _form(call, rule, rule_form.again(form), preview=templates.preview(message))


def _channel_label(channel: Channel) -> str:
    face = FACES.get(channel.type)
    kind = channel.type if face is None else say(face.label)
    if channel.is_active:
        return f"{channel.name} ({kind})"
    return say("%(name)s (%(kind)s, off)", name=channel.name, kind=kind)


class _Choices(Struct, frozen=True):
    channels: list[dict[str, str]]
    monitors: list[dict[str, str]]
    truncated: bool
    tags: list[str]


def _choices(conn: Conn, org_id: Id, chosen: Id) -> _Choices:
    ways = channels.page(conn, org_id, limit=MOST_CHANNELS).rows
    listed = monitor_list.choices(conn, org_id, MOST_MONITORS)
    if chosen:
        listed |= monitors.names(conn, org_id, [chosen])
    return _Choices(
        # A form for a new rule begins with the first: one that is in use.
        channels=[
            {"value": one.id, "label": _channel_label(one)}
            for one in sorted(ways, key=lambda one: not one.is_active)
        ],
        monitors=[{"value": id_, "label": name} for id_, name in listed.items()],
        truncated=monitors.count(conn, org_id) > MOST_MONITORS,
        tags=monitor_list.tags(conn, org_id),
    )


async def _form(
    call: Call,
    rule: Rule | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    preview: str | None = None,
    status: int = 200,
) -> Response[bytes]:
    wrong = errors or {}
    zone = str(shown.get("quiet_hours.timezone") or "UTC")
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
        conditions=rule_form.CONDITIONS,
        days=DAYS,
        zone_options=[
            {"value": name, "label": name.replace("_", " ")} for name in zones.offered(zone)
        ],
        placeholders=[
            {"name": name, "about": say(text)} for name, text in templates.PLACEHOLDERS.items()
        ],
        carets={
            "condition": rule_form.pointed(
                str(shown.get("condition") or ""), wrong.get("condition")
            ),
        },
        preview=preview,
        advanced_open=preview is not None
        or bool(rule_form.ADVANCED & wrong.keys())
        or rule_form.is_advanced(shown),
        form=forms.view(shown, errors),
    )


ROUTES = (new_form, create, edit_form, replace, delete_form, delete)
