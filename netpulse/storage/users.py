"""People and their memberships."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Membership, Role, User
from netpulse.storage import orgs
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing
from netpulse.storage.table import Page

_COLUMNS = (
    "id, email, password_hash, home_org_id, is_active, totp_enabled, ip_whitelist, last_login_at,"
    " created_at"
)
_MEMBERSHIP = "user_id, org_id, role, is_active, kind, granted_by, created_at"
IN_EFFECT = (
    "m.is_active AND (m.kind = 'member' OR EXISTS (SELECT 1 FROM organizations c"
    " JOIN memberships p ON p.org_id = c.parent_id AND p.user_id = m.user_id"
    " JOIN organizations o ON o.id = c.parent_id WHERE c.id = m.org_id"
    " AND p.kind = 'member' AND p.is_active AND o.deleted_at IS NULL))"
)
"""Whether a membership `m` gives its right: a grant only while its user is an active member of the
MSP, so that whoever is removed or disabled there is out of every client at once."""
_SELECTED = f"m.user_id, m.org_id, m.role, {IN_EFFECT}, m.kind, m.granted_by, m.created_at"
_networks = msgspec.json.Decoder(tuple[str, ...])
_ROLES = {role.word: role for role in Role}


class Reach(Struct, frozen=True):
    """What a user may do in an organization, and by what right."""

    role: Role
    via: Id | None = None
    """Where they are not at home there: the MSP that a grant gives its people, or the home of a
    super administrator. None: they are a member."""


class Member(Struct, frozen=True):
    """A user as one organization sees them."""

    user: User
    membership: Membership


def get(conn: Conn, user_id: Id) -> User | None:
    """Return the user, or None."""
    row = conn.one(f"SELECT {_COLUMNS} FROM users WHERE id = ?", (user_id,))
    return None if row is None else _user(row)


def by_email(conn: Conn, email: str) -> User | None:
    """Return the user with this address (case and spaces around it do not count), or None."""
    row = conn.one(f"SELECT {_COLUMNS} FROM users WHERE email = ?", (email.strip().lower(),))
    return None if row is None else _user(row)


def insert(conn: Conn, user: User, memberships: Sequence[Membership] = ()) -> User:
    """Add a user with their memberships; returns them as stored (the address in lower case).

    Raises:
        UniqueConflict: the address is taken (`users.email`).
    """
    email = user.email.strip().lower()
    conn.execute(
        f"INSERT INTO users ({_COLUMNS}, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            user.id,
            email,
            user.password_hash,
            user.home_org_id,
            int(user.is_active),
            int(user.totp_enabled),
            msgspec.json.encode(user.ip_whitelist).decode(),
            user.last_login_at,
            user.created_at,
            user.created_at,
        ),
    )
    for membership in memberships:
        put_membership(conn, membership)
    stored = get(conn, user.id)
    assert stored is not None, "it was just written in this transaction"
    return stored


def put_membership(conn: Conn, membership: Membership) -> None:
    """Make the user a member of the organization, or change what they are there."""
    conn.execute(
        f"INSERT INTO memberships ({_MEMBERSHIP}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (user_id, org_id) DO UPDATE SET role = excluded.role,"
        " is_active = excluded.is_active, kind = excluded.kind, granted_by = excluded.granted_by",
        (
            membership.user_id,
            membership.org_id,
            membership.role.word,
            int(membership.is_active),
            "grant" if membership.is_grant else "member",
            membership.granted_by,
            membership.created_at,
        ),
    )


def drop_membership(conn: Conn, user_id: Id, org_id: Id) -> None:
    """End a membership.

    Raises:
        Missing: the user is no member there.
    """
    conn.execute("DELETE FROM memberships WHERE user_id = ? AND org_id = ?", (user_id, org_id))
    if not conn.changes:
        raise Missing("member")


def set_password(conn: Conn, user_id: Id, password_hash: str, now: Millis) -> None:
    """Set another password hash. A second factor that was begun, and does not count yet, ends with
    the password that began it, and so do open links for a new one: at once, and not by a comparison
    of times, of which one may be wrong. Ending the user's sessions is the caller's part.

    Raises:
        Missing: there is no such user.
    """
    conn.execute(
        "UPDATE users SET password_hash = ?1, password_changed_at = ?2, updated_at = ?2,"
        " totp_secret = CASE WHEN totp_enabled THEN totp_secret END, totp_begun_at = NULL"
        " WHERE id = ?3",
        (password_hash, now, user_id),
    )
    if not conn.changes:
        raise Missing("user")
    conn.execute(
        "UPDATE password_resets SET used_at = ? WHERE user_id = ? AND used_at IS NULL",
        (now, user_id),
    )


def set_ip_whitelist(conn: Conn, user_id: Id, networks: Sequence[str], now: Millis) -> None:
    """Set the networks (CIDR or addresses) from which the user may come; none: from anywhere.

    Raises:
        Missing: there is no such user.
    """
    conn.execute(
        "UPDATE users SET ip_whitelist = ?, updated_at = ? WHERE id = ?",
        (msgspec.json.encode(networks).decode(), now, user_id),
    )
    if not conn.changes:
        raise Missing("user")


def set_active(conn: Conn, user_id: Id, is_active: bool, now: Millis) -> None:
    """Let the user in again, or out at once: an inactive user's sessions are not found any more.

    Raises:
        Missing: there is no such user.
    """
    conn.execute(
        "UPDATE users SET is_active = ?, updated_at = ? WHERE id = ?",
        (int(is_active), now, user_id),
    )
    if not conn.changes:
        raise Missing("user")


def set_home(conn: Conn, user_id: Id, org_id: Id, now: Millis) -> None:
    """Let the user be at home in another organization, of which they are a member."""
    conn.execute(
        "UPDATE users SET home_org_id = ?, updated_at = ? WHERE id = ?", (org_id, now, user_id)
    )


def delete(conn: Conn, user_id: Id) -> None:
    """Remove the user with all that is theirs alone: sessions, tokens, keys, second factor."""
    conn.execute("DELETE FROM users WHERE id = ?", (user_id,))


def touch_login(conn: Conn, user_id: Id, now: Millis) -> None:
    """Note that the user has signed in."""
    conn.execute("UPDATE users SET last_login_at = ? WHERE id = ?", (now, user_id))


def memberships(conn: Conn, user_id: Id) -> list[Membership]:
    """Return where the user belongs, the oldest organization first; the inactive ones too, but
    none of a deleted organization. A grant that is not in effect is inactive."""
    rows = conn.all(
        f"SELECT {_SELECTED} FROM memberships m WHERE m.user_id = ? AND EXISTS (SELECT 1 FROM"
        " organizations o WHERE o.id = m.org_id AND o.deleted_at IS NULL) ORDER BY m.org_id",
        (user_id,),
    )
    return [_membership(row) for row in rows]


def membership(conn: Conn, user_id: Id, org_id: Id) -> Membership | None:
    """Return the user's membership of the organization, or None; an inactive one too, which is
    what a grant is that is not in effect."""
    row = conn.one(
        f"SELECT {_SELECTED} FROM memberships m WHERE m.user_id = ? AND m.org_id = ? AND EXISTS"
        " (SELECT 1 FROM organizations o WHERE o.id = m.org_id AND o.deleted_at IS NULL)",
        (user_id, org_id),
    )
    return None if row is None else _membership(row)


def reach(conn: Conn, user: User, org_id: Id) -> Role | None:
    """Return what the user may do in the organization at this moment, or None: nothing."""
    found = reached(conn, user, org_id)
    return None if found is None else found.role


def reached(conn: Conn, user: User, org_id: Id) -> Reach | None:
    """Return what the user may do in the organization at this moment, and by what right.

    An active membership says so, or a grant that is in effect. A super administrator of the
    instance has that role in every organization there is, by the active membership of their home.
    """
    if not user.is_active:
        return None
    here = membership(conn, user.id, org_id)
    is_member = here is not None and here.is_active and not here.is_grant
    is_home = org_id == user.home_org_id
    home = here if is_home else membership(conn, user.id, user.home_org_id)
    if home is not None and home.is_active and home.role is Role.SUPER_ADMIN:
        org = orgs.get(conn, org_id)
        if org is not None and org.deleted_at is None:
            return Reach(Role.SUPER_ADMIN, None if is_member else user.home_org_id)
    if here is None or not here.is_active:
        return None
    if not here.is_grant:
        return Reach(here.role)
    client = orgs.get(conn, org_id)
    assert client is not None, "the membership refers to it"
    return Reach(here.role, client.parent_id)


def landing(conn: Conn, user: User) -> Id | None:
    """Return the organization in which a fresh sign-in begins: the home, else the oldest that the
    user may still enter; None when there is none, and nobody to let in."""
    if not user.is_active:
        return None
    open_to = [one.org_id for one in memberships(conn, user.id) if one.is_active]
    return user.home_org_id if user.home_org_id in open_to else next(iter(open_to), None)


def places(conn: Conn, user: User) -> list[tuple[Org, Role]]:
    """Return the organizations that the user may enter, with what they may do there, by name."""
    if reach(conn, user, user.home_org_id) is Role.SUPER_ADMIN:
        found = [(org, Role.SUPER_ADMIN) for org in orgs.all(conn)]
    else:
        own = [one for one in memberships(conn, user.id) if one.is_active and user.is_active]
        found = [(org, one.role) for one in own if (org := orgs.get(conn, one.org_id)) is not None]
    return sorted(found, key=lambda place: (place[0].name.casefold(), place[0].id))


def password_changed_at(conn: Conn, user_id: Id) -> Millis | None:
    """Return when the user's password was set last; None: it is still the first one."""
    row = conn.one("SELECT password_changed_at FROM users WHERE id = ?", (user_id,))
    return None if row is None or row[0] is None else int(row[0])


