"""Asking people into the organization: /v1/org/members/invite and /v1/org/invitations.

That somebody has an account elsewhere on this NetPulse shows in no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from netpulse.crypto.tokens import new_token
from netpulse.model.ids import Id, new_id
from netpulse.model.invitation import VALID, Invitation
from netpulse.model.letter import Letter, LetterKind
from netpulse.model.time import DAY, rfc3339
from netpulse.model.user import Role
from netpulse.rules import letters as words
from netpulse.rules import members as rules
from netpulse.storage import invitations, letters, members, quotas, users
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web.accounts import normal_email
from netpulse.web.api.members import ROLES, refused, standing
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, endpoint
from netpulse.web.envelope import NOTHING, Many, One, page_of
from netpulse.web.errors import Problem, conflict, invalid, not_found, too_many
from netpulse.web.house import House
from netpulse.web.resource import ListQuery
from netpulse.web.session import Deed, OrgSession

MOST_AN_HOUR = 50

_LABELS = {Role.VIEWER: "a viewer", Role.ADMIN: "an administrator"}


class InvitationSpec(Struct, frozen=True, kw_only=True):
    """Somebody who is to be asked in."""

    email: Annotated[str, Meta(max_length=254)]
    role: Literal["viewer", "admin"] = "viewer"


class InvitationAnswer(Struct, frozen=True, kw_only=True):
    """An invitation that was not accepted yet."""

    id: Id
    email: str
    role: Literal["viewer", "admin"]
    invited_by: str | None
    """The email address of who asked them; null: they are gone."""
    created_at: str
    expires_at: str
    """From then on its link leads nowhere; it may be sent again."""
    mailed: bool
    """Whether a mail was written."""
    mail_news: str | None
    """What there is to say of that mail while it was not sent; null once it was."""
    version: int


class InvitationLink(InvitationAnswer, frozen=True, kw_only=True):
    """An invitation with its link, which is shown once."""

    url: str
    """To pass on where no mail goes out; without `server.public_url` a path of this NetPulse."""


class Listed(Struct, frozen=True):
    """An invitation with what is known around it."""

    invitation: Invitation
    inviter: str | None
    mailed: bool
    mail_news: str | None


class Made(Struct, frozen=True):
    """An invitation that was just made or renewed."""

    listed: Listed
    url: str


def _fields(listed: Listed) -> dict[str, object]:
    invitation = listed.invitation
    return {
        "id": invitation.id,
        "email": invitation.email,
        "role": invitation.role.word,
        "invited_by": listed.inviter,
        "created_at": rfc3339(invitation.created_at),
        "expires_at": rfc3339(invitation.expires_at),
        "mailed": listed.mailed,
        "mail_news": listed.mail_news,
        "version": invitation.version,
    }


def shown(listed: Listed) -> InvitationAnswer:
    """Return an invitation as the API answers it."""
    return InvitationAnswer(**_fields(listed))  # type: ignore[arg-type]  # one dict, many types


def _shown_once(made: Made) -> InvitationLink:
    return InvitationLink(**_fields(made.listed), url=made.url)  # type: ignore[arg-type]  # as above


def record(invitation: Invitation) -> dict[str, object]:
    """Return what the audit log keeps of an invitation."""
    return {
        "email": invitation.email,
        "role": invitation.role.word,
        "expires_at": rfc3339(invitation.expires_at),
    }


def listed(conn: Conn, org_id: Id, offset: int, limit: int) -> Page[Listed]:
    """Return the organization's invitations that were not accepted yet, the newest first."""
    found = invitations.page(conn, org_id, offset=offset, limit=limit)
    return Page(_around(conn, org_id, found.rows), found.total)


def _around(conn: Conn, org_id: Id, rows: list[Invitation]) -> list[Listed]:
    mail = letters.latest(conn, org_id, LetterKind.INVITATION, [one.email for one in rows])
    return [_with_letter(conn, one, mail.get(one.email)) for one in rows]


def _with_letter(conn: Conn, invitation: Invitation, letter: Letter | None) -> Listed:
    inviter = None if invitation.invited_by is None else users.get(conn, invitation.invited_by)
    if letter is not None and letter.created_at < invitation.expires_at - VALID:
        # It carried an earlier link.
        letter = None
    return Listed(
        invitation=invitation,
        inviter=None if inviter is None else inviter.email,
        mailed=letter is not None,
        mail_news=None if letter is None else words.news(letter),
    )


@endpoint(
    "GET",
    "/v1/org/invitations",
    access=ADMIN,
    tag="invitations",
    summary="List the invitations that were not accepted yet, the expired ones too",
    query=ListQuery,
    answer=InvitationAnswer,
    many=True,
)
async def list_all(call: Call) -> Many[InvitationAnswer]:
    """List them, the newest first."""
    query = call.query(ListQuery)
    found = await call.session.read(listed, query.offset, query.limit)
    rows = [shown(each) for each in found.rows]
    return page_of(rows, page=query.page, limit=query.limit, total=found.total)


