"""Wrong codes and wrong passwords by account, kept on disk so that a restart is no way around.

They count for somebody who is past the front door: who knows the password and guesses at the code,
or who holds an open session and guesses at its owner's password. Wrong passwords of strangers are
counted by `storage.login_attempts`, which never locks anybody's own door.
"""

from __future__ import annotations

from enum import StrEnum

from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.storage.conn import Conn

LIMIT = 5
WINDOW = 15 * MINUTE
"""LIMIT wrong ones within WINDOW milliseconds, and the next ones are not looked at."""


class Kind(StrEnum):
    """What was wrong."""

    PASSWORD = "password"  # noqa: S105 - what was wrong, not a secret
    TOTP = "totp"


def failed(conn: Conn, user_id: Id, kind: Kind, now: Millis) -> int:
    """Note a wrong one, and return how many there are within the window by now."""
    conn.execute(
        "INSERT INTO account_failures (user_id, kind, at) VALUES (?, ?, ?)", (user_id, kind, now)
    )
    row = conn.one(
        "SELECT count(*) FROM account_failures WHERE user_id = ? AND kind = ? AND at > ?",
        (user_id, kind, now - WINDOW),
    )
    return int(row[0]) if row else 0


def blocked_until(conn: Conn, user_id: Id, kind: Kind, now: Millis) -> Millis | None:
    """Return until when nothing of this kind is looked at for the account, or None."""
    row = conn.one(
        "SELECT at FROM account_failures WHERE user_id = ? AND kind = ? AND at > ? AND at <= ?"
        " ORDER BY at DESC LIMIT 1 OFFSET ?",
        (user_id, kind, now - WINDOW, now, LIMIT - 1),
    )
    return None if row is None else int(row[0]) + WINDOW


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove the failures before `at`."""
    conn.execute("DELETE FROM account_failures WHERE at < ?", (at,))
