"""Status pages, with the services they show and their logos."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec.structs import replace as changed

from netpulse.model.ids import Id
from netpulse.model.status_page import (
    Branding,
    Colors,
    Domain,
    Figures,
    Group,
    Logo,
    Service,
    StatusPage,
    Theme,
)
from netpulse.model.time import Millis
from netpulse.storage import subscribers
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Page, Table, Values

_COLUMNS = (
    "id, org_id, slug, title, text, theme, accent, header, logo_type, logo_digest, logo_size,"
    " domain, domain_token, domain_claimed_at, domain_verified_at, domain_verified_by,"
    " domain_checked_at, domain_problem, password_hash, is_indexed, shows_uptime,"
    " shows_response_times, groups, created_by, created_at, updated_at, version,"
    " takes_subscribers, language"
)
_names = msgspec.json.Decoder(tuple[str, ...])


def _read(conn: Conn, row: Row) -> StatusPage:
    return StatusPage(
        id=row[0],
        org_id=row[1],
        slug=row[2],
        title=row[3],
        text=row[4],
        branding=Branding(
            theme=Theme(row[5]),
            colors=Colors(accent=row[6], header=row[7]),
            logo=None
            if row[9] is None
            else Logo(media_type=row[8], digest=row[9], size=int(row[10])),
        ),
        domain=None
        if row[11] is None
        else Domain(
            name=row[11],
            token=row[12],
            claimed_at=row[13],
            verified_at=row[14],
            verified_by=row[15],
            checked_at=row[16],
            problem=row[17],
        ),
        password_hash=row[18],
        is_indexed=bool(row[19]),
        figures=Figures(uptime=bool(row[20]), response_times=bool(row[21])),
        groups=_groups(conn, row[0], _names.decode(row[22])),
        created_by=row[23],
        created_at=row[24],
        updated_at=row[25],
        version=row[26],
        takes_subscribers=bool(row[27]),
        language=row[28],
    )


def _groups(conn: Conn, page_id: Id, names: tuple[str, ...]) -> tuple[Group, ...]:
    services: list[list[Service]] = [[] for _ in names]
    for number, monitor_id, public_name in conn.all(
        "SELECT group_number, monitor_id, public_name FROM status_page_services"
        " WHERE page_id = ? ORDER BY group_number, position",
        (page_id,),
    ):
        services[number].append(Service(monitor_id=monitor_id, public_name=public_name))
    return tuple(
        Group(name=name, monitors=tuple(found)) for name, found in zip(names, services, strict=True)
    )


def _values(conn: Conn, page: StatusPage) -> Values:
    del conn
    colors, logo, domain = page.branding.colors, page.branding.logo, page.domain
    return {
        "id": page.id,
        "org_id": page.org_id,
        "slug": page.slug,
        "title": page.title,
        "text": page.text,
        "language": page.language,
        "theme": page.branding.theme.value,
        "accent": colors.accent,
        "header": colors.header,
        "logo_type": None if logo is None else logo.media_type,
        "logo_digest": None if logo is None else logo.digest,
        "logo_size": None if logo is None else logo.size,
        "domain": None if domain is None else domain.name,
        "domain_token": None if domain is None else domain.token,
        "domain_claimed_at": None if domain is None else domain.claimed_at,
        "domain_verified_at": None if domain is None else domain.verified_at,
        "domain_verified_by": None if domain is None else domain.verified_by,
        "domain_checked_at": None if domain is None else domain.checked_at,
        "domain_problem": None if domain is None else domain.problem,
        "password_hash": page.password_hash,
        "is_indexed": int(page.is_indexed),
        "shows_uptime": int(page.figures.uptime),
        "shows_response_times": int(page.figures.response_times),
        "takes_subscribers": int(page.takes_subscribers),
        "groups": msgspec.json.encode([group.name for group in page.groups]).decode(),
        "created_by": page.created_by,
        "created_at": page.created_at,
        "updated_at": page.updated_at,
    }


TABLE: Table[StatusPage] = Table(
    "status_pages",
    noun="status page",
    columns=_COLUMNS,
    read=_read,
    write=_values,
    order="title COLLATE NOCASE, id",
)


# The pages


def get(conn: Conn, org_id: Id, page_id: Id) -> StatusPage | None:
    """Return the organization's page, or None."""
    return TABLE.get(conn, org_id, page_id)


def page(conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20) -> Page[StatusPage]:
    """Return pages by their title."""
    return TABLE.page(conn, org_id, offset=offset, limit=limit)


def by_slug(conn: Conn, slug: str) -> StatusPage | None:
    """Return the page of whatever organization with this address, or None."""
    return _anywhere(conn, "slug = ?", slug)


