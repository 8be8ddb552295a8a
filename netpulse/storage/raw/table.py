"""Figures of many pieces of a column of numbers, all of them at once.

The pieces are laid side by side as the columns of a table of lanes, which is folded upon itself
until one row is left: the upper half is added to the lower one, or the larger of both is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netpulse.storage.raw.lanes import (
    BITS,
    LARGEST,
    apart,
    filled,
    joined,
    larger,
    ones,
    planes_of,
)
from netpulse.storage.raw.packed import Planes

Figures = tuple[int, int, int, int]
"""How many numbers, their sum, the smallest and the largest."""

Pieces = Sequence[tuple[int, int]]
"""The place of the first number of each piece, and the place after its last. They follow each
other, there is one at least, and a number in each."""


class Numbers(NamedTuple):
    """A column of numbers, laid as a table."""

    lanes: int
    there: int
    """The set of the lanes that have a number; the others are 0."""


class Table:
    """The table of some pieces. Below one that is shorter than others stands nothing."""

    def __init__(self, pieces: Pieces) -> None:
        """Take the pieces."""
        self._pieces = pieces
        self._width = len(pieces)
        self._height = max(end - start for start, end in pieces)
        self._size = self._width * self._height
        self._first, self._end = pieces[0][0], pieces[-1][1]
        self._everywhere = ones(self._size)
        self._full = filled(self._everywhere)
        self._tops = self._everywhere << (BITS - 1)
        self._folds: list[tuple[int, int, int]] = []
        """Of each fold the bits of the rows that are left, a mask of them, and their tops."""
        height = self._height
        while height > 1:
            height = (height + 1) // 2
            bits = height * self._width * BITS
            self._folds.append((bits, (1 << bits) - 1, self._tops >> (self._size * BITS - bits)))
        self._is_even = self._size == self._end - self._first
        self.there = self._everywhere if self._is_even else self.lay([b"\x01" * self._end])
        """The set of the lanes that belong to a piece."""

    def lay(self, planes: Iterable[bytes]) -> int:
        """Return the table of a column that is given as planes."""
        return joined([self._laid(plane) for plane in planes], self._size)

    def _laid(self, plane: bytes) -> bytes:
        height = self._height
        if self._is_even:
            plane = plane[self._first : self._end]
        else:
            plane = b"".join(
                [plane[start:end].ljust(height, b"\x00") for start, end in self._pieces]
            )
        return b"".join([plane[row::height] for row in range(height)])

    def numbers(self, stored: Planes, onto: int = 0) -> Numbers:
        """Return the table of a stored column, each number added to what `onto` has in its lane.

        Raises:
            OverflowError: one is negative.
        """
        lanes, there = self.lay(stored.planes), self.there
        if stored.nulls:
            there = ((lanes + self._full) & self._tops) >> (BITS - 1)
            onto &= filled(there)
        lanes += onto
        if stored.base >= 0:
            lanes += there * stored.base
        else:
            lanes = (lanes | self._tops) - there * -stored.base
            if lanes & self._tops != self._tops:
                raise OverflowError("a number is negative")
            lanes ^= self._tops
        return Numbers(lanes, there)

    def rounded(self, lanes: int) -> int:
        """Return what `row.rounded` returns, in each lane."""
        lowest, *others = planes_of(lanes, self._size)
        parts = [lowest.translate(_OF_LOWEST), *(plane.translate(_OF_OTHERS) for plane in others)]
        rests = sum(int.from_bytes(part, "little") for part in parts)
        to_tens = rests.to_bytes(self._size, "little").translate(_TO_TENS)
        tens = lanes + joined([to_tens], self._size) - self._everywhere * _LOWERED
        return tens // 10  # All of them at once: none leaves a rest to the next.

    def figures(self, lanes: int, some: int) -> list[Figures]:
        """Return the figures of each piece, of those of its numbers that are in `some` lanes. Of
        a piece that has none, only how many means something. Sums must have room in a lane."""
        if some == self._everywhere:
            mask, counts = self._full, [self._height] * self._width
        else:
            mask, counts = filled(some), self._folded(some, _sum)
            lanes &= mask
        # The smallest is the largest of what is missing to LARGEST; 0 is still that of no number.
        missing = self._folded(lanes ^ mask, larger)
        lows = [LARGEST - rest for rest in missing]
        sums, highs = self._folded(lanes, _sum), self._folded(lanes, larger)
        return list(zip(counts, sums, lows, highs, strict=True))

    def _folded(self, lanes: int, join: Callable[[int, int, int], int]) -> list[int]:
        for bits, mask, tops in self._folds:
            # Of an odd number of rows the last meets nothing, which is 0.
            lanes = join(lanes & mask, lanes >> bits, tops)
        return apart(lanes, self._width)


def _sum(some: int, others: int, _tops: int) -> int:
    return some + others


# A number is rounded to tens, half to even, by what it is modulo 20; 256 is 16, and so is each
# power of it.
_OF_LOWEST = bytes(value % 20 for value in range(256))
_OF_OTHERS = bytes(value * 16 % 20 for value in range(256))
_LOWERED = 5
_TO_TENS = bytes(_LOWERED + 10 * round(value % 20 / 10) - value % 20 for value in range(256))
