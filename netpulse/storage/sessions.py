"""Sessions of pages, and families of refresh tokens. Only digests of tokens are stored."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id, new_id
from netpulse.model.time import DAY, Millis
from netpulse.storage.conn import Conn

FAMILY_LASTS = 90 * DAY
"""How long a sign-in of a program lasts at most, however often its token is renewed."""


class SessionRow(Struct, frozen=True, kw_only=True):
    """A signed-in browser."""

    id: Id
    """What it is called where people see and end it; the digest stays inside."""
    digest: str
    user_id: Id
    org_id: Id
    created_at: Millis
    last_seen_at: Millis
    expires_at: Millis
    ip: str | None
    user_agent: str | None


class Rotated(StrEnum):
    """What became of a refresh token that was shown."""

    OK = "ok"
    REUSED = "reused"
    """It had been used before: somebody has a copy, and the whole family is revoked now."""
    REVOKED = "revoked"
    """Its family was revoked before, or its user is not active."""
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Rotation(Struct, frozen=True, kw_only=True):
    """The outcome of a rotation; with OK the new token stands."""

    outcome: Rotated
    family_id: Id | None = None
    user_id: Id | None = None
    revoked: bool = False
    """Whether this was what revoked the family: of REUSED, only the first time."""


def create(
    conn: Conn,
    digest: str,
    user_id: Id,
    org_id: Id,
    now: Millis,
    expires_at: Millis,
    ip: str | None,
    user_agent: str | None,
) -> SessionRow:
    """Begin a session."""
    session_id = new_id(now)
    conn.execute(
        "INSERT INTO sessions (id, token_digest, user_id, org_id, created_at, last_seen_at,"
        " expires_at, ip, user_agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (session_id, digest, user_id, org_id, now, now, expires_at, ip, user_agent),
    )
    return SessionRow(
        id=session_id,
        digest=digest,
        user_id=user_id,
        org_id=org_id,
        created_at=now,
        last_seen_at=now,
        expires_at=expires_at,
        ip=ip,
        user_agent=user_agent,
    )


def find(conn: Conn, digest: str, now: Millis) -> SessionRow | None:
    """Return the session, or None: unknown, ended, expired, or of a user who is not active."""
    row = conn.one(
        "SELECT s.token_digest, s.user_id, s.org_id, s.created_at, s.last_seen_at, s.expires_at,"
        " s.ip, s.user_agent, s.id FROM sessions s JOIN users u ON u.id = s.user_id"
        " WHERE s.token_digest = ? AND s.expires_at > ? AND u.is_active",
        (digest, now),
    )
    if row is None:
        return None
    return SessionRow(
        id=row[8],
        digest=row[0],
        user_id=row[1],
        org_id=row[2],
        created_at=row[3],
        last_seen_at=row[4],
        expires_at=row[5],
        ip=row[6],
        user_agent=row[7],
    )


def touch(conn: Conn, digest: str, now: Millis) -> None:
    """Note that the session is in use."""
    conn.execute("UPDATE sessions SET last_seen_at = ? WHERE token_digest = ?", (now, digest))


def move(conn: Conn, digest: str, org_id: Id) -> None:
    """Let the session act in another organization."""
    conn.execute("UPDATE sessions SET org_id = ? WHERE token_digest = ?", (org_id, digest))


def end(conn: Conn, digest: str) -> None:
    """End one session."""
    conn.execute("DELETE FROM sessions WHERE token_digest = ?", (digest,))


def renew(conn: Conn, digest: str, new_digest: str) -> None:
    """Let a session go on under another token; the old one is worth nothing from now on."""
    conn.execute(
        "UPDATE sessions SET token_digest = ? WHERE token_digest = ?", (new_digest, digest)
    )


def end_all(
    conn: Conn,
    user_id: Id,
    now: Millis,
    *,
    keep: str | None = None,
    keep_family: Id | None = None,
) -> None:
    """End every session of the user but the one with the digest `keep`, and revoke all their
    refresh tokens but those of the family `keep_family`."""
    conn.execute(
        "DELETE FROM sessions WHERE user_id = ?1 AND (?2 IS NULL OR token_digest <> ?2)",
        (user_id, keep),
    )
    conn.execute(
        "UPDATE refresh_families SET revoked_at = ?1 WHERE user_id = ?2 AND revoked_at IS NULL"
        " AND (?3 IS NULL OR id <> ?3)",
        (now, user_id, keep_family),
    )


def forget_expired(conn: Conn, now: Millis) -> None:
    """Remove what can be used no more."""
    conn.execute("DELETE FROM sessions WHERE expires_at <= ?", (now,))
    conn.execute(
        "DELETE FROM refresh_families WHERE id IN (SELECT family_id FROM refresh_tokens"
        " GROUP BY family_id HAVING max(expires_at) <= ?)",
        (now,),
    )


def start_family(
    conn: Conn,
    user_id: Id,
    digest: str,
    now: Millis,
    expires_at: Millis,
    *,
    ip: str | None = None,
    user_agent: str | None = None,
) -> Id:
    """Begin a family of refresh tokens with its first one; returns the family's id."""
    family_id = new_id(now)
    conn.execute(
        "INSERT INTO refresh_families (id, user_id, created_at, ip, user_agent)"
        " VALUES (?, ?, ?, ?, ?)",
        (family_id, user_id, now, ip, user_agent),
    )
    _add_token(conn, digest, family_id, now, expires_at)
    return family_id


