"""The audit log: append-only, a chain of hashes per organization.

Each row's hash covers its own fields and the hash of the row before it, so that a row that was
changed, removed or slipped in breaks the chain from there on. The head (last number and hash) is
kept beside it, which shows rows cut off at the end. Triggers refuse UPDATE and DELETE.

Whoever has the file in hand could compute all hashes anew; but not the signature of the head,
whose key is sealed, nor that of the roll: the sum of all heads, which shows a chain that was taken
away as a whole, or a head that was put back to an earlier one (`storage.audit_heads`).
`storage.audit_chains` verifies all of it.
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
from netpulse.storage import audit_heads
from netpulse.storage.audit_heads import Head
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
_FOR_EVER: Millis = 2**62

COLUMNS = ", ".join((*_FIELDS, "hash"))
"""The columns of a row as `row_hash` (all but the last) and `of_row` take them."""


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
    last = audit_heads.head(conn, org_id)
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
    audit_heads.extend(conn, last, Head(org_id, seq, str(row[-1]), None))
    return of_row(row)


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which rows; None: any."""

    action: str | None = None
    resource_type: str | None = None
    resource_id: Id | None = None
    user_id: Id | None = None
    actor: str | None = None
    """Text in the actor's label."""
    ip: str | None = None
    start: Millis | None = None
    """Then or later."""
    end: Millis | None = None
    """Before."""
    q: str | None = None
    """Text in the action, the actor's label, the resource's id, the address, or the payload."""


ANY = AuditFilter()
_SEARCHED = ("action", "actor_label", "resource_id", "ip_address", "payload")


class _Where(Struct, frozen=True):
    """The rows of a filter, as a condition with its values."""

    sql: str
    values: tuple[str | int, ...]
    total: int | None = None
    """How many rows that is, where it is known without counting them."""


def page(
    conn: Conn, org_id: Id, wanted: AuditFilter = ANY, *, offset: int = 0, limit: int = 20
) -> Page[AuditRow]:
    """Return rows of the organization, the newest first.

    With a million rows: up to 0.1 s where the filter has an index (action, person, resource, time),
    else up to 0.7 s, in a reader's thread (measured; see `docs/audit.md`).
    """
    where = _where(conn, org_id, wanted)
    total = where.total
    if total is None:
        counted = conn.one(f"SELECT count(*) FROM audit_logs WHERE {where.sql}", where.values)
        total = int(counted[0]) if counted else 0
    if offset >= total:
        return Page([], total)
    rows = conn.all(
        f"SELECT {COLUMNS} FROM audit_logs WHERE {where.sql} ORDER BY seq DESC LIMIT ? OFFSET ?",
        (*where.values, limit, offset),
    )
    return Page([of_row(row) for row in rows], total)


def following(
    conn: Conn, org_id: Id, wanted: AuditFilter, *, after: int, until: int, limit: int
) -> list[AuditRow]:
    """Return up to `limit` rows with numbers in (`after`, `until`), the oldest first."""
    where = _where(conn, org_id, wanted)
    if where.total == 0:
        return []
    rows = conn.all(
        f"SELECT {COLUMNS} FROM audit_logs WHERE {where.sql} AND seq > ? AND seq < ?"
        " ORDER BY seq LIMIT ?",
        (*where.values, after, until, limit),
    )
    return [of_row(row) for row in rows]


def actions(conn: Conn, org_id: Id) -> list[str]:
    """Return the actions that occur in the organization's log, by name."""
    # Each by a step in the index, however many rows it has.
    rows = conn.all(
        "WITH RECURSIVE found (action) AS ("
        " SELECT min(action) FROM audit_logs WHERE org_id = ?1 UNION ALL"
        " SELECT (SELECT min(action) FROM audit_logs WHERE org_id = ?1 AND action > found.action)"
        " FROM found WHERE found.action IS NOT NULL)"
        " SELECT action FROM found WHERE action IS NOT NULL",
        (org_id,),
    )
    return [row[0] for row in rows]


def _where(conn: Conn, org_id: Id, wanted: AuditFilter) -> _Where:
    parts: list[str] = ["org_id = ?"]
    values: list[str | int] = [org_id]
    total: int | None = None
    if wanted == ANY:
        last = audit_heads.head(conn, org_id)
        total = 0 if last is None else last.seq
    elif wanted.start is not None or wanted.end is not None:
        # By the index of times to numbers, by which the rows are then read in order. A clock that
        # was set back has mixed the two: the time itself is asked for too.
        start, end = wanted.start or 0, _FOR_EVER if wanted.end is None else wanted.end
        found = conn.one(
            "SELECT min(seq), max(seq), count(*) FROM audit_logs"
            " WHERE org_id = ? AND created_at >= ? AND created_at < ?",
            (org_id, start, end),
        )
        if found is None or not found[2]:
            return _Where("0", (), total=0)
        if wanted == AuditFilter(start=wanted.start, end=wanted.end):
            total = found[2]
        parts.append("seq BETWEEN ? AND ? AND +created_at >= ? AND +created_at < ?")
        values += [found[0], found[1], start, end]
    for column, value in (
        ("action", wanted.action),
        ("resource_type", wanted.resource_type),
        ("resource_id", wanted.resource_id),
        ("user_id", wanted.user_id),
        ("ip_address", wanted.ip),
    ):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    if wanted.actor is not None:
        parts.append("actor_label LIKE ? ESCAPE '!'")
        values.append(_containing(wanted.actor))
    if wanted.q is not None:
        parts.append("(" + " OR ".join(f"{name} LIKE ? ESCAPE '!'" for name in _SEARCHED) + ")")
        values += [_containing(wanted.q)] * len(_SEARCHED)
    return _Where(" AND ".join(parts), tuple(values), total)


def _containing(text: str) -> str:
    """Return the pattern of LIKE for whatever contains `text`."""
    for sign in "!%_":
        text = text.replace(sign, f"!{sign}")
    return f"%{text}%"


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
