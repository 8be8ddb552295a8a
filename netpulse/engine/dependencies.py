"""Dependencies: a child that fails asks its parent at once, and hears of the parent's verdict.

What waits for a parent is in the file, with a deadline; here it is only made to go faster. Which
children wait is kept in memory, found again at the start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from netpulse.engine.clock import Clock
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.scheduler import Scheduler
from netpulse.model.check import Check, Result
from netpulse.model.edge import Outcome
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status, Watch
from netpulse.storage import held, parents
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.parents import Heard

log = logging.getLogger(__name__)


class Dependencies:
    """Who waits for whom."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        scheduler: Scheduler,
        roster: Roster,
        on_notices: Callable[[], None],
    ) -> None:
        """Take the parts; `on_notices` is called when held notices are to be looked at."""
        self._db = db
        self._clock = clock
        self._scheduler = scheduler
        self._roster = roster
        self._on_notices = on_notices
        self._waiting: dict[Id, frozenset[Id]] = {}
        """By child whose notice waits: the monitors it depends on."""
        self._children: dict[Id, set[Id]] = {}
        """By monitor: the children that wait for it."""

    def __contains__(self, monitor_id: Id) -> bool:
        """Tell whether a notice of a monitor waits for what it depends on."""
        return monitor_id in self._waiting

    async def load(self) -> None:
        """Find the children that waited when the process ended."""
        for child_id in await self._db.read(held.waiting_children):
            self._wait(child_id)

    def ask(self, watched: Watched, after: Watch) -> None:
        """Have the parent checked at once, if this is the first failing check of a monitor."""
        before = watched.latest
        failed = after.downs + after.slows > 0 or (
            after.settled in {Status.DOWN, Status.DEGRADED} and after.settled is not before.settled
        )
        if not failed or before.downs + before.slows > 0:
            return
        parent = self._parent(watched)
        if parent is not None:
            self._scheduler.soon(parent.id, 0.0)

    def parent_good_at(self, watched: Watched) -> Millis | None:
        """Return when the parent's last check began (Unix milliseconds), if it was good."""
        parent = self._parent(watched)
        last = None if parent is None else parent.last
        if last is None or not last.conclusive or last.result is Result.DOWN:
            return None
        return last.started_at

    def flipped(self, watched: Watched, flip: Flip, outcome: Outcome) -> None:
        """Take note of a flip that was written; when a parent is back its children are checked."""
        if outcome.waits_for_parent:
            self._wait(watched.id)
        elif flip.after in {Status.UP, Status.PAUSED}:
            self._forget(watched.id)
        children = self._children.get(watched.id)
        if not children:
            return
        if flip.after in {Status.UP, Status.DEGRADED}:
            for child_id in children:
                self._scheduler.soon(child_id, 0.0)
        self._on_notices()

    def listens(self, watched: Watched, check: Check) -> bool:
        """Tell whether `heard` has anything to look at."""
        monitor_id = watched.monitor.id
        if monitor_id in self._waiting and check.result == watched.watch.settled.value:
            return True
        return monitor_id in self._children and check.result is not Result.DOWN

    async def heard(self, watched: Watched, check: Check) -> None:
        """Look at what waits for this check: of the monitor itself, or of its children."""
        if not check.conclusive:
            return
        if watched.id in self._waiting and check.result == watched.watch.settled.value:
            await self._look([watched.id], Heard(own_check_at=check.started_at))
        children = self._children.get(watched.id)
        if children and check.result is not Result.DOWN:
            nearest = [one for one in children if self._is_nearest(watched, one)]
            await self._look(nearest, Heard(parent_good_at=check.started_at))

    async def _look(self, child_ids: list[Id], heard: Heard) -> None:
        for start in range(0, len(child_ids), held.AT_ONCE):
            some = tuple(child_ids[start : start + held.AT_ONCE])
            try:
                still = await self._db.write(held.hear, some, heard, self._clock.now())
            except StorageTrouble:
                # The runner says that the disk takes nothing; the deadline in the file remains.
                return
            for child_id in some:
                if child_id not in still:
                    self._forget(child_id)
            self._on_notices()
            await asyncio.sleep(0)

    def _is_nearest(self, parent: Watched, child_id: Id) -> bool:
        child = self._roster.get(child_id)
        return child is not None and self._parent(child) is parent

    def _parent(self, watched: Watched) -> Watched | None:
        """Return the nearest monitor that this one depends on and that is not paused."""
        return next((one for one in self._chain(watched) if not one.paused), None)

    def _chain(self, watched: Watched) -> Iterator[Watched]:
        seen = {watched.id}
        at: Watched | None = watched
        while at is not None and len(seen) <= parents.DEEPEST:
            parent_id = at.monitor.spec.parent_id
            if parent_id is None or parent_id in seen:
                return
            seen.add(parent_id)
            at = self._roster.get(parent_id)
            if at is not None:
                yield at

    def _wait(self, child_id: Id) -> None:
        child = self._roster.get(child_id)
        if child is None:
            return
        self._forget(child_id)
        chain = frozenset(one.id for one in self._chain(child))
        self._waiting[child_id] = chain
        for parent_id in chain:
            self._children.setdefault(parent_id, set()).add(child_id)

    def _forget(self, child_id: Id) -> None:
        for parent_id in self._waiting.pop(child_id, frozenset()):
            children = self._children.get(parent_id, set())
            children.discard(child_id)
            if not children:
                self._children.pop(parent_id, None)
