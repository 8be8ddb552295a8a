"""What the checks of a block measured, piece by piece: how many, sum, smallest and largest.

The checks that count are those that were not run by hand, are conclusive and got an answer. Of many
of them that are stored in planes no list is made: their numbers are added and compared side by side
(`table`), eight thousand checks in a millisecond or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add

from netpulse.storage.raw.block import Block
from netpulse.storage.raw.lanes import LARGEST_SUM
from netpulse.storage.raw.packed import Column, Planes
from netpulse.storage.raw.row import (
    COUNTED,
    INCONCLUSIVE,
    PHASES,
    RESPONSE,
    RESULT,
    TOTAL,
    rounded,
)
from netpulse.storage.raw.table import Figures, Numbers, Pieces, Table

MEASURES = (RESPONSE, *PHASES, TOTAL)
"""The response time in whole milliseconds, then tenths of them."""
LONGEST_PIECE = 100
"""Checks in a piece at most."""
_MANY = 300
"""Checks from which on a table is worth its making."""
_LARGEST = LARGEST_SUM // LONGEST_PIECE

_IS_CONCLUSIVE = bytes(value != INCONCLUSIVE for value in range(256))


def measured(block: Block, pieces: Pieces) -> Sequence[Sequence[Figures]]:
    """Return the figures of all pieces for each of `MEASURES`; nothing for one that no check has.

    Of a piece in which nothing was measured only the first figure means something: it is 0.
    """
    if pieces[-1][1] - pieces[0][0] >= _MANY:
        found = side_by_side(block, pieces)
        if found is not None:
            return found
    return one_by_one(block, pieces)


def one_by_one(block: Block, pieces: Pieces) -> list[Sequence[Figures]]:
    """Do as `measured`, whatever the numbers are."""
    first, last = pieces[0][0], pieces[-1][1]
    moved = [(start - first, end - first) for start, end in pieces]
    responses = _responses(block, first, last)
    found = [_figures(responses, moved)]
    for which in (*PHASES, TOTAL):
        values = block.column(which)[first:last]
        if None in responses:
            values = [
                None if response is None else value
                for value, response in zip(values, responses, strict=True)
            ]
        found.append(_figures(values, moved))
    return found


def _responses(block: Block, start: int, end: int) -> list[int | None]:
    """Return the response times of the checks that count; None for the others."""
    differences = block.column(RESPONSE)[start:end]
    totals = map(_Rounded().__getitem__, block.column(TOTAL)[start:end])
    results, counted = block.column(RESULT)[start:end], block.column(COUNTED)[start:end]
    if None not in differences and INCONCLUSIVE not in results and 0 not in counted:
        return list(map(add, differences, totals))
    return [
        difference + total if difference is not None and result != INCONCLUSIVE and counts else None
        for difference, total, result, counts in zip(
            differences, totals, results, counted, strict=True
        )
    ]


def _figures(values: Column, pieces: Pieces) -> Sequence[Figures]:
    missing = values.count(None)
    if missing == len(values):
        return ()
    found: list[Figures] = []
    for start, end in pieces:
        some = values[start:end]
        if missing:
            some = [value for value in some if value is not None]
        found.append((len(some), sum(some), min(some), max(some)) if some else (0, 0, 0, 0))
    return found


def side_by_side(block: Block, pieces: Pieces) -> list[Sequence[Figures]] | None:
    """Do as `measured`; None where the numbers are not stored in planes, or have no room."""
    stored: dict[int, Planes] = {}
    for which in MEASURES:
        if block.is_full(which) is not False:
            planes = block.planes(which)
            if planes is None:
                return None
            stored[which] = planes
    if RESPONSE not in stored:
        return [()] * len(MEASURES)
    if sum(planes.reach for planes in stored.values()) > _LARGEST:
        return None
    table = Table(pieces)
    try:
        laid = _laid(table, stored)
    except OverflowError:
        return None
    some = laid[RESPONSE].there & _counting(table, block, pieces[0][0], pieces[-1][1])
    return [
        table.figures(laid[which].lanes, laid[which].there & some) if which in laid else ()
        for which in MEASURES
    ]


def _laid(table: Table, stored: Mapping[int, Planes]) -> dict[int, Numbers]:
    """Return the columns as tables: the total with its phases, the response time with the total,
    which they are stored without."""
    laid = {which: table.numbers(stored[which]) for which in PHASES if which in stored}
    total = 0
    if TOTAL in stored:
        phases = sum(phase.lanes for phase in laid.values())
        laid[TOTAL] = table.numbers(stored[TOTAL], phases)
        total = table.rounded(laid[TOTAL].lanes)
    laid[RESPONSE] = table.numbers(stored[RESPONSE], total)
    return laid


def _counting(table: Table, block: Block, start: int, end: int) -> int:
    """Return the lanes of the checks that count, as far as their answers do not say."""
    some = table.there
    counted, results = bytes(block.column(COUNTED)), bytes(block.column(RESULT))
    if counted.count(1, start, end) < end - start:
        some &= table.lay([counted])
    if results.count(INCONCLUSIVE, start, end):
        some &= table.lay([results.translate(_IS_CONCLUSIVE)])
    return some


class _Rounded(dict[int | None, int]):
    """What `rounded` returns, asked for once each."""

    def __missing__(self, tenths: int | None) -> int:
        self[tenths] = value = rounded(tenths)
        return value
