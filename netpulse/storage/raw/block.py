"""Checks of one monitor by column: those of a packed blob, read as they are asked for, or rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, cast

from netpulse.model.time import Millis
from netpulse.storage.raw import lanes
from netpulse.storage.raw.packed import Column, Packed, Planes
from netpulse.storage.raw.row import DUE, PHASES, TOTAL, WIDTH, Row


def no_pause() -> None:
    """Go on at once."""


class Block:
    """Checks of one monitor by column, in the order of their keys (due, region, counted)."""

    __slots__ = ("_columns", "_packed", "size")

    def __init__(self, columns: list[Column | None], packed: Packed | None, size: int) -> None:
        """Take the columns that are known and where the others are read from."""
        self._columns = columns
        self._packed = packed
        self.size = size

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Block:
        """Return the block of `rows`, which are in order, each key once."""
        columns: list[Column | None] = list(zip(*rows, strict=True)) if rows else [()] * WIDTH
        return cls(columns, None, len(rows))

    @classmethod
    def read_from(cls, packed: Packed) -> Block:
        """Return the block that a blob holds; its columns are decoded when asked for."""
        return cls([None] * WIDTH, packed, packed.size)

    @classmethod
    def joined(cls, blocks: Sequence[Block], pause: Callable[[], None] = no_pause) -> Block:
        """Return one block of several that follow each other without overlapping.

        `pause` is called after each column, which takes less than a millisecond.
        """
        columns: list[Column | None] = []
        for which in range(WIDTH):
            columns.append(list(chain.from_iterable(block.column(which) for block in blocks)))
            pause()
        return cls(columns, None, sum(block.size for block in blocks))

    def column(self, which: int) -> Column:
        """Return one column; the others are not decoded for it."""
        known = self._columns[which]
        if known is None:
            known = self._decoded(which, 0, self.size)
            self._columns[which] = known
        return known

    def part(self, which: int, start: int, end: int) -> Column:
        """Return a column from place `start` to before `end`; no more of it is decoded."""
        known = self._columns[which]
        if known is None and which == DUE:
            known = self.column(which)  # moments follow from each other
        return self._decoded(which, start, end) if known is None else known[start:end]

    def planes(self, which: int) -> Planes | None:
        """Return a column as it is stored, the total less its phases; None where it is not in
        planes."""
        return None if self._packed is None else self._packed.planes(which)

    def is_full(self, which: int) -> bool | None:
        """Tell whether every check has a value in a column (True) or none has (False); None where
        some have."""
        if self._packed is not None:
            return self._packed.is_full(which)
        missing = self.column(which).count(None)
        return None if 0 < missing < self.size else not missing

    def _decoded(self, which: int, start: int, end: int) -> Column:
        assert self._packed is not None
        if which != TOTAL:
            return self._packed.column(which, start, end)
        found = [self._packed.lanes(each, start, end) for each in (TOTAL, *PHASES)]
        known = [each for each in found if each is not None]
        if len(known) == len(found) and sum(low for _, low in known) >= 0:
            return lanes.apart(sum(lane for lane, _ in known), end - start)
        rests = self._packed.column(which, start, end)
        return _totals(rests, [self.part(phase, start, end) for phase in PHASES])

    def rows(self, start: int = 0, end: int | None = None) -> list[Row]:
        """Return the rows from place `start` to before `end`."""
        start, end, _ = slice(start, end).indices(self.size)
        return list(zip(*(self.part(which, start, end) for which in range(WIDTH)), strict=True))

    def row(self, place: int) -> Row:
        """Return the row at `place`; no column is decoded for it as a whole."""
        if self._packed is None:
            return self.rows_at((place,))[0]
        packed = self._packed
        cells: list[Any] = [
            known[place]
            if known is not None
            else None
            if which == DUE
            else packed.cell(which, place)
            for which, known in enumerate(self._columns)
        ]
        if self._columns[TOTAL] is None and cells[TOTAL] is not None:
            cells[TOTAL] += sum(cells[phase] or 0 for phase in PHASES)
        cells[DUE] = self.column(DUE)[place]
        return cast(Row, tuple(cells))

    def rows_at(self, places: Sequence[int]) -> list[Row]:
        """Return the rows at `places`, in that order."""
        if isinstance(places, range) and abs(places.step) == 1 and places:
            first, last = sorted((places[0], places[-1]))
            return self.rows(first, last + 1)[:: places.step]
        columns = (self.column(which) for which in range(WIDTH))
        return list(zip(*([column[place] for place in places] for column in columns), strict=True))

    def since(self, moment: Millis) -> int:
        """Return the place of the first check due at `moment` or later."""
        due = self.column(DUE)
        if isinstance(due, range):
            return min(max(0, -((due.start - moment) // due.step)), self.size)
        return bisect_left(due, moment)

    def between(self, start: Millis, end: Millis) -> tuple[int, int]:
        """Return the places of the checks due from `start` to before `end`."""
        return self.since(start), self.since(end)


def _totals(rests: Column, phases: Sequence[Column]) -> Column:
    if not any(None in column for column in (rests, *phases)):
        return list(map(sum, zip(rests, *phases, strict=True)))
    return [
        None if rest is None else rest + (a or 0) + (b or 0) + (c or 0) + (d or 0)
        for rest, a, b, c, d in zip(rests, *phases, strict=True)
    ]
