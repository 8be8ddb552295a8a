"""A process of its own in the middle of an alert storm, for tests that kill it.

    python -m tests.storm_child DATA TARGET_URL WEBHOOK_URL PEOPLE_URL MONITORS AHEAD_MS

It sets its data directory up the first time: monitors of one target, a webhook that gets every
edge, and a channel that people read. It runs by a clock that is AHEAD_MS milliseconds ahead, so
that each life can begin some time after the last one ended without anybody waiting for that. It
prints `ready` once the engine runs, and ends in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from netpulse.model.channel import SlackConfig
from netpulse.storage import alert_rules, monitors
from tests.clock import ShiftedClock
from tests.home import Home, home, spec

HURRY_SECONDS = 0.5


async def _furnish(at: Home, target: str, webhook: str, people: str, count: int) -> None:
    for number in range(await at.db.read(monitors.count), count):
        await at.monitor(
            spec(
                f"{target}?monitor={number}",
                name=f"Shop {number:02}",
                timeout_seconds=5,
                confirmations=1,
            )
        )
    if not await at.db.read(alert_rules.for_system):
        hook = await at.channel(webhook)
        chat = await at.channel(
            people, name="Chat", type="slack", config=SlackConfig(webhook_url=people)
        )
        for channel in (hook, chat):
            await at.rule(channel, name=f"Down to {channel.name}", condition="down or system")


async def _hurry(at: Home) -> None:
    while True:
        for watched in at.engine.roster:
            at.engine.scheduler.soon(watched.id, 0.0)
        await asyncio.sleep(HURRY_SECONDS)


async def _main() -> None:
    data, target, webhook, people, count, ahead = sys.argv[1:7]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with home(Path(data), clock=ShiftedClock(int(ahead)), start=False) as at:
        await _furnish(at, target, webhook, people, int(count))
        await at.engine.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        hurrying = asyncio.create_task(_hurry(at))
        await stop.wait()
        hurrying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hurrying


if __name__ == "__main__":
    asyncio.run(_main())
