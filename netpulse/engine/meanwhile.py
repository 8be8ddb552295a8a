"""Meanwhile: work that was begun by somebody who does not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Meanwhile:
    """Tasks that go on beside whoever began them; kept, for the loop itself forgets them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin work; returns at once."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until what was begun so far is done. What broke is raised."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Break off what is not done yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
