"""The audit log: append-only, a chain of hashes per organization.

Each row's hash covers its own fields and the hash of the row before it, so that a row that was
changed, removed or slipped in breaks the chain from there on. The head (last number and hash) is
kept beside it, which shows rows cut off at the end. Triggers refuse UPDATE and DELETE.

Whoever has the file in hand could compute all hashes anew; but not the signature of the head,
whose key is sealed, nor that of the roll: the sum of all heads, which shows a chain that was taken
away as a whole, or a head that was put back to an earlier one. A head or roll that is not signed as
it should be is never signed again: otherwise the next row would bless what was done.
`storage.audit_chains` verifies all of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from netpulse.model.audit import AuditRow
from netpulse.model.ids import Id, new_id
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.storage import meta
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Page

INSTANCE = "instance"
"""The chain of what belongs to no organization: failed sign-ins of unknown users, settings."""

FIRST = "0" * 64
"""The `prev_hash` of a chain's first row."""

_FIELDS = (
    "id",
    "org_id",
    "seq",
    "action",
    "resource_type",
    "resource_id",
    "actor_kind",
    "user_id",
    "actor_label",
    "ip_address",
    "user_agent",
    "payload",
    "created_at",
    "prev_hash",
)
COLUMNS = ", ".join((*_FIELDS, "hash"))
"""The columns of a row as `row_hash` (all but the last) and `of_row` take them."""


_UNSIGNED = "unsigned since "
"""Stands in place of a signature once one did not hold, with the row that was the end then."""

ROLL = "audit_roll"
"""The roll's key in `meta`."""


class Head(Struct, frozen=True):
    """The end of a chain."""

    org_id: Id
    seq: int
    hash: str
    mac: str | None
    """The signature."""

    @property
    def said(self) -> str:
        """What is signed."""
        return f"{self.org_id}|{self.seq}|{self.hash}"

    @property
    def unsigned_since(self) -> int:
        """Of a head whose signature does not hold: the row that was the end when that was first
        seen."""
        text = (self.mac or "").removeprefix(_UNSIGNED)
        return int(text) if text.isdecimal() and text != self.mac else self.seq


class Roll(Struct, frozen=True):
    """The sum of all heads."""

    total: int
    """Rows in all chains together."""
    sum: int
    """The heads' signatures, one laid over the other (exclusive or)."""
    mac: str

    @property
    def said(self) -> str:
        """What is signed."""
        return f"roll|{self.total}|{self.sum:064x}"


