"""Endurance: thousands of monitors at targets and receivers that fail in every way, for long.

    python bench/soak.py --minutes 30 --monitors 2000 --out bench/results

The first half of the targets always answers; the others fail by a seed (bench/restless.py). Readers
use the API, the pages and the event stream meanwhile. Measured from outside (memory, descriptors,
threads, missed checks, CPU) and by a thread inside (bench/sampled.py: tasks, allocators). At the
end all becomes calm, the process is stopped, and its data is held against what must be true of it.

The minutes come after a warm-up, which lasts until a full hour has been sealed: what happens once
an hour has happened once then, and happens no more while it is measured how memory grows.

The exit status is 0 if nothing was broken: figures that were missed are printed, not failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measure import (  # noqa: E402  # the checkout, not an installed copy
    EMAIL,
    INTERVAL,
    PASSWORD,
    TIED,
    beside,
    cpu_seconds,
    family,
    free_port,
    judge,
    keep,
    made,
    percentile,
    sign_in,
    wait_ready,
)
from bench.restless import PORTS  # noqa: E402
from bench.samples import SAMPLE_SECONDS, figures, joined, watch  # noqa: E402
from bench.truths import examine  # noqa: E402
from netpulse.rules.schedule import STEP_MS  # noqa: E402

RESTLESS = str(ROOT / "bench" / "restless.py")
CALM_SECONDS = 180.0
LEAST_WARM_UP = 75.0
"""Until then the C library's stores of freed blocks fill, one for each thread, ever more slowly: it
was seen to go on for more than an hour, and to be all that still grew in what is in use."""
SEALED_MINUTE = 7.0
"""The hour before is sealed five minutes after its end, within seconds."""
ABOUT = 60
"""Monitors whose time is added up at the end, of each half."""
MOST_SLOPE = 1.0
"""MB an hour, after the warm-up."""
FLAT = ("descriptors", "threads", "tasks")
"""What must not grow by as much as one an hour."""


def held(after: dict[str, Any]) -> dict[str, Any]:
    """Return the figures after the warm-up with what they are to be at most."""
    most = {"rss_mb": MOST_SLOPE} | dict.fromkeys(FLAT, 1.0)
    return after | {name: beside(after[name], {"per_hour": each}) for name, each in most.items()}


class Far:
    """The process with the targets and the receivers."""

    def __init__(self, seed: int, ledger: Path, steady: int, faulty: float) -> None:
        """Start it; the first `steady` targets never fail, a `faulty` part of the others does."""
        self.ledger = ledger
        self.process = subprocess.Popen(
            [sys.executable, RESTLESS, str(seed), str(ledger), str(steady), str(faulty)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.into = self.process.stdin
        self.ports: list[int] = json.loads(self.process.stdout.readline())

    def port(self, number: int, steady: int) -> int:
        """Return the port that serves a target."""
        return self.ports[number % PORTS + (0 if number < steady else PORTS)]

    def calm(self) -> None:
        """End all faults."""
        self.into.write("calm\n")
        self.into.flush()

    def close(self) -> dict[str, Any]:
        """End it and return what came."""
        self.into.close()
        self.process.wait(60)
        found: dict[str, Any] = json.loads(self.ledger.read_text())
        return found


async def furnish(
    session: aiohttp.ClientSession, base: str, far: Far, count: int, steady: int
) -> dict[str, str]:
    """Make the monitors, two receivers and their rules; return path -> monitor id."""
    for number in range(2):
        config = {"url": f"http://127.0.0.1:{far.ports[0]}/hook/{number}"}
        channel = {"name": f"receiver {number}", "type": "webhook", "config": config}
        channel_id = await made(session, f"{base}/v1/alert-channels", channel)
        rule = {"channel_id": channel_id, "condition": "down or system", "cooldown_seconds": 0}
        await made(session, f"{base}/v1/alert-rules", rule)
    ids: dict[str, str] = {}
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        port = far.port(number, steady)
        spec = {
            "type": "http",
            "name": f"soak {number}",
            "target": f"http://127.0.0.1:{port}/{number}",
            "interval_seconds": INTERVAL,
            "timeout_seconds": 5,
            "confirmations": 1,
        }
        async with gate:
            ids[f"/{number}"] = await made(session, f"{base}/v1/monitors", spec)

    await asyncio.gather(*(one(number) for number in range(count)))
    return ids


class Readers:
    """People at the API, the pages and the event stream."""

    def __init__(self, session: aiohttp.ClientSession, base: str, ids: list[str]) -> None:
        """Take who asks, whom, and about what."""
        self.session = session
        self.base = base
        self.ids = ids
        self.answers: Counter[int] = Counter()
        self.took_ms: list[float] = []
        self.events = 0

    async def read(self) -> None:
        """Ask for one thing after the other, a few a second."""
        number = 0
        while True:
            number += 1
            one = self.ids[number * 7919 % len(self.ids)]
            path = (
                "/v1/monitors?limit=50",
                f"/v1/monitors/{one}",
                f"/v1/monitors/{one}/checks?limit=50",
                f"/v1/monitors/{one}/uptime?period=24h",
                "/v1/incidents?limit=50",
                "/v1/alert-events?limit=50",
                "/dashboard",
                f"/monitors/{one}",
            )[number % 8]
            began = time.perf_counter()
            async with self.session.get(self.base + path) as answer:
                await answer.read()
                self.answers[answer.status] += 1
            self.took_ms.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.3)

    async def listen(self) -> None:
        """Open the event stream, hear it for a while, leave in the middle, and come again."""
        chance = random.Random(1)
        while True:
            with contextlib.suppress(TimeoutError):
                async with (
                    asyncio.timeout(chance.uniform(2, 20)),
                    self.session.get(f"{self.base}/live") as answer,
                ):
                    self.answers[answer.status] += 1
                    async for _ in answer.content:
                        self.events += 1
            await asyncio.sleep(1.0)


async def stay_signed_in(session: aiohttp.ClientSession, base: str) -> None:
    """Sign in again before the token ends."""
    while True:
        await asyncio.sleep(600)
        await sign_in(session, base)


async def total(session: aiohttp.ClientSession, base: str, path: str) -> int:
    """Return how many things a list has."""
    async with session.get(f"{base}{path}") as answer:
        return int((await answer.json())["meta"]["total"])


async def become_calm(session: aiohttp.ClientSession, base: str, count: int) -> list[str]:
    """Wait until all monitors are up and nothing waits to be told; return what is wrong else."""
    wrong: list[str] = []
    until = time.monotonic() + CALM_SECONDS
    while time.monotonic() < until:
        up = await total(session, base, "/v1/monitors?status=up&limit=1")
        pending = await total(session, base, "/v1/alert-events?status=pending&limit=1")
        if up == count and not pending:
            return []
        wrong = [f"after {CALM_SECONDS:.0f} s of calm {up} of {count} are up, {pending} untold"]
        await asyncio.sleep(1.0)
    return wrong


async def add_up(
    session: aiohttp.ClientSession, base: str, ids: dict[str, str], steady: int
) -> list[str]:
    """Hold the account of some monitors' time against the clock."""
    wrong = []
    numbers = [*range(steady)][:ABOUT] + [*range(steady, len(ids))][:ABOUT]
    for number in numbers:
        async with session.get(f"{base}/v1/monitors/{ids[f'/{number}']}/uptime?period=24h") as got:
            account = (await got.json())["data"]
        parts = sum(
            account[f"{part}_seconds"]
            for part in ("up", "degraded", "down", "maintenance", "unknown")
        )
        period = _seconds(account["to"]) - _seconds(account["from"])
        if abs(parts - period) > 1:
            wrong.append(f"target {number}: its parts are {parts} s, the period {period} s")
        if number < steady and account["down_seconds"]:
            wrong.append(f"target {number} was never down: {account['outages']}")
    return wrong