def audited_in(conn: Conn, user: User) -> Id:
    """Return the organization whose audit log tells of a person's sign-ins and own account."""
    return landing(conn, user) or user.home_org_id


def count(conn: Conn) -> int:
    """Return how many users there are."""
    row = conn.one("SELECT count(*) FROM users")
    return int(row[0]) if row else 0


def page(
    conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20, grants_only: bool = False
) -> Page[Member]:
    """Return members of the organization by their address, and who has a grant there; or those
    alone."""
    where = "m.org_id = ? AND m.kind = 'grant'" if grants_only else "m.org_id = ?"
    total = conn.one(f"SELECT count(*) FROM memberships m WHERE {where}", (org_id,))
    columns = ", ".join(f"u.{name}" for name in _COLUMNS.split(", "))
    rows = conn.all(
        f"SELECT {columns}, {_SELECTED} FROM memberships m JOIN users u ON u.id = m.user_id"
        f" WHERE {where} ORDER BY u.email LIMIT ? OFFSET ?",
        (org_id, limit, offset),
    )
    split = len(_COLUMNS.split(", "))
    members = [Member(_user(row[:split]), _membership(row[split:])) for row in rows]
    return Page(members, int(total[0]) if total else 0)


def all(conn: Conn) -> list[User]:
    """Return every user by address."""
    return [_user(row) for row in conn.all(f"SELECT {_COLUMNS} FROM users ORDER BY email")]


def _user(row: Row) -> User:
    return User(
        id=row[0],
        email=row[1],
        password_hash=row[2],
        home_org_id=row[3],
        is_active=bool(row[4]),
        totp_enabled=bool(row[5]),
        ip_whitelist=_networks.decode(row[6]),
        last_login_at=row[7],
        created_at=row[8],
    )


def _membership(row: Row) -> Membership:
    return Membership(
        user_id=row[0],
        org_id=row[1],
        role=_ROLES[row[2]],
        is_active=bool(row[3]),
        is_grant=row[4] == "grant",
        granted_by=row[5],
        created_at=row[6],
    )
