"""Alerts: from a target's answer that changes things to the notice on the wire, 1,000 at once.

    python bench/alerts.py --out bench/results
    python bench/alerts.py --monitors 1000 --others 0

All monitors of one target go down at once, and up again, beside 10,000 others that are checked at
1,000 checks a second all the time, while the API and the dashboard are read. Measured at the target
and at the receivers, so that everything between counts: from the answer that confirms (the second
failing one, or the first good one) to the arrival of the webhook. Then the same with ten receivers,
10,000 notices in one storm, and beside them a channel that people read, which gets digests. All of
it stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
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

from bench import fleet  # noqa: E402  # the checkout, not an installed copy
from bench.checks import API_P99_MS, DASHBOARD, DASHBOARD_MS, LAG_P99_MS, ask  # noqa: E402
from bench.measure import (  # noqa: E402
    UNDER_WAY,
    beside,
    cpu_seconds,
    judge,
    keep,
    made,
    percentile,
    running,
    sign_in,
)
from netpulse.rules.schedule import STEP_MS  # noqa: E402

INTERVAL = 10
PATIENCE = 180.0
WARM_SECONDS = 15
SETTLED_SECONDS = 3
"""Between two storms."""
WIRE_MS = 1_000
"""From the answer that confirms to the notice."""
PEOPLE = "/people/message"
STORMS = (("down", 2), ("up", 1))
"""What is told, and which answer of that kind confirms it."""


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

    def count(self) -> int:
        """Return how many webhooks came since the last report: that is little to say, while what
        came is more, and whoever reads it reads no answers meanwhile."""
        self.say("count")
        return int(self.out.readline())

    def report(self) -> dict[str, list[list[Any]]]:
        """Return what came since the last report."""
        self.say("report")
        found: dict[str, list[list[Any]]] = json.loads(self.out.readline())
        return found

    def close(self) -> None:
        """End it."""
        self.into.close()
        self.process.wait(30)


class Storm:
    """What is collected of one storm: all monitors go `way`, which the `nth` answer confirms."""

    def __init__(self, way: str, nth: int) -> None:
        self.way = way
        self.nth = nth
        self.answers: dict[str, list[float]] = defaultdict(list)
        """When the target gave an answer of that kind, by monitor's name."""
        self.told: dict[str, list[float]] = defaultdict(list)
        """Arrivals of webhooks that say so, by monitor's name."""
        self.ids: list[str] = []
        self.messages: list[tuple[float, str]] = []
        """When a message for people came, and its title."""
        self.stretch = (0.0, 0.0)
        """From when to when it lasted (Unix seconds): until all webhooks had come. What people are
        told later, in peace, is none of it."""
        self.cpu = 0.0
        """Seconds of processor time that the whole process used in it."""

    def take(self, report: dict[str, list[list[Any]]]) -> None:
        """Add a report."""
        for path, up, at in report["answered"]:
            if up == (self.way == "up"):
                self.answers[path.rpartition("/")[2]].append(at)
        for path, notice_id, body, at in report["told"]:
            said = json.loads(body)
            if path == PEOPLE:
                self.messages.append((at, said["title"]))
            elif said["event"] == f"monitor.{self.way}":
                self.told[said["monitor"]["name"]].append(at)
                self.ids.append(notice_id)

    @property
    def count(self) -> int:
        """Notices that came to webhooks."""
        return sum(len(times) for times in self.told.values())

    def confirmed(self) -> dict[str, float]:
        """Return when the answer that confirms was given, by monitor's name."""
        return {
            name: sorted(times)[self.nth - 1]
            for name, times in self.answers.items()
            if len(times) >= self.nth
        }


