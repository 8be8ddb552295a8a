"""Bombs in processes of their own, and an engine beside them: for the test and the benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextlib.asynccontextmanager
async def hosting() -> AsyncIterator[tuple[str, int]]:
    """Run tests.hostile.host; gives its address and how many bombs it has."""
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.host"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert host.stdout is not None
    assert host.stdin is not None
    port, count = (await host.stdout.readline()).decode().split()
    yield f"http://127.0.0.1:{port}", int(count)
    host.stdin.close()
    await host.wait()


async def measured(data: Path, seconds: float, healthy: str, *bombs: str) -> dict[str, Any]:
    """Run tests.bomb_child and return what it saw."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bomb_child", str(data), healthy, str(seconds), *bombs),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, _ = await running.communicate()
    assert running.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


async def both(folder: Path, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure 20 healthy monitors alone, and beside 20 at bombs."""
    async with hosting() as (base, count), hosting() as (well, _):
        bombs = [f"{base}/{number}" for number in range(count)]
        quiet = await measured(folder / "quiet", seconds, f"{well}/ok")
        loud = await measured(folder / "loud", seconds, f"{well}/ok", *bombs)
    return quiet, loud
