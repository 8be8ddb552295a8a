"""Whether the audit log is as it was written: each chain from its first row to its signed end, and
the roll of all chains.

What this cannot show: that somebody put the whole file back to an earlier state of itself, or had
the key. Whoever must be sure of that keeps the heads elsewhere (`netpulse doctor --json`).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.storage import audit, audit_heads
from netpulse.storage.audit import FIRST
from netpulse.storage.audit_heads import Head
from netpulse.storage.conn import Conn

AT_ONCE = 500
"""Rows that are read at a time."""
_NOBODYS = "there is an end of a chain that belongs to none"
_BEFORE_ALL = -(2**63)


class Break(Struct, frozen=True):
    """A place where a chain does not hold."""

    seq: int
    problem: str


class Chain(Struct, frozen=True):
    """A chain as it stood at one moment; what is added later does not change it."""

    head: Head
    rows: int
    last: int | None
    """The highest number of a row."""


def chain(conn: Conn, org_id: Id) -> Chain:
    """Return the organization's chain as it stands. Head and rows must be read in one transaction,
    or a row that is just being added would seem to be too many."""
    counted = conn.one("SELECT count(*), max(seq) FROM audit_logs WHERE org_id = ?", (org_id,))
    assert counted is not None, "an aggregate without GROUP BY has one row"
    known = audit_heads.head(conn, org_id)
    if known is None or not _sound(known):
        known = Head(org_id, 0, FIRST, None)
    return Chain(known, int(counted[0]), counted[1])


def chains(conn: Conn) -> list[Chain]:
    """Return every chain: those that have an end, and those that have rows. In one transaction."""
    ids = conn.all(
        "WITH RECURSIVE of (id) AS (SELECT min(org_id) FROM audit_logs UNION ALL"
        " SELECT (SELECT min(org_id) FROM audit_logs WHERE org_id > of.id) FROM of"
        " WHERE of.id IS NOT NULL)"
        " SELECT id FROM of WHERE id IS NOT NULL UNION SELECT org_id FROM audit_heads ORDER BY 1"
    )
    return [chain(conn, row[0]) for row in ids]


def verify(conn: Conn, org_id: Id) -> list[Break]:
    """Return the breaks of the organization's chain, in order; an empty list is good news."""
    breaks: list[Break] = []
    for _ in walk(conn, chain(conn, org_id), breaks):
        pass
    return breaks


def walk(conn: Conn, seen: Chain, breaks: list[Break]) -> Iterator[int]:
    """Read a chain through, adding to `breaks` where it does not hold; yields after each piece how
    many rows were read so far. Rows that were added after `seen` are left alone."""
    end = seen.head
    last, seq, prev_hash, read = _BEFORE_ALL, 0, FIRST, 0
    while True:
        try:
            rows = conn.all(
                f"SELECT {audit.COLUMNS} FROM audit_logs WHERE org_id = ? AND seq > ? AND seq <= ?"
                f" ORDER BY seq LIMIT {AT_ONCE}",
                (end.org_id, last, end.seq),
            )
        except UnicodeDecodeError:
            breaks.append(Break(seq + 1, "it, or one of those after it, is no text"))
            return
        if not rows:
            break
        for row in rows:
            if row[2] <= seq:
                breaks.append(Break(row[2], "it was slipped in: its number is taken, or none"))
                continue
            if row[2] != seq + 1:
                breaks.append(Break(seq + 1, _missing(seq + 1, row[2] - 1)))
            elif row[13] != prev_hash:
                breaks.append(Break(row[2], "it does not follow the row before it"))
            if audit.row_hash(row[:-1]) != row[-1]:
                breaks.append(Break(row[2], "its content was changed"))
            seq, prev_hash = row[2], row[-1]
        last = rows[-1][2]
        read += len(rows)
        yield read
    if seen.last is not None and seen.last > end.seq:
        problem = "it was added behind the end of the chain"
        breaks.append(Break(end.seq + 1, problem if end.seq else "the end of the chain is missing"))
    elif seen.rows > read:
        breaks.append(Break(seq, "there are more rows than numbers"))
    if (seq, prev_hash) != (end.seq, end.hash):
        breaks.append(Break(seq + 1, "the end of the chain is not where it was left"))
    if end.seq and not _vouched(conn, end):
        problem = "the end of the chain was here once, and is not signed by this instance"
        breaks.append(Break(end.unsigned_since, problem))


def unvouched(conn: Conn) -> int:
    """Return how many entries were written without the key, and are signed when it is back."""
    heads = audit_heads.keyless(conn)
    return sum(one.seq - one.vouched.seq for one in heads if one.vouched is not None)


def verify_roll(conn: Conn) -> str | None:
    """Return what is wrong with the chains as a whole, or None. In one transaction."""
    known = audit_heads.roll(conn)
    if known is None or not conn.vault.signed(known.said, known.mac):
        return "the roll of all chains is not signed by this instance"
    total = summed = 0
    found: set[Id] = set()
    for row in conn.all("SELECT org_id, seq, hash, mac FROM audit_heads"):
        head = Head(*row)
        # Whoever has the disk in hand can change the table's rules too. An end under no name, or
        # under one that is taken, would count here while nobody walks its chain.
        if not _sound(head):
            return _NOBODYS
        if not _vouched(conn, head):
            return "an end of a chain is not signed by this instance"
        if head.org_id in found or audit_heads.head(conn, head.org_id) != head:
            return _NOBODYS
        found.add(head.org_id)
        counted = head.vouched or head
        total += counted.seq
        summed ^= audit_heads.number(counted.mac)
    if (total, summed) != (known.total, known.sum):
        return "a chain was taken away as a whole, added, or put back to an earlier end"
    return None


def _vouched(conn: Conn, end: Head) -> bool:
    """Tell whether an end is signed, or one that grew from it without the key."""
    before = end.vouched
    if before is not None:
        return audit_heads.holds(conn, before)
    return conn.vault.signed(end.said, end.mac)


def _sound(head: Head) -> bool:
    """Tell whether an end is one that can have been written: named, numbered and of the right
    kinds. A file is not to be believed that the table's own rules still hold."""
    org_id: object = head.org_id
    seq: object = head.seq
    texts: tuple[object, ...] = (org_id, head.hash, "" if head.mac is None else head.mac)
    if not isinstance(seq, int) or seq < 1 or not org_id:
        return False
    return all(isinstance(one, str) for one in texts)


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"
