"""Rows and packed blobs: what goes in comes out, and what is damaged is said to be."""

from __future__ import annotations

import random
import zlib

import pytest

from netpulse.model.check import Check, Failure, Result, Timings, round_latency
from netpulse.model.time import HOUR
from netpulse.storage.raw.bits import Squeezed, spread, squeeze
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.packed import SHORT
from netpulse.storage.raw.packing import BITS, PLANES, BlobDamaged, pack, unpack
from netpulse.storage.raw.row import (
    DUE,
    FAILURE,
    REGION,
    RESULT,
    RESULTS,
    TOTAL,
    Row,
    place_of,
    to_check,
    to_row,
    unite,
)

START = 1_767_225_600_000


def https_check(due: int, rnd: random.Random) -> Check:
    """A check as a healthy HTTPS monitor makes it: log-normal phases."""
    phases = [round_latency(rnd.lognormvariate(mean, 0.4)) for mean in (1.0, 2.5, 3.2, 4.0)]
    total = round_latency(sum(phases) + rnd.lognormvariate(0.5, 0.4))
    return Check(
        due_at=due,
        started_at=due + rnd.randint(0, 8),
        result=Result.UP,
        response_time_ms=round(total),
        status_code=200,
        timings=Timings(*phases, total),
    )


def rows(count: int, interval: int = 10_000) -> list[Row]:
    rnd = random.Random(7)
    return [to_row(https_check(START + place * interval, rnd)) for place in range(count)]


DOWN = Check(
    due_at=START,
    started_at=START + 12,
    result=Result.DOWN,
    failure=Failure.TIMEOUT,
    detail="connect",
    message="no answer from 192.0.2.1:443 within 10 s",
    timings=Timings(dns_ms=1.2, total_ms=10_000.0),
    region="zürich",
    counted=False,
)


@pytest.mark.parametrize(
    "check",
    [
        DOWN,
        Check(due_at=0, started_at=0, result=Result.INCONCLUSIVE, failure=Failure.OWN_LAG),
        Check(due_at=START, started_at=START - 500, result=Result.UP),
        Check(due_at=START, started_at=START, result=Result.UP, response_time_ms=12),
        Check(
            due_at=START,
            started_at=START,
            result=Result.DEGRADED,
            response_time_ms=77,
            timings=Timings(total_ms=152.0),
        ),
        https_check(START, random.Random(3)),
    ],
)
def test_a_check_becomes_a_row_and_the_same_check_again(check: Check) -> None:
    assert to_check(to_row(check)) == check


def test_latencies_rounded_when_measured_are_kept_exactly() -> None:
    rnd = random.Random(11)
    for _ in range(5_000):
        ms = round_latency(rnd.lognormvariate(4, 2))
        check = Check(due_at=START, started_at=START, result=Result.UP, timings=Timings(tls_ms=ms))
        assert to_check(to_row(check)).timings.tls_ms == ms


@pytest.mark.parametrize("due", [-1, 253_402_300_800_000])
def test_a_check_outside_the_calendar_is_refused(due: int) -> None:
    with pytest.raises(ValueError, match="cannot be due"):
        to_row(Check(due_at=due, started_at=due, result=Result.UP))


def test_a_number_no_column_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of a check"):
        to_row(Check(due_at=START, started_at=START, result=Result.UP, status_code=1 << 62))


def test_half_a_surrogate_pair_is_stored_as_its_escape() -> None:
    row = to_row(
        Check(due_at=START, started_at=START, result=Result.DOWN, message="bad \udcff byte")
    )
    assert to_check(row).message == "bad \\udcff byte"


def test_the_places_of_results_never_change() -> None:
    assert RESULTS == (Result.UP, Result.DEGRADED, Result.DOWN, Result.INCONCLUSIVE)
    assert {place_of(result) for result in Result} == set(range(len(Result)))


