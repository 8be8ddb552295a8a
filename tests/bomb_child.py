"""An engine with 20 healthy monitors and any number at bombs, which measures itself.

    python -m tests.bomb_child DATA HEALTHY_URL SECONDS [BOMB_URL...]

With bombs it lets them alone every other two seconds, so that both are measured in one run, on the
same machine at the same time. Prints one JSON object: what the healthy checks took, from their slot
and by themselves, and how late they began (milliseconds), how late the loop was, the same while the
bombs were let alone, all that of each turn by itself, and by how much the resident memory grew (MB).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from netpulse.engine.due import Due
from netpulse.model.watch import Status
from tests.home import Home, home, spec

EVERY_SECONDS = 0.5
TURN_SECONDS = 2.0
SELDOM = {"timeout_seconds": 10, "interval_seconds": 3600}
"""Checks come when they are asked for, and not by themselves."""


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the 90th and 99th percentile and the maximum."""
    ordered = sorted(values) or [0.0]
    return {
        "median": round(ordered[len(ordered) // 2], 2),
        "p90": round(ordered[int(len(ordered) * 0.9)], 2),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "max": round(ordered[-1], 2),
    }


class Seen:
    """What is seen of the healthy monitors, and of the loop, in milliseconds."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.lasted: list[float] = []
        self.late: list[float] = []
        self.loop: list[float] = []

    def add(self, other: Seen) -> None:
        """Take over what was seen elsewhere."""
        self.took += other.took
        self.lasted += other.lasted
        self.late += other.late
        self.loop += other.loop

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the spread of each."""
        return {
            "healthy_took_ms": spread(self.took),
            "healthy_lasted_ms": spread(self.lasted),
            "healthy_late_ms": spread(self.late),
            "loop_late_ms": spread(self.loop),
        }


class Measures:
    """Measures a home: into `seen`, which is another one in each turn."""

    def __init__(self, at: Home, healthy: set[str]) -> None:
        self.seen = Seen()
        self.checks = 0
        self._begun: dict[str, tuple[float, Seen]] = {}
        self.most_mb = 0.0
        self._healthy = healthy
        scheduler = at.engine.scheduler
        begin, done = scheduler._begin, scheduler.done

        def begun(due: Due) -> None:
            if due.monitor_id in healthy:
                now = time.monotonic()
                self.seen.late.append((now - due.mono) * 1000)
                self._begun[due.monitor_id] = (now, self.seen)
            begin(due)

        def ended(due: Due) -> None:
            self.checks += 1
            if due.monitor_id in self._begun:
                now = time.monotonic()
                began, seen = self._begun.pop(due.monitor_id)
                seen.took.append((now - due.mono) * 1000)
                seen.lasted.append((now - began) * 1000)
            done(due)

        scheduler._begin = begun
        scheduler.done = ended  # type: ignore[method-assign]

    async def tick(self) -> None:
        """Measure how late the loop is, every 5 ms."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.seen.loop.append((time.perf_counter() - began - 0.005) * 1000)
            self.most_mb = max(self.most_mb, resident_mb())


async def nudge(at: Home, only: set[str] | None) -> None:
    """Have all monitors checked, or `only` these, again and again for `TURN_SECONDS`."""
    until = time.monotonic() + TURN_SECONDS
    while time.monotonic() < until:
        for watched in at.engine.roster:
            if only is None or watched.id in only:
                at.engine.scheduler.soon(watched.id, 0.0)
            await asyncio.sleep(EVERY_SECONDS / len(at.engine.roster))


async def main() -> None:
    """Run for a while, and say what was seen."""
    data, url, seconds, *bombs = sys.argv[1:]
    async with home(Path(data)) as at:
        healthy = [await at.monitor(spec(url, **SELDOM)) for _ in range(20)]
        targets = (bombs * 20)[:20] if bombs else []
        for target in targets:
            await at.monitor(spec(target, **SELDOM))
        await at.engine.settled()
        await asyncio.sleep(3)  # every kind has been met once
        measures = Measures(at, {one.id for one in healthy})
        gc.collect()
        before = measures.most_mb = resident_mb()
        ticking = asyncio.create_task(measures.tick())
        turns: dict[str, list[Seen]] = {"beside": [], "alone": []}
        for turn in range(round(float(seconds) / TURN_SECONDS) * (2 if targets else 1)):
            alone = bool(targets) and turn % 2 == 0
            measures.seen = Seen()
            turns["alone" if alone else "beside"].append(measures.seen)
            await nudge(at, {one.id for one in healthy} if alone else None)
            while any(one.probing for one in at.engine.roster):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        beside, left_alone = Seen(), Seen()
        for whole, of in ((beside, "beside"), (left_alone, "alone")):
            for one in turns[of]:
                whole.add(one)
        watches = [at.engine.watch(one.id) for one in healthy]
        found = {
            "bombs": len(targets),
            "checks": measures.checks,
            "healthy_checks": len(beside.took),
            **beside.figures(),
            "alone": left_alone.figures(),
            "turns": {of: [one.figures() for one in seen] for of, seen in turns.items()},
            "rss_mb": round(before, 1),
            "rss_grown_mb": round(measures.most_mb - before, 1),
            "up": sum(watch.status is Status.UP for watch in watches if watch is not None),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
