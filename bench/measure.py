"""What benches have in common: processes counted from outside, arrivals held against grids."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from netpulse import __version__
from netpulse.rules.schedule import phase_ms

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 10
EMAIL, PASSWORD = "bench@example.com", "a long bench passphrase"
TIED = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
"""What a command begins with that ends with the bench, also where that is killed: loads end by
themselves."""
LOAD_BEFORE = os.getloadavg()
"""Of the last 1, 5 and 15 minutes when this was imported: before anything of ours ran."""


UNDER_WAY = 2.0
"""Seconds before the end of what is measured whose slots are left out: their checks may still be
under way then."""
EARLY = 0.1
"""Seconds by which a check may seem to come before its slot: nginx looks at the clock once for all
that it finds waiting, and where it is kept from the processor amid these, it writes down the time
from before."""


def machine(data: Path | None = None) -> dict[str, Any]:
    """Return what the figures were measured on; `data` is where the data lay, a temporary
    directory by default."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": _said_of("/proc/cpuinfo", "model name"),
        "memory_mb": round(int(_said_of("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e6),
        "file_system": file_system(data or Path(tempfile.gettempdir())),
        "load_before": [round(each, 2) for each in LOAD_BEFORE],
    }


def _said_of(file: str, word: str) -> str:
    """Return what a file of /proc says after a word and a colon."""
    lines = Path(file).read_text().splitlines()
    return next((each.partition(":")[2].strip() for each in lines if each.startswith(word)), "")


def file_system(place: Path) -> str:
    """Return the type of the file system that holds a path (proc(5), mountinfo)."""
    place = place.resolve()
    found = (0, "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        # Of two at the same place the later one is on top.
        if place.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), after.split()[0])
    return found[1]


def _program() -> dict[str, str]:
    told = hashlib.sha256()
    place = ROOT / "netpulse"
    for path in sorted(each for each in place.rglob("*") if each.is_file()):
        if "__pycache__" not in path.parts:
            told.update(f"{path.relative_to(place)}\0".encode() + path.read_bytes() + b"\0")
    return {"version": __version__, "sources": told.hexdigest()[:8]}


PROGRAM = _program()
"""Which NetPulse this is: its version, and eight digits that are others as soon as one of its files
is."""


def command(words: Sequence[str]) -> str:
    """Return how a bench was begun, from its `sys.argv`: without where its results went, and
    without directories of this machine."""
    script, told, rest = Path(words[0]).resolve(), [], iter(words[1:])
    for word in rest:
        if word == "--out":
            next(rest, None)
        elif not word.startswith("--out="):
            told.append(Path(word).name if word.startswith("/") else word)
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script.name
    return shlex.join(["python", str(name), *told])


def report(data: Path | None = None) -> dict[str, Any]:
    """Return the head of a file of results."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command(sys.argv),
        "program": PROGRAM,
        "machine": machine(data),
    }


def beside(
    figures: Mapping[str, Any],
    targets: Mapping[str, float],
    at_least: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return figures with their targets: `targets` says under a figure's own key what it is to be
    at most, and `at_least`, which is there only where there is something to say, the contrary.

    Raises:
        KeyError: a target without a figure.
    """
    missing = [key for key in (*targets, *(at_least or {})) if key not in figures]
    if missing:
        raise KeyError(f"no figure for the target of {', '.join(missing)}")
    held = dict(figures) | {"targets": dict(targets)}
    return held | {"at_least": dict(at_least)} if at_least else held


def keep(
    folder: Path | None,
    name: str,
    found: Mapping[str, Any],
    data: Path | None = None,
) -> None:
    """Write what was found into `name`.json; nowhere without a folder. `data` as of `machine`.

    Raises:
        ValueError: a figure is no number (NaN), which JSON has no word for.
    """
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    told = report(data) | dict(found)
    (folder / f"{name}.json").write_text(json.dumps(told, indent=2, allow_nan=False) + "\n")


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
    """Return the user and system seconds used so far by the process and its descendants, those that
    have ended among them."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        # Its own, and those of children that it has waited for.
        ticks += sum(int(each) for each in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of the process and its descendants in megabytes."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


class Running(NamedTuple):
    """A NetPulse that answers."""

    process: subprocess.Popen[bytes]
    base: str
    """Where it is: http://127.0.0.1:PORT."""
    session: aiohttp.ClientSession
    """Of nobody yet: `sign_in` makes it the administrator's."""
    started: float
    """Seconds from the start of the process to its first answer."""


@contextlib.asynccontextmanager
async def running(command: Sequence[str], data: Path) -> AsyncIterator[Running]:
    """Run NetPulse on a data directory until what is done with it is over.

    Args:
        command: what begins it, without `serve`.
        data: its data directory.

    Raises:
        SystemExit: it does not answer.
        TimeoutExpired: it did not end, and was killed.
    """
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
        [*TIED, *command, "serve", "--data", str(data), "--port", str(port)],
        env=os.environ | {"NETPULSE_LIMITS_REQUESTS_PER_MINUTE": "0"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            started = await wait_ready(session, base)
            yield Running(process, base, session, started)
    finally:
        end(process)


def end(process: subprocess.Popen[Any], patience: float = 30.0) -> None:
    """Ask a process to end, and wait for that; one that does not is killed with its descendants,
    so that no bench leaves it behind.

    Raises:
        TimeoutExpired: it had to be killed.
    """
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        for one in family(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait(patience)
        raise


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
    *,
    step: int,
) -> dict[str, Any]:
    """Hold the arrivals (key, Unix seconds) against the grid of each monitor (key -> id), whose
    slots lie on multiples of so many milliseconds."""
    phases = {key: phase_ms(each, interval * 1000, step) / 1000 for key, each in ids.items()}
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
    """Return due, done, missed, seen, and the lag behind the slots in milliseconds."""
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
        while slot < ended - UNDER_WAY:
            due += 1
            late = [at - slot for at in seen[key] if -EARLY <= at - slot < interval - EARLY]
            if late:
                done += 1
                lags.append(max(0.0, late[0] * 1000))
            slot += interval
    return {
        "checks_due": due,
        "checks_done": done,
        "checks_missed": due - done,
        "checks_seen": within,
        "lag_ms_median": round(percentile(lags, 0.5), 2) if lags else None,
        "lag_ms_p99": round(percentile(lags, 0.99), 2) if lags else None,
        "lag_ms_max": round(max(lags), 2) if lags else None,
    }
