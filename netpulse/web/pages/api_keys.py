"""The pages of API keys: what programs sign their requests with."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.api_key import RESOURCES, ApiKey
from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.storage import api_keys, users
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import reading, scopes
from netpulse.web.api import api_keys as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs
from netpulse.web.phrases import phrase
from netpulse.web.scopes import METRICS

HERE = "/settings/api-keys"
LIMIT = 50
LABELS = {"name": mark("Name"), "scopes": mark("What it may do"), "expires_in": mark("Expires")}
ABOUT = {
    "monitors": mark("Monitors"),
    "incidents": mark("Incidents"),
    "alerts": mark("Alerts: channels, rules, notices"),
    "status-pages": mark("Status pages"),
    "maintenance": mark("Maintenance"),
    "org": mark("Organization: its people and settings"),
    "reports": mark("Reports"),
    "agents": mark("Agents"),
}
SINGLE = {"metrics:read": mark("Metrics, for Prometheus"), "audit:read": mark("The audit log")}
EXPIRIES = (
    ("30", mark("in 30 days")),
    ("90", mark("in 90 days")),
    ("365", mark("in a year")),
    ("never", mark("never")),
)
FRESH: dict[str, Any] = {"name": "", "expires_in": "365"}
_USED = frozenset(scopes.RESOURCES.values())
"""What some route of this version asks for."""


class _Listed(Struct, frozen=True):
    keys: Page[ApiKey]
    makers: dict[Id, str]


def _listed(conn: Conn, org_id: Id, offset: int) -> _Listed:
    found = api_keys.page(conn, org_id, offset=offset, limit=LIMIT)
    makers = {}
    for maker in {key.created_by for key in found.rows}:
        user = users.get(conn, maker)
        assert user is not None, "a key's maker exists (foreign key)"
        makers[maker] = user.email
    return _Listed(found, makers)


@page("GET", HERE, access=ADMIN)
async def list_all(call: Call) -> Response[bytes]:
    """List them, the expired ones too."""
    return await _list(call)


@page("GET", f"{HERE}/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form."""
    return await _form(call, FRESH, frozenset())


@page("POST", f"{HERE}/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one, and show it this once."""
    form = await forms.read(call)
    chosen = form.every("scopes")
    values: dict[str, Any] = {"name": form.text("name"), "scopes": chosen}
    try:
        values["expires_at"] = _expiry(form.text("expires_in"), call.now)
        spec = reading.into(api.KeySpec, values)
        key, text = await api.make(call.house, call.session, spec)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        if "scopes" in found and not chosen:
            found["scopes"] = say("What it may do: choose at least one.")
        return await _form(call, form.again([], []), frozenset(chosen), found, status=error.status)
    return await _list(call, key, text)


def _expiry(chosen: str, now: Millis) -> str | None:
    """Return when a key made now expires, as the API takes it.

    Raises:
        ApiError: 400 for what the form does not offer.
    """
    if chosen not in dict(EXPIRIES):
        raise invalid([Problem("$.expires_in", mark("choose one of the list"))])
    return None if chosen == "never" else rfc3339(now + int(chosen) * DAY)


@page("GET", f"{HERE}/{{id:str}}/rotate", access=ADMIN)
async def rotate_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    key = await _stored(call)
    consequences = [
        say("The key as it is now ends at once: what uses it must be given the new one.")
    ]
    if key.created_by != call.session.user.id:
        consequences.append(say("From then on it is yours, and may never do more than you may."))
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say("Give the key %(name)s another secret?", name=key.name),
        consequences=consequences,
        action=f"{HERE}/{key.id}/rotate",
        symbol="refresh",
        button=say("Rotate the key"),
        back=HERE,
    )


@page("POST", f"{HERE}/{{id:str}}/rotate", access=ADMIN)
async def rotate(call: Call) -> Response[bytes]:
    """Give it another secret, and show it this once."""
    key = await _stored(call)
    try:
        key, text = await api.rotate(call.house, call.session, key.id)
    except ApiError as error:
        if error.status != 409:
            raise
        told = [{"kind": "warning", "text": phrase(error.message) + "."}]
        return await _list(call, flash=told, status=error.status)
    return await _list(call, key, text)


@page("GET", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def revoke_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    key = await _stored(call)
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say("Revoke the key %(name)s?", name=key.name),
        consequences=[say("The next request with it is refused. What it has made stays.")],
        action=f"{HERE}/{key.id}/delete",
        button=say("Revoke the key"),
        back=HERE,
    )


@page("POST", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def revoke(call: Call) -> Response[bytes]:
    """Revoke it."""
    await api.revoke(call.session, call.id("id", "api key"))
    return redirect(HERE, "revoked")


async def _stored(call: Call) -> ApiKey:
    key = await call.session.read(api_keys.get, call.id("id", "api key"))
    if key is None:
        raise not_found("api key")
    return key


async def _list(
    call: Call,
    key: ApiKey | None = None,
    text: str = "",
    *,
    flash: list[dict[str, str]] | None = None,
    status: int = 200,
) -> Response[bytes]:
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    seen = await call.session.read(_listed, (at - 1) * LIMIT)
    shown: dict[str, Any] = {} if flash is None else {"flash": flash}
    return await render.page(
        call,
        "settings/api_keys.html",
        active="Settings",
        status=status,
        tabs=tabs(call.session, "API keys"),
        keys=[_row(one, seen.makers[one.created_by], call.now) for one in seen.keys.rows],
        pager=pager(HERE, {}, at, LIMIT, seen.keys.total),
        made=None if key is None else {"name": key.name, "text": text},
        base=call.base,
        **shown,
    )


def _row(key: ApiKey, maker: str, now: Millis) -> dict[str, Any]:
    answer = api.shown(key)
    return {
        "id": answer.id,
        "name": answer.name,
        "prefix": answer.prefix,
        "scopes": answer.scopes,
        "maker": maker,
        "last_used_at": answer.last_used_at,
        "expires_at": answer.expires_at,
        "is_expired": key.expires_at is not None and key.expires_at <= now,
        "created_at": answer.created_at,
    }


async def _form(
    call: Call,
    entered: dict[str, Any],
    chosen: frozenset[str],
    errors: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    return await render.page(
        call,
        "settings/api_key_form.html",
        active="Settings",
        status=status,
        tabs=tabs(call.session, "API keys"),
        form=forms.view(entered, errors),
        chosen=chosen,
        resources=[
            {"name": name, "label": say(ABOUT[name])} for name in RESOURCES if name in _USED
        ],
        singles=[
            {"value": value, "label": say(label)}
            for value, label in SINGLE.items()
            if value == METRICS or value.partition(":")[0] in _USED
        ],
        expiries=[{"value": value, "label": say(label)} for value, label in EXPIRIES],
    )


ROUTES = (list_all, new_form, create, rotate_form, rotate, revoke_form, revoke)
