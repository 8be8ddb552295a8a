"""What checks cost on disk: stored and written, before and after sealing, over a day and a year.

    python bench/disk.py --out bench/results
    python bench/disk.py --days 30 --out bench/results

Simulated checks go through the product's own store: kept each second, sealing each hour with its
rollups in the main file, the sign of life every five seconds, the merge of the day. `written` is
what the operating system counts for this process (write_bytes), logs included; on a file system in
memory it is nothing. What all that costs checks that run meanwhile is measured by `peak.py`.
A year is computed from the days that were simulated, and says so. All of it ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measure import keep, percentile  # noqa: E402  # the checkout, not an installed copy
from bench.months import Target  # noqa: E402
from netpulse.app import SWITCH_SECONDS  # noqa: E402
from netpulse.crypto.vault import Vault  # noqa: E402
from netpulse.engine.clock import Clock  # noqa: E402
from netpulse.engine.housekeeping import FOLDED_AT_ONCE, SEEN_SECONDS, Housekeeping  # noqa: E402
from netpulse.model.check import Check  # noqa: E402
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis  # noqa: E402
from netpulse.storage import alive, directory, rollups, runs  # noqa: E402
from netpulse.storage.db import Database  # noqa: E402
from netpulse.storage.opening import open_database  # noqa: E402
from netpulse.storage.raw import Raw, month  # noqa: E402
from netpulse.storage.raw.files import open_file  # noqa: E402
from netpulse.storage.raw.hot import VERSION  # noqa: E402
from netpulse.storage.rollups import Rollup  # noqa: E402

BEGIN = 1_767_225_600_000
"""2026-01-01T00:00:00Z: a day begins, and a month."""
WRITE_BACK_SECONDS = 30
"""What Linux lets pass before it writes (vm.dirty_expire_centisecs)."""
READS = 200
YEAR_DAYS = 365
RATES = ((1_000, 60, 60), (1_000, 10, 60), (10_000, 10, 6))
"""Monitors, seconds between checks, minutes of an hour: 17, 100 and 1,000 checks a second."""
DAYS = ((500, 60), (100, 10))
SUMMED, SUMMED_DAYS = 1_000, 30

TARGETS = {
    "hot_bytes": 45,
    "hour_bytes": 6,
    "day_bytes": 5,
    "written_bytes": 200,
    "day_read_ms_p99": 5,
    "year_raw_gb": 3,
    "year_rollups_gb": 0.4,
}


class MovedClock(Clock):
    """A clock whose wall time is set by hand."""

    def __init__(self) -> None:
        """Begin with the first day."""
        self.at: Millis = BEGIN

    def now(self) -> Millis:
        """Return the wall time."""
        return self.at

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self.at / SECOND


class Store:
    """A data directory with the parts that write to it."""

    def __init__(self, data: Path, db: Database, raw: Raw, clock: MovedClock, run_id: int) -> None:
        """Take the parts."""
        self.data = data
        self.db = db
        self.raw = raw
        self.clock = clock
        self.keeping = Housekeeping(db=db, raw=raw, clock=clock, raw_days=90)
        self.keeping._run_id = run_id  # as when it is started, without its tasks

    @classmethod
    async def open(cls, data: Path) -> Store:
        """Make a data directory and open it."""
        directory.prepare(data)
        db = await open_database(data, Vault(bytes(range(32))))
        clock = MovedClock()
        run_id, _ = await db.write(runs.begin, BEGIN, "bench")
        return cls(data, db, Raw(data, now=clock.now, monotonic=clock.monotonic), clock, run_id)

    async def close(self) -> None:
        """Close all files."""
        await self.raw.close()
        await self.db.close()

    async def live(
        self, checks: list[tuple[int, Check]], start: Millis, end: Millis, every: int
    ) -> None:
        """Append checks as time goes by from `start` to `end`, `every` seconds' worth at a time."""
        checks.sort(key=lambda entry: entry[1].due_at)
        place = 0
        for at in range(start + every * SECOND, end + 1, every * SECOND):
            first = place
            while place < len(checks) and checks[place][1].due_at < at:
                place += 1
            self.raw.append(checks[first:place])
            self.clock.at = at
            await self.raw.keep()
            if at % round(WRITE_BACK_SECONDS * SECOND) == 0:
                self.write_back()
            if at % round(SEEN_SECONDS * SECOND) == 0:
                await self.keeping.seen()

    def write_back(self) -> None:
        """Have the disk take what was written since, as the system does after half a minute: time
        goes by faster here, and what is written again before counts once."""
        # Not the databases themselves: closing one that is open elsewhere here ends SQLite's locks.
        hot = self.data / "hot"
        for path in (*hot.glob("*-wal"), hot / "waiting", self.data / alive.NAME):
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                os.fdatasync(descriptor)
                os.close(descriptor)

    async def seal(self, hour: Millis) -> None:
        """Seal the hour, as it is done five minutes after its end."""
        self.clock.at = hour + HOUR + 6 * MINUTE
        await self.keeping.seal()


