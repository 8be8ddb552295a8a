"""What is counted over raw checks: for rollups, for uptime, for charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from netpulse.model.maintenance import Window
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.packed import Column
from netpulse.storage.raw.row import (
    COUNTED,
    DEGRADED,
    DOWN,
    DUE,
    INCONCLUSIVE,
    RESPONSE,
    RESULT,
    TOTAL,
    UP,
    rounded,
)


class Counts(Struct, frozen=True, gc=False):
    """Checks of a stretch of time by their results; those run by hand are not among them."""

    checks: int = 0
    """The conclusive ones: up, degraded and down."""
    downs: int = 0
    degraded: int = 0
    inconclusive: int = 0

    @property
    def ups(self) -> int:
        """The checks that were up and not degraded."""
        return self.checks - self.downs - self.degraded


class HourFigures(Struct, frozen=True, kw_only=True, gc=False):
    """One monitor's hour, all regions together, without the checks that were run by hand.

    Response times are whole milliseconds, of the conclusive checks that got an answer.
    """

    checks: int
    """The conclusive ones: ups + degraded + downs."""
    ups: int
    degraded: int
    downs: int
    inconclusive: int
    response_count: int = 0
    response_sum: int = 0
    response_min: int | None = None
    response_max: int | None = None
    response_p50: int | None = None
    """Nearest rank: a response time that was measured."""
    response_p95: int | None = None


class Tally:
    """Counts checks by result, block by block."""

    def __init__(self, without: Sequence[Window] = ()) -> None:
        """Start at nothing. Checks due in `without` (in the order of time, none over another) are
        not counted."""
        self._numbers = [0] * 4
        self._without = without

    def visit(self, block: Block, start: int, end: int) -> bool:
        """Count the checks at the places from `start` to before `end` of `block`; go on."""
        for first, last in self._wanted(block, start, end):
            results = _counted(block, first, last, block.column(RESULT)[first:last])
            if results and results.count(results[0]) == len(results):
                self._numbers[results[0]] += len(results)
                continue
            for place in (UP, DEGRADED, DOWN, INCONCLUSIVE):
                self._numbers[place] += results.count(place)
        return True

    def _wanted(self, block: Block, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a stretch of places that are counted."""
        if self._without and start < end:
            due = block.column(DUE)
            for stretch in self._without:
                if stretch.end <= due[start]:
                    continue
                if stretch.start > due[end - 1]:
                    break
                first = min(block.since(stretch.start), end)
                if first > start:
                    yield start, first
                start = min(block.since(stretch.end), end)
                if start >= end:
                    return
        if start < end:
            yield start, end

    def counts(self) -> Counts:
        """Return what was counted."""
        ups, degraded, downs, inconclusive = self._numbers
        return Counts(ups + degraded + downs, downs, degraded, inconclusive)


def hour_figures(block: Block, start: int, end: int) -> HourFigures:
    """Return the figures of one monitor's hour: the places from `start` to before `end`."""
    tally = Tally()
    tally.visit(block, start, end)
    counts = tally.counts()
    times = sorted(time for time in _responses(block, start, end) if time is not None)
    size = len(times)
    return HourFigures(
        checks=counts.checks,
        ups=counts.ups,
        degraded=counts.degraded,
        downs=counts.downs,
        inconclusive=counts.inconclusive,
        response_count=size,
        response_sum=sum(times),
        response_min=times[0] if size else None,
        response_max=times[-1] if size else None,
        response_p50=times[(size * 50 + 99) // 100 - 1] if size else None,
        response_p95=times[(size * 95 + 99) // 100 - 1] if size else None,
    )


def _counted(block: Block, start: int, end: int, values: Column) -> Column:
    """Return `values` of the stretch without those of the checks that were run by hand."""
    counted = block.column(COUNTED)[start:end]
    if counted.count(1) == len(counted):
        return values
    return [value for value, counts in zip(values, counted, strict=True) if counts]


def _responses(block: Block, start: int, end: int) -> list[int | None]:
    """Return the response times of the counted checks; None for what is not conclusive."""
    differences = _counted(block, start, end, block.column(RESPONSE)[start:end])
    totals = _counted(block, start, end, block.column(TOTAL)[start:end])
    results = _counted(block, start, end, block.column(RESULT)[start:end])
    return [
        None if difference is None or result == INCONCLUSIVE else difference + rounded(total)
        for difference, total, result in zip(differences, totals, results, strict=True)
    ]
