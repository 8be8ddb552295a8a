"""Permits: which organizations may reach public addresses only, and the way out under that.

Every check and every notice asks; so the answer is kept in memory. What this process changes counts
at once (`changed`), what another one changed (the command line) within seconds.
"""

from __future__ import annotations

import asyncio
import logging

from netpulse.egress.connect import Egress
from netpulse.engine.meanwhile import Meanwhile
from netpulse.model.ids import Id
from netpulse.rules import quotas as rules
from netpulse.storage import quotas
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How long a change by another process may go unseen. A look takes under 1 ms at 1,000 clients."""


class Permits:
    """Knows the way out of every organization. `load()` before the first check."""

    def __init__(self, db: Database, egress: Egress) -> None:
        """Take the main file and the process's own way out."""
        self._db = db
        self._open = egress
        self._public = egress.under(rules.policy(egress.policy, private_targets=False))
        self._confined: frozenset[Id] = frozenset()
        self._changes = 0
        self._task: asyncio.Task[None] | None = None
        self._meanwhile = Meanwhile()
        self._troubled = False

    def way(self, org_id: Id) -> Egress:
        """Return the way out for what an organization has checked or told."""
        return self._public if org_id in self._confined else self._open

    async def load(self) -> None:
        """Take over what is stored.

        Raises:
            StorageTrouble: it cannot be read; what was known before stands.
        """
        while True:
            seen = self._changes
            found = await self._db.read(quotas.confined)
            if seen == self._changes:
                self._confined = found
                return

    def changed(self, org_id: Id, *, private_targets: bool) -> None:
        """Take over that an organization was made, or its quotas changed, after the commit.

        It counts from now on; what hangs on it (clients of an MSP) is read at once.
        """
        self._changes += 1
        alone = frozenset({org_id})
        self._confined = self._confined - alone if private_targets else self._confined | alone
        self._meanwhile.begin(self._look())

    async def settled(self) -> None:
        """Wait until every change so far has taken effect."""
        await self._meanwhile.settled()

    def start(self) -> None:
        """Look for changes by other processes from now on."""
        self._task = asyncio.create_task(self._run(), name="permits")

    async def stop(self) -> None:
        """Look no more."""
        await self._meanwhile.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            await self.load()
        except StorageTrouble as trouble:
            if not self._troubled:
                log.warning("quotas cannot be read: %s; what was known stands", trouble)
            self._troubled = True
        else:
            self._troubled = False
