"""More than the process can do: how late checks are, how evenly, and what it says of that itself.

    python bench/overload.py --out bench/results
    python bench/overload.py --monitors 40000 --seconds 30

What is past its capacity has to leave the far side room, or the far side is what is measured. Plain
http checks would take more than a hundred thousand monitors at 10 s, and nginx as much of the
machine's other core as it has; handshakes cost both sides alike. So these monitors do what people
use keyword monitors for: each fetches a page of 256 KiB and looks for a word at its end. The page
is read here piece by piece, and sent there by a system call or two.

A hundredth of the targets answer slowly, so that a second check of a monitor beside its first
would be seen there; twenty begin to fail when the measuring does. The API and the dashboard are
read again and again meanwhile, and `/readyz` and the dashboard are asked how late checks are.
That is held against what came to the targets in the same minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.checks import read, say, ticked  # noqa: E402  # the checkout, not an installed copy
from bench.fleet import Far, build, far_side, fields  # noqa: E402
from bench.measure import (  # noqa: E402
    TIED,
    cpu_seconds,
    end,
    free_port,
    keep,
    percentile,
    resident_mb,
    sign_in,
    wait_ready,
)
from netpulse.rules.schedule import phase_ms  # noqa: E402

TICKING = (sys.executable, str(ROOT / "bench" / "ticking.py"))
MONITORS, INTERVAL = 24_000, 10
FAILING, SLOW_EVERY = 20, 100
WORD = "everything-is-in-order"
PAGE = b"<!doctype html><title>A page</title>\n" + b"<p>Words of a page.\n" * 13_107 + WORD.encode()
WARM_SECONDS, SECONDS = 75, 75
MINUTE = 60.0
TARGETS = {"api_ms_p99": 200, "stacked": 0, "wrongly_down": 0, "monitors_not_checked": 0}
SAMPLE = 40
"""Monitors whose account of time is asked for at the end."""
_SAYS = re.compile(r"Checks start ([\d.]+) s late, and up to ([\d.]+) s")
_LEFT_OUT = re.compile(r"([\d,\u202f\xa0.]+) checks? of the last minute had to be left out")


def special(far: Far, number: int) -> dict[str, Any]:
    """Return what is particular to a monitor here."""
    where = f"/{number}"
    if number < FAILING:
        where = f"/fail/{number}"
    elif number % SLOW_EVERY == 0:
        where = f"/slow/{number}"
    beginning = fields(far, number)["target"].rpartition("/")[0]
    return {"target": beginning + where, "body_match": WORD}


class Visit(NamedTuple):
    """A check as its target saw it; Unix seconds."""

    began: float
    ended: float
    late: float | None
    """Since the first slot after the one before had ended: since when it was due. None of a
    monitor's first: nobody knows since when that was due."""
    left_out: int
    """Slots that passed since then without a check of their own."""
    since: float | None
    """Seconds since the one before began; None of a monitor's first."""


def visits_of(
    ids: Mapping[str, str], seen: Iterable[tuple[str, float, float, int]]
) -> dict[str, list[Visit]]:
    """Return each monitor's visits in their order."""
    by_path: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for where, began, ended, _ in seen:
        if where in ids:
            by_path[where].append((began, ended))
    found = {}
    for where, monitor_id in ids.items():
        phase = phase_ms(monitor_id, INTERVAL * 1000) / 1000
        before: tuple[float, float] | None = None
        visits = found[where] = list[Visit]()
        for each in sorted(by_path[where]):
            visits.append(_visit(before, *each, phase))
            before = each
    return found