async def invite(house: House, session: OrgSession, spec: InvitationSpec) -> Made:
    """Ask somebody in. One who was asked before gets another link, and the old one ends.

    Raises:
        ApiError: 400 for what is no address, 403 for a role above the actor's, 409
            `ALREADY_MEMBER` or `QUOTA_REACHED`, 429 after 50 within an hour.
    """
    email = normal_email(spec.email)
    if email is None:
        raise invalid([Problem("$.email", "this is no email address")])
    _limit(house, session)
    token = new_token()

    def work(deed: Deed) -> Listed:
        role = ROLES[spec.role]
        refused(rules.inviting(standing(deed.conn, session), role))
        member = members.by_email(deed.conn, deed.org_id, email)
        if member is not None:
            raise conflict("ALREADY_MEMBER", _already(member.membership.is_grant))
        old = invitations.waiting_for(deed.conn, deed.org_id, email)
        if old is None:
            quotas.room_for_user(deed.conn, deed.org_id, deed.now)
            invitation = invitations.insert(
                deed.conn,
                Invitation(
                    id=new_id(deed.now),
                    org_id=deed.org_id,
                    email=email,
                    role=role,
                    invited_by=deed.actor.user_id,
                    created_at=deed.now,
                    expires_at=deed.now + VALID,
                ),
                house.digester.digest(token),
            )
            deed.note("invitation.created", "invitation", invitation.id, after=record(invitation))
        else:
            invitation = _renew(house, deed, old, role, token)
        _post(house, session, deed, invitation, token)
        return _around(deed.conn, deed.org_id, [invitation])[0]

    return await _made(house, session, work, token)


async def resend(house: House, session: OrgSession, invitation_id: Id) -> Made:
    """Give an invitation another link and send it; the old link ends.

    Raises:
        ApiError: 404, and as `invite`.
    """
    _limit(house, session)
    token = new_token()

    def work(deed: Deed) -> Listed:
        old = invitations.get(deed.conn, deed.org_id, invitation_id)
        if old is None:
            raise not_found("invitation")
        refused(rules.inviting(standing(deed.conn, session), old.role))
        invitation = _renew(house, deed, old, old.role, token)
        _post(house, session, deed, invitation, token)
        return _around(deed.conn, deed.org_id, [invitation])[0]

    return await _made(house, session, work, token)


def _limit(house: House, session: OrgSession) -> None:
    wait = house.rates.invitations.wait(session.org_id, house.clock.monotonic())
    if wait:
        raise too_many(
            wait,
            f"Your organization has sent {MOST_AN_HOUR} invitations within the hour; wait as long "
            "as Retry-After says",
        )


def _already(is_grant: bool) -> str:
    if is_grant:
        return "This person has rights in this organization already, from your provider"
    return "This person is a member of this organization already"


def _renew(house: House, deed: Deed, old: Invitation, role: Role, token: str) -> Invitation:
    if not old.is_open(deed.now):
        quotas.room_for_user(deed.conn, deed.org_id, deed.now)
    invitation = invitations.renew(
        deed.conn,
        old,
        house.digester.digest(token),
        role=role,
        invited_by=deed.actor.user_id,
        expires_at=deed.now + VALID,
        now=deed.now,
    )
    deed.note(
        "invitation.renewed",
        "invitation",
        old.id,
        before=record(old),
        after=record(invitation),
    )
    return invitation


def _post(
    house: House, session: OrgSession, deed: Deed, invitation: Invitation, token: str
) -> None:
    """Write the letter, where there are a mail server and an address to lead to."""
    url = house.links.page(path_of(token))
    if url is None or house.carrier.mail is None:
        return
    draft = words.invitation(
        session.org.name,
        session.user.email,
        _LABELS[invitation.role],
        url,
        VALID // DAY,
    )
    letters.post(
        deed.conn,
        LetterKind.INVITATION,
        invitation.email,
        draft.subject,
        draft.text,
        deed.now,
        expires_at=invitation.expires_at,
        org_id=deed.org_id,
    )


async def _made(
    house: House, session: OrgSession, work: Callable[[Deed], Listed], token: str
) -> Made:
    found = await session.change(work)
    house.engine.letters_written()
    path = path_of(token)
    return Made(found, house.links.page(path) or path)


def path_of(token: str) -> str:
    """Return where the link of an invitation leads."""
    return f"/invitations/{token}"


@endpoint(
    "POST",
    "/v1/org/members/invite",
    access=ADMIN,
    tag="invitations",
    summary="Invite somebody; the answer is the only one that shows the link",
    body=InvitationSpec,
    answer=InvitationLink,
    status=201,
    errors=(409, 429),
)
async def create(call: Call) -> One[InvitationLink]:
    """Invite."""
    spec = await call.body(InvitationSpec)
    return One.of(_shown_once(await invite(call.house, call.session, spec)))


@endpoint(
    "POST",
    "/v1/org/invitations/{id:str}/resend",
    access=ADMIN,
    tag="invitations",
    summary="Send an invitation again, with another link; the old one ends",
    answer=InvitationLink,
    errors=(404, 409, 429),
)
async def resend_one(call: Call) -> One[InvitationLink]:
    """Send one again."""
    invitation_id = call.id("id", "invitation")
    if await call.session.read(invitations.get, invitation_id) is None:
        raise not_found("invitation")
    return One.of(_shown_once(await resend(call.house, call.session, invitation_id)))


async def revoke(session: OrgSession, invitation_id: Id) -> None:
    """Withdraw an invitation: its link leads nowhere any more. Raises ApiError: 404."""

    def work(deed: Deed) -> None:
        old = invitations.get(deed.conn, deed.org_id, invitation_id)
        if old is None:
            raise not_found("invitation")
        invitations.delete(deed.conn, deed.org_id, invitation_id)
        deed.note("invitation.revoked", "invitation", invitation_id, before=record(old))

    await session.change(work)


@endpoint(
    "DELETE",
    "/v1/org/invitations/{id:str}",
    access=ADMIN,
    tag="invitations",
    summary="Withdraw an invitation",
    errors=(404,),
)
async def delete_one(call: Call) -> One[None]:
    """Withdraw one."""
    await revoke(call.session, call.id("id", "invitation"))
    return NOTHING


ROUTES = (create, list_all, resend_one, delete_one)
