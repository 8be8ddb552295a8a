"""The clock: the only place in the engine that asks what time it is."""

from __future__ import annotations

import time

from netpulse.model.time import Millis

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


class Clock:
    """Wall time for what is written down, monotonic time for intervals and deadlines.

    A constructor argument everywhere, so that tests can move time instead of waiting for it.
    """

    def now(self) -> Millis:
        """Return the wall time in Unix milliseconds; it may jump."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """Returns seconds that never jump and stand still while the machine is suspended.

    The same base as the event loop's `time()`, so deadlines may be handed to either.
    """

    def boottime(self) -> float:
        """Return seconds that never jump and go on while the machine is suspended.

        Where the system has no such clock this is `monotonic()`: a suspension is then seen only
        by the wall clock's jump.
        """
        if _BOOTTIME is None:
            return time.monotonic()
        return time.clock_gettime(_BOOTTIME)
