"""Simulated checks: a steady status, phases that spread by a tenth around what is usual.

What the benches of storage and reads write, without waiting for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from netpulse.model.check import Check, Result, Timings, round_latency
from netpulse.model.time import SECOND, Millis
from netpulse.storage.raw import month
from netpulse.storage.raw.block import Block
from netpulse.storage.raw.files import create, open_file
from netpulse.storage.raw.month import Stretch
from netpulse.storage.raw.names import Places, month_of
from netpulse.storage.raw.packing import pack
from netpulse.storage.raw.row import to_row
from netpulse.storage.rollups import Rollup

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


def put(data: Path, stretches: Iterable[Stretch], targets: Sequence[Target], count: int) -> None:
    """Write the packed hours and days of monitors 1 to `count` into the files of their months; the
    checks of a few `targets` stand for those of all: what is stored and read is as large."""
    places = Places(data)
    by_month: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        by_month.setdefault(month_of(stretch.start), []).append(stretch)
    for name, some in by_month.items():
        path = places.month_path(name)
        if not path.exists():
            create(path, month.SCHEMA, month.VERSION, page_bytes=month.PAGE_BYTES)
        connection = open_file(path, month.VERSION)
        try:
            for stretch in some:
                blocks = [
                    Block.of([to_row(check) for check in target.checks(stretch.start, stretch.end)])
                    for target in targets
                ]
                blobs = [(block.size, pack(block)) for block in blocks]
                connection.execute("BEGIN IMMEDIATE")
                for key in range(1, count + 1):
                    month.store(connection, key, stretch, *blobs[key % len(blobs)])
                connection.execute("COMMIT")
        finally:
            connection.close()


def summed(key: int, hour: Millis, checks: int) -> Rollup:
    """Return the sums of an hour of so many checks, all of them up."""
    return Rollup(
        key=key,
        from_ms=hour,
        checks=checks,
        ups=checks,
        degraded=0,
        downs=0,
        inconclusive=0,
        response_count=checks,
        response_sum=checks * (40 + key % 300),
        response_min=30 + key % 300,
        response_max=60 + key % 300,
    )
