"""/v1/org/members: who belongs to the organization, what they may do, and that they leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from netpulse.model.api_key import ApiKey
from netpulse.model.ids import Id
from netpulse.model.invitation import Invitation
from netpulse.model.time import rfc3339
from netpulse.model.user import Membership, Role
from netpulse.rules import members as rules
from netpulse.rules.members import Refusal, Standing, Why
from netpulse.storage import members, second_factors, users
from netpulse.storage.db import Conn
from netpulse.storage.members import Farewell
from netpulse.storage.table import Page
from netpulse.storage.users import Member
from netpulse.web import reading, security_notes
from netpulse.web.api import api_keys
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import conflict, forbidden, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

ROLES = {role.word: role for role in Role}
LABELS = {
    Role.VIEWER: "viewer",
    Role.ADMIN: "administrator",
    Role.SUPER_ADMIN: "super administrator",
}
"""The roles in sentences for people."""
NOT_HOME = (
    "This person's account is at home in another organization; only there can its second factor be "
    "reset"
)
READ_ONLY = frozenset({"id", "email", "is_grant", "totp_enabled", "last_login_at", "created_at"})


class MemberAnswer(Struct, frozen=True, kw_only=True):
    """Somebody who belongs to the organization, or has rights here from its provider."""

    id: Id
    email: str
    role: Literal["viewer", "admin", "super_admin"]
    is_active: bool
    """False: disabled here; what they are elsewhere stays as it is."""
    is_grant: bool
    """True: somebody of your provider, who alone can change that."""
    totp_enabled: bool | None
    """Whether a sign-in asks for a one-time code; null for viewers' eyes."""
    last_login_at: str | None
    """Null for viewers' eyes, too."""
    created_at: str
    """When they joined."""


class MemberPatch(Struct, frozen=True, kw_only=True):
    """What may be changed of a member; what is absent stays."""

    role: Literal["viewer", "admin", "super_admin"] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    """Of this organization only."""


def shown(member: Member, role: Role) -> MemberAnswer:
    """Return a member as the API answers somebody of this role."""
    user, membership = member.user, member.membership
    last = user.last_login_at if role >= Role.ADMIN else None
    return MemberAnswer(
        id=user.id,
        email=user.email,
        role=membership.role.word,  # type: ignore[arg-type]  # the words of ROLES
        is_active=membership.is_active,
        is_grant=membership.is_grant,
        totp_enabled=user.totp_enabled if role >= Role.ADMIN else None,
        last_login_at=None if last is None else rfc3339(last),
        created_at=rfc3339(membership.created_at),
    )


def record(member: Member) -> dict[str, object]:
    """Return what the audit log keeps of a member."""
    membership = member.membership
    return {
        "email": member.user.email,
        "role": membership.role.word,
        "is_active": membership.is_active,
    }


def standing(conn: Conn, session: OrgSession) -> Standing:
    """Return who acts, and what they may do at this moment: since the request was let in, somebody
    may have changed that. A key is an administrator at most."""
    user = users.get(conn, session.user.id)
    role = None if user is None else users.reach(conn, user, session.org_id)
    if role is not None and session.key is not None:
        role = min(role, Role.ADMIN)
    return Standing(session.user.id, role)


def refused(refusal: Refusal | None) -> None:
    """Raise the refusal, if it is one: 403, or 409 `LAST_ADMIN`."""
    if refusal is None:
        return
    if refusal.why is Why.LAST_ADMIN:
        raise conflict("LAST_ADMIN", refusal.message)
    raise forbidden(refusal.message)


def page_of_members(conn: Conn, org_id: Id, offset: int, limit: int) -> Page[Member]:
    """Return members by their address."""
    return users.page(conn, org_id, offset=offset, limit=limit)


