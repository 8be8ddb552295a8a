"""Failed sign-ins by address, kept on disk so that a restart is no way around the limit."""

from __future__ import annotations

from netpulse.model.time import MINUTE, Millis
from netpulse.storage.conn import Conn

LIMIT = 5
WINDOW = 10 * MINUTE
"""LIMIT failures within WINDOW milliseconds close the door for that address."""


def failed(conn: Conn, address: str, now: Millis) -> None:
    """Note a failed sign-in. `address` is the bucket: an IPv4 address, or an IPv6 /64."""
    conn.execute("INSERT INTO login_failures (address, at) VALUES (?, ?)", (address, now))


def blocked_until(conn: Conn, address: str, now: Millis) -> Millis | None:
    """Return until when the address may not try, or None if it may."""
    row = conn.one(
        "SELECT at FROM login_failures WHERE address = ? AND at > ? AND at <= ?"
        " ORDER BY at DESC LIMIT 1 OFFSET ?",
        (address, now - WINDOW, now, LIMIT - 1),
    )
    return None if row is None else int(row[0]) + WINDOW


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove the failures before `at`."""
    conn.execute("DELETE FROM login_failures WHERE at < ?", (at,))