def rotate(
    conn: Conn, old_digest: str, new_digest: str, now: Millis, expires_at: Millis
) -> Rotation:
    """Use a refresh token up and put the next one, which lasts until `expires_at`, in its place;
    no longer than FAMILY_LASTS after the sign-in.

    Atomic: of two calls with one token the second is REUSED, and the family revoked.
    """
    row = conn.one(
        "SELECT t.family_id, t.used_at, t.expires_at, f.user_id, f.revoked_at, u.is_active,"
        " f.created_at"
        " FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id"
        " JOIN users u ON u.id = f.user_id WHERE t.digest = ?",
        (old_digest,),
    )
    if row is None:
        return Rotation(outcome=Rotated.UNKNOWN)
    family_id, used_at, expired_at, user_id, revoked_at, is_active, began_at = row
    ends_at = began_at + FAMILY_LASTS
    outcome, revoked = Rotated.OK, False
    if used_at is not None:
        outcome = Rotated.REUSED
        revoked = revoke_family(conn, family_id, now) is not None
    elif revoked_at is not None or not is_active:
        outcome = Rotated.REVOKED
    elif expired_at <= now or ends_at <= now:
        outcome = Rotated.EXPIRED
    else:
        conn.execute("UPDATE refresh_tokens SET used_at = ? WHERE digest = ?", (now, old_digest))
        conn.execute("UPDATE refresh_families SET last_used_at = ? WHERE id = ?", (now, family_id))
        _add_token(conn, new_digest, family_id, now, min(expires_at, ends_at))
    return Rotation(outcome=outcome, family_id=family_id, user_id=user_id, revoked=revoked)


def family_of(conn: Conn, digest: str) -> Id | None:
    """Return the family of a refresh token, used or not, or None."""
    row = conn.one("SELECT family_id FROM refresh_tokens WHERE digest = ?", (digest,))
    return None if row is None else str(row[0])


def revoke_family(conn: Conn, family_id: Id, now: Millis) -> Id | None:
    """End a family: none of its tokens is taken any more. Returns whose it was, or None if there
    was nothing left to revoke."""
    row = conn.one(
        "UPDATE refresh_families SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        " RETURNING user_id",
        (now, family_id),
    )
    return None if row is None else str(row[0])


def family_began(conn: Conn, family_id: Id) -> Millis | None:
    """Return when the sign-in behind a family was made, or None if there is no such family."""
    row = conn.one("SELECT created_at FROM refresh_families WHERE id = ?", (family_id,))
    return None if row is None else int(row[0])


def family_stands(conn: Conn, family_id: Id) -> bool:
    """Tell whether a family is neither revoked nor forgotten, and its user active."""
    row = conn.one(
        "SELECT 1 FROM refresh_families f JOIN users u ON u.id = f.user_id"
        " WHERE f.id = ? AND f.revoked_at IS NULL AND u.is_active",
        (family_id,),
    )
    return row is not None


def _add_token(conn: Conn, digest: str, family_id: Id, now: Millis, expires_at: Millis) -> None:
    conn.execute(
        "INSERT INTO refresh_tokens (digest, family_id, created_at, expires_at)"
        " VALUES (?, ?, ?, ?)",
        (digest, family_id, now, expires_at),
    )
