"""Places: the organizations that somebody may enter, for those who choose one."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.user import Role, User
from netpulse.storage import users
from netpulse.storage.conn import Conn, Params
from netpulse.storage.table import Page, like

_ROLES = {role.word: role for role in Role}


class Place(Struct, frozen=True):
    """An organization that somebody may enter."""

    org_id: Id
    name: str
    role: Role
    """What they may do there."""
    provider: str | None
    """The name of the organization that it is a client of."""


def page(
    conn: Conn, user: User, *, q: str | None = None, offset: int = 0, limit: int = 20
) -> Page[Place]:
    """Return the organizations that the user may enter, the home first, then by name; every one
    there is for a super administrator. `q` is a part of name or slug."""
    home = users.reached(conn, user, user.home_org_id)
    is_super = home is not None and home.role is Role.SUPER_ADMIN
    tables = "organizations o LEFT JOIN organizations p ON p.id = o.parent_id"
    where, params = "o.deleted_at IS NULL", []
    if not is_super:
        tables += " JOIN memberships m ON m.org_id = o.id"
        where += f" AND m.user_id = ? AND {users.IN_EFFECT}"
        params.append(user.id)
    if q is not None and q.strip():
        where += " AND (o.name LIKE ? ESCAPE '\\' OR o.slug LIKE ? ESCAPE '\\')"
        params += [like(q.strip())] * 2
    total = conn.one(f"SELECT count(*) FROM {tables} WHERE {where}", params)
    role = f"'{Role.SUPER_ADMIN.word}'" if is_super else "m.role"
    order: Params = (user.home_org_id, limit, offset)
    rows = conn.all(
        f"SELECT o.id, o.name, {role}, p.name FROM {tables} WHERE {where}"
        " ORDER BY o.id <> ?, o.name COLLATE NOCASE, o.id LIMIT ? OFFSET ?",
        (*params, *order),
    )
    places = [Place(row[0], row[1], _ROLES[row[2]], row[3]) for row in rows]
    return Page(places, int(total[0]) if total else 0)
