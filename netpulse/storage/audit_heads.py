"""The ends of the audit chains, and the roll of them all: signed, so that nobody without the key
can write a chain anew.

A head or roll that is not signed as it should be is never signed again: otherwise the next row
would bless what was done.

Without the key (`crypto.lost`) chains grow unsigned. Such a head keeps the last end that was signed
in place of a signature, and is signed from there when the key is back (`storage.keyless`): nothing
before that end can have been changed unseen, and an entry says which ones nobody vouches for.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.ids import Id
from netpulse.storage import meta
from netpulse.storage.conn import Conn

_UNSIGNED = "unsigned since "
"""Stands in place of a signature once one did not hold, with the row that was the end then."""
_KEYLESS = "without the key since "
"""Stands in place of a signature that could not be made, with the end that was signed last."""

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

    @property
    def vouched(self) -> Head | None:
        """Of a head that grew without the key: the end that was signed last, number 0 where there
        was none; its signature may hold or not. None of any other head."""
        text = (self.mac or "").removeprefix(_KEYLESS)
        seq, _, rest = text.partition("|")
        last, _, mac = rest.partition("|")
        if text == self.mac or not seq.isdecimal() or int(seq) >= self.seq:
            return None
        return Head(self.org_id, int(seq), last, mac)


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
    if last is not None and last.vouched is not None:
        # Of this end and of the roll no more is known until the chain is signed as a whole.
        _put(conn, replace(following, mac=last.mac))
        return
    if conn.vault.is_lost:
        _put(conn, replace(following, mac=_unsigned(last)))
        return
    if last is None or conn.vault.signed(last.said, last.mac):
        kept = _signed(conn, following)
    else:
        kept = replace(following, mac=f"{_UNSIGNED}{last.unsigned_since}")
    _put(conn, kept)
    _count(conn, last, kept)


def keyless(conn: Conn) -> list[Head]:
    """Return the heads that grew without the key."""
    rows = conn.all(
        "SELECT org_id, seq, hash, mac FROM audit_heads WHERE mac LIKE ?", (f"{_KEYLESS}%",)
    )
    return [one for one in (Head(*row) for row in rows) if one.vouched is not None]


def sign_late(conn: Conn, one: Head) -> bool:
    """Sign a head that grew without the key; returns False where the end that it grew from is not
    one that was signed here: then it is never signed."""
    before = one.vouched
    assert before is not None, "only such heads are signed late"
    if not holds(conn, before):
        _put(conn, replace(one, mac=f"{_UNSIGNED}{before.seq}"))
        return False
    kept = _signed(conn, one)
    _put(conn, kept)
    _count(conn, before, kept)
    return True


def holds(conn: Conn, before: Head) -> bool:
    """Tell whether an end was signed here, and its row is still in the chain; one with number 0 is
    before every chain."""
    if before.seq == 0:
        return not before.mac
    row = conn.one(
        "SELECT hash FROM audit_logs WHERE org_id = ? AND seq = ?", (before.org_id, before.seq)
    )
    return row == (before.hash,) and conn.vault.signed(before.said, before.mac)


def _unsigned(last: Head | None) -> str:
    """Return what stands in place of the signature of a head that follows `last` without a key."""
    if last is None:
        return f"{_KEYLESS}0||"
    mac = last.mac or ""
    return mac if mac.startswith(_UNSIGNED) else f"{_KEYLESS}{last.seq}|{last.hash}|{mac}"


def _put(conn: Conn, kept: Head) -> None:
    conn.execute(
        "INSERT INTO audit_heads (org_id, seq, hash, mac) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (org_id) DO UPDATE"
        " SET seq = excluded.seq, hash = excluded.hash, mac = excluded.mac",
        (kept.org_id, kept.seq, kept.hash, kept.mac),
    )


def _count(conn: Conn, last: Head | None, kept: Head) -> None:
    """Have the roll count `kept` in place of `last`."""
    known = roll(conn)
    if known is None or not conn.vault.signed(known.said, known.mac):
        return
    before, mac = (0, None) if last is None else (last.seq, last.mac)
    _put_roll(conn, known.total + kept.seq - before, known.sum ^ number(mac) ^ number(kept.mac))


def _signed(conn: Conn, one: Head) -> Head:
    return replace(one, mac=conn.vault.sign(one.said))


def _put_roll(conn: Conn, total: int, summed: int) -> None:
    bare = Roll(total, summed, "")
    meta.put(conn, ROLL, f"{total}|{summed:064x}|{conn.vault.sign(bare.said)}")
