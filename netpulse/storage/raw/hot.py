"""The file of an hour that is not sealed yet: its form, and how it is read.

Rows stand in the order they came, and nothing is ever changed: appending costs a fortieth of what
an index would. What reads one monitor's rows uses the numbers of its rows, kept in memory for the
hours this process writes; other hours are read through.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from netpulse.model.time import Millis
from netpulse.storage.raw.files import blaming
from netpulse.storage.raw.row import Row

VERSION = 1
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
    response INTEGER           -- response time less the rounded total, milliseconds
)"""

_COLUMNS = """
    c.due + ?1, region.text, c.counted, c.lag, c.result, c.code, failure.text, detail.text,
    message.text, c.dns, c.connect, c.tls, c.first_byte, c.total, c.response"""
_JOINED = """
    FROM checks c
    LEFT JOIN texts region ON region.id = c.region
    LEFT JOIN texts failure ON failure.id = c.failure
    LEFT JOIN texts detail ON detail.id = c.detail
    LEFT JOIN texts message ON message.id = c.message"""

_CHUNK = 200_000
"""Rows sorted at a time: about 20 MB."""
_LOOKED_THROUGH = 20_000
"""Rows looked through at a time from the end of a file."""


_FAR = 0xFFFF


class RowNumbers:
    """Where the rows of each monitor lie in one hot file: complete for that file.

    Kept as the steps from one row to the next, in two bytes each: at 1,000 checks a second an hour
    of them is 7 MB. A step of 65,535 rows and more is `_FAR` and its upper and lower half.
    """

    def __init__(self) -> None:
        """Start with an empty file's."""
        self._steps: dict[int, array[int]] = {}
        self._last: dict[int, int] = {}

    def add(self, keys: Iterator[int], first: int) -> None:
        """Note that rows of `keys` were appended from row number `first` on."""
        last, all_steps = self._last, self._steps
        for number, key in enumerate(keys, first):
            step = number - last.get(key, 0)
            last[key] = number
            steps = all_steps.get(key)
            if steps is None:
                steps = all_steps[key] = array("H")
            if step < _FAR:
                steps.append(step)
            else:
                steps.extend((_FAR, step >> 16, step & 0xFFFF))

    def of(self, key: int) -> array[int]:
        """Return the row numbers of `key`, ascending."""
        steps = iter(self._steps.get(key, ()))
        return array(
            "i",
            accumulate(step if step < _FAR else next(steps) << 16 | next(steps) for step in steps),
        )


def last_number(connection: apsw.Connection, path: Path) -> int:
    """Return the number of the last row; 0 where there is none."""
    with blaming(path):
        return connection.execute("SELECT max(rowid) FROM checks").get or 0


def rows_of(
    connection: apsw.Connection, path: Path, hour: Millis, key: int, numbers: RowNumbers | None
) -> list[Row]:
    """Return the rows of one monitor in the order they were written."""
    found: Any
    with blaming(path):
        if numbers is None:
            found = connection.execute(
                f"SELECT {_COLUMNS} {_JOINED} WHERE c.key = ?2 ORDER BY c.rowid", (hour, key)
            )
        else:
            wanted = numbers.of(key)
            if not wanted:
                return []
            found = connection.execute(
                f"SELECT {_COLUMNS} {_JOINED} WHERE c.rowid IN carray(?2) ORDER BY c.rowid",
                (hour, apsw.carray(wanted)),
            )
        rows: list[Row] = found.fetchall()
    return rows


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
                (last - _LOOKED_THROUGH, last),
            ).fetchall()
            for key, place in found:
                if place > newest.get(key, -1):
                    newest[key] = place
            last -= _LOOKED_THROUGH
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
