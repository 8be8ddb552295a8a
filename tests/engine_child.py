"""A process of its own that watches and tells, for tests that stop or kill it.

    python -m tests.engine_child DATA TARGET_URL RECEIVER_URL MONITORS [--hurry]

It sets its data directory up the first time, prints `ready <pid>` once the engine runs, and ends
in order on SIGTERM. In a hurry, checks follow each other as quickly as the target answers, so that
a test sees many edges in a short time.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from netpulse.storage import alert_rules, monitors
from tests import beats
from tests.home import Home, home, spec


def beats_of(data: Path) -> Path:
    """Return where a process in a hurry notes its pulse."""
    return data.with_name("beats")


async def _furnish(at: Home, target: str, receiver: str, count: int) -> None:
    if not await at.db.read(monitors.count):
        for number in range(count):
            await at.monitor(
                spec(
                    f"{target}?monitor={number}",
                    name=f"Shop {number}",
                    timeout_seconds=2,
                    confirmations=1,
                )
            )
    if not await at.db.read(alert_rules.for_system) and receiver != "-":
        await at.rule(await at.channel(receiver), condition="down or system")


async def _hurry(at: Home) -> None:
    while True:
        for watched in at.engine.roster:
            at.engine.scheduler.soon(watched.id, 0.0)
        await asyncio.sleep(0.1)


async def _main() -> None:
    data, target, receiver, count = sys.argv[1:5]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with home(Path(data), start=False) as at:
        await _furnish(at, target, receiver, int(count))
        await at.engine.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        hurrying = None
        if "--hurry" in sys.argv:
            hurrying = asyncio.create_task(_hurry(at))
            beats.begin(beats_of(Path(data)))
        await stop.wait()
        if hurrying is not None:
            hurrying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hurrying


if __name__ == "__main__":
    asyncio.run(_main())
