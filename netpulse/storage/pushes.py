"""Push monitors: their tokens, and where each stands between two pings.

A token is kept sealed, since it is shown again, and found by its digest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from msgspec import Struct

from netpulse.crypto.tokens import new_token
from netpulse.crypto.vault import SealBroken
from netpulse.model.ids import Id
from netpulse.model.monitor import MonitorSpec, PushSpec
from netpulse.model.push import Beat
from netpulse.model.time import Millis
from netpulse.rules import push
from netpulse.storage.conn import Conn, Row
from netpulse.storage.sealed import PUSH_TOKEN

TOKEN_BYTES = 24
"""Random bytes of a token: 192 bits, 32 signs."""

_BEAT = "base_at, deadline_at, started_at, last_at"
_log = logging.getLogger("netpulse.storage")


class Pushed(Struct, frozen=True):
    """Whose a token is."""

    org_id: Id
    monitor_id: Id
    name: str
    group: str


def follow(conn: Conn, org_id: Id, monitor_id: Id, spec: MonitorSpec, now: Millis) -> None:
    """Give a monitor that waits for pings a token, unless it has one; take it from another."""
    if not isinstance(spec, PushSpec):
        conn.execute("DELETE FROM pushes WHERE monitor_id = ?", (monitor_id,))
        return
    if conn.one("SELECT 1 FROM pushes WHERE monitor_id = ?", (monitor_id,)) is not None:
        return
    token = new_token(TOKEN_BYTES)
    beat = push.begun(spec, now)
    conn.execute(
        "INSERT INTO pushes (monitor_id, org_id, digest, token, base_at, deadline_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            monitor_id,
            org_id,
            conn.vault.digest(token),
            conn.vault.seal(token.encode(), PUSH_TOKEN.context(monitor_id, org_id)),
            beat.base_at,
            beat.deadline_at,
        ),
    )


def find(conn: Conn, token: str) -> Pushed | None:
    """Return whose a token is, or None if nobody's."""
    row = conn.one(
        "SELECT m.org_id, m.id, m.name, m.group_name FROM pushes p"
        " JOIN monitors m ON m.id = p.monitor_id WHERE p.digest = ? AND m.deleted_at IS NULL",
        (conn.vault.digest(token),),
    )
    return None if row is None else Pushed(*row)


def opened(conn: Conn, monitor_id: Id, org_id: Id, sealed: bytes | None) -> str | None:
    """Return the token of a sealed one; None where there is none, or it does not open."""
    if sealed is None or conn.vault.is_lost:
        return None
    try:
        return conn.vault.open(sealed, PUSH_TOKEN.context(monitor_id, org_id)).decode()
    except SealBroken as broken:
        # It still leads here by its digest; only showing it is over.
        _log.error("the ping URL of monitor %s cannot be shown: %s", monitor_id, broken)
        return None


def beat(conn: Conn, monitor_id: Id) -> Beat | None:
    """Return where a monitor stands, or None if it is no push monitor."""
    row = conn.one(f"SELECT {_BEAT} FROM pushes WHERE monitor_id = ?", (monitor_id,))
    return None if row is None else _beat(row)


def beats(conn: Conn) -> dict[Id, Beat]:
    """Return where every push monitor stands."""
    rows = conn.all(f"SELECT {_BEAT}, monitor_id FROM pushes")
    return {row[4]: _beat(row) for row in rows}


def save(conn: Conn, changed: Mapping[Id, Beat]) -> None:
    """Keep where monitors stand; one that is gone is left out."""
    conn.many(
        "UPDATE pushes SET base_at = ?, deadline_at = ?, started_at = ?, last_at = ?"
        " WHERE monitor_id = ?",
        [
            (each.base_at, each.deadline_at, each.started_at, each.last_at, monitor_id)
            for monitor_id, each in changed.items()
        ],
    )


def _beat(row: Row) -> Beat:
    return Beat(base_at=row[0], deadline_at=row[1], started_at=row[2], last_at=row[3])
