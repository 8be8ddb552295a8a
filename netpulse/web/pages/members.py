"""The pages of an organization's people: who belongs to it, and who was asked."""

from __future__ import annotations

from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.invitation import Invitation
from netpulse.model.time import Millis, rfc3339
from netpulse.model.user import Role
from netpulse.rules import members as rules
from netpulse.rules.members import Standing
from netpulse.storage import api_keys, members, users
from netpulse.storage import invitations as stored_invitations
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.storage.users import Member
from netpulse.web import reading
from netpulse.web.api import invitations as invitations_api
from netpulse.web.api import members as api
from netpulse.web.api.invitations import InvitationSpec, Listed, Made
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.figures import listed
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.pages.settings import tabs
from netpulse.web.phrases import phrase
from netpulse.web.session import OrgSession

HERE = "/settings/members"
LIMIT = 50
MOST_INVITATIONS = 100
LABELS = {"email": mark("Email address"), "role": mark("Role"), "is_active": mark("May come in")}
INVITING = {"email": "", "role": "viewer"}


class _Seen(Struct, frozen=True):
    people: Page[Member]
    asked: Page[Listed]


def _look(conn: Conn, org_id: Id, offset: int, *, with_asked: bool) -> _Seen:
    asked: Page[Listed] = Page([], 0)
    if with_asked:
        asked = invitations_api.listed(conn, org_id, 0, MOST_INVITATIONS)
    return _Seen(users.page(conn, org_id, offset=offset, limit=LIMIT), asked)


@page("GET", HERE, access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List the members, and for administrators the open invitations."""
    return await _list(call, forms.view(INVITING))


@page("POST", f"{HERE}/invite", access=ADMIN)
async def invite(call: Call) -> Response[bytes]:
    """Invite somebody, and show the link this once."""
    form = await forms.read(call)
    try:
        values = {"email": form.text("email"), "role": form.text("role")}
        spec = reading.into(InvitationSpec, values)
        made = await invitations_api.invite(call.house, call.session, spec)
    except ApiError as error:
        shown = forms.view(form.again([], []), forms.problems(error, LABELS))
        return await _refused(call, shown, error)
    return await _list(call, forms.view(INVITING), made)


@page("GET", f"{HERE}/invite", access=ADMIN)
async def invited(call: Call) -> Response[bytes]:
    """Lead back: a link stands at this address, and only its making shows it."""
    del call
    return redirect(HERE)


@page("POST", "/settings/invitations/{id:str}/resend", access=ADMIN)
async def resend(call: Call) -> Response[bytes]:
    """Send an invitation again, and show its new link this once."""
    invitation = await _asked(call)
    try:
        made = await invitations_api.resend(call.house, call.session, invitation.id)
    except ApiError as error:
        return await _refused(call, forms.view(INVITING, forms.problems(error, {})), error)
    return await _list(call, forms.view(INVITING), made)


@page("GET", "/settings/invitations/{id:str}/resend", access=ADMIN)
async def resent(call: Call) -> Response[bytes]:
    """Lead back, as after inviting."""
    await _asked(call)
    return redirect(HERE)


@page("GET", "/settings/invitations/{id:str}/delete", access=ADMIN)
async def revoke_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    invitation = await _asked(call)
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say("Withdraw the invitation of %(email)s?", email=invitation.email),
        consequences=[say("Its link leads nowhere from then on.")],
        action=f"/settings/invitations/{invitation.id}/delete",
        button=say("Withdraw the invitation"),
        back=HERE,
    )


@page("POST", "/settings/invitations/{id:str}/delete", access=ADMIN)
async def revoke(call: Call) -> Response[bytes]:
    """Withdraw it."""
    await invitations_api.revoke(call.session, call.id("id", "invitation"))
    return redirect(HERE, "withdrawn")


@page("GET", f"{HERE}/{{id:str}}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show what a member may do here, and what may be done about them."""
    member = await _stored(call)
    membership = member.membership
    entered = {"role": membership.role.word, "is_active": membership.is_active}
    return await _form(call, member, forms.view(entered))


@page("POST", f"{HERE}/{{id:str}}", access=ADMIN)
async def change(call: Call) -> Response[bytes]:
    """Change it."""
    member = await _stored(call)
    form = await forms.read(call)
    try:
        values: dict[str, Any] = {"is_active": form.checked("is_active")}
        if form.text("role"):
            values["role"] = form.text("role")
        wanted = reading.into(api.MemberPatch, values)
        await api.change(call.house, call.session, member.user.id, wanted)
    except ApiError as error:
        shown = forms.view(form.again(["is_active"], []), forms.problems(error, LABELS))
        return await _form(call, member, shown, status=error.status)
    return redirect(HERE, "saved")


@page("GET", f"{HERE}/{{id:str}}/reset-2fa", access=ADMIN)
async def reset_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    member = await _within_reach(call)
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say("Reset the second factor of %(email)s?", email=member.user.email),
        consequences=[
            say("They sign in with their password alone until they set up another one."),
            say("All their sessions end now."),
            say("Make sure that it is really they who ask: whoever knows the password is in then."),
        ],
        action=f"{HERE}/{member.user.id}/reset-2fa",
        button=say("Reset the second factor"),
        back=f"{HERE}/{member.user.id}",
    )


@page("POST", f"{HERE}/{{id:str}}/reset-2fa", access=ADMIN)
async def reset(call: Call) -> Response[bytes]:
    """Reset it."""
    await api.reset_second_factor(call.house, call.session, call.id("id", "member"))
    return redirect(HERE, "second-factor-reset")


