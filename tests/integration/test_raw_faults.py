"""Every single demand of the disk fails, or is the last one before the power goes: raw results.

Checks come, wait in the spool, go into the file of their hour and of their month; hours are sealed,
a day is merged, a month begins, and the rollups lie in the main file. Whatever fails: each check
that was acknowledged is there once, nothing is half sealed, no rollup counts anything twice, and
the process goes on.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import apsw
import pytest

from netpulse.engine.housekeeping import NOTED_SECONDS, SEEN_SECONDS, Housekeeping
from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, UnknownReason
from netpulse.storage import alive, monitors, rollups, runs
from netpulse.storage import db as db_module
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database, StorageTrouble
from netpulse.storage.raw import Raw, hot_files, month, seal
from netpulse.storage.raw.bulk import HOLD_SECONDS
from netpulse.storage.raw.files import open_file
from tests.clock import FakeClock
from tests.store import add_monitor, add_org, opened
from tests.whole_disk import WholeDisk, mounted

# 2026-11-30T22:00:00Z: two hours later the day, and the month, is over.
START: Millis = 1_796_076_000_000
MIDNIGHT = START + 2 * HOUR
ROUND = 30 * MINUTE
ROUNDS = 6
CHECKS = 4
"""Of each monitor in a round."""
MONITORS = 2
ROUND_SECONDS = 9.0
"""So long a round lasts by the clock that decides when the spool is emptied."""

Key = tuple[int, int]
"""A monitor's key, and the number of a check of it."""


