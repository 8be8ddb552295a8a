"""Thresholds: rules that speak of a measure, held against each conclusive check of the schedule.

A monitor that no such rule covers costs one look into a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from netpulse.engine.clock import Clock
from netpulse.engine.meanwhile import Meanwhile
from netpulse.engine.roster import Roster, Watched
from netpulse.model.alert import Rule
from netpulse.model.check import Check
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.rules import condition
from netpulse.rules.gauges import Gauge
from netpulse.rules.thresholds import Key, Sight, Standing, Turn
from netpulse.storage import thresholds
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0
PER_TURN = 250
"""Monitors looked at in one turn of the loop."""


class Thresholds:
    """The gauges of all monitors that have any."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        roster: Roster,
        on_notices: Callable[[], None],
    ) -> None:
        """Take the parts; `on_notices` is called when notices were written."""
        self._db = db
        self._clock = clock
        self._roster = roster
        self._on_notices = on_notices
        self._rules: dict[Id, tuple[Rule, ...]] = {}
        """By organization; only those that have any."""
        self._gauges: dict[Id, list[Gauge]] = {}
        """By monitor; only those that have any."""
        self.covers = self._gauges.__contains__
        """Tells whether a rule with a measure covers the monitor with an id."""
        self._loading = asyncio.Lock()
        self._meanwhile = Meanwhile()
        self._stopping = False
        self._troubled = False
        self.weighed = 0
        """Checks that were held against a gauge."""

    def __len__(self) -> int:
        """Return how many monitors rules with a measure cover."""
        return len(self._gauges)

    # What there is to watch for

    async def load(self) -> None:
        """Take over every rule with a measure, and what was so when we stopped.

        Raises:
            StorageTrouble: they cannot be read.
        """
        async with self._loading:
            found = await self._db.read(thresholds.load)
            self._rules = _by_organization(found.rules)
            await self._install(found.standing, None)

    def rules_changed(self, org_id: Id) -> None:
        """Begin to take over that rules of an organization changed; returns at once."""
        if self._stopping:
            return
        self._meanwhile.begin(self._reload(org_id))

    async def settled(self) -> None:
        """Wait until every change so far has taken effect."""
        await self._meanwhile.settled()

    async def stop(self) -> None:
        """Take nothing over any more."""
        self._stopping = True
        await self._meanwhile.stop()

    async def take_over(self, watched: Watched) -> None:
        """Have a monitor that was made, changed, paused or resumed covered as its rules say.

        Its windows begin anew. Called before it is checked; what is no longer watched for is
        forgotten.

        Raises:
            StorageTrouble: what was so cannot be read.
        """
        self._gauges.pop(watched.id, None)
        if watched.monitor.org_id not in self._rules:
            return
        standing = await self._db.read(thresholds.of_monitor, watched.id)
        stale = self._cover(watched, {one.key: one for one in standing})
        if stale:
            try:
                await self._db.write(thresholds.clear, stale)
            except StorageTrouble as trouble:
                # The monitor must be watched all the same; the next start clears them.
                log.warning("%d thresholds that ended are not forgotten: %s", len(stale), trouble)

    def drop(self, monitor_id: Id) -> None:
        """Forget a monitor that is gone."""
        self._gauges.pop(monitor_id, None)

    async def _reload(self, org_id: Id) -> None:
        told = False
        while not self._stopping:
            try:
                async with self._loading:
                    found = await self._db.read(thresholds.load, org_id)
                    had = self._rules.pop(org_id, None)
                    self._rules |= _by_organization(found.rules)
                    if had or found.rules or found.standing:
                        await self._install(found.standing, org_id)
                return
            except StorageTrouble as trouble:
                if not told:
                    log.warning("changed alert rules wait: %s", trouble)
                told = True
                await asyncio.sleep(TROUBLE_SECONDS)
            except Exception:
                log.exception("changed alert rules cannot be taken over")
                return

    async def _install(self, standing: Iterable[Standing], org_id: Id | None) -> None:
        """Cover the monitors of an organization (None: of all) as their rules say."""
        by_monitor: dict[Id, dict[Key, Standing]] = {}
        for one in standing:
            by_monitor.setdefault(one.monitor_id, {})[one.key] = one
        stale: list[Key] = []
        for count, watched in enumerate(self._roster, start=1):
            if org_id is None or watched.monitor.org_id == org_id:
                known = by_monitor.pop(watched.id, {})
                if not watched.gone:
                    stale += self._cover(watched, known)
            if count % PER_TURN == 0:
                await asyncio.sleep(0)
        for gone in by_monitor.values():
            stale += gone
        if stale:
            await self._db.write(thresholds.clear, stale)

    def _cover(self, watched: Watched, standing: dict[Key, Standing]) -> list[Key]:
        """Give a monitor its gauges; return the keys of what is watched for no more."""
        # What a gauge remembers is what is on disk, or what is being written just now.
        old = {(one.rule.id, one.text): one for one in self._gauges.pop(watched.id, ())}
        gauges: list[Gauge] = []
        covering = () if watched.paused else self._covering(watched)
        for rule in covering:
            for term in condition.parse(rule.condition).terms:
                gauge = old.get((rule.id, term.text))
                if gauge is None:
                    gauge = Gauge(rule, term, standing.get((rule.id, watched.id, term.text)))
                gauge.rule = rule
                gauges.append(gauge)
        if gauges:
            self._gauges[watched.id] = gauges
        kept = {(one.rule.id, watched.id, one.text) for one in gauges}
        return [key for key in standing if key not in kept]

    def _covering(self, watched: Watched) -> list[Rule]:
        spec = watched.monitor.spec
        return [
            rule
            for rule in self._rules.get(watched.monitor.org_id, ())
            if rule.monitor_id == watched.id
            or (rule.monitor_id is None and (rule.tag is None or rule.tag in spec.tags))
        ]

    # Checks

    async def weigh(self, watched: Watched, check: Check) -> None:
        """Hold a conclusive check of the schedule against the rules that cover its monitor.

        Called under the monitor's lock, when the state it leads to is written. What cannot be
        written now is tried again with the next check.
        """
        gauges = self._gauges.get(watched.id)
        if gauges is None or watched.gone or not check.conclusive:
            return
        self.weighed += 1
        sight = Sight(
            at=check.started_at,
            status=watched.watch.status,
            response_time_ms=check.response_time_ms,
            certificate=watched.certificate,
        )
        now = self._clock.now()
        turns = [
            (gauge, gauge.turn(watched.id, watched.interval_ms, sight, now)) for gauge in gauges
        ]
        due = [(gauge, turn) for gauge, turn in turns if turn is not None]
        if due:
            await self._write(watched, due, now)

    async def _write(self, watched: Watched, due: list[tuple[Gauge, Turn]], now: Millis) -> None:
        try:
            recorded = await self._db.write(
                thresholds.record, watched.monitor, [turn for _, turn in due], now
            )
        except Exception as error:
            # A mistake of ours, too, must cost no more than this: the check goes on.
            if not self._troubled:
                own = None if isinstance(error, StorageTrouble) else error
                log.error("thresholds cannot be written: %s", error, exc_info=own)  # noqa: TRY400 -- a trace of mistakes alone
            self._troubled = True
            return
        if self._troubled:
            log.info("thresholds are written again")
            self._troubled = False
        written = [gauge.take(recorded.standing, turn) for gauge, turn in due]
        if not all(written):
            # Somebody changed a rule or the monitor meanwhile, and may not have said so.
            self.rules_changed(watched.monitor.org_id)
        if recorded.notice_ids:
            self._on_notices()


def _by_organization(found: Iterable[Rule]) -> dict[Id, tuple[Rule, ...]]:
    rules_of: dict[Id, tuple[Rule, ...]] = {}
    for rule in found:
        rules_of[rule.org_id] = (*rules_of.get(rule.org_id, ()), rule)
    return rules_of
