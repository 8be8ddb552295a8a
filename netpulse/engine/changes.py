"""Changes from outside: a monitor that was made, changed, paused, resumed or deleted."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from netpulse.engine.calendar import Calendar
from netpulse.engine.clock import Clock
from netpulse.engine.live import Hub
from netpulse.engine.meanwhile import Meanwhile
from netpulse.engine.pushes import Pushes
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.engine.thresholds import Thresholds
from netpulse.model.ids import Id
from netpulse.storage import closing, monitors
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0
PER_TURN = 100
"""Monitors taken off duty in one turn of the loop."""


class Changes:
    """Takes over what is stored of a monitor, as often as it is told that this changed."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        hub: Hub,
        roster: Roster,
        scheduler: Scheduler,
        runner: Runner,
        pushes: Pushes,
        thresholds: Thresholds,
        calendar: Calendar,
    ) -> None:
        """Take the parts."""
        self._db = db
        self._clock = clock
        self._hub = hub
        self._roster = roster
        self._scheduler = scheduler
        self._runner = runner
        self._pushes = pushes
        self._thresholds = thresholds
        self._calendar = calendar
        self._meanwhile = Meanwhile()
        self._stopping = False

    def take_over(self, monitor_id: Id) -> None:
        """Begin to take a change over; returns at once."""
        self._meanwhile.begin(self._take_over(monitor_id))

    async def settled(self) -> None:
        """Wait until every change so far has taken effect."""
        await self._meanwhile.settled()

    async def stop(self) -> None:
        """Take nothing over any more."""
        self._stopping = True
        await self._meanwhile.stop()

    async def _take_over(self, monitor_id: Id) -> None:
        told = False
        where = {"monitor_id": monitor_id}
        while not self._stopping:
            old = self._roster.get(monitor_id)
            try:
                if old is None:
                    done = await self._replace(monitor_id, None)
                else:
                    self._runner.drop(old)
                    # An edge that is being written is finished first; what is read includes it.
                    async with old.alone():
                        done = await self._replace(monitor_id, old)
            except StorageTrouble as trouble:
                if not told:
                    log.warning("a change waits: %s", trouble, extra=where)
                told = True
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            except Exception:
                log.exception("a monitor cannot be read and is not checked", extra=where)
                self._scheduler.remove(monitor_id)
                self._roster.remove(monitor_id)
                return
            if done:
                return

    def close(self, org_id: Id) -> None:
        """Begin to end all that an organization had watched, which was deleted; returns at once.

        Its monitors are off duty within a few turns of the loop; then they are retired one after
        another, and where the process ends meanwhile, after the next start (`close_left`).
        """
        self._meanwhile.begin(self._close(org_id))

    async def close_left(self) -> None:
        """Begin to retire the monitors of deleted organizations that an earlier process left.

        Raises:
            StorageTrouble: they cannot be read.
        """
        for org_id in await self._db.read(closing.unfinished):
            self.close(org_id)

    async def _close(self, org_id: Id) -> None:
        mine = [one for one in self._roster if one.monitor.org_id == org_id]
        for number, watched in enumerate(mine, 1):
            self._runner.drop(watched)
            self._forget(watched.id)
            if number % PER_TURN == 0:
                await asyncio.sleep(0)
        self._hub.end(org_id)
        told = False
        left = True
        while left and not self._stopping:
            try:
                left = await self._db.write(closing.retire_some, org_id, self._clock.now())
            except StorageTrouble as trouble:
                if not told:
                    log.warning("a deletion waits: %s", trouble, extra={"org_id": org_id})
                told = True
                await asyncio.sleep(TROUBLE_SECONDS)
        self._calendar.wake()

    def _forget(self, monitor_id: Id) -> None:
        """Take a monitor off duty."""
        self._scheduler.remove(monitor_id)
        self._roster.remove(monitor_id)
        self._pushes.drop(monitor_id)
        self._thresholds.drop(monitor_id)

    async def _replace(self, monitor_id: Id, old: Watched | None) -> bool:
        """Put what is stored in the place of `old`; False if another change came in between."""
        found = await self._db.read(monitors.load_one, monitor_id)
        if self._roster.get(monitor_id) is not old:
            return False
        if found is None:
            self._forget(monitor_id)
            if old is not None:
                self._hub.stir(old.monitor.org_id)
                self._hub.counts(old.monitor.org_id, self._roster.counts)
            return True
        self._scheduler.remove(monitor_id)
        self._roster.remove(monitor_id)
        monitor, watch = found
        watched = Watched(monitor, watch, self._clock.monotonic())
        if old is not None:
            watched.last = old.last
            watched.maintained = old.maintained
            if watch.status is old.watch.status:
                watched.watch = replace(watch, vouched_until=old.vouched.vouched_until)
        self._roster.add(watched)
        await self._thresholds.take_over(watched)
        if not watched.paused and not watched.is_push:
            self._scheduler.put(watched.id, watched.interval_ms, watched.phase, within=0.0)
        await self._pushes.take_over(watched, old)
        self._hub.edge(monitor, watched.shown, watched.last)
        self._hub.counts(monitor.org_id, self._roster.counts)
        # Its tags say which maintenance covers it.
        self._calendar.wake()
        return True
