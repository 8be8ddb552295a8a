"""Our own network: whether it is away, what that means for verdicts, and who is told.

A check that found silence where it may be our own fault is held until that is decided: a few
independent targets are asked at once, and the first that says anything shows that the silence is
the target's. Where the evidence of `rules.isolation` is complete, nobody is judged any more: held
and further verdicts become inconclusive, the time since the first evidence is a gap, and one notice
about ourselves is written. It ends with the first target that answers, or when a channel that is
not on this host takes a notice: then all of them are really silent, and are judged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from netpulse.egress.routes import Way, has_default_route, way_to
from netpulse.engine.clock import Clock
from netpulse.engine.evidence import Evidence
from netpulse.engine.isolation_record import KIND, Record
from netpulse.engine.meanwhile import Meanwhile
from netpulse.engine.measuring import Measured
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.scheduler import Scheduler
from netpulse.model.check import Failure, Result, Verdict
from netpulse.model.ids import Id
from netpulse.model.monitor import MonitorSpec, type_of
from netpulse.model.time import SECOND, Millis
from netpulse.rules.isolation import OWN_SIDE, SUSPECT, Sighting, Sign, sign_of
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

TURN_SECONDS = 0.25
TICK_SECONDS = 10.0
"""Between two looks for an answer, and two extensions of the gap, while the network is away."""
TROUBLE_SECONDS = 1.0
ASKED = 16
"""Targets that are asked whether they answer, at most, before a silence is judged."""
ASKED_AGAIN = 3
"""Targets that are asked every `TICK_SECONDS` while the network is away."""
PATIENCE_SECONDS = 2.0
"""Beyond the longest timeout of those asked: they may have to wait for a free place."""
LONGEST_HOLD_SECONDS = 62.0
SLICE = 250
"""Monitors put on the schedule in one turn of the loop."""

_NOT_JUDGED = "our own network is unreachable: not judged"


class _Held:
    """A check whose verdict waits."""

    __slots__ = ("began", "decided", "own_side", "target")

    def __init__(self, sighting: Sighting) -> None:
        self.target = sighting.target
        self.began = sighting.began
        self.own_side = sighting.sign in OWN_SIDE
        self.decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Isolation:
    """The runner asks `weigh`, the dispatcher says `accepted`; a task of its own does the rest."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        roster: Roster,
        scheduler: Scheduler,
        on_notices: Callable[[], None],
        way: Callable[[str], Way] = way_to,
        default_route: Callable[[], bool | None] = has_default_route,
    ) -> None:
        """Take the parts; `on_notices` is called when a notice was written."""
        self._clock = clock
        self._roster = roster
        self._scheduler = scheduler
        self.evidence = Evidence(clock, roster, way, default_route)
        self._held: list[_Held] = []
        self._asked: set[Id] = set()
        self._until = 0.0
        """When those asked must have answered; 0 while nobody is asked."""
        self._record = Record(db, on_notices)
        self._tick_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._meanwhile = Meanwhile()
        self._wake = asyncio.Event()

    @property
    def isolated(self) -> bool:
        """Tell whether our own network counts as away."""
        return self._record.since is not None

    @property
    def since(self) -> Millis | None:
        """Since when (Unix milliseconds), or None."""
        return self._record.since

    async def start(self) -> None:
        """Take over an isolation that lasted when the process ended, and begin."""
        await self.take_over()
        self._task = asyncio.create_task(self._run(), name="isolation")

    async def take_over(self) -> None:
        """Go on with an isolation that lasted when the process ended."""
        await self._record.take_over()

    async def stop(self) -> None:
        """End the task, and write what is owed; held checks are the runner's to cancel."""
        await self._meanwhile.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        try:
            await self._record.write_ends(self._clock.now())
        except StorageTrouble as trouble:
            log.warning("the end of an isolation could not be written: %s", trouble)

    # What checks are worth

    def passes(self, watched: Watched, measured: Measured) -> bool:
        """Take note of a check at once and return True where it is worth what was measured, as
        nearly every one is; False: `weigh` has to tell, and nothing was noted."""
        if self.isolated or self._held:
            return False
        sighting = self.evidence.of(watched, measured)
        if sighting is not None:
            if sighting.sign in SUSPECT:
                return False
            self._note(sighting)
        return True

    def hears(
        self, watched: Watched, address: str, where: str | None, *, began: float, ms: float
    ) -> bool:
        """Do what `passes` does of a check whose target answered from `address`, of the network
        `where`, `ms` milliseconds after it began."""
        if self._held or self._record.since is not None:
            return False
        sighting = self.evidence.answered(watched, address, where, began, ms)
        if self._until or self._asked:
            self._note(sighting)
        return True

    async def weigh(self, watched: Watched, measured: Measured) -> Measured:
        """Return what a check is worth: as measured, or inconclusive for our own network's sake.

        A silence that may be our own is held until that is decided.
        """
        sighting = self.evidence.of(watched, measured)
        if sighting is None:
            return self._excused(measured) if self._nowhere(measured) else measured
        self._note(sighting)
        if sighting.sign not in SUSPECT:
            return measured
        if not self.isolated and self.evidence.is_open(watched, sighting):
            held = _Held(sighting)
            self._held.append(held)
            watched.held = True
            try:
                self._ask(watched)
                await held.decided
            finally:
                watched.held = False
                self._forget(held)
        elif self._until:
            self._look()
        return self._excused(measured) if self.isolated else measured

    def view(self, spec: MonitorSpec, measured: Measured) -> Measured:
        """Return what a check by hand is worth; it waits for nothing and is no evidence."""
        suspect = sign_of(type_of(spec), measured.reading) in SUSPECT
        address = measured.reading.address
        if not self.isolated or not (suspect or self._nowhere(measured)):
            return measured
        here = address is not None and self.evidence.is_here(address)
        return measured if here else self._excused(measured)

    def _nowhere(self, measured: Measured) -> bool:
        """Tell whether a check that is no evidence must not be judged all the same."""
        reading = measured.reading
        unheard = reading.failure in {Failure.DNS, Failure.TIMEOUT}
        return self.isolated and unheard and reading.address is None

    @staticmethod
    def _excused(measured: Measured) -> Measured:
        was = measured.verdict
        if was.result is Result.INCONCLUSIVE and was.failure is not Failure.OWN_NETWORK:
            return measured
        message = f"{_NOT_JUDGED} ({was.message})" if was.message else _NOT_JUDGED
        verdict = Verdict(Result.INCONCLUSIVE, Failure.OWN_NETWORK, KIND, message)
        return replace(measured, verdict=verdict)

    def accepted(self, address: str | None) -> None:
        """A channel took a notice; `address` is where it was sent to.

        Where that is not this host the network is there, and whoever is silent is really so.
        """
        if address is None or self.evidence.is_here(address):
            return
        now = self._clock.monotonic()
        self.evidence.hear(now)
        self._release_cleared()
        if self.isolated:
            self.evidence.acquit()
            self._end(now, "a channel took the notice of it, so the targets are judged now")

    def _note(self, sighting: Sighting) -> None:
        self.evidence.note(sighting)
        self._asked.discard(sighting.target)
        if sighting.sign is not Sign.ALIVE:
            return
        self._release_cleared()
        since = self._record.since
        if since is not None and self._began_at(since) <= sighting.at:
            watched = self._roster.get(sighting.target)
            name = "a target" if watched is None else watched.monitor.spec.name
            self._end(sighting.at, f"{name} answers")

    def _began_at(self, since: Millis) -> float:
        return self._clock.monotonic() - (self._clock.now() - since) / SECOND

    # Asking others

    def _ask(self, suspect: Watched) -> None:
        """Begin to ask others, unless they are being asked."""
        if not self._until:
            asked = self.evidence.witnesses(suspect, ASKED)
            for one in asked:
                self._asked.add(one.id)
                if not one.probing:
                    self._scheduler.soon(one.id, 0.0)
            longest = max((one.monitor.spec.timeout_seconds for one in asked), default=0)
            wait = min(LONGEST_HOLD_SECONDS, longest + PATIENCE_SECONDS)
            self._until = self._clock.monotonic() + wait
            self._wake.set()
        self._look()

    def _look(self) -> None:
        """Decide, if everybody who was asked has said something or their time is over."""
        if not self._held:
            self._stop_asking()
            return
        self._asked = {one for one in self._asked if self._roster.get(one) is not None}
        now = self._clock.monotonic()
        if self._asked and now < self._until:
            return
        self._stop_asking()
        ruling = self.evidence.ruling()
        if ruling.isolated and ruling.since is not None:
            since = self._clock.now() - round((now - ruling.since) * SECOND)
            self._begin(since, ruling.reason, ruling.failing)
        for held in tuple(self._held):
            self._release(held)

    def _release_cleared(self) -> None:
        """Let go of what began before somebody outside was heard: it is judged as it was seen."""
        for held in tuple(self._held):
            if held.began <= self.evidence.alive_at:
                self._release(held)
        if not self._held:
            self._stop_asking()

    def _release(self, held: _Held) -> None:
        if held.own_side and not self.isolated:
            self.evidence.excuse(held.target)
        if not held.decided.done():
            held.decided.set_result(None)
        self._forget(held)

    def _forget(self, held: _Held) -> None:
        if held in self._held:
            self._held.remove(held)

    def _stop_asking(self) -> None:
        self._until = 0.0
        self._asked.clear()

    # Beginning and end

    def _begin(self, since: Millis, reason: str, failing: int) -> None:
        self._record.begin(since, reason, failing)
        self._tick_at = 0.0
        log.error("our own network is away: %s", reason)
        self._wake.set()

    def _end(self, at: float, why: str) -> None:
        """The network is there since `at`: close the gap, tell it, and check everybody."""
        until = self._clock.now() - round((self._clock.monotonic() - at) * SECOND)
        log.info("%s", self._record.end(until, why))
        self._roster.begin_anew(self._clock.monotonic())
        self._meanwhile.begin(self._check_all())
        self._wake.set()

    async def _check_all(self) -> None:
        watching = [one for one in self._roster if not one.paused]
        for number, one in enumerate(watching, start=1):
            wait = self._scheduler.spread_seconds(one.id, one.interval_ms, len(watching))
            self._scheduler.soon(one.id, wait)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    # Time passing

    async def _run(self) -> None:
        while True:
            busy = bool(self._until) or self._record.is_open
            try:
                async with asyncio.timeout(TURN_SECONDS if busy else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.turn()
            except StorageTrouble as trouble:
                log.warning("the state of our own network cannot be written: %s", trouble)
                await asyncio.sleep(TROUBLE_SECONDS)
            except Exception:
                log.exception("the watch over our own network stumbled; it goes on")
                await asyncio.sleep(TROUBLE_SECONDS)

    async def turn(self) -> None:
        """Do what is due: decide when time is over, write, and ask for an answer.

        Raises:
            StorageTrouble: it could not be written; the next turn tries again.
        """
        if self._until:
            self._look()
        await self._record.write_ends(self._clock.now())
        now = self._clock.monotonic()
        if not self.isolated or now < self._tick_at:
            return
        for one in self.evidence.next_few(ASKED_AGAIN):
            self._scheduler.soon(one.id, 0.0)
        if await self._record.keep(self._clock.now()):
            self._tick_at = now + TICK_SECONDS
