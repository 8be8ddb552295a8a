"""From the start of the process to the first check, with 10,000 monitors.

    python bench/start.py --monitors 10000 --rounds 5 --out bench/results
    python bench/start.py --binary dist/netpulse --out bench/results

Twice: restarted at once, where the last verdicts still vouch, and after a day, where none does
and all of them turn unknown. The clock begins before the process does and ends when the
first request reaches the target. The CPU time until then is the process's own, by the operating
system's count, and says more on a busy machine. Everything stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import crowd  # noqa: E402  # the checkout, not an installed copy
from bench.measure import TIED, beside, cpu_seconds, end, free_port, keep, resident_mb  # noqa: E402
from netpulse.model.time import DAY, SECOND  # noqa: E402

INTERVAL = 10
TARGET_SOURCE, TARGET_BINARY = 1.5, 2.5
EXECUTABLE_MB = 45
"""Of 1,000,000 bytes."""
LONGEST = 60.0
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""With it every start would compile all sources anew, which an installed NetPulse never does."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
CASES = {"restarted at once": False, "after a day": True}


class Target:
    """A local server that says when it was asked first."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.first = asyncio.Event()
        self.at = 0.0

    def asked(self) -> None:
        """Note that somebody asks."""
        if not self.first.is_set():
            self.at = time.perf_counter()
            self.first.set()


class Answer(asyncio.Protocol):
    """One connection to the target."""

    def __init__(self, target: Target) -> None:
        """Take the target."""
        self._target = target
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._target.asked()
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a whole request, and close."""
        self._seen += data
        if b"\r\n\r\n" in self._seen:
            self._transport.write(ANSWER)  # type: ignore[attr-defined]  # a Transport here
            self._transport.close()


async def once(command: list[str], data: Path, target: Target) -> Any:
    """Start the process, wait for its first check, end it, and return what that took."""
    target.first.clear()
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: ASYNC220  # its start is what is measured
        [*TIED, *command, "serve", "--data", str(data), "--port", str(free_port())],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != UNCOMPILED},
    )
    try:
        await asyncio.wait_for(target.first.wait(), LONGEST)
        cpu = cpu_seconds(process.pid)
        memory = resident_mb(process.pid)
    finally:
        end(process)
    return {"seconds": target.at - began, "cpu_seconds": cpu, "rss_mb": memory}


async def run(command: list[str], count: int, rounds: int) -> dict[str, Any]:
    """Measure both cases, taking turns, and return their figures."""
    target = Target()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(target), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    taken: dict[str, list[Any]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        filled = Path(name) / "filled"
        await crowd.build(
            filled, count, port=port, interval=INTERVAL, often=INTERVAL, is_short=True
        )
        for number in range(rounds + 1):
            for case, has_lapsed in CASES.items():
                data = Path(name) / f"{number} {case}"
                shutil.copytree(filled, data)
                ago = DAY if has_lapsed else 0
                await crowd.check_all(data, int(time.time() * SECOND) - ago)
                found = await once(command, data, target)
                # The first round compiles, and fills the machine's cache of files.
                if number:
                    taken[case].append(found)
                shutil.rmtree(data)
    server.close()
    return {case: summary(found) for case, found in taken.items()}


def summary(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the figures of one case."""
    seconds = [one["seconds"] for one in found]
    return {
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_min": round(min(seconds), 2),
        "seconds_max": round(max(seconds), 2),
        "cpu_seconds_median": round(statistics.median(one["cpu_seconds"] for one in found), 2),
        "rss_mb": round(statistics.median(one["rss_mb"] for one in found), 1),
    }


def main() -> None:
    """Measure, print the figures beside their targets, and keep them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--binary", type=Path, help="measure this executable instead")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    command = [str(chosen.binary)] if chosen.binary else [sys.executable, "-m", "netpulse"]
    goal = TARGET_BINARY if chosen.binary else TARGET_SOURCE
    found = asyncio.run(run(command, chosen.monitors, chosen.rounds))
    rows = {case: beside(row, {"seconds_median": goal}) for case, row in found.items()}
    for case, row in rows.items():
        sys.stdout.write(
            f"{chosen.monitors} monitors, {case:<18} first check after {row['seconds_median']} s "
            f"({row['seconds_min']} to {row['seconds_max']}; target {goal}), "
            f"CPU {row['cpu_seconds_median']} s, RSS {row['rss_mb']} MB\n"
        )
    size = None
    if chosen.binary:
        size = round(chosen.binary.stat().st_size / 1e6, 1)
        sys.stdout.write(f"{chosen.binary}: {size} MB (target {EXECUTABLE_MB})\n")
    told = {
        "monitors": chosen.monitors,
        "rounds": chosen.rounds,
        "executable_mb": size,
        "cases": rows,
    }
    if size is not None:
        told = beside(told, {"executable_mb": EXECUTABLE_MB})
    keep(chosen.out, "start-binary" if chosen.binary else "start", told)


if __name__ == "__main__":
    main()
