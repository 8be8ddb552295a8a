"""What lives as long as the process is not walked through again and again in search of garbage.

A full collection holds everything up for half a microsecond an object: with ten thousand monitors
that is a tenth of a second, and page after page brings the next one on. What is frozen is not
looked at any more, and is freed as ever when nobody refers to it; only what is thrown away later as
a circle stays. So it is done seldom: while the process grows after its start, and then when a
collection has shown that it was worth it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

LONG_SECONDS = 0.01
"""A full collection that took so much processor time walked through what is here to stay."""
SETTLING_SECONDS = (0.0, 2.0, 3.0, 5.0, 5.0, 10.0, 40.0)
"""The waits between the moments after the start at which what has come is here to stay: the
application, the templates, the first checks of short intervals, and those of usual ones."""
MANY_MONITORS = 500
"""From so many on walking through them in every full collection is worth avoiding."""
_YOUNG, _FULL = 1, 2
_NEVER = 1 << 30


class Watch:
    """Freezes what is left whenever a full collection took long."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """Begin; `clock` returns the processor time of the thread that asks, in seconds."""
        self._clock = clock
        self._began = 0.0
        gc.callbacks.append(self._seen)

    def end(self) -> None:
        """Leave collections alone again."""
        gc.callbacks.remove(self._seen)

    def _seen(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] < _FULL:
            return
        if phase == "start":
            self._began = self._clock()
        elif self._clock() - self._began > LONG_SECONDS:
            gc.freeze()


def loaded(monitors: int) -> None:
    """Freeze what was loaded, where it is of many monitors."""
    if monitors >= MANY_MONITORS:
        gc.collect()
        gc.freeze()


async def settle(waits: Iterable[float] = SETTLING_SECONDS) -> None:
    """Freeze what has come, after each of these waits (seconds); ends by itself.

    Until then there are no full collections but those that somebody asks for: hardly anything is
    thrown away, and each would walk through what the start has brought.
    """
    young, older, oldest = gc.get_threshold()
    gc.set_threshold(young, older, _NEVER)
    try:
        for seconds in waits:
            await asyncio.sleep(seconds)
            # The young ones alone: to look through all is what would hold everything up.
            gc.collect(_YOUNG)
            gc.freeze()
    finally:
        gc.set_threshold(young, older, oldest)