def _seconds(at: str) -> float:
    """Return a moment of the API as Unix seconds."""
    return datetime.datetime.fromisoformat(at).timestamp()


def warm_up(now: float) -> float:
    """Return how many minutes from `now` (Unix seconds) the warm-up lasts."""
    until_sealed = (SEALED_MINUTE - now / 60) % 60
    return until_sealed if until_sealed >= LEAST_WARM_UP else until_sealed + 60


async def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Live through it and return the figures and what was wrong."""
    count, steady = chosen.monitors, chosen.monitors // 2
    with tempfile.TemporaryDirectory() as name:
        data, inside = Path(name) / "data", Path(name) / "samples"
        far = Far(chosen.seed, Path(name) / "ledger.json", steady, chosen.faulty)
        port = free_port()
        trace = ["--trace"] if chosen.trace else []
        command = [*TIED, sys.executable, str(ROOT / "bench" / "sampled.py"), str(inside)]
        log = (Path(name) / "log").open("w")
        server = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            [*command, str(SAMPLE_SECONDS), *trace, "serve", "--data", data, "--port", str(port)],
            env=os.environ | {"NETPULSE_ADMIN_EMAIL": EMAIL, "NETPULSE_ADMIN_PASSWORD": PASSWORD},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession() as session:
                await wait_ready(session, base)
                await sign_in(session, base)
                ids = await furnish(session, base, far, count, steady)
                readers = Readers(session, base, list(ids.values()))
                tasks = [
                    asyncio.create_task(one)
                    for one in (
                        readers.read(),
                        readers.listen(),
                        readers.listen(),
                        stay_signed_in(session, base),
                    )
                ]
                await asyncio.sleep(INTERVAL + 2)
                began, cpu = time.time(), cpu_seconds(server.pid)
                warm = warm_up(began) if chosen.warm_up is None else chosen.warm_up
                samples = await watch(server.pid, (warm + chosen.minutes) * 60)
                ended, used = time.time(), cpu_seconds(server.pid) - cpu
                far.calm()
                for task in tasks:
                    task.cancel()
                broken = [
                    task.exception()
                    for task in (await asyncio.wait(tasks))[0]
                    if not task.cancelled()
                ]
                wrong = [f"a reader failed: {one!r}" for one in broken]
                await sign_in(session, base)
                wrong += await become_calm(session, base, count)
                wrong += await add_up(session, base, ids, steady)
            wrong += [f"answers {n} x {s}" for s, n in readers.answers.items() if s != 200]
            stopping = time.monotonic()
            server.send_signal(signal.SIGTERM)
            status = server.wait(15)
            stopped = round(time.monotonic() - stopping, 2)
            if status:
                wrong.append(f"it ended with {status}")
            came = far.close()
        finally:
            for pid in family(server.pid) if server.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
            far.process.kill()
            log.close()
        said = (Path(name) / "log").read_text()
        wrong += [f"the log: {line}" for line in said.splitlines() if "Traceback" in line]
        wrong += examine(data, ids, steady, came["taken"])
        always = {path: one for path, one in ids.items() if int(path[1:]) < steady}
        grid = judge(always, came["arrivals"], began, ended, step=STEP_MS)
        if chosen.keep:
            chosen.keep.mkdir(parents=True, exist_ok=True)
            (chosen.keep / "log").write_text(said)
            (chosen.keep / "samples.json").write_text(json.dumps(joined(samples, inside)))
            trace_file = inside.with_suffix(".trace")
            if trace_file.exists():
                (chosen.keep / "trace").write_text(trace_file.read_text())
        took = readers.took_ms
        return {
            "monitors": count,
            "minutes": chosen.minutes,
            "warm_up_minutes": round(warm, 1),
            "seed": chosen.seed,
            "checks_asked": came["asked"],
            "faults_given": came["given"],
            "restarts_of_targets": came["restarts"],
            "notices_taken": len({(one[0], one[1]) for one in came["taken"]}),
            "notices_refused": came["refused"],
            "steady_checks_due": grid["checks_due"],
            "steady_checks_missed": grid["checks_due"] - grid["checks_done"],
            "lag_ms_median": grid["lag_ms_median"],
            "lag_ms_p99": grid["lag_ms_p99"],
            "lag_ms_max": grid["lag_ms_max"],
            "breaks_of_our_own": said.count("this process did not run for"),
            "cpu_percent_of_a_core": round(used / (ended - began) * 100, 1),
            "reads": len(took),
            "reads_ms_median": round(statistics.median(took), 1),
            "reads_ms_p99": round(percentile(took, 0.99), 1),
            "events_heard": readers.events,
            "stopped_in_seconds": stopped,
            "most_rss_mb_in_warm_up": max(
                one["rss_mb"] for one in samples if one["at"] < began + warm * 60
            ),
            "after_warm_up": held(figures(joined(samples, inside), warm * 60)),
            "wrong": wrong,
            "targets": {"steady_checks_missed": 0},
        }


def main() -> int:
    """Live through it, print the figures and keep them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=2000)
    options.add_argument("--minutes", type=float, default=30.0, help="after the warm-up")
    options.add_argument(
        "--warm-up", type=float, metavar="MINUTES", help="instead of until a full hour is sealed"
    )
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--faulty", type=float, default=0.06, help="part of the restless half in trouble"
    )
    options.add_argument("--trace", action="store_true", help="follow every allocation (slow)")
    options.add_argument("--keep", type=Path, help="directory for the log and all samples")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    row = asyncio.run(run(chosen))
    sys.stdout.write(json.dumps(row, indent=2) + "\n")
    grown = row["after_warm_up"]["rss_mb"]["per_hour"]
    wrong = f"{len(row['wrong'])} things are wrong" if row["wrong"] else "nothing was broken"
    sys.stdout.write(
        f"memory: {grown} MB an hour after the warm-up (to be under {MOST_SLOPE}); "
        f"{row['steady_checks_missed']} of {row['steady_checks_due']} checks missed; {wrong}\n"
    )
    keep(chosen.out, "soak", row)
    return 1 if row["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
