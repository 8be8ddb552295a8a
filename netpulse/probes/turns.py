"""Turns: the long bodies under way share so much of each turn of the loop, and no more.

A piece of 8 KiB may unpack to a megabyte, which takes a few milliseconds. Twenty of them in one
turn would make every other check wait for all twenty. Most pieces take some microseconds, and then
many have their turn: one in each would be a few hundred long pages a second, and those that cannot
be read in time would look like targets that do not answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

LONG = 65_536
"""Bytes, as sent or decoded, from which on a body waits for its turn. Most pages are shorter."""
A_TURN_SECONDS = 0.002
"""Once the pieces of a turn have taken as long as this, the others have the next one."""
AT_ONCE = 64
"""Bodies that are woken in one turn at most."""
CROWD = 64
"""More bodies than this wait: there are more than can be read, and none of them gets far before its
deadline. No other of them should begin then; checks of other kinds have nothing to do with it."""
THRONG = 256
"""More than this may wait after a start, when nobody knows yet whose bodies are long. Each of them
may have a mebibyte of memory."""


class Line:
    """Those who wait for their turn, of one loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time.perf_counter
    ) -> None:
        """Take the loop, and what says how much time has passed, in seconds."""
        self._loop = loop
        self._now = now
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._again: list[asyncio.Future[None]] = []
        """Those who were woken when the turn was over already: they are first in the next one."""
        self._began: float | None = None
        """When the first piece of this turn began."""
        self._armed = False
        self._woken = False
        """This turn is theirs who were woken for it: whoever comes now is behind them."""

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting) + len(self._again)

    async def turn(self) -> None:
        """Wait until the next piece may be worked on; whoever came first goes first."""
        before = self._waiting or self._again or (self._woken and self._began is None)
        if not before and self._is_open():
            return
        where = self._waiting.append
        while True:
            place = self._loop.create_future()
            where(place)
            await place
            if self._is_open():
                return
            where = self._again.append

    def _is_open(self) -> bool:
        now = self._now()
        if self._began is None:
            self._began = now
            self._arm()
        return now - self._began < A_TURN_SECONDS

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Begin the next turn: wake those who are first."""
        self._armed, self._began = False, None
        waiting = self._waiting
        waiting.extendleft(reversed(self._again))
        self._again.clear()
        woken = 0
        while waiting and woken < AT_ONCE:
            place = waiting.popleft()
            if not place.done():  # else it was cancelled
                place.set_result(None)
                woken += 1
        self._woken = woken > 0
        if woken:
            # Also where all of these are cancelled before they run.
            self._arm()


_LINES: WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = WeakKeyDictionary()


async def turn() -> None:
    """Wait for the turn of the next piece in the running loop."""
    loop = asyncio.get_running_loop()
    line = _LINES.get(loop)
    if line is None:
        line = _LINES[loop] = Line(loop)
    await line.turn()


def is_crowded(most: int = CROWD) -> bool:
    """Tell whether more than `most` wait in the running loop: no further long body should be asked
    for then."""
    line = _LINES.get(asyncio.get_running_loop())
    return line is not None and len(line) > most
