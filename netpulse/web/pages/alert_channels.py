"""The pages of a channel: making, changing, trying and deleting it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.storage import alert_rules
from netpulse.storage.db import Conn
from netpulse.web import resource
from netpulse.web.api import alert_channels as api
from netpulse.web.api.channel_configs import kind_of
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import alerts, forms, render
from netpulse.web.pages.channel_kinds import FACES, FIRST, Face, config_of, entered, hidden
from netpulse.web.pages.render import redirect

LABELS = {
    "name": "Name",
    "type": "Type",
    "retry_for_seconds": "Keep trying for",
    "max_attempts": "At most",
    "is_active": "Use this channel",
}
BOXES = ("is_active",)
FRESH: dict[str, Any] = {"retry_for_seconds": "86400", "is_active": True}
_FOLDED = frozenset({"retry_for_seconds", "max_attempts", "is_active"})


@page("GET", "/alerts/channels/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show the types there are; with one of them as `type` in the address, its empty form."""
    face = FACES.get(call.request.query_params.get("type", ""))
    if face is None:
        return await _types(call)
    own = "own" if call.house.carrier.mail is None else ""
    return await _form(call, face, None, FRESH | {"type": face.word, "config.server": own})


@page("POST", "/alerts/channels/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one."""
    form = await forms.read(call)
    face = FACES.get(form.text("type"))
    if face is None:
        return await _types(call, status=400)
    try:
        spec = api.CHANNELS.read_spec(_values(face, form))
        await resource.create(api.CHANNELS, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, face, form, None, error)
    return redirect("/alerts", "saved")


@page("GET", "/alerts/channels/{id:str}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    channel = await _stored(call)
    return await _form(call, FACES[channel.type], channel, _entered(channel))


@page("POST", "/alerts/channels/{id:str}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it."""
    channel = await _stored(call)
    face = FACES[channel.type]
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = api.CHANNELS.read_spec(_values(face, form))
        await resource.replace(
            api.CHANNELS,
            call.house,
            call.session,
            channel.id,
            spec,
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, face, form, channel, error)
    return redirect("/alerts", "saved")


@page("POST", "/alerts/channels/{id:str}/test", access=ADMIN)
async def test(call: Call) -> Response[bytes]:
    """Send a test and say what the far side answered."""
    told, status = await what_came_of(call, await _stored(call))
    return await alerts.shown(call, [told], status)


async def what_came_of(call: Call, channel: Channel) -> tuple[dict[str, str], int]:
    """Send a test message through a channel; return what to tell of it, and the status to tell it
    with."""
    try:
        result = await api.send_test(call, channel.id)
    except ApiError as error:
        if error.status != 429:
            raise
        return {"kind": "warning", "text": error.message + "."}, error.status
    took = "" if result.latency_ms is None else f" in {result.latency_ms} ms"
    after = "" if result.latency_ms is None else f" (after {result.latency_ms} ms)"
    code = "" if result.status_code is None else f": HTTP {result.status_code}"
    said = f" It answered: {result.answer[:300]}" if result.answer else ""
    if result.ok:
        text = f"{channel.name} took the test{code}{took}.{said}"
        return {"kind": "success", "text": text}, 200
    text = f"{channel.name} did not take the test{after}: {result.error}.{said}"
    return {"kind": "error", "text": text}, 200


@page("GET", "/alerts/channels/{id:str}/test", access=ADMIN)
async def tested(call: Call) -> Response[bytes]:
    """Lead back: the result of a test stands at this address, and only its sending shows it."""
    await _stored(call)
    return redirect("/alerts")


@page("GET", "/alerts/channels/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    channel = await _stored(call)
    return await render.page(
        call,
        "delete.html",
        active="Alerts",
        question=f"Delete the channel {channel.name}?",
        consequences=await call.session.read(_consequences, channel.id),
        action=f"/alerts/channels/{channel.id}/delete",
        button="Delete the channel",
        back="/alerts",
    )


@page("POST", "/alerts/channels/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it, with the rules that tell by it."""
    channel_id = call.id("id", "alert channel")
    await resource.delete(api.CHANNELS, call.house, call.session, channel_id)
    return redirect("/alerts", "deleted")


def _consequences(conn: Conn, org_id: Id, channel_id: Id) -> list[str]:
    bound = alert_rules.page(conn, org_id, channel_id=channel_id, limit=5)
    found = ["Notices that still wait for it are not sent."]
    if bound.total:
        names = ", ".join(rule.name for rule in bound.rows)
        more = f" and {bound.total - 5} more" if bound.total > 5 else ""
        what = "rule tells by it and goes" if bound.total == 1 else "rules tell by it and go"
        found.append(f"{bound.total} {what} with it: {names}{more}.")
    left = alert_rules.falling_back_to(conn, org_id, channel_id, limit=5)
    if left.total:
        names = ", ".join(rule.name for rule in left.rows)
        more = f" and {left.total - 5} more" if left.total > 5 else ""
        found.append(f"It no longer stands in for another channel: {names}{more}.")
    return found


async def _stored(call: Call) -> Channel:
    channel = await call.session.read(api.CHANNELS.get, call.id("id", "alert channel"))
    if channel is None:
        raise not_found("alert channel")
    return channel


def _values(face: Face, form: forms.Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/alert-channels."""
    found: dict[str, Any] = {
        "name": form.text("name"),
        "type": face.word,
        "config": config_of(face.word, form),
        "is_active": form.checked("is_active"),
        "max_attempts": form.number("max_attempts"),
    }
    if form.text("retry_for_seconds"):
        found["retry_for_seconds"] = form.number("retry_for_seconds")
    return found


def _entered(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "type": channel.type,
        "retry_for_seconds": str(channel.retry_for_seconds),
        "max_attempts": "" if channel.max_attempts is None else str(channel.max_attempts),
        "is_active": channel.is_active,
        **entered(channel),
    }


async def _refused(
    call: Call, face: Face, form: forms.Form, channel: Channel | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, LABELS | face.labels)
    shown = form.again(BOXES, hidden(face.word), "config.headers") | {"type": face.word}
    return await _form(call, face, channel, shown, found, status=error.status)


async def _types(call: Call, *, status: int = 200) -> Response[bytes]:
    shown = [
        {"word": face.word, "label": face.label, "icon": face.icon, "about": face.about}
        for face in FACES.values()
    ]
    return await render.page(
        call,
        "alerts/channel_types.html",
        active="Alerts",
        status=status,
        first=shown[:FIRST],
        others=shown[FIRST:],
        flash=[] if status == 200 else [{"kind": "error", "text": "Choose one of these first."}],
    )


async def _form(
    call: Call,
    face: Face,
    channel: Channel | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    carrier = call.house.carrier
    stored = []
    if channel is not None and channel.damage is None:
        stored = kind_of(channel).set_secrets(channel.config)
    return await render.page(
        call,
        "alerts/channel_form.html",
        active="Alerts",
        status=status,
        channel=None
        if channel is None
        else {
            "id": channel.id,
            "name": channel.name,
            "version": channel.version,
            "problem": channel.damage,
            "disabled_at": None if channel.disabled_at is None else rfc3339(channel.disabled_at),
            "disabled_reason": channel.disabled_reason,
        },
        form=forms.view(shown, errors, stored),
        kind={"word": face.word, "label": face.label},
        has_mail=carrier.mail is not None,
        has_sms=carrier.twilio is not None,
        advanced_open=bool(_FOLDED & (errors or {}).keys()) or not shown.get("is_active"),
    )


ROUTES = (new_form, create, edit_form, replace, test, tested, delete_form, delete)