class Bench:
    """One running NetPulse with its monitors and receivers."""

    def __init__(self, session: aiohttp.ClientSession, base: str, far: Far, pid: int) -> None:
        self.session = session
        self.base = base
        self.far = far
        self.pid = pid
        self.people = ""
        """The id of the channel that people read, once there is one."""

    async def receivers(self, numbers: range) -> None:
        """Make webhooks, each with a rule for every monitor's being down."""
        for number in numbers:
            config = {"url": f"http://127.0.0.1:{self.far.port}/hook/{number}"}
            await self._channel(f"receiver {number}", "webhook", config)

    async def readers(self) -> None:
        """Make the channel that people read, with such a rule."""
        config = {"url": f"http://127.0.0.1:{self.far.port}/people", "token": "bench"}
        self.people = await self._channel("people", "gotify", config)

    async def _channel(self, name: str, kind: str, config: dict[str, str]) -> str:
        body = {"name": name, "type": kind, "config": config}
        channel_id = await made(self.session, f"{self.base}/v1/alert-channels", body)
        rule = {"channel_id": channel_id, "condition": "down", "cooldown_seconds": 0}
        await made(self.session, f"{self.base}/v1/alert-rules", rule)
        return channel_id

    async def monitors(self, count: int) -> None:
        """Make `count` monitors of one target that confirm within a second."""
        gate = asyncio.Semaphore(32)

        async def one(number: int) -> None:
            spec = {
                "type": "http",
                "name": f"{number}",
                "target": f"http://127.0.0.1:{self.far.port}/t/{number}",
                "interval_seconds": INTERVAL,
                "timeout_seconds": 5,
                "confirmations": 2,
                "retry_interval_seconds": 1,
                "tags": ["storm"],
            }
            async with gate:
                await made(self.session, f"{self.base}/v1/monitors", spec)

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _total(self, path: str) -> int:
        async with self.session.get(self.base + path) as answer:
            return int((await answer.json())["meta"]["total"])

    async def calm(self, count: int) -> None:
        """Wait until all monitors of the target are up."""
        deadline = time.monotonic() + PATIENCE
        while await self._total("/v1/monitors?tag=storm&status=up&limit=1") < count:
            if time.monotonic() > deadline:
                raise SystemExit("the monitors did not come up")
            await asyncio.sleep(0.5)

    async def storm(self, way: str, nth: int, wanted: int) -> Storm:
        """Switch the target and wait until `wanted` notices have come, and people were told."""
        found = Storm(way, nth)
        self.far.report()
        began, cpu = time.time(), cpu_seconds(self.pid)
        self.far.say("off" if way == "down" else "on")
        deadline = time.monotonic() + PATIENCE
        waiting = f"/v1/alert-events?channel_id={self.people}&status=pending&limit=1"
        has_passed = False
        while time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            if not has_passed:
                found.stretch = (began, time.time())
                found.cpu = cpu_seconds(self.pid) - cpu
                has_passed = self.far.count() >= wanted
            if has_passed and not (self.people and await self._total(waiting)):
                break
        # What was due until then arrives, and what is told twice.
        await asyncio.sleep(UNDER_WAY)
        found.take(self.far.report())
        return found


def figures(found: Storm, receivers: int, wanted: int) -> dict[str, Any]:
    """Return the figures of a storm, with what they are to be at most.

    Raises:
        SystemExit: nobody was told, or somebody too early.
    """
    if not found.told:
        raise SystemExit(f"nobody was told that the monitors are {found.way}")
    confirmed = found.confirmed()
    waits = [(at - confirmed[name]) * 1000 for name, times in found.told.items() for at in times]
    if min(waits) < 0:
        raise SystemExit(f"somebody was told {-min(waits):.0f} ms before it was certain")
    first = min(min(times) for times in found.answers.values())
    last = max(max(times) for times in found.told.values())
    row = {
        "change": found.way,
        "monitors": len(found.told),
        "receivers": receivers,
        "notices": found.count,
        "repeated": found.count - len(set(found.ids)),
        "not_told": wanted - len(set(found.ids)),
        "confirming_answer_to_wire_ms_median": round(statistics.median(waits), 1),
        "confirming_answer_to_wire_ms_p99": round(percentile(waits, 0.99), 1),
        "confirming_answer_to_wire_ms_max": round(max(waits), 1),
        "first_answer_to_last_notice_seconds": round(last - first, 2),
    }
    targets = {"confirming_answer_to_wire_ms_max": WIRE_MS, "repeated": 0, "not_told": 0}
    return beside(row, targets)


def of_people(found: Storm) -> dict[str, Any]:
    """Return how people were told of a storm: the first message, and how few there were."""
    began = min(found.confirmed().values())
    told = sorted(found.messages)
    row = {
        "messages": len(told),
        "first_message_ms": round((told[0][0] - began) * 1000, 1) if told else None,
        "last_message_seconds": round(told[-1][0] - began, 1) if told else None,
        "last_title": told[-1][1] if told else None,
    }
    # What comes in the window after a storm waits for its end.
    return beside(row, {"first_message_ms": WIRE_MS} if found.way == "down" else {})


async def reading(
    session: aiohttp.ClientSession,
    base: str,
    ids: list[str],
    took: list[tuple[float, str, float]],
) -> None:
    """Read the API and the dashboard until cancelled; add Unix time, path and milliseconds."""
    async for each in ask(session, base, ids):
        took.append(each)  # noqa: PERF401 -- what was measured until it is cancelled is kept


def read_meanwhile(
    took: list[tuple[float, str, float]], stretch: tuple[float, float]
) -> dict[str, Any]:
    """Return what the API and the dashboard took in a stretch of time, with what they are to take
    at most."""
    within = [(path, each) for at, path, each in took if stretch[0] <= at < stretch[1]]
    api = [each for path, each in within if path != DASHBOARD]
    dashboard = [each for path, each in within if path == DASHBOARD]
    row = {
        "api_requests": len(api),
        "api_ms_median": round(statistics.median(api), 2),
        "api_ms_p99": round(percentile(api, 0.99), 2),
        "dashboard_ms_median": round(statistics.median(dashboard), 2),
        "dashboard_ms_max": round(max(dashboard), 2),
    }
    return beside(row, {"api_ms_p99": API_P99_MS, "dashboard_ms_max": DASHBOARD_MS})


