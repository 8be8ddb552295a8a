"""What `netpulse user add` does: a new account, or a membership for one that there is.

The functions are run in storage's thread.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.cli.settings import Refused
from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.storage import audit, invitations, orgs, quotas, users
from netpulse.storage.conn import Conn
from netpulse.storage.errors import QuotaReached
from netpulse.web import security_notes

ACTOR = Actor(kind="cli", label="user add")
_LABELS = {Role.VIEWER: "viewer", Role.ADMIN: "administrator"}


class Joining(Struct, frozen=True, kw_only=True):
    """Who is to be added where."""

    email: str
    """As `accounts.normal_email` gives it."""
    password_hash: str | None
    """Of a new account; None: there is one."""
    org_slug: str | None
    """None: the only organization there is."""
    role: Role
    has_mail: bool
    """Whether a mail server is configured."""


def join(conn: Conn, wanted: Joining, now: Millis) -> str:
    """Add somebody to an organization, and return what to say on the terminal. An open invitation
    of them is withdrawn: it has nothing to give any more.

    Raises:
        Refused: which organization is meant must be said, they are in it, or it is full.
    """
    org = _org_of(conn, wanted.org_slug)
    email, role = wanted.email, wanted.role
    user = users.by_email(conn, email)
    if (user is None) != (wanted.password_hash is not None):
        raise Refused(f"somebody has just added or removed {email}; try again")
    if user is not None:
        _refuse_members(conn, user, org)
    asked = invitations.waiting_for(conn, org.id, email)
    if asked is not None:
        invitations.delete(conn, org.id, asked.id)
        before = {"email": email, "role": asked.role.word}
        _note(conn, org, "invitation.revoked", "invitation", asked.id, now, before=before)
    try:
        quotas.room_for_user(conn, org.id, now)
    except QuotaReached as full:
        raise Refused(str(full)) from None
    after = {"email": email, "role": role.word}
    if user is None:
        assert wanted.password_hash is not None, "a new account comes with its password"
        user = User(
            id=new_id(now),
            email=email,
            password_hash=wanted.password_hash,
            home_org_id=org.id,
            created_at=now,
        )
        users.insert(conn, user, [_membership(user, org, role, now)])
        _note(conn, org, "user.created", "user", user.id, now, after=after)
        return f"{email} is {role.word} of {org.name}"
    users.put_membership(conn, _membership(user, org, role, now))
    _note(conn, org, "member.added", "member", user.id, now, after=after)
    if wanted.has_mail:
        said = f"You were added to {org.name}, as {_LABELS[role]}."
        security_notes.write(conn, user, said, ACTOR, now)
    return f"{email} is {role.word} of {org.name} too; the account keeps its password"


def _refuse_members(conn: Conn, user: User, org: Org) -> None:
    found = users.membership(conn, user.id, org.id)
    if found is None:
        return
    if found.is_grant:
        raise Refused(f"{user.email} has rights in {org.name} from its provider already")
    what = f"{found.role.word} of {org.name} already"
    if not found.is_active:
        what += ", and disabled there"
    raise Refused(f"{user.email} is {what}; the members' page changes that")


def _membership(user: User, org: Org, role: Role, now: Millis) -> Membership:
    return Membership(user_id=user.id, org_id=org.id, role=role, created_at=now)


def _note(
    conn: Conn,
    org: Org,
    action: str,
    kind: str,
    resource_id: str,
    now: Millis,
    *,
    before: object = None,
    after: object = None,
) -> None:
    audit.append(conn, org.id, ACTOR, action, kind, resource_id, before, after, now)


def _org_of(conn: Conn, slug: str | None) -> Org:
    """Return the organization with this slug, or the only one.

    Raises:
        Refused: there is none, or which one is meant must be said.
    """
    if slug is not None:
        # It may hold bytes that are no text.
        org = orgs.by_slug(conn, slug) if slug.isprintable() else None
        if org is None:
            raise Refused(f"there is no organization {slug!r}")
        return org
    every = orgs.all(conn)
    if len(every) != 1:
        names = ", ".join(sorted(org.slug for org in every))
        raise Refused(f"there are several organizations; choose one with --org: {names}")
    return every[0]
