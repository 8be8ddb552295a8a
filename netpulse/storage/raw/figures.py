"""What is counted over raw checks: for rollups, for uptime, for charts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import add

from msgspec import Struct

from netpulse.model.maintenance import Window
from netpulse.model.time import Millis
from netpulse.storage.raw.packing import Block, Column
from netpulse.storage.raw.row import (
    CONNECT,
    COUNTED,
    DEGRADED,
    DNS,
    DOWN,
    DUE,
    FIRST_BYTE,
    INCONCLUSIVE,
    RESPONSE,
    RESULT,
    TLS,
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
                first = bisect_left(due, stretch.start, start, end)
                if first > start:
                    yield start, first
                start = bisect_left(due, stretch.end, first, end)
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
    responses = sorted(v for v in _responses(block, start, end) if v is not None)
    size = len(responses)
    return HourFigures(
        checks=counts.checks,
        ups=counts.ups,
        degraded=counts.degraded,
        downs=counts.downs,
        inconclusive=counts.inconclusive,
        response_count=size,
        response_sum=sum(responses),
        response_min=responses[0] if size else None,
        response_max=responses[-1] if size else None,
        response_p50=responses[(size * 50 + 99) // 100 - 1] if size else None,
        response_p95=responses[(size * 95 + 99) // 100 - 1] if size else None,
    )


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
        self._sums = [_Sums() for _ in range(-(-(end - start) // self._step))]

    def visit(self, block: Block, start: int, end: int) -> bool:
        """Add the checks at the places from `start` to before `end` of `block`; go on."""
        due = block.column(DUE)
        smooth = _smooth(block, start, end)
        first = start
        while start < end:
            number = (due[start] - self._start) // self._step
            until = bisect_left(due, self._start + (number + 1) * self._step, start, end)
            if smooth is None:
                self._sums[number].add(block, start, until)
            else:
                self._sums[number].add_smooth(block, start, until, smooth, first)
            start = until
        return True

    def buckets(self) -> list[Bucket]:
        """Return the buckets in their order."""
        starts = range(self._start, self._end, self._step)
        return [
            sums.bucket(start, min(self._end, start + self._step))
            for start, sums in zip(starts, self._sums, strict=True)
        ]


_CHARTED = (DNS, CONNECT, TLS, FIRST_BYTE, TOTAL)


class _Sums:
    """What has come together for one bucket."""

    __slots__ = ("_figures", "_tally")

    def __init__(self) -> None:
        self._tally = Tally()
        self._figures: list[tuple[int, int, int, int] | None] = [None] * 6
        """How many, their sum, the smallest and the largest: milliseconds, then tenths of them."""

    def add(self, block: Block, start: int, end: int) -> None:
        self._tally.visit(block, start, end)
        responses = _responses(block, start, end)
        self._figure(0, [value for value in responses if value is not None])
        for place, which in enumerate(_CHARTED, 1):
            values = _counted(block, start, end, block.column(which)[start:end])
            if values.count(None) < len(values):
                kept = [
                    value
                    for value, response in zip(values, responses, strict=True)
                    if value is not None and response is not None
                ]
                self._figure(place, kept)

    def add_smooth(
        self, block: Block, start: int, end: int, smooth: list[tuple[int, Column]], first: int
    ) -> None:
        """Do as `add`, with the columns of a smooth stretch that begins at the place `first`."""
        self._tally.visit(block, start, end)
        for place, values in smooth:
            self._figure(place, values[start - first : end - first])

    def _figure(self, place: int, values: Column) -> None:
        if not values:
            return
        size, total, low, high = len(values), sum(values), min(values), max(values)
        before = self._figures[place]
        if before is not None:
            size, total = size + before[0], total + before[1]
            low, high = min(low, before[2]), max(high, before[3])
        self._figures[place] = size, total, low, high

    def bucket(self, start: Millis, end: Millis) -> Bucket:
        response, dns, connect, tls, first_byte, total = (
            None
            if sums is None
            else Figure(round(sums[1] / scale / sums[0], 3), sums[2] / scale, sums[3] / scale)
            for sums, scale in zip(self._figures, (1, *[10] * len(_CHARTED)), strict=True)
        )
        counts = self._tally.counts()
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


def _smooth(block: Block, start: int, end: int) -> list[tuple[int, Column]] | None:
    """Return the columns of a chart's figures with their places, where nothing has to be left out:
    every check counts, is conclusive and has an answer, and a phase is there always or never.

    That is what most days are like, and what makes eight thousand checks quick to add up. None is
    returned for other stretches.
    """
    charted = [(place, which) for place, which in enumerate(_CHARTED, 1) if block.is_full(which)]
    if not (block.is_full(RESPONSE) and block.is_full(TOTAL)) or any(
        block.is_full(which) is None for which in _CHARTED
    ):
        return None
    if block.part(COUNTED, start, end).count(1) < end - start:
        return None
    if block.part(RESULT, start, end).count(INCONCLUSIVE):
        return None
    columns = [(place, block.part(which, start, end)) for place, which in charted]
    whole = map(_Rounded().__getitem__, columns[-1][1])
    smooth: list[tuple[int, Column]] = [
        (0, list(map(add, block.part(RESPONSE, start, end), whole))),
        *columns,
    ]
    return smooth


class _Rounded(dict[int, int]):
    """What `rounded` returns, asked for once each."""

    def __missing__(self, tenths: int) -> int:
        self[tenths] = value = rounded(tenths)
        return value


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
