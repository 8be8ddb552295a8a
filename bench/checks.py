"""The whole product, scheduled, probed, judged, stored: what a check costs, and how late it is.

    python bench/checks.py --seconds 12 --out bench/results
    python bench/checks.py --only http:10000:10 dns:10000:10

Measured from outside: the CPU time of the whole process by the operating system's count, the
arrivals at the target against each monitor's fixed grid, resident memory, and what the API and the
dashboard answer meanwhile. In the rows of 500 checks a second and more a ticker on the product's
event loop tells how late that is, and what was on it. Prometheus with its blackbox exporter is
measured in the same run where the system's packages have them. All stays on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import processors, prometheus  # noqa: E402  # the checkout, not an installed copy
from bench.fleet import KINDS, Far, build, far_side, fields, lacking  # noqa: E402
from bench.measure import (  # noqa: E402
    beside,
    cpu_seconds,
    family,
    judge,
    keep,
    percentile,
    resident_mb,
    running,
    sign_in,
)
from netpulse.model.monitor import TYPES  # noqa: E402
from netpulse.rules.schedule import step_ms  # noqa: E402

TARGET_US = {"http": 250, "https": 1300, "tcp": 100, "dns": 120, "icmp": 50}
"""CPU microseconds a check, from the rates of BUSY on."""
BUSY = {"http": 1000, "https": 500, "tcp": 1000, "dns": 1000, "icmp": 1000}
"""Checks a second."""
RSS_MB = {1_000: 100, 10_000: 200}
MORE_RSS_MB = 30
"""By which the executable may take more than the source."""
LAG_P99_MS, API_P99_MS, DASHBOARD_MS = 50, 50, 300
READ_MONITORS = 10_000
"""Up to so many the targets of the API and the dashboard count."""
IDLE_PERCENT = 1.0
"""Of a core, for 100 monitors at 60 s."""
BEYOND = 12_000
"""https monitors at 10 s that are more than a core can shake hands with: at 0.8 to 1.0 ms a check
all of it takes 1.1 to 1.4 cores. The far side takes about a fifth of one besides."""
WARM_SECONDS = 15
LONG_WARM_SECONDS = 60
"""Where the first checks, for which all is made anew, and their verdicts, which are written each,
are more than a core can do: what is left of them is made up by then."""
LONG_WARM_SHARE = 0.45
"""From this share of a core on, by the targets' cost."""
ONE_CORE_US = 1_500_000
"""By the targets' cost, which is above what a check takes: of 1,400 https checks a second more
than a core's worth is left, of 1,000 it need not be."""
FROM_SOURCE = [sys.executable, "-m", "netpulse"]
DASHBOARD = "/dashboard"
TICKED = 500
"""Checks a second from which on a ticker watches the loop, after the CPU time was taken."""


class Row(NamedTuple):
    """One size: how many monitors of which type, every how many seconds."""

    kind: str
    monitors: int
    interval: int
    seconds: int
    reading: bool = False
    """The API and the dashboard are read, after the CPU time was taken."""
    ticked: bool = True
    """A ticker watches the loop where there is much to do."""

    @property
    def rate(self) -> float:
        """Checks a second."""
        return self.monitors / self.interval

    @property
    def targets(self) -> dict[str, float]:
        """What the figures are to be at most."""
        most: dict[str, float] = {"checks_missed": 0}
        if not self.is_beyond:
            most["lag_ms_p99"] = LAG_P99_MS
        if self.rate >= BUSY[self.kind] and not self.is_beyond:
            most["cpu_us_per_check"] = TARGET_US[self.kind]
        if (self.monitors, self.interval) == (100, 60):
            most["cpu_percent_of_a_core"] = IDLE_PERCENT
        if self.monitors in RSS_MB:
            most["rss_mb"] = RSS_MB[self.monitors]
        if self.reading and self.monitors <= READ_MONITORS:
            most |= {"api_ms_p99": API_P99_MS, "dashboard_ms_max": DASHBOARD_MS}
        return most

    @property
    def is_beyond(self) -> bool:
        """Whether it is more than one core can do: then another has to take its part."""
        return self.rate * TARGET_US[self.kind] > ONE_CORE_US


def plan(seconds: int) -> list[list[Row]]:
    """Return what is measured: the rows of a list at the same time, the lists one after another."""
    few = [Row(kind, 100, 10, 2 * seconds) for kind in KINDS]
    return [
        [*few, Row("http", 100, 60, max(60, 2 * seconds))],
        [Row(kind, 1_000, 10, seconds) for kind in KINDS],
        [Row("http", 10_000, 10, seconds, reading=True)],
        [Row("https", 5_000, 10, seconds)],
        [Row("https", BEYOND, 10, seconds)],
        *([Row(kind, 10_000, 10, seconds)] for kind in ("tcp", "dns", "icmp")),
        [Row("http", 30_000, 10, seconds, reading=True)],
    ]


