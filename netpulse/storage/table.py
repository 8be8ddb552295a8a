"""The five verbs that the plain nouns share; everything else is a function with literal SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.storage.conn import Conn, Params, Row
from netpulse.storage.errors import Missing, VersionConflict

T = TypeVar("T")
Values = Mapping[str, int | float | str | bytes | None]


class Page(Struct, Generic[T], frozen=True):
    """One page of a list, and how many there are in all."""

    rows: list[T]
    total: int


class Table(Generic[T]):
    """One table of things that belong to an organization and carry a `version`.

    Every verb is bound to an organization: another one's id is as unknown as a made-up one.
    """

    def __init__(
        self,
        name: str,
        *,
        noun: str,
        columns: str,
        read: Callable[[Conn, Row], T],
        write: Callable[[Conn, T], Values],
        order: str,
        live: str = "1",
    ) -> None:
        """Describe the table.

        `columns` is the select list that `read` takes; `write` gives the columns that insert and
        update set (with id and org_id); `order` is the list's ORDER BY; `live` is a condition
        that tells the rows that are not deleted. All of it is literal text of the program.
        """
        self._name = name
        self._noun = noun
        self._columns = columns
        self._read = read
        self._write = write
        self._order = order
        self._live = live

    def get(self, conn: Conn, org_id: Id, item_id: Id) -> T | None:
        """Return one, or None if this organization has no such thing."""
        row = conn.one(
            f"SELECT {self._columns} FROM {self._name}"
            f" WHERE org_id = ? AND id = ? AND {self._live}",
            (org_id, item_id),
        )
        return None if row is None else self._read(conn, row)

    def page(
        self,
        conn: Conn,
        org_id: Id,
        *,
        offset: int = 0,
        limit: int = 20,
        where: str = "1",
        params: Params = (),
    ) -> Page[T]:
        """Return `limit` of them from `offset` on, in the table's order."""
        condition = f"org_id = ? AND {self._live} AND {where}"
        total = conn.one(f"SELECT count(*) FROM {self._name} WHERE {condition}", (org_id, *params))
        rows = conn.all(
            f"SELECT {self._columns} FROM {self._name} WHERE {condition}"
            f" ORDER BY {self._order} LIMIT ? OFFSET ?",
            (org_id, *params, limit, offset),
        )
        return Page([self._read(conn, row) for row in rows], int(total[0]) if total else 0)

    def insert(self, conn: Conn, item: T) -> None:
        """Add `item`.

        Raises:
            UniqueConflict: another one has its id or its (source, external_id).
        """
        values = self._write(conn, item)
        names = ", ".join(values)
        conn.execute(
            f"INSERT INTO {self._name} ({names}) VALUES ({marks(values)})", tuple(values.values())
        )

    def update(self, conn: Conn, item: T, expected_version: int | None) -> T:
        """Replace what `item` says, and count its version up; returns it as it is stored now.

        With `expected_version` only if nobody else has changed it since.

        Raises:
            Missing: the organization has no such thing.
            VersionConflict: its version is another one.
        """
        values = dict(self._write(conn, item))
        org_id, item_id = str(values.pop("org_id")), str(values.pop("id"))
        values.pop("created_at", None)
        self.expect(conn, org_id, item_id, expected_version)
        changes = ", ".join(f"{name} = ?" for name in values)
        conn.execute(
            f"UPDATE {self._name} SET {changes}, version = version + 1 WHERE org_id = ? AND id = ?",
            (*values.values(), org_id, item_id),
        )
        stored = self.get(conn, org_id, item_id)
        assert stored is not None, "it was just changed in this transaction"
        return stored

    def delete(self, conn: Conn, org_id: Id, item_id: Id) -> T:
        """Remove one for good and return it as it was.

        Raises:
            Missing: the organization has no such thing.
        """
        item = self.get(conn, org_id, item_id)
        if item is None:
            raise Missing(self._noun)
        conn.execute(f"DELETE FROM {self._name} WHERE org_id = ? AND id = ?", (org_id, item_id))
        return item

    def expect(self, conn: Conn, org_id: Id, item_id: Id, version: int | None) -> None:
        """Check that one exists and, with `version`, that this is its version.

        Raises:
            Missing: the organization has no such thing.
            VersionConflict: its version is another one.
        """
        row = conn.one(
            f"SELECT version FROM {self._name} WHERE org_id = ? AND id = ? AND {self._live}",
            (org_id, item_id),
        )
        if row is None:
            raise Missing(self._noun)
        if version is not None and row[0] != version:
            raise VersionConflict(version, int(row[0]))


def marks(values: Collection[object]) -> str:
    """Return the question marks that `IN (…)` needs for these values."""
    return ", ".join("?" * len(values))


def listed(values: Iterable[str | int]) -> str:
    """Return what `json_each(?)` makes rows of: so the statement is the same one, which SQLite has
    prepared, however many values there are."""
    return msgspec.json.encode(list(values)).decode()


def like(text: str) -> str:
    """Return the LIKE pattern (with ESCAPE '\\') for "contains `text`", taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
