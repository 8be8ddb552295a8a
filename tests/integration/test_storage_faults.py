"""The n-th write, truncation or fsync fails, for every n; and the power goes at every such moment.

What was acknowledged is there, no transaction is half done, and the process goes on by itself.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from netpulse.model.alert import Attempt
from netpulse.model.check import Result
from netpulse.model.edge import Edge
from netpulse.model.monitor import Monitor
from netpulse.model.watch import Status, Watch
from netpulse.rules import incidents as rules
from netpulse.storage import db as db_module
from netpulse.storage import edges, meta, monitors, notices
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database, StorageTrouble, TroubleKind
from tests.faulty_disk import FaultyDisk, mounted
from tests.store import MINUTE, NOW, add_channel, add_monitor, add_org, add_rule, check, opened

STEPS = 5


def furnish(conn: Conn) -> None:
    org = add_org(conn)
    add_monitor(conn, org.id)
    add_rule(conn, org.id, add_channel(conn, org.id).id, cooldown_seconds=0)


def edge(conn: Conn, number: int, result: Result) -> None:
    """Let the monitor's state change, with its incident and its notice."""
    monitor, watch = the_monitor(conn)
    at = NOW + number * MINUTE
    now, flip = rules.step(monitor.spec, watch, check(result, at), now=at + 50)
    for _ in range(monitor.spec.confirmations):
        if flip is not None:
            break
        now, flip = rules.step(monitor.spec, now, check(result, at), now=at + 50)
    assert flip is not None
    edges.record(conn, Edge(monitor=monitor, watch=now, flip=flip))


def the_monitor(conn: Conn) -> tuple[Monitor, Watch]:
    ((monitor, watch),) = monitors.load_all(conn)
    return monitor, watch


def send(conn: Conn, number: int) -> None:
    """Claim what waits and settle it."""
    at = NOW + number * MINUTE
    for claimed in notices.claim(conn, "test", at, limit=9, lease_ms=1_000):
        notices.sent(conn, claimed.id, Attempt(at=at, ok=True, status_code=200), at)


def pair(conn: Conn, number: int) -> None:
    meta.put(conn, f"left {number}", number)
    meta.put(conn, f"right {number}", bytes([number]) * 4_000)


def step(conn: Conn, number: int) -> None:
    """Take one of the steps of a short life; each is one transaction."""
    pair(conn, number)
    if number % 4 == 0:
        edge(conn, number, Result.DOWN)
    elif number % 4 == 2:
        edge(conn, number, Result.UP)
    else:
        send(conn, number)


@pytest.fixture(autouse=True)
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the log moved into the file every few pages, so that this is met too."""
    monkeypatch.setattr(db_module, "CHECKPOINT_PAGES", 40)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to be copied."""
    place = tmp_path_factory.mktemp("furnished") / "data"

    async def make() -> None:
        async with opened(place) as db:
            await db.write(furnish)

    asyncio.run(make())
    return place


async def live(db: Database, acknowledged: Callable[[int], Awaitable[None]]) -> None:
    """Take all steps, each again until it is taken."""
    for number in range(STEPS):
        for _ in range(20):
            with suppress(StorageTrouble):
                await db.write(step, number)
                await acknowledged(number)
                break
        else:
            pytest.fail(f"step {number} was never taken: {db.trouble}")


