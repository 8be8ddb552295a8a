"""Reading raw checks: what waits in memory first, then the hot files, then the months.

In this order nothing is missed: a check moves from each to the next, and is gone from one only
when it is in the other. What is met twice is one check by its key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import apsw

from netpulse.model.check import Check, Result
from netpulse.model.maintenance import Window
from netpulse.model.time import HOUR, Millis
from netpulse.storage.raw import hot, month
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.bulk import Bulk
from netpulse.storage.raw.chart import Bucket, Chart
from netpulse.storage.raw.damage import Infirmary
from netpulse.storage.raw.figures import Counts, Tally
from netpulse.storage.raw.files import DamagedFile, NewerFile, Readers
from netpulse.storage.raw.hot_files import HotFiles
from netpulse.storage.raw.names import LATEST, Places, hour_of, month_of
from netpulse.storage.raw.pieces import Piece, grouped
from netpulse.storage.raw.row import COUNTED, DUE, RESULT, Row, place_of, to_check, unite

Visit = Callable[[Block, int, int], bool]
"""Takes a block, the first place in it that is wanted and the place after the last; tells whether
to go on."""


class Reader:
    """Finds checks wherever they are. Its methods run in reader threads."""

    def __init__(
        self,
        places: Places,
        bulk: Bulk,
        files: HotFiles,
        hot_readers: Readers,
        month_readers: Readers,
        infirmary: Infirmary,
        on_damage: Callable[[DamagedFile], None],
    ) -> None:
        """Take the parts of the store."""
        self._places = places
        self._bulk = bulk
        self._files = files
        self._hot = hot_readers
        self._months = month_readers
        self._infirmary = infirmary
        self._on_damage = on_damage

    def range(
        self,
        key: int,
        start: Millis,
        end: Millis,
        limit: int | None,
        newest_first: bool,
        result: Result | None,
    ) -> list[Check]:
        """Return the checks due from `start` to before `end`, at most `limit`."""
        wanted = None if result is None else place_of(result)
        found: list[Check] = []
        if limit is not None and limit <= 0:
            return found

        def visit(block: Block, first: int, last: int) -> bool:
            places: Sequence[int] = range(first, last)
            if wanted is not None:
                results = block.column(RESULT)
                places = [place for place in places if results[place] == wanted]
            if newest_first:
                places = places[::-1]
            if limit is not None:
                places = places[: limit - len(found)]
            found.extend(map(to_check, block.rows_at(places)))
            return limit is None or len(found) < limit

        self.walk(key, start, end, visit, newest_first)
        return found

    def counts(
        self, key: int, start: Millis, end: Millis, without: Sequence[Window] = ()
    ) -> Counts:
        """Return what the checks due from `start` to before `end` came to, but for those in
        `without` (in the order of time, none over another)."""
        tally = Tally(without)
        self.walk(key, start, end, tally.visit)
        return tally.counts()

    def size(self, key: int, start: Millis, end: Millis, result: Result | None) -> int:
        """Return how many checks were due from `start` to before `end`, run by hand or not."""
        wanted = None if result is None else place_of(result)
        found = 0

        def visit(block: Block, first: int, last: int) -> bool:
            nonlocal found
            found += (
                last - first if wanted is None else block.column(RESULT)[first:last].count(wanted)
            )
            return True

        self.walk(key, start, end, visit)
        return found

    def series(self, key: int, start: Millis, end: Millis, points: int) -> list[Bucket]:
        """Return the stretch from `start` to `end` in `points` buckets."""
        chart = Chart(start, end, points)
        self.walk(key, start, end, chart.visit)
        return chart.buckets()

    def last(self, keys: Iterable[int], since: Millis = 0) -> dict[int, Check]:
        """Return the counted check of each monitor that was due last, at `since` or later."""
        wanted = set(keys)
        newest = {key: row for key, row in self._bulk.newest().items() if key in wanted}
        for hour in reversed(self._places.hot_hours()):
            if hour + HOUR <= since:
                break
            for key, row in self._last_of_hour(hour, since):
                if key in wanted and (key not in newest or row[DUE] > newest[key][DUE]):
                    newest[key] = row
        for name in reversed(self._places.months()):
            if name < month_of(max(0, since)):
                break
            missing = [
                key for key in wanted if key not in newest or month_of(newest[key][DUE]) <= name
            ]
            if missing:
                self._last_of_month(name, missing, newest, since)
        return {key: to_check(row) for key, row in newest.items()}

    def _last_of_hour(self, hour: Millis, since: Millis) -> list[tuple[int, Row]]:
        path = self._places.hot_path(hour)
        if self._infirmary.is_condemned(path):
            return []
        try:
            with self._hot.borrow(path) as connection:
                if connection is None:
                    return []
                return hot.last_of_each(connection, path, hour, since)
        except DamagedFile as damaged:
            self._on_damage(damaged)
        except NewerFile as newer:
            self._infirmary.note(path, str(newer))
        return []

    def _last_of_month(
        self, name: str, keys: Iterable[int], newest: dict[int, Row], since: Millis
    ) -> None:
        path = self._places.month_path(name)
        if self._infirmary.is_condemned(path):
            return
        try:
            with self._months.borrow(path) as connection:
                if connection is None:
                    return
                for key in keys:
                    row = self._last_of(connection, name, key, newest.get(key), since)
                    if row is not None:
                        newest[key] = row
        except DamagedFile as damaged:
            self._on_damage(damaged)
        except NewerFile as newer:
            self._infirmary.note(path, str(newer))

    def _last_of(
        self, connection: apsw.Connection, name: str, key: int, best: Row | None, since: Millis
    ) -> Row | None:
        """Return the counted row of a month that was due last, if that was after `best`."""
        after = since - 1 if best is None else best[DUE]
        path = self._places.month_path(name)
        found = month.stretches(connection, path, key, after + 1, LATEST)
        for stretch in sorted(found, key=lambda s: s.end, reverse=True):
            if stretch.end <= after:
                break
            block = month.block(
                connection, self._places.month_path(name), key, stretch, self._infirmary
            )
            if block is None:
                continue
            counted, due = block.column(COUNTED), block.column(DUE)
            for place in range(block.size - 1, -1, -1):
                if due[place] <= after:
                    break
                if counted[place]:
                    best, after = block.row(place), due[place]
                    break
        return best

    def verify(self, within_seconds: float, stopping: Callable[[], bool]) -> list[str]:
        """Let SQLite look through the months, newest first, for as long as given, or until
        `stopping` says so: whoever closes the store waits for this thread.

        Returns those it could look through and found sound.
        """
        until = time.monotonic() + within_seconds
        sound: list[str] = []
        for name in reversed(self._places.months()):
            path = self._places.month_path(name)
            if self._infirmary.is_condemned(path):
                continue
            try:
                with self._months.borrow(path) as connection:
                    if connection is not None:
                        month.quick_check(
                            connection, path, lambda: stopping() or time.monotonic() > until
                        )
                        sound.append(name)
            except DamagedFile as damaged:
                self._on_damage(damaged)
            except NewerFile as newer:
                self._infirmary.note(path, str(newer))
            except apsw.InterruptError:
                break
        return sound

    def walk(
        self, key: int, start: Millis, end: Millis, visit: Visit, newest_first: bool = True
    ) -> None:
        """Show `visit` the blocks with checks due from `start` to before `end`.

        They do not overlap, and come newest or oldest first.
        """
        start, end = max(0, start), min(end, LATEST)
        if start >= end:
            return
        recent = self._recent(key, start, end)
        names = {month_of(piece.start) for piece in recent}
        names.update(self._places.months())
        for name in sorted(names, reverse=newest_first):
            if month_of(start) <= name <= month_of(end - 1):
                pieces = [piece for piece in recent if month_of(piece.start) == name]
                if not self._walk_month(name, pieces, key, start, end, visit, newest_first):
                    return

    def _recent(self, key: int, start: Millis, end: Millis) -> list[Piece]:
        """Return what is not sealed, by hour, the rows in the order they were written."""
        waiting = self._bulk.rows(key)
        found: dict[Millis, list[Row]] = {}
        for hour in self._places.hot_hours():
            path = self._places.hot_path(hour)
            if hour + HOUR <= start or hour >= end or self._infirmary.is_condemned(path):
                continue
            try:
                with self._hot.borrow(path) as connection:
                    if connection is not None:
                        newest = self._files.newest(connection, hour, key)
                        found[hour] = hot.rows_of(connection, path, hour, key, newest)
            except DamagedFile as damaged:
                self._on_damage(damaged)
            except NewerFile as newer:
                self._infirmary.note(path, str(newer))
        for row in waiting:
            if start <= row[DUE] < end:
                found.setdefault(hour_of(row[DUE]), []).append(row)
        return [Piece(hour, hour + HOUR, 2, rows) for hour, rows in found.items() if rows]

    def _walk_month(
        self,
        name: str,
        pieces: list[Piece],
        key: int,
        start: Millis,
        end: Millis,
        visit: Visit,
        newest_first: bool,
    ) -> bool:
        path = self._places.month_path(name)
        groups = grouped(pieces, newest_first)
        if not self._infirmary.is_condemned(path):
            try:
                with self._months.borrow(path) as connection:
                    if connection is not None:
                        stretches = month.stretches(connection, path, key, start, end)
                        sealed = [Piece.of(s) for s in stretches]
                        groups = grouped([*pieces, *sealed], newest_first)
                    while groups:
                        block = self._united(groups[0], connection, name, key)
                        groups.pop(0)
                        if block is not None and not visit(block, *block.between(start, end)):
                            return False
                    return True
            except DamagedFile as damaged:
                self._on_damage(damaged)
            except NewerFile as newer:
                self._infirmary.note(path, str(newer))
        # The month cannot be read: what is not sealed is still shown.
        for group in groups:
            block = self._united([p for p in group if p.stretch is None], None, name, key)
            if block is not None and not visit(block, *block.between(start, end)):
                return False
        return True

    def _united(
        self, group: list[Piece], connection: apsw.Connection | None, name: str, key: int
    ) -> Block | None:
        blocks: list[Block] = []
        for piece in sorted(group, key=lambda piece: piece.age):
            if piece.stretch is None:
                blocks.append(Block.of(unite([piece.rows])))
            elif connection is not None:
                block = month.block(
                    connection, self._places.month_path(name), key, piece.stretch, self._infirmary
                )
                if block is not None:
                    blocks.append(block)
        if len(blocks) < 2:
            return blocks[0] if blocks else None
        return Block.of(unite(block.rows() for block in blocks))
