"""What keeping house costs checks at peak: sealing, rollups, the day's merge, retention.

    python bench/peak.py --out bench/results
    python bench/peak.py --monitors 1000 --month-gb 1

`netpulse serve` checks 10,000 monitors every 10 s, a thousand checks a second, on a data directory
in which all is due at once: an hour of 3.6 million checks to seal, a finished day to merge and to
fold, two months that are older than what is kept. It is made by the product's own functions before
the start. Housekeeping does there what it does every hour and night; only its first round is put
off until the start is over (`keeping.py`). Lateness is measured at the target (nginx), as are the
answers of the API, while each of these goes on and in the quiet before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import calendar
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.checks import DASHBOARD, ask, ticked  # noqa: E402  # the checkout, not an installed copy
from bench.fleet import build, far_side  # noqa: E402
from bench.measure import (  # noqa: E402
    TIED,
    UNDER_WAY,
    end,
    free_port,
    judge,
    keep,
    percentile,
    resident_mb,
    sign_in,
    wait_ready,
)
from bench.months import Target, put, summed  # noqa: E402
from netpulse.config import Retention  # noqa: E402
from netpulse.crypto import keys  # noqa: E402
from netpulse.crypto.vault import Vault  # noqa: E402
from netpulse.model.time import DAY, HOUR, SECOND, Millis  # noqa: E402
from netpulse.rules.schedule import STEP_MS  # noqa: E402
from netpulse.storage import directory, rollups  # noqa: E402
from netpulse.storage.opening import open_database  # noqa: E402
from netpulse.storage.raw.heads import Heads  # noqa: E402
from netpulse.storage.raw.hot_files import OpenHot  # noqa: E402
from netpulse.storage.raw.month import day_stretch, hour_stretch  # noqa: E402
from netpulse.storage.raw.names import Places, day_of, hour_of, month_of  # noqa: E402
from netpulse.storage.raw.row import to_row  # noqa: E402
from netpulse.storage.raw.seal import SEAL_AFTER  # noqa: E402

MONITORS, INTERVAL = 10_000, 10
MONTH_GB = 10.0
"""A month of a thousand checks a second at 3.9 bytes each."""
OLD_MONTHS = 2
HISTORY_DAYS = 2
"""Whole days of rollups before the finished one, so that a monitor's rows have a page of their
own."""
VARIETY = 40
"""Monitors whose checks stand for those of all."""
AT_ONCE = 1_000
EXTENT = 1 << 20
WARM_SECONDS = 60.0
RETAIN_AT, SEAL_AT = WARM_SECONDS + 45.0, WARM_SECONDS + 60.0
"""Seconds after the start."""
AFTER_SECONDS = 30.0
PATIENCE_SECONDS = 1_200.0
BEFORE, AFTER = "quiet before", "quiet after"
DONE = ("retention", "seal", "rollups", "unlink", "merge", "fold")
"""What `keeping.py` writes down of what is due here."""
FELT = 1.0
"""Seconds before the beginning of something, and after its end, that count as its own: what was due
just before comes late as well."""
MORE_LATE_MS = 100.0
SAMPLE_SECONDS = 0.25
SIGN_IN_SECONDS = 600.0
"""An access token is good for a quarter of an hour."""


class Job(NamedTuple):
    """Something that housekeeping did."""

    what: str
    began: float
    ended: float
    cpu: float
    """Seconds of processor time that the whole process used meanwhile."""


class Sampled(NamedTuple):
    """What was seen from outside while the product ran."""

    memory: list[tuple[float, float]]
    """Unix time and resident megabytes."""
    answers: list[tuple[float, str, float]]
    """Unix time, path and milliseconds of each request."""


def old_months(now: Millis) -> list[str]:
    """Return the last months that are older than what is kept by default."""
    name = month_of(now - Retention().raw_days * DAY)
    found: list[str] = []
    day = now - Retention().raw_days * DAY
    while len(found) < OLD_MONTHS:
        day -= DAY
        if month_of(day) != name:
            name = month_of(day)
            found.append(name)
    return found


async def furnish(data: Path, count: int, month_bytes: int) -> dict[str, int]:
    """Put into `data` what is due at once; return how much of it there is."""
    now = int(time.time() * SECOND)
    hour = hour_of(now - HOUR - SEAL_AFTER)
    finished = day_of(now - SEAL_AFTER) - DAY
    places = Places(data)
    for folder in (places.hot, places.checks):
        folder.mkdir(mode=0o700, exist_ok=True)
    checks = put_hot(places.hot_path(hour), hour, count)
    targets = [Target(number, INTERVAL) for number in range(VARIETY)]
    hours = [at for at in range(finished, finished + DAY, HOUR) if at != hour]
    put(data, map(hour_stretch, hours), targets, count)
    put_old(data, old_months(now), targets[:8], count, month_bytes)
    await put_rollups(data, count, finished, hours, hour)
    return {"hour_checks": checks, "day_checks": count * len(hours) * (HOUR // (INTERVAL * SECOND))}


def put_hot(path: Path, hour: Millis, count: int) -> int:
    """Write the file of an hour as it comes, a thousand rows at once; return how many there are."""
    step = INTERVAL * SECOND
    kinds = [
        [to_row(check)[1:] for check in Target(number, INTERVAL).checks(hour, hour + HOUR)]
        for number in range(VARIETY)
    ]
    dice = random.Random(1)
    grid = sorted((dice.randrange(step), key) for key in range(1, count + 1))
    file = OpenHot(path, hour, Heads(threading.Event()))
    try:
        for turn in range(HOUR // step):
            start = hour + turn * step
            for first in range(0, count, AT_ONCE):
                some = grid[first : first + AT_ONCE]
                file.append(
                    [(key, (start + phase, *kinds[key % VARIETY][turn])) for phase, key in some]
                )
        file.empty_log()
    finally:
        file.close()
    return count * (HOUR // step)


def put_old(
    data: Path, months: Sequence[str], targets: Sequence[Target], count: int, size: int
) -> None:
    """Write old months: the first day of each as it is, and room for all others behind it, a
    megabyte of one file beside a megabyte of the next: nobody reads them, and they have to go."""
    paths = [Places(data).month_path(name) for name in months]
    for name in months:
        first = calendar.timegm(time.strptime(name, "%Y-%m")) * SECOND
        put(data, [day_stretch(first)], targets, count)
    descriptors = [os.open(path, os.O_RDWR) for path in paths]
    try:
        begin = max(path.stat().st_size for path in paths)
        for place in range(begin, size, EXTENT):
            for descriptor in descriptors:
                os.posix_fallocate(descriptor, place, EXTENT)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


async def put_rollups(
    data: Path, count: int, finished: Millis, hours: Sequence[Millis], hour: Millis
) -> None:
    """Write the sums of the finished day's hours, and of folded days before it."""
    master = keys.load_master(None, data / directory.KEY, has_data=True)
    db = await open_database(data, Vault(master))
    checks = HOUR // (INTERVAL * SECOND)
    some = [range(first, min(first + AT_ONCE, count + 1)) for first in range(1, count + 1, AT_ONCE)]

    async def put_hours(at: Millis) -> None:
        for each in some:
            await db.write(rollups.put_hour, [summed(key, at, checks) for key in each])

    try:
        for day in range(finished - HISTORY_DAYS * DAY, finished, DAY):
            for at in range(day, day + DAY, HOUR):
                await put_hours(at)
            for each in some:
                await db.write(rollups.fold_days, day, each)
            await db.write(rollups.set_cursor, "day", day + DAY)
        for at in hours:
            await put_hours(at)
        await db.write(rollups.set_cursor, "hour", hour)
    finally:
        await db.close()


