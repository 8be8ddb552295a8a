"""Laws of charts: the quick way through a packed day says what the slow one says, and both are what
can be counted on one's fingers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from netpulse.model.check import Check, Result, Timings
from netpulse.model.time import SECOND
from netpulse.storage.raw.bits import Squeezed, length_of, spread, squeeze
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.chart import Chart, Figure
from netpulse.storage.raw.measured import LONGEST_PIECE, one_by_one, side_by_side
from netpulse.storage.raw.packing import pack, unpack
from netpulse.storage.raw.row import Row, to_check, to_row, unite
from netpulse.storage.raw.table import Figures

STEP = 10 * SECOND
LATENCIES = (0.0, 0.1, 0.5, 2.5, 12.5, 25.5, 99.9, 6_553.6, 29_999.9)


def checks(dice: random.Random, count: int, trouble: float, without: Sequence[int]) -> list[Row]:
    """Return checks every ten seconds. Of the phases in `without` there are none; a part of the
    checks, `trouble`, is missing, fails somewhere, is inconclusive, or was run by hand."""
    rows: list[Row] = []
    usual = [dice.choice(LATENCIES) for _ in range(4)]
    for number in range(count):
        due = number * STEP
        phases: list[float | None] = [
            None if place in without else round(ms * dice.uniform(0.9, 1.1), 1)
            for place, ms in enumerate(usual)
        ]
        total: float | None = round(sum(ms or 0.0 for ms in phases) + dice.choice((0, 0.1, 2)), 1)
        result, counted, response = Result.UP, True, round(total or 0) + dice.choice((0, 0, 1, -1))
        answered: int | None = max(0, response)
        if dice.random() < trouble:
            kind = dice.randrange(6)
            if kind == 0:
                continue
            if kind == 1:
                phases[dice.randrange(4)] = None
            elif kind == 2:
                result, answered, phases, total = Result.DOWN, None, [None] * 4, 30_000.0
            elif kind == 3:
                result, total = Result.INCONCLUSIVE, None
            elif kind == 4:
                counted = False
            else:
                result, total = Result.DEGRADED, None
        rows.append(
            to_row(
                Check(
                    due_at=due + (dice.randrange(STEP) if dice.random() < trouble else 0),
                    started_at=due,
                    result=result,
                    response_time_ms=answered,
                    timings=Timings(*phases, total),
                    counted=counted,
                )
            )
        )
    return unite([rows])


PLAYED = st.builds(
    lambda seed, count, trouble, without: checks(random.Random(seed), count, trouble, without),
    st.integers(0, 1 << 32),
    st.integers(300, 700),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.sets(st.integers(0, 3)).map(sorted),
)


def pieces(dice: random.Random, start: int, end: int) -> list[tuple[int, int]]:
    """Cut a stretch of places."""
    longest = dice.choice((1, 7, 40, LONGEST_PIECE))
    if dice.random() < 0.5:
        ends = [*range(start, end, longest), end]
    else:
        ends = [start]
        while ends[-1] < end:
            ends.append(min(end, ends[-1] + dice.randint(1, longest)))
    return list(pairwise(ends))


def told(found: Sequence[Figures], count: int) -> list[Figures | None]:
    """Return figures without what means nothing."""
    return [each if each[0] else None for each in found] or [None] * count


@settings(max_examples=150)
@given(PLAYED, st.integers(0, 1 << 32))
def test_numbers_side_by_side_come_to_what_they_come_to_one_by_one(
    rows: list[Row], seed: int
) -> None:
    dice = random.Random(seed)
    start = dice.randrange(50)
    cut = pieces(dice, start, len(rows) - dice.randrange(50))
    quick, slow = side_by_side(unpack(pack(Block.of(rows))), cut), one_by_one(Block.of(rows), cut)
    assert quick is not None
    for one, other in zip(quick, slow, strict=True):
        assert told(one, len(cut)) == told(other, len(cut))


@settings(max_examples=60)
@given(PLAYED, st.integers(1, 400), st.integers(0, 2_000), st.integers(1_000, 8_000))
def test_a_chart_is_what_its_checks_come_to(
    rows: list[Row], points: int, start: int, seconds: int
) -> None:
    first, last = start * SECOND, (start + seconds) * SECOND
    chart = Chart(first, last, points)
    block = unpack(pack(Block.of(rows)))
    chart.visit(block, *block.between(first, last))
    counted = [check for check in map(to_check, rows) if check.counted]
    for bucket in chart.buckets():
        some = [check for check in counted if bucket.start <= check.due_at < bucket.end]
        good = [check for check in some if check.result is not Result.INCONCLUSIVE]
        assert (bucket.checks, bucket.inconclusive) == (len(good), len(some) - len(good))
        assert bucket.downs == sum(check.result is Result.DOWN for check in good)
        assert bucket.degraded == sum(check.result is Result.DEGRADED for check in good)
        answered = [check for check in good if check.response_time_ms is not None]
        for name, shown in (
            ("dns_ms", bucket.dns),
            ("connect_ms", bucket.connect),
            ("tls_ms", bucket.tls),
            ("first_byte_ms", bucket.first_byte),
            ("total_ms", bucket.total),
        ):
            assert shown == figure([getattr(check.timings, name) for check in answered])
        assert bucket.response == figure([check.response_time_ms for check in answered])


def figure(values: Sequence[float | None]) -> Figure | None:
    tenths = [round(value * 10) for value in values if value is not None]
    if not tenths:
        return None
    return Figure(round(sum(tenths) / 10 / len(tenths), 3), min(tenths) / 10, max(tenths) / 10)


@given(st.lists(st.integers(0, (1 << 62) - 1), min_size=1, max_size=300), st.integers(1, 62))
def test_numbers_in_bits_come_back(numbers: list[int], width: int) -> None:
    assert spread(squeeze(numbers), len(numbers)) == numbers
    cut = [number & ((1 << width) - 1) for number in numbers]
    digits = "".join(format(number, f"0{width}b") for number in cut)
    data = int(digits, 2).to_bytes(length_of(width, len(cut)), "big")
    assert spread(Squeezed(width, [], data), len(cut)) == cut
