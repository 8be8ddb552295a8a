"""When the process ran, and the gaps in which it watched nobody."""

from __future__ import annotations

from netpulse.model.time import Millis
from netpulse.model.watch import Gap, UnknownReason
from netpulse.storage.alive import Sign
from netpulse.storage.conn import Conn


def begin(
    conn: Conn, now: Millis, version: str, sign: Sign | None = None
) -> tuple[int, Millis | None]:
    """Begin a run; returns its id, and when the run before it was last seen (None: the first).

    The time in between becomes a gap (`stopped`). A run that did not end in order was killed or
    crashed; it counts as watching until it was last seen: by its row, or by its `sign` of life.
    """
    last = conn.one("SELECT id, seen_at, ended_at FROM runs ORDER BY id DESC LIMIT 1")
    seen_at: Millis | None = None
    if last is not None:
        seen_at = int(last[1] if last[2] is None else last[2])
        if last[2] is None:
            if sign is not None and (sign.run_id, sign.noted_at) == last[:2]:
                seen_at = max(seen_at, sign.seen_at)
            conn.execute(
                "UPDATE runs SET seen_at = ?1, ended_at = ?1, reason = 'killed' WHERE id = ?2",
                (seen_at, last[0]),
            )
        if seen_at < now:
            add_gap(conn, Gap(start=seen_at, end=now, reason=UnknownReason.STOPPED))
    conn.execute(
        "INSERT INTO runs (started_at, seen_at, version) VALUES (?, ?, ?)", (now, now, version)
    )
    return conn.last_rowid, seen_at


def seen(conn: Conn, run_id: int, now: Millis) -> Millis | None:
    """Note that the run still watches; returns the moment that its row says now.

    Returns None if another process has begun a run on the same data since, which the lock of
    the data directory prevents wherever locks work.
    """
    conn.execute(
        "UPDATE runs SET seen_at = max(seen_at, ?) WHERE id = ? AND ended_at IS NULL",
        (now, run_id),
    )
    if not conn.changes:
        return None
    row = conn.one("SELECT id, seen_at FROM runs ORDER BY id DESC LIMIT 1")
    return int(row[1]) if row is not None and row[0] == run_id else None


def turn_back(conn: Conn, by: Millis) -> None:
    """Take the run that lasts for last seen `by` milliseconds earlier: the clock was set back by
    that, which the next start must not take for something that happened meanwhile."""
    conn.execute("UPDATE runs SET seen_at = seen_at - ? WHERE ended_at IS NULL", (by,))


def finish(conn: Conn, run_id: int, now: Millis, reason: str = "stopped") -> None:
    """End the run in order."""
    conn.execute(
        "UPDATE runs SET seen_at = max(seen_at, ?1), ended_at = max(seen_at, ?1), reason = ?2"
        " WHERE id = ?3",
        (now, reason, run_id),
    )


def add_gap(conn: Conn, gap: Gap) -> None:
    """Note a stretch in which nobody was watched; one that is empty is left out."""
    if gap.end > gap.start:
        conn.execute(
            "INSERT INTO gaps (from_ms, to_ms, reason) VALUES (?, ?, ?)",
            (gap.start, gap.end, gap.reason.value),
        )


def stretch_gap(conn: Conn, gap: Gap) -> None:
    """Note a gap that lasts still: the one with the same beginning and reason grows to its end."""
    conn.execute(
        "UPDATE gaps SET to_ms = max(to_ms, ?) WHERE from_ms = ? AND reason = ?",
        (gap.end, gap.start, gap.reason.value),
    )
    if not conn.changes:
        add_gap(conn, gap)


def gaps(conn: Conn, start: Millis, end: Millis) -> list[Gap]:
    """Return the gaps that touch [start, end), by their beginning; they may overlap."""
    rows = conn.all(
        "SELECT from_ms, to_ms, reason FROM gaps WHERE to_ms > ? AND from_ms < ? ORDER BY from_ms",
        (start, end),
    )
    return [Gap(start=row[0], end=row[1], reason=UnknownReason(row[2])) for row in rows]
