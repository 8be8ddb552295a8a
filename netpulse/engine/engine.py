"""The engine: starts, stops and joins everything that watches and tells."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable
from functools import partial

from netpulse.channels import Carrier
from netpulse.crypto.links import Links
from netpulse.egress.connect import Egress
from netpulse.engine import garbage, limits, long_pages
from netpulse.engine.breaks import Breaks
from netpulse.engine.by_hand import ByHand
from netpulse.engine.calendar import Calendar
from netpulse.engine.changes import Changes
from netpulse.engine.clock import Clock
from netpulse.engine.dispatcher import JUMP_SECONDS, Dispatcher
from netpulse.engine.domains import Domains
from netpulse.engine.due import Due
from netpulse.engine.figures import Figures, LagStats
from netpulse.engine.frozen import FrozenLoop
from netpulse.engine.housekeeping import Housekeeping
from netpulse.engine.isolation import Isolation
from netpulse.engine.lag import Break, LoopLag
from netpulse.engine.live import Hub
from netpulse.engine.loading import load
from netpulse.engine.measuring import Measuring
from netpulse.engine.page_news import PageNews
from netpulse.engine.page_webhooks import PageWebhooks
from netpulse.engine.permits import Permits
from netpulse.engine.postman import Postman
from netpulse.engine.pushes import Pushes
from netpulse.engine.roster import Roster
from netpulse.engine.runner import Runner
from netpulse.engine.scheduler import Scheduler
from netpulse.engine.thresholds import Thresholds
from netpulse.engine.unwritten import Unwritten
from netpulse.engine.watchdog import Watchdog
from netpulse.model.check import Check, Reading, Verdict
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, MonitorSpec
from netpulse.model.push import Ping
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Watch
from netpulse.probes.handshakes import HANDSHAKES
from netpulse.rules import quotas
from netpulse.rules.addresses import AddressPolicy
from netpulse.rules.outbox import Backoff
from netpulse.storage import alive, channels, keyless, notices, runs
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import Raw

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0


class Engine:
    """What runs all the time. One a process; `start()` once, `stop()` once."""

    def __init__(
        self,
        db: Database,
        raw: Raw,
        egress: Egress,
        clock: Clock | None = None,
        *,
        version: str = "",
        raw_days: int = 90,
        at_once: int | None = None,
        carrier: Carrier | None = None,
        links: Links | None = None,
        backoff: Backoff | None = None,
        frozen_seconds: float | None = None,
        strangers: AddressPolicy | None = None,
    ) -> None:
        """Take the parts that somebody else closes.

        Args:
            db: the main file.
            raw: the raw results.
            egress: the way out.
            clock: the time.
            version: written into the record of this run.
            raw_days: days for which raw results are kept.
            at_once: checks that may run at once; None: from the limit on open files.
            carrier: what channels send with; None: the way out alone.
            links: what makes the addresses that messages carry; None: they carry none.
            backoff: how notices and letters are tried again.
            frozen_seconds: end the process when its loop stands still that long; None: never.
            strangers: what may be reached of addresses that strangers name; None: the public
                internet alone.
        """
        self.clock = clock or Clock()
        self._db = db
        self._raw = raw
        self._carrier = carrier or Carrier(egress=egress)
        self._version = version
        links = links or Links(b"", "")
        self.figures = Figures(self.clock)
        self.live = Hub()
        self.roster = Roster()
        self.lag = LoopLag(self.clock, self._on_break)
        if at_once is None:
            at_once = limits.checks_at_once(limits.raise_file_limit())
        self.scheduler = Scheduler(
            self.clock,
            self._begin,
            limit=at_once,
            crowded=partial(long_pages.crowded, self.roster),
            behind=HANDSHAKES.relieve,
        )
        self.permits = Permits(db, egress)
        self.measuring = Measuring(self.permits.way, self.clock, self.lag)
        self.isolation = Isolation(
            db=db,
            clock=self.clock,
            roster=self.roster,
            scheduler=self.scheduler,
            on_notices=self.notices_written,
        )
        self.thresholds = Thresholds(
            db=db, clock=self.clock, roster=self.roster, on_notices=self.notices_written
        )
        self.runner = Runner(
            db=db,
            raw=raw,
            measuring=self.measuring,
            isolation=self.isolation,
            clock=self.clock,
            scheduler=self.scheduler,
            roster=self.roster,
            hub=self.live,
            figures=self.figures,
            thresholds=self.thresholds,
            on_notices=self.notices_written,
            on_dropped=self.changed,
        )
        self.pushes = Pushes(
            db=db,
            raw=raw,
            clock=self.clock,
            lag=self.lag,
            roster=self.roster,
            runner=self.runner,
            isolation=self.isolation,
            settled=self.settled,
        )
        self.breaks = Breaks(
            db=db,
            clock=self.clock,
            figures=self.figures,
            roster=self.roster,
            scheduler=self.scheduler,
            runner=self.runner,
            pushes=self.pushes,
        )
        self.calendar = Calendar(
            db=db,
            clock=self.clock,
            hub=self.live,
            roster=self.roster,
            on_notices=self.notices_written,
        )
        self.changes = Changes(
            db=db,
            clock=self.clock,
            hub=self.live,
            roster=self.roster,
            scheduler=self.scheduler,
            runner=self.runner,
            pushes=self.pushes,
            thresholds=self.thresholds,
            calendar=self.calendar,
        )
        self.dispatcher = Dispatcher(
            db=db,
            carrier=self.carrier,
            links=links,
            clock=self.clock,
            hub=self.live,
            figures=self.figures,
            worker=f"process {os.getpid()}",
            on_accepted=self.isolation.accepted,
            unwritten=Unwritten(db, self.clock, self.roster),
            backoff=backoff,
        )
        self.postman = Postman(
            db=db, carrier=self._carrier, links=links, clock=self.clock, backoff=backoff
        )
        self.domains = Domains(db=db, egress=egress, clock=self.clock)
        self.page_webhooks = PageWebhooks(
            db=db,
            carrier=Carrier(
                egress=egress.under(
                    strangers or quotas.policy(egress.policy, private_targets=False)
                )
            ),
            links=links,
            clock=self.clock,
            backoff=backoff,
        )
        self.page_news = PageNews(
            db=db,
            carrier=self._carrier,
            links=links,
            clock=self.clock,
            on_letters=self.letters_written,
            on_webhooks=self.page_webhooks.wake,
        )
        self.live.observe(self.page_news.stirred)
        self.watchdog = Watchdog(
            db=db,
            clock=self.clock,
            lag=self.lag,
            roster=self.roster,
            scheduler=self.scheduler,
            runner=self.runner,
            isolation=self.isolation,
            pushes=self.pushes,
            on_notices=self.notices_written,
        )
        self.housekeeping = Housekeeping(db=db, raw=raw, clock=self.clock, raw_days=raw_days)
        self._frozen = (
            None
            if frozen_seconds is None
            else FrozenLoop(lambda: self.lag.beats, after=frozen_seconds)
        )
        self._by_hand = ByHand(raw=raw, measuring=self.measuring, isolation=self.isolation)
        self._readying: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        self._run_id: int | None = None
        self.started_at: Millis | None = None
        self.keyless_since: Millis | None = None
        """Since when the encryption key is not here, so that nobody is told of anything."""
        self.stopping = False

    # Beginning and end

    async def start(self) -> None:
        """Open the record of this run, take over what was known, and begin to watch.

        Raises:
            StorageTrouble: the main file cannot be written.
        """
        now = self.started_at = self.clock.now()
        sign = await asyncio.to_thread(alive.last, self._raw.data)
        run_id, previous = await self._db.write(runs.begin, now, self._version, sign)
        self._run_id = run_id
        self.breaks.record()
        if previous is not None and now > previous:
            log.info("NetPulse was not running for %.0f s", (now - previous) / SECOND)
        if previous is not None and previous - now > JUMP_SECONDS * SECOND:
            log.warning(
                "the clock was set back while NetPulse did not run, by %.0f s at least",
                (previous - now) / SECOND,
            )
            await self._db.write(notices.turn_back, previous - now)
        self.lag.start()
        if self._frozen is not None:
            self._frozen.start()
        await self.permits.load()
        await self.calendar.catch_up()
        arrears = await load(
            self._db,
            self._raw,
            self.clock,
            self.roster,
            self.scheduler,
            self.runner,
            started_at=now,
        )
        await self.thresholds.load()
        garbage.loaded(len(self.roster))
        await self.isolation.start()
        await self.pushes.load(await self._heard_until(previous, now), now)
        self.pushes.start()
        self.permits.start()
        await self.domains.start()
        await self._begin_to_tell()
        await self.calendar.start()
        self.scheduler.start()
        # From here on checks run; whoever asks is answered when all of the rest is done too.
        await arrears.settle()
        await self.watchdog.start()
        self.housekeeping.start(run_id)
        await self.changes.close_left()
        if self.keyless_since is None and await self._db.read(channels.any_posting):
            self._readying = asyncio.create_task(self._carrier.egress.ready_to_post())
        log.info(
            "watching %d monitors, %d of them are checked first", len(self.roster), arrears.owed
        )

    async def _heard_until(self, previous: Millis | None, now: Millis) -> Millis | None:
        """Return until when pings were heard by the runs before this one, the last of which ended
        at `previous`: without the key they cannot be told apart."""
        if self._db.vault.is_lost:
            end = now if previous is None else min(previous, now)
            self.keyless_since = await self._db.write(keyless.begin, end)
            return previous
        since = await self._db.read(keyless.since)
        return previous if since is None or previous is None else min(previous, since)

    async def _begin_to_tell(self) -> None:
        """Start all that sends something; without the key nothing is, and what is written waits."""
        if self.keyless_since is not None:
            log.error("nobody is told of anything: %s", self._db.vault.why_lost)
            return
        if await self._db.read(keyless.is_left):
            await self._db.write(keyless.end, self.clock.now())
            log.info("the encryption key is back: what waits is told now")
        await self.dispatcher.start()
        await self.postman.start()
        await self.page_webhooks.start()
        await self.page_news.start()

    async def stop(self) -> None:
        """Stop within 5 s: abandon the probes, write what is measured, return claims.

        Storage that fails now costs nothing that was acknowledged; it is logged. Who asks a second
        time waits for the same end: only then may what is beneath be closed.
        """
        async with self._ending:
            if not self.stopping:
                self.stopping = True
                await self._stop()

    async def _stop(self) -> None:
        self.live.close()
        self.scheduler.stop()
        await self.pushes.stop(STOP_SECONDS)
        await self.watchdog.stop()
        await self.isolation.stop()
        await self.calendar.stop()
        await self.domains.stop()
        await self.page_news.stop()
        await self.permits.stop()
        await self.housekeeping.stop()
        await self.changes.stop()
        await self.thresholds.stop()
        if self._readying is not None:
            await _all_of(self._readying)
        await _all_of(
            self.runner.stop(STOP_SECONDS),
            self.dispatcher.stop(),
            self.postman.stop(),
            self.page_webhooks.stop(),
            self.breaks.stop(),
        )
        self.lag.stop()
        if self._frozen is not None:
            self._frozen.stop()
        await _all_of(self._raw.flush(), self._finish())

    async def _finish(self) -> None:
        if self._run_id is not None:
            await self._db.write(runs.finish, self._run_id, self.clock.now())
            with contextlib.suppress(OSError):  # nobody listens for long
                await asyncio.to_thread(alive.take_back, self._raw.data)

    # Changes from outside

    def changed(self, monitor_id: Id) -> None:
        """Take over a monitor that was made, changed, paused, resumed or deleted.

        Call it after the commit; it returns at once. A monitor that is to be watched is checked
        within a second.
        """
        self.changes.take_over(monitor_id)

    def rules_changed(self, org_id: Id) -> None:
        """Take over that an organization's alert rules were made, changed or deleted.

        Call it after the commit; it returns at once.
        """
        self.thresholds.rules_changed(org_id)

    async def settled(self) -> None:
        """Wait until every change so far has taken effect."""
        await self.changes.settled()
        await self.thresholds.settled()
        await self.permits.settled()

    def maintenance_changed(self) -> None:
        """Take over a maintenance that was planned, changed, ended or deleted, after the commit."""
        self.calendar.wake()

    def notices_written(self) -> None:
        """Look at the outbox at once."""
        self.dispatcher.wake()

    def letters_written(self) -> None:
        """Send the letters that were written, after the commit."""
        self.postman.wake()

    def org_changed(self, org_id: Id, *, private_targets: bool) -> None:
        """Take over that an organization was made, or what it may reach changed.

        Call it after the commit; it counts from the next check and notice on.
        """
        self.permits.changed(org_id, private_targets=private_targets)

    def org_deleted(self, org_id: Id) -> None:
        """End all that an organization had watched, after the commit; returns at once."""
        self.changes.close(org_id)

    def carrier(self, org_id: Id) -> Carrier:
        """Return what an organization's channels send with, reaching what it may reach."""
        return self._carrier.under(self.permits.way(org_id))

    # Checks by hand

    async def check_now(self, org_id: Id, monitor: Monitor) -> Check:
        """Check a stored monitor at once, beside its schedule, and return the check.

        It is kept among the raw results but confirms nothing and is in no figure.
        """
        return await self._by_hand.check(org_id, monitor)

    async def test(self, org_id: Id, spec: MonitorSpec) -> tuple[Reading, Verdict, Check]:
        """Run a configuration that an organization has not stored; nothing is kept of it."""
        return await self._by_hand.test(org_id, spec)

    # Pings

    async def ping(self, monitor_id: Id, ping: Ping) -> bool:
        """Take a ping of a push monitor; return False if that is gone.

        Raises:
            StorageTrouble: it could not be kept, and should be sent again.
        """
        return await self.pushes.ping(monitor_id, ping)

    # What is known

    def last_check(self, monitor_id: Id) -> Check | None:
        """Return the last check of the schedule, or None."""
        watched = self.roster.get(monitor_id)
        return None if watched is None else watched.last

    def watch(self, monitor_id: Id) -> Watch | None:
        """Return what is known of a monitor on duty, or None."""
        watched = self.roster.get(monitor_id)
        return None if watched is None else watched.watch

    def lag_stats(self) -> LagStats:
        """Return the scheduling lag over the last minute."""
        return self.figures.lags.stats()

    def left_out(self) -> int:
        """Return how many checks of the last minute were left out: there were too many to make."""
        return self.scheduler.left_out.total

    def stale_count(self) -> int:
        """Return how many monitors nobody vouches for through our own fault."""
        return self.watchdog.stale_count()

    @property
    def trouble(self) -> StorageTrouble | None:
        """Why edges cannot be written just now, or None."""
        return self.runner.trouble or self._db.trouble

    async def outbox_pending(self) -> int:
        """Return how many notices wait to be sent."""
        return await self._db.read(notices.pending_count)

    # Called by the parts

    def _begin(self, due: Due) -> None:
        self.runner.begin(due)

    def _on_break(self, found: Break) -> None:
        self.breaks.happened(found)


async def _all_of(*ends: Awaitable[object]) -> None:
    """Await all of them; what fails at the end is logged and keeps nothing else from ending."""
    for result in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("at the end: %s", result, exc_info=result)
