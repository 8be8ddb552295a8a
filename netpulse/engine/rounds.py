"""Rounds: one turn of a task after the other, through the machine's troubles and our mistakes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0


class Rounds:
    """Runs as a task; `wake()` ends the wait between two turns."""

    def __init__(
        self,
        turn: Callable[[], Awaitable[float | None]],
        *,
        name: str,
        longest_seconds: float | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        """Take what a turn does: it returns the seconds until the next, None: not before
        somebody wakes us.

        `name` says in the log what waits or stumbles; `longest_seconds` is the longest wait, and
        `pause_seconds` what lies between two turns however often somebody wakes us.
        """
        self._turn = turn
        self._name = name
        self._longest = longest_seconds
        self._pause = pause_seconds
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False

    def wake(self) -> None:
        """Begin the next turn at once."""
        self._wake.set()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """End; a turn that is under way is broken off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            wait = await self._once()
            if self._pause:
                await asyncio.sleep(self._pause if wait is None else min(wait, self._pause))
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _once(self) -> float | None:
        try:
            wait = await self._turn()
        except StorageTrouble as trouble:
            if not self._in_trouble:
                log.warning("%s: waiting: %s", self._name, trouble)
            self._in_trouble = True
            return TROUBLE_SECONDS
        except Exception:
            log.exception("%s: stumbled; it goes on", self._name)
            return TROUBLE_SECONDS
        self._in_trouble = False
        longest = self._longest
        return wait if wait is None or longest is None else min(wait, longest)
