"""Which values of the main file are sealed: the one list of them.

Changing the master key seals all of these anew, and `netpulse doctor` opens all of them. A column
that is missing here would be lost with the old key, so a test walks the layout and asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from netpulse.crypto.vault import HEADER_BYTES, SealBroken
from netpulse.model.ids import Id
from netpulse.storage.conn import Conn


class Column(Struct, frozen=True, kw_only=True):
    """A column with a sealed value in each row, or none (NULL, or no bytes)."""

    table: str
    column: str
    row: str
    """The column with the row's id."""
    org: str | None = "org_id"
    """The column with its organization's id; None where it has none."""
    noun: str
    """What a row is, for people."""
    label: str
    """The SQL expression that names a row for people."""
    then: str
    """What to do when a value does not open."""

    def context(self, row_id: Id, org_id: Id | None = None) -> str:
        """Return what the value of a row is bound to."""
        return f"{self.table}|{self.column}|{row_id}|{org_id or '-'}"


MONITOR_SECRETS = Column(
    table="monitors",
    column="secrets",
    row="id",
    noun="monitor",
    label="name",
    then="enter its passwords and keys again",
)
PUSH_TOKEN = Column(
    table="pushes",
    column="token",
    row="monitor_id",
    noun="ping URL of monitor",
    label="(SELECT name FROM monitors WHERE monitors.id = monitor_id)",
    then="pings still arrive, but the URL cannot be shown; make the monitor anew for another one",
)
CHANNEL_CONFIG = Column(
    table="alert_channels",
    column="config",
    row="id",
    noun="alert channel",
    label="name",
    then="enter its configuration again",
)
TOTP_SECRET = Column(
    table="users",
    column="totp_secret",
    row="id",
    org=None,
    noun="second factor of",
    label="email",
    then="netpulse user reset-2fa lets them set it up again",
)
LETTER_BODY = Column(
    table="letters",
    column="body",
    row="id",
    org=None,
    noun="letter to",
    label="recipient",
    then="it cannot be sent; whoever waits for it asks for another",
)
SUBSCRIBER_ADDRESS = Column(
    table="status_page_subscribers",
    column="address",
    row="id",
    org=None,
    noun="subscriber of",
    label="(SELECT title FROM status_pages WHERE status_pages.id = page_id)",
    then="it is told nothing; delete it, and have it subscribe again",
)

COLUMNS: tuple[Column, ...] = (
    MONITOR_SECRETS,
    PUSH_TOKEN,
    CHANNEL_CONFIG,
    TOTP_SECRET,
    LETTER_BODY,
    SUBSCRIBER_ADDRESS,
)

OF_THE_INSTANCE = ("vault_check", "kept_keys")
"""The keys in `meta` whose values are sealed: by `storage.kept_keys`."""

AT_ONCE = 100
"""Rows of one transaction: a writer beside us waits no longer than for these."""


class Value(Struct, frozen=True):
    """One sealed value."""

    column: Column
    row_id: Id
    org_id: Id | None
    sealed: bytes

    @property
    def context(self) -> str:
        """What it is bound to."""
        return self.column.context(self.row_id, self.org_id)


class Broken(Struct, frozen=True):
    """A sealed value that does not open."""

    column: Column
    row_id: Id
    org_id: Id | None
    label: str
    problem: str

    @property
    def words(self) -> str:
        """Which, for people: "alert channel Ops"."""
        return f"{self.column.noun} {self.label}"


def values(conn: Conn, column: Column, after: Id, header: bytes | None = None) -> list[Value]:
    """Return up to AT_ONCE values of a column whose row's id is greater than `after`, by that id;
    with `header` only those that begin so."""
    org = column.org or "NULL"
    which = "" if header is None else f" AND substr({column.column}, 1, {HEADER_BYTES}) = ?2"
    rows = conn.all(
        f"SELECT {column.row}, {org}, {column.column} FROM {column.table}"
        f" WHERE {column.row} > ?1 AND length({column.column}) > 0{which}"
        f" ORDER BY {column.row} LIMIT {AT_ONCE}",
        (after,) if header is None else (after, header),
    )
    return [Value(column, *row) for row in rows]


def count(conn: Conn, column: Column, header: bytes | None = None) -> int:
    """Return how many values a column has; with `header` only those that begin so."""
    which = "" if header is None else f" AND substr({column.column}, 1, {HEADER_BYTES}) = ?"
    row = conn.one(
        f"SELECT count(*) FROM {column.table} WHERE length({column.column}) > 0{which}",
        () if header is None else (header,),
    )
    return int(row[0]) if row else 0


def opened(conn: Conn, value: Value) -> bytes | Broken:
    """Return what is in a sealed value, or what is wrong with it."""
    try:
        return conn.vault.open(value.sealed, value.context)
    except SealBroken as broken:
        column = value.column
        row = conn.one(
            f"SELECT {column.label} FROM {column.table} WHERE {column.row} = ?", (value.row_id,)
        )
        label = value.row_id if row is None or row[0] is None else str(row[0])
        return Broken(column, value.row_id, value.org_id, label, str(broken))


def broken(conn: Conn) -> Iterator[Broken]:
    """Yield every sealed value that does not open."""
    for column in COLUMNS:
        after = ""
        while found := values(conn, column, after):
            for value in found:
                plain = opened(conn, value)
                if isinstance(plain, Broken):
                    yield plain
            after = found[-1].row_id