def test_every_failure_is_kept() -> None:
    for failure in Failure:
        check = Check(due_at=START, started_at=START, result=Result.DOWN, failure=failure)
        assert to_check(to_row(check)).failure is failure


def test_the_last_row_of_a_key_wins_and_a_check_by_hand_stands_beside_it() -> None:
    first = to_row(Check(due_at=START, started_at=START, result=Result.UP))
    second = to_row(Check(due_at=START, started_at=START + 1, result=Result.DOWN))
    by_hand = to_row(Check(due_at=START, started_at=START, result=Result.UP, counted=False))
    elsewhere = to_row(Check(due_at=START, started_at=START, result=Result.UP, region="far"))
    earlier = to_row(Check(due_at=START - 5, started_at=START, result=Result.UP))
    united = unite([[first, by_hand], [elsewhere, earlier], [second]])
    assert united == [earlier, elsewhere, by_hand, second]


@pytest.mark.parametrize("count", [1, 2, 60, SHORT, SHORT + 1, 360, 8_640])
def test_blocks_come_back_as_they_were(count: int) -> None:
    wanted = rows(count)
    block = unpack(pack(Block.of(wanted)))
    assert block.size == count
    assert block.rows() == wanted
    assert block.rows_at([count - 1, 0]) == [wanted[-1], wanted[0]]
    assert unpack(pack(Block.of(wanted))).row(count - 1) == wanted[-1]


def test_a_mixed_hour_comes_back_as_it_was() -> None:
    wanted = unite([rows(60), [to_row(DOWN)], [to_row(DOWN)[:-1] + (5,)]])  # noqa: RUF005
    assert unpack(pack(Block.of(wanted))).rows() == wanted
    longer = unite([rows(600), [to_row(DOWN)], [to_row(DOWN)[:-1] + (5,)]])  # noqa: RUF005
    assert unpack(pack(Block.of(longer))).rows() == longer


def test_columns_are_read_one_by_one() -> None:
    wanted = rows(360)
    block = unpack(pack(Block.of(wanted)))
    assert list(block.column(TOTAL)) == [row[TOTAL] for row in wanted]
    assert list(block.column(DUE)) == [row[DUE] for row in wanted]
    assert set(block.column(REGION)) == {"local"}
    assert set(block.column(FAILURE)) == {None}
    assert set(block.column(RESULT)) == {0}


def test_blocks_that_follow_each_other_are_joined() -> None:
    wanted = rows(720)
    parts = [unpack(pack(Block.of(wanted[:360]))), Block.of(wanted[360:])]
    assert Block.joined(parts).rows() == wanted
    assert unpack(pack(Block.joined(parts))).rows() == wanted


def test_a_stretch_of_time_is_found() -> None:
    block = Block.of(rows(360))
    assert block.between(START, START + HOUR) == (0, 360)
    assert block.between(START + 1, START + 10_001) == (1, 2)
    assert block.between(0, START) == (0, 0)


def steady(count: int, interval: int) -> list[Row]:
    """Checks whose phases spread by a tenth around what is usual for the target."""
    rnd = random.Random(count)
    made = []
    for place in range(count):
        usual = (7.0, 20.0, 33.0, 55.0, 0.3)
        *phases, rest = (round_latency(mean * rnd.lognormvariate(0, 0.1)) for mean in usual)
        due = START + place * interval
        total = round_latency(sum(phases) + rest)
        check = Check(
            due_at=due,
            started_at=due + rnd.choice((1, 1, 1, 2, 2, 3)),
            result=Result.UP,
            response_time_ms=round(total),
            status_code=200,
            timings=Timings(*phases, total),
        )
        made.append(to_row(check))
    return made


@pytest.mark.parametrize(
    ("count", "seconds", "most"),
    [(60, 60, 6.0), (360, 10, 6.0), (1_440, 60, 5.0), (8_640, 10, 5.0)],
)
def test_an_hour_takes_at_most_six_bytes_a_check_and_a_day_five(
    count: int, seconds: int, most: float
) -> None:
    wanted = steady(count, seconds * 1_000)
    blob = pack(Block.of(wanted))
    assert len(blob) <= most * count
    assert unpack(blob).rows() == wanted


