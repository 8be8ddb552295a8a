"""Links with which a forgotten password is replaced. Of a link only the digest is stored."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.model.user import User
from netpulse.rules.password_resets import LASTS
from netpulse.storage import login_attempts, users
from netpulse.storage.conn import Conn

KEPT = DAY
"""How long it is known that a link was written: the limits look back an hour."""


MOST_WRONG_CODES = 5
"""So many wrong one-time codes with one link, and it takes no further ones."""


def begin(conn: Conn, user_id: Id, digest: str, now: Millis) -> None:
    """Let the link with this digest set the user's password, once; every earlier one ends."""
    conn.execute(
        "UPDATE password_resets SET used_at = ? WHERE user_id = ? AND used_at IS NULL",
        (now, user_id),
    )
    conn.execute(
        "INSERT INTO password_resets (digest, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
        (digest, user_id, now, now + LASTS),
    )


def find(conn: Conn, digest: str, now: Millis) -> User | None:
    """Return whose password the link with this digest may set; None where it is none, was used or
    ended (by a newer one, or with the password: `users.set_password`), has expired, or where that
    person may not come in anyway."""
    row = conn.one(
        "SELECT r.user_id FROM password_resets r WHERE r.digest = ?1 AND r.used_at IS NULL"
        # The latter: a clock that was set back makes no link last longer.
        " AND r.expires_at > ?2 AND r.expires_at <= ?3",
        (digest, now, now + LASTS),
    )
    user = None if row is None else users.get(conn, row[0])
    return user if user is not None and users.landing(conn, user) is not None else None


def use(conn: Conn, digest: str, now: Millis) -> bool:
    """Use a link up; False where it was used or has expired. Of any number of calls one is True."""
    conn.execute(
        "UPDATE password_resets SET used_at = ?1"
        " WHERE digest = ?2 AND used_at IS NULL AND expires_at > ?1",
        (now, digest),
    )
    return conn.changes == 1


def wrong_codes(conn: Conn, digest: str) -> tuple[int, Millis]:
    """Return how many wrong one-time codes came with the link, and when it ends."""
    row = conn.one(
        "SELECT wrong_codes, expires_at FROM password_resets WHERE digest = ?", (digest,)
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def code_failed(conn: Conn, digest: str) -> int:
    """Note a wrong one-time code with the link; return how many there are by now."""
    conn.execute(
        "UPDATE password_resets SET wrong_codes = wrong_codes + 1 WHERE digest = ?", (digest,)
    )
    return wrong_codes(conn, digest)[0]


def written(conn: Conn, user_id: Id, now: Millis) -> list[Millis]:
    """Return when links were written for the user in the last hour."""
    rows = conn.all(
        "SELECT created_at FROM password_resets WHERE user_id = ? AND created_at > ?",
        (user_id, now - HOUR),
    )
    return [int(row[0]) for row in rows]


def one_holds(conn: Conn, user_id: Id, now: Millis) -> bool:
    """Tell whether the user has a link that can still be used, with a one-time code too."""
    row = conn.one(
        "SELECT 1 FROM password_resets WHERE user_id = ?1 AND used_at IS NULL"
        " AND expires_at > ?2 AND expires_at <= ?3 AND wrong_codes < ?4",
        (user_id, now, now + LASTS, MOST_WRONG_CODES),
    )
    return row is not None


def asked(conn: Conn, address: str, now: Millis) -> Millis | None:
    """Count that somebody asks for a new password from `address` (the bucket, as for sign-ins).

    Returns None, or until when nothing is done for that address: the limits are those of failed
    sign-ins, which are counted beside these and not with them.
    """
    name = f"forgot {address}"
    until = login_attempts.blocked_until(conn, name, now)
    if until is None:
        login_attempts.failed(conn, name, now)
    return until


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove what is known of links written before `at`."""
    conn.execute("DELETE FROM password_resets WHERE created_at < ?", (at,))
