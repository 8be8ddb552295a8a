"""Charts: the quick way through a smooth stretch says what the other one says."""

from __future__ import annotations

import random

import pytest

from netpulse.model.check import Check, Result, Timings
from netpulse.model.time import HOUR, SECOND
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.chart import Bucket, Chart
from netpulse.storage.raw.packing import pack, unpack
from netpulse.storage.raw.row import Row, to_row

POINTS = 36
CHECKS = 900


def check(number: int, dice: random.Random, result: Result, *, tls: bool) -> Check:
    phases = [dice.choice((0.0, 0.4, 2.5, 12.5, 37.0, 1_200.0)) for _ in range(4)]
    if not tls:
        phases[2] = 0.0
    total = round(sum(phases) + dice.random(), 1)
    dns, connect, handshake, first_byte = phases
    return Check(
        due_at=number * 4 * SECOND,
        started_at=number * 4 * SECOND + 3,
        result=result,
        response_time_ms=round(total) + dice.choice((0, 0, 1)),
        timings=Timings(dns, connect, handshake if tls else None, first_byte, total),
    )


def chart(block: Block) -> list[Bucket]:
    drawn = Chart(0, HOUR, POINTS)
    for place in range(0, block.size, 250):
        drawn.visit(block, place, min(place + 250, block.size))
    return drawn.buckets()


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("results", [[Result.UP], [Result.UP, Result.DEGRADED, Result.DOWN]])
def test_a_smooth_stretch_is_drawn_as_any_other(*, tls: bool, results: list[Result]) -> None:
    dice = random.Random(7)
    rows: list[Row] = [
        to_row(check(number, dice, dice.choice(results), tls=tls)) for number in range(CHECKS)
    ]
    smooth = chart(unpack(pack(Block.of(rows))))
    assert smooth == chart(Block.of(rows))
    assert smooth[0].total is not None
    assert (smooth[0].tls is not None) == tls
    # One that was run by hand in each quarter: nothing is smooth any more, and nothing changes.
    by_hand = [(*rows[at][:2], 0, *rows[at][3:]) for at in range(100, CHECKS, 225)]
    rough: list[Row] = sorted([*rows, *by_hand], key=lambda row: row[:3])  # type: ignore[list-item]
    assert chart(unpack(pack(Block.of(rough)))) == smooth


def test_a_part_of_a_block_is_what_stands_there() -> None:
    dice = random.Random(11)
    rows = [to_row(check(number, dice, Result.UP, tls=False)) for number in range(CHECKS)]
    for start, end in ((0, CHECKS), (0, 1), (417, 420), (CHECKS - 100, CHECKS), (5, 5)):
        packed = unpack(pack(Block.of(rows)))
        assert packed.rows(start, end) == rows[start:end]
        assert packed.rows_at(range(end - 1, start - 1, -1)) == rows[start:end][::-1]