def test_a_few_large_numbers_do_not_widen_the_others() -> None:
    numbers = [5, 3, 7, 1 << 40, 0, *[4] * 95]
    squeezed = squeeze(numbers)
    assert (squeezed.width, len(squeezed.data), squeezed.larger) == (3, 38, [(3, 1 << 37)])
    assert spread(squeezed, 100) == numbers


@pytest.mark.parametrize("numbers", [[0], [1], [0, 0, 9], [3] * 8, list(range(257))])
def test_numbers_are_squeezed_without_loss(numbers: list[int]) -> None:
    assert spread(squeeze(numbers), len(numbers)) == numbers


def test_zeros_take_nothing() -> None:
    assert squeeze([0] * 60) == Squeezed(0, [], b"")


def test_an_hour_of_nothing_but_refusals_takes_under_two_bytes_a_check() -> None:
    refused = [
        to_row(
            Check(
                due_at=START + place * 10_000,
                started_at=START + place * 10_000,
                result=Result.DOWN,
                failure=Failure.REFUSED,
                message="192.0.2.1:443 refuses connections",
                timings=Timings(connect_ms=0.3, total_ms=0.3),
            )
        )
        for place in range(360)
    ]
    assert len(pack(Block.of(refused))) < 0.4 * 360


def test_the_version_stands_first() -> None:
    assert pack(Block.of(rows(SHORT)))[0] == BITS
    assert pack(Block.of(rows(SHORT + 1)))[0] == PLANES


def test_nothing_cannot_be_packed() -> None:
    with pytest.raises(ValueError, match="nothing to pack"):
        pack(Block.of([]))


def test_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(BlobDamaged, match="unknown version 3"):
        unpack(b"\x03" + pack(Block.of(rows(3)))[1:])
    with pytest.raises(BlobDamaged, match="unknown version none"):
        unpack(b"")


def test_a_flipped_bit_is_noticed_in_an_hour() -> None:
    blob = pack(Block.of(rows(60)))
    for place in range(8 * len(blob)):
        bad = bytearray(blob)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(BlobDamaged):
            unpack(bytes(bad))


def test_a_flipped_bit_is_noticed_in_a_day_or_without_effect() -> None:
    wanted = rows(SHORT + 1)
    blob = pack(Block.of(wanted))
    noticed = 0
    for place in range(8 * len(blob)):
        bad = bytearray(blob)
        bad[place // 8] ^= 1 << place % 8
        try:
            # A few bits are padding.
            assert unpack(bytes(bad)).rows() == wanted
        except BlobDamaged:
            noticed += 1
    assert noticed >= 0.99 * 8 * len(blob)


@pytest.mark.parametrize("count", [60, SHORT + 1])
def test_no_cut_goes_unnoticed(count: int) -> None:
    blob = pack(Block.of(rows(count)))
    for length in range(len(blob)):
        with pytest.raises(BlobDamaged):
            unpack(blob[:length])


def test_columns_that_end_too_early_are_noticed_though_the_checksum_is_right() -> None:
    day, hour = pack(Block.of(rows(SHORT + 1))), pack(Block.of(rows(60)))
    inner = zlib.decompress(day[1:])
    for length in range(len(inner)):
        with pytest.raises(BlobDamaged):
            unpack(day[:1] + zlib.compress(inner[:length]))
    with pytest.raises(BlobDamaged):
        unpack(day[:1] + zlib.compress(inner + b"\0"))
    inner = hour[1:-4]
    for cut in (*(inner[:length] for length in range(len(inner))), inner + b"\0"):
        with pytest.raises(BlobDamaged):
            unpack(hour[:1] + cut + zlib.crc32(cut).to_bytes(4, "big"))
