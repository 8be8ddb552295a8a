"""Second factors: the sealed secret of one-time codes, the last step used, and recovery codes.

A secret is stored before it counts: a person proves with a code that their app has it, and only
then is it asked for. Of recovery codes only digests are stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.storage import sessions
from netpulse.storage.conn import Conn
from netpulse.storage.sealed import TOTP_SECRET

CLOCK_STEPS = 20
"""Ten minutes: a clock is set back by more than that only when it was wrong."""


PENDING_FOR = 30 * MINUTE
"""How long a secret waits for the first code."""


def begin(conn: Conn, user_id: Id, secret: str, now: Millis) -> bool:
    """Store a secret (base32) that does not count yet, in place of an earlier such one.

    It ends after PENDING_FOR, and with the password that began it (`users.set_password`). Returns
    False, and changes nothing, where a second factor is on already.
    """
    conn.execute(
        "UPDATE users SET totp_secret = ?1, totp_last_step = NULL,"
        " totp_begun_at = ?2, updated_at = ?2 WHERE id = ?3 AND NOT totp_enabled",
        (conn.vault.seal(secret.encode(), TOTP_SECRET.context(user_id)), now, user_id),
    )
    return bool(conn.changes)


def secret(conn: Conn, user_id: Id) -> str | None:
    """Return the user's secret (base32), whether it counts already or not; None without one.

    Raises:
        SealBroken: it does not open.
    """
    row = conn.one("SELECT totp_secret FROM users WHERE id = ?", (user_id,))
    if row is None or row[0] is None:
        return None
    return conn.vault.open(row[0], TOTP_SECRET.context(user_id)).decode()


def pending(conn: Conn, user_id: Id, now: Millis) -> str | None:
    """Return the secret (base32) that waits for its first code, or None: there is none, it was
    begun too long ago, or it counts already.

    Raises:
        SealBroken: it does not open.
    """
    row = conn.one(
        "SELECT 1 FROM users WHERE id = ? AND NOT totp_enabled AND totp_begun_at > ?"
        " AND totp_begun_at <= ?",
        (user_id, now - PENDING_FOR, now),
    )
    return None if row is None else secret(conn, user_id)


def turn_on(conn: Conn, user_id: Id, step: int, now: Millis) -> bool:
    """Let the stored secret count from now on; the code of `step` proved it, and is used up.

    Returns False, and changes nothing, without such a secret or where it counts already.
    """
    conn.execute(
        "UPDATE users SET totp_enabled = 1, totp_last_step = ?, totp_begun_at = NULL,"
        " updated_at = ?"
        " WHERE id = ? AND NOT totp_enabled AND totp_secret IS NOT NULL",
        (step, now, user_id),
    )
    return bool(conn.changes)


def spend_step(conn: Conn, user_id: Id, step: int) -> bool:
    """Use the code of `step` up, and all codes before it; False if that had been done before.

    Atomic: of any number of calls with one step, one is True. A last step that is far ahead
    (CLOCK_STEPS) was used while the clock was wrong; it must not keep the owner out until then.
    """
    conn.execute(
        "UPDATE users SET totp_last_step = ?1 WHERE id = ?2 AND totp_enabled"
        " AND (totp_last_step IS NULL OR totp_last_step < ?1 OR totp_last_step > ?1 + ?3)",
        (step, user_id, CLOCK_STEPS),
    )
    return bool(conn.changes)


def put_codes(conn: Conn, user_id: Id, digests: Sequence[str]) -> None:
    """Store recovery codes (their digests) in place of all earlier ones."""
    conn.execute("DELETE FROM recovery_codes WHERE user_id = ?", (user_id,))
    conn.many(
        "INSERT INTO recovery_codes (user_id, digest) VALUES (?, ?)",
        [(user_id, digest) for digest in digests],
    )


def spend_code(conn: Conn, user_id: Id, digest: str, now: Millis) -> bool:
    """Use a recovery code up; False if it is none of the user's, or was used before.

    Atomic: of any number of calls with one code, one is True.
    """
    conn.execute(
        "UPDATE recovery_codes SET used_at = ? WHERE user_id = ? AND digest = ?"
        " AND used_at IS NULL",
        (now, user_id, digest),
    )
    return bool(conn.changes)


def codes_left(conn: Conn, user_id: Id) -> int:
    """Return how many recovery codes are left."""
    row = conn.one(
        "SELECT count(*) FROM recovery_codes WHERE user_id = ? AND used_at IS NULL", (user_id,)
    )
    return int(row[0]) if row else 0


def turn_off(conn: Conn, user_id: Id, now: Millis) -> bool:
    """Forget the secret, the recovery codes, and the wrong codes that were counted.

    Returns whether a second factor was on; a secret that did not count yet is forgotten too.
    """
    row = conn.one("SELECT totp_enabled FROM users WHERE id = ?", (user_id,))
    conn.execute(
        "UPDATE users SET totp_secret = NULL, totp_enabled = 0, totp_last_step = NULL,"
        " totp_begun_at = NULL, updated_at = ? WHERE id = ?",
        (now, user_id),
    )
    conn.execute("DELETE FROM recovery_codes WHERE user_id = ?", (user_id,))
    conn.execute("DELETE FROM account_failures WHERE user_id = ? AND kind = 'totp'", (user_id,))
    return row is not None and bool(row[0])


def reset(conn: Conn, user_id: Id, now: Millis) -> bool:
    """Turn somebody's second factor off for them, and end all their sessions.

    Returns whether it was on. Whether it may be done, the audit row and the letter to them
    (`web.security_notes.tell`) are the caller's part.
    """
    was_on = turn_off(conn, user_id, now)
    sessions.end_all(conn, user_id, now)
    return was_on
