"""Own lag: how late this process itself runs, and the stretches in which it did not run at all.

A paused or starved process sees healthy targets time out (measured: 20 of 20 after SIGSTOP for
6 s). So a 100 ms tick on the loop measures how late the loop is; a verdict reached while it was
late is not trusted, and a stretch of over 2 s in which nothing ran becomes a gap in the record.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from itertools import islice

from msgspec import Struct

from netpulse.engine.clock import Clock
from netpulse.engine.marks import MARK_MS, mark_after
from netpulse.model.watch import Gap, UnknownReason

TICK_SECONDS = 0.1
BREAK_SECONDS = 2.0
"""From this lateness on, a stretch is a break: nobody was watched."""
_MARKS_PER_TICK = round(TICK_SECONDS * 1000 / MARK_MS)
HORIZON_SECONDS = 86_400.0 + 60
"""How far back a probe may have started: the longest timeout, and a bit."""
NOISE_MS = 1.0
"""Ticks that are less late are not worth a record: timers are only this precise."""


class Break(Struct, frozen=True, kw_only=True):
    """A stretch in which this process did not run, or in which the wall clock jumped."""

    gap: Gap | None
    """What nobody was watched in, by the wall clock; null when the clock went backwards."""
    late_seconds: float
    """How long the loop stood still by the monotonic clock."""
    suspended_seconds: float
    """How long the machine was suspended meanwhile."""
    jump_ms: int
    """How far the wall clock moved against the monotonic one; negative: backwards."""

    @property
    def cause(self) -> str:
        """The cause in words, for the log."""
        if self.suspended_seconds > BREAK_SECONDS:
            return f"the machine was suspended for {self.suspended_seconds:.1f} s"
        if self.late_seconds > BREAK_SECONDS:
            return f"this process did not run for {self.late_seconds:.1f} s"
        way = "forward" if self.jump_ms > 0 else "back"
        return f"the clock was set {way} by {abs(self.jump_ms) / 1000:.1f} s"


class LoopLag:
    """The tick, and what it saw. `on_break` is called on the loop for each break.

    `tick()` may be called by hand in tests; `start()` makes the loop call it.
    """

    def __init__(self, clock: Clock, on_break: Callable[[Break], None]) -> None:
        """Begin measuring at the clock's present moment."""
        self._clock = clock
        self._on_break = on_break
        self._handle: asyncio.TimerHandle | None = None
        self.beats = 0
        """Counts the ticks, so that a thread beside the loop can see it move."""
        # Two parallel lists: when a tick was late, and by how many ms; the latenesses strictly
        # decrease with time (a later, larger one makes the earlier ones irrelevant), so the worst
        # since a moment is found by bisection and the lists stay short.
        self._at: list[float] = []
        self._late_ms: list[float] = []
        self._anchor()

    def _anchor(self) -> None:
        mono = self._clock.monotonic()
        self._last_wall = self._clock.now()
        self._wall_offset = self._last_wall - mono * 1000
        self._boot_offset = self._clock.boottime() - mono
        self._due = mono + TICK_SECONDS

    def start(self) -> None:
        """Tick every 100 ms on the running loop from now on."""
        self._anchor()
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop ticking."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock.monotonic()
        # With the schedule's own timer, where that rings many times a second.
        self._due = mark_after(self._clock, now + TICK_SECONDS / 2, _MARKS_PER_TICK)
        self._handle = loop.call_later(self._due - now, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self.tick()
        finally:
            # Whatever a callback did: without its tick the product would trust every verdict.
            self._arm(loop)

    def tick(self) -> None:
        """Compare the clocks with the last tick's; report a break of over 2 s."""
        self.beats += 1
        clock = self._clock
        mono, wall = clock.monotonic(), clock.now()
        late = max(0.0, mono - self._due)
        suspended = clock.boottime() - mono - self._boot_offset
        jump_ms = round(wall - mono * 1000 - self._wall_offset)
        self._note(mono, max(late, suspended) * 1000)
        last_wall = self._last_wall
        self._last_wall = wall
        # Read anew each time: slewing moves the offset slowly and is no jump.
        self._wall_offset = wall - mono * 1000
        self._boot_offset += suspended
        self._due = mono + TICK_SECONDS
        if max(late, suspended) > BREAK_SECONDS or abs(jump_ms) > BREAK_SECONDS * 1000:
            gap = Gap(last_wall, wall, UnknownReason.STARVED) if wall > last_wall else None
            self._on_break(
                Break(gap=gap, late_seconds=late, suspended_seconds=suspended, jump_ms=jump_ms)
            )

    def _note(self, at: float, late_ms: float) -> None:
        if late_ms < NOISE_MS:
            return
        ats, lates = self._at, self._late_ms
        while lates and lates[-1] <= late_ms:
            lates.pop()
            ats.pop()
        ats.append(at)
        lates.append(late_ms)
        if ats[0] < at - HORIZON_SECONDS:
            cut = bisect_left(ats, at - HORIZON_SECONDS)
            del ats[:cut], lates[:cut]

    def worst_since(self, since: float) -> float:
        """Return by how many milliseconds the loop was late at worst since `since` (monotonic).

        The tick that is overdue right now counts too: after a pause, a probe's own timer may
        fire before the tick does. Lateness from before `since` does not count.
        """
        clock = self._clock
        mono = clock.monotonic()
        overdue = mono - self._due
        suspended = clock.boottime() - mono - self._boot_offset
        worst = max(0.0, min(overdue, mono - since), suspended) * 1000
        if not self._at or self._at[-1] < since:
            return worst
        first = bisect_left(self._at, since)
        pairs = zip(islice(self._at, first, None), islice(self._late_ms, first, None), strict=True)
        for at, late_ms in pairs:
            if late_ms <= worst:
                break
            worst = max(worst, min(late_ms, (at - since) * 1000))
        return worst
