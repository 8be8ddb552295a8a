"""Organizations."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.storage.conn import Conn, Row

_COLUMNS = "id, name, slug, parent_id, timezone, locale, created_at, version"


def get(conn: Conn, org_id: Id) -> Org | None:
    """Return the organization, or None."""
    row = conn.one(f"SELECT {_COLUMNS} FROM organizations WHERE id = ?", (org_id,))
    return None if row is None else _org(row)


def by_slug(conn: Conn, slug: str) -> Org | None:
    """Return the organization with this slug, or None."""
    row = conn.one(f"SELECT {_COLUMNS} FROM organizations WHERE slug = ?", (slug,))
    return None if row is None else _org(row)


def insert(conn: Conn, org: Org) -> Org:
    """Add an organization.

    Raises:
        UniqueConflict: the slug is taken.
    """
    conn.execute(
        f"INSERT INTO organizations ({_COLUMNS}, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            org.id,
            org.name,
            org.slug,
            org.parent_id,
            org.timezone,
            org.locale,
            org.created_at,
            org.version,
            org.created_at,
        ),
    )
    return org


def free_slug(conn: Conn, wanted: str) -> str:
    """Return `wanted`, or the first of wanted-2, wanted-3 … that no organization has."""
    slug, number = wanted, 1
    while conn.one("SELECT 1 FROM organizations WHERE slug = ?", (slug,)) is not None:
        number += 1
        slug = f"{wanted}-{number}"
    return slug


def count(conn: Conn) -> int:
    """Return how many organizations there are."""
    row = conn.one("SELECT count(*) FROM organizations")
    return int(row[0]) if row else 0


def all(conn: Conn) -> list[Org]:
    """Return every organization, the oldest first."""
    return [_org(row) for row in conn.all(f"SELECT {_COLUMNS} FROM organizations ORDER BY id")]


def _org(row: Row) -> Org:
    return Org(
        id=row[0],
        name=row[1],
        slug=row[2],
        parent_id=row[3],
        timezone=row[4],
        locale=row[5],
        created_at=row[6],
        version=row[7],
    )
