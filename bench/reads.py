"""Reads over a quarter of 1,000 monitors, while checks are written.

    python bench/reads.py --monitors 1000 --out bench/results

A quarter of a check a minute is put into the month files and the rollups by the product's own
functions (days of a few monitors stand for those of all: what is read is as large as it would be).
Then the functions behind the API and the pages read from it, beside a writer of a hundred checks
and ten commits of the main file a second. Measured from the call to its answer, on the event loop
of the caller. All of it ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import crowd  # noqa: E402  # the checkout, not an installed copy
from bench.measure import beside, free_port, keep, percentile  # noqa: E402
from bench.months import Target, put, summed  # noqa: E402
from netpulse.app import SWITCH_SECONDS  # noqa: E402
from netpulse.crypto import keys  # noqa: E402
from netpulse.crypto.vault import Vault  # noqa: E402
from netpulse.model.monitor import Monitor  # noqa: E402
from netpulse.model.time import DAY, HOUR, SECOND, Millis  # noqa: E402
from netpulse.storage import directory, monitors, rollups, runs  # noqa: E402
from netpulse.storage.conn import Conn  # noqa: E402
from netpulse.storage.db import Database  # noqa: E402
from netpulse.storage.opening import open_database  # noqa: E402
from netpulse.storage.raw import Raw, month  # noqa: E402
from netpulse.web.api.uptime import UptimeQuery, uptime_of  # noqa: E402
from netpulse.web.pages import rows  # noqa: E402

INTERVAL = 60
QUARTER = 90
VARIETY = 8
"""Monitors whose days stand for those of all."""
CHECKS_A_SECOND, COMMITS_A_SECOND = 100, 10
TARGETS = {"uptime": 5.0, "bars": 150.0, "last 100 checks": 2.0}
ROUNDS = {"uptime": 400, "bars": 100, "last 100 checks": 600}


def fill_months(data: Path, count: int, today: Millis, until: Millis) -> None:
    """Write the packed days before `today` and hours until `until` of monitors 1 to `count`."""
    stretches = [month.day_stretch(today - ago * DAY) for ago in range(QUARTER + 1, 0, -1)]
    stretches += [month.hour_stretch(hour) for hour in range(today, until, HOUR)]
    put(data, stretches, [Target(number, INTERVAL) for number in range(VARIETY)], count)


async def fill_rollups(db: Database, count: int, today: Millis, until: Millis) -> None:
    """Write the hours before `until`, and the days before `today`."""
    everybody = range(1, count + 1)
    for hour in range(today - (QUARTER + 1) * DAY, until, HOUR):
        await db.write(rollups.put_hour, [summed(key, hour, 60) for key in everybody], hour + HOUR)
    for day in range(today - (QUARTER + 1) * DAY, today, DAY):
        await db.write(rollups.fold_days, day, everybody, day + DAY)


class Writer:
    """Writes beside the readers, until it is stopped."""

    def __init__(self, db: Database, raw: Raw, watched: list[Monitor], run_id: int) -> None:
        """Take the parts and begin."""
        self._db = db
        self._raw = raw
        self._monitors = watched
        self._targets = [Target(number, INTERVAL) for number in range(len(watched))]
        self._run_id = run_id
        self._dice = random.Random(1)
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        each = CHECKS_A_SECOND // COMMITS_A_SECOND
        while True:
            now = int(time.time() * SECOND)
            for _ in range(each):
                place = self._dice.randrange(len(self._monitors))
                check = self._targets[place].check(now)
                self._raw.append([(self._monitors[place].key, check)])
            await self._db.write(runs.seen, self._run_id, now)
            await asyncio.sleep(1 / COMMITS_A_SECOND)

    async def stop(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def timed(read: Callable[[], Awaitable[Any]], times: int) -> dict[str, float]:
    """Call `read` again and again and return how long it took."""
    await read()
    took = []
    cpu = time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        await read()
        took.append((time.perf_counter() - began) * 1000)
    return {
        "ms_median": round(statistics.median(took), 2),
        "ms_p99": round(percentile(took, 0.99), 2),
        # The writer's share is in it.
        "cpu_ms": round((time.process_time() - cpu) * 1000 / times, 2),
    }


async def run(count: int, data: Path) -> dict[str, Any]:
    """Fill a data directory, and measure."""
    now = int(time.time() * SECOND)
    today, until = now - now % DAY, now - now % HOUR - HOUR
    began = time.perf_counter()
    await crowd.build(
        data, count, port=free_port(), interval=INTERVAL, often=INTERVAL, is_short=True
    )
    fill_months(data, count, today, max(today, until))
    master = keys.load_master(None, data / directory.KEY, has_data=True)
    db = await open_database(data, Vault(master))
    raw = Raw(data)
    try:
        await fill_rollups(db, count, today, max(today, until))
        loaded = await db.read(monitors.load_all)
        watched = sorted((monitor for monitor, _ in loaded), key=lambda each: each.key)
        targets = [Target(number, INTERVAL) for number in range(count)]
        for monitor, target in zip(watched, targets, strict=True):
            recent = target.checks(max(today, until), now)
            raw.append([(monitor.key, check) for check in recent])
            await raw.flush()
        run_id, _ = await db.write(runs.begin, now, "bench")
        stored = raw.bytes_on_disk() + db.path.stat().st_size
        sys.stdout.write(
            f"a quarter of {count} monitors, {stored / 1e6:.0f} MB, made in "
            f"{time.perf_counter() - began:.0f} s\n"
        )
        writer = Writer(db, raw, watched, run_id)
        try:
            found = await measure(db, raw, watched)
        finally:
            await writer.stop()
    finally:
        await raw.close()
        await db.close()
    return {"monitors": count, "stored_mb": round(stored / 1e6), "reads": found}


async def measure(db: Database, raw: Raw, watched: list[Monitor]) -> dict[str, Any]:
    """Read what the API and the pages read, and return how long each took."""
    dice = random.Random(len(watched))
    org_id = watched[0].org_id
    everybody = [(monitor.id, monitor.created_at) for monitor in watched]
    house: Any = SimpleNamespace(
        raw=raw, config=SimpleNamespace(retention=SimpleNamespace(raw_days=QUARTER))
    )

    def now() -> Millis:
        return int(time.time() * SECOND)

    async def ask(fn: Callable[..., Any], *args: Any) -> Any:
        return await db.read(fn, org_id, *args)

    async def uptime() -> Any:
        session: Any = SimpleNamespace(now=now(), read=ask)
        query = UptimeQuery(period="90d")
        return await uptime_of(house, session, dice.choice(watched), query)

    async def bars() -> Any:
        return await db.read(_bars, org_id, everybody, now())

    async def last() -> Any:
        return await raw.range(dice.choice(watched).key, 0, now() + HOUR, limit=100)

    answer = await uptime()
    if answer.checks < (QUARTER - 1) * DAY // (INTERVAL * SECOND):
        raise SystemExit(f"only {answer.checks} checks are counted of a quarter")
    if len(await last()) != 100:
        raise SystemExit("the last 100 checks are not there")
    kinds = {"uptime": uptime, "bars": bars, "last 100 checks": last}
    return {
        name: beside(await timed(read, ROUNDS[name]), {"ms_p99": TARGETS[name]})
        for name, read in kinds.items()
    }


def _bars(conn: Conn, org_id: str, everybody: Any, now: Millis) -> Any:
    return rows.bars(conn, org_id, everybody, now)


def main() -> None:
    """Measure, print the figures beside their targets, and keep them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=1_000)
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(run(chosen.monitors, Path(name) / "data"))
    for name, row in found["reads"].items():
        sys.stdout.write(
            f"{name:<16} median {row['ms_median']:>7} ms, p99 {row['ms_p99']:>7} ms "
            f"(target {row['targets']['ms_p99']}), CPU {row['cpu_ms']} ms\n"
        )
    keep(chosen.out, "reads", found)


if __name__ == "__main__":
    main()
