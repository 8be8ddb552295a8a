"""A monitor's place on the schedule, and one check that is to start."""

from __future__ import annotations

from enum import Enum

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class State(Enum):
    """What the last check that came due for a monitor does."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"


class Entry:
    """A monitor on the schedule. `grid` and `extra` are the serial numbers of its two live items on
    the agenda (0: none); an item with another number is dead and skipped when it surfaces."""

    __slots__ = (
        "again",
        "extra",
        "grid",
        "grid_mono",
        "interval_ms",
        "monitor_id",
        "phase",
        "slot",
        "state",
    )

    def __init__(self, monitor_id: Id, interval_ms: int, phase: int) -> None:
        """Take the monitor, the milliseconds between its slots and their phase; nothing is planned
        yet."""
        self.monitor_id = monitor_id
        self.interval_ms = interval_ms
        self.phase = phase
        self.grid = 0
        self.grid_mono = 0.0
        self.slot: Millis = 0
        self.extra = 0
        self.again = False
        self.state = State.IDLE


class Due:
    """One check that is to start: whose, for which slot of the grid, and when it was due."""

    __slots__ = ("at", "entry", "monitor_id", "mono", "over")

    def __init__(self, entry: Entry, at: Millis | None, mono: float) -> None:
        """`at` is the slot in Unix milliseconds; None for a check off the grid, whose due time is
        its own start. `mono` is the monotonic moment it was due at."""
        self.entry = entry
        self.monitor_id = entry.monitor_id
        self.at = at
        self.mono = mono
        self.over = False
