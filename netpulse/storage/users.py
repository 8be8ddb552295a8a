"""People and their memberships."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.user import Membership, Role, User
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing
from netpulse.storage.table import Page

_COLUMNS = "id, email, password_hash, home_org_id, is_active, last_login_at, created_at"
_ROLES = {role.word: role for role in Role}


class Member(Struct, frozen=True):
    """A user as one organization sees them."""

    user: User
    role: Role


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
        f"INSERT INTO users ({_COLUMNS}, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            user.id,
            email,
            user.password_hash,
            user.home_org_id,
            int(user.is_active),
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
    """Make the user a member of the organization, or change the role they have there."""
    conn.execute(
        "INSERT INTO memberships (user_id, org_id, role) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id, org_id) DO UPDATE SET role = excluded.role",
        (membership.user_id, membership.org_id, membership.role.word),
    )


def set_password(conn: Conn, user_id: Id, password_hash: str, now: Millis) -> None:
    """Set another password hash. Ending the user's sessions is the caller's part.

    Raises:
        Missing: there is no such user.
    """
    conn.execute(
        "UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?",
        (password_hash, now, user_id),
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


def touch_login(conn: Conn, user_id: Id, now: Millis) -> None:
    """Note that the user has signed in."""
    conn.execute("UPDATE users SET last_login_at = ? WHERE id = ?", (now, user_id))


def memberships(conn: Conn, user_id: Id) -> list[Membership]:
    """Return where the user belongs, the oldest organization first."""
    rows = conn.all(
        "SELECT user_id, org_id, role FROM memberships WHERE user_id = ? ORDER BY org_id",
        (user_id,),
    )
    return [Membership(user_id=row[0], org_id=row[1], role=_ROLES[row[2]]) for row in rows]


def membership(conn: Conn, user_id: Id, org_id: Id) -> Membership | None:
    """Return the user's membership of the organization, or None."""
    row = conn.one(
        "SELECT role FROM memberships WHERE user_id = ? AND org_id = ?", (user_id, org_id)
    )
    return None if row is None else Membership(user_id=user_id, org_id=org_id, role=_ROLES[row[0]])


def count(conn: Conn) -> int:
    """Return how many users there are."""
    row = conn.one("SELECT count(*) FROM users")
    return int(row[0]) if row else 0


def page(conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20) -> Page[Member]:
    """Return members of the organization by their address."""
    total = conn.one("SELECT count(*) FROM memberships WHERE org_id = ?", (org_id,))
    rows = conn.all(
        "SELECT u.id, u.email, u.password_hash, u.home_org_id, u.is_active, u.last_login_at,"
        " u.created_at, m.role FROM memberships m JOIN users u ON u.id = m.user_id"
        " WHERE m.org_id = ? ORDER BY u.email LIMIT ? OFFSET ?",
        (org_id, limit, offset),
    )
    members = [Member(_user(row), _ROLES[row[7]]) for row in rows]
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
        last_login_at=row[5],
        created_at=row[6],
    )
