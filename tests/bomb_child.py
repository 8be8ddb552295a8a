"""An engine with 20 healthy monitors and any number at bombs, which measures itself.

    python -m tests.bomb_child DATA HEALTHY_URL SECONDS [BOMB_URL...]

Prints one JSON object: what the healthy checks took and how late they began (milliseconds), how
late the loop was, and by how much the resident memory grew (MB).
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


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum."""
    ordered = sorted(values) or [0.0]
    return {
        "median": round(ordered[len(ordered) // 2], 2),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "max": round(ordered[-1], 2),
    }


class Measures:
    """What is seen of the healthy monitors, and of the loop."""

    def __init__(self, at: Home, healthy: set[str]) -> None:
        self.took: list[float] = []
        self.late: list[float] = []
        self.loop: list[float] = []
        self.checks = 0
        self.most_mb = 0.0
        self._healthy = healthy
        scheduler = at.engine.scheduler
        begin, done = scheduler._begin, scheduler.done

        def begun(due: Due) -> None:
            if due.monitor_id in healthy:
                self.late.append((time.monotonic() - due.mono) * 1000)
            begin(due)

        def ended(due: Due) -> None:
            self.checks += 1
            if due.monitor_id in healthy:
                self.took.append((time.monotonic() - due.mono) * 1000)
            done(due)

        scheduler._begin = begun
        scheduler.done = ended  # type: ignore[method-assign]

    async def tick(self) -> None:
        """Measure how late the loop is, every 5 ms."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.loop.append((time.perf_counter() - began - 0.005) * 1000)
            self.most_mb = max(self.most_mb, resident_mb())


async def main() -> None:
    """Run for a while, and say what was seen."""
    data, url, seconds, *bombs = sys.argv[1:]
    async with home(Path(data)) as at:
        healthy = [await at.monitor(spec(url, timeout_seconds=10)) for _ in range(20)]
        targets = (bombs * 20)[:20] if bombs else []
        for target in targets:
            await at.monitor(spec(target, timeout_seconds=10))
        await at.engine.settled()
        await asyncio.sleep(3)  # every kind has been met once
        measures = Measures(at, {one.id for one in healthy})
        gc.collect()
        before = measures.most_mb = resident_mb()
        ticking = asyncio.create_task(measures.tick())
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            for watched in at.engine.roster:
                at.engine.scheduler.soon(watched.id, 0.0)
                await asyncio.sleep(EVERY_SECONDS / len(at.engine.roster))
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        watches = [at.engine.watch(one.id) for one in healthy]
        found = {
            "bombs": len(targets),
            "checks": measures.checks,
            "healthy_checks": len(measures.took),
            "healthy_took_ms": spread(measures.took),
            "healthy_late_ms": spread(measures.late),
            "loop_late_ms": spread(measures.loop),
            "rss_mb": round(before, 1),
            "rss_grown_mb": round(measures.most_mb - before, 1),
            "up": sum(watch.status is Status.UP for watch in watches if watch is not None),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
