"""Alerts: from a target's failing answer to the notice on the wire, and a storm of them.

    python bench/alerts.py --monitors 1000 --out bench/results

All monitors fail at once. Measured at the target and at the receiver, so that everything between
counts: from the failing answer that confirms (the second one) to the arrival of the webhook; then
the same monitors with ten receivers: 10,000 notices in one storm, and how long they take. All of it
stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
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

from bench.measure import (  # noqa: E402  # the checkout, not an installed copy
    EMAIL,
    PASSWORD,
    cpu_seconds,
    free_port,
    keep,
    made,
    percentile,
    sign_in,
    wait_ready,
)

INTERVAL = 10
PATIENCE = 180.0


class Far:
    """The process with the target and the receivers."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "switched.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        self.port = int(self.out.readline())

    def say(self, word: str) -> None:
        """Send one command."""
        self.into.write(word + "\n")
        self.into.flush()

    def report(self) -> dict[str, list[list[Any]]]:
        """Return what came since the last report."""
        self.say("report")
        found: dict[str, list[list[Any]]] = json.loads(self.out.readline())
        return found

    def close(self) -> None:
        """End it."""
        self.into.close()
        self.process.wait(30)


async def receivers(session: aiohttp.ClientSession, base: str, port: int, count: int) -> None:
    """Make `count` channels, each with a rule for every monitor's being down."""
    for number in range(count):
        config = {"url": f"http://127.0.0.1:{port}/hook/{number}"}
        channel = {"name": f"receiver {number}", "type": "webhook", "config": config}
        channel_id = await made(session, f"{base}/v1/alert-channels", channel)
        rule = {"channel_id": channel_id, "condition": "down", "cooldown_seconds": 0}
        await made(session, f"{base}/v1/alert-rules", rule)


async def monitors(session: aiohttp.ClientSession, base: str, port: int, count: int) -> None:
    """Make `count` monitors that confirm within a second."""
    gate = asyncio.Semaphore(32)

    async def one(number: int) -> None:
        async with gate:
            await made(
                session,
                f"{base}/v1/monitors",
                {
                    "type": "http",
                    "name": f"{number}",
                    "target": f"http://127.0.0.1:{port}/t/{number}",
                    "interval_seconds": INTERVAL,
                    "timeout_seconds": 5,
                    "confirmations": 2,
                    "retry_interval_seconds": 1,
                },
            )

    await asyncio.gather(*(one(number) for number in range(count)))


class Storm:
    """What is collected of one storm."""

    def __init__(self) -> None:
        self.failed: dict[str, list[float]] = defaultdict(list)
        self.told: dict[str, list[float]] = defaultdict(list)
        """Arrivals of monitor.down by monitor's name."""
        self.ids: list[str] = []

    def take(self, report: dict[str, list[list[Any]]]) -> None:
        """Add a report."""
        for path, at in report["failed"]:
            self.failed[path.rpartition("/")[2]].append(at)
        for _, notice_id, body, at in report["told"]:
            said = json.loads(body)
            if said["event"] == "monitor.down":
                self.told[said["monitor"]["name"]].append(at)
                self.ids.append(notice_id)

    @property
    def count(self) -> int:
        """Notices that came."""
        return sum(len(times) for times in self.told.values())


async def storm(far: Far, wanted: int) -> Storm:
    """Switch the target off and wait until `wanted` notices have come."""
    found = Storm()
    far.report()
    far.say("off")
    deadline = time.monotonic() + PATIENCE
    while found.count < wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        found.take(far.report())
    await asyncio.sleep(2)
    found.take(far.report())
    far.say("on")
    return found


async def calm(session: aiohttp.ClientSession, base: str, count: int) -> None:
    """Wait until all monitors are up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        async with session.get(f"{base}/v1/monitors?status=up&limit=1") as answer:
            if (await answer.json())["meta"]["total"] == count:
                return
        await asyncio.sleep(0.5)
    raise SystemExit("the monitors did not come up")


def figures(found: Storm, receivers_: int, cpu: float) -> dict[str, Any]:
    """Return the figures of a storm."""
    waits = []
    for name, times in found.told.items():
        confirming = sorted(found.failed[name])[1]
        waits += [max(0.0, (at - confirming) * 1000) for at in times]
    first = min(min(times) for times in found.failed.values())
    last = max(max(times) for times in found.told.values())
    return {
        "monitors": len(found.told),
        "receivers": receivers_,
        "notices": found.count,
        "repeated": found.count - len(set(found.ids)),
        "confirming_answer_to_wire_ms_median": round(statistics.median(waits), 1),
        "confirming_answer_to_wire_ms_p99": round(percentile(waits, 0.99), 1),
        "confirming_answer_to_wire_ms_max": round(max(waits), 1),
        "first_failing_answer_to_last_notice_seconds": round(last - first, 2),
        "cpu_ms_per_notice_checks_included": round(cpu * 1000 / found.count, 3),
    }


async def run(count: int, command: list[str]) -> list[dict[str, Any]]:
    """Measure both storms."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        far, port = Far(), free_port()
        server = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            [*command, "serve", "--data", f"{name}/data", "--port", str(port)],
            env=os.environ | {"NETPULSE_ADMIN_EMAIL": EMAIL, "NETPULSE_ADMIN_PASSWORD": PASSWORD},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession() as session:
                await wait_ready(session, base)
                await sign_in(session, base)
                await monitors(session, base, far.port, count)
                for more in (1, 9):
                    await receivers(session, base, far.port, more)
                    await calm(session, base, count)
                    await asyncio.sleep(3)
                    cpu = cpu_seconds(server.pid)
                    total = 1 if more == 1 else 10
                    found = await storm(far, count * total)
                    rows.append(figures(found, total, cpu_seconds(server.pid) - cpu))
        finally:
            server.terminate()
            server.wait(15)
            far.close()
    return rows


def main() -> None:
    """Measure, print, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=1000)
    options.add_argument("--binary", type=Path, help="measure this executable instead")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    command = [str(chosen.binary)] if chosen.binary else [sys.executable, "-m", "netpulse"]
    rows = asyncio.run(run(chosen.monitors, command))
    for row in rows:
        sys.stdout.write(
            f"{row['notices']} notices ({row['repeated']} repeated) of {row['monitors']} monitors "
            f"to {row['receivers']} receivers: confirming answer to wire median "
            f"{row['confirming_answer_to_wire_ms_median']} ms, p99 "
            f"{row['confirming_answer_to_wire_ms_p99']} ms; all within "
            f"{row['first_failing_answer_to_last_notice_seconds']} s of the first failing answer; "
            f"{row['cpu_ms_per_notice_checks_included']} ms CPU a notice, checks included\n"
        )
    keep(chosen.out, "alerts", {"interval_seconds": INTERVAL, "rows": rows})


if __name__ == "__main__":
    main()
