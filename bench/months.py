"""Simulated checks: a steady status, phases that spread by a tenth around what is usual.

What the benches of storage and reads write, without waiting for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from netpulse.model.check import Check, Result, Timings, round_latency
from netpulse.model.time import SECOND, Millis

SPREAD = 0.1
USUAL_MS = (7.0, 20.0, 33.0, 55.0)
"""The medians of dns, connect, tls and first byte over all targets."""
REST_MS = 0.3
TARGETS_SPREAD = 1.0
"""How much targets differ from each other, as the deviation of the logarithm."""


class Target:
    """One monitor's target with its usual latencies."""

    def __init__(self, number: int, interval: int) -> None:
        """Take a number, from which all of it follows, and the seconds between two checks."""
        self._dice = random.Random(number)
        self._usual = [mean * self._dice.lognormvariate(0, TARGETS_SPREAD) for mean in USUAL_MS]
        self._step = interval * SECOND
        self._phase = self._dice.randrange(self._step)

    def checks(self, start: Millis, end: Millis) -> Iterator[Check]:
        """Yield the checks due from `start` to before `end`, oldest first."""
        for due in range(start + (self._phase - start) % self._step, end, self._step):
            yield self.check(due)

    def check(self, due: Millis) -> Check:
        """Return a check that was due at this moment."""
        spread = self._dice.lognormvariate
        dns, connect, tls, first = (round_latency(ms * spread(0, SPREAD)) for ms in self._usual)
        total = round_latency(dns + connect + tls + first + REST_MS * spread(0, SPREAD))
        return Check(
            due_at=due,
            started_at=due + self._dice.choice((1, 1, 1, 2, 2, 3)),
            result=Result.UP,
            status_code=200,
            response_time_ms=round(total),
            timings=Timings(dns, connect, tls, first, total),
        )
