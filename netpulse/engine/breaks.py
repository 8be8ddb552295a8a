"""What follows from a stretch in which nothing ran: nobody may be judged by it, and it is kept."""

from __future__ import annotations

import asyncio
import logging

from netpulse.engine.clock import Clock
from netpulse.engine.figures import Figures
from netpulse.engine.lag import Break
from netpulse.engine.pushes import Pushes
from netpulse.engine.roster import Roster
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.model.watch import Gap
from netpulse.storage import runs
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0


class Breaks:
    """Drops what was being measured, begins the schedule anew, and writes the gap."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        figures: Figures,
        roster: Roster,
        scheduler: Scheduler,
        runner: Runner,
        pushes: Pushes,
    ) -> None:
        """Take the parts. Gaps are written from `record` on: they belong to a run."""
        self._db = db
        self._clock = clock
        self._figures = figures
        self._roster = roster
        self._scheduler = scheduler
        self._runner = runner
        self._pushes = pushes
        self._gaps: set[asyncio.Task[None]] = set()
        self._recording = False
        self._stopping = False

    def record(self) -> None:
        """Write gaps from now on: the run that they belong to is written."""
        self._recording = True

    def happened(self, found: Break) -> None:
        """Take a break."""
        self._figures.breaks += 1
        dropped = self._runner.drop_probes()
        log.warning("%s; %d checks were dropped and are made again", found.cause, len(dropped))
        self._roster.excuse(max(found.late_seconds, 0.0))
        self._scheduler.reanchor(dropped)
        if found.gap is None:
            self._pushes.turn_back(self._clock.now())
            return
        self._pushes.excuse(found.gap.start, found.gap.end)
        if self._recording:
            task = asyncio.get_running_loop().create_task(self._write(found.gap))
            self._gaps.add(task)
            task.add_done_callback(self._gaps.discard)

    async def _write(self, gap: Gap) -> None:
        while True:
            try:
                await self._db.write(runs.add_gap, gap)
            except StorageTrouble as trouble:
                if self._stopping:
                    log.exception("a gap is not written")
                    return
                log.warning("a gap could not be written: %s; trying again", trouble)
                await asyncio.sleep(TROUBLE_SECONDS)
            else:
                return

    async def stop(self) -> None:
        """Wait for the gaps that are being written; what the disk does not take now is logged."""
        self._stopping = True
        await asyncio.gather(*self._gaps)
