"""The audit log: append-only, a chain of hashes per organization.

Each row's hash covers its own fields and the hash of the row before it, so that a row that was
changed, removed or slipped in breaks the chain from there on. The head (last number and hash) is
kept beside it, which shows rows cut off at the end. Triggers refuse UPDATE and DELETE.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from msgspec import Raw, Struct

from netpulse.model.audit import AuditRow
from netpulse.model.ids import Id, new_id
from netpulse.model.time import Millis
from netpulse.model.user import Actor
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
_COLUMNS = ", ".join((*_FIELDS, "hash"))


class Break(Struct, frozen=True):
    """A place where a chain does not hold."""

    seq: int
    problem: str


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
    head = conn.one("SELECT seq, hash FROM audit_heads WHERE org_id = ?", (org_id,))
    seq, prev_hash = (1, FIRST) if head is None else (int(head[0]) + 1, str(head[1]))
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
    row = (*values, _hash(values))
    conn.execute(f"INSERT INTO audit_logs ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
    conn.execute(
        "INSERT INTO audit_heads VALUES (?, ?, ?)"
        " ON CONFLICT (org_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        (org_id, seq, row[-1]),
    )
    return _audit_row(row)


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
        f"SELECT {_COLUMNS} FROM audit_logs WHERE {where} ORDER BY seq DESC LIMIT ?5 OFFSET ?6",
        (*wanted, limit, offset),
    )
    return Page([_audit_row(row) for row in rows], int(total[0]) if total else 0)


def verify(conn: Conn, org_id: Id) -> list[Break]:
    """Return the breaks of the organization's chain, in order; an empty list is good news."""
    breaks: list[Break] = []
    seq, prev_hash = 0, FIRST
    while rows := conn.all(
        f"SELECT {_COLUMNS} FROM audit_logs WHERE org_id = ? AND seq > ? ORDER BY seq LIMIT 500",
        (org_id, seq),
    ):
        for row in rows:
            if row[2] != seq + 1:
                breaks.append(Break(seq + 1, f"rows {seq + 1} to {row[2] - 1} are missing"))
            elif row[13] != prev_hash:
                breaks.append(Break(row[2], "it does not follow the row before it"))
            if _hash(row[:-1]) != row[-1]:
                breaks.append(Break(row[2], "its content was changed"))
            seq, prev_hash = row[2], row[-1]
    head = conn.one("SELECT seq, hash FROM audit_heads WHERE org_id = ?", (org_id,))
    if (seq, prev_hash) != ((0, FIRST) if head is None else tuple(head)):
        breaks.append(Break(seq + 1, "the end of the chain is not where it was left"))
    return breaks


def _hash(values: Row) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of a row's fields: sorted names, no spaces,
    no escapes beyond what JSON asks for."""
    fields = dict(zip(_FIELDS, values, strict=True))
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _audit_row(row: Row) -> AuditRow:
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