def jobs_of(ledger: Path) -> list[Job]:
    """Return what has been done so far."""
    if not ledger.exists():
        return []
    return [Job(**json.loads(line)) for line in ledger.read_text().splitlines()]


async def watch(
    folder: Path, ids: Sequence[str]
) -> tuple[float, float, list[Job], Sampled, dict[str, Any]]:
    """Run the product until all is done; return from when to when it was measured, and what."""
    port, ledger = free_port(), folder / "jobs.json"
    first = {"retain": RETAIN_AT, "seal": SEAL_AT}
    server = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
        [
            *(*TIED, sys.executable),
            str(ROOT / "bench" / "keeping.py"),
            str(folder / "ticks.json"),
            str(ledger),
            json.dumps(first),
            *("serve", "--data", str(folder / "data"), "--port", str(port)),
        ],
        env=os.environ | {"NETPULSE_LIMITS_REQUESTS_PER_MINUTE": "0"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("w"),
    )
    base, sampled = f"http://127.0.0.1:{port}", Sampled([], [])
    try:
        async with aiohttp.ClientSession() as session:
            started = await wait_ready(session, base)
            await asyncio.sleep(WARM_SECONDS - started)
            server.send_signal(signal.SIGUSR2)
            await sign_in(session, base)
            began = time.time()
            tasks = [
                asyncio.create_task(_ask(session, base, ids, sampled)),
                asyncio.create_task(_sample(server.pid, sampled)),
            ]
            try:
                await _until_done(server, folder, tasks)
                await asyncio.sleep(AFTER_SECONDS)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            ended = time.time()
    finally:
        end(server, 60)
    return began, ended, jobs_of(ledger), sampled, {"start_seconds": round(started, 2)}


