"""The file of a month: sealed hours, one packed blob per monitor and hour, in time one per day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from netpulse.model.time import DAY, HOUR, Millis, rfc3339
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.damage import Infirmary
from netpulse.storage.raw.files import DamagedFile, blaming
from netpulse.storage.raw.packing import BlobDamaged, unpack

VERSION = 1
PAGE_BYTES = 4_096
"""Fewer and larger pages take fewer reads: a day is in two."""
_STEPS = 100_000
SCHEMA = """
CREATE TABLE hours(
    key INTEGER NOT NULL,     -- of the monitor
    start INTEGER NOT NULL,   -- hours since 1970
    checks INTEGER NOT NULL,  -- how many are in the blob
    packed BLOB NOT NULL,
    PRIMARY KEY (key, start)
);
CREATE TABLE days(
    key INTEGER NOT NULL,
    start INTEGER NOT NULL,   -- days since 1970
    checks INTEGER NOT NULL,
    packed BLOB NOT NULL,
    PRIMARY KEY (key, start)
)"""


class Stretch(Struct, frozen=True):
    """A blob that can be fetched: of which table, and the time it is for."""

    table: str
    length: Millis
    number: int

    @property
    def start(self) -> Millis:
        """When the hour or day begins."""
        return self.number * self.length

    @property
    def end(self) -> Millis:
        """When it is over."""
        return self.start + self.length

    @property
    def words(self) -> str:
        """What it is, for a message: the hour 2026-11-23T20:00:00Z."""
        return f"the {self.table.removesuffix('s')} {rfc3339(self.start)}"


_TABLES = (("days", DAY), ("hours", HOUR))
"""In the order of age: what a late row brought into `hours` is newer than the day's blob."""


def hour_stretch(hour: Millis) -> Stretch:
    """Return the stretch of the hour that starts at `hour`."""
    return Stretch("hours", HOUR, hour // HOUR)


def day_stretch(at: Millis) -> Stretch:
    """Return the stretch of the day that `at` lies in."""
    return Stretch("days", DAY, at // DAY)


def stretches(
    connection: apsw.Connection, path: Path, key: int, start: Millis, end: Millis
) -> list[Stretch]:
    """Return the blobs of a monitor that may hold checks due from `start` to before `end`."""
    found = []
    with blaming(path):
        for table, length in _TABLES:
            rows: Any = connection.execute(
                f"SELECT start FROM {table} WHERE key = ? AND start >= ? AND start <= ?",
                (key, start // length, (end - 1) // length),
            )
            found += [Stretch(table, length, number) for (number,) in rows.fetchall()]
    return found


def fetch(connection: apsw.Connection, path: Path, key: int, stretch: Stretch) -> bytes | None:
    """Return the blob of a stretch, None where there is none."""
    with blaming(path):
        blob: bytes | None = connection.execute(
            f"SELECT packed FROM {stretch.table} WHERE key = ? AND start = ?",
            (key, stretch.number),
        ).get
    return blob


def block(
    connection: apsw.Connection, path: Path, key: int, stretch: Stretch, infirmary: Infirmary
) -> Block | None:
    """Return the checks of a stretch; None where there are none, or the blob is damaged, which
    the infirmary hears of."""
    packed = fetch(connection, path, key, stretch)
    if packed is None:
        return None
    try:
        return unpack(packed)
    except BlobDamaged as error:
        infirmary.note(path, f"{stretch.words} of monitor number {key}: {error}")
        return None


def store(
    connection: apsw.Connection, key: int, stretch: Stretch, checks: int, packed: bytes
) -> None:
    """Put a blob in its place, instead of the one that is there."""
    connection.execute(
        f"INSERT OR REPLACE INTO {stretch.table}(key, start, checks, packed) VALUES(?,?,?,?)",
        (key, stretch.number, checks, packed),
    )


def held(connection: apsw.Connection, keys: Iterable[int], stretch: Stretch) -> dict[int, int]:
    """Return how many checks of each monitor lie in the blob of a stretch."""
    found = {}
    for key in keys:
        checks = connection.execute(
            f"SELECT checks FROM {stretch.table} WHERE key = ? AND start = ?",
            (key, stretch.number),
        ).get
        if checks is not None:
            found[key] = checks
    return found


def loose_days(connection: apsw.Connection, before: Millis) -> list[tuple[int, int]]:
    """Return (day number, monitor key) where a day that ended before `before` still has hours."""
    hours_a_day = DAY // HOUR
    found: Any = connection.execute(
        "SELECT DISTINCT start / ?1, key FROM hours WHERE start / ?1 < ?2 ORDER BY 1, 2",
        (hours_a_day, before // DAY),
    )
    return [(day, key) for day, key in found]


def drop_hours(connection: apsw.Connection, key: int, day: Stretch) -> None:
    """Delete the hours of a monitor that lie in `day`."""
    connection.execute(
        "DELETE FROM hours WHERE key = ? AND start >= ? AND start < ?",
        (key, day.start // HOUR, day.end // HOUR),
    )


def quick_check(connection: apsw.Connection, path: Path, enough: Callable[[], bool]) -> None:
    """Let SQLite look through the file; `enough` is asked now and then whether to give up.

    Raises:
        DamagedFile: something is wrong with it.
        apsw.InterruptError: it was enough.
    """
    connection.set_progress_handler(enough, _STEPS)
    try:
        with blaming(path):
            found = connection.execute("PRAGMA quick_check(1)").get
    finally:
        connection.set_progress_handler(None)
    if found != "ok":
        raise DamagedFile(path, str(found))
