"""N HTTP monitors at 10 s against a fast local server: what a minute of it costs.

    python bench/checks.py --monitors 100 1000 5000 --seconds 60 --out bench/results

Measured from outside: the arrivals at the target against each monitor's grid (lag, missed), the
CPU time of the whole process by the operating system's count, its resident memory, the growth of
its data directory, and the latency of the API meanwhile. Everything stays on loopback and ends by
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from netpulse.rules.schedule import phase_ms  # noqa: E402  # the checkout, not an installed copy

INTERVAL = 10
EMAIL, PASSWORD = "bench@example.com", "a long bench passphrase"


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system seconds used so far by the process and its descendants."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of the process and its descendants in megabytes."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def stored_bytes(data: Path) -> int:
    """Return the bytes of the raw results, write-ahead logs included."""
    return sum(path.stat().st_size for path in data.glob("hot/*") if path.is_file())


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


async def wait_ready(session: aiohttp.ClientSession, base: str) -> float:
    """Wait until the process answers and return the seconds that took."""
    began = time.perf_counter()
    while time.perf_counter() - began < 60:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{base}/healthz") as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
        await asyncio.sleep(0.05)
    raise SystemExit("NetPulse did not answer within 60 s")


async def fill(
    session: aiohttp.ClientSession, base: str, target: int, count: int
) -> dict[str, str]:
    """Make `count` monitors and return path -> monitor id."""
    ids: dict[str, str] = {}
    gate = asyncio.Semaphore(32)

    async def one(number: int) -> None:
        spec = {
            "type": "http",
            "name": f"bench {number}",
            "target": f"http://127.0.0.1:{target}/{number}",
            "interval_seconds": INTERVAL,
            "timeout_seconds": 5,
        }
        async with gate, session.post(f"{base}/v1/monitors", json=spec) as answer:
            body = await answer.json()
            if answer.status != 201:
                raise SystemExit(f"a monitor was refused: {body}")
            ids[f"/{number}"] = body["data"]["id"]

    await asyncio.gather(*(one(number) for number in range(count)))
    return ids


async def sample_api(
    session: aiohttp.ClientSession, base: str, ids: list[str], until: float
) -> list[float]:
    """Read lists, single monitors and checks until `until`; return the latencies in ms."""
    latencies = []
    number = 0
    while time.monotonic() < until:
        number += 1
        one = ids[number % len(ids)]
        path = (
            "/v1/monitors?limit=20",
            f"/v1/monitors/{one}",
            f"/v1/monitors/{one}/checks?limit=20",
            f"/v1/monitors/{one}/uptime?period=24h",
        )[number % 4]
        began = time.perf_counter()
        async with session.get(base + path) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}")
        latencies.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.1)
    return latencies


async def run(count: int, seconds: int, command: list[str]) -> dict[str, Any]:
    """Measure one size and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        data, ledger = Path(name) / "data", Path(name) / "arrivals.json"
        target = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            [sys.executable, str(ROOT / "bench" / "target.py"), str(ledger)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert target.stdout is not None
        assert target.stdin is not None
        target_port = int(target.stdout.readline())
        port = free_port()
        environ = os.environ | {
            "NETPULSE_ADMIN_EMAIL": EMAIL,
            "NETPULSE_ADMIN_PASSWORD": PASSWORD,
        }
        server = subprocess.Popen(  # noqa: ASYNC220
            [*command, "serve", "--data", str(data), "--port", str(port)],
            env=environ,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession() as session:
                started = await wait_ready(session, base)
                login = {"email": EMAIL, "password": PASSWORD}
                async with session.post(f"{base}/v1/auth/login", json=login) as answer:
                    token = (await answer.json())["data"]["access_token"]
                session.headers["Authorization"] = f"Bearer {token}"
                ids = await fill(session, base, target_port, count)
                await asyncio.sleep(INTERVAL + 5)
                began, cpu, stored = time.time(), cpu_seconds(server.pid), stored_bytes(data)
                api = await sample_api(
                    session, base, list(ids.values()), time.monotonic() + seconds
                )
                ended = time.time()
                used = cpu_seconds(server.pid) - cpu
                grown = stored_bytes(data) - stored
                memory = resident_mb(server.pid)
        finally:
            server.terminate()
            server.wait(15)
            target.stdin.close()
            target.wait(60)
        return judge(ids, json.loads(ledger.read_text()), began, ended) | {
            "monitors": count,
            "seconds": round(ended - began, 1),
            "cpu_ms_per_check": None,
            "cpu_seconds": round(used, 2),
            "rss_mb": round(memory, 1),
            "stored_growth_bytes": grown,
            "api_requests": len(api),
            "api_ms_median": round(statistics.median(api), 2),
            "api_ms_p99": round(percentile(api, 0.99), 2),
            "start_seconds": round(started, 2),
        }


def judge(
    ids: dict[str, str], arrivals: list[tuple[str, float]], began: float, ended: float
) -> dict[str, Any]:
    """Hold the arrivals against each monitor's grid: due, done, missed, lag in milliseconds."""
    seen: dict[str, list[float]] = defaultdict(list)
    for path, at in arrivals:
        seen[path].append(at)
    due = done = 0
    lags = []
    for path, monitor_id in ids.items():
        phase = phase_ms(monitor_id, INTERVAL * 1000) / 1000
        slot = began - (began - phase) % INTERVAL + INTERVAL
        # The last slots may still be under way when the measuring ends.
        while slot < ended - 2:
            due += 1
            late = [at - slot for at in seen[path] if -0.005 <= at - slot < INTERVAL - 0.005]
            if late:
                done += 1
                lags.append(max(0.0, late[0] * 1000))
            slot += INTERVAL
    return {
        "checks_due": due,
        "checks_done": done,
        "checks_seen": sum(began <= at < ended for at in (at for _, at in arrivals)),
        "lag_ms_median": round(statistics.median(lags), 2) if lags else None,
        "lag_ms_p99": round(percentile(lags, 0.99), 2) if lags else None,
        "lag_ms_max": round(max(lags), 2) if lags else None,
    }


def main() -> None:
    """Measure each size, print a table, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, nargs="+", default=[100, 1000, 5000])
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--binary", type=Path, help="measure this executable instead")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    command = [str(chosen.binary)] if chosen.binary else [sys.executable, "-m", "netpulse"]
    rows = []
    for count in chosen.monitors:
        row = asyncio.run(run(count, chosen.seconds, command))
        checks = max(1, row["checks_seen"])
        row["cpu_ms_per_check"] = round(row["cpu_seconds"] * 1000 / checks, 3)
        row["stored_bytes_per_check"] = round(row["stored_growth_bytes"] / checks, 1)
        rows.append(row)
        sys.stdout.write(
            f"{count:>6} monitors: {row['checks_done']}/{row['checks_due']} checks, lag median "
            f"{row['lag_ms_median']} p99 {row['lag_ms_p99']} max {row['lag_ms_max']} ms, "
            f"{row['cpu_ms_per_check']} ms CPU a check, RSS {row['rss_mb']} MB, "
            f"{row['stored_bytes_per_check']} bytes a check, "
            f"API p99 {row['api_ms_p99']} ms\n"
        )
        sys.stdout.flush()
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        report = {
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": "make bench",
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "python": platform.python_version(),
                "cores": os.cpu_count(),
            },
            "interval_seconds": INTERVAL,
            "rows": rows,
        }
        name = "http-binary.json" if chosen.binary else "http.json"
        (chosen.out / name).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