def others_meanwhile(
    ids: dict[str, str], arrivals: list[tuple[str, float]], stretch: tuple[float, float]
) -> dict[str, Any]:
    """Return how the other monitors' checks went in a stretch of time, its last seconds included:
    it was measured for longer."""
    grid = judge(ids, arrivals, stretch[0], stretch[1] + UNDER_WAY, INTERVAL, step=STEP_MS)
    row = {"monitors": len(ids), "interval_seconds": INTERVAL} | grid
    return beside(row, {"checks_missed": 0, "lag_ms_p99": LAG_P99_MS})


async def watched(at: Bench, ids: list[str], count: int) -> list[dict[str, Any]]:
    """Let everything change, with one receiver, and with ten and people beside them.

    No more often: with the fifth change in half an hour a monitor flaps, and people are told that.
    """
    rows = []
    for more, total in ((range(1), 1), (range(1, 10), 10)):
        await at.receivers(more)
        if total > 1:
            await at.readers()
        await asyncio.sleep(SETTLED_SECONDS)
        for way, nth in STORMS:
            took: list[tuple[float, str, float]] = []
            beside_it = asyncio.create_task(reading(at.session, at.base, ids, took))
            found = await at.storm(way, nth, count * total)
            if beside_it.done():
                await beside_it
            beside_it.cancel()
            await asyncio.gather(beside_it, return_exceptions=True)
            row = figures(found, total, count * total)
            lasted = found.stretch[1] - found.stretch[0]
            row["seconds"] = round(lasted, 1)
            row["cpu_percent_of_a_core"] = round(found.cpu / lasted * 100, 1)
            row["meanwhile"] = read_meanwhile(took, found.stretch)
            if at.people:
                row["people"] = of_people(found)
            rows.append(row | {"stretch": found.stretch})
            await asyncio.sleep(SETTLED_SECONDS)
        await at.calm(count)
    return rows


async def run(count: int, others: int, command: list[str]) -> list[dict[str, Any]]:
    """Measure all storms."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        far = Far()
        stack.callback(far.close)
        with fleet.far_side("http", folder) as elsewhere:
            ids = await fleet.build(folder / "data", elsewhere, others, INTERVAL)
            async with running(command, folder / "data") as it:
                await sign_in(it.session, it.base)
                at = Bench(it.session, it.base, far, it.process.pid)
                await at.monitors(count)
                await at.calm(count)
                await asyncio.sleep(WARM_SECONDS)
                own = at.session.get(f"{at.base}/v1/monitors?tag=storm&limit=100")
                async with own as answer:
                    read = [each["id"] for each in (await answer.json())["data"]]
                rows = await watched(at, list(ids.values()) or read, count)
        arrivals = elsewhere.arrivals() if others else []
        for row in rows:
            stretch = row.pop("stretch")
            if others:
                row["others"] = others_meanwhile(ids, arrivals, stretch)
    return rows


def shown(row: dict[str, Any]) -> str:
    """Return a row as lines for people."""
    reads, late = row["meanwhile"], "confirming_answer_to_wire_ms"
    words = (
        f"{row['monitors']} monitors {row['change']}, {row['notices']} notices ({row['repeated']} "
        f"repeated, {row['not_told']} not told) to {row['receivers']} receivers: confirming answer "
        f"to wire median {row[f'{late}_median']} ms, p99 {row[f'{late}_p99']}, most "
        f"{row[f'{late}_max']} (target {WIRE_MS}); all within "
        f"{row['first_answer_to_last_notice_seconds']} s of the first answer; "
        f"{row['cpu_percent_of_a_core']} % of a core\n"
        f"      API p99 {reads['api_ms_p99']} ms (target {API_P99_MS}), dashboard most "
        f"{reads['dashboard_ms_max']} ms (target {DASHBOARD_MS})"
    )
    if "others" in row:
        grid = row["others"]
        words += (
            f"; {grid['monitors']} others: {grid['checks_missed']} of {grid['checks_due']} checks "
            f"missed (target 0), lag median {grid['lag_ms_median']} p99 {grid['lag_ms_p99']} ms "
            f"(target {LAG_P99_MS}), most {grid['lag_ms_max']}"
        )
    if "people" in row:
        told = row["people"]
        words += (
            f"\n      people: {told['messages']} messages, the first after "
            f"{told['first_message_ms']} ms, the last after {told['last_message_seconds']} s: "
            f"{told['last_title']}"
        )
    return words


def main() -> None:
    """Measure, print, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=1_000, help="that change at once")
    options.add_argument("--others", type=int, default=10_000, help="that are checked beside them")
    options.add_argument("--binary", type=Path, help="measure this executable instead")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    command = [str(chosen.binary)] if chosen.binary else [sys.executable, "-m", "netpulse"]
    rows = asyncio.run(run(chosen.monitors, chosen.others, command))
    for row in rows:
        sys.stdout.write(shown(row) + "\n")
    keep(chosen.out, "alerts", {"interval_seconds": INTERVAL, "rows": rows})


if __name__ == "__main__":
    main()
