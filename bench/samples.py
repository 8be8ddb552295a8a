"""What a process takes of the machine, sampled for hours, and how fast that grows."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench.measure import cpu_seconds, resident_mb

SAMPLE_SECONDS = 5.0


def outside(pid: int) -> dict[str, float]:
    """Return what the system knows of the process."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "at": time.time(),
        "rss_mb": round(resident_mb(pid), 2),
        "descriptors": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "threads": int(status["Threads"]),
        "cpu_seconds": round(cpu_seconds(pid), 2),
        "load": os.getloadavg()[0],
    }


async def watch(pid: int, seconds: float) -> list[dict[str, float]]:
    """Sample the process for a time."""
    samples = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append(outside(pid))
    return samples


def slope(samples: list[dict[str, float]], name: str) -> float | None:
    """Return how fast a figure grows, an hour: the median over all pairs of samples (Theil, Sen),
    which single peaks do not move; None of fewer than two."""
    points = [(one["at"], one[name]) for one in samples if name in one]
    step = max(1, len(points) // 200)
    points = points[::step]
    slopes = [
        (two[1] - one[1]) / (two[0] - one[0])
        for number, one in enumerate(points)
        for two in points[number + 1 :]
    ]
    return round(statistics.median(slopes) * 3600, 3) if slopes else None


def figures(samples: list[dict[str, float]], warm: float) -> dict[str, Any]:
    """Return what the samples come to, those of the warm-up left out."""
    after = [one for one in samples if one["at"] >= samples[0]["at"] + warm]
    for one in after:
        if "malloc_used_mb" in one:
            one["without_sqlite_mb"] = round(one["malloc_used_mb"] - one["sqlite_mb"], 2)
    row: dict[str, Any] = {}
    for name in (
        "rss_mb",
        "descriptors",
        "threads",
        "tasks",
        "blocks",
        "sqlite_mb",
        "malloc_used_mb",
        "without_sqlite_mb",
        "malloc_kept_mb",
    ):
        values = [one[name] for one in after if name in one]
        if values:
            row[name] = {
                "first": values[0],
                "median": round(statistics.median(values), 2),
                "max": max(values),
                "last": values[-1],
                "per_hour": slope(after, name),
            }
    loads = [one["load"] for one in after if "load" in one]
    row["machine_load"] = {"median": round(statistics.median(loads), 2), "max": max(loads)}
    return row


def joined(outside_: list[dict[str, float]], inside: Path) -> list[dict[str, float]]:
    """Return the samples of both sides, each with what the other knew last."""
    lines = [json.loads(line) for line in inside.read_text().splitlines()]
    found, number = [], 0
    for one in outside_:
        while number + 1 < len(lines) and lines[number + 1]["at"] <= one["at"]:
            number += 1
        if lines and lines[number]["at"] <= one["at"]:
            found.append(lines[number] | one)
    return found