@page("GET", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def remove_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    member = await _within_reach(call)
    return await render.page(
        call,
        "delete.html",
        active="Settings",
        question=say("Remove %(email)s from the organization?", email=member.user.email),
        consequences=await call.session.read(_consequences, member.user.id, call.now),
        action=f"{HERE}/{member.user.id}/delete",
        button=say("Remove"),
        back=f"{HERE}/{member.user.id}",
    )


@page("POST", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def remove(call: Call) -> Response[bytes]:
    """Remove them."""
    await api.remove(call.house, call.session, call.id("id", "member"))
    return redirect(HERE, "removed")


_OUT = mark(
    "They are out at once. Where they belong to no other organization, their account is deleted."
)


def _consequences(conn: Conn, org_id: Id, user_id: Id, now: Millis) -> list[str]:
    found = [say(_OUT)]
    keys = sorted(key.name for key in api_keys.made_by(conn, org_id, user_id))
    if keys:
        found.append(
            plural(
                len(keys),
                "%(num)s API key that they made is revoked: %(names)s.",
                "%(num)s API keys that they made are revoked: %(names)s.",
                names=listed(keys[:5], len(keys) - 5),
            )
        )
    made = stored_invitations.made_by(conn, org_id, user_id, now)
    if made:
        names = listed((one.email for one in made[:5]), len(made) - 5)
        found.append(say("Invitations that they made are withdrawn: %(names)s.", names=names))
    found.append(
        say("Monitors, rules and all that they made else stay, and so does the audit log.")
    )
    return found


async def _stored(call: Call) -> Member:
    member = await call.session.read(members.get, call.id("id", "member"))
    if member is None:
        raise not_found("member")
    return member


async def _within_reach(call: Call) -> Member:
    """Return the member whom the address names, if anything may be done about them."""
    member = await _stored(call)
    api.refused(rules.handling(_standing(call.session), member.membership))
    return member


async def _asked(call: Call) -> Invitation:
    invitation = await call.session.read(stored_invitations.get, call.id("id", "invitation"))
    if invitation is None:
        raise not_found("invitation")
    return invitation


def _standing(session: OrgSession) -> Standing:
    return Standing(session.user.id, session.role)


async def _refused(call: Call, form: dict[str, Any], error: ApiError) -> Response[bytes]:
    call.headers.update(error.headers)
    return await _list(call, form, status=error.status)


async def _list(
    call: Call, form: dict[str, Any], made: Made | None = None, *, status: int = 200
) -> Response[bytes]:
    session = call.session
    can_write = session.role >= Role.ADMIN
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    seen = await session.read(_look, (at - 1) * LIMIT, with_asked=can_write)
    return await render.page(
        call,
        "settings/members.html",
        active="Settings",
        status=status,
        tabs=tabs(session, "Members"),
        members=[_row(session, member) for member in seen.people.rows],
        pager=pager(HERE, {}, at, LIMIT, seen.people.total),
        invitations=[_asked_row(one, call.now) for one in seen.asked.rows],
        invitations_total=seen.asked.total,
        form=form,
        made=None if made is None else _made(call, made),
    )


def _row(session: OrgSession, member: Member) -> dict[str, Any]:
    answer = api.shown(member, session.role)
    return {
        "id": answer.id,
        "email": answer.email,
        "role_label": _label(member.membership.role),
        "is_active": answer.is_active,
        "is_grant": answer.is_grant,
        "is_you": answer.id == session.user.id,
        "totp_enabled": answer.totp_enabled,
        "last_login_at": answer.last_login_at,
        "created_at": answer.created_at,
        "can_change": rules.handling(_standing(session), member.membership) is None,
    }


def _asked_row(listed: Listed, now: Millis) -> dict[str, Any]:
    invitation = listed.invitation
    return {
        "id": invitation.id,
        "email": invitation.email,
        "role_label": _label(invitation.role),
        "invited_by": listed.inviter,
        "is_expired": not invitation.is_open(now),
        "expires_at": rfc3339(invitation.expires_at),
        "mailed": listed.mailed,
        "mail_news": listed.mail_news,
        "mail_said": phrase(listed.mail_news or ""),
    }


def _made(call: Call, made: Made) -> dict[str, Any]:
    listed = made.listed
    url = made.url
    if url.startswith("/"):
        # The browser that asks has found the way here; that address is as good for the invited.
        scheme = "https" if call.origin.is_https else "http"
        url = f"{scheme}://{call.origin.host}{url}"
    return {
        "email": listed.invitation.email,
        "url": url,
        "mailed": listed.mailed,
        "has_mail": call.house.carrier.mail is not None,
        "expires_at": rfc3339(listed.invitation.expires_at),
    }


def _label(role: Role) -> str:
    return say(api.LABELS[role].capitalize())


async def _form(
    call: Call, member: Member, form: dict[str, Any], *, status: int = 200
) -> Response[bytes]:
    session = call.session
    user, membership = member.user, member.membership
    at_home = user.home_org_id == session.org_id
    actor = _standing(session)
    barred = rules.handling(actor, membership)
    roles = rules.roles_to_give(actor, at_home=at_home)
    return await render.page(
        call,
        "settings/member.html",
        active="Settings",
        status=status,
        tabs=tabs(session, "Members"),
        member=_row(session, member) | {"at_home": at_home},
        barred=None if barred is None else phrase(barred.message),
        roles=[{"value": role.word, "label": _label(role)} for role in roles],
        has_mail=call.house.carrier.mail is not None,
        form=form,
    )


ROUTES = (
    list_all,
    invite,
    invited,
    resend,
    resent,
    revoke_form,
    revoke,
    edit_form,
    change,
    reset_form,
    reset,
    remove_form,
    remove,
)