def written() -> int:
    """Return the bytes that this process has had written to disk so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    raise SystemExit("/proc/self/io does not say what is written")


def size(directory: Path) -> int:
    """Return the bytes of the files in a directory."""
    return sum(path.stat().st_size for path in directory.iterdir())


def file_bytes(path: Path, version: int) -> tuple[int, int]:
    """Return the bytes of a file and of the pages in it that are free, its log included."""
    connection = open_file(path, version, query_only=True)
    try:
        page, pages, free = (
            int(connection.execute(f"PRAGMA {name}").get)
            for name in ("page_size", "page_count", "freelist_count")
        )
    finally:
        connection.close()
    return page * pages, page * free


def packed(data: Path, blobs: str) -> tuple[int, int]:
    """Return the bytes of the `blobs` (hours or days) in all months, and the checks in them."""
    query = {
        "hours": "SELECT total(length(packed)), total(checks) FROM hours",
        "days": "SELECT total(length(packed)), total(checks) FROM days",
    }[blobs]
    total, checks = 0, 0
    for path in (data / "checks").glob("*.db"):
        connection = open_file(path, month.VERSION, query_only=True)
        try:
            found = connection.execute(query).fetchall()[0]
        finally:
            connection.close()
        total, checks = total + round(float(str(found[0]))), checks + round(float(str(found[1])))
    return total, checks


def month_bytes(data: Path) -> tuple[int, int]:
    """Return the bytes of all month files and of the free pages in them."""
    both = [file_bytes(path, month.VERSION) for path in (data / "checks").glob("*.db")]
    return sum(each[0] for each in both), sum(each[1] for each in both)


def simulated(targets: list[Target], start: Millis, end: Millis) -> list[tuple[int, Check]]:
    """Return the checks of all targets due from `start` to before `end`, with their keys."""
    return [
        (key, check) for key, target in enumerate(targets, 1) for check in target.checks(start, end)
    ]


async def rate(monitors: int, interval: int, minutes: int, where: Path) -> dict[str, Any]:
    """Let monitors live through some minutes of an hour, seal it, and return what that wrote."""
    targets = [Target(number, interval) for number in range(monitors)]
    store = await Store.open(where / f"rate {monitors} {interval}")
    try:
        checks = simulated(targets, BEGIN, BEGIN + minutes * MINUTE)
        count = len(checks)
        before, began = written(), time.process_time()
        await store.live(checks, BEGIN, BEGIN + minutes * MINUTE, 1)
        appended, cpu = written() - before, time.process_time() - began
        (hot,) = (store.data / "hot").glob("*.db")
        hot_bytes, _ = file_bytes(hot, VERSION)
        log = size(store.data / "hot") - hot.stat().st_size
        before, began = written(), time.process_time()
        await store.seal(BEGIN)
        sealed, cpu_sealing = written() - before, time.process_time() - began
        return {
            "monitors": monitors,
            "interval_seconds": interval,
            "checks": count,
            "hot_bytes": round(hot_bytes / count, 1),
            "log_bytes_in_all": log,
            "append_us": round(cpu * 1e6 / count, 1),
            "append_written_bytes": round(appended / count, 1),
            "seal_us": round(cpu_sealing * 1e6 / count, 1),
            "seal_written_bytes": round(sealed / count, 1),
        }
    finally:
        await store.close()


async def day(monitors: int, interval: int, days: int, where: Path) -> dict[str, Any]:
    """Let monitors live for whole days, merge them, and return what is stored and how it reads."""
    targets = [Target(number, interval) for number in range(monitors)]
    store = await Store.open(where / f"day {monitors} {interval}")
    found: dict[str, Any] = {"monitors": monitors, "interval_seconds": interval, "days": days}
    try:
        last, last_hour = 0, BEGIN + (24 * days - 1) * HOUR
        for hour in range(BEGIN, last_hour + HOUR, HOUR):
            checks = simulated(targets, hour, hour + HOUR)
            last = len(checks)
            await store.live(checks, hour, hour + HOUR, 60)
            if hour < last_hour:
                await store.seal(hour)
        total, held = packed(store.data, "hours")
        found["hour_bytes"] = round(total / held, 2)
        before, began = written(), time.process_time()
        await store.seal(last_hour)
        total, held = packed(store.data, "days")
        used, free = month_bytes(store.data)
        # With the last hour's sealing, which is a twenty-fourth of what is written here.
        merged = held / days + last
        found |= {
            "day_bytes": round(total / held, 2),
            "merge_us": round((time.process_time() - began) * 1e6 / merged, 1),
            "merge_written_bytes": round((written() - before) / merged, 1),
            "file_bytes": round((used - free) / held, 2),
            "free_bytes_a_monitor": round(free / monitors),
            "checks": held,
            "same_as_written": await same(store, monitors, interval, days),
        }
        found |= await reads(store, monitors, days)
    finally:
        await store.close()
    return found


async def same(store: Store, monitors: int, interval: int, days: int) -> bool:
    """Tell whether the checks of all monitors are read back as they were made, every field of
    them: they are made once more to be held against."""
    end = BEGIN + days * DAY
    for number in range(monitors):
        stored = await store.raw.range(number + 1, BEGIN, end, newest_first=False)
        if stored != list(Target(number, interval).checks(BEGIN, end)):
            return False
    return True


async def reads(store: Store, monitors: int, days: int) -> dict[str, Any]:
    """Read days of single monitors, as who wants one does: a page of the list, a chart, counts; and
    as a list of everything, which has no target: only who turns pages by number down to row 10,000,
    and not by cursor, has as much read."""
    dice = random.Random(monitors)
    kinds: dict[str, Callable[[int, Millis], Awaitable[object]]] = {
        "page": lambda key, start: store.raw.range(key, start, start + DAY, limit=100),
        "chart": lambda key, start: store.raw.series(key, start, start + DAY, 96),
        "counts": lambda key, start: store.raw.counts(key, start, start + DAY),
        "list": lambda key, start: store.raw.range(key, start, start + DAY),
    }
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    used: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(READS):
        key, start = dice.randrange(monitors) + 1, BEGIN + dice.randrange(days) * DAY
        for kind, read in kinds.items():
            began, cpu = time.perf_counter(), time.process_time()
            await read(key, start)
            took[kind].append((time.perf_counter() - began) * 1000)
            used[kind].append((time.process_time() - cpu) * 1000)
    return {
        f"day_{kind}": {
            "ms_median": round(statistics.median(took[kind]), 2),
            "ms_p99": round(percentile(took[kind], 0.99), 2),
            "cpu_ms_median": round(statistics.median(used[kind]), 2),
        }
        for kind in kinds
    }


async def sums(monitors: int, days: int, where: Path) -> dict[str, Any]:
    """Write the rollups of `days` hour by hour, and return what they take."""
    store = await Store.open(where / "sums")
    dice = random.Random(monitors)
    usual = [dice.lognormvariate(4.5, 1) for _ in range(monitors)]
    file = store.db.path
    try:
        empty, before = file.stat().st_size, written()
        for number in range(24 * days):
            hour = BEGIN + number * HOUR
            some = [_sum(key, hour, ms, dice) for key, ms in enumerate(usual, 1)]
            await store.db.write(rollups.put_hour, some)
            if number % 24 == 23:
                for first in range(1, monitors + 1, FOLDED_AT_ONCE):
                    keys = range(first, min(first + FOLDED_AT_ONCE, monitors + 1))
                    await store.db.write(rollups.fold_days, hour + HOUR - DAY, keys)
        wrote = written() - before
    finally:
        await store.close()
    hours = monitors * 24 * days
    return {
        "monitors": monitors,
        "days": days,
        "bytes_an_hour": round((file.stat().st_size - empty) / hours, 1),
        "written_bytes_an_hour": round(wrote / hours),
    }


def _sum(key: int, hour: Millis, ms: float, dice: random.Random) -> Rollup:
    return Rollup(
        key=key,
        from_ms=hour,
        checks=60,
        ups=60,
        degraded=0,
        downs=0,
        inconclusive=0,
        response_count=60,
        response_sum=int(60 * ms * dice.lognormvariate(0, 0.01)),
        response_min=int(ms * 0.8),
        response_max=int(ms * 1.3),
    )


async def run(days: int, where: Path) -> dict[str, Any]:
    """Measure everything, in turn."""
    rates = [await rate(*each, where) for each in RATES]
    whole = [await day(*each, days, where) for each in DAYS]
    summed = await sums(SUMMED, SUMMED_DAYS, where)
    merged = {each["interval_seconds"]: each["merge_written_bytes"] for each in whole}
    for each in rates:
        # An hour of one monitor has its rollup, whatever its interval. Each goes to the end of its
        # monitor's, which is another page; what sealing wrote above went into an empty table.
        checks_an_hour = HOUR / SECOND / each["interval_seconds"]
        each["rollup_written_bytes"] = round(summed["written_bytes_an_hour"] / checks_an_hour, 1)
        each["merge_written_bytes"] = merged[each["interval_seconds"]]
        each["written_bytes"] = round(
            sum(each[f"{part}_written_bytes"] for part in ("append", "seal", "merge", "rollup"))
        )
    slow = next(each for each in whole if each["interval_seconds"] == 60)
    checks = 1_000 * YEAR_DAYS * DAY // MINUTE
    return {
        "rates": rates,
        "days": whole,
        "rollups": summed,
        "year": {
            "of": f"1,000 monitors at 60 s, computed from {days} simulated day(s) of "
            f"{slow['monitors']} monitors, and {SUMMED_DAYS} days of rollups",
            # The pages of the hours are free once the day is merged, and taken by the next day's:
            # each month's file keeps those of one day.
            "raw_gb": round(
                (checks * slow["file_bytes"] + 12_000 * slow["free_bytes_a_monitor"]) / 1e9, 2
            ),
            "rollups_gb": round(1_000 * YEAR_DAYS * 24 * summed["bytes_an_hour"] / 1e9, 3),
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures beside their targets."""
    goal = TARGETS
    out = sys.stdout.write
    for each in found["rates"]:
        pace = each["monitors"] / each["interval_seconds"]
        out(
            f"{pace:>6.0f} checks/s: {each['hot_bytes']} bytes a check in the current hour (target "
            f"{goal['hot_bytes']}), written {each['written_bytes']} (target "
            f"{goal['written_bytes']}): appending {each['append_written_bytes']}, sealing "
            f"{each['seal_written_bytes']}, the day's merge {each['merge_written_bytes']}, rollups "
            f"{each['rollup_written_bytes']}\n"
        )
    for each in found["days"]:
        out(
            f"every {each['interval_seconds']:>2} s: {each['hour_bytes']} bytes a check by hour "
            f"(target {goal['hour_bytes']}), {each['day_bytes']} by day (target "
            f"{goal['day_bytes']}), {each['file_bytes']} with the file around it; a day of "
            f"{each['checks'] // each['monitors'] // each['days']} checks takes "
            + ", ".join(
                f"{one['cpu_ms_median']} ms as {words} (p99 {one['ms_p99']})"
                for words, one in (
                    ("a page of a hundred", each["day_page"]),
                    ("a chart", each["day_chart"]),
                    ("counts", each["day_counts"]),
                )
            )
            + f" (target {goal['day_read_ms_p99']}); without a target, as a list of all "
            f"{each['day_list']['cpu_ms_median']} ms (p99 {each['day_list']['ms_p99']})\n"
        )
    year = found["year"]
    out(
        f"a year of {year['of']}: raw {year['raw_gb']} GB (target {goal['year_raw_gb']}), rollups "
        f"{year['rollups_gb']} GB (target {goal['year_rollups_gb']})\n"
    )


def main() -> None:
    """Measure, print the figures beside their targets, and keep them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=1, help="whole days to simulate")
    options.add_argument("--data", type=Path, help="work below this directory, on the disk meant")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory(dir=chosen.data) as name:
        found = asyncio.run(run(chosen.days, Path(name)))
    show(found)
    keep(chosen.out, "disk", {"targets": TARGETS} | found, data=chosen.data)


if __name__ == "__main__":
    main()
