"""Data whose encryption key is not here: opened to be watched all the same, and made good with the
key.

Meanwhile all that needs no key is written as ever, notices too, and nothing is sent. What the time
without it leaves behind is when it began, and chains of the audit log that are not signed.
"""

from __future__ import annotations

from pathlib import Path

from netpulse.crypto.keys import KeyTrouble, Masters
from netpulse.crypto.lost import LostVault
from netpulse.crypto.vault import Vault
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.storage import audit, audit_heads, directory, fallbacks, meta
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StartRefused, WrongKey
from netpulse.storage.opening import open_database

_SINCE = "keyless_since"
_ACTOR = Actor(kind="system", label="start with the encryption key")


async def opened(data: Path, masters: Masters, *, degraded: bool) -> Database:
    """Open the main file of `data`; with `degraded` without a key where the right one is not at
    hand (`db.vault.is_lost`).

    Raises:
        KeyTrouble: there is no key, and no data to watch without it.
        StartRefused: as `open_database` says.
    """
    try:
        vault = Vault.of(masters, has_data=directory.has_data(data))
        return await open_database(data, vault)
    except (KeyTrouble, WrongKey) as refusal:
        why = str(refusal)
        if not (data / directory.MAIN).exists():
            raise
    if not degraded:
        raise StartRefused(
            f"{why}; until then `netpulse serve --degraded` watches, and tells nobody"
        )
    return await open_database(data, LostVault(why))


def begin(conn: Conn, now: Millis) -> Millis:
    """Note that the key is not here; returns since when that is so."""
    known = since(conn)
    if known is not None and known <= now:
        return known
    meta.put(conn, _SINCE, now)
    return now


def since(conn: Conn) -> Millis | None:
    """Return since when the key was not here, or None where all is made good."""
    found = meta.get(conn, _SINCE)
    return found if isinstance(found, int) else None


def is_left(conn: Conn) -> bool:
    """Tell whether a time without the key has left anything to make good."""
    return since(conn) is not None or bool(audit_heads.keyless(conn))


def end(conn: Conn, now: Millis) -> None:
    """Make good what the time without the key has left: sign the audit log, with an entry in each
    chain that says for which ones nobody vouches, and give each channel its time again before
    another one is told in its place."""
    for head in audit_heads.keyless(conn):
        before = head.vouched
        if before is not None and audit_heads.sign_late(conn, head):
            after = {"first": before.seq + 1, "last": head.seq}
            audit.append(
                conn,
                head.org_id,
                _ACTOR,
                "audit_log.signed_late",
                "audit_log",
                None,
                None,
                after,
                now,
            )
    fallbacks.put_off(conn, now)
    conn.execute("DELETE FROM meta WHERE key = ?", (_SINCE,))
