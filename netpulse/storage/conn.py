"""One connection to the main file, as the functions of the noun modules see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from netpulse.crypto.vault import Vault
from netpulse.storage.errors import translated

Row = tuple[Any, ...]
"""A row of a result: None, int, float, str or bytes by column."""

Params = Sequence[int | float | str | bytes | None]
"""The values for the question marks of a statement."""


class Conn:
    """A thin layer over an apsw connection, used by one thread at a time.

    Every call runs its statement to the end, so that none is left open between two calls.
    Errors of the machine become `StorageTrouble`, a taken value `UniqueConflict`.
    """

    __slots__ = ("_cursor", "_raw", "vault")

    def __init__(self, raw: apsw.Connection, vault: Vault) -> None:
        """Take the connection and the vault that seals and opens its secrets."""
        self._raw = raw
        self._cursor = raw.cursor()
        self.vault = vault

    def execute(self, sql: str, params: Params = ()) -> None:
        """Run one statement whose rows nobody wants."""
        self.all(sql, params)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """Return the first row, or None."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """Return all rows."""
        try:
            return self._cursor.execute(sql, params).fetchall()
        except apsw.Error as error:
            problem = translated(error)
            if problem is error:
                raise
            raise problem from error

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement once for each of `rows`."""
        try:
            self._cursor.executemany(sql, rows).fetchall()
        except apsw.Error as error:
            problem = translated(error)
            if problem is error:
                raise
            raise problem from error

    @property
    def changes(self) -> int:
        """How many rows the last INSERT, UPDATE or DELETE changed."""
        return self._raw.changes()

    @property
    def last_rowid(self) -> int:
        """The row id of the last INSERT."""
        return self._raw.last_insert_rowid()

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open: a full disk ends it without being asked."""
        return self._raw.in_transaction
