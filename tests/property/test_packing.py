"""Laws of the raw results: packing loses nothing, and every store equals a plain dict."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netpulse.model.check import LOCAL, Check, Failure, Result, Timings
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.storage.raw import HourFigures, Raw
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.packed import SHORT
from netpulse.storage.raw.packing import pack, unpack
from netpulse.storage.raw.row import Row, to_check, to_row, unite

NUMBERS = st.integers(-(1 << 61), 1 << 61)
SMALL = st.integers(0, 70_000)
MAYBE = st.one_of(st.none(), SMALL, NUMBERS)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MAYBE_TEXT = st.one_of(st.none(), st.sampled_from(["timeout", "refused"]), TEXT)

ROWS = st.lists(
    st.tuples(
        st.integers(0, 253_402_300_799_999),
        st.one_of(st.just(LOCAL), TEXT),
        st.integers(0, 1),
        NUMBERS,
        st.integers(0, 3),
        MAYBE,
        MAYBE_TEXT,
        MAYBE_TEXT,
        MAYBE_TEXT,
        *[st.one_of(st.none(), st.integers(-(1 << 58), 1 << 58), SMALL)] * 5,
        MAYBE,
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS)
def test_packing_gives_back_exactly_what_went_in(rows: list[Row]) -> None:
    wanted = unite([rows])
    block = unpack(pack(Block.of(wanted)))
    assert [block.row(place) for place in range(block.size)] == wanted
    assert block.size == len(wanted)
    assert block.rows() == wanted


@given(ROWS)
def test_a_long_block_gives_back_exactly_what_went_in(rows: list[Row]) -> None:
    wanted = unite([[(due, *row[1:]) for row in rows for due in range(SHORT + 1)]])
    block = unpack(pack(Block.of(wanted)))
    assert [block.row(place) for place in range(0, block.size, 50)] == wanted[::50]
    assert block.rows() == wanted


@given(ROWS, ROWS)
def test_uniting_is_idempotent_and_the_later_wins(first: list[Row], second: list[Row]) -> None:
    both = unite([first, second])
    assert unite([both, second]) == both
    assert unite([both, both]) == both
    assert {row[:3]: row for row in both} == {row[:3]: row for row in first + second}
    assert [row[:3] for row in both] == sorted(row[:3] for row in both)


# Four hours around the end of a month, so that days and months end among them.
BASE: Millis = 1_769_896_800_000  # 2026-01-31T22:00:00Z
HOURS = 4
END = BASE + HOURS * HOUR

TENTHS = st.one_of(st.none(), st.integers(0, 99).map(lambda tenths: tenths / 10))
CHECKS = st.builds(
    lambda due, lag, result, response, timings, region, counted, failure: Check(
        due_at=due,
        started_at=due + lag,
        result=result,
        response_time_ms=response,
        timings=timings,
        region=region,
        counted=counted,
        failure=failure,
        message=None if failure is None else f"it was {failure}",
    ),
    # Few moments, so that keys meet.
    st.integers(0, HOURS * 6 - 1).map(lambda slot: BASE + slot * HOUR // 6),
    st.integers(-5, 5),
    st.sampled_from(Result),
    st.one_of(st.none(), st.integers(0, 300)),
    st.builds(Timings, TENTHS, TENTHS, TENTHS, TENTHS, TENTHS),
    st.sampled_from([LOCAL, "far"]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, None, Failure.TIMEOUT]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(st.integers(1, 3), CHECKS), max_size=8)),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("seal"), st.integers(0, 3)),
        st.tuples(st.just("next day"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    min_size=3,
    max_size=12,
)

Model = dict[int, dict[tuple[Millis, str, bool], Check]]


@settings(max_examples=40)
@given(STEPS, st.integers(0, HOURS), st.integers(1, HOURS), st.integers(1, 9))
def test_hot_and_sealed_together_are_a_dict(
    steps: list[tuple[str, object]], first: int, length: int, limit: int
) -> None:
    start = BASE + first * HOUR - 1
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_play(Path(directory), steps, start, start + length * HOUR, limit))


async def _play(
    data: Path, steps: Iterable[tuple[str, object]], start: Millis, end: Millis, limit: int
) -> None:
    model: Model = {1: {}, 2: {}, 3: {}}
    told: dict[tuple[Millis, int], HourFigures] = {}

    async def on_hour(hour: Millis, figures: dict[int, HourFigures]) -> None:
        told.update({(hour, key): value for key, value in figures.items()})

    raw = Raw(data)
    for step, value in steps:
        if step == "append":
            assert isinstance(value, list)
            raw.append(value)
            for key, check in value:
                model[key][check.due_at, check.region, check.counted] = check
        elif step == "flush":
            assert await raw.flush()
        elif step == "seal":
            assert isinstance(value, int)
            await raw.flush()
            await raw.seal_due(BASE + (value + 1) * HOUR + 300_000, on_hour)
        elif step == "next day":
            await raw.flush()
            await raw.seal_due(END + DAY, on_hour)
        else:
            await raw.close()
            raw = Raw(data)
    try:
        await _compare(raw, model, start, end, limit)
        await raw.flush()
        await raw.seal_due(END + DAY, on_hour)
        await _compare(raw, model, start, end, limit)
        assert not list((data / "hot").iterdir())
        _compare_figures(model, told)
        assert raw.damaged == []
        assert raw.trouble is None
    finally:
        await raw.close()


async def _compare(raw: Raw, model: Model, start: Millis, end: Millis, limit: int) -> None:
    newest = await raw.last(model)
    for key, checks in model.items():
        everything = [checks[place] for place in sorted(checks)]
        assert await raw.range(key, 0, END * 2, newest_first=False) == everything
        within = [check for check in everything if start <= check.due_at < end]
        assert await raw.range(key, start, end) == within[::-1]
        assert await raw.range(key, start, end, limit=limit) == within[::-1][:limit]
        assert await raw.range(key, start, end, limit=limit, newest_first=False) == within[:limit]
        downs = [check for check in within if check.result is Result.DOWN]
        assert (
            await raw.range(key, start, end, limit=limit, result=Result.DOWN)
            == (downs[::-1][:limit])
        )
        counted = [check for check in within if check.counted]
        counts = await raw.counts(key, start, end)
        results = [check.result for check in counted]
        assert counts.downs == results.count(Result.DOWN)
        assert counts.degraded == results.count(Result.DEGRADED)
        assert counts.inconclusive == results.count(Result.INCONCLUSIVE)
        assert counts.checks == len(counted) - counts.inconclusive
        buckets = await raw.series(key, start, end, limit)
        assert sum(bucket.checks for bucket in buckets) == counts.checks
        assert buckets[0].start == start
        assert buckets[-1].end == end
        dues = [check.due_at for check in everything if check.counted]
        assert (newest[key].due_at if key in newest else None) == max(dues, default=None)


def _compare_figures(model: Model, told: dict[tuple[Millis, int], HourFigures]) -> None:
    wanted: dict[tuple[Millis, int], list[Check]] = {}
    for key, checks in model.items():
        for check in checks.values():
            wanted.setdefault((check.due_at - check.due_at % HOUR, key), []).append(check)
    assert set(told) == set(wanted)
    for place, checks in wanted.items():
        figures = told[place]
        good = [
            check for check in checks if check.counted and check.result is not Result.INCONCLUSIVE
        ]
        responses = [c.response_time_ms for c in good if c.response_time_ms is not None]
        assert figures.checks == len(good) == figures.ups + figures.degraded + figures.downs
        assert figures.downs == sum(check.result is Result.DOWN for check in good)
        assert figures.degraded == sum(check.result is Result.DEGRADED for check in good)
        assert figures.inconclusive == sum(
            check.counted and check.result is Result.INCONCLUSIVE for check in checks
        )
        assert figures.response_count == len(responses)
        assert figures.response_sum == sum(responses)
        assert figures.response_min == min(responses, default=None)
        assert figures.response_max == max(responses, default=None)


@given(CHECKS)
def test_any_check_becomes_a_row_and_itself_again(check: Check) -> None:
    assert to_check(to_row(check)) == check
