"""The writer with its group commit, the readers, and what a failing machine does to them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpulse.storage import meta
from netpulse.storage.db import MAX_BATCH, Conn, Database, StorageTrouble, TroubleKind
from netpulse.storage.errors import UniqueConflict
from netpulse.storage.jobs import AT_ONCE
from netpulse.storage.reserve import SIZE, Reserve
from tests.store import add_org, opened


def put(conn: Conn, key: str, value: int = 1) -> str:
    meta.put(conn, key, value)
    return key


def keys(conn: Conn) -> set[str]:
    own = ("vault_check", "kept_keys", "audit_roll")
    return {row[0] for row in conn.all("SELECT key FROM meta WHERE key NOT IN (?, ?, ?)", own)}


class Blocked:
    """Keeps the writer busy until it is let go, so that what comes meanwhile is one group."""

    def __init__(self, db: Database) -> None:
        self._go, self._began = threading.Event(), threading.Event()
        self._task = asyncio.create_task(db.write(self._hold))

    def _hold(self, conn: Conn) -> None:
        self._began.set()
        assert self._go.wait(10)

    async def begun(self) -> None:
        await asyncio.to_thread(self._began.wait, 10)

    async def release(self) -> None:
        self._go.set()
        await self._task


async def test_a_failing_function_does_not_take_its_neighbours_down(tmp_path: Path) -> None:
    def broken(conn: Conn) -> None:
        put(conn, "half")
        raise LookupError("no")

    async with opened(tmp_path) as db:
        blocked = Blocked(db)
        await blocked.begun()
        jobs = [
            asyncio.create_task(job)
            for job in (
                db.write(put, "a"),
                db.write(broken),
                db.write(put, "b"),
                db.write(lambda conn: conn.execute("INSERT INTO nowhere VALUES (1)")),
                db.write(put, "c"),
            )
        ]
        await asyncio.sleep(0.01)
        await blocked.release()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert results[0::2] == ["a", "b", "c"]
        assert isinstance(results[1], LookupError)
        assert "no such table" in str(results[3])
        assert await db.read(keys) == {"a", "b", "c"}


async def test_what_waits_shares_one_commit(tmp_path: Path) -> None:
    def commits(conn: Conn) -> int:
        row = conn.one("PRAGMA data_version")
        assert row is not None
        return int(row[0])

    async with opened(tmp_path) as db:
        blocked = Blocked(db)
        await blocked.begun()
        before = await db.read(commits)
        jobs = [asyncio.create_task(db.write(put, f"k{n}")) for n in range(500)]
        await asyncio.sleep(0.05)
        assert db.backlog == 500
        assert not any(job.done() for job in jobs)
        await blocked.release()
        await asyncio.gather(*jobs)
        seen = {await db.read(commits) for _ in range(4)}
        assert len(await db.read(keys)) == 500
        # data_version counts what other connections have committed: once for the group, and
        # perhaps once for the blocker before it.
        assert max(seen) - before <= 2


async def test_callers_that_shared_a_commit_go_on_a_few_at_a_time(tmp_path: Path) -> None:
    turn, went_on = 0, Counter[int]()

    def turned() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(turned)

    async def one(db: Database, number: int) -> None:
        await db.write(put, f"key {number}")
        went_on[turn] += 1

    async with opened(tmp_path / "data") as db:
        # While the writer is at this one, the others gather behind it.
        let_go = threading.Event()
        holding = asyncio.create_task(db.write(lambda conn: let_go.wait(10)))
        others = [asyncio.create_task(one(db, number)) for number in range(180)]
        await asyncio.sleep(0)
        turned()
        let_go.set()
        await asyncio.gather(holding, *others)
    assert sum(went_on.values()) == 180
    assert max(went_on.values()) <= AT_ONCE


async def test_more_than_a_batch_is_split_and_complete(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        many = 2 * MAX_BATCH + 7
        await asyncio.gather(*(db.write(put, f"k{n}") for n in range(many)))
        assert len(await db.read(keys)) == many


async def test_a_write_that_returned_is_read_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        for number in range(50):
            await db.write(put, "n", number)
            assert await db.read(meta.get, "n") == number


async def test_a_read_sees_one_state_and_cannot_write(tmp_path: Path) -> None:
    middle, go = threading.Event(), threading.Event()

    def twice(conn: Conn) -> tuple[object, object]:
        first = meta.get(conn, "n")
        middle.set()
        assert go.wait(10)
        return first, meta.get(conn, "n")

    async with opened(tmp_path) as db:
        await db.write(put, "n", 1)
        reading = asyncio.create_task(db.read(twice))
        await asyncio.to_thread(middle.wait, 10)
        await db.write(put, "n", 2)
        go.set()
        assert await reading == (1, 1)
        assert await db.read(meta.get, "n") == 2
        with pytest.raises(StorageTrouble) as trouble:
            await db.read(put, "n", 3)
        assert trouble.value.kind is TroubleKind.READ_ONLY


async def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.write(put, "n", 1)
        blocked = Blocked(db)
        await blocked.begun()
        assert await asyncio.wait_for(db.read(meta.get, "n"), 5) == 1
        await blocked.release()


async def test_keyword_arguments_and_cancelled_callers(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        assert await db.write(put, "a", value=7) == "a"
        assert await db.read(meta.get, key="a") == 7
        blocked = Blocked(db)
        await blocked.begun()
        impatient = asyncio.create_task(db.write(put, "b"))
        other = asyncio.create_task(db.write(put, "c"))
        await asyncio.sleep(0.01)
        impatient.cancel()
        await asyncio.sleep(0.01)
        await blocked.release()
        await other
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert await db.read(keys) == {"a", "c"}


async def test_a_taken_value_names_its_column(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        with pytest.raises(UniqueConflict) as conflict:
            await db.write(
                lambda conn: conn.execute(
                    "INSERT INTO organizations (id, name, slug, created_at, updated_at)"
                    " VALUES ('x', 'x', ?, 1, 1)",
                    (org.slug,),
                )
            )
        assert conflict.value.columns == ("organizations.slug",)


async def test_stop_iteration_does_not_hang_the_caller(tmp_path: Path) -> None:
    def stops(conn: Conn) -> None:
        raise StopIteration

    async with opened(tmp_path) as db:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(db.write(stops), 5)
        assert await db.write(put, "a") == "a"


async def test_a_function_that_ends_the_transaction_cannot_stop_the_writer(tmp_path: Path) -> None:
    def rude(conn: Conn) -> None:
        conn.execute("ROLLBACK")

    async with opened(tmp_path) as db:
        with pytest.raises(StorageTrouble) as trouble:
            await db.write(rude)
        assert trouble.value.kind is TroubleKind.INTERNAL
        assert await db.write(put, "a") == "a"
        assert db.trouble is None


async def test_close_runs_what_waits_and_then_refuses(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        jobs = [asyncio.create_task(db.write(put, f"k{n}")) for n in range(100)]
        await asyncio.sleep(0)
        await db.close()
        await asyncio.gather(*jobs)
        with pytest.raises(StorageTrouble, match="the database is closed"):
            await db.write(put, "late")
        with pytest.raises(StorageTrouble):
            await db.read(keys)
    assert [path.name for path in tmp_path.iterdir()] == ["netpulse.db"]
    async with opened(tmp_path) as db:
        assert len(await db.read(keys)) == 100


async def test_a_full_file_fails_the_group_and_recovers(tmp_path: Path) -> None:
    """The whole group fails, reads go on, and the next one is fine once there is room."""

    def limit(conn: Conn, pages: int) -> int:
        count = conn.one("PRAGMA page_count")
        assert count is not None
        conn.execute(f"PRAGMA max_page_count = {count[0] + pages}")
        return int(count[0])

    def big(conn: Conn, key: str) -> None:
        meta.put(conn, key, b"x" * 100_000)

    async with opened(tmp_path) as db:
        await db.write(put, "before")
        await db.write(limit, 4)
        blocked = Blocked(db)
        await blocked.begun()
        jobs = [
            asyncio.create_task(job)
            for job in (db.write(put, "a"), db.write(big, "big"), db.write(put, "b"))
        ]
        await asyncio.sleep(0.01)
        await blocked.release()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            assert isinstance(result, StorageTrouble)
            assert result.kind is TroubleKind.FULL
            assert str(result).startswith("the disk is full: free some space")
        assert db.trouble is not None
        assert db.trouble.kind is TroubleKind.FULL
        assert await db.read(keys) == {"before"}
        await db.write(limit, 1000)
        await db.write(big, "big")
        assert db.trouble is None
        assert await db.read(keys) == {"before", "big"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root's rights: run as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_costs_the_reserve_first(small_disk: Path) -> None:
    data = small_disk / "data"
    ballast = small_disk / "ballast"
    async with opened(data) as db:
        db._reserve._next_try = 0.0  # not in five seconds, now
        await db.write(put, "before")
        assert (data / "reserve").stat().st_size == SIZE
        free = os.statvfs(small_disk)
        with ballast.open("wb") as file:
            for _ in range(free.f_bavail):
                file.write(b"x" * free.f_frsize)
        stored, trouble = 0, None
        while trouble is None:
            try:
                await db.write(meta.put, f"{stored}", b"x" * 100_000)
                stored += 1
            except StorageTrouble as full:
                trouble = full
        assert trouble.kind is TroubleKind.FULL
        assert not (data / "reserve").exists()
        assert stored > 20, "the reserve let some through"
        assert len(await db.read(keys)) == stored + 1, "what was acknowledged is there"
        ballast.unlink()
        await db.write(put, "after")
        assert db.trouble is None
        assert await db.read(meta.quick_check) == []


def test_the_reserve_leaves_room_for_others(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", now=100.0)
    assert not reserve.refill(101.0)
    assert reserve.refill(106.0)
    assert (tmp_path / "reserve").stat().st_size == SIZE
    assert reserve.release()
    assert not reserve.release()
    assert not reserve.refill(110.0)
    assert reserve.refill(170.0)
    reserve.give_back()
    assert not list(tmp_path.iterdir())


async def test_the_version_tells_of_writes_of_this_process_and_of_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        first = await db.version()
        assert await db.version() == first
        await db.read(keys)
        assert await db.version() == first, "reading changes nothing"
        await db.write(put, "ours")
        second = await db.version()
        assert second != first
        assert await db.version() == second
        other = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import apsw, sys; apsw.Connection(sys.argv[1]).execute("
            "\"INSERT INTO meta VALUES ('theirs', x'00')\")",
            str(tmp_path / "netpulse.db"),
        )
        assert await other.wait() == 0
        assert await db.version() != second
        assert "theirs" in await db.read(keys)
