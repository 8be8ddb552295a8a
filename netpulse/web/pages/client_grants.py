"""Who of the provider's people may enter a client: the page where that is given and taken back."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id, is_id
from netpulse.model.org import Org
from netpulse.model.time import Millis, rfc3339
from netpulse.storage import clients, members, users
from netpulse.storage.db import Conn
from netpulse.storage.users import Member
from netpulse.web.api import clients as clients_api
from netpulse.web.api import grants as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render, switcher
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs

MOST = 500
"""People that can be chosen from; the API knows no such bound, and every grant is listed."""
_ALL = 1_000_000
LABELS = {"user_id": mark("Who"), "role": mark("Role")}


class _Seen(Struct, frozen=True):
    client: Org
    granted: list[Member]
    others: list[Member]
    """Active members of the provider who have no access yet."""


def _seen(conn: Conn, org_id: Id, client_id: Id, now: Millis) -> _Seen | None:
    client = clients.get(conn, org_id, client_id, now)
    if client is None:
        return None
    there = {one.user.id: one for one in users.page(conn, client_id, limit=_ALL).rows}
    own = users.page(conn, org_id, limit=MOST).rows
    return _Seen(
        client=client.org,
        granted=[one for one in there.values() if one.membership.is_grant],
        others=[
            one
            for one in own
            if one.membership.is_active and one.user.is_active and one.user.id not in there
        ],
    )


@page("GET", "/settings/clients/{id:str}/grants", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """Show who may enter it, and who else could."""
    return await _page(call, forms.view({"role": "viewer"}))


@page("POST", "/settings/clients/{id:str}/grants", access=ADMIN)
async def put(call: Call) -> Response[bytes]:
    """Give somebody rights there, or change them."""
    client = await clients_api.stored(call.session, call.id("id", clients_api.NOUN))
    form = await forms.read(call)
    user_id, role = form.text("user_id"), api.ROLES.get(form.text("role"))
    try:
        if not is_id(user_id):
            raise invalid([Problem("$.user_id", mark("choose one of your people"))])
        if role is None:
            raise invalid([Problem("$.role", mark("choose one"))])
        await api.put(call.house, call.session, client.org.id, user_id, role)
    except ApiError as error:
        if error.status == 404:
            raise
        shown = forms.view(form.again([], []), forms.problems(error, LABELS))
        return await _page(call, shown, status=error.status)
    return redirect(f"/settings/clients/{client.org.id}/grants", "saved")


@page("GET", "/settings/clients/{id:str}/grants/{user_id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    client_id, user_id = call.id("id", clients_api.NOUN), call.id("user_id", "member")
    client = await clients_api.stored(call.session, client_id)
    found = await call.session.read(_granted, client_id, user_id)
    if found is None:
        raise not_found("member")
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say(
            "Take %(email)s's access to %(name)s back?",
            email=found.user.email,
            name=client.org.name,
        ),
        consequences=[
            say("It counts at once; pages that they have open there end."),
            say("API keys that they made there are revoked, and their open invitations withdrawn."),
        ],
        action=f"/settings/clients/{client_id}/grants/{user_id}/delete",
        button=say("Take it back"),
        back=f"/settings/clients/{client_id}/grants",
    )


@page("POST", "/settings/clients/{id:str}/grants/{user_id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Take it back."""
    client_id = call.id("id", clients_api.NOUN)
    await api.end(call.house, call.session, client_id, call.id("user_id", "member"))
    return redirect(f"/settings/clients/{client_id}/grants", "taken-back")


def _granted(conn: Conn, org_id: Id, client_id: Id, user_id: Id) -> Member | None:
    """Return somebody's grant in a client; of a member of the provider without one, themselves."""
    there = members.get(conn, client_id, user_id)
    if there is not None and there.membership.is_grant:
        return there
    return members.get(conn, org_id, user_id)


async def _page(call: Call, form: dict[str, Any], *, status: int = 200) -> Response[bytes]:
    seen = await call.session.read(_seen, call.id("id", clients_api.NOUN), call.now)
    if seen is None:
        raise not_found(clients_api.NOUN)
    return await render.page(
        call,
        "settings/client_grants.html",
        active="Settings",
        status=status,
        tabs=tabs(call.session, "Clients"),
        client={"id": seen.client.id, "name": seen.client.name},
        grants=[_row(call, one) for one in seen.granted],
        people=[{"value": one.user.id, "label": one.user.email} for one in seen.others],
        form=form,
    )


def _row(call: Call, member: Member) -> dict[str, Any]:
    grant = member.membership
    return {
        "id": member.user.id,
        "email": member.user.email,
        "role": grant.role.word,
        "role_label": say(switcher.ROLE_LABELS[grant.role]),
        "is_active": grant.is_active and member.user.is_active,
        "is_you": member.user.id == call.session.user.id,
        "created_at": rfc3339(grant.created_at),
    }


ROUTES = (show, put, delete_form, delete)
