"""The clients of a provider: its organizations, who of its people may enter them, their plans."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.org import Org, Quotas
from netpulse.model.time import Millis
from netpulse.model.user import Role
from netpulse.storage import orgs, quotas, users
from netpulse.storage.conn import Conn, Params
from netpulse.storage.quotas import Used
from netpulse.storage.table import Page, like, listed

_ROLES = {role.word: role for role in Role}


class Client(Struct, frozen=True, kw_only=True):
    """A client as its provider sees it."""

    org: Org
    used: Used
    grants: dict[Id, Role]
    """What people of the provider may do there, by user: the grants that are in effect."""


class Entry(Struct, frozen=True):
    """A client that somebody may enter."""

    id: Id
    name: str
    role: Role


class Down(Struct, frozen=True):
    """A monitor that is down."""

    id: Id
    name: str
    since: Millis


def get(conn: Conn, provider_id: Id, client_id: Id, now: Millis) -> Client | None:
    """Return the provider's client, or None if it has none with this id (any more)."""
    org = orgs.get(conn, client_id)
    if org is None or org.parent_id != provider_id or org.deleted_at is not None:
        return None
    return _seen(conn, [org], now)[0]


def page(
    conn: Conn,
    provider_id: Id,
    *,
    q: str | None = None,
    plan: str | None = None,
    offset: int = 0,
    limit: int = 20,
    now: Millis,
) -> Page[Client]:
    """Return clients by name; `q` is a part of name or slug, `plan` the name of their plan."""
    where, params = _where(provider_id, q)
    if plan is not None:
        where, params = f"{where} AND plan = ?", (*params, plan)
    total = conn.one(f"SELECT count(*) FROM organizations WHERE {where}", params)
    rows = conn.all(
        f"SELECT id FROM organizations WHERE {where} ORDER BY name COLLATE NOCASE, id"
        " LIMIT ? OFFSET ?",
        (*params, limit, offset),
    )
    found = [org for row in rows if (org := orgs.get(conn, row[0])) is not None]
    return Page(_seen(conn, found, now), int(total[0]) if total else 0)


def entered_by(
    conn: Conn, provider_id: Id, user_id: Id, *, all_as: Role | None = None, q: str | None = None
) -> list[Entry]:
    """Return the provider's clients that the user may enter, by name; `all_as`: every one, in this
    role (of a super administrator)."""
    where, params = _where(provider_id, q)
    if all_as is not None:
        rows = conn.all(
            f"SELECT id, name FROM organizations WHERE {where} ORDER BY name COLLATE NOCASE, id",
            params,
        )
        return [Entry(row[0], row[1], all_as) for row in rows]
    rows = conn.all(
        "SELECT o.id, o.name, m.role FROM organizations o JOIN memberships m ON m.org_id = o.id"
        f" WHERE m.user_id = ? AND {users.IN_EFFECT} AND o.id IN"
        f" (SELECT id FROM organizations WHERE {where}) ORDER BY o.name COLLATE NOCASE, o.id",
        (user_id, *params),
    )
    return [Entry(row[0], row[1], _ROLES[row[2]]) for row in rows]


def down_in(conn: Conn, client_id: Id, limit: int) -> list[Down]:
    """Return what is down in a client and not in maintenance, the longest first."""
    rows = conn.all(
        "SELECT m.id, m.name, w.since FROM watches w JOIN monitors m ON m.id = w.monitor_id"
        " WHERE w.org_id = ? AND w.status = 'down' AND w.region = ? AND m.maintained_until IS NULL"
        " AND m.deleted_at IS NULL ORDER BY w.since, m.key LIMIT ?",
        (client_id, LOCAL, limit),
    )
    return [Down(row[0], row[1], row[2]) for row in rows]


def count(conn: Conn, provider_id: Id) -> int:
    """Return how many clients the organization has."""
    where, params = _where(provider_id, None)
    row = conn.one(f"SELECT count(*) FROM organizations WHERE {where}", params)
    return int(row[0]) if row else 0


def has_any(conn: Conn, provider_id: Id) -> bool:
    """Tell whether the organization has clients."""
    where, params = _where(provider_id, None)
    return conn.one(f"SELECT 1 FROM organizations WHERE {where} LIMIT 1", params) is not None


def enters_any(conn: Conn, provider_id: Id, user_id: Id) -> bool:
    """Tell whether the user may enter a client of the organization."""
    row = conn.one(
        "SELECT 1 FROM memberships m JOIN organizations o ON o.id = m.org_id WHERE m.user_id = ?"
        f" AND o.parent_id = ? AND o.deleted_at IS NULL AND {users.IN_EFFECT} LIMIT 1",
        (user_id, provider_id),
    )
    return row is not None


def plans(conn: Conn, provider_id: Id) -> dict[str, Quotas]:
    """Return the plans that the provider's clients have, by name, with the quotas of the client
    that was changed last."""
    where, params = _where(provider_id, None)
    rows = conn.all(
        f"SELECT plan, id FROM organizations WHERE {where} ORDER BY plan, updated_at, id", params
    )
    latest: dict[str, Id] = {row[0]: row[1] for row in rows}
    found = {plan: orgs.get(conn, client_id) for plan, client_id in latest.items()}
    return {plan: org.quotas for plan, org in found.items() if org is not None}


def _where(provider_id: Id, q: str | None) -> tuple[str, Params]:
    where = "parent_id = ? AND deleted_at IS NULL"
    if q is None or not q.strip():
        return where, (provider_id,)
    part = like(q.strip())
    return f"{where} AND (name LIKE ? ESCAPE '\\' OR slug LIKE ? ESCAPE '\\')", (
        provider_id,
        part,
        part,
    )


def _seen(conn: Conn, found: list[Org], now: Millis) -> list[Client]:
    ids = [org.id for org in found]
    used = quotas.used(conn, ids, now)
    grants: dict[Id, dict[Id, Role]] = {client_id: {} for client_id in ids}
    # For a long list of clients SQLite would rather read every membership there is.
    rows = conn.all(
        "SELECT m.org_id, m.user_id, m.role FROM memberships m INDEXED BY memberships_org"
        " JOIN users u ON u.id = m.user_id"
        " WHERE m.org_id IN (SELECT value FROM json_each(?)) AND m.kind = 'grant' AND u.is_active"
        f" AND {users.IN_EFFECT}",
        (listed(ids),),
    )
    for client_id, user_id, role in rows:
        grants[client_id][user_id] = _ROLES[role]
    return [Client(org=org, used=used[org.id], grants=grants[org.id]) for org in found]
