"""Single values about the instance itself."""

from __future__ import annotations

from netpulse.storage.conn import Conn


def get(conn: Conn, key: str) -> str | int | float | bytes | None:
    """Return the value of `key`, or None."""
    row = conn.one("SELECT value FROM meta WHERE key = ?", (key,))
    if row is None:
        return None
    value: str | int | float | bytes | None = row[0]
    return value


def put(conn: Conn, key: str, value: str | int | float | bytes) -> None:
    """Set the value of `key`."""
    conn.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def quick_check(conn: Conn) -> list[str]:
    """Return what SQLite finds wrong with the file; an empty list is good news.

    It reads the whole file: a job for a reader, at night.
    """
    return [str(row[0]) for row in conn.all("PRAGMA quick_check(10)") if row[0] != "ok"]


def schema_version(conn: Conn) -> int:
    """Return the version of the file's layout: the number of migrations it has had."""
    row = conn.one("PRAGMA user_version")
    return int(row[0]) if row else 0
