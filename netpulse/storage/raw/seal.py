"""Sealing: an hour's rows move, packed, from its hot file into the file of its month.

1. flush the hot file and read it monitor by monitor; 2. unite each with the blob that is there, and
store it in the month file (synchronous=FULL, 50 monitors a transaction); 3. see that all are there;
then the figures are told; 4. unlink .db, then -wal and -shm, and sync the directory. Killed before
that is over, the hour is sealed again, which changes nothing that is there; killed between the
unlinks, the next start removes the rest. Rows that come while an hour is being sealed are found
before 4, and sealed too. The log is not moved into the file first, which would write its last
megabytes once more: a file whose log alone is gone after a power failure lacks only what is in the
month.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path

import apsw
from msgspec import Struct

from netpulse.model.time import DAY, HOUR, MINUTE, Millis
from netpulse.storage.raw import hot, month
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.damage import Infirmary
from netpulse.storage.raw.figures import HourFigures, hour_figures
from netpulse.storage.raw.files import (
    SIDES,
    DamagedFile,
    Readers,
    beside,
    blaming,
    create,
    empty_log,
    open_file,
    sync_directory,
    sync_log,
)
from netpulse.storage.raw.hot_files import HotFiles
from netpulse.storage.raw.month import Stretch, day_stretch, hour_stretch
from netpulse.storage.raw.names import Places, day_of, month_of
from netpulse.storage.raw.packing import pack
from netpulse.storage.raw.row import Row, unite

SEAL_AFTER = 5 * MINUTE
"""How long an hour stays open after its end, for checks that are still running."""
_MONITORS_AT_ONCE = 50
_CACHE_KB = 2_000
"""Of the month that is written: hours are merged into days among those of all other monitors."""
_REST = 1.0
"""How long it rests for each second that it computes. Each time that the event loop is woken it
waits for a thread that computes to let go of the interpreter, and for as long as the system keeps
that thread from the processor: at a thousand checks a second the loop falls behind. An hour is time
enough."""
_STRETCH_SECONDS = 0.001
"""So much is computed before a rest is worth it. The system seldom takes the processor from a
thread that asks for as little."""


class Stopping(Exception):
    """The store is being closed: the hour is sealed at the next start."""


class Sealed(Struct, frozen=True):
    """An hour that is in the month file, as far as its hot file went when it was read."""

    figures: dict[int, HourFigures]
    """By monitor key; only of monitors with rows that were read now."""
    last: int
    """The number of the last row that was read."""


class Sealer:
    """Moves hours into months, and a month's hours into days. All in one thread."""

    def __init__(
        self,
        places: Places,
        files: HotFiles,
        hot_readers: Readers,
        month_readers: Readers,
        infirmary: Infirmary,
        stopping: threading.Event,
        checkpoint: Callable[[str], None],
    ) -> None:
        """Take the parts of the store; `checkpoint` is told each step that was just taken."""
        self._places = places
        self._files = files
        self._hot = hot_readers
        self._months = month_readers
        self._infirmary = infirmary
        self._stopping = stopping
        self._checkpoint = checkpoint
        self._days_until: Millis = -1
        self._loose = False
        self._rested_at = 0.0
        """What this thread had computed when it rested last, in seconds."""

    def due(self, now: Millis) -> list[Millis]:
        """Return the hours whose hot file is to be sealed, oldest first."""
        return [
            hour
            for hour in self._places.hot_hours()
            if hour + HOUR + SEAL_AFTER <= now
            and not self._infirmary.is_condemned(self._places.hot_path(hour))
        ]

    def pack_hour(self, hour: Millis, after: int) -> Sealed:
        """Store the rows of `hour` numbered above `after` in the month file: steps 1 to 3.

        Raises:
            DamagedFile: the hot or the month file is damaged.
            NewerFile: one of them was written by a newer version.
            Stopping: the store is being closed.
            apsw.Error: the disk is full, or in trouble.
        """
        source = self._places.hot_path(hour)
        target = self._places.month_path(month_of(hour))
        figures: dict[int, HourFigures] = {}
        held: dict[int, int] = {}
        with self._hot.borrow(source) as connection:
            if connection is None:
                return Sealed({}, after)
            last = hot.last_number(connection, source)
            if last <= after:
                return Sealed({}, after)
            monitors = hot.by_monitor(connection, source, hour, after)
            self._checkpoint("read")
            # What is in the month must be here until it is told: a power failure that took it here
            # alone would leave nothing to tell of.
            sync_log(source)
            with self._writer(target) as writer, blaming(target):
                while batch := list(islice(monitors, _MONITORS_AT_ONCE)):
                    writer.execute("BEGIN IMMEDIATE")
                    for key, rows in batch:
                        figures[key], held[key] = self._store(writer, target, hour, key, rows)
                        self._rest()
                    self._checkpoint("stored")
                    writer.execute("COMMIT")
                    self._checkpoint("committed")
                if month.held(writer, held, hour_stretch(hour)) != held:
                    raise DamagedFile(target, "what was just stored in it is not there")
        self._checkpoint("verified")
        self._loose = self._loose or hour < self._days_until
        return Sealed(figures, last)

    def _store(
        self, writer: apsw.Connection, path: Path, hour: Millis, key: int, rows: list[Row]
    ) -> tuple[HourFigures, int]:
        there = month.block(writer, path, key, hour_stretch(hour), self._infirmary)
        block = Block.of(unite([there.rows() if there else (), rows]))
        month.store(writer, key, hour_stretch(hour), block.size, pack(block, self._rest))
        size = block.size
        day = month.block(writer, path, key, day_stretch(hour), self._infirmary)
        if day is not None:
            block = Block.of(unite([day.rows(*day.between(hour, hour + HOUR)), block.rows()]))
        return hour_figures(block, 0, block.size), size

    def finish(self, hour: Millis, last: int) -> bool:
        """Take the hot file of a sealed hour away: step 4.

        `last` is the number of the last row that was sealed. Returns False where more rows came:
        they have to be sealed first.
        """
        path = self._places.hot_path(hour)
        with self._hot.retire(path), self._files.lock:
            if path.exists():
                connection = open_file(path, hot.VERSION)
                try:
                    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                    if hot.last_number(connection, path) > last:
                        return False
                    self._files.forget(hour)
                finally:
                    connection.close()
                path.unlink()
                self._checkpoint("unlinked .db")
            for side in SIDES:
                beside(path, side).unlink(missing_ok=True)
                self._checkpoint(f"unlinked {side}")
            sync_directory(path.parent)
            self._checkpoint("synced")
        return True

    def merge_days(self, now: Millis) -> None:
        """Make one blob of a monitor's hours, for each day that is over and sealed.

        Does nothing until the next day, unless rows came late. Errors as in `pack_hour`.
        """
        today = day_of(max(0, now - SEAL_AFTER))
        if today <= self._days_until and not self._loose:
            return
        open_days = {day_of(hour) // DAY for hour in self._places.hot_hours()}
        for name in self._places.months():
            path = self._places.month_path(name)
            if self._infirmary.is_condemned(path):
                continue
            with self._months.borrow(path) as connection, blaming(path):
                loose = [] if connection is None else month.loose_days(connection, today)
            loose = [(day, key) for day, key in loose if day not in open_days]
            if loose:
                self._merge(path, loose)
        self._days_until, self._loose = today, False

    def _merge(self, path: Path, loose: list[tuple[int, int]]) -> None:
        with self._writer(path) as writer, blaming(path):
            for day, entries in groupby(loose, lambda entry: entry[0]):
                keys = [key for _, key in entries]
                for first in range(0, len(keys), _MONITORS_AT_ONCE):
                    writer.execute("BEGIN IMMEDIATE")
                    for key in keys[first : first + _MONITORS_AT_ONCE]:
                        self._merge_day(writer, path, key, Stretch("days", DAY, day))
                        self._rest()
                    self._checkpoint("day stored")
                    writer.execute("COMMIT")
                    self._checkpoint("day committed")

    def _merge_day(self, writer: apsw.Connection, path: Path, key: int, day: Stretch) -> None:
        stretches = month.stretches(writer, path, key, day.start, day.end)
        blocks = [month.block(writer, path, key, stretch, self._infirmary) for stretch in stretches]
        sound = [block for block in blocks if block is not None]
        if len(sound) < len(blocks):
            return  # One is damaged, which was told: all stay as they are.
        if stretches[0].table == "days":
            block = Block.of(unite(block.rows() for block in sound))
        else:
            block = Block.joined(sound, self._rest)
        month.store(writer, key, day, block.size, pack(block, self._rest))
        month.drop_hours(writer, key, day)

    def drop_before(self, name: str) -> list[str]:
        """Unlink the files of the months before `name` and what was put aside of them."""
        dropped = []
        for old in self._places.months():
            if old >= name:
                break
            path = self._places.month_path(old)
            with self._months.retire(path):
                for part in (path, *(beside(path, side) for side in SIDES)):
                    part.unlink(missing_ok=True)
            self._checkpoint("month gone")
            dropped.append(old)
        self._infirmary.drop_before(name, self._places)
        if dropped:
            sync_directory(self._places.checks)
        return dropped

    @contextmanager
    def _writer(self, path: Path) -> Iterator[apsw.Connection]:
        """Open the month file at `path` for writing, making it where there is none."""
        if not path.exists():
            create(path, month.SCHEMA, month.VERSION, page_bytes=month.PAGE_BYTES)
            self._checkpoint("month made")
        connection = open_file(path, month.VERSION, synchronous="full", cache_kb=_CACHE_KB)
        try:
            yield connection
            # While somebody reads it stays: whoever closes the file last empties it.
            empty_log(connection)
        finally:
            # An open transaction is rolled back by this.
            connection.close()

    def _rest(self) -> None:
        """Leave the interpreter to others for as long as this thread has computed since it rested
        last, where that is worth it.

        Raises:
            Stopping: the store is being closed; what is not committed is done at the next start.
        """
        # Of this thread alone: to wait for the disk or for the interpreter takes it from nobody.
        used = time.thread_time() - self._rested_at
        worth_it = used >= _STRETCH_SECONDS
        if self._stopping.wait(_REST * used) if worth_it else self._stopping.is_set():
            raise Stopping
        if worth_it:
            self._rested_at = time.thread_time()
