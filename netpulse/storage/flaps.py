"""Monitors that flap: since when, and when they changed last."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status
from netpulse.rules import flapping
from netpulse.storage.conn import Conn

_LOOKED_AT = flapping.MOST + 8
"""Latest transitions of each state that are counted: enough to find too many of them."""


class Flapping(Struct, frozen=True, kw_only=True):
    """A monitor that flaps."""

    since: Millis
    calm_at: Millis
    """When it is calm, if it stays as it is."""
    states: frozenset[Status] = frozenset()
    """Set by the change with which it begins: the states it changes between."""


def of(conn: Conn, monitor_id: Id, now: Millis) -> Flapping | None:
    """Return how a monitor flaps now, or None."""
    row = conn.one("SELECT since, changed_at FROM flaps WHERE monitor_id = ?", (monitor_id,))
    if row is None:
        return None
    calm_at = flapping.calm_at(row[1], now)
    return Flapping(since=row[0], calm_at=calm_at) if calm_at > now else None


def note(conn: Conn, monitor_id: Id, flip: Flip) -> Flapping | None:
    """Count a flip, before its transition is written; returns how the monitor flaps with it."""
    now = flip.decided_at
    if flip.after is Status.PAUSED:
        forget(conn, monitor_id)
        return None
    before = of(conn, monitor_id, now)
    if not flapping.is_change(flip):
        return before
    if before is not None:
        conn.execute("UPDATE flaps SET changed_at = ? WHERE monitor_id = ?", (now, monitor_id))
        return Flapping(since=before.since, calm_at=flapping.calm_at(now, now))
    states = [*_recent(conn, monitor_id, now), flip.after]
    if flapping.changes(states) <= flapping.MOST:
        return None
    conn.execute(
        "INSERT OR REPLACE INTO flaps (monitor_id, since, changed_at) VALUES (?, ?, ?)",
        (monitor_id, now, now),
    )
    return Flapping(
        since=now,
        calm_at=flapping.calm_at(now, now),
        states=frozenset(states) & flapping.STATES,
    )


def forget(conn: Conn, monitor_id: Id) -> None:
    """Forget that a monitor flaps: it is paused, or deleted."""
    conn.execute("DELETE FROM flaps WHERE monitor_id = ?", (monitor_id,))


def turn_back(conn: Conn, by: Millis) -> None:
    """Have every monitor calm earlier, by `by` milliseconds: the clock was set back by that."""
    conn.execute("UPDATE flaps SET since = since - ?1, changed_at = changed_at - ?1", (by,))


def _recent(conn: Conn, monitor_id: Id, now: Millis) -> list[Status]:
    """Return the states of the last half hour, the oldest first, and the one before them."""
    rows: list[tuple[int, str, Millis]] = []
    for status in (*flapping.STATES, Status.PAUSED):
        found = conn.all(
            "SELECT seq, after, decided_at FROM transitions WHERE monitor_id = ? AND after = ?"
            " ORDER BY seq DESC LIMIT ?",
            (monitor_id, status.value, _LOOKED_AT),
        )
        rows += [(row[0], row[1], row[2]) for row in found]
    rows.sort()
    first = next((at for at, row in enumerate(rows) if row[2] > now - flapping.WINDOW), len(rows))
    return [Status(row[1]) for row in rows[max(0, first - 1) :]]
