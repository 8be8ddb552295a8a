"""Organizations."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.org import Org, Quotas
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn, Row
from netpulse.storage.errors import Missing, VersionConflict

_COLUMNS = (
    "id, name, slug, parent_id, timezone, locale, plan, max_monitors, max_users, retention_days,"
    " private_targets, created_at, deleted_at, version"
)


def get(conn: Conn, org_id: Id) -> Org | None:
    """Return the organization, or None; a deleted one too, which its `deleted_at` tells."""
    row = conn.one(f"SELECT {_COLUMNS} FROM organizations WHERE id = ?", (org_id,))
    return None if row is None else _org(row)


def by_slug(conn: Conn, slug: str) -> Org | None:
    """Return the organization with this slug, or None."""
    row = conn.one(
        f"SELECT {_COLUMNS} FROM organizations WHERE slug = ? AND deleted_at IS NULL", (slug,)
    )
    return None if row is None else _org(row)


def insert(conn: Conn, org: Org) -> Org:
    """Add an organization.

    Raises:
        UniqueConflict: the slug is taken.
    """
    quotas = org.quotas
    conn.execute(
        f"INSERT INTO organizations ({_COLUMNS}, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            org.id,
            org.name,
            org.slug,
            org.parent_id,
            org.timezone,
            org.locale,
            org.plan,
            quotas.monitors,
            quotas.users,
            quotas.retention_days,
            int(quotas.private_targets),
            org.created_at,
            org.deleted_at,
            org.version,
            org.created_at,
        ),
    )
    return org


def replace(conn: Conn, org: Org, expected_version: int | None, now: Millis) -> Org:
    """Store the name, zone, locale, plan and quotas of `org`, count its version up, and return it
    as it is now. With `expected_version` only if nobody else has changed it since.

    Raises:
        Missing: there is no such organization (any more).
        VersionConflict: its version is another one.
    """
    stored = get(conn, org.id)
    if stored is None or stored.deleted_at is not None:
        raise Missing("organization")
    if expected_version is not None and stored.version != expected_version:
        raise VersionConflict(expected_version, stored.version)
    quotas = org.quotas
    conn.execute(
        "UPDATE organizations SET name = ?, timezone = ?, locale = ?, plan = ?, max_monitors = ?,"
        " max_users = ?, retention_days = ?, private_targets = ?, updated_at = ?,"
        " version = version + 1 WHERE id = ?",
        (
            org.name,
            org.timezone,
            org.locale,
            org.plan,
            quotas.monitors,
            quotas.users,
            quotas.retention_days,
            int(quotas.private_targets),
            now,
            org.id,
        ),
    )
    changed = get(conn, org.id)
    assert changed is not None, "it was just changed in this transaction"
    return changed


def free_slug(conn: Conn, wanted: str) -> str:
    """Return `wanted`, or the first of wanted-2, wanted-3 … that no organization has."""
    slug, number = wanted, 1
    while conn.one("SELECT 1 FROM organizations WHERE slug = ?", (slug,)) is not None:
        number += 1
        slug = f"{wanted}-{number}"
    return slug


def count(conn: Conn) -> int:
    """Return how many organizations there are."""
    row = conn.one("SELECT count(*) FROM organizations WHERE deleted_at IS NULL")
    return int(row[0]) if row else 0


def all(conn: Conn) -> list[Org]:
    """Return every organization, the oldest first."""
    rows = conn.all(f"SELECT {_COLUMNS} FROM organizations WHERE deleted_at IS NULL ORDER BY id")
    return [_org(row) for row in rows]


def _org(row: Row) -> Org:
    return Org(
        id=row[0],
        name=row[1],
        slug=row[2],
        parent_id=row[3],
        timezone=row[4],
        locale=row[5],
        plan=row[6],
        quotas=Quotas(
            monitors=row[7],
            users=row[8],
            retention_days=row[9],
            private_targets=bool(row[10]),
        ),
        created_at=row[11],
        deleted_at=row[12],
        version=row[13],
    )
