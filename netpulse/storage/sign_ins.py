"""A person's open sign-ins: browsers, and programs with refresh tokens, in one list."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.storage import sessions
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Page


class SignInKind(StrEnum):
    """What holds it."""

    PAGE = "page"
    """A browser, by its session cookie."""
    API = "api"
    """A program, by a family of refresh tokens."""


class SignIn(Struct, frozen=True, kw_only=True, gc=False):
    """One open sign-in."""

    id: Id
    kind: SignInKind
    digest: str | None
    """The stored digest of a page session."""
    created_at: Millis
    last_seen_at: Millis
    """To some minutes; of a program when it refreshed last."""
    expires_at: Millis
    """When it ends if it is not used any more."""
    ip: str | None
    """Where it began."""
    user_agent: str | None


_OPEN = """
    SELECT id, 'page' AS kind, token_digest, created_at, last_seen_at,
        min(expires_at, last_seen_at + ?3) AS expires_at, ip, user_agent
    FROM sessions WHERE user_id = ?1
    UNION ALL
    SELECT f.id, 'api', NULL, f.created_at, coalesce(f.last_used_at, f.created_at),
        (SELECT max(t.expires_at) FROM refresh_tokens t WHERE t.family_id = f.id), f.ip,
        f.user_agent
    FROM refresh_families f WHERE f.user_id = ?1 AND f.revoked_at IS NULL
"""


def page(
    conn: Conn, user_id: Id, now: Millis, *, idle_ms: Millis, offset: int = 0, limit: int = 20
) -> Page[SignIn]:
    """Return the user's open sign-ins, the one used last first. A page session that was not used
    for `idle_ms` is over."""
    wanted = (user_id, now, idle_ms)
    total = conn.one(f"SELECT count(*) FROM ({_OPEN}) WHERE expires_at > ?2", wanted)
    rows = conn.all(
        f"SELECT * FROM ({_OPEN}) WHERE expires_at > ?2"
        " ORDER BY last_seen_at DESC, id DESC LIMIT ?4 OFFSET ?5",
        (*wanted, limit, offset),
    )
    return Page([_sign_in(row) for row in rows], int(total[0]) if total else 0)


def get(conn: Conn, user_id: Id, sign_in_id: Id, now: Millis, *, idle_ms: Millis) -> SignIn | None:
    """Return one open sign-in of the user, or None."""
    rows = conn.all(
        f"SELECT * FROM ({_OPEN}) WHERE expires_at > ?2 AND id = ?4",
        (user_id, now, idle_ms, sign_in_id),
    )
    return _sign_in(rows[0]) if rows else None


def end(conn: Conn, sign_in: SignIn, now: Millis) -> None:
    """End a sign-in: nothing that it holds is taken any more."""
    if sign_in.digest is not None:
        sessions.end(conn, sign_in.digest)
    else:
        sessions.revoke_family(conn, sign_in.id, now)


def _sign_in(row: Row) -> SignIn:
    return SignIn(
        id=row[0],
        kind=SignInKind(row[1]),
        digest=row[2],
        created_at=row[3],
        last_seen_at=row[4],
        expires_at=row[5],
        ip=row[6],
        user_agent=row[7],
    )
