"""The memory of each monitor between two checks, as a restart finds it."""

from __future__ import annotations

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.watch import Status, Watch
from netpulse.storage.conn import Conn, Row

COLUMNS = (
    "w.status, w.since, w.settled, w.downs, w.first_down_at, w.slows, w.first_slow_at,"
    " w.goods, w.first_good_at, w.incident_id, w.silent_since"
)
"""A select list (table alias `w`) that `of_row` takes."""

WIDTH = 11
"""How many columns COLUMNS has."""


def get(conn: Conn, monitor_id: Id, region: str = LOCAL) -> Watch | None:
    """Return what is remembered of a monitor, or None if it has no memory (it is deleted)."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM watches w WHERE w.monitor_id = ? AND w.region = ?",
        (monitor_id, region),
    )
    return None if row is None else of_row(row)


def save(conn: Conn, org_id: Id, monitor_id: Id, watch: Watch, region: str = LOCAL) -> None:
    """Keep `watch` (all but `vouched_until`, which a restart may not rely on)."""
    conn.execute(
        "INSERT OR REPLACE INTO watches (monitor_id, region, org_id, status, since, settled,"
        " downs, first_down_at, slows, first_slow_at, goods, first_good_at, incident_id,"
        " silent_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            monitor_id,
            region,
            org_id,
            watch.status.value,
            watch.since,
            watch.settled.value,
            watch.downs,
            watch.first_down_at,
            watch.slows,
            watch.first_slow_at,
            watch.goods,
            watch.first_good_at,
            watch.incident_id,
            watch.silent_since,
        ),
    )


def begin_again(conn: Conn, monitor_id: Id) -> None:
    """Forget the streaks that are not confirmed: what they counted was another configuration."""
    conn.execute(
        "UPDATE watches SET downs = 0, first_down_at = NULL, slows = 0, first_slow_at = NULL,"
        " goods = 0, first_good_at = NULL WHERE monitor_id = ?",
        (monitor_id,),
    )


def forget(conn: Conn, monitor_id: Id) -> None:
    """Remove the memory of a monitor that is deleted."""
    conn.execute("DELETE FROM watches WHERE monitor_id = ?", (monitor_id,))


def of_row(row: Row) -> Watch:
    """Return the Watch of a row selected with COLUMNS."""
    return Watch(
        status=Status(row[0]),
        since=row[1],
        settled=Status(row[2]),
        downs=row[3],
        first_down_at=row[4],
        slows=row[5],
        first_slow_at=row[6],
        goods=row[7],
        first_good_at=row[8],
        incident_id=row[9],
        silent_since=row[10],
    )