def the_check(key: int, number: int) -> Check:
    """A monitor's check of that number: always the same."""
    due = START + number * (ROUND // CHECKS) + key
    if (key + number) % 5 == 0:
        return Check(
            due_at=due,
            started_at=due + 2,
            result=Result.DOWN,
            failure=Failure.REFUSED,
            message=f"192.0.2.{key} refuses connections ({number})",
        )
    return Check(
        due_at=due,
        started_at=due + 2,
        result=Result.UP,
        response_time_ms=number * 7 % 50,
        timings=Timings(connect_ms=key / 10, total_ms=float(number * 7 % 50)),
    )


class House:
    """The main file, the raw results, and who keeps them in order."""

    def __init__(self, db: Database, raw: Raw, clock: FakeClock) -> None:
        self.db = db
        self.raw = raw
        self.clock = clock
        self.keeping = Housekeeping(db=db, raw=raw, clock=clock, raw_days=0)

    async def keep_house(self) -> None:
        """Do what is done each minute; what the main file does not take is left for the next."""
        with suppress(StorageTrouble):
            await self.keeping.seal()


@asynccontextmanager
async def house(data: Path, at: Millis = START) -> AsyncIterator[House]:
    clock = FakeClock(at)
    async with opened(data) as db:
        raw = Raw(data, now=clock.now, monotonic=clock.monotonic)
        try:
            yield House(db, raw, clock)
        finally:
            await raw.close()


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to be copied."""
    place = tmp_path_factory.mktemp("furnished") / "data"

    def furnish(conn: Conn) -> None:
        org = add_org(conn, at=START - DAY)
        for _ in range(MONITORS):
            add_monitor(conn, org.id, at=START - DAY)

    async def make() -> None:
        async with house(place) as at:
            await at.db.write(furnish)

    asyncio.run(make())
    return place


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main file that failed is tried again with the next write."""
    monkeypatch.setattr(db_module, "REOPEN_SECONDS", 0.0)


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each log moved into its file every few pages, so that this is met too."""

    def opened_so(*args: object, **options: object) -> apsw.Connection:
        connection = open_file(*args, **options)  # type: ignore[arg-type]
        connection.wal_autocheckpoint(6)
        return connection

    monkeypatch.setattr(hot_files, "open_file", opened_so)
    monkeypatch.setattr(seal, "open_file", opened_so)
    monkeypatch.setattr(db_module, "CHECKPOINT_PAGES", 40)


def note(kept: list[tuple[float, set[Key]]], clock: FakeClock, keys: set[Key]) -> None:
    """Remember what was acknowledged, and when."""
    kept.append((clock.monotonic(), keys))


def nothing() -> None:
    """Take no notice."""


async def live(
    at: House,
    acknowledged: Callable[[set[Key]], None],
    *,
    rounds: int = ROUNDS,
    sealing: bool = True,
    reading: bool = False,
) -> set[Key]:
    """Let checks come, be kept and be sealed; return all that came.

    Where somebody is `reading` the months all the time, no log can be moved into its file.
    """
    readers: list[apsw.Connection] = []
    keys = [monitor.key for monitor, _ in await at.db.read(monitors.load_all)]
    came: set[Key] = set()
    for number in range(rounds):
        wanted = {(key, number * CHECKS + one) for key in keys for one in range(CHECKS)}
        came |= wanted
        at.raw.append([(key, the_check(key, one)) for key, one in sorted(wanted)])
        # Some wait in the spool, some are in the hot files before their half minute is over.
        if await (at.raw.flush() if number % 3 == 1 else at.raw.keep()):
            acknowledged(set(came))
        at.clock.advance(ROUND_SECONDS)
        if sealing:
            at.clock.set_wall(START + (number + 1) * ROUND - at.clock.now())
            await at.keep_house()
        if reading:
            readers += [read_from(path) for path in (at.raw.data / "checks").glob("*.db")]
    for reader in readers:
        reader.close()
    return came


def read_from(path: Path) -> apsw.Connection:
    """Begin to read from a month."""
    reader = open_file(path, month.VERSION, query_only=True)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM hours").fetchall()
    return reader


async def look(data: Path, certain: set[Key], possible: set[Key]) -> None:
    """Start again on a sound disk: what must be there is, once; and when all is sealed, still."""
    with mounted(data):  # which flushes nothing, and takes no time for it
        await look_again(data, certain, possible)


async def look_again(data: Path, certain: set[Key], possible: set[Key]) -> None:
    async with house(data, START + 3 * DAY) as at:
        await compare(at, certain, possible)
        assert await at.raw.flush()
        await at.keeping.seal()
        await compare(at, certain, possible)
        assert at.raw.trouble is None
        assert at.raw.damaged == []
        assert list((data / "hot").iterdir()) == []
        for path in (data / "checks").glob("*.db"):
            assert await at.raw.verify(10) == at.raw.months()[::-1], path
        for monitor, _ in await at.db.read(monitors.load_all):
            await compare_rollups(at, monitor)


async def compare(at: House, certain: set[Key], possible: set[Key]) -> None:
    found: Counter[Key] = Counter()
    for monitor, _ in await at.db.read(monitors.load_all):
        key = monitor.key
        for check in await at.raw.range(key, 0, START + 30 * DAY):
            number = (check.due_at - START - key) // (ROUND // CHECKS)
            assert check == the_check(key, number), "never written so"
            found[key, number] += 1
    assert set(found.values()) <= {1}
    assert certain <= set(found) <= possible


async def compare_rollups(at: House, monitor: Monitor) -> None:
    """Hours and days are what is stored comes to: nothing is missing there, nothing twice."""
    stored = Counter(
        check.due_at // HOUR * HOUR for check in await at.raw.range(monitor.key, 0, START + DAY)
    )
    hours = await at.db.read(rollups.hours, monitor.id, START - DAY, START + DAY)
    assert {hour.from_ms: hour.checks for hour in hours} == stored
    days = await at.db.read(rollups.days, monitor.id, START - DAY, MIDNIGHT)
    # A day is summed up when its last hour is sealed, or a later one.
    is_over = (await at.db.read(rollups.cursor, "hour") or 0) >= MIDNIGHT
    assert is_over or max(stored, default=0) + HOUR < MIDNIGHT
    of_day = sum(count for hour, count in stored.items() if hour < MIDNIGHT)
    assert sum(day.checks for day in days) == (of_day if is_over else 0)


async def life(place: Path, fault: Callable[[WholeDisk], None]) -> list[str]:
    """Live on a disk at fault and look at what is left; return what was asked of the disk.

    At the end of it the disk may be at fault still: what was not acknowledged may be lost then.
    """
    acknowledged: set[Key] = set()
    with mounted(place) as disk:
        async with house(place) as at:
            disk.kinds.clear()
            fault(disk)
            came = await live(at, acknowledged.update)
            if disk.fail_until <= disk.count:
                assert await at.raw.flush(), at.raw.trouble
                await at.keep_house()
                assert at.raw.trouble is None, "nobody restarts anything"
                assert at.raw.dropped == at.raw.waiting == 0
                acknowledged = came
                await compare(at, came, came)
            kinds = list(disk.kinds)
    await look(place, acknowledged, came)
    return kinds


@pytest.mark.slow
@pytest.mark.usefixtures("short_log")
async def test_whatever_demand_fails_every_acknowledged_check_is_there_once(
    furnished: Path, tmp_path: Path
) -> None:
    """Each demand of a life fails: it alone, with those after it, or for good."""
    place = tmp_path / "whole"
    shutil.copytree(furnished, place)
    kinds = await life(place, lambda _: None)
    print(Counter(kinds))
    assert set(kinds) >= {"write", "sync", "plain write", "rename", "unlink", "directory sync"}
    for number in range(1, len(kinds) + 1):
        times = (1, 4, 1_000_000)[number % 3]
        place = tmp_path / f"{number}"
        shutil.copytree(furnished, place)
        await life(place, lambda disk, n=number, t=times: disk.fail_once(n, t))  # type: ignore[misc]
        shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sealing", "reading"),
    [(True, False), (True, True), (False, False)],
    ids=["sealed", "sealed while somebody reads", "not sealed"],
)
async def test_a_power_cut_takes_half_a_minute_of_checks_at_most(
    furnished: Path, tmp_path: Path, sealing: bool, reading: bool
) -> None:
    """After each demand of the disk: what was acknowledged half a minute before is there, what is
    sealed is whole, and what is left can be worked with."""
    chance = random.Random(20261127)
    place, after = tmp_path / "data", tmp_path / "after"
    shutil.copytree(furnished, place)
    kept: list[tuple[float, set[Key]]] = []
    moments: list[tuple[Path, set[Key]]] = []
    turn = threading.Lock()
    with mounted(place) as disk:
        disk.is_power_watched = True
        async with house(place) as at:

            def certain() -> set[Key]:
                # The round in which it is half a minute may have to end.
                before = at.clock.monotonic() - HOLD_SECONDS - ROUND_SECONDS
                return set().union(*(keys for then, keys in kept if then < before))

            def cut() -> None:
                with turn:
                    target = after / f"{len(moments)}"
                    disk.cut(target, chance)
                    moments.append((target, certain()))

            disk.seen = cut
            acknowledged = partial(note, kept, at.clock)
            came = await live(at, acknowledged, rounds=8, sealing=sealing, reading=reading)
            disk.seen = nothing
    assert len(moments) > (100 if sealing else 40)
    assert len(moments[-1][1]) >= len(came) // 3
    for target, keys in moments:
        await look(target, keys, came)


async def test_a_power_cut_makes_about_a_minute_unknown(furnished: Path, tmp_path: Path) -> None:
    chance = random.Random(20261128)
    place, after = tmp_path / "data", tmp_path / "after"
    shutil.copytree(furnished, place)
    moments: list[tuple[Path, Millis]] = []
    with mounted(place) as disk:
        disk.is_power_watched = True
        async with house(place) as at:
            run_id, _ = await at.db.write(runs.begin, at.clock.now(), "test", None)
            at.keeping.start(run_id)
            await at.keeping.stop()

            def cut() -> None:
                target = after / f"{len(moments)}"
                disk.cut(target, chance)
                moments.append((target, at.clock.now()))

            disk.seen = cut
            for _ in range(30):
                at.clock.advance(SEEN_SECONDS)
                await at.keeping.seen()
            disk.seen = nothing
    assert len(moments) > 30
    lost: list[float] = []
    for target, now in moments:
        with mounted(target):
            async with opened(target) as db:
                _, seen_at = await db.write(runs.begin, now + HOUR, "test", alive.last(target))
                assert seen_at is not None
                (gap,) = await db.read(runs.gaps, 0, now + HOUR)
                assert gap == Gap(seen_at, now + HOUR, UnknownReason.STOPPED)
                lost.append((now - seen_at) / SECOND)
    assert NOTED_SECONDS / 2 < max(lost) <= NOTED_SECONDS + SEEN_SECONDS
