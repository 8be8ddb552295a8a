"""The file of an hour that is not sealed yet: its form, and how it is read.

Rows stand in the order they came, and nothing is ever changed: appending costs a fortieth of what
an index would. Each row says how many rows lie between it and the last one of the same monitor. So
what reads one monitor's rows goes from its newest to its first, and only the number of the newest
is kept in memory: for the hours this process writes, and for others once they were looked through.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from netpulse.model.time import Millis
from netpulse.storage.raw.files import blaming
from netpulse.storage.raw.row import Row

VERSION = 2
PAGE_BYTES = 4_096
"""What the system's cache writes at least: smaller pages in a log share its own, which are written
again and again."""
SCHEMA = """
CREATE TABLE texts(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE checks(
    key INTEGER NOT NULL,      -- of the monitor
    due INTEGER NOT NULL,      -- milliseconds into the hour
    region INTEGER NOT NULL,   -- texts.id
    counted INTEGER NOT NULL,  -- 0: run by hand
    lag INTEGER NOT NULL,      -- started less due, milliseconds
    result INTEGER NOT NULL,   -- 0 up, 1 degraded, 2 down, 3 inconclusive
    code INTEGER,
    failure INTEGER,           -- texts.id
    detail INTEGER,            -- texts.id
    message INTEGER,           -- texts.id
    dns INTEGER,               -- tenths of a millisecond, as the next four
    connect INTEGER,
    tls INTEGER,
    first_byte INTEGER,
    total INTEGER,
    response INTEGER,          -- response time less the rounded total, milliseconds
    back INTEGER               -- rows back to the last one of this key; 0: this is its first
)"""
CHAINED = "ALTER TABLE checks ADD COLUMN back INTEGER; PRAGMA user_version = 2"
"""Makes a file of version 1 one of version 2, whose older rows say nothing of those before them."""

_COLUMNS = """
    c.due + ?1, region.text, c.counted, c.lag, c.result, c.code, failure.text, detail.text,
    message.text, c.dns, c.connect, c.tls, c.first_byte, c.total, c.response"""
_JOINED = """
    FROM checks c
    LEFT JOIN texts region ON region.id = c.region
    LEFT JOIN texts failure ON failure.id = c.failure
    LEFT JOIN texts detail ON detail.id = c.detail
    LEFT JOIN texts message ON message.id = c.message"""

_CHAIN = f"""
    WITH RECURSIVE chain(number) AS (
        SELECT ?3
        UNION ALL
        SELECT number - back FROM chain, checks
        WHERE checks.rowid = number AND checks.key = ?2 AND back > 0
    )
    SELECT {_COLUMNS} {_JOINED.replace("checks c", "chain CROSS JOIN checks c ON c.rowid = number")}
    WHERE c.key = ?2"""
"""The newest row first: a chain comes out as it goes in, and CROSS JOIN is done in its order."""
_CHUNK = 200_000
"""Rows sorted at a time: about 20 MB."""
LOOKED_THROUGH = 20_000
"""Rows looked through at a time from the end of a file."""
_SORTED = 5_000
"""And sorted at a time for each monitor's newest: memory is to stay as it is at a start."""
Mark = tuple[int, int, int, int | None]


def last_number(connection: apsw.Connection, path: Path) -> int:
    """Return the number of the last row; 0 where there is none."""
    with blaming(path):
        return connection.execute("SELECT max(rowid) FROM checks").get or 0


def mark(connection: apsw.Connection, path: Path, number: int) -> Mark | None:
    """Return what tells a row from that of this number in another file; None where it is not."""
    found: Any
    with blaming(path):
        found = connection.execute(
            "SELECT key, due, lag, total FROM checks WHERE rowid = ?", (number,)
        )
        return next(found, None)


def newest_after(connection: apsw.Connection, path: Path, after: int, last: int) -> dict[int, int]:
    """Return the number of the newest row of each monitor that has some from `after` to `last`,
    which are few."""
    with blaming(path):
        return dict(
            connection.execute(
                "SELECT key, rowid FROM checks WHERE rowid > ? AND rowid <= ? ORDER BY rowid",
                (after, last),
            )
        )


def newest_of_each(
    connection: apsw.Connection, path: Path, last: int, rest: Callable[[float], object]
) -> dict[int, int] | None:
    """Return the number of each monitor's newest row, `last` being the newest of all; None where
    not all rows are chained.

    SQLite looks through all rows once for the monitors' first ones, without the interpreter; then
    from the end back until each is met. `rest` is told how many seconds each stretch of it took.
    """
    with blaming(path):
        version = connection.pragma("user_version")
        if not isinstance(version, int) or version < VERSION:
            return None
        if connection.execute("SELECT back IS NULL FROM checks WHERE rowid = 1").get:
            return None
        first = connection.execute("SELECT key FROM checks WHERE back = 0 AND rowid <= ?", (last,))
        newest = {int(key): 0 for (key,) in first}
        missing = array("q", newest)
        while missing and last > 0:
            began = time.thread_time()
            found = connection.execute(
                "SELECT key, max(rowid) FROM checks"
                " WHERE rowid > ? AND rowid <= ? AND key IN carray(?) GROUP BY key",
                (last - _SORTED, last, apsw.carray(missing)),
            )
            newest.update(found)
            missing = array("q", (key for key in missing if not newest[key]))
            last -= _SORTED
            rest(time.thread_time() - began)
    return newest


def rows_of(
    connection: apsw.Connection, path: Path, hour: Millis, key: int, newest: int | None
) -> list[Row]:
    """Return the rows of one monitor in the order they were written.

    `newest` is the number of the newest one: 0 where there is none, None where that is not known.
    """
    found: Any
    with blaming(path):
        if newest is not None:
            if not newest:
                return []
            found = connection.execute(_CHAIN, (hour, key, newest)).fetchall()
            if found:
                return list(reversed(found))
            # Somebody put another file in its place.
        found = connection.execute(
            f"SELECT {_COLUMNS} {_JOINED} WHERE c.key = ?2 ORDER BY c.rowid", (hour, key)
        )
        return list(found)


def last_of_each(
    connection: apsw.Connection, path: Path, hour: Millis, since: Millis
) -> list[tuple[int, Row]]:
    """Return the counted row that was due last of every monitor in the file, with its key.

    From the end of the file back, as far as there are rows that were due at `since` or later.
    """
    rows: list[tuple[int, Row]] = []
    newest: dict[int, int] = {}
    found: Any
    with blaming(path):
        last = last_number(connection, path)
        while last > 0:
            # Among rows of one due time, the one written last.
            found = connection.execute(
                "SELECT key, max(due << 32 | rowid) FROM checks"
                " WHERE rowid > ? AND rowid <= ? AND counted GROUP BY key",
                (last - LOOKED_THROUGH, last),
            ).fetchall()
            for key, place in found:
                if place > newest.get(key, -1):
                    newest[key] = place
            last -= LOOKED_THROUGH
            if all(hour + (place >> 32) < since for _, place in found):
                break
        numbers = array("i", sorted(place & 0xFFFFFFFF for place in newest.values()))
        for first in range(0, len(numbers), 1000):
            batch = numbers[first : first + 1000]
            found = connection.execute(
                f"SELECT c.key, {_COLUMNS} {_JOINED} WHERE c.rowid IN carray(?2)",
                (hour, apsw.carray(batch)),
            )
            rows += [(row[0], row[1:]) for row in found]
    return rows


def by_monitor(
    connection: apsw.Connection, path: Path, hour: Millis, after: int
) -> Iterator[tuple[int, list[Row]]]:
    """Yield (key, its rows in the order they were written) for the rows numbered above `after`.

    Ascending by key, in one state of the file: the caller holds a transaction.
    """
    last = last_number(connection, path)
    with blaming(path):
        found = connection.execute("SELECT DISTINCT key FROM checks WHERE rowid > ?", (after,))
        keys = sorted(key for (key,) in found)
    if not keys:
        return
    step = max(50, _CHUNK * len(keys) // max(1, last - after))
    for first in range(0, len(keys), step):
        chunk = keys[first : first + step]
        with blaming(path):
            rows = connection.execute(
                f"SELECT c.key, {_COLUMNS} {_JOINED}"
                " WHERE c.rowid > ?2 AND c.key BETWEEN ?3 AND ?4 ORDER BY c.key, c.rowid",
                (hour, after, chunk[0], chunk[-1]),
            )
            for key, group in groupby(rows, itemgetter(0)):
                yield key, [row[1:] for row in group]
