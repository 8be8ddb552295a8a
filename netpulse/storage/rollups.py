"""Checks summed up by hour and by day, and how far that has got.

Rows are kept under a monitor's small number (`Monitor.key`): there is one for each monitor and
hour, for ever. A row and the cursor that says it is done are written in one transaction.

The hours of days that are not summed up yet lie in a table in the order of time
(`rollups_recent`): among the others each row would take a page of its own to the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.storage import meta
from netpulse.storage.conn import Conn, Row

_SUMS = (
    "checks, ups, degraded, downs, inconclusive, response_count, response_sum, response_min,"
    " response_max"
)
_RENEWED = ", ".join(f"{name} = excluded.{name}" for name in _SUMS.split(", "))
_UNLESS_THERE_IS_MORE = (
    f" ON CONFLICT (monitor_key, region, from_ms) DO UPDATE SET {_RENEWED}"
    " WHERE excluded.checks + excluded.inconclusive >= checks + inconclusive"
)
# One by one from the primary key, which begins with the hour: rows of all monitors lie between.
_HOURS = (
    "WITH RECURSIVE hours (at) AS (SELECT max(?1, (SELECT min(from_ms) FROM rollups_recent))"
    f" UNION ALL SELECT at + {HOUR} FROM hours"
    f" WHERE at + {HOUR} < min(?2, 1 + (SELECT max(from_ms) FROM rollups_recent)))"
)


class Rollup(Struct, frozen=True, kw_only=True, gc=False):
    """The checks of one monitor in one hour or day. Response times are whole milliseconds."""

    key: int
    """The monitor's number (`Monitor.key`)."""
    from_ms: Millis
    checks: int
    ups: int
    degraded: int
    downs: int
    inconclusive: int
    response_count: int = 0
    response_sum: int = 0
    response_min: int | None = None
    response_max: int | None = None
    region: str = LOCAL


def put_hour(conn: Conn, rollups: Iterable[Rollup], cursor: Millis | None = None) -> None:
    """Write rows of an hour (at most a thousand at once), again where they are there already.

    A row that knows of fewer checks than the one that is there is left out: it was computed from
    what a damaged file has left. `cursor`, given with the last of them, says until when all hours
    are done now.
    """
    day = _done_until(conn, "day")
    old: list[Rollup] = []
    recent: list[Rollup] = []
    for rollup in rollups:
        (old if day is not None and rollup.from_ms < day else recent).append(rollup)
    for table, rows in (("rollups_hour", old), ("rollups_recent", recent)):
        conn.many(
            f"INSERT INTO {table} (monitor_key, region, from_ms, {_SUMS})"
            f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?){_UNLESS_THERE_IS_MORE}",
            [_values(rollup) for rollup in rows],
        )
    if cursor is not None:
        set_cursor(conn, "hour", cursor)


def fold_days(conn: Conn, day: Millis, keys: Sequence[int], cursor: Millis | None = None) -> None:
    """Sum the hours of the day that begins at `day` up for the monitors `keys` (about forty at
    once, a row an hour of each), and put them among the others. `cursor` as in `put_hour`."""
    span = [(day, day + DAY, key) for key in keys]
    conn.many(
        f"{_HOURS} INSERT INTO rollups_hour (monitor_key, region, from_ms, {_SUMS})"
        f" SELECT monitor_key, region, from_ms, {_SUMS} FROM hours CROSS JOIN rollups_recent"
        f" WHERE from_ms = at AND monitor_key = ?3 AND from_ms < ?2{_UNLESS_THERE_IS_MORE}",
        span,
    )
    conn.many(
        f"{_HOURS} DELETE FROM rollups_recent"
        " WHERE from_ms IN (SELECT at FROM hours) AND monitor_key = ?3 AND from_ms < ?2",
        span,
    )
    conn.many(
        # The regions one by one, from the primary key: all rows of a monitor are years of hours.
        "WITH RECURSIVE regions (region) AS ("
        " SELECT min(region) FROM rollups_hour WHERE monitor_key = ?3 UNION ALL"
        " SELECT (SELECT min(h.region) FROM rollups_hour h WHERE h.monitor_key = ?3"
        " AND h.region > regions.region) FROM regions WHERE regions.region IS NOT NULL)"
        f" INSERT OR REPLACE INTO rollups_day (monitor_key, region, from_ms, {_SUMS})"
        " SELECT monitor_key, region, ?1, sum(checks), sum(ups), sum(degraded), sum(downs),"
        " sum(inconclusive), sum(response_count), sum(response_sum), min(response_min),"
        " max(response_max) FROM rollups_hour WHERE monitor_key = ?3"
        " AND region IN (SELECT region FROM regions)"
        " AND from_ms >= ?1 AND from_ms < ?2 GROUP BY monitor_key, region",
        span,
    )
    if cursor is not None:
        set_cursor(conn, "day", cursor)


