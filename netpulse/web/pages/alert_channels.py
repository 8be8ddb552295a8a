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
from netpulse.web.figures import listed, ms
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import alerts, forms, render
from netpulse.web.pages.channel_kinds import FACES, FIRST, Face, config_of, entered, hidden
from netpulse.web.pages.render import redirect
from netpulse.web.phrases import refusal

LABELS = {
    "name": mark("Name"),
    "type": mark("Type"),
    "retry_for_seconds": mark("Keep trying for"),
    "max_attempts": mark("At most"),
    "is_active": mark("Use this channel"),
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
        return {"kind": "warning", "text": refusal(error) + "."}, error.status
    code = "" if result.status_code is None else f": HTTP {result.status_code}"
    latency = None if result.latency_ms is None else ms(result.latency_ms)
    name = channel.name
    if result.ok and latency is None:
        text = say("%(name)s took the test%(code)s.", name=name, code=code)
    elif result.ok:
        text = say(
            "%(name)s took the test%(code)s in %(time)s.", name=name, code=code, time=latency
        )
    elif latency is None:
        text = say("%(name)s did not take the test: %(error)s.", name=name, error=result.error)
    else:
        text = say(
            "%(name)s did not take the test (after %(time)s): %(error)s.",
            name=name,
            time=latency,
            error=result.error,
        )
    if result.answer:
        text += " " + say("It answered: %(answer)s", answer=result.answer[:300])
    return {"kind": "success" if result.ok else "error", "text": text}, 200


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
        question=say("Delete the channel %(name)s?", name=channel.name),
        consequences=await call.session.read(_consequences, channel.id),
        action=f"/alerts/channels/{channel.id}/delete",
        button=say("Delete the channel"),
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
    found = [say("Notices that still wait for it are not sent.")]
    if bound.total:
        found.append(
            plural(
                bound.total,
                "%(num)s rule tells by it and goes with it: %(names)s.",
                "%(num)s rules tell by it and go with it: %(names)s.",
                names=listed((rule.name for rule in bound.rows), bound.total - 5),
            )
        )
    left = alert_rules.falling_back_to(conn, org_id, channel_id, limit=5)
    if left.total:
        names = listed((rule.name for rule in left.rows), left.total - 5)
        found.append(say("It no longer stands in for another channel: %(names)s.", names=names))
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
        {"word": face.word, "label": say(face.label), "icon": face.icon, "about": say(face.about)}
        for face in FACES.values()
    ]
    return await render.page(
        call,
        "alerts/channel_types.html",
        active="Alerts",
        status=status,
        first=shown[:FIRST],
        others=shown[FIRST:],
        flash=[]
        if status == 200
        else [{"kind": "error", "text": say("Choose one of these first.")}],
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
        kind={"word": face.word, "label": say(face.label)},
        has_mail=carrier.mail is not None,
        has_sms=carrier.twilio is not None,
        advanced_open=bool(_FOLDED & (errors or {}).keys()) or not shown.get("is_active"),
    )


ROUTES = (new_form, create, edit_form, replace, test, tested, delete_form, delete)
