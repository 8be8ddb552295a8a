"""Charts: checks gathered into points of equal length, with the spread of what they measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from netpulse.model.time import Millis
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.figures import Tally
from netpulse.storage.raw.measured import LONGEST_PIECE, MEASURES, measured
from netpulse.storage.raw.row import DUE, RESPONSE
from netpulse.storage.raw.table import Figures


class Figure(Struct, frozen=True, gc=False):
    """Some measurements of one kind, in milliseconds."""

    mean: float
    low: float
    high: float


class Bucket(Struct, frozen=True, kw_only=True, gc=False):
    """One point of a chart: the checks due from `start` to before `end`, none run by hand.

    The figures are of conclusive checks with an answer; null where there is none.
    """

    start: Millis
    end: Millis
    checks: int
    """The conclusive ones."""
    downs: int
    degraded: int
    inconclusive: int
    response: Figure | None = None
    dns: Figure | None = None
    connect: Figure | None = None
    tls: Figure | None = None
    first_byte: Figure | None = None
    total: Figure | None = None


class Chart:
    """Gathers checks into buckets of equal length, block by block."""

    def __init__(self, start: Millis, end: Millis, points: int) -> None:
        """Take the stretch of time and the number of buckets; the last may be shorter.

        Raises:
            ValueError: no points are asked for, or the stretch is empty.
        """
        if points < 1 or end <= start:
            raise ValueError(f"{points} points from {start} to {end} are no chart")
        self._start, self._end = start, end
        self._step = -(-(end - start) // points)
        count = -(-(end - start) // self._step)
        self._tallies = [Tally() for _ in range(count)]
        self._figures: list[list[Figures | None]] = [[None] * count for _ in MEASURES]

    def visit(self, block: Block, start: int, end: int) -> bool:
        """Add the checks at the places from `start` to before `end` of `block`; go on."""
        due = block.column(DUE)
        pieces: list[tuple[int, int]] = []
        numbers: list[int] = []
        while start < end:
            number = (due[start] - self._start) // self._step
            until = min(block.since(self._start + (number + 1) * self._step), end)
            self._tallies[number].visit(block, start, until)
            parts = -(-(until - start) // LONGEST_PIECE)
            ends = [start + (until - start) * part // parts for part in range(parts + 1)]
            pieces += pairwise(ends)
            numbers += [number] * parts
            start = until
        if pieces:
            for kept, found in zip(self._figures, measured(block, pieces), strict=True):
                if found:
                    _keep(kept, numbers, found)
        return True

    def buckets(self) -> list[Bucket]:
        """Return the buckets in their order."""
        starts = range(self._start, self._end, self._step)
        columns = (
            [_figure(figures, 1 if which == RESPONSE else 10) for figures in kept]
            for which, kept in zip(MEASURES, self._figures, strict=True)
        )
        return [
            _bucket(start, min(self._end, start + self._step), tally, *figures)
            for start, tally, *figures in zip(starts, self._tallies, *columns, strict=True)
        ]


def _keep(kept: list[Figures | None], numbers: Sequence[int], found: Sequence[Figures]) -> None:
    for number, figures in zip(numbers, found, strict=True):
        if figures[0]:
            before = kept[number]
            kept[number] = figures if before is None else _together(before, figures)


def _together(some: Figures, others: Figures) -> Figures:
    (size, total, low, high), (more, further, lower, higher) = some, others
    return size + more, total + further, min(low, lower), max(high, higher)


def _figure(figures: Figures | None, scale: int) -> Figure | None:
    if figures is None:
        return None
    size, total, low, high = figures
    return Figure(round(total / scale / size, 3), low / scale, high / scale)


def _bucket(
    start: Millis,
    end: Millis,
    tally: Tally,
    response: Figure | None,
    dns: Figure | None,
    connect: Figure | None,
    tls: Figure | None,
    first_byte: Figure | None,
    total: Figure | None,
) -> Bucket:
    counts = tally.counts()
    return Bucket(
        start=start,
        end=end,
        checks=counts.checks,
        downs=counts.downs,
        degraded=counts.degraded,
        inconclusive=counts.inconclusive,
        response=response,
        dns=dns,
        connect=connect,
        tls=tls,
        first_byte=first_byte,
        total=total,
    )