def keys_of(conn: Conn, start: Millis, end: Millis) -> list[int]:
    """Return the numbers of the monitors that may have hours beginning in [start, end).

    By the monitors' own dates: old hours have no index by time, which would cost as much as they.
    """
    rows = conn.all(
        "SELECT key FROM monitors WHERE created_at < ?2"
        " AND (deleted_at IS NULL OR deleted_at >= ?1)"
        " UNION SELECT monitor_key FROM rollups_recent WHERE from_ms >= ?1 AND from_ms < ?2",
        (start, end),
    )
    return [row[0] for row in rows]


def hours(
    conn: Conn, monitor_id: Id, start: Millis, end: Millis, region: str = LOCAL
) -> list[Rollup]:
    """Return a monitor's hours that begin in [start, end), oldest first."""
    found = {
        hour.from_ms: hour for hour in _range(conn, "rollups_hour", monitor_id, start, end, region)
    }
    rows = conn.all(
        f"{_HOURS} SELECT monitor_key, from_ms, region, {_SUMS}"
        " FROM hours CROSS JOIN rollups_recent WHERE from_ms = at AND region = ?4 AND from_ms < ?2"
        " AND monitor_key = (SELECT key FROM monitors WHERE id = ?3)",
        (-(-start // HOUR) * HOUR, end, monitor_id, region),
    )
    for hour in map(_rollup, rows):
        old = found.get(hour.from_ms)
        if old is None or hour.checks + hour.inconclusive >= old.checks + old.inconclusive:
            found[hour.from_ms] = hour
    return [found[at] for at in sorted(found)]


def days(
    conn: Conn, monitor_id: Id, start: Millis, end: Millis, region: str = LOCAL
) -> list[Rollup]:
    """Return a monitor's days (UTC) that begin in [start, end), oldest first."""
    return _range(conn, "rollups_day", monitor_id, start, end, region)


def response_time(conn: Conn, monitor_id: Id, now: Millis) -> int | None:
    """Return a monitor's mean response time (ms) over the last 24 finished hours; None without."""
    found = hours(conn, monitor_id, now - now % HOUR - DAY, now)
    count = sum(hour.response_count for hour in found)
    return round(sum(hour.response_sum for hour in found) / count) if count else None


def cursor(conn: Conn, unit: str) -> Millis | None:
    """Return until when all hours (`unit` "hour") or days ("day") are done; None: none yet."""
    return _done_until(conn, unit)


def set_cursor(conn: Conn, unit: str, at: Millis) -> None:
    """Say that all before `at` is done."""
    meta.put(conn, f"rollup_{unit}", at)


def _done_until(conn: Conn, unit: str) -> Millis | None:
    value = meta.get(conn, f"rollup_{unit}")
    return value if isinstance(value, int) else None


def _range(
    conn: Conn, table: str, monitor_id: Id, start: Millis, end: Millis, region: str
) -> list[Rollup]:
    rows = conn.all(
        f"SELECT monitor_key, from_ms, region, {_SUMS} FROM {table}"
        " WHERE monitor_key = (SELECT key FROM monitors WHERE id = ?) AND region = ?"
        " AND from_ms >= ? AND from_ms < ? ORDER BY from_ms",
        (monitor_id, region, start, end),
    )
    return [_rollup(row) for row in rows]


def _values(rollup: Rollup) -> tuple[int | str | None, ...]:
    return (
        rollup.key,
        rollup.region,
        rollup.from_ms,
        rollup.checks,
        rollup.ups,
        rollup.degraded,
        rollup.downs,
        rollup.inconclusive,
        rollup.response_count,
        rollup.response_sum,
        rollup.response_min,
        rollup.response_max,
    )


def _rollup(row: Row) -> Rollup:
    return Rollup(
        key=row[0],
        from_ms=row[1],
        region=row[2],
        checks=row[3],
        ups=row[4],
        degraded=row[5],
        downs=row[6],
        inconclusive=row[7],
        response_count=row[8],
        response_sum=row[9],
        response_min=row[10],
        response_max=row[11],
    )
