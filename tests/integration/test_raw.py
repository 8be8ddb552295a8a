"""The raw results on a real disk: written, read, sealed, damaged, full, restarted."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import shutil
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.model.time import DAY, HOUR, MINUTE, Millis
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import Figure, HourFigures, Raw, bulk, hot
from netpulse.storage.raw.bulk import COMMIT_SECONDS, HOLD_SECONDS
from netpulse.storage.raw.row import to_row
from netpulse.storage.raw.spool import Spool

# 2026-11-23T20:00:00Z
START: Millis = 1_795_464_000_000
DUE = START + HOUR + 5 * MINUTE
FOREVER = START * 2


def check(slot: int = 0, result: Result = Result.UP, **fields: object) -> Check:
    """The check of the ten-second slot number `slot` after START."""
    due = START + slot * 10_000
    made: dict[str, object] = {"due_at": due, "started_at": due + 3, "result": result}
    return Check(**(made | fields))  # type: ignore[arg-type]


def hour_of_checks(count: int = 360) -> list[Check]:
    return [
        check(
            slot,
            response_time_ms=slot % 50,
            status_code=200,
            timings=Timings(1.0, 2.0, None, 3.5, float(slot % 50)),
        )
        for slot in range(count)
    ]


class Told:
    """Remembers what sealing told of."""

    def __init__(self) -> None:
        self.hours: list[tuple[Millis, dict[int, HourFigures]]] = []

    async def __call__(self, hour: Millis, figures: dict[int, HourFigures]) -> None:
        self.hours.append((hour, figures))


@pytest_asyncio.fixture
async def raw(tmp_path: Path) -> AsyncIterator[Raw]:
    store = Raw(tmp_path, now=lambda: START)
    yield store
    await store.close()


async def everything(raw: Raw, key: int = 1) -> list[Check]:
    return await raw.range(key, 0, FOREVER, newest_first=False)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something that happens in another thread."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen"
        await asyncio.sleep(0.01)


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def sql(path: Path, text: str) -> object:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return connection.execute(text).get
    finally:
        connection.close()


# -- writing


async def test_a_check_is_on_disk_after_about_a_second(raw: Raw, tmp_path: Path) -> None:
    assert COMMIT_SECONDS == 1.0
    raw.append([(1, check())])
    # The disk may take its time as well; what waits for more than the second would wait for long.
    await until(lambda: raw.waiting == 0, HOLD_SECONDS / 2)
    assert "2026112320.db" in names(tmp_path / "hot")
    assert await raw.range(1, 0, FOREVER) == [check()]


async def test_a_thousand_checks_do_not_wait_for_the_second(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "COMMIT_SECONDS", 60.0)
    raw.append([(key, check()) for key in range(999)])
    await asyncio.sleep(0.2)
    assert raw.waiting == 999
    assert await raw.range(1, 0, FOREVER) == [check()], "shown before it is on disk"
    raw.append([(999, check())])
    await until(lambda: raw.waiting == 0, 30)


async def test_few_checks_wait_in_the_spool_for_half_a_minute(tmp_path: Path) -> None:
    now = [100.0]
    raw = Raw(tmp_path / "data", monotonic=lambda: now[0])
    hot = tmp_path / "data" / "hot"
    written = partial(sql, hot / "2026112320.db", "SELECT count(*) FROM checks")
    raw.append([(1, check())])
    assert await raw.keep()
    raw.append([(1, check(1)), (2, check(1, message="of another"))])
    assert await raw.keep()
    raw.append([(1, check(2))])
    assert await raw.keep()
    assert (written(), raw.waiting) == (1, 0)
    assert await everything(raw) == [check(), check(1), check(2)]
    assert await raw.last([1, 2]) == {1: check(2), 2: check(1, message="of another")}
    await kill_and_compare(tmp_path, "first", [check(), check(1), check(2)])

    now[0] += HOLD_SECONDS
    assert await raw.keep()
    assert written() == 4
    # The next round is shorter than what is left of the one before.
    raw.append([(1, check(3))])
    assert await raw.keep()
    assert written() == 4
    await kill_and_compare(tmp_path, "second", [check(place) for place in range(4)])
    await raw.close()
    assert "waiting" not in names(hot)


async def test_what_is_written_is_flushed_within_half_a_minute_though_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flushed: list[str] = []

    def flush(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        if len(flushed) in {2, 4}:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", flush)
    caplog.set_level(logging.INFO)
    # A clock by which half a minute is a second.
    raw = Raw(tmp_path, monotonic=lambda: time.monotonic() * HOLD_SECONDS)
    raw.append([(1, check())])
    assert await raw.flush()
    assert flushed == ["2026112320.db-wal"]
    raw.append([(1, check(1)), (1, check(360))])
    assert await raw.flush()
    await until(lambda: len(flushed) == 3)
    assert sorted(flushed[1:]) == ["2026112320.db-wal", "2026112321.db-wal"]
    for number in (4, 5):
        raw.append([(1, check(number))])
        assert await raw.flush()
        await until(lambda number=number: len(flushed) == number)  # type: ignore[misc]
    await raw.close()
    assert len(flushed) == 5, "what is flushed is not flushed again"
    assert [r.getMessage() for r in caplog.records if "power" in r.getMessage()] == [
        "checks of the last minute may not survive a power failure: [Errno 5] Input/output error",
        "checks survive a power failure again",
    ]


async def kill_and_compare(tmp_path: Path, name: str, wanted: list[Check]) -> None:
    """Look at the data as a process would that starts after the end of the one that writes it."""
    copy = tmp_path / name
    shutil.copytree(tmp_path / "data", copy)
    after = Raw(copy)
    assert await everything(after) == wanted
    await after.close()
    again = Raw(copy)
    assert await everything(again) == wanted
    await again.close()


async def test_a_spool_that_cannot_be_written_is_done_without(
    raw: Raw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hot" / "waiting").mkdir()
    for place in range(3):
        raw.append([(1, check(place))])
        assert await raw.keep()
    assert sql(tmp_path / "hot" / "2026112320.db", "SELECT count(*) FROM checks") == 3
    assert raw.trouble is None
    assert "checks cannot wait on disk, they are written at once: " in caplog.text
    (tmp_path / "hot" / "waiting").rmdir()


def test_a_spool_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "waiting")
    assert spool.read() == []
    parts = [[(1, to_row(check(place))), (7, to_row(check(place)))] for place in range(3)]
    ends = [0]
    for part in parts:
        spool.append(part)
        ends.append(spool.path.stat().st_size)
    whole = spool.path.read_bytes()
    assert spool.read() == [each for part in parts for each in part]
    for cut in range(len(whole)):
        spool.path.write_bytes(whole[:cut])
        complete = max(place for place, end in enumerate(ends) if end <= cut)
        assert spool.read() == [each for part in parts[:complete] for each in part]
    for at in range(ends[1], ends[2]):
        spool.path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert spool.read() == parts[0]
    spool.path.write_bytes(b"something else")
    assert spool.read() == []


def test_a_spool_whose_beginning_was_refused_once_is_read_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "waiting")
    rows = [(1, to_row(check()))]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="10 of 19 bytes were taken"):
            spool.append(rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(rows)
    assert spool.read() == rows
    spool.clear()
    assert spool.read() == []
    spool.append(rows * 2)
    assert spool.read() == rows * 2


async def test_what_another_version_spooled_does_not_keep_this_one_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hot").mkdir()
    row = to_row(check(1, Result.DOWN, failure=Failure.TIMEOUT))
    spool = Spool(tmp_path / "hot" / "waiting")
    spool.append(
        [(1, to_row(check())), (1, (*row[:4], 9, *row[5:])), (2, (*row[:6], "new", *row[7:]))]
    )
    raw = Raw(tmp_path)
    assert await everything(raw) == [check()]
    assert await everything(raw, 2) == []
    assert "waiting: a check of monitor 2 is left out: 'new' is not a valid Failure" in caplog.text
    await raw.close()


async def test_whoever_waits_no_more_for_the_disk_keeps_nobody_else_waiting(raw: Raw) -> None:
    asked = asyncio.create_task(raw.flush())
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert asked.cancelled()
    raw.append([(1, check())])
    async with asyncio.timeout(5.0):
        assert await raw.flush()
    assert raw.waiting == 0


async def test_files_are_for_their_owner_only_and_sized_by_the_disk(
    raw: Raw, tmp_path: Path
) -> None:
    raw.append([(1, check())])
    assert await raw.flush()
    assert stat.S_IMODE((tmp_path / "hot").stat().st_mode) == 0o700
    for entry in (tmp_path / "hot").iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    header = (tmp_path / "hot" / "2026112320.db").read_bytes()[18:20]
    assert header == b"\x02\x02", "with a write-ahead log"
    assert raw._files.opened(START)._connection.pragma("synchronous") == 1, "NORMAL"
    sizes = [entry.stat().st_size for entry in tmp_path.rglob("*.db*")]
    assert raw.bytes_on_disk() == sum(sizes) > 0


async def test_the_last_write_of_a_slot_wins_also_over_a_restart(tmp_path: Path) -> None:
    first = Raw(tmp_path)
    first.append([(1, check()), (1, check(message="again")), (2, check())])
    first.append([(1, check(region="far"))])
    await first.close()
    second = Raw(tmp_path)
    second.append([(1, check(message="after the restart"))])
    assert await second.flush()
    wanted = [check(region="far"), check(message="after the restart")]
    assert await everything(second) == wanted
    assert (await second.last([1, 2, 3]))[2] == check()
    assert 3 not in await second.last([1, 2, 3])
    await second.seal_due(DUE, Told())
    assert await everything(second) == wanted
    await second.close()


async def test_a_check_by_hand_is_shown_and_in_no_figure(raw: Raw) -> None:
    by_hand = check(1, Result.DOWN, counted=False, response_time_ms=9)
    raw.append([(1, check()), (1, by_hand), (1, check(counted=False))])
    await raw.flush()
    told = Told()
    for _ in ("hot", "sealed"):
        assert await everything(raw) == [check(counted=False), check(), by_hand]
        assert (await raw.counts(1, 0, FOREVER)).checks == 1
        assert (await raw.counts(1, 0, FOREVER)).downs == 0
        assert (await raw.last([1]))[1] == check()
        assert (await raw.series(1, START, START + HOUR, 1))[0].response is None
        await raw.seal_due(DUE, told)
    ((_, figures),) = told.hours
    assert figures[1].checks == 1
    assert figures[1].response_count == 0


async def test_each_check_lies_in_the_hour_it_was_due(raw: Raw, tmp_path: Path) -> None:
    raw.append([(1, check(-1)), (1, check(0)), (1, check(360))])
    await raw.flush()
    assert [name for name in names(tmp_path / "hot") if name.endswith(".db")] == [
        "2026112319.db",
        "2026112320.db",
        "2026112321.db",
    ]
    assert await everything(raw) == [check(-1), check(0), check(360)]


async def test_what_no_check_can_be_is_dropped_and_the_rest_is_written(raw: Raw) -> None:
    odd = check(timings=Timings(total_ms=float("nan")))
    raw.append([(1, check()), (1, odd), (1, check(1))])
    assert await raw.flush()
    assert raw.dropped == 1
    assert await everything(raw) == [check(), check(1)]


async def test_a_closed_store_takes_nothing_and_says_so(tmp_path: Path) -> None:
    raw = Raw(tmp_path)
    raw.append([(1, check())])
    await raw.close()
    await raw.close()
    with pytest.raises(RuntimeError, match="closed"):
        raw.append([(1, check(1))])
    assert await raw.flush()
    again = Raw(tmp_path)
    assert await everything(again) == [check()]
    await again.close()


async def test_a_long_reader_does_not_hold_up_the_writer(raw: Raw, tmp_path: Path) -> None:
    raw.append([(1, check())])
    await raw.flush()
    with raw._hot.borrow(tmp_path / "hot" / "2026112320.db") as connection:
        assert connection is not None
        assert connection.execute("SELECT count(*) FROM checks").get == 1
        raw.append([(1, check(1))])
        assert await asyncio.wait_for(raw.flush(), 2)
        sealing = asyncio.create_task(raw.seal_due(DUE, Told()))
        raw.append([(1, check(2)), (1, check(400))])
        assert await asyncio.wait_for(raw.flush(), 2)
        await asyncio.sleep(0.1)
        assert not sealing.done(), "the file must stay while it is read"
        assert connection.execute("SELECT count(*) FROM checks").get == 1, "one state throughout"
    assert await sealing == [START]
    assert await everything(raw) == [check(), check(1), check(2), check(400)]


# -- reading


async def test_the_newest_come_first_up_to_the_limit(raw: Raw) -> None:
    checks = hour_of_checks()
    raw.append([(key, one) for one in checks for key in (1, 2)])
    await raw.flush()
    for _ in ("hot", "sealed", "merged"):
        assert await raw.range(1, 0, FOREVER, limit=100) == checks[:-101:-1]
        assert await raw.range(1, 0, FOREVER, limit=0) == []
        assert await raw.range(1, 0, START + 50_000, limit=2) == [checks[4], checks[3]]
        assert await raw.range(1, START + 10_000, START + 30_000) == [checks[2], checks[1]]
        assert await raw.range(1, 0, FOREVER, limit=3, newest_first=False) == checks[:3]
        assert await raw.range(3, 0, FOREVER) == []
        assert await raw.range(1, START, START) == []
        await raw.seal_due(DUE, Told())
        await raw.seal_due(DUE + 2 * DAY, Told())


async def test_checks_are_found_by_their_result(raw: Raw) -> None:
    down = check(5, Result.DOWN, failure=Failure.REFUSED, message="refused")
    raw.append([(1, check(slot)) for slot in range(5)] + [(1, down), (1, check(6))])
    await raw.flush()
    for _ in ("hot", "sealed"):
        assert await raw.range(1, 0, FOREVER, result=Result.DOWN, limit=10) == [down]
        assert await raw.range(1, 0, FOREVER, result=Result.DEGRADED) == []
        assert len(await raw.range(1, 0, FOREVER, result=Result.UP, limit=2)) == 2
        await raw.seal_due(DUE, Told())


async def test_counts_and_charts_say_what_was_measured(raw: Raw) -> None:
    raw.append(
        [
            (1, check(0, response_time_ms=10, timings=Timings(1.0, 2.0, None, 3.0, 10.0))),
            (1, check(1, response_time_ms=20, timings=Timings(None, 4.0, None, 5.0, 20.4))),
            (1, check(2, Result.DEGRADED, response_time_ms=90, timings=Timings(total_ms=90.0))),
            (1, check(3, Result.DOWN, failure=Failure.TIMEOUT, timings=Timings(1.0, 9.0))),
            (1, check(4, Result.INCONCLUSIVE, failure=Failure.OWN_LAG, response_time_ms=5)),
        ]
    )
    await raw.flush()
    for _ in ("hot", "sealed"):
        counts = await raw.counts(1, START, START + HOUR)
        assert (counts.checks, counts.ups, counts.degraded, counts.downs) == (4, 2, 1, 1)
        assert counts.inconclusive == 1
        first, second, third = await raw.series(1, START, START + 50_000, 3)
        assert (first.start, first.end, third.end) == (START, START + 16_667, START + 50_000)
        assert first.checks == 2
        assert first.response == Figure(15.0, 10.0, 20.0)
        assert first.dns == Figure(1.0, 1.0, 1.0)
        assert first.connect == Figure(3.0, 2.0, 4.0)
        assert first.tls is None
        assert first.total == Figure(15.2, 10.0, 20.4)
        assert (second.checks, second.downs, second.degraded) == (2, 1, 1)
        assert second.connect is None, "no answer, so no figure"
        assert (third.checks, third.inconclusive, third.response) == (0, 1, None)
        await raw.seal_due(DUE, Told())
    with pytest.raises(ValueError, match="no chart"):
        await raw.series(1, START, START, 10)


async def test_the_last_counted_check_of_each_monitor_is_found(raw: Raw) -> None:
    raw.append([(key, check(slot)) for slot in range(3) for key in (1, 2, 3)])
    await raw.flush()
    await raw.seal_due(DUE, Told())
    raw.append([(1, check(400)), (2, check(401, counted=False))])
    await raw.flush()
    raw.append([(4, check(402))])
    assert await raw.last([1, 2, 3, 4, 5]) == {
        1: check(400),
        2: check(2),
        3: check(2),
        4: check(402),
    }
    assert await raw.last([]) == {}


async def test_how_far_back_the_last_checks_are_looked_for_can_be_said(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "LOOKED_THROUGH", 2)
    raw.append([(key, check(slot)) for slot in range(3) for key in (1, 2)])
    await raw.flush()
    await raw.seal_due(DUE, Told())
    raw.append([(key, check(slot)) for slot in range(400, 403) for key in (3, 4, 5)])
    raw.append([(3, check(403)), (6, check(403)), (3, check(404)), (6, check(404))])
    await raw.flush()
    everybody = range(1, 7)
    assert set(await raw.last(everybody)) == set(everybody)
    late = await raw.last(everybody, since=check(404).due_at)
    assert late == {3: check(404), 6: check(404)}
    found = await raw.last(everybody, since=check(402).due_at)
    assert found == {3: check(404), 4: check(402), 5: check(402), 6: check(404)}
    assert await raw.last([1], since=check(2).due_at) == {1: check(2)}
    assert await raw.last([1], since=check(2).due_at + 1) == {}


async def test_a_file_of_another_process_is_looked_through_once(tmp_path: Path) -> None:
    first = Raw(tmp_path)
    first.append([(key, one) for one in hour_of_checks(200) for key in range(60)])
    await first.close()
    raw, path = Raw(tmp_path), tmp_path / "hot" / "2026112320.db"
    steps: list[int] = []
    with raw._hot.borrow(path) as connection:
        assert connection is not None
        connection.trace_v2(
            apsw.SQLITE_TRACE_PROFILE,
            lambda event: steps.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]),
        )
    newest = hour_of_checks(200)[:-101:-1]
    looked_at = []
    for key in (1, 2, 1, 61, 3):
        steps.clear()
        found = await raw.range(key, 0, FOREVER, limit=100)
        assert found == ([] if key == 61 else newest)
        looked_at.append(sum(steps))
    assert looked_at[0] > 48_000, "four steps at least for each of 12,000 rows"
    # 200 are its own: each is gone to, and put together of the texts it names.
    assert looked_at[1] == looked_at[2] == looked_at[4] < 20_000
    assert looked_at[3] < 200
    # What is written from now on leads back to what was there.
    raw.append([(1, check(200)), (61, check(200))])
    assert await raw.flush()
    assert await raw.range(1, 0, FOREVER, limit=2) == [check(200), newest[0]]
    assert await raw.range(61, 0, FOREVER) == [check(200)]
    shutil.copytree(tmp_path / "hot", tmp_path / "killed" / "hot")
    await raw.close()
    after = Raw(tmp_path / "killed")
    both = await asyncio.gather(*(everything(after, key) for key in (1, 2, 59, 60, 61)))
    assert both[0] == [*hour_of_checks(200), check(200)]
    assert both[1:3] == [hour_of_checks(200)] * 2
    assert both[3:] == [[], [check(200)]]
    # The hour goes into its month; what comes late begins a file anew.
    assert await after.seal_due(DUE, Told()) == [START]
    assert await everything(after, 2) == hour_of_checks(200)
    after.append([(2, check(200))])
    assert await after.flush()
    assert await everything(after, 2) == [*hour_of_checks(200), check(200)]
    await after.close()


# -- sealing


async def test_an_hour_is_sealed_five_minutes_after_its_end(raw: Raw, tmp_path: Path) -> None:
    checks = hour_of_checks()
    raw.append([(key, one) for one in checks for key in range(1, 121)])
    await raw.flush()
    hot = tmp_path / "hot" / "2026112320.db"
    seen: list[bool] = []

    async def on_hour(hour: Millis, figures: dict[int, HourFigures]) -> None:
        assert hour == START
        assert sorted(figures) == list(range(1, 121))
        assert set(figures.values()) == {
            HourFigures(
                checks=360,
                ups=360,
                degraded=0,
                downs=0,
                inconclusive=0,
                response_count=360,
                response_sum=sum(slot % 50 for slot in range(360)),
                response_min=0,
                response_max=49,
                response_p50=24,
                response_p95=47,
            )
        }
        seen.append(hot.exists())

    assert await raw.seal_due(DUE - 1, on_hour) == []
    assert seen == []
    assert await raw.seal_due(DUE, on_hour) == [START]
    assert seen == [True], "told before the hot file goes"
    assert names(tmp_path / "hot") == []
    assert await raw.seal_due(DUE, on_hour) == []
    assert raw.months() == ["2026-11"]
    for key in (1, 50, 51, 120):
        assert await everything(raw, key) == checks
    assert sql(tmp_path / "checks" / "2026-11.db", "SELECT count(*) FROM hours") == 120
    assert raw.damaged == []
    assert raw.trouble is None


async def test_an_hour_nobody_could_be_told_of_stays(raw: Raw, tmp_path: Path) -> None:
    raw.append([(1, check())])
    await raw.flush()

    async def on_hour(hour: Millis, figures: dict[int, HourFigures]) -> None:
        raise StorageTrouble("full")  # type: ignore[arg-type]

    with pytest.raises(StorageTrouble):
        await raw.seal_due(DUE, on_hour)
    assert (tmp_path / "hot" / "2026112320.db").exists()
    told = Told()
    assert await raw.seal_due(DUE, told) == [START]
    assert [hour for hour, _ in told.hours] == [START]
    assert await everything(raw) == [check()]


async def test_rows_that_come_while_an_hour_is_sealed_are_sealed_too(
    raw: Raw, tmp_path: Path
) -> None:
    raw.append([(1, check()), (2, check())])
    await raw.flush()
    told: list[dict[int, int]] = []

    async def on_hour(hour: Millis, figures: dict[int, HourFigures]) -> None:
        told.append({key: value.checks for key, value in figures.items()})
        if len(told) == 1:
            raw.append([(2, check(1)), (3, check(1))])
            assert await raw.flush()

    assert await raw.seal_due(DUE, on_hour) == [START]
    assert told == [{1: 1, 2: 1}, {2: 2, 3: 1}]
    assert names(tmp_path / "hot") == []
    assert await everything(raw, 2) == [check(), check(1)]
    assert await everything(raw, 3) == [check(1)]


async def test_rows_that_come_after_the_sealing_join(raw: Raw, tmp_path: Path) -> None:
    raw.append([(1, check()), (1, check(2)), (2, check())])
    await raw.flush()
    told = Told()
    await raw.seal_due(DUE, told)
    raw.append([(1, check(1, Result.DOWN)), (1, check(2, message="later"))])
    await raw.flush()
    wanted = [check(), check(1, Result.DOWN), check(2, message="later")]
    assert await everything(raw) == wanted
    assert await raw.seal_due(DUE, told) == [START]
    assert await everything(raw) == wanted
    assert [sorted(figures) for _, figures in told.hours] == [[1, 2], [1]]
    assert told.hours[1][1][1].checks == 3
    assert told.hours[1][1][1].downs == 1
    # The next day the hours are one blob; what comes then joins as well.
    await raw.seal_due(DUE + DAY, told)
    month = tmp_path / "checks" / "2026-11.db"
    assert sql(month, "SELECT count(*) FROM hours") == 0
    assert sql(month, "SELECT sum(checks) FROM days") == 4
    raw.append([(1, check(3)), (1, check(0, message="last"))])
    await raw.flush()
    wanted = [check(message="last"), *wanted[1:], check(3)]
    assert await everything(raw) == wanted
    await raw.seal_due(DUE + DAY, told)
    assert told.hours[-1][1][1].checks == 4, "of the whole hour, the day's blob included"
    assert await everything(raw) == wanted
    assert sql(month, "SELECT count(*) FROM hours") == 0
    assert sql(month, "SELECT sum(checks) FROM days") == 5


async def test_a_day_is_merged_only_when_all_of_it_is_sealed(raw: Raw, tmp_path: Path) -> None:
    last = [check(slot) for slot in range(3 * 360, 4 * 360, 60)]
    raw.append([(1, one) for one in (*hour_of_checks(), *last)])
    await raw.flush()
    month = tmp_path / "checks" / "2026-11.db"
    midnight = START + 4 * HOUR
    await raw.seal_due(midnight + 4 * MINUTE, Told())
    assert sql(month, "SELECT count(*) FROM days") == 0
    await raw.seal_due(midnight + 5 * MINUTE, Told())
    assert sql(month, "SELECT count(*) FROM hours") == 0
    assert sql(month, "SELECT checks FROM days") == 366
    assert await everything(raw) == [*hour_of_checks(), *last]


async def test_closing_stops_a_long_sealing_where_it_is(tmp_path: Path) -> None:
    steps: list[str] = []

    def checkpoint(step: str) -> None:
        steps.append(step)
        if step == "committed":
            time.sleep(0.2)

    raw = Raw(tmp_path, checkpoint=checkpoint)
    raw.append([(key, check()) for key in range(1_000)])
    await raw.flush()
    sealing = asyncio.create_task(raw.seal_due(DUE, Told()))
    await until(lambda: "committed" in steps)
    await raw.close()
    assert await sealing == []
    assert steps.count("committed") < 20
    again = Raw(tmp_path)
    assert await again.seal_due(DUE, Told()) == [START]
    for key in (0, 999):
        assert await everything(again, key) == [check()]
    await again.close()


async def test_what_a_killed_process_left_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / "hot").mkdir()
    (tmp_path / "checks").mkdir()
    orphans = [
        "2026112319.db-wal",
        "2026112319.db-shm",
        "2026112320.db.new",
        "2026112320.db.new-wal",
        "2026112321.db.new-journal",
    ]
    for name in orphans:
        (tmp_path / "hot" / name).write_bytes(b"left over")
    (tmp_path / "checks" / "2026-10.db-shm").write_bytes(b"left over")
    (tmp_path / "hot" / "README").write_text("not ours")
    raw = Raw(tmp_path)
    assert names(tmp_path / "hot") == ["README"]
    assert names(tmp_path / "checks") == []
    raw.append([(1, check())])
    assert await raw.flush()
    assert await everything(raw) == [check()]
    await raw.close()


# -- retention


async def test_retention_unlinks_whole_months(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "2026-08.db").write_bytes(b"rubbish")
    raw = Raw(tmp_path, now=lambda: START)
    old = START - 60 * DAY
    ancient = START - 95 * DAY
    for due in (ancient, old, START):
        raw.append([(1, Check(due_at=due, started_at=due, result=Result.UP))])
    await raw.flush()
    await raw.seal_due(DUE, Told())
    assert raw.months() == ["2026-08", "2026-09", "2026-11"]
    assert len(raw.damaged) == 1
    await everything(raw)
    assert await raw.drop_before("2026-11") == ["2026-08", "2026-09"]
    assert raw.months() == ["2026-11"]
    assert await everything(raw) == [Check(due_at=START, started_at=START, result=Result.UP)]
    assert all(name.startswith("2026-11.db") for name in names(tmp_path / "checks"))
    assert raw.damaged == [], "what was put aside of those months went with them"
    assert await raw.drop_before("2026-11") == []
    await raw.close()


# -- damage

MONTH = "2026-11.db"


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def header_lost(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def other_database(path: Path) -> None:
    path.unlink()
    sql_make(path)


def sql_make(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE other(x); PRAGMA user_version = 1")
    connection.close()


DAMAGES = [halve, empty, garbage, header_lost, other_database]


async def filled(tmp_path: Path) -> None:
    """A store with October and November sealed."""
    raw = Raw(tmp_path)
    raw.append([(key, one) for one in hour_of_checks() for key in range(1, 120)])
    october = START - 30 * DAY
    raw.append([(1, Check(due_at=october, started_at=october, result=Result.UP))])
    await raw.flush()
    assert len(await raw.seal_due(DUE, Told())) == 2
    await raw.close()
    assert names(tmp_path / "checks") == ["2026-10.db", MONTH]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_month_damaged_while_we_were_off_is_put_aside(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await filled(tmp_path)
    damage(tmp_path / "checks" / MONTH)
    raw = Raw(tmp_path, now=lambda: START + HOUR)
    raw.append([(1, check(720))])
    # What the first look does not find, the first read does.
    assert [one.due_at for one in await everything(raw)] == [START - 30 * DAY, check(720).due_at]
    await until(lambda: len(raw.damaged) == 1)
    (damaged,) = raw.damaged
    assert damaged.name == MONTH
    assert damaged.kept_as == "2026-11.db.damaged-20261123T210000Z"
    assert damaged.reason
    assert str(damaged.kept_as) in names(tmp_path / "checks")
    assert raw.months() == ["2026-10"]
    # The product goes on, in a new file of that month.
    await raw.flush()
    assert await raw.seal_due(DUE + 2 * HOUR, Told()) == [START + 2 * HOUR]
    assert len(await everything(raw)) == 2
    assert raw.months() == ["2026-10", "2026-11"]
    await raw.close()
    # It is not forgotten with a restart.
    again = Raw(tmp_path)
    assert [(one.name, one.kept_as) for one in again.damaged] == [(MONTH, damaged.kept_as)]
    await again.close()


@pytest.mark.parametrize("damage", [empty, garbage])
async def test_a_month_damaged_under_our_hands_is_put_aside(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    await filled(tmp_path)
    raw = Raw(tmp_path, now=lambda: START + HOUR)
    damage(tmp_path / "checks" / MONTH)
    raw.append([(1, check(5, message="late"))])
    await raw.flush()
    told = Told()
    # Sealing meets it first.
    assert await raw.seal_due(DUE, told) == [START]
    assert [one.name for one in raw.damaged] == [MONTH]
    assert (await everything(raw))[1:] == [check(5, message="late")]
    assert [sorted(figures) for _, figures in told.hours] == [[1]]
    await raw.close()


async def test_a_damaged_page_is_found_by_looking_through(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "checks" / MONTH
    whole = path.read_bytes()
    assert len(whole) > 8 * 4096
    path.write_bytes(whole[: 5 * 4096] + b"\xff" * 4096 + whole[6 * 4096 :])
    raw = Raw(tmp_path)
    assert raw.damaged == [], "opening alone does not show it"
    assert await raw.verify(0.0) in ([], ["2026-10"])
    assert await raw.verify(10.0) == ["2026-10"]
    await until(lambda: len(raw.damaged) == 1)
    assert len(await everything(raw)) == 1
    await raw.close()


async def test_closing_does_not_wait_for_the_looking_through(tmp_path: Path) -> None:
    await filled(tmp_path)
    sql(
        tmp_path / "checks" / MONTH,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
        " INSERT INTO days SELECT 1000 + i, 1, 1, zeroblob(40) FROM n",
    )
    raw = Raw(tmp_path)
    looking = asyncio.create_task(raw.verify(30.0))
    await asyncio.sleep(0)
    await raw.close()
    assert await looking == []


async def test_a_damaged_blob_costs_only_itself(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "checks" / MONTH
    sql(path, "UPDATE hours SET packed = zeroblob(100) WHERE key = 1")
    raw = Raw(tmp_path)
    assert len(await everything(raw)) == 1
    assert len(await everything(raw, 2)) == 360
    await everything(raw)
    (damaged,) = raw.damaged
    assert damaged.kept_as is None
    assert damaged.reason == (
        "the hour 2026-11-23T20:00:00Z of monitor number 1: unknown version 0 of packed checks"
    )
    # It is not thrown away with the day's merging.
    await raw.seal_due(DUE + DAY, Told())
    assert sql(path, "SELECT group_concat(key) FROM hours") == "1"
    await raw.close()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_hot_file_is_put_aside(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    first = Raw(tmp_path)
    first.append([(key, one) for one in hour_of_checks() for key in range(1, 9)])
    first.append([(1, check(-1))])
    await first.close()
    for side in ("-wal", "-shm"):
        (tmp_path / "hot" / f"2026112320.db{side}").unlink(missing_ok=True)
    damage(tmp_path / "hot" / "2026112320.db")
    raw = Raw(tmp_path, now=lambda: START + HOUR)
    # Writing goes on within seconds, into a new file.
    raw.append([(1, check(3, message="new"))])
    await until(lambda: raw.waiting == 0)
    assert (await everything(raw))[:1] == [check(-1)]
    assert await raw.seal_due(DUE, Told()) == [START - HOUR, START]
    assert [one.name for one in raw.damaged] == ["2026112320.db"]
    assert await everything(raw) == [check(-1), check(3, message="new")]
    assert raw.trouble is None
    await raw.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "checks" / MONTH
    sql(path, "PRAGMA user_version = 99")
    raw = Raw(tmp_path)
    (damaged,) = raw.damaged
    assert damaged.kept_as is None
    assert damaged.reason == (
        "it has format 99, this NetPulse knows 1: start the newer version again"
    )
    assert len(await everything(raw)) == 1
    raw.append([(1, check(7))])
    await raw.flush()
    assert await raw.seal_due(DUE, Told()) == []
    assert len(await everything(raw)) == 2
    await raw.close()
    assert path.exists()
    assert sql(path, "PRAGMA user_version") == 99


async def test_a_hot_file_deleted_under_our_hands_is_made_anew(raw: Raw, tmp_path: Path) -> None:
    raw.append([(1, check())])
    assert await raw.flush()
    for entry in (tmp_path / "hot").iterdir():
        entry.unlink()
    late = [check(slot) for slot in range(1, 4)]
    for one in late:
        raw.append([(1, one)])
        await raw.flush()
    await until(lambda: raw.waiting == 0)
    assert raw.trouble is None
    await raw.seal_due(DUE, Told())
    assert await everything(raw) == late


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    mount = shutil.which("mount")
    place = tmp_path / "small"
    place.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", place]
    done = mount and subprocess.run(command, capture_output=True, check=False)
    if not done or done.returncode:
        pytest.skip("a small file system can be mounted by root only: run as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


async def test_a_full_disk_costs_the_oldest_checks_and_heals_by_itself(small_disk: Path) -> None:
    raw = Raw(small_disk, keep_rows=400)
    raw.append([(1, one) for one in hour_of_checks(300)])
    assert await raw.flush()
    ballast = small_disk / "ballast"
    await asyncio.to_thread(fill, ballast)
    late = [check(slot, message="x" * 4000 + str(slot)) for slot in range(300, 360)]
    raw.append([(1, one) for one in late])
    assert not await raw.flush()
    assert raw.trouble == "the disk is full: free some space"
    assert raw.waiting == 60
    assert raw.dropped == 0
    assert len(await everything(raw)) == 360, "reading goes on, from disk and memory"
    assert len(await raw.last([1])) == 1
    # An hour cannot be sealed now; it stays.
    assert await raw.seal_due(DUE, Told()) == []
    assert raw.trouble is not None
    raw.append([(2, check(slot)) for slot in range(380)])
    assert raw.dropped == 40
    assert raw.waiting == 400
    ballast.unlink()
    # Nobody restarts anything.
    await until(lambda: raw.waiting == 0)
    assert await everything(raw) == [*hour_of_checks(300), *late[40:]]
    assert len(await everything(raw, 2)) == 380
    assert await raw.seal_due(DUE, Told()) == [START]
    assert raw.trouble is None
    assert await everything(raw) == [*hour_of_checks(300), *late[40:]]
    await raw.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


async def test_a_hot_file_that_takes_no_more_is_written_later(raw: Raw) -> None:
    raw.append([(1, check())])
    assert await raw.flush()
    connection = raw._files.opened(START)._connection
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages)
    late = [check(slot, message=f"{slot} " + "x" * 3_000) for slot in range(1, 9)]
    raw.append([(1, one) for one in late])
    assert not await raw.flush()
    assert raw.trouble == "the disk is full: free some space"
    assert await everything(raw) == [check(), *late]
    connection.pragma("max_page_count", 1_000_000)
    await until(lambda: raw.waiting == 0)
    assert raw.trouble is None
    assert raw.dropped == 0
    assert await everything(raw) == [check(), *late]
    await raw.seal_due(DUE, Told())
    assert await everything(raw) == [check(), *late]
