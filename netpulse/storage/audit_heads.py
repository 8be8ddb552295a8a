"""The ends of the audit chains, and the roll of them all: signed, so that nobody without the key
can write a chain anew.

A head or roll that is not signed as it should be is never signed again: otherwise the next row
would bless what was done.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.ids import Id
from netpulse.storage import meta
from netpulse.storage.conn import Conn

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


def extend(conn: Conn, last: Head | None, following: Head) -> None:
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
