"""The domains of status pages: who claims which, since when, and whether it was proved."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.status_page import Domain, StatusPage
from netpulse.model.time import DAY, Millis
from netpulse.storage import status_pages
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing

CLAIM_DAYS = 7
"""How long a domain is kept for whoever claims it without a proof."""


class Claim(Struct, frozen=True):
    """A domain that some page has, proved or not."""

    page_id: Id
    org_id: Id
    slug: str
    domain: Domain


def claims(conn: Conn) -> list[Claim]:
    """Return the domains of all pages of living organizations."""
    return _claims(conn, "1")


def claim_of(conn: Conn, name: str) -> Claim | None:
    """Return whose a domain is, or None."""
    found = _claims(conn, "p.domain = ?", name)
    return found[0] if found else None


def claims_due(conn: Conn, now: Millis, limit: int) -> list[Claim]:
    """Return unproved domains that are to be looked for, the longest due first."""
    return _claims(conn, "p.domain_next_at <= ? ORDER BY p.domain_next_at LIMIT ?", now, limit)


def next_claim(conn: Conn) -> Millis | None:
    """Return when the next unproved domain is to be looked for, or None."""
    row = conn.one("SELECT min(domain_next_at) FROM status_pages WHERE domain_next_at IS NOT NULL")
    return None if row is None else row[0]


def _claims(conn: Conn, condition: str, *params: str | int) -> list[Claim]:
    rows = conn.all(
        "SELECT p.id, p.org_id, p.slug, p.domain, p.domain_token, p.domain_claimed_at,"
        " p.domain_verified_at, p.domain_verified_by, p.domain_checked_at, p.domain_problem"
        " FROM status_pages p JOIN organizations o ON o.id = p.org_id AND o.deleted_at IS NULL"
        f" WHERE p.domain IS NOT NULL AND {condition}",
        params,
    )
    return [
        Claim(
            page_id=row[0],
            org_id=row[1],
            slug=row[2],
            domain=Domain(
                name=row[3],
                token=row[4],
                claimed_at=row[5],
                verified_at=row[6],
                verified_by=row[7],
                checked_at=row[8],
                problem=row[9],
            ),
        )
        for row in rows
    ]


def is_stale(domain: Domain, now: Millis) -> bool:
    """Tell whether a claim without a proof is so old that it gives way to another's."""
    return domain.verified_at is None and domain.claimed_at + CLAIM_DAYS * DAY <= now


def release(conn: Conn, page_id: Id) -> None:
    """Take its domain from a page."""
    conn.execute(
        "UPDATE status_pages SET domain = NULL, domain_token = NULL, domain_claimed_at = NULL,"
        " domain_verified_at = NULL, domain_verified_by = NULL, domain_checked_at = NULL,"
        " domain_problem = NULL, domain_next_at = NULL, version = version + 1 WHERE id = ?",
        (page_id,),
    )


def looked(
    conn: Conn, claim: Claim, problem: str | None, now: Millis, again_at: Millis | None
) -> bool:
    """Note what a look for the proof of `claim` found: None proves it.

    Returns False, and notes nothing, where the page has another domain or token by now.
    """
    conn.execute(
        "UPDATE status_pages SET domain_checked_at = ?1, domain_problem = ?2,"
        " domain_verified_at = CASE WHEN ?2 IS NULL THEN coalesce(domain_verified_at, ?1)"
        " ELSE domain_verified_at END,"
        " domain_verified_by = CASE WHEN ?2 IS NULL THEN coalesce(domain_verified_by, 'dns')"
        " ELSE domain_verified_by END,"
        # Once proved it stays so, and is not looked for any more.
        " domain_next_at = CASE WHEN domain_verified_at IS NULL THEN ?3 END"
        " WHERE id = ?4 AND domain = ?5 AND domain_token = ?6",
        (now, problem, again_at, claim.page_id, claim.domain.name, claim.domain.token),
    )
    return conn.changes > 0


def vouch(conn: Conn, org_id: Id, page_id: Id, now: Millis) -> StatusPage:
    """Take a page's domain as proved because a super admin says so.

    Raises:
        Missing: the organization has no such page.
    """
    conn.execute(
        "UPDATE status_pages SET domain_verified_at = ?1, domain_verified_by = 'admin',"
        " domain_problem = NULL, domain_next_at = NULL, updated_at = ?1, version = version + 1"
        " WHERE org_id = ?2 AND id = ?3 AND domain IS NOT NULL AND domain_verified_at IS NULL",
        (now, org_id, page_id),
    )
    stored = status_pages.get(conn, org_id, page_id)
    if stored is None:
        raise Missing("status page")
    return stored
