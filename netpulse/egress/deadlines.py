"""Deadlines of many checks on few timers: a timer of its own for each costs a tenth of a check.

A deadline strikes within `GRAIN` seconds after its moment, never before.
"""

from __future__ import annotations

import asyncio
import math
import threading
from types import TracebackType
from typing import Any, Protocol

GRAIN = 0.025


class Strikable(Protocol):
    """What a deadline strikes."""

    def strike(self) -> None:
        """Called once when the moment has come. What it raises is logged."""


class Deadline:
    """`with Deadline(at):` cancels what is inside at the loop's moment `at`, as TimeoutError.

    It behaves as asyncio.timeout_at does: a cancellation that comes from elsewhere stays one.
    """

    __slots__ = ("_at", "_before", "_struck", "_task", "_wheel")

    def __init__(self, at: float) -> None:
        """Take a moment of the running loop's clock."""
        self._at = at
        self._struck = False
        self._before = 0

    def __enter__(self) -> Deadline:
        """Begin; inside a task only."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        self._task: asyncio.Task[Any] = task
        self._before = task.cancelling()
        self._wheel = wheel = wheel_of(loop)
        self._at = wheel.add(self, self._at)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; raise TimeoutError where it struck and nothing else cancelled the task."""
        if not self._struck:
            self._wheel.drop(self, self._at)
        elif self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def strike(self) -> None:
        """Called by the wheel when the moment has come."""
        self._struck = True
        self._task.cancel()


class Wheel:
    """The deadlines of one loop, by the grain they fall into, and one timer for the earliest.

    Nearly all are met long before: their grains are gone when the timer looks, and it is set anew
    for what is left. A timer for each grain would wake the process forty times a second, for
    nothing.
    """

    __slots__ = ("_at", "_grains", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._grains: dict[float, set[Strikable]] = {}
        self._at = math.inf
        """What the timer is set for; never later than the earliest grain."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Strikable, at: float) -> float:
        """Put a deadline into its grain, and return that."""
        # From its end on, so that nothing strikes before its moment.
        grain = (at // GRAIN + 1) * GRAIN
        due = self._grains.get(grain)
        if due is None:
            self._grains[grain] = {one}
            if grain < self._at:
                self._set(grain)
        else:
            due.add(one)
        return grain

    def drop(self, one: Strikable, grain: float) -> None:
        """Forget a deadline that was met."""
        due = self._grains.get(grain)
        if due is not None:
            due.discard(one)
            if not due:
                del self._grains[grain]

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        # Timers are a hair early at times, and late when the loop was busy.
        now = max(self._at, self.loop.time())
        self._timer, self._at = None, math.inf
        passed = sorted(grain for grain in self._grains if grain <= now)
        if len(passed) < len(self._grains):
            self._set(min(grain for grain in self._grains if grain > now))
        for grain in passed:
            # One that a strike before it has ended meanwhile is not in there any more.
            for one in self._grains.pop(grain, ()):
                try:
                    one.strike()
                except Exception as error:  # noqa: BLE001 - the others have to have theirs
                    self.loop.call_exception_handler(
                        {"message": "what a deadline struck broke", "exception": error}
                    )


class _Latest(threading.local):
    """The wheel of the loop that a thread ran last: nearly always the one that runs now. One that
    is replaced goes on turning for those who hold it."""

    wheel: Wheel | None = None


_latest = _Latest()


def wheel_of(loop: asyncio.AbstractEventLoop) -> Wheel:
    """Return the wheel of the running loop."""
    wheel = _latest.wheel
    if wheel is None or wheel.loop is not loop:
        wheel = _latest.wheel = Wheel(loop)
    return wheel