def _visit(before: tuple[float, float] | None, began: float, ended: float, phase: float) -> Visit:
    if before is None:
        return Visit(began, ended, None, 0, None)
    # A slot in which the one before was under way still is nobody's.
    due = before[1] - (before[1] - phase) % INTERVAL + INTERVAL
    if due > began:
        due -= INTERVAL  # the slot of both: one of them came to the target a moment before it
    late = began - due
    return Visit(began, ended, late, int(late // INTERVAL), began - before[0])


class Said(NamedTuple):
    """What the product said of its lateness at a moment (Unix seconds)."""

    at: float
    ready: Mapping[str, Any]
    """The answer of `/readyz`."""
    page: tuple[float, float, int] | None
    """Of the dashboard: usual and greatest lateness in seconds, and checks left out; None: it says
    nothing of them."""


async def listen(session: aiohttp.ClientSession, base: str, seconds: float) -> list[Said]:
    """Ask `/readyz` and the dashboard every five seconds, one right after the other."""
    said = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        async with session.get(f"{base}/readyz") as answer:
            ready = await answer.json()
        async with session.get(f"{base}/dashboard") as answer:
            text = await answer.text()
        late, left_out = _SAYS.search(text), _LEFT_OUT.search(text)
        page = None
        if late is not None:
            number = 0 if left_out is None else int(re.sub(r"\D", "", left_out[1]))
            page = float(late[1]), float(late[2]), number
        said.append(Said(time.time(), ready, page))
        await asyncio.sleep(5)
    return said


async def total(session: aiohttp.ClientSession, url: str) -> int:
    """Return how many there are in all of a list."""
    async with session.get(url) as answer:
        return int((await answer.json())["meta"]["total"])


async def found_down(
    session: aiohttp.ClientSession, base: str, ids: Mapping[str, str], seconds: float
) -> list[float]:
    """Return when (Unix seconds) each of the failing monitors was first said to be down."""
    missing = {ids[f"/fail/{number}"] for number in range(FAILING)}
    found: list[float] = []
    until = time.monotonic() + seconds
    while missing and time.monotonic() < until:
        async with session.get(f"{base}/v1/monitors?status=down&limit=100") as answer:
            down = {each["id"] for each in (await answer.json())["data"]}
        found += [time.time()] * len(missing & down)
        missing -= down
        await asyncio.sleep(1)
    return found


STATES = ("up", "degraded", "down", "pending", "unknown")


async def blamed(
    session: aiohttp.ClientSession, base: str, ids: Mapping[str, str]
) -> dict[str, int]:
    """Return how often monitors whose target always answers were called down, by the words of the
    incident; those that are up again count as well."""
    steady = {one for where, one in ids.items() if not where.startswith("/fail/")}
    words: Counter[str] = Counter()
    seen, count = 0, 1
    while seen < count:
        page = seen // 100 + 1
        async with session.get(f"{base}/v1/incidents?limit=100&page={page}") as answer:
            told = await answer.json()
        seen, count = page * 100, told["meta"]["total"]
        words.update(
            each["reason"] or "without a word"
            for each in told["data"]
            if each["monitor_id"] in steady
        )
    return dict(words)


async def account(session: aiohttp.ClientSession, base: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return what became of the time of these monitors, summed, and how many accounts do not add
    up to their period."""
    seconds: dict[str, int] = defaultdict(int)
    reasons: dict[str, int] = defaultdict(int)
    wrong = 0
    for one in ids:
        async with session.get(f"{base}/v1/monitors/{one}/uptime?period=24h") as answer:
            told = (await answer.json())["data"]
        parts = ("up", "degraded", "down", "maintenance", "unknown")
        for part in parts:
            seconds[part] += told[f"{part}_seconds"]
        for reason, number in told["unknown_reasons"].items():
            reasons[reason] += number
        period = moment(told["to"]) - moment(told["from"])
        wrong += abs(sum(told[f"{part}_seconds"] for part in parts) - period) > 1
    return {"seconds": dict(seconds), "unknown_reasons": dict(reasons), "do_not_add_up": wrong}


def moment(text: str) -> float:
    """Return the Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


async def results(session: aiohttp.ClientSession, base: str) -> dict[str, int]:
    """Return how many checks had which result since the start, from `/metrics`."""
    async with session.get(f"{base}/metrics") as answer:
        text = await answer.text()
    return {
        each[1]: int(each[2]) for each in re.finditer(r'checks_total\{result="(\w+)"\} (\d+)', text)
    }


async def run(kind: str, monitors: int, warm: int, seconds: int) -> dict[str, Any]:
    """Measure, and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with far_side(kind, folder, PAGE) as far:
            ids = await build(folder / "data", far, monitors, INTERVAL, special)
            found, said = await _watch(folder, ids, warm, seconds)
        seen = far.visits()
        span = (found["from"], found.pop("to"))
        found |= ticked(folder / "ticks.json", *span)
    visits = visits_of(ids, seen)
    found["type"] = kind
    return found | lateness(visits, span) | compared(visits, said) | verdicts(seen, found)


async def _watch(
    folder: Path, ids: dict[str, str], warm: int, seconds: int
) -> tuple[dict[str, Any], list[Said]]:
    """Run the product on what was made; return what was seen of it, and what it said."""
    data, port = folder / "data", free_port()
    server = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
        [
            *TIED,
            *TICKING,
            str(folder / "ticks.json"),
            "serve",
            "--data",
            str(data),
            "--port",
            str(port),
        ],
        env=os.environ
        | {"NETPULSE_LIMITS_REQUESTS_PER_MINUTE": "0", "NETPULSE_METRICS_ALLOW": "127.0.0.1/32"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    all_ids = list(ids.values())
    try:
        async with aiohttp.ClientSession() as session:
            await wait_ready(session, base)
            await asyncio.sleep(warm)
            await sign_in(session, base)
            began, cpu, memory = time.time(), cpu_seconds(server.pid), resident_mb(server.pid)
            server.send_signal(signal.SIGUSR2)  # its ticker begins
            (folder / "off").touch()
            reading, said, down = await asyncio.gather(
                read(session, base, all_ids, seconds),
                listen(session, base, seconds),
                found_down(session, base, ids, seconds),
            )
            ended, used = time.time(), cpu_seconds(server.pid) - cpu
            memory_at_end = resident_mb(server.pid)
            steady = [one for where, one in ids.items() if not where.startswith("/fail/")]
            found = {
                "states": {
                    each: await total(session, f"{base}/v1/monitors?status={each}&limit=1")
                    for each in STATES
                },
                "incidents": await total(session, f"{base}/v1/incidents?limit=1"),
                "time_of_steady": await account(
                    session, base, steady[:: max(1, len(steady) // SAMPLE)]
                ),
                "results": await results(session, base),
                "wrongly_down": await blamed(session, base, ids),
            }
    finally:
        end(server, 60)
    found |= reading
    found |= {
        "monitors": len(ids),
        "interval_seconds": INTERVAL,
        "page_kib": len(PAGE) // 1024,
        "seconds": round(ended - began, 1),
        "cpu_percent_of_a_core": round(used / (ended - began) * 100, 1),
        "rss_mb_first": round(memory, 1),
        "rss_mb_last": round(memory_at_end, 1),
        "from": began,
        "to": ended,
        "down_at": down,
    }
    return found, said


def part(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` (0 to 1) of the values lie; None of none."""
    return round(percentile(values, share), 2) if values else None


def lateness(visits: Mapping[str, Sequence[Visit]], span: tuple[float, float]) -> dict[str, Any]:
    """Return how late checks were, how evenly, and whether any were stacked."""
    within = {
        where: [each for each in some if span[0] <= each.began < span[1]]
        for where, some in visits.items()
        if not where.startswith("/fail/")  # these are asked again off their grid
    }
    times = sorted(len(some) for some in within.values())
    every = [each for some in within.values() for each in some]
    late = [each.late for each in every if each.late is not None]
    apart = [each.since for each in every if each.since is not None]
    own = ([each.late for each in some if each.late is not None] for some in within.values())
    means = [sum(some) / len(some) for some in own if some]
    asked = len(within) * (span[1] - span[0]) / INTERVAL
    stacked = sum(
        after.began < before.ended for some in visits.values() for before, after in pairwise(some)
    )
    slow = [
        each.ended - each.began
        for where, some in within.items()
        for each in some
        if "slow" in where
    ]
    return {
        "asked_per_second": round(asked / (span[1] - span[0]), 1),
        "done_per_second": round(len(every) / (span[1] - span[0]), 1),
        "late_seconds_median": part(late, 0.5),
        "late_seconds_p99": part(late, 0.99),
        "late_seconds_max": part(late, 1),
        "checks_of_a_monitor_fewest": times[0],
        "checks_of_a_monitor_p1": round(percentile(times, 0.01)),
        "checks_of_a_monitor_median": round(percentile(times, 0.5)),
        "checks_of_a_monitor_p99": round(percentile(times, 0.99)),
        "checks_of_a_monitor_most": times[-1],
        "mean_late_seconds_of_a_monitor_p10": part(means, 0.1),
        "mean_late_seconds_of_a_monitor_p90": part(means, 0.9),
        "seconds_between_checks_least": part(apart, 0),
        "seconds_between_checks_median": part(apart, 0.5),
        "seconds_between_checks_most": part(apart, 1),
        "slow_answers_took_seconds_median": part(slow, 0.5),
        "monitors_not_checked": sum(each == 0 for each in times),
        "stacked": stacked,
    }


def compared(visits: Mapping[str, Sequence[Visit]], said: Sequence[Said]) -> dict[str, Any]:
    """Return what the product said of a minute beside what came to the targets in it."""
    every = sorted(
        (each for where, some in visits.items() if not where.startswith("/fail/") for each in some),
        key=lambda each: each.began,
    )
    begins = [each.began for each in every]
    rows = []
    for one in said:
        some = every[bisect_left(begins, one.at - MINUTE) : bisect_left(begins, one.at)]
        late = [each.late for each in some if each.late is not None]
        row: dict[str, Any] = {
            "measured_p50_seconds": part(late, 0.5),
            "readyz_p50_seconds": round(one.ready["schedule_lag_p50_ms"] / 1000, 2),
            "measured_p99_seconds": part(late, 0.99),
            "readyz_p99_seconds": round(one.ready["schedule_lag_p99_ms"] / 1000, 2),
            "measured_left_out": sum(each.left_out for each in some),
            "readyz_left_out": one.ready["checks_left_out"],
            "readyz_stale_monitors": one.ready["stale_monitors"],
            "readyz_status": one.ready["status"],
        }
        if one.page is not None:
            row["page_usual_seconds"], row["page_most_seconds"], row["page_left_out"] = one.page
        rows.append(row)
    return {"said": rows}


def verdicts(
    seen: Iterable[tuple[str, float, float, int]], found: dict[str, Any]
) -> dict[str, Any]:
    """Return how soon what failed was found down: after its first failing answer."""
    failed: dict[str, float] = {}
    for where, began, _, status in seen:
        if status == 500:
            failed[where] = min(began, failed.get(where, began))
    began = found.pop("from")
    after = sorted(at - began for at in found.pop("down_at"))
    return {
        "failing": FAILING,
        "found_down": len(after),
        "first_failing_answer_seconds_max": round(max(failed.values()) - began, 2),
        "found_down_after_seconds_median": part(after, 0.5),
        "found_down_after_seconds_max": part(after, 1),
    }


def shown(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines for people, beside what is to be reached."""
    said = found["said"][-1]
    results = ", ".join(f"{number:,} {word}" for word, number in found["results"].items())
    page = "nothing of it"
    if "page_usual_seconds" in said:
        page = (
            f"{said['page_usual_seconds']} s, up to {said['page_most_seconds']} s, "
            f"{said['page_left_out']:,} left out"
        )
    return [
        (
            f"{found['type']:>5} {found['monitors']:>6} at {found['interval_seconds']} s, pages of "
            f"{len(PAGE) // 1024} KiB: {found['asked_per_second']}/s asked, "
            f"{found['done_per_second']}/s done, {found['cpu_percent_of_a_core']} % of a core; "
            f"late by {found['late_seconds_median']} s (median), "
            f"{found['late_seconds_p99']} (p99), {found['late_seconds_max']} (max)"
        ),
        (
            f"      each monitor checked {found['checks_of_a_monitor_fewest']} to "
            f"{found['checks_of_a_monitor_most']} times (median "
            f"{found['checks_of_a_monitor_median']}), "
            f"{found['seconds_between_checks_median']} s apart (median), "
            f"{found['seconds_between_checks_most']} s at most; mean lateness of a monitor "
            f"{found['mean_late_seconds_of_a_monitor_p10']} (p10) to "
            f"{found['mean_late_seconds_of_a_monitor_p90']} s (p90); "
            f"{found['monitors_not_checked']} not checked (target 0), "
            f"{found['stacked']} stacked (target 0); RSS {found['rss_mb_first']} to "
            f"{found['rss_mb_last']} MB"
        ),
        (
            f"      in the last minute late by {said['measured_p50_seconds']} s (median), "
            f"{said['measured_p99_seconds']} (p99), {said['measured_left_out']:,} left out; "
            f"/readyz: {said['readyz_p50_seconds']}, {said['readyz_p99_seconds']}, "
            f"{said['readyz_left_out']:,}; the dashboard: {page}"
        ),
        (
            f"      checks: {results}; {sum(found['wrongly_down'].values())} monitors wrongly down "
            f"(target 0), {found['states']['degraded']} degraded, "
            f"{found['states']['unknown']} unknown; of {found['failing']} that fail "
            f"{found['found_down']} found down, "
            f"{found['found_down_after_seconds_median']} s (median) and "
            f"{found['found_down_after_seconds_max']} s (max) after they began to"
        ),
        (
            f"      API median {found['api_ms_median']} p99 {found['api_ms_p99']} ms (target "
            f"{TARGETS['api_ms_p99']}), dashboard median {found['dashboard_ms_median']} max "
            f"{found['dashboard_ms_max']} ms, loop late p99 {found['loop_late_ms_p99']} max "
            f"{found['loop_late_ms_max']} ms"
        ),
    ]


def main() -> None:
    """Measure, print, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--type", choices=("http", "https"), default="http")
    options.add_argument("--monitors", type=int, default=MONITORS)
    options.add_argument("--seconds", type=int, default=SECONDS, help="how long it is measured")
    options.add_argument("--warm", type=int, default=WARM_SECONDS, help="how long it runs before")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    found = asyncio.run(run(chosen.type, chosen.monitors, chosen.warm, chosen.seconds))
    for line in shown(found):
        say(line)
    keep(chosen.out, "overload", {"targets": TARGETS} | found)


if __name__ == "__main__":
    main()
