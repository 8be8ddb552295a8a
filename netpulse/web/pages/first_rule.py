"""The step after the setup: who is told, by mail or by a webhook, when anything goes down.

One small form makes a channel and a rule about every monitor, both or neither. It can be passed
over; the first steps on the dashboard lead back to it.
"""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.storage import alert_rules, channels
from netpulse.storage.db import Conn
from netpulse.web.api import alert_channels as api
from netpulse.web.api.alert_rules import RULES
from netpulse.web.api.alert_rules import shown as shown_rule
from netpulse.web.api.channel_configs import AnySpec
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.alert_channels import what_came_of
from netpulse.web.pages.render import redirect
from netpulse.web.session import Deed

HERE = "/setup/alerts"
LABELS = {"how": mark("How"), "to": mark("Mail address"), "url": mark("Address of the webhook")}
_FIELDS = {"config.to": "to", "config.url": "url"}
"""By the path of the API: the field of this form."""


@page("GET", HERE, access=ADMIN)
async def look(call: Call) -> Response[bytes]:
    """Show the form, or who is told already."""
    return await _page(call, forms.view(_fresh(call)))


def _fresh(call: Call) -> dict[str, Any]:
    has_mail = call.house.carrier.mail is not None
    return {"how": "mail" if has_mail else "webhook", "to": call.session.user.email}


@page("POST", HERE, access=ADMIN)
async def make(call: Call) -> Response[bytes]:
    """Make the channel and the rule."""
    form = await forms.read(call)
    try:
        spec, rule_name = _asked(call, form)
        await call.session.change(lambda deed: _make(deed, spec, rule_name))
    except ApiError as error:
        found = forms.problems(_named(error), LABELS)
        shown = forms.view(_fresh(call) | form.again([], []), found)
        return await _page(call, shown, status=error.status)
    call.house.engine.notices_written()
    call.house.engine.rules_changed(call.session.org_id)
    return redirect(HERE, "first-rule")


def _asked(call: Call, form: forms.Form) -> tuple[AnySpec, str]:
    """Return the channel that was asked for, and what its rule is called: the thread of the change
    knows no language. Raises ApiError (400) for what the channel cannot be."""
    name, kind = say("Webhook"), "webhook"
    config: dict[str, Any] = {"url": form.text("url")}
    if form.text("how") == "mail" and call.house.carrier.mail is not None:
        to = form.text("to")
        name, kind, config = say("Mail to %(to)s", to=to)[:200], "email", {"to": [to]}
    spec = api.CHANNELS.read_spec({"name": name, "type": kind, "config": config})
    return spec, say("Anything is down")


def _make(deed: Deed, spec: AnySpec, rule_name: str) -> None:
    channel = api.CHANNELS.insert(deed, spec)
    noted = api.CHANNELS.record(channel)
    deed.note("alert_channel.created", "alert_channel", channel.id, after=noted)
    asked = RULES.read_spec({"channel_id": channel.id, "name": rule_name})
    rule = RULES.insert(deed, asked)
    deed.note("alert_rule.created", "alert_rule", rule.id, after=shown_rule(rule))


def _named(error: ApiError) -> ApiError:
    """Return an error of the API under the names that the fields have here."""
    listed = [
        each | {"path": f"$.{_FIELDS.get(_plain(each['path']), _plain(each['path']))}"}
        for each in error.details.get("errors", [])
    ]
    details = error.details | {"errors": listed}
    return ApiError(error.status, error.code, error.message, details=details, headers=error.headers)


def _plain(path: str) -> str:
    return path.removeprefix("$.").partition("[")[0]


@page("POST", "/setup/channels/{id:str}/test", access=ADMIN)
async def test(call: Call) -> Response[bytes]:
    """Send a test message, and say what came of it."""
    channel = await call.session.read(channels.get, call.id("id", "alert channel"))
    if channel is None:
        raise not_found("alert channel")
    told, status = await what_came_of(call, channel)
    return await _page(call, forms.view(_fresh(call)), status=status, flash=[told])


@page("GET", "/setup/channels/{id:str}/test", access=ADMIN)
async def tested(call: Call) -> Response[bytes]:
    """Lead back: the result of a test stands at this address, and only its sending shows it."""
    if await call.session.read(channels.get, call.id("id", "alert channel")) is None:
        raise not_found("alert channel")
    return redirect(HERE)


def _told(conn: Conn, org_id: Id) -> list[Channel]:
    """Return the channels by which somebody is told of every monitor that goes down."""
    found = {
        rule.channel_id: channels.get(conn, org_id, rule.channel_id)
        for rule in alert_rules.telling_of_down(conn, org_id)
        if rule.monitor_id is None and rule.tag is None
    }
    return [channel for channel in found.values() if channel is not None]


async def _page(
    call: Call, form: dict[str, Any], *, status: int = 200, **shown: Any
) -> Response[bytes]:
    told = await call.session.read(_told)
    return await render.page(
        call,
        "first_rule.html",
        status=status,
        form=form,
        has_mail=call.house.carrier.mail is not None,
        channels=[{"id": one.id, "name": one.name} for one in told],
        **shown,
    )


ROUTES = (look, make, test, tested)
