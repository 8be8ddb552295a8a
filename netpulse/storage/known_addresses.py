"""The addresses from which people have signed in: no stranger can close that door to them."""

from __future__ import annotations

from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis
from netpulse.storage.conn import Conn

KEPT = 180 * DAY
MOST = 50
"""So many a person; the one that was used longest ago goes first."""


def note(conn: Conn, user_id: Id, address: str, now: Millis) -> None:
    """Note that the user has signed in from this address (`web.proxies.bucket`)."""
    conn.execute(
        "INSERT INTO known_addresses (user_id, address, last_at) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id, address) DO UPDATE SET last_at = excluded.last_at",
        (user_id, address, now),
    )
    conn.execute(
        "DELETE FROM known_addresses WHERE user_id = ?1 AND address NOT IN (SELECT address FROM"
        " known_addresses WHERE user_id = ?1 ORDER BY last_at DESC, address LIMIT ?2)",
        (user_id, MOST),
    )


def is_known(conn: Conn, user_id: Id, address: str) -> bool:
    """Tell whether the user has signed in from this address before."""
    row = conn.one(
        "SELECT 1 FROM known_addresses WHERE user_id = ? AND address = ?", (user_id, address)
    )
    return row is not None


def forget(conn: Conn, user_id: Id, *, keep: str | None = None) -> None:
    """Forget from where the user has signed in, but for the address `keep`: with the password that
    a stranger knew ends what the stranger signed in from."""
    conn.execute(
        "DELETE FROM known_addresses WHERE user_id = ?1 AND (?2 IS NULL OR address <> ?2)",
        (user_id, keep),
    )


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove the addresses that were last used before `at`."""
    conn.execute("DELETE FROM known_addresses WHERE last_at < ?", (at,))
