"""What benches have in common: processes counted from outside, arrivals held against grids."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from netpulse.rules.schedule import phase_ms

INTERVAL = 10
EMAIL, PASSWORD = "bench@example.com", "a long bench passphrase"


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((each.partition(":")[2].strip() for each in lines if "model name" in each), "")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": model,
    }


def report(command: str = "make bench") -> dict[str, Any]:
    """Return the head of a file of results."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "machine": machine(),
    }


def keep(
    folder: Path | None, name: str, found: Mapping[str, Any], command: str = "make bench"
) -> None:
    """Write what was found into `name`.json; nowhere without a folder."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    told = report(command) | dict(found)
    (folder / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n")


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


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


async def wait_ready(session: aiohttp.ClientSession, base: str, patience: float = 60.0) -> float:
    """Wait until the process answers and return the seconds that took."""
    began = time.perf_counter()
    while time.perf_counter() - began < patience:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{base}/healthz") as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
        await asyncio.sleep(0.05)
    raise SystemExit(f"NetPulse did not answer within {patience:.0f} s")


async def sign_in(session: aiohttp.ClientSession, base: str) -> None:
    """Let the session speak as the administrator for as long as an access token lasts: a quarter of
    an hour."""
    login = {"email": EMAIL, "password": PASSWORD}
    async with session.post(f"{base}/v1/auth/login", json=login) as answer:
        token = (await answer.json())["data"]["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"


async def made(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> str:
    """Make one thing through the API and return its id."""
    async with session.post(url, json=body) as answer:
        said = await answer.json()
        if answer.status != 201:
            raise SystemExit(f"refused: {said}")
        return str(said["data"]["id"])


async def fill(
    session: aiohttp.ClientSession, base: str, target: int, count: int
) -> dict[str, str]:
    """Make `count` monitors by the API and return path -> monitor id."""
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


def judge(
    ids: Mapping[str, str],
    arrivals: Iterable[tuple[str, float]],
    began: float,
    ended: float,
    interval: int = INTERVAL,
) -> dict[str, Any]:
    """Hold the arrivals (key, Unix seconds) against the grid of each monitor (key -> id)."""
    phases = {key: phase_ms(each, interval * 1000) / 1000 for key, each in ids.items()}
    return hold(phases, arrivals, began, ended, interval)


def own_phases(arrivals: Iterable[tuple[str, float]], interval: int) -> dict[str, float]:
    """Return each key's phase in the interval, told from its earliest arrival on the circle: the
    grid of a scheduler that does not say what its grid is."""
    seen: dict[str, list[float]] = defaultdict(list)
    for key, at in arrivals:
        seen[key].append(at % interval)
    phases = {}
    for key, places in seen.items():
        first = places[0]
        # Relative to one of them, so that those on both sides of zero stay neighbours.
        around = [(each - first + interval / 2) % interval - interval / 2 for each in places]
        phases[key] = (first + min(around)) % interval
    return phases


def hold(
    phases: Mapping[str, float],
    arrivals: Iterable[tuple[str, float]],
    began: float,
    ended: float,
    interval: int,
) -> dict[str, Any]:
    """Return due, done, seen, and the lag behind the slots in milliseconds."""
    seen: dict[str, list[float]] = defaultdict(list)
    within = 0
    for key, at in arrivals:
        # Pings of others on this host are heard too.
        if key in phases:
            seen[key].append(at)
            within += began <= at < ended
    due = done = 0
    lags = []
    for key, phase in phases.items():
        slot = began - (began - phase) % interval + interval
        # The last slots may still be under way when the measuring ends.
        while slot < ended - 2:
            due += 1
            late = [at - slot for at in seen[key] if -0.005 <= at - slot < interval - 0.005]
            if late:
                done += 1
                lags.append(max(0.0, late[0] * 1000))
            slot += interval
    return {
        "checks_due": due,
        "checks_done": done,
        "checks_seen": within,
        "lag_ms_median": round(percentile(lags, 0.5), 2) if lags else None,
        "lag_ms_p99": round(percentile(lags, 0.99), 2) if lags else None,
        "lag_ms_max": round(max(lags), 2) if lags else None,
    }