async def ask(
    session: aiohttp.ClientSession, base: str, ids: Sequence[str]
) -> AsyncIterator[tuple[float, str, float]]:
    """Read lists, monitors, checks and the dashboard, ten a second; yield the Unix time of each
    request, its path, and how many milliseconds its answer took."""
    for number in count(1):
        one = ids[number % len(ids)]
        path = (
            "/v1/monitors?limit=20",
            f"/v1/monitors/{one}",
            f"/v1/monitors/{one}/checks?limit=20",
            f"/v1/monitors/{one}/uptime?period=24h",
            DASHBOARD,
        )[number % 5]
        at, began = time.time(), time.perf_counter()
        async with session.get(base + path) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}")
        yield at, path, (time.perf_counter() - began) * 1000
        await asyncio.sleep(0.1)


async def read(
    session: aiohttp.ClientSession, base: str, ids: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Read for so long, and return how long that took."""
    api: list[float] = []
    dashboard: list[float] = []
    until = time.monotonic() + seconds
    async for _, path, took in ask(session, base, ids):
        (dashboard if path == DASHBOARD else api).append(took)
        if time.monotonic() >= until:
            break
    return {
        "api_requests": len(api),
        "api_ms_median": round(statistics.median(api), 2),
        "api_ms_p99": round(percentile(api, 0.99), 2),
        "dashboard_ms_median": round(statistics.median(dashboard), 2),
        "dashboard_ms_max": round(max(dashboard), 2),
    }


def ticked(ledger: Path, began: float, ended: float) -> dict[str, Any]:
    """Return how late the loop was between two moments, and what was on it most often."""
    told = json.loads(ledger.read_text())
    late = [each for at, each in told["ticks"] if began <= at < ended]
    return {
        "loop_late_ms_p99": round(percentile(late, 0.99), 2),
        "loop_late_ms_max": round(max(late, default=float("nan")), 2),
        "on_the_loop_when_late": [f"{count} x {stack}" for stack, count in told["stacks"][:5]],
    }


async def run(row: Row, command: list[str]) -> dict[str, Any]:
    """Measure one size and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with far_side(row.kind, folder) as far:
            ids = await build(folder / "data", far, row.monitors, row.interval)
            found = await _watch(row, command, folder, far, ids)
        measured, counted = (found.pop("from"), found.pop("to")), found.pop("counted")
        step = step_ms(TYPES[row.kind](name="one", **fields(far, 0)))
        lags = judge(ids, far.arrivals(), *measured, row.interval, step=step)
        found["far_side"] = far.program
        before, after = found.pop("moments")
        names: dict[int, str] = {}
        if found["ticker"]:
            ledger = folder / "ticks.json"
            names = dict(json.loads(ledger.read_text())["threads"])
            found |= ticked(ledger, counted[1], measured[1])
        found |= processors.used(before, after, found["seconds"], names)
        seen = judge(ids, far.arrivals(), counted[0], counted[1], row.interval, step=step)
        checks = max(1, seen["checks_seen"])
        used = found.pop("used")
        return beside(
            {"type": row.kind, "monitors": row.monitors, "interval_seconds": row.interval}
            | lags
            | {
                "cpu_us_per_check": round(used / checks * 1e6),
                "cpu_percent_of_a_core": round(used / found["seconds"] * 100, 2),
            }
            | found,
            row.targets,
            {"cpu_percent_of_a_core": 100.0} if row.is_beyond else {},
        )


async def _watch(
    row: Row, command: list[str], folder: Path, far: Far, ids: dict[str, str]
) -> dict[str, Any]:
    """Run the product on what was made, and return what the operating system says of it."""
    ticker = row.rate >= TICKED and row.ticked
    if command is FROM_SOURCE:
        command = [sys.executable, str(ROOT / "bench" / "ticking.py"), str(folder / "ticks.json")]
    async with running(command, folder / "data") as at:
        pid = at.process.pid
        # Every monitor had its first check by then, ten seconds at most after the start, and
        # the start's own work is done.
        busy = row.rate * TARGET_US[row.kind] / 1e6 >= LONG_WARM_SHARE
        await asyncio.sleep(LONG_WARM_SECONDS if busy else WARM_SECONDS)
        # Of an executable the second process is the program, the first one has unpacked it.
        program = family(pid)[-1]
        began, cpu, before = time.time(), cpu_seconds(pid), processors.moment(program)
        far_cpu = cpu_seconds(far.pid)
        await asyncio.sleep(row.seconds)
        used, middle = cpu_seconds(pid) - cpu, time.time()
        after, far_cpu = processors.moment(program), cpu_seconds(far.pid) - far_cpu
        reading: dict[str, Any] = {}
        if ticker:
            # Only now: it would be counted among what checks cost.
            at.process.send_signal(signal.SIGUSR2)
        if ticker and not row.reading:
            await asyncio.sleep(row.seconds)
        if row.reading:
            await sign_in(at.session, at.base)
            reading = await read(at.session, at.base, list(ids.values()), row.seconds)
        memory = resident_mb(pid)
        ended = time.time()
        if row.is_beyond:
            # What was due last has its whole interval to come in, or it was not missed yet.
            await asyncio.sleep(row.interval)
    return reading | {
        "used": used,
        "moments": (before, after),
        "seconds": round(middle - began, 1),
        "far_side_percent_of_a_core": round(far_cpu / (middle - began) * 100, 1),
        "rss_mb": round(memory, 1),
        "start_seconds": round(at.started, 2),
        "ticker": ticker,
        "counted": (began, middle),
        "from": began,
        "to": ended,
    }


def shown(row: dict[str, Any]) -> str:
    """Return a row as lines for people, beside what is to be reached."""

    def held(key: str) -> str:
        target = row["targets"].get(key)
        return f"{row[key]}" if target is None else f"{row[key]} (target {target})"

    words = (
        f"{row['type']:>5} {row['monitors']:>6} at {row['interval_seconds']} s, "
        f"{row['monitors'] / row['interval_seconds']:>6.1f}/s: "
        f"us CPU a check {held('cpu_us_per_check')}, "
        f"% of a core {held('cpu_percent_of_a_core')}, "
        f"missed {held('checks_missed')} of {row['checks_due']}, lag median "
        f"{row['lag_ms_median']} p99 {held('lag_ms_p99')} max {row['lag_ms_max']} ms, "
        f"RSS MB {held('rss_mb')}, machine idle {row['machine_idle_percent']} %"
    )
    if row["ticker"]:
        words += f"\n      loop late p99 {row['loop_late_ms_p99']} max {row['loop_late_ms_max']} ms"
        threads = row["threads_percent_of_a_core"].items()
        words += "; " + ", ".join(f"{name} {share} %" for name, share in threads)
    if "api_ms_p99" in row:
        words += (
            f"\n      API p99 ms {held('api_ms_p99')}, dashboard median "
            f"{row['dashboard_ms_median']} max {held('dashboard_ms_max')}"
        )
    return words


def _shown_peer(row: dict[str, Any]) -> str:
    return (
        f"Prometheus + blackbox exporter, {row['monitors']} at {row['interval_seconds']} s: "
        f"{row['cpu_us_per_check']} us CPU a check (exporter {row['cpu_us_per_check_exporter']}), "
        f"{row['checks_done']}/{row['checks_due']} done, lag median {row['lag_ms_median']} p99 "
        f"{row['lag_ms_p99']} max {row['lag_ms_max']} ms, RSS {row['rss_mb']} MB"
    )


def say(words: str) -> None:
    """Print at once: a run takes minutes."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


async def measure(together: list[list[Row]]) -> list[dict[str, Any]]:
    """Measure all rows, and print each as it comes."""
    rows = []
    for some in together:
        for row in await asyncio.gather(*(run(each, FROM_SOURCE) for each in some)):
            rows.append(row)
            say(shown(row))
    return rows


async def compare(some: list[Row], binary: Path) -> list[dict[str, Any]]:
    """Measure rows from source and of the executable, one right after the other."""
    found = []
    for row in some:
        both = {}
        for name, command in (("source", FROM_SOURCE), ("executable", [str(binary)])):
            both[name] = await run(row._replace(ticked=False), command)
            say(f"{name:>10}: {shown(both[name])}")
        more = round(both["executable"]["rss_mb"] - both["source"]["rss_mb"], 1)
        say(f"{'':>10}  the executable takes {more} MB more (target {MORE_RSS_MB})")
        about = {"type": row.kind, "monitors": row.monitors, "interval_seconds": row.interval}
        found.append(beside(about | {"more_rss_mb": more} | both, {"more_rss_mb": MORE_RSS_MB}))
    return found


def main() -> None:
    """Measure, print a line a row, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=12, help="how long each row is measured")
    options.add_argument(
        "--only", nargs="+", metavar="TYPE:MONITORS:INTERVAL", help="these, one after the other"
    )
    options.add_argument("--binary", type=Path, help="hold this executable against the source")
    options.add_argument("--alone", action="store_true", help="without the peers")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    together = plan(chosen.seconds)
    if chosen.only:
        parts = (each.split(":") for each in chosen.only)
        together = [[Row(kind, int(n), int(s), chosen.seconds, True)] for kind, n, s in parts]
    if chosen.binary:
        # As the source is measured above: pages are read in the larger one.
        some = [
            Row("http", 1_000, 10, chosen.seconds),
            Row("http", 10_000, 10, chosen.seconds, True),
        ]
        if chosen.only:
            some = [row for each in together for row in each]
        found = asyncio.run(compare(some, chosen.binary))
        keep(chosen.out, "checks-binary", {"rows": found})
        return
    for kind, missing in {each: lacking(each) for each in KINDS}.items():
        if missing:
            say(f"{kind} is left out: it takes {missing}")
            together = [[row for row in some if row.kind != kind] for some in together]
    rows = asyncio.run(measure(together))
    peers = []
    said = None if chosen.alone or chosen.only else prometheus.versions()
    if said is not None:
        peers = [asyncio.run(prometheus.run(some, 10, chosen.seconds)) for some in (1_000, 5_000)]
        for peer in peers:
            say(_shown_peer(peer))
    keep(chosen.out, "checks", {"rows": rows, "peers": peers, "peers_versions": said})


if __name__ == "__main__":
    main()
