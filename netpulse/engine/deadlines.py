"""Deadlines of push monitors: when which one has passed.

A deadline is a moment of the wall clock. None is found to have passed while this process was late,
while the clock jumped, or while our own network is away: pings of that time may not have reached
us.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from netpulse.engine.alarm import Alarm
from netpulse.engine.clock import Clock
from netpulse.engine.isolation import Isolation
from netpulse.engine.lag import BREAK_SECONDS, LoopLag
from netpulse.model.ids import Id
from netpulse.model.push import Beat
from netpulse.model.time import SECOND, Millis

LOOK_SECONDS = 5.0
"""The wall clock, and whether our network is away, are looked at this often."""
LATE_MS = 500.0
"""A process that was later than this may have pings waiting at its door: they come first."""
WAIT_SECONDS = 2.0
PASSED_PER_TURN = 100


class Deadlines:
    """Where every push monitor stands, the next deadline first; a timer of its own looks at them.

    One that has passed is told once, and is waited for again only after the next `put`.
    """

    def __init__(
        self,
        clock: Clock,
        lag: LoopLag,
        isolation: Isolation,
        *,
        passed: Callable[[Id], None],
        away: Callable[[Millis, Millis], None],
    ) -> None:
        """Take the parts. `passed` is called with each monitor whose deadline has passed, `away`
        with the beginning and end of a time in which our own network was away: it puts later
        deadlines."""
        self._clock = clock
        self._lag = lag
        self._isolation = isolation
        self._on_passed = passed
        self._on_away = away
        self._beats: dict[Id, Beat] = {}
        self._heap: list[tuple[Millis, int, Id]] = []
        self._live: dict[Id, int] = {}
        """The serial number of each monitor's heap item; one with another number is dead."""
        self._serial = count(1)
        self._alarm = Alarm(clock, self.turn)
        self._offset = self._wall_offset()
        self._away: Millis | None = None
        """Since when our own network has been away."""

    def __contains__(self, monitor_id: Id) -> bool:
        """Tell whether a deadline is being waited for."""
        return monitor_id in self._live

    def beat(self, monitor_id: Id) -> Beat | None:
        """Return where a monitor stands, or None."""
        return self._beats.get(monitor_id)

    def beats(self) -> list[tuple[Id, Beat]]:
        """Return where every monitor stands."""
        return list(self._beats.items())

    def put(self, monitor_id: Id, beat: Beat) -> None:
        """Wait by `beat` from now on."""
        self._beats[monitor_id] = beat
        serial = self._live[monitor_id] = next(self._serial)
        heapq.heappush(self._heap, (beat.deadline_at, serial, monitor_id))
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = [item for item in self._heap if self._live.get(item[2]) == item[1]]
            heapq.heapify(self._heap)
        left = (beat.deadline_at - self._clock.now()) / SECOND
        self._alarm.set(self._clock.monotonic() + min(left, LOOK_SECONDS))

    def remove(self, monitor_id: Id) -> None:
        """Wait for no ping of this monitor any more."""
        self._live.pop(monitor_id, None)
        self._beats.pop(monitor_id, None)

    def start(self) -> None:
        """Let the running loop drive the deadlines from now on."""
        self._offset = self._wall_offset()
        self._alarm.start()

    def stop(self) -> None:
        """Find none any more."""
        self._alarm.stop()

    def turn(self) -> float | None:
        """Tell the deadlines that have passed; return the seconds until the next look."""
        mono, now = self._clock.monotonic(), self._clock.now()
        if self._isolation.isolated:
            self._away = self._isolation.since if self._away is None else self._away
            return LOOK_SECONDS
        before, self._offset = self._offset, self._wall_offset()
        jumped = abs(self._offset - before) > BREAK_SECONDS * SECOND
        if jumped or self._lag.worst_since(mono - WAIT_SECONDS) > LATE_MS:
            # What the break means for the deadlines is settled first, and what waits is read.
            return WAIT_SECONDS
        if self._away is not None:
            self._on_away(self._away, now)
            self._away = None
        told = 0
        while self._heap and self._heap[0][0] <= now:
            if told >= PASSED_PER_TURN:
                return 0.0
            _, serial, monitor_id = heapq.heappop(self._heap)
            if self._live.get(monitor_id) == serial:
                told += 1
                del self._live[monitor_id]
                self._on_passed(monitor_id)
        if not self._heap:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, (self._heap[0][0] - now) / SECOND)

    def _wall_offset(self) -> float:
        return self._clock.now() - self._clock.monotonic() * SECOND
