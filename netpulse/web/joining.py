"""Joining an organization by an invitation: the API's way and the page's are this one.

Whoever holds the link proves that they are the one it was written to: by the sign-in that they
have, by the password of their account, or, where the address has no account yet, by nothing more,
and chooses a password for it. Whether it has one does not show until the invitation is used up: the
inviter, who saw the link too, must not learn it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from netpulse.crypto import passwords
from netpulse.model.ids import new_id
from netpulse.model.invitation import Invitation
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Membership, User
from netpulse.rules import members as rules
from netpulse.rules.members import Standing
from netpulse.storage import audit, invitations, orgs, users
from netpulse.storage.db import Conn
from netpulse.web import security_notes, sign_in
from netpulse.web.errors import (
    ApiError,
    Problem,
    conflict,
    invalid,
    not_found,
    too_many,
    unauthorized,
)
from netpulse.web.house import House
from netpulse.web.proxies import bucket
from netpulse.web.session import OrgSession

MOST_TOKEN = 200
"""Characters; what is longer is no token of ours."""


class Invited(Struct, frozen=True):
    """What a link invites to."""

    invitation: Invitation
    org: Org
    inviter: str | None
    """The email address of who asked; None: the command line."""


class Proof(Struct, frozen=True, kw_only=True):
    """How somebody shows that they are the one who was invited."""

    signed_in: OrgSession | None = None
    """Who is signed in already, whoever that is."""
    password: str | None = None
    totp_code: str | None = None


class _Changed(Exception):
    """Whether the address has an account, or its password, has changed since it was looked at."""


async def find(house: House, token: str, ip: str, now: Millis) -> Invited:
    """Return what the link with this token invites to.

    Raises:
        ApiError: 404 for a link that is not ours, was used or withdrawn, or has expired; 429 for
            too many of those from one address.
    """
    digest = house.digester.digest(token)
    found = await house.db.read(_invited, digest, now) if len(token) <= MOST_TOKEN else None
    if found is not None:
        return found
    wait = house.rates.stray_links.wait(bucket(ip), house.clock.monotonic())
    if wait:
        raise too_many(wait, "Too many unknown links; wait as long as Retry-After says")
    raise gone()


def gone() -> ApiError:
    """Return the 404 of a link that leads nowhere (any more)."""
    error = not_found("invitation")
    error.message = (
        "This invitation is not complete, was used or withdrawn, or has expired: it lasts 7 days. "
        "Ask for another"
    )
    return error


async def accept(
    house: House, actor: Actor, token: str, proof: Proof, now: Millis
) -> tuple[User, Invited]:
    """Make whoever was invited a member, once.

    Raises:
        ApiError: 404 and 429 as `find`; 400 for a password that is missing or cannot be one; 401
            and 429 as a sign-in; 409 `ALREADY_MEMBER`.
    """
    while True:
        invited = await find(house, token, actor.ip or "", now)
        email = invited.invitation.email
        known = await house.db.read(users.by_email, email)
        session = proof.signed_in
        if session is not None and (known is None or session.user.id != known.id):
            session = None
        try:
            fresh = "" if session is not None else await _prove(house, actor, email, known, proof)
        except ApiError:
            # Who withdraws the invitation meanwhile is told what they are told of an address
            # without an account, of which there is nothing to prove.
            digest = house.digester.digest(token)
            if await house.db.read(_invited, digest, house.clock.now()) is None:
                raise gone() from None
            raise

        def work(
            conn: Conn,
            known: User | None = known,
            fresh: str = fresh,
            session: OrgSession | None = session,
        ) -> tuple[User, Invited]:
            if session is not None:
                session.refuse_ended(conn)
            return _join(conn, house, actor, token, known, fresh, now)

        try:
            done = await house.db.write(work)
        except _Changed:
            # Another invitation of the same address was accepted just now, or the password
            # changed: look again.
            continue
        house.engine.letters_written()
        return done


async def _prove(house: House, actor: Actor, email: str, known: User | None, proof: Proof) -> str:
    """Check the password of an account that exists; return the hash of one for a new account.

    What can be nobody's password is refused alike in both cases.
    """
    if proof.password is None:
        raise invalid([Problem("$.password", "this field is required")])
    flaw = passwords.policy_problem(proof.password, email=email)
    if flaw is not None:
        raise invalid([Problem("$.password", flaw)])
    if known is None:
        return await passwords.hash_password(proof.password)
    user = await sign_in.check_password(house, actor, email, proof.password, is_joining=True)
    if user.totp_enabled:
        if not proof.totp_code:
            raise unauthorized(sign_in.CODE_NEEDED, "TOTP_REQUIRED")
        await sign_in.check_code(house, actor, user, proof.totp_code)
    return ""


def _invited(conn: Conn, digest: str, now: Millis) -> Invited | None:
    """Return what a link invites to, as long as who made it might still invite so."""
    invitation = invitations.by_digest(conn, digest, now)
    if invitation is None:
        return None
    org = orgs.get(conn, invitation.org_id)
    assert org is not None, "an invitation's organization exists (foreign key)"
    if invitation.invited_by is None:
        return Invited(invitation, org, None)
    inviter = users.get(conn, invitation.invited_by)
    role = None if inviter is None else users.reach(conn, inviter, org.id)
    if inviter is None or rules.inviting(Standing(inviter.id, role), invitation.role) is not None:
        return None
    return Invited(invitation, org, inviter.email)


def _join(
    conn: Conn,
    house: House,
    actor: Actor,
    token: str,
    known: User | None,
    password_hash: str,
    now: Millis,
) -> tuple[User, Invited]:
    invited = _invited(conn, house.digester.digest(token), now)
    if invited is None:
        raise gone()
    invitation, org = invited.invitation, invited.org
    user = users.by_email(conn, invitation.email)
    if _proved(user) != _proved(known):
        raise _Changed
    if user is None:
        user = _new_user(conn, invitation, password_hash, now)
        is_new = True
    else:
        is_new = False
        if users.membership(conn, user.id, org.id) is not None:
            raise conflict("ALREADY_MEMBER", "You are a member of this organization already")
    users.put_membership(
        conn,
        Membership(user_id=user.id, org_id=org.id, role=invitation.role, created_at=now),
    )
    if not invitations.accept(conn, invitation, user.id, now):
        raise gone()
    who = replace(actor, user_id=user.id, label=user.email)
    after = {"email": user.email, "role": invitation.role.word}
    audit.append(
        conn,
        org.id,
        who,
        "invitation.accepted",
        "invitation",
        invitation.id,
        None,
        after,
        now,
    )
    if not is_new:
        security_notes.tell(conn, house, user, f"You have joined {org.name}.", who, now)
    return user, invited


def _proved(user: User | None) -> tuple[str, str, bool] | None:
    """Return what somebody's proof was about: another password since then makes it worthless."""
    return None if user is None else (user.id, user.password_hash, user.totp_enabled)


def _new_user(conn: Conn, invitation: Invitation, password_hash: str, now: Millis) -> User:
    user = User(
        id=new_id(now),
        email=invitation.email,
        password_hash=password_hash,
        home_org_id=invitation.org_id,
        created_at=now,
    )
    return users.insert(conn, user)
