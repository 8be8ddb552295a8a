"""Our own trouble (own network away, checks that starve): when it began and when it ended."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id, new_id
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn, Row

_COLUMNS = "id, kind, since, ended_at, detail, monitor_count"


class Trouble(Struct, frozen=True, kw_only=True):
    """A stretch in which NetPulse itself was in trouble."""

    id: Id
    kind: str
    since: Millis
    ended_at: Millis | None = None
    detail: str = ""
    monitor_count: int | None = None


def begin(
    conn: Conn, kind: str, detail: str, now: Millis, *, monitor_count: int | None = None
) -> bool:
    """Note that a kind of trouble has begun; False if it is going on already."""
    if conn.one("SELECT 1 FROM troubles WHERE kind = ? AND ended_at IS NULL", (kind,)) is not None:
        return False
    conn.execute(
        "INSERT INTO troubles (id, kind, since, detail, monitor_count) VALUES (?, ?, ?, ?, ?)",
        (new_id(now), kind, now, detail, monitor_count),
    )
    return True


def end(conn: Conn, kind: str, now: Millis) -> bool:
    """Note that a kind of trouble is over; False if there was none."""
    conn.execute(
        "UPDATE troubles SET ended_at = max(since, ?) WHERE kind = ? AND ended_at IS NULL",
        (now, kind),
    )
    return conn.changes > 0


def open(conn: Conn) -> list[Trouble]:
    """Return the troubles that are going on, the oldest first."""
    rows = conn.all(f"SELECT {_COLUMNS} FROM troubles WHERE ended_at IS NULL ORDER BY since")
    return [_trouble(row) for row in rows]


def recent(conn: Conn, limit: int = 20) -> list[Trouble]:
    """Return the latest troubles, over or not, the newest first."""
    rows = conn.all(f"SELECT {_COLUMNS} FROM troubles ORDER BY since DESC LIMIT ?", (limit,))
    return [_trouble(row) for row in rows]


def _trouble(row: Row) -> Trouble:
    return Trouble(
        id=row[0],
        kind=row[1],
        since=row[2],
        ended_at=row[3],
        detail=row[4],
        monitor_count=row[5],
    )
