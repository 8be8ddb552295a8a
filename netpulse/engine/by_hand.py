"""Checks that people ask for, beside the schedule: so many at a time; none confirms anything."""

from __future__ import annotations

import asyncio

from netpulse.engine.isolation import Isolation
from netpulse.engine.measuring import Measuring
from netpulse.model.check import Check, Reading, Verdict
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, MonitorSpec
from netpulse.storage.raw import Raw

AT_ONCE = 32


class ByHand:
    """Makes them, and keeps those of stored monitors."""

    def __init__(self, *, raw: Raw, measuring: Measuring, isolation: Isolation) -> None:
        """Take the parts."""
        self._raw = raw
        self._measuring = measuring
        self._isolation = isolation
        self._places = asyncio.Semaphore(AT_ONCE)

    async def check(self, org_id: Id, monitor: Monitor) -> Check:
        """Check a stored monitor at once, and keep the check."""
        if monitor.org_id != org_id:
            raise ValueError("the monitor belongs to another organization")
        async with self._places:
            measured = await self._measuring.measure(org_id, monitor.spec, damage=monitor.damage)
        check = self._isolation.view(monitor.spec, measured).check(None, counted=False)
        self._raw.append([(monitor.key, check)])
        return check

    async def test(self, org_id: Id, spec: MonitorSpec) -> tuple[Reading, Verdict, Check]:
        """Run a configuration that is not stored; nothing is kept of it."""
        async with self._places:
            measured = await self._measuring.measure(org_id, spec)
        return measured.reading, measured.verdict, measured.check(None, counted=False)