def of_id(conn: Conn, page_id: Id) -> StatusPage | None:
    """Return the page of whatever living organization with this id, or None."""
    return _anywhere(conn, "id = ?", page_id)


def _anywhere(conn: Conn, condition: str, value: str) -> StatusPage | None:
    row = conn.one(
        f"SELECT {_COLUMNS} FROM status_pages p WHERE {condition} AND EXISTS"
        " (SELECT 1 FROM organizations o WHERE o.id = p.org_id AND o.deleted_at IS NULL)",
        (value,),
    )
    return None if row is None else _read(conn, row)


def slug_taken(conn: Conn, slug: str, except_id: Id) -> bool:
    """Tell whether another page than `except_id` has this address."""
    found = conn.one("SELECT 1 FROM status_pages WHERE slug = ? AND id <> ?", (slug, except_id))
    return found is not None


def present(conn: Conn, org_id: Id, ids: Collection[Id]) -> set[Id]:
    """Return those of `ids` that are pages of the organization."""
    rows = conn.all(
        "SELECT id FROM status_pages WHERE org_id = ? AND id IN (SELECT value FROM json_each(?))",
        (org_id, msgspec.json.encode(list(ids)).decode()),
    )
    return {row[0] for row in rows}


def insert(conn: Conn, item: StatusPage) -> StatusPage:
    """Add a page with its services. That they are the organization's own is the caller's to
    check, in the same transaction.

    Raises:
        UniqueConflict: another page has its slug or domain.
    """
    TABLE.insert(conn, item)
    return _with_services(conn, item)


def replace(
    conn: Conn, item: StatusPage, *, expected_version: int | None, now: Millis
) -> StatusPage:
    """Put `item` in the place of the page with its id.

    Raises:
        Missing: the organization has no such page.
        VersionConflict: somebody has changed it since `expected_version`.
        UniqueConflict: another page has its slug or domain.
    """
    TABLE.expect(conn, item.org_id, item.id, expected_version)
    # First: the services that are there may belong to groups that are not any more.
    conn.execute("DELETE FROM status_page_services WHERE page_id = ?", (item.id,))
    TABLE.update(conn, changed(item, updated_at=now), expected_version)
    return _with_services(conn, item)


def _with_services(conn: Conn, item: StatusPage) -> StatusPage:
    conn.many(
        "INSERT INTO status_page_services"
        " (page_id, monitor_id, group_number, position, public_name) VALUES (?, ?, ?, ?, ?)",
        [
            (item.id, service.monitor_id, number, position, service.public_name)
            for number, group in enumerate(item.groups)
            for position, service in enumerate(group.monitors)
        ],
    )
    # A claim begins to be looked for at once; one that is proved, never again.
    waits = item.domain is not None and item.domain.verified_at is None
    conn.execute(
        "UPDATE status_pages SET domain_next_at = CASE WHEN ?2 THEN iif(domain_checked_at IS NULL,"
        " domain_claimed_at, coalesce(domain_next_at, updated_at)) END WHERE id = ?1",
        (item.id, int(waits)),
    )
    stored = get(conn, item.org_id, item.id)
    assert stored is not None, "it was just written in this transaction"
    return stored


def delete(conn: Conn, item: StatusPage) -> None:
    """Remove a page with all that belongs to it."""
    subscribers.end_all(conn, item.id)
    TABLE.delete(conn, item.org_id, item.id)


def clear_way(conn: Conn, slug: str, domain: str | None) -> None:
    """Remove pages of deleted organizations that hold this address or domain.

    They go with their organization; one that was left behind must not keep its address for ever.
    """
    conn.execute(
        "DELETE FROM status_pages WHERE (slug = ?1 OR domain = ?2) AND org_id IN"
        " (SELECT id FROM organizations WHERE deleted_at IS NOT NULL)",
        (slug, domain),
    )


def forget_monitor(conn: Conn, monitor_id: Id) -> None:
    """Take a monitor that is deleted off every page."""
    conn.execute("DELETE FROM status_page_services WHERE monitor_id = ?", (monitor_id,))


# Logos


def put_logo(conn: Conn, page_id: Id, body: bytes | None) -> None:
    """Keep a logo's bytes, or none; its description is in the page itself."""
    conn.execute("DELETE FROM status_page_logos WHERE page_id = ?", (page_id,))
    if body is not None:
        conn.execute("INSERT INTO status_page_logos (page_id, body) VALUES (?, ?)", (page_id, body))


def logo(conn: Conn, page_id: Id) -> bytes | None:
    """Return a logo's bytes, or None."""
    row = conn.one("SELECT body FROM status_page_logos WHERE page_id = ?", (page_id,))
    return None if row is None else bytes(row[0])
