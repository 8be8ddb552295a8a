"""The clients among the settings: their list, making, changing and deleting one."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import structs

from netpulse.model.org import Org, Quotas
from netpulse.model.watch import Status
from netpulse.storage import clients
from netpulse.storage.clients import Client
from netpulse.storage.closing import Holdings
from netpulse.web.api import clients as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import forms, render, rollup, rule_form, switcher
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs

LIMIT = 20
LABELS = {
    "name": "Name",
    "slug": "Slug",
    "plan": "Plan",
    "timezone": "Time zone",
    "quotas.monitors": "Monitors",
    "quotas.users": "People",
    "quotas.retention_days": "Results of",
    "quotas.private_targets": "May watch private addresses",
}
BOXES = ("quotas.private_targets",)
OWN, PLAN = "own", "plan"
FRESH = {"plan": "free", "timezone": "UTC"}


@page("GET", "/settings/clients", access=ADMIN)
async def list_all(call: Call) -> Response[bytes]:
    """Show them by name, or those that fit what is searched for."""
    given, session = call.request.query_params, call.session
    q = given.get("q", "").strip()[:200]
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await session.read(
        clients.page, q=q, offset=(at - 1) * LIMIT, limit=LIMIT, now=call.now
    )
    return await render.page(
        call,
        "settings/clients.html",
        active="Settings",
        tabs=tabs(session, "Clients"),
        clients=[_row(call, client) for client in found.rows],
        pager=pager("/settings/clients", {"q": q}, at, LIMIT, found.total),
        q=q,
        is_client=session.org.parent_id is not None,
    )


def _row(call: Call, client: Client) -> dict[str, Any]:
    role = api.role_in(call.session, client)
    counts = call.house.engine.roster.counts(client.org.id)
    return {
        "id": client.org.id,
        "name": client.org.name,
        "slug": client.org.slug,
        "plan": client.org.plan,
        "quotas": structs.asdict(client.org.quotas),
        "usage": structs.asdict(client.used),
        "role_label": None if role is None else switcher.ROLE_LABELS[role],
        "status": None if role is None else rollup.state_of(counts),
        "down": counts[Status.DOWN],
    }


@page("GET", "/settings/clients/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form."""
    plans = await call.session.read(clients.plans)
    shown = FRESH | {"limits": PLAN if plans else OWN}
    if plans:
        shown["plan"] = next(iter(plans))
    return await _form(call, None, shown)


@page("POST", "/settings/clients/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one."""
    form = await forms.read(call)
    try:
        await api.create(call.house, call.session, api.read_spec(_values(form)))
    except ApiError as error:
        return await _refused(call, None, form, error)
    return redirect("/settings/clients", "client-made")


@page("GET", "/settings/clients/{id:str}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    client = await _stored(call)
    return await _form(call, client.org, _entered(client.org))


@page("POST", "/settings/clients/{id:str}", access=ADMIN)
async def change(call: Call) -> Response[bytes]:
    """Change it."""
    client = await _stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        await api.change(
            call.house,
            call.session,
            client.org.id,
            api.read_spec(_values(form)),
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, client.org, form, error)
    return redirect("/settings/clients", "saved")


@page("GET", "/settings/clients/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    client = await _stored(call)
    holdings = await call.session.read(api.going, client.org.id, call.now)
    if holdings is None:
        raise not_found(api.NOUN)
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=f"Delete the client {client.org.name}?",
        consequences=list(_consequences(holdings)),
        action=f"/settings/clients/{client.org.id}/delete",
        button="Delete the client",
        back="/settings/clients",
    )


@page("POST", "/settings/clients/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    await api.delete(call.house, call.session, call.id("id", api.NOUN))
    return redirect("/settings/clients", "deleted")


def _consequences(going: Holdings) -> list[str]:
    def many(count: int, one: str, several: str) -> str:
        return f"1 {one}" if count == 1 else f"{count} {several}"

    found = []
    if going.monitors:
        what = many(going.monitors, "monitor is", "monitors are")
        found.append(f"{what} watched no more; what is down is closed, and no recovery is told.")
    if going.members:
        what = many(going.members, "person is", "people are")
        alone = many(going.accounts, "account that belongs", "accounts that belong")
        also = f", and {alone} nowhere else is deleted" if going.accounts == 1 else ""
        if going.accounts > 1:
            also = f", and {alone} nowhere else are deleted"
        found.append(f"{what} out at once{also}.")
    rest = [
        many(count, one, several)
        for count, one, several in (
            (going.invitations, "invitation", "invitations"),
            (going.keys, "API key", "API keys"),
            (going.channels, "alert channel", "alert channels"),
            (going.maintenance, "planned maintenance", "planned maintenances"),
            (going.status_pages, "status page", "status pages"),
        )
        if count
    ]
    if rest:
        found.append(f"With it go {', '.join(rest)}, and every alert rule.")
    if going.grants:
        what = many(going.grants, "person", "people")
        found.append(f"{what} of yours can enter it no more.")
    return [*found, "Its audit log stays; everything else cannot be brought back."]


async def _stored(call: Call) -> Client:
    return await api.stored(call.session, call.id("id", api.NOUN))


def _values(form: forms.Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/org/clients."""
    found: dict[str, Any] = {
        "name": form.text("name"),
        "plan": form.text("plan"),
        "timezone": form.text("timezone"),
    }
    if form.text("slug"):
        found["slug"] = form.text("slug")
    if form.text("limits") != PLAN:
        found["quotas"] = {
            "monitors": form.number("quotas.monitors"),
            "users": form.number("quotas.users"),
            "retention_days": form.number("quotas.retention_days"),
            "private_targets": form.checked("quotas.private_targets"),
        }
    return found


def _entered(org: Org) -> dict[str, Any]:
    def text(limit: int | None) -> str:
        return "" if limit is None else str(limit)

    return {
        "name": org.name,
        "plan": org.plan,
        "timezone": org.timezone,
        "limits": OWN,
        "quotas.monitors": text(org.quotas.monitors),
        "quotas.users": text(org.quotas.users),
        "quotas.retention_days": text(org.quotas.retention_days),
        "quotas.private_targets": org.quotas.private_targets,
    }


async def _refused(
    call: Call, org: Org | None, form: forms.Form, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, LABELS)
    return await _form(call, org, form.again(BOXES, []), found, status=error.status)


async def _form(
    call: Call,
    org: Org | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    plans = await call.session.read(clients.plans)
    return await render.page(
        call,
        "settings/client_form.html",
        active="Settings",
        status=status,
        tabs=tabs(call.session, "Clients"),
        client=None
        if org is None
        else {"id": org.id, "name": org.name, "slug": org.slug, "version": org.version},
        form=forms.view(shown, errors),
        plans=[{"name": name, "text": in_words(quotas)} for name, quotas in plans.items()],
        zones=rule_form.zones(str(shown.get("timezone") or "UTC")),
    )


def in_words(quotas: Quotas) -> str:
    """Return what quotas allow, in a few words."""
    parts = [
        "any number of monitors" if quotas.monitors is None else f"{quotas.monitors} monitors",
        "any number of people" if quotas.users is None else f"{quotas.users} people",
    ]
    if quotas.retention_days is not None:
        parts.append(f"results of {quotas.retention_days} days")
    parts.append("private addresses too" if quotas.private_targets else "public addresses only")
    return ", ".join(parts)


ROUTES = (list_all, new_form, create, edit_form, change, delete_form, delete)
