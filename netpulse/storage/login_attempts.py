"""Failed sign-ins by address and by account, kept on disk so that a restart is no way around.

Two limits, of which neither locks an owner's door from outside:

- An address with LIMIT failures within WINDOW is not listened to until the oldest has left it.
- An account that PRESSURE failures from addresses it does not know were aimed at within CALM is
  under pressure: from then on each such network may be wrong once in CALM. A botnet is slowed to
  one guess a network, and its owner, who comes from anywhere else, still has a try at once.
"""

from __future__ import annotations

from netpulse.model.time import MINUTE, Millis
from netpulse.storage.conn import Conn

LIMIT = 5
WINDOW = 10 * MINUTE
"""LIMIT failures within WINDOW milliseconds close the door for that address."""

PRESSURE = 20
"""More than one address can fail within CALM by itself."""
CALM = 15 * MINUTE


def failed(
    conn: Conn, address: str, now: Millis, *, tried_from: tuple[str, str] | None = None
) -> None:
    """Note a failed sign-in.

    `address` is the bucket: an IPv4 address, or an IPv6 /64. `tried_from` is the digest of the
    email address that was tried, and the wider bucket that it was tried from; None where the
    account knows the address, or where it was not the password that was wrong.
    """
    name, network = tried_from or (None, None)
    conn.execute(
        "INSERT INTO login_failures (address, at, name, network) VALUES (?, ?, ?, ?)",
        (address, now, name, network),
    )


def blocked_until(conn: Conn, address: str, now: Millis) -> Millis | None:
    """Return until when the address may not try, or None if it may."""
    row = conn.one(
        "SELECT at FROM login_failures WHERE address = ? AND at > ? AND at <= ?"
        " ORDER BY at DESC LIMIT 1 OFFSET ?",
        (address, now - WINDOW, now, LIMIT - 1),
    )
    return None if row is None else int(row[0]) + WINDOW


def pressed_until(conn: Conn, name: str, network: str, now: Millis) -> Millis | None:
    """Return until when a network that the account does not know may not try it, or None."""
    row = conn.one(
        "SELECT count(*), max(CASE WHEN network = ? THEN at END) FROM login_failures"
        " WHERE name = ? AND at > ? AND at <= ?",
        (network, name, now - CALM, now),
    )
    if row is None or int(row[0]) < PRESSURE or row[1] is None:
        return None
    return int(row[1]) + CALM


def forget_before(conn: Conn, at: Millis) -> None:
    """Remove the failures before `at`."""
    conn.execute("DELETE FROM login_failures WHERE at < ?", (at,))
