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
from netpulse.web.api.client_answers import role_in
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import forms, render, rollup, switcher, zones
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs

LIMIT = 20
LABELS = {
    "name": mark("Name"),
    "slug": mark("Slug"),
    "plan": mark("Plan"),
    "timezone": mark("Time zone"),
    "quotas.monitors": mark("Monitors"),
    "quotas.users": mark("People"),
    "quotas.retention_days": mark("Results of"),
    "quotas.private_targets": mark("May watch private addresses"),
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
    role = role_in(call.session, client)
    counts = call.house.engine.roster.counts(client.org.id)
    return {
        "id": client.org.id,
        "name": client.org.name,
        "slug": client.org.slug,
        "plan": client.org.plan,
        "quotas": structs.asdict(client.org.quotas),
        "usage": structs.asdict(client.used),
        "role_label": None if role is None else say(switcher.ROLE_LABELS[role]),
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
        question=say("Delete the client %(name)s?", name=client.org.name),
        consequences=list(_consequences(holdings)),
        action=f"/settings/clients/{client.org.id}/delete",
        button=say("Delete the client"),
        back="/settings/clients",
    )


@page("POST", "/settings/clients/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    await api.delete(call.house, call.session, call.id("id", api.NOUN))
    return redirect("/settings/clients", "deleted")


def _consequences(going: Holdings) -> list[str]:
    found = []
    if going.monitors:
        found.append(
            plural(
                going.monitors,
                "%(num)s monitor is watched no more; what is down is closed, and no recovery"
                " is told.",
                "%(num)s monitors are watched no more; what is down is closed, and no recovery"
                " is told.",
            )
        )
    if going.members:
        out = plural(
            going.members, "%(num)s person is out at once", "%(num)s people are out at once"
        )
        if going.accounts:
            out = plural(
                going.accounts,
                "%(out)s, and %(num)s account that belongs nowhere else is deleted",
                "%(out)s, and %(num)s accounts that belong nowhere else are deleted",
                out=out,
            )
        found.append(out + ".")
    rest = [
        *_some(
            going.invitations,
            plural(going.invitations, "%(num)s invitation", "%(num)s invitations"),
        ),
        *_some(going.keys, plural(going.keys, "%(num)s API key", "%(num)s API keys")),
        *_some(
            going.channels,
            plural(going.channels, "%(num)s alert channel", "%(num)s alert channels"),
        ),
        *_some(
            going.maintenance,
            plural(
                going.maintenance, "%(num)s planned maintenance", "%(num)s planned maintenances"
            ),
        ),
        *_some(
            going.status_pages,
            plural(going.status_pages, "%(num)s status page", "%(num)s status pages"),
        ),
    ]
    if rest:
        found.append(say("With it go %(rest)s, and every alert rule.", rest=", ".join(rest)))
    if going.grants:
        found.append(
            plural(
                going.grants,
                "%(num)s person of yours can enter it no more.",
                "%(num)s people of yours can enter it no more.",
            )
        )
    return [*found, say("Its audit log stays; everything else cannot be brought back.")]


def _some(n: int, words: str) -> list[str]:
    return [words] if n else []


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
        zones=zones.offered(str(shown.get("timezone") or "UTC")),
    )


def in_words(quotas: Quotas) -> str:
    """Return what quotas allow, in a few words."""
    parts = [
        say("any number of monitors")
        if quotas.monitors is None
        else plural(quotas.monitors, "%(num)s monitor", "%(num)s monitors"),
        say("any number of people")
        if quotas.users is None
        else plural(quotas.users, "%(num)s person", "%(num)s people"),
    ]
    if quotas.retention_days is not None:
        parts.append(
            plural(quotas.retention_days, "results of %(num)s day", "results of %(num)s days")
        )
    private = quotas.private_targets
    parts.append(say("private addresses too") if private else say("public addresses only"))
    return ", ".join(parts)


ROUTES = (list_all, new_form, create, edit_form, change, delete_form, delete)