def append(
    conn: Conn,
    org_id: Id,
    actor: Actor,
    action: str,
    resource_type: str,
    resource_id: Id | None,
    before: Any,
    after: Any,
    now: Millis,
) -> AuditRow:
    """Add a row to the organization's chain and return it.

    `before` and `after` are what the thing was and is (Structs or builtin values, None where
    there is none), with its secrets taken out by the caller. Somebody who acts from another
    organization is named with it, in the label for people and as `actor_org` for programs.
    """
    last = head(conn, org_id)
    seq, prev_hash = (1, FIRST) if last is None else (last.seq + 1, last.hash)
    payload: dict[str, Any] = {"before": before, "after": after}
    label = actor.label
    if actor.org_id is not None and actor.org_id != org_id:
        payload["actor_org"] = {"id": actor.org_id, "name": actor.org_name}
        label = f"{label} ({actor.org_name})"
    values = (
        new_id(now),
        org_id,
        seq,
        action,
        resource_type,
        resource_id,
        actor.kind,
        actor.user_id,
        label,
        actor.ip,
        actor.user_agent,
        msgspec.json.encode(payload).decode(),
        now,
        prev_hash,
    )
    row = (*values, row_hash(values))
    conn.execute(f"INSERT INTO audit_logs ({COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
    _extend(conn, last, Head(org_id, seq, str(row[-1]), None))
    return of_row(row)


def head(conn: Conn, org_id: Id) -> Head | None:
    """Return the end of the organization's chain, or None where nothing was ever noted."""
    row = conn.one("SELECT org_id, seq, hash, mac FROM audit_heads WHERE org_id = ?", (org_id,))
    return None if row is None else Head(*row)


def roll(conn: Conn) -> Roll | None:
    """Return the sum of all heads, or None where it is not there or unreadable."""
    text = meta.get(conn, ROLL)
    parts = text.split("|") if isinstance(text, str) else []
    try:
        total, summed, mac = parts
        return Roll(int(total), int(summed, 16), mac)
    except ValueError:
        return None


def sign_all(conn: Conn) -> None:
    """Sign every chain as it is: once, when the key for it has just been made."""
    total = summed = 0
    for row in conn.all("SELECT org_id, seq, hash, mac FROM audit_heads"):
        one = _signed(conn, Head(*row))
        conn.execute("UPDATE audit_heads SET mac = ? WHERE org_id = ?", (one.mac, one.org_id))
        total += one.seq
        summed ^= number(one.mac)
    _put_roll(conn, total, summed)


def number(mac: str | None) -> int:
    """Return a signature as the roll sums it up; what is none counts nothing."""
    try:
        return int(mac or "", 16)
    except ValueError:
        return 0


def _extend(conn: Conn, last: Head | None, following: Head) -> None:
    """Put `following` in the place of the head `last`, and in the roll."""
    if last is None or conn.vault.signed(last.said, last.mac):
        kept = _signed(conn, following)
    else:
        kept = replace(following, mac=f"{_UNSIGNED}{last.unsigned_since}")
    conn.execute(
        "INSERT INTO audit_heads (org_id, seq, hash, mac) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (org_id) DO UPDATE"
        " SET seq = excluded.seq, hash = excluded.hash, mac = excluded.mac",
        (kept.org_id, kept.seq, kept.hash, kept.mac),
    )
    known = roll(conn)
    if known is None or not conn.vault.signed(known.said, known.mac):
        return
    before = 0 if last is None else number(last.mac)
    _put_roll(conn, known.total + 1, known.sum ^ before ^ number(kept.mac))


def _signed(conn: Conn, one: Head) -> Head:
    return replace(one, mac=conn.vault.sign(one.said))


def _put_roll(conn: Conn, total: int, summed: int) -> None:
    bare = Roll(total, summed, "")
    meta.put(conn, ROLL, f"{total}|{summed:064x}|{conn.vault.sign(bare.said)}")


def page(
    conn: Conn,
    org_id: Id,
    *,
    resource_type: str | None = None,
    resource_id: Id | None = None,
    user_id: Id | None = None,
    offset: int = 0,
    limit: int = 20,
) -> Page[AuditRow]:
    """Return rows of the organization, the newest first."""
    where = (
        "org_id = ?1 AND (?2 IS NULL OR resource_type = ?2)"
        " AND (?3 IS NULL OR resource_id = ?3) AND (?4 IS NULL OR user_id = ?4)"
    )
    wanted = (org_id, resource_type, resource_id, user_id)
    total = conn.one(f"SELECT count(*) FROM audit_logs WHERE {where}", wanted)
    rows = conn.all(
        f"SELECT {COLUMNS} FROM audit_logs WHERE {where} ORDER BY seq DESC LIMIT ?5 OFFSET ?6",
        (*wanted, limit, offset),
    )
    return Page([of_row(row) for row in rows], int(total[0]) if total else 0)


def row_hash(values: Row) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of a row's fields: sorted names, no spaces,
    no escapes beyond what JSON asks for."""
    fields = dict(zip(_FIELDS, values, strict=True))
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def of_row(row: Row) -> AuditRow:
    """Return the row selected with COLUMNS."""
    return AuditRow(
        id=row[0],
        org_id=row[1],
        seq=row[2],
        action=row[3],
        resource_type=row[4],
        resource_id=row[5],
        actor_kind=row[6],
        user_id=row[7],
        actor_label=row[8],
        ip_address=row[9],
        user_agent=row[10],
        payload=Raw(row[11].encode()),
        created_at=row[12],
        prev_hash=row[13],
        hash=row[14],
    )