async def _until_done(
    server: subprocess.Popen[bytes], folder: Path, tasks: Sequence[asyncio.Task[None]]
) -> None:
    """Wait until an hour was sealed with all that follows, unless something ends before."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not any(job.what == "job seal" for job in jobs_of(folder / "jobs.json")):
        for task in tasks:
            if task.done():
                task.result()
        if time.monotonic() > until or server.poll() is not None:
            raise SystemExit(f"not all was done: {(folder / 'log').read_text()[-4_000:]}")
        await asyncio.sleep(0.5)


async def _ask(
    session: aiohttp.ClientSession, base: str, ids: Sequence[str], sampled: Sampled
) -> None:
    signed_in = time.monotonic()
    async for each in ask(session, base, ids):
        sampled.answers.append(each)
        if time.monotonic() > signed_in + SIGN_IN_SECONDS:
            await sign_in(session, base)
            signed_in = time.monotonic()


async def _sample(pid: int, sampled: Sampled) -> None:
    while True:
        sampled.memory.append((time.time(), resident_mb(pid)))
        await asyncio.sleep(SAMPLE_SECONDS)


def stretches(began: float, ended: float, jobs: Sequence[Job]) -> list[Job]:
    """Return what went on between two moments, in the order of time: the quiet before and after,
    and each part of housekeeping; what is done in several goes is one stretch.

    Raises:
        SystemExit: a part was not done, so that it cost nothing.
    """
    parts = [job for job in jobs if not job.what.startswith("job ")]
    undone = [what for what in DONE if what not in {part.what for part in parts}]
    if undone:
        raise SystemExit(f"it was due and was not done: {', '.join(undone)}")
    first, last = min(part.began for part in parts), max(part.ended for part in parts)
    found = [Job(BEFORE, began, first, 0.0)]
    for what in dict.fromkeys(part.what for part in parts):
        some = [part for part in parts if part.what == what]
        cpu = sum(part.cpu for part in some)
        found.append(Job(what, some[0].began, some[-1].ended, cpu))
    return [*found, Job(AFTER, last + FELT, ended, 0.0)]


def seen(
    job: Job,
    ids: Mapping[str, str],
    arrivals: Sequence[tuple[str, float]],
    sampled: Sampled,
    ticks: Path,
) -> dict[str, Any]:
    """Return the figures of a stretch of time."""
    quiet = job.what in {BEFORE, AFTER}
    began, ended = job.began, job.ended
    if quiet:
        lags = judge(ids, arrivals, began, ended, INTERVAL, step=STEP_MS)
    else:
        began, ended = began - FELT, ended + FELT
        lags = judge(ids, arrivals, began, ended + UNDER_WAY, INTERVAL, step=STEP_MS)
    answers = [
        took for at, path, took in sampled.answers if began <= at < ended and path != DASHBOARD
    ]
    late = ticked(ticks, began, ended)
    return {
        "what": job.what,
        "seconds": round(job.ended - job.began, 2),
        **({} if quiet else {"cpu_percent_of_a_core": _share(job)}),
        **{key: value for key, value in lags.items() if key != "checks_seen"},
        "loop_late_ms_p99": late["loop_late_ms_p99"],
        "loop_late_ms_max": late["loop_late_ms_max"],
        "api_requests": len(answers),
        "api_ms_p99": round(percentile(answers, 0.99), 2) if answers else None,
        "api_ms_max": round(max(answers), 2) if answers else None,
        "rss_mb": round(max(mb for at, mb in sampled.memory if began <= at < ended), 1),
    }


def _share(job: Job) -> float:
    return round(job.cpu / (job.ended - job.began) * 100, 1)


async def run(count: int, month_gb: float, where: Path | None) -> dict[str, Any]:
    """Make the data, run the product on it, and return the figures."""
    with tempfile.TemporaryDirectory(dir=where) as name:
        folder = Path(name)
        size = min(round(month_gb * 1e9), shutil.disk_usage(folder).free // (4 * OLD_MONTHS))
        with far_side("http", folder) as far:
            ids = await build(folder / "data", far, count, INTERVAL)
            say("making an hour, a day and old months: minutes")
            made = await furnish(folder / "data", count, size)
            say("measuring: minutes")
            began, ended, jobs, sampled, told = await watch(folder, list(ids.values()))
        arrivals = far.arrivals()
        rows = [
            seen(job, ids, arrivals, sampled, folder / "ticks.json")
            for job in stretches(began, ended, jobs)
        ]
        left = Places(folder / "data").months()
        stacks = ticked(folder / "ticks.json", began, ended)["on_the_loop_when_late"]
    if set(left) & set(old_months(int(time.time() * SECOND))):
        raise SystemExit(f"months that are old are still there: {left}")
    quiet = [row for row in rows if row["what"] in {BEFORE, AFTER}]
    busy = [row for row in rows if row not in quiet]
    late = {
        part: {
            "quiet": max(row[f"lag_ms_{part}"] for row in quiet),
            "busy": max(row[f"lag_ms_{part}"] for row in busy if row["checks_done"]),
        }
        for part in ("p99", "max")
    }
    return {
        "monitors": count,
        "interval_seconds": INTERVAL,
        "checks_a_second": count / INTERVAL,
        **made,
        "old_months": OLD_MONTHS,
        "old_month_gb": round(size / 1e9, 1),
        **told,
        "rss_mb_max": max(row["rss_mb"] for row in rows),
        "checks_missed": sum(row["checks_due"] - row["checks_done"] for row in rows),
        "lag_ms": late,
        "more_late_ms_p99": round(late["p99"]["busy"] - late["p99"]["quiet"], 2),
        "more_late_ms_max": round(late["max"]["busy"] - late["max"]["quiet"], 2),
        "targets": {"more_late_ms_max": MORE_LATE_MS},
        "stretches": rows,
        "on_the_loop_when_late": stacks,
    }


def say(words: str) -> None:
    """Print at once: a run takes minutes."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def show(found: dict[str, Any]) -> None:
    """Print the figures beside their target."""
    for row in found["stretches"]:
        cpu = (
            f"{row['cpu_percent_of_a_core']} % of a core, "
            if "cpu_percent_of_a_core" in row
            else ""
        )
        say(
            f"{row['what']:>12}: {row['seconds']} s, {cpu}"
            f"{row['checks_done']}/{row['checks_due']} checks done, late median "
            f"{row['lag_ms_median']} p99 {row['lag_ms_p99']} max {row['lag_ms_max']} ms; loop late "
            f"p99 {row['loop_late_ms_p99']} max {row['loop_late_ms_max']} ms; API p99 "
            f"{row['api_ms_p99']} ms; RSS {row['rss_mb']} MB"
        )
    most = found["lag_ms"]["max"]
    say(
        f"at {found['checks_a_second']:.0f} checks a second the latest check was {most['busy']} ms "
        f"late while house was kept, {most['quiet']} ms in quiet: {found['more_late_ms_max']} ms "
        f"more (target {MORE_LATE_MS:.0f}); p99 {found['more_late_ms_p99']} ms more"
    )


def main() -> None:
    """Measure, print the figures, and keep them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=MONITORS, help="checked every 10 s")
    options.add_argument(
        "--month-gb", type=float, default=MONTH_GB, help="the size of each month that is old"
    )
    options.add_argument("--data", type=Path, help="work below this directory, on the disk meant")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    found = asyncio.run(run(chosen.monitors, chosen.month_gb, chosen.data))
    show(found)
    keep(chosen.out, "peak", found, data=chosen.data)


if __name__ == "__main__":
    main()
