"""What lets somebody into an organization, and what strangers may see of it, counted."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.audit import AuditRow
from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis
from netpulse.storage import audit, invitations, users
from netpulse.storage.audit import AuditFilter
from netpulse.storage.conn import Conn

UNUSED = 90 * DAY
"""A key that nobody used for so long is not needed any more, it seems."""
LATELY = 7 * DAY
MOST = 10
"""People and failures that are named."""


class Exposure(Struct, frozen=True, kw_only=True):
    """All of that at one moment."""

    people: int
    """Who may sign in here: members and those with a grant, without the disabled."""
    unprotected: list[tuple[Id, str]]
    """(id, address) of the first of them whose password alone opens the account."""
    unprotected_total: int
    granted: int
    """Those who are no members."""
    invited: int
    """Invitations that can be accepted."""
    working_keys: int
    endless: int
    """Keys that never expire."""
    unused: int
    """Keys that were not used for UNUSED, and are older than that."""
    failures: list[AuditRow]
    """The latest failed sign-ins of LATELY."""
    failures_total: int
    badges: int
    """Monitors whose badges are on."""
    pages: int
    """Status pages."""
    open_pages: int
    """Those without a password."""


_PEOPLE = (
    "FROM memberships m JOIN users u ON u.id = m.user_id"
    f" WHERE m.org_id = ? AND u.is_active AND {users.IN_EFFECT}"
)


def look(conn: Conn, org_id: Id, now: Millis) -> Exposure:
    """Return what it is now."""
    unprotected = conn.all(
        f"SELECT u.id, u.email {_PEOPLE} AND NOT u.totp_enabled ORDER BY u.email", (org_id,)
    )
    failed = audit.page(
        conn, org_id, AuditFilter(action="auth.login_failed", start=now - LATELY), limit=MOST
    )
    keys = (org_id, now)
    return Exposure(
        people=_count(conn, _PEOPLE, (org_id,)),
        unprotected=[(row[0], row[1]) for row in unprotected[:MOST]],
        unprotected_total=len(unprotected),
        granted=_count(conn, f"{_PEOPLE} AND m.kind = 'grant'", (org_id,)),
        invited=invitations.count_open(conn, org_id, now),
        working_keys=_count(conn, _KEYS, keys),
        endless=_count(conn, f"{_KEYS} AND expires_at IS NULL", keys),
        unused=_count(
            conn, f"{_KEYS} AND max(created_at, ifnull(last_used_at, 0)) < ?", (*keys, now - UNUSED)
        ),
        failures=failed.rows,
        failures_total=failed.total,
        badges=_count(
            conn,
            "FROM monitor_badges b CROSS JOIN monitors m ON m.id = b.monitor_id"
            " WHERE +m.org_id = ?",
            (org_id,),
        ),
        pages=_count(conn, "FROM status_pages WHERE org_id = ?", (org_id,)),
        open_pages=_count(
            conn, "FROM status_pages WHERE org_id = ? AND password_hash IS NULL", (org_id,)
        ),
    )


_KEYS = "FROM api_keys WHERE org_id = ? AND (expires_at IS NULL OR expires_at > ?)"


def _count(conn: Conn, what: str, values: tuple[object, ...]) -> int:
    row = conn.one(f"SELECT count(*) {what}", values)  # type: ignore[arg-type]  # ids and moments
    return int(row[0]) if row else 0
