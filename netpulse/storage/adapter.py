"""sqlite-utils over apsw: as much of a DBAPI connection as its migrations and tables ask for.

Two copies of SQLite (apsw's and the standard library's) must never have one file open at once in
one process: closing a file drops the other's locks. So sqlite-utils gets apsw's connection in this
clothing and never opens a file itself; of the standard library only the exceptions are used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import apsw
import sqlite_utils


class Cursor:
    """A cursor as sqlite3 has it; rows come as tuples."""

    def __init__(self, raw: apsw.Connection) -> None:
        """Take the connection to run on."""
        self._raw = raw
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.description: tuple[tuple[Any, ...], ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def _note(self, cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        self.description = cast("tuple[tuple[Any, ...], ...]", cursor.get_description()) or None
        return True

    def execute(self, sql: str, params: Any = None) -> Cursor:
        """Run `sql` (one statement or several)."""
        before = self._raw.total_changes()
        cursor = self._raw.cursor()
        # apsw forgets the columns of a result without rows; the trace sees them before that.
        cursor.exec_trace = self._note
        try:
            # All rows at once: a statement left in the middle keeps its table locked.
            self._rows = iter(cursor.execute(sql, params).fetchall())
        except apsw.ConstraintError as error:
            raise sqlite3.IntegrityError(str(error)) from error
        except apsw.SQLError as error:
            raise sqlite3.OperationalError(str(error)) from error
        self.rowcount = -1 if self.description else self._raw.total_changes() - before
        self.lastrowid = self._raw.last_insert_rowid()
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Go through the rows that are left."""
        return self._rows

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = iter(())


class Adapter:
    """An apsw connection that looks like sqlite3's, in autocommit mode."""

    isolation_level: str | None = None

    def __init__(self, raw: apsw.Connection) -> None:
        """Take the connection; it stays the caller's to close."""
        self._raw = raw

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return self._raw.in_transaction

    def cursor(self) -> Cursor:
        """Return a new cursor."""
        return Cursor(self._raw)

    def execute(self, sql: str, params: Any = None) -> Cursor:
        """Run `sql` on a new cursor."""
        return self.cursor().execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Any]) -> None:
        """Run `sql` once for each row of parameters."""
        cursor = self.cursor()
        for row in rows:
            cursor.execute(sql, row)

    def executescript(self, sql: str) -> Cursor:
        """Run all statements of `sql`."""
        return self.execute(sql)

    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., Any] | None,
        *,
        deterministic: bool = False,
    ) -> None:
        """Make `func` callable from SQL."""
        self._raw.create_scalar_function(name, func, narg, deterministic=deterministic)


def wrapped(raw: apsw.Connection) -> sqlite_utils.Database:
    """Return sqlite-utils' Database over the apsw connection `raw`."""
    return sqlite_utils.Database(cast(sqlite3.Connection, Adapter(raw)), execute_plugins=False)
