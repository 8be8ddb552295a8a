"""An alarm: one timer on the event loop that calls one function when something is due."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from netpulse.engine.clock import Clock
from netpulse.engine.marks import mark_after

log = logging.getLogger(__name__)

STUMBLE_SECONDS = 1.0


class Alarm:
    """Calls `ring` when it is time, and again after as many seconds as `ring` returns, at a mark.

    Until `start` it does nothing, so that a schedule can be filled and tested without a loop.
    """

    def __init__(self, clock: Clock, ring: Callable[[], float | None]) -> None:
        """Take the time, and what to call: it returns the seconds from its own beginning until it
        wants to be called again, 0 for at once (after the loop has done its other work), None for
        not at all."""
        self._clock = clock
        self._ring = ring
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._asked = 0.0
        """The moment that the timer was set for; it rings at a mark, some milliseconds later."""

    def start(self) -> None:
        """Ring on the running loop from now on, first at once."""
        self._loop = asyncio.get_running_loop()
        self.set(self._clock.monotonic())

    def stop(self) -> None:
        """Never ring again."""
        self._loop = None
        self._disarm()

    def set(self, at: float) -> None:
        """Ring for what is due at the monotonic moment `at`, or before if that was planned."""
        loop = self._loop
        if loop is None:
            return
        if self._timer is not None:
            if self._asked <= at:
                return
            self._disarm()
        self._arm(loop, at, at_once=at <= self._clock.monotonic())

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float, *, at_once: bool) -> None:
        if at_once:
            # Nothing is before it: who asks again does not send it to the end of the queue.
            self._asked = -math.inf
            self._timer = loop.call_soon(self._fire)
        else:
            self._asked = at
            wait = mark_after(self._clock, at) - self._clock.monotonic()
            self._timer = loop.call_later(wait, self._fire)

    def _fire(self) -> None:
        loop = self._loop
        if loop is None:
            return
        self._timer = None
        delay: float | None = STUMBLE_SECONDS
        began = self._clock.monotonic()
        try:
            delay = self._ring()
        except Exception:
            # Monitors must not stop silently because of one mistake in here.
            log.exception("the schedule stumbled; it goes on in a second")
        # What `ring` did may have set a timer for something it planned: its answer knows all.
        self._disarm()
        if delay is not None:
            self._arm(loop, began + delay, at_once=delay <= 0)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
