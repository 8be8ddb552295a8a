"""What a packed blob holds, read column by column; `packing` says how it is laid out."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from netpulse.model.check import LOCAL
from netpulse.storage.raw import lanes, varints
from netpulse.storage.raw.bits import Squeezed, length_of, spread
from netpulse.storage.raw.row import COUNTED, DUE, RESULT, TEXTS, TOTAL, WIDTH

SHORT = 256
"""Checks up to which bits take less room than planes."""
CONSTANT = 0x00
NOTHING = 0x40
"""The tag of a column without any value."""
NULLS = 0x10
"""Added to the width (1 to 8) of a column where 0 stands for no value."""
SQUEEZED = 0x80
"""The tag of a column in bits (plus `NULLS`)."""
_WIDTH = 0x0F
_WIDEST_LANE = (1 << 24) - 1
"""Five of them and more fit in a lane."""

_SMALL = (COUNTED, RESULT)
"""Columns of numbers that fit in a byte, and are returned as bytes."""

Column = Sequence[Any]


class Planes(NamedTuple):
    """A column of numbers as it is stored: their distances from the smallest, byte by byte."""

    base: int
    """What is added to a distance; where there are `nulls`, to one that is not 0."""
    nulls: bool
    """Whether 0 stands for no value."""
    planes: Sequence[bytes]
    """The lowest bytes of all distances, then the next ones; none where all distances are 0."""

    @property
    def reach(self) -> int:
        """How far from 0 a number of the column, or a distance, may be."""
        count = len(self.planes)
        if count <= 2:
            return abs(self.base) + (1 << 8 * count)
        return abs(self.base) + (max(self.planes[-1]) + 1 << 8 * (count - 1))


class Packed:
    """A decompressed blob with the places of its columns."""

    __slots__ = ("_columns", "_data", "_first_due", "_texts", "size")

    def __init__(self, data: bytes) -> None:
        """Find the columns in `data`.

        Raises:
            IndexError: they do not fill it.
            UnicodeDecodeError: a text is none.
        """
        self._data = data
        self.size, at = varints.read(data, 0)
        count, at = varints.read(data, at)
        self._texts: list[str | None] = [None, LOCAL]
        for _ in range(count):
            length, at = varints.read(data, at)
            self._texts.append(data[at : at + length].decode("utf-8", "surrogatepass"))
            at += length
        self._first_due, at = varints.read_signed(data, at)
        self._columns: list[tuple[int, int, int]] = []
        for which in range(WIDTH):
            tag, at = data[at], at + 1
            base = 0
            if tag != NOTHING:
                base, at = varints.read_signed(data, at)
            self._columns.append((tag, base, at))
            if tag & SQUEEZED:
                _, at = self._squeezed(at, self._length(which))
            else:
                at += (tag & _WIDTH) * self._length(which)
        if at != len(data):
            raise IndexError(f"{len(data)} bytes where {at} belong")

    def _length(self, which: int) -> int:
        return self.size - 1 if which == DUE else self.size

    def column(self, which: int, start: int, end: int) -> Column:
        """Return a column from place `start` to before `end` as it is stored: the total less its
        phases. Of the moments all are returned."""
        if which == DUE:
            return self._moments()
        if which in _SMALL:
            return self._small(which)[start:end]
        values = self._numbers(which, start, end)
        if which in TEXTS:
            texts = self._texts
            return [None if value is None else texts[value] for value in values]
        return values

    def _small(self, which: int) -> bytes:
        stored = self.planes(which)
        if stored is None or stored.nulls or len(stored.planes) > 1:
            return bytes(self._numbers(which, 0, self.size))
        if not stored.planes:
            return bytes((stored.base,)) * self.size
        return stored.planes[0].translate(bytes((n + stored.base) & 0xFF for n in range(256)))

    def _moments(self) -> Column:
        tag, step, _ = self._columns[DUE]
        if tag == CONSTANT and step > 0:
            return range(self._first_due, self._first_due + step * self.size, step)
        return list(accumulate(self._numbers(DUE, 0, self._length(DUE)), initial=self._first_due))

    def cell(self, which: int, place: int) -> Any:
        """Return what `column` has at `place`; not of the moments, which follow from each other."""
        tag, base, at = self._columns[which]
        value: int | None
        if tag == NOTHING:
            value = None
        elif tag == CONSTANT:
            value = base
        elif tag & SQUEEZED:
            value = self._numbers(which, place, place + 1)[0]
        else:
            planes = range(tag & _WIDTH)
            number = sum(
                self._data[at + plane * self.size + place] << 8 * plane for plane in planes
            )
            value = number + base
            if tag & NULLS:
                value = value - 1 if number else None
        return value if which not in TEXTS or value is None else self._texts[value]

    def is_full(self, which: int) -> bool | None:
        """Do as `Block.is_full`."""
        tag, _, _ = self._columns[which]
        if tag == NOTHING:
            return False
        return None if tag & NULLS else True

    def planes(self, which: int) -> Planes | None:
        """Return a column that is stored in planes, or as one value; None where it is not."""
        tag, base, at = self._columns[which]
        if tag & (SQUEEZED | NOTHING):
            return None
        size = self._length(which)
        ends = range(at, at + (tag & _WIDTH) * size, size)
        planes = [self._data[first : first + size] for first in ends]
        return Planes(base - 1, True, planes) if tag & NULLS else Planes(base, False, planes)

    def lanes(self, which: int, start: int, end: int) -> tuple[int, int] | None:
        """Return a column of numbers, from place `start` to before `end`, in lanes, and the
        smallest there may be: what is added to such an integer is added to all of its numbers, and
        once none is negative they can be told apart again. No value is 0; None is returned where
        some are missing, or where one may be too large."""
        if self._columns[which][0] == NOTHING:
            return None if which == TOTAL else (0, 0)
        stored = self.planes(which)
        if stored is None or stored.nulls or not _fits(stored):
            return None
        numbers = lanes.joined([plane[start:end] for plane in stored.planes], end - start)
        return numbers + stored.base * lanes.ones(end - start), stored.base

    def _numbers(self, which: int, start: int, end: int) -> Column:
        tag, base, at = self._columns[which]
        if tag == NOTHING:
            return [None] * (end - start)
        if tag == CONSTANT:
            return [base] * (end - start)
        if base >= 0 and end - start > SHORT and which not in TEXTS and which != DUE:
            found = self.lanes(which, start, end)
            if found is not None:
                return lanes.apart(found[0], end - start)
        size = self._length(which)
        numbers: Sequence[int]
        if tag & SQUEEZED:
            squeezed, _ = self._squeezed(at, size)
            numbers = spread(squeezed, size)[start:end]
        else:
            numbers = self._cells(tag & _WIDTH, at, size, start, end)
        if tag & NULLS:
            base -= 1
            return [number + base if number else None for number in numbers]
        return [number + base for number in numbers]

    def _cells(self, width: int, at: int, size: int, start: int, end: int) -> Sequence[int]:
        code, step = cell(width)
        cells = bytearray((end - start) * step)
        for plane in range(width):
            first = at + plane * size
            cells[plane::step] = self._data[first + start : first + end]
        numbers = array(code, cells)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def _squeezed(self, at: int, size: int) -> tuple[Squeezed, int]:
        """Return the column in bits that stands at `at`, and where it ends."""
        width, at = varints.read(self._data, at)
        count, at = varints.read(self._data, at)
        larger, place = [], 0
        for _ in range(count):
            step, at = varints.read(self._data, at)
            rest, at = varints.read(self._data, at)
            place += step
            larger.append((place, rest))
        end = at + length_of(width, size)
        return Squeezed(width, larger, self._data[at:end]), end


def cell(width: int) -> tuple[str, int]:
    """Return the array code and the bytes of the smallest cell that holds `width` bytes."""
    if width == 1:
        return "B", 1
    if width == 2:
        return "H", 2
    return ("I", 4) if width <= 4 else ("Q", 8)


def _fits(stored: Planes) -> bool:
    return abs(stored.base) <= _WIDEST_LANE and (1 << 8 * len(stored.planes)) - 1 <= _WIDEST_LANE