def story(path: Path) -> set[int]:
    """Look at a file as a stranger does; return the steps that are in it, each whole."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [
            {int(key.split()[1]) for (key,) in connection.execute(query)}
            for query in (
                "SELECT key FROM meta WHERE key LIKE 'left %'",
                "SELECT key FROM meta WHERE key LIKE 'right %'",
            )
        ]
        assert found[0] == found[1], "half a transaction"
        steps = found[0]
        changes = sum(number % 2 == 0 for number in steps)
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM transitions), (SELECT count(*) FROM incidents),"
            " (SELECT count(*) FROM alert_events), (SELECT count(*) FROM incidents WHERE"
            " resolved_at IS NULL), (SELECT status FROM watches)"
        ).fetchall()
        is_down = bool(steps) and max(number for number in steps if number % 2 == 0) % 4 == 0
        assert counts == [
            (
                changes,
                (changes + 1) // 2,
                changes,
                int(is_down),
                "down" if is_down else "up" if steps else "pending",
            )
        ]
    finally:
        connection.close()
    return steps


async def count_demands(furnished: Path, place: Path) -> list[str]:
    shutil.copytree(furnished, place)
    with mounted() as disk:
        async with opened(place) as db:
            disk.kinds.clear()
            await live(db, nothing)
            found = list(disk.kinds)
    return found


async def nothing(_: int) -> None:
    """Take no notice."""


async def life_with_a_fault(place: Path, number: int, times: int) -> int:
    """Live with the `number`-th demand failing, `times` in a row; return how many failed."""
    acknowledged: set[int] = set()

    async def note(one: int) -> None:
        acknowledged.add(one)

    with mounted() as disk:
        async with opened(place) as db:
            disk.fail_once(number, times)
            await live(db, note)
            assert db.trouble is None, "nobody restarts anything"
            failed = min(disk.count + 1, disk.fail_until) - disk.fail_from
            disk.fail_from = disk.fail_until = 0
            assert await db.read(the_state) is Status.DOWN
    assert story(place / "netpulse.db") == acknowledged == set(range(STEPS))
    return failed


def the_state(conn: Conn) -> Status:
    return the_monitor(conn)[1].status


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that failed is tried again with the next write."""
    monkeypatch.setattr(db_module, "REOPEN_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
async def test_whatever_demand_fails_nothing_acknowledged_is_lost(
    furnished: Path, tmp_path: Path
) -> None:
    kinds = await count_demands(furnished, tmp_path / "whole")
    assert {"write", "sync"} <= set(kinds)
    assert len(kinds) > 60
    failed = 0
    for number in range(1, len(kinds) + 1):
        place = tmp_path / f"{number}"
        shutil.copytree(furnished, place)
        failed += await life_with_a_fault(place, number, 1 if number % 2 else 4)
        shutil.rmtree(place)
    assert failed >= len(kinds)


async def test_the_power_goes_at_any_moment(furnished: Path, tmp_path: Path) -> None:
    """After each demand of the disk: what was acknowledged until then is there."""
    chance = random.Random(20261126)
    place, after = tmp_path / "data", tmp_path / "after"
    shutil.copytree(furnished, place)
    after.mkdir()
    acknowledged: set[int] = set()
    looked = 0
    with mounted() as disk:
        disk.is_power_watched = True

        def cut(kind: str) -> None:
            nonlocal looked
            FaultyDisk.note(disk, kind)
            certain = set(acknowledged)
            for old in after.iterdir():
                old.unlink()
            disk.cut(after, chance)
            seen.append((kind, certain, {one.name: one.read_bytes() for one in after.iterdir()}))
            looked += 1

        async def note(one: int) -> None:
            acknowledged.add(one)

        seen: list[tuple[str, set[int], dict[str, bytes]]] = []
        async with opened(place) as db:
            disk.note = cut  # type: ignore[method-assign]
            await live(db, note)
            del disk.note
    assert looked > 60
    for kind, certain, files in seen:
        for old in after.iterdir():
            old.unlink()
        for name, held in files.items():
            (after / name).write_bytes(held)
        steps = story(after / "netpulse.db")
        assert certain <= steps <= certain | {len(certain)}, kind


async def test_a_disk_that_recovers_is_found_by_itself(furnished: Path, tmp_path: Path) -> None:
    """It is asked again after 2 seconds, then more rarely, and the log says so once each."""
    place = tmp_path / "data"
    shutil.copytree(furnished, place)
    with mounted() as disk:
        async with opened(place) as db:
            disk.fail_once(1, 1_000_000)
            with pytest.raises(StorageTrouble) as trouble:
                await db.write(pair, 1)
            assert trouble.value.kind is TroubleKind.IO
            assert str(trouble.value).startswith(
                "the disk reports errors: it is tried again every minute"
            )
            before = disk.count
            with pytest.raises(StorageTrouble):
                await db.write(pair, 1)
            assert disk.count == before, "it is left alone for a while"
            assert await db.read(the_state) is Status.PENDING, "reading goes on"
            assert await db.rehearse(rehearsed) == 1, "and so does looking what would be written"
            assert await db.read(stored) == 0
            disk.fail_from = disk.fail_until = 0
            db._reopen_at = 0.0
            await db.write(pair, 1)
            assert db.trouble is None
            assert await db.read(stored) == 1


def rehearsed(conn: Conn) -> int:
    pair(conn, 7)
    return stored(conn)


def stored(conn: Conn) -> int:
    rows = conn.all("SELECT key FROM meta WHERE key LIKE 'left %'")
    return len(rows)


@pytest.mark.usefixtures("impatient")
async def test_damage_that_is_found_on_the_way_back_stops_writing(
    furnished: Path, tmp_path: Path
) -> None:
    place = tmp_path / "data"
    shutil.copytree(furnished, place)
    with mounted() as disk:
        async with opened(place) as db:
            disk.fail_once(1)
            with pytest.raises(StorageTrouble):
                await db.write(pair, 1)
            path = place / "netpulse.db"
            whole = path.read_bytes()
            path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
            with pytest.raises(StorageTrouble) as trouble:
                await db.write(pair, 1)
            assert trouble.value.kind is TroubleKind.CORRUPT
            path.write_bytes(whole)
            await db.write(pair, 1)
            assert db.trouble is None


async def test_the_writer_outlives_whatever_keeps_another_connection_from_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "REOPEN_SECONDS", 0.0)
    with mounted() as disk:
        async with opened(tmp_path / "data") as db:
            reopen = db._reopen

            def fails() -> apsw.Connection:
                db._reopen = reopen
                raise MemoryError

            db._reopen = fails
            disk.fail_once(1)
            for _ in range(2):
                with pytest.raises(StorageTrouble) as trouble:
                    async with asyncio.timeout(5):
                        await db.write(meta.put, "word", 1)
                assert trouble.value.kind is TroubleKind.IO
            await db.write(meta.put, "word", 2)
            assert db.trouble is None
