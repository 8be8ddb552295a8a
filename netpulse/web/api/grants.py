"""/v1/org/clients/{id}/grants: who of the provider's people may enter a client, and as what."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.storage import clients, members, users
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.storage.users import Member
from netpulse.web import granting, reading, security_notes
from netpulse.web.api import clients as clients_api
from netpulse.web.api.client_answers import ClientRole
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import conflict, not_found
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

READ_ONLY = frozenset({"user_id", "email", "is_active", "granted_by", "created_at"})
ROLES = {role.word: role for role in (Role.VIEWER, Role.ADMIN)}
_LABELS = {Role.VIEWER: "viewer", Role.ADMIN: "administrator"}


class GrantSpec(Struct, frozen=True, kw_only=True):
    """What somebody may do in a client."""

    role: ClientRole


class GrantAnswer(Struct, frozen=True, kw_only=True):
    """Somebody of the provider who may enter a client."""

    user_id: Id
    email: str
    role: ClientRole
    is_active: bool
    """False while they are disabled in your organization: then it gives them nothing."""
    granted_by: Id | None
    created_at: str


def shown(member: Member) -> GrantAnswer:
    """Return a grant as the API answers it."""
    grant = member.membership
    return GrantAnswer(
        user_id=grant.user_id,
        email=member.user.email,
        role=grant.role.word,  # type: ignore[arg-type]  # one of the two
        is_active=grant.is_active and member.user.is_active,
        granted_by=grant.granted_by,
        created_at=rfc3339(grant.created_at),
    )


def page_of_grants(
    conn: Conn, org_id: Id, client_id: Id, now: int, offset: int, limit: int
) -> Page[Member] | None:
    """Return the grants in a client of the organization, or None if it has none with this id."""
    if clients.get(conn, org_id, client_id, now) is None:
        return None
    return users.page(conn, client_id, offset=offset, limit=limit, grants_only=True)


async def put(house: House, session: OrgSession, client_id: Id, user_id: Id, role: Role) -> Member:
    """Give a member of the organization rights in its client, or change them. They hear of it.

    Raises:
        ApiError: 404 for another client or somebody who is no member, 409 for somebody who is a
            member of the client itself, or disabled here.
    """

    def work(deed: Deed) -> Member:
        client = clients.get(deed.conn, deed.org_id, client_id, deed.now)
        if client is None:
            raise not_found(clients_api.NOUN)
        member = members.get(deed.conn, deed.org_id, user_id)
        if member is None or member.membership.is_grant:
            raise not_found("member")
        if not member.membership.is_active:
            raise conflict(
                "MEMBER_DISABLED",
                "This person is disabled in your organization; enable them first",
            )
        before = users.membership(deed.conn, user_id, client_id)
        if before is not None and not before.is_grant:
            raise conflict(
                "ALREADY_MEMBER",
                "This person is a member of the client itself; their role is changed there",
            )
        if before is not None and before.role is role:
            deed.nothing_changed()
        else:
            email = member.user.email
            granting.give(deed, client.org, user_id, email, role, before)
            sentence = f"Your role in {client.org.name} is {_LABELS[role]} now."
            security_notes.tell(deed.conn, house, member.user, sentence, deed.actor, deed.now)
        return _granted(deed.conn, client_id, user_id)

    found = await session.change(work)
    house.engine.letters_written()
    return found


async def end(house: House, session: OrgSession, client_id: Id, user_id: Id) -> None:
    """Take somebody's rights in a client back, with the API keys and open invitations that they
    made there; who has none stays without. They hear of it.

    Raises:
        ApiError: 404 for another client, or somebody who neither is a member nor has a grant.
    """

    def work(deed: Deed) -> None:
        client = clients.get(deed.conn, deed.org_id, client_id, deed.now)
        if client is None:
            raise not_found(clients_api.NOUN)
        grant = members.get(deed.conn, client_id, user_id)
        if grant is None or not grant.membership.is_grant:
            if members.get(deed.conn, deed.org_id, user_id) is None:
                raise not_found("member")
            deed.nothing_changed()
            return
        left = members.leave(deed.conn, client_id, user_id, deed.now)
        granting.note_grant(
            deed,
            "grant.ended",
            client.org,
            user_id,
            grant.user.email,
            before=grant.membership.role,
            after=None,
        )
        for key in left.keys:
            before: dict[str, Any] = {"name": key.name, "prefix": key.prefix}
            deed.note_in(client_id, "api_key.revoked", "api_key", key.id, before=before)
        for one in left.invitations:
            before = {"email": one.email, "role": one.role.word}
            deed.note_in(client_id, "invitation.revoked", "invitation", one.id, before=before)
        sentence = f"Your access to {client.org.name} was taken from you."
        security_notes.tell(deed.conn, house, grant.user, sentence, deed.actor, deed.now)

    await session.change(work)
    house.engine.letters_written()


def _granted(conn: Conn, client_id: Id, user_id: Id) -> Member:
    found = members.get(conn, client_id, user_id)
    assert found is not None, "it was just written in this transaction"
    return found


@endpoint(
    "GET",
    f"{clients_api.PATH}/{{id:str}}/grants",
    access=ADMIN,
    tag="clients",
    summary="List who of your people may enter a client",
    query=ListQuery,
    answer=GrantAnswer,
    many=True,
    errors=(404,),
)
async def list_all(call: Call) -> Many[GrantAnswer]:
    """List them by their addresses."""
    query = call.query(ListQuery)
    found = await call.session.read(
        page_of_grants, call.id("id", clients_api.NOUN), call.now, query.offset, query.limit
    )
    if found is None:
        raise not_found(clients_api.NOUN)
    rows = [shown(member) for member in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


@endpoint(
    "PUT",
    f"{clients_api.PATH}/{{id:str}}/grants/{{user_id:str}}",
    access=ADMIN,
    tag="clients",
    summary="Give one of your members rights in a client, or change them",
    body=GrantSpec,
    answer=GrantAnswer,
    errors=(404, 409),
)
async def put_one(call: Call) -> One[GrantAnswer]:
    """Give them."""
    client_id = call.id("id", clients_api.NOUN)
    user_id = call.id("user_id", "member")
    await clients_api.stored(call.session, client_id)
    if await call.session.read(members.get, user_id) is None:
        raise not_found("member")
    spec = reading.into(GrantSpec, await call.json(), ignore=READ_ONLY)
    return One.of(shown(await put(call.house, call.session, client_id, user_id, ROLES[spec.role])))


@endpoint(
    "DELETE",
    f"{clients_api.PATH}/{{id:str}}/grants/{{user_id:str}}",
    access=ADMIN,
    tag="clients",
    summary="Take somebody's rights in a client back",
    errors=(404,),
)
async def delete_one(call: Call) -> One[None]:
    """Take them back."""
    client_id = call.id("id", clients_api.NOUN)
    await end(call.house, call.session, client_id, call.id("user_id", "member"))
    return NOTHING


ROUTES = (list_all, put_one, delete_one)