@endpoint(
    "GET",
    "/v1/org/members",
    access=VIEWER,
    tag="members",
    summary="List the organization's people",
    query=ListQuery,
    answer=MemberAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[MemberAnswer]:
    """List them by their addresses."""
    query, session = call.query(ListQuery), call.session
    found = await session.read(page_of_members, query.offset, query.limit)
    rows = [shown(member, session.role) for member in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


async def change(house: House, session: OrgSession, user_id: Id, wanted: MemberPatch) -> Member:
    """Change what a member may do here. It counts at their next request, and they hear of it.

    Raises:
        ApiError: 404, 403 for what the actor may not do, 409 `LAST_ADMIN`.
    """

    def work(deed: Deed) -> Member:
        old = _there(deed, user_id)
        before = old.membership
        after = before
        if not isinstance(wanted.role, UnsetType):
            after = replace(after, role=ROLES[wanted.role])
        if not isinstance(wanted.is_active, UnsetType):
            after = replace(after, is_active=wanted.is_active)
        refused(
            rules.changing(
                standing(deed.conn, session),
                before,
                after,
                members.admins(deed.conn, deed.org_id),
                at_home=old.user.home_org_id == deed.org_id,
            )
        )
        if after == before:
            deed.nothing_changed()
            return old
        users.put_membership(deed.conn, after)
        new = Member(old.user, after)
        deed.note("member.updated", "member", user_id, before=record(old), after=record(new))
        if not after.is_active or after.role < before.role:
            _withdraw_invitations(deed, user_id)
        if before.role is Role.SUPER_ADMIN and after.role is not before.role:
            keys, withdrawn = members.end_reach(deed.conn, deed.org_id, user_id, deed.now)
            _note_ended(deed, keys, withdrawn)
        for sentence in _news(before, after, session.org.name):
            security_notes.tell(deed.conn, house, old.user, sentence, deed.actor, deed.now)
        return new

    member = await session.change(work)
    house.engine.letters_written()
    return member


def _news(before: Membership, after: Membership, org_name: str) -> Iterable[str]:
    """Yield what a member should hear of a change."""
    if after.role is not before.role:
        yield f"Your role in {org_name} is {LABELS[after.role]} now."
    if after.is_active != before.is_active:
        how = "given back to you" if after.is_active else "taken from you"
        yield f"Your access to {org_name} was {how}."


def _withdraw_invitations(deed: Deed, user_id: Id) -> None:
    """What somebody has opened to others is closed when they lose what they could open: here, and
    in the clients that they enter through here."""
    grants = members.grants_through(deed.conn, deed.org_id, user_id)
    for place in (deed.org_id, *(grant.org_id for grant in grants)):
        _note_ended(deed, [], members.withdraw_invitations(deed.conn, place, user_id, deed.now))


def _note_ended(deed: Deed, keys: list[ApiKey], withdrawn: list[Invitation]) -> None:
    """Note what somebody had made and what ended with their rights, each where it was."""
    for key in keys:
        _note_at(deed, key.org_id, "api_key.revoked", "api_key", key.id, api_keys.shown(key))
    for one in withdrawn:
        before = {"email": one.email, "role": one.role.word}
        _note_at(deed, one.org_id, "invitation.revoked", "invitation", one.id, before)


@endpoint(
    "PATCH",
    "/v1/org/members/{id:str}",
    access=ADMIN,
    tag="members",
    summary="Change a member's role, or disable them here",
    body=MemberPatch,
    answer=MemberAnswer,
    errors=(404, 409),
)
async def patch_one(call: Call) -> One[MemberAnswer]:
    """Change one."""
    user_id, session = call.id("id", "member"), call.session
    if await session.read(members.get, user_id) is None:
        raise not_found("member")
    wanted = reading.into(MemberPatch, await call.json(), ignore=READ_ONLY)
    return One.of(shown(await change(call.house, session, user_id, wanted), session.role))


async def remove(house: House, session: OrgSession, user_id: Id) -> None:
    """End a membership, with the keys and the open invitations that the member has made here.
    They hear of it.

    Raises:
        ApiError: 404, 403 for whom the actor may not remove, 409 `LAST_ADMIN`.
    """

    def work(deed: Deed) -> None:
        old = _there(deed, user_id)
        refused(
            rules.removing(
                standing(deed.conn, session),
                old.membership,
                members.admins(deed.conn, deed.org_id),
            )
        )
        left = members.leave(deed.conn, deed.org_id, user_id, deed.now)
        deed.note("member.removed", "member", user_id, before=record(old))
        _note_farewell(deed, left)
        sentence = f"You were removed from {session.org.name}."
        security_notes.tell(deed.conn, house, old.user, sentence, deed.actor, deed.now)

    await session.change(work)
    house.engine.letters_written()


def _note_farewell(deed: Deed, left: Farewell) -> None:
    """Note what went with somebody, each where it was."""
    _note_ended(deed, left.keys, left.invitations)
    for grant in left.grants:
        before = {"email": left.member.user.email, "role": grant.role.word}
        _note_at(deed, grant.org_id, "grant.ended", "grant", grant.user_id, before)


def _note_at(
    deed: Deed, org_id: Id, action: str, kind: str, resource_id: Id, before: object
) -> None:
    if org_id == deed.org_id:
        deed.note(action, kind, resource_id, before=before)
    else:
        deed.note_in(org_id, action, kind, resource_id, before=before)


@endpoint(
    "DELETE",
    "/v1/org/members/{id:str}",
    access=ADMIN,
    tag="members",
    summary="Remove a member; their API keys here are revoked",
    errors=(404, 409),
)
async def delete_one(call: Call) -> One[None]:
    """Remove one; an account that belongs nowhere else is deleted."""
    await remove(call.house, call.session, call.id("id", "member"))
    return NOTHING


async def reset_second_factor(house: House, session: OrgSession, user_id: Id) -> Member:
    """Turn a member's second factor off for them, where this is their home. All their sessions
    end, and they hear of it.

    Raises:
        ApiError: 404, 403 for whose second factor is not the actor's to reset.
    """

    def work(deed: Deed) -> Member:
        old = _there(deed, user_id)
        refused(rules.handling(standing(deed.conn, session), old.membership))
        if old.user.home_org_id != deed.org_id:
            raise forbidden(NOT_HOME)
        was_on = second_factors.reset(deed.conn, user_id, deed.now)
        deed.note(
            "member.second_factor_reset",
            "member",
            user_id,
            before={"email": old.user.email, "totp_enabled": was_on},
            after={"email": old.user.email, "totp_enabled": False},
        )
        sentence = "Your second factor was reset, and all your sessions have ended."
        security_notes.tell(deed.conn, house, old.user, sentence, deed.actor, deed.now)
        return _there(deed, user_id)

    member = await session.change(work)
    house.engine.letters_written()
    return member


@endpoint(
    "POST",
    "/v1/org/members/{id:str}/reset-2fa",
    access=ADMIN,
    # No key may do this: the tag of what concerns signing in says so.
    tag="auth",
    summary="Turn off the second factor of a member who has lost it; their sessions end",
    answer=MemberAnswer,
    errors=(404,),
)
async def reset_2fa(call: Call) -> One[MemberAnswer]:
    """Reset one."""
    session = call.session
    member = await reset_second_factor(call.house, session, call.id("id", "member"))
    return One.of(shown(member, session.role))


def _there(deed: Deed, user_id: Id) -> Member:
    member = members.get(deed.conn, deed.org_id, user_id)
    if member is None:
        raise not_found("member")
    return member


ROUTES = (list_all, patch_one, delete_one, reset_2fa)
