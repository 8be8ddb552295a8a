"""The calendar: windows of maintenance begin and end on time, and monitors are seen in them.

What is due is done by `storage.maintenances`; here is the timer, and what browsers are told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from netpulse.engine.clock import Clock
from netpulse.engine.live import Hub
from netpulse.engine.roster import Roster
from netpulse.model.ids import Id
from netpulse.model.time import SECOND
from netpulse.storage import maintenance_spans, maintenances
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

LONGEST_SECONDS = 30.0
"""The longest it sleeps without a look at the clock on the wall, which may have been set."""
TROUBLE_SECONDS = 1.0
PER_TURN = 250
"""Monitors looked at in one turn of the loop."""


class Calendar:
    """Runs as a task; `wake()` makes it look at once. Tests call `turn` instead."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        hub: Hub,
        roster: Roster,
        on_notices: Callable[[], None],
    ) -> None:
        """Take the parts; `on_notices` has notices looked at that may be told now."""
        self._db = db
        self._clock = clock
        self._hub = hub
        self._roster = roster
        self._on_notices = on_notices
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False

    def wake(self) -> None:
        """Look at once: a plan or a monitor has changed."""
        self._wake.set()

    async def catch_up(self) -> None:
        """Do what is due, also what became due while no process ran.

        Raises:
            StorageTrouble: the main file cannot be written.
        """
        while await self._db.write(maintenances.keep_up, self._clock.now()):
            pass

    async def start(self) -> None:
        """See every monitor on duty as it is planned, and begin."""
        await self.turn()
        self._task = asyncio.create_task(self._run(), name="calendar")

    async def stop(self) -> None:
        """Begin and end no more windows; what is half done is done after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def turn(self) -> float | None:
        """Do what is due, and return the seconds until there is more; None: nothing is planned.

        Raises:
            StorageTrouble: the main file cannot be read or written.
        """
        due = await self._db.read(maintenances.next_due)
        if due is not None and due <= self._clock.now():
            await self.catch_up()
            due = await self._db.read(maintenances.next_due)
        await self._show()
        return None if due is None else max(0.0, (due - self._clock.now()) / SECOND)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait = await self.turn()
                self._in_trouble = False
            except StorageTrouble as trouble:
                wait = TROUBLE_SECONDS
                if not self._in_trouble:
                    log.warning("maintenance waits: %s", trouble)
                self._in_trouble = True
            except Exception:
                log.exception("the calendar stumbled; it goes on")
                wait = TROUBLE_SECONDS
            await self._sleep(wait)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until it is time by the clock on the wall, or somebody wakes us."""
        until = None if seconds is None else self._clock.now() + seconds * SECOND
        while not self._wake.is_set() and (until is None or self._clock.now() < until):
            left = LONGEST_SECONDS
            if until is not None:
                left = min(left, (until - self._clock.now()) / SECOND + 0.001)
            try:
                async with asyncio.timeout(None if until is None else left):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _show(self) -> None:
        """See on the roster what is stored, and tell browsers what is new."""
        found = await self._db.read(maintenance_spans.now_in)
        changed: set[Id] = set()
        for number, watched in enumerate(self._roster):
            if number % PER_TURN == PER_TURN - 1:
                await asyncio.sleep(0)
            window = found.get(watched.id)
            if watched.gone or window == watched.maintained:
                continue
            before = watched.shown
            self._roster.maintain(watched, window)
            self._hub.stir(watched.monitor.org_id)
            if watched.shown != before:
                self._hub.edge(watched.monitor, watched.shown, watched.last)
                changed.add(watched.monitor.org_id)
        for org_id in changed:
            self._hub.counts(org_id, self._roster.counts)
        if changed:
            self._on_notices()
