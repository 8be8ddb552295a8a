"""Push monitors: pings that come in, and what follows a deadline that passed.

What a ping changes is on disk before it is acknowledged; then it is a check like any other. When
which deadline has passed is found by `engine.deadlines`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from netpulse.engine.clock import Clock
from netpulse.engine.deadlines import Deadlines
from netpulse.engine.isolation import Isolation
from netpulse.engine.lag import LoopLag
from netpulse.engine.measuring import Measured
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.model.check import Check, Reading, Result
from netpulse.model.ids import Id
from netpulse.model.monitor import PushSpec
from netpulse.model.push import Beat, Ping, PingKind
from netpulse.model.time import Millis
from netpulse.rules import push
from netpulse.rules.verdict import judge
from netpulse.storage import pushes
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import Raw

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 2.0
SETTLING_SECONDS = 5.0


class Pushes:
    """`ping` is what the web calls; `turn()` finds deadlines and may be called by hand in tests."""

    def __init__(
        self,
        *,
        db: Database,
        raw: Raw,
        clock: Clock,
        lag: LoopLag,
        roster: Roster,
        runner: Runner,
        isolation: Isolation,
        settled: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        """Take the parts; `settled` waits until changes from outside have taken effect."""
        self._db = db
        self._raw = raw
        self._clock = clock
        self._roster = roster
        self._runner = runner
        self._settled = settled
        self._deadlines = Deadlines(clock, lag, isolation, passed=self._passed, away=self.excuse)
        self._locks: defaultdict[Id, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Pings and misses of one monitor come in order."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def __contains__(self, monitor_id: Id) -> bool:
        """Tell whether a deadline is being waited for."""
        return monitor_id in self._deadlines

    def beat(self, monitor_id: Id) -> Beat | None:
        """Return where a monitor stands, or None."""
        return self._deadlines.beat(monitor_id)

    # Beginning and end

    async def load(self, gone_at: Millis | None, now: Millis) -> None:
        """Wait for the deadlines of all push monitors on duty, after nobody listened from
        `gone_at` (None: this is the first start) to `now`."""
        known = await self._db.read(pushes.beats)
        moved: dict[Id, Beat] = {}
        for monitor_id, stored in known.items():
            spec = self._spec(monitor_id)
            if spec is None:
                continue
            beat = stored
            if gone_at is not None and gone_at < now:
                beat = push.excused(spec, stored, gone_at, now)
            if gone_at is not None and gone_at > now:
                beat = push.turned_back(spec, stored, now)
            if beat != stored:
                moved[monitor_id] = beat
            self._deadlines.put(monitor_id, beat)
        if moved:
            await self._db.write(pushes.save, moved)

    def start(self) -> None:
        """Let the running loop drive the deadlines from now on."""
        self._deadlines.start()

    async def stop(self, seconds: float) -> None:
        """Judge no deadline any more, and wait for what is being written."""
        self._stopping = True
        self._deadlines.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    # Changes from outside

    async def take_over(self, watched: Watched, old: Watched | None) -> None:
        """Wait for the next ping of a monitor that was made, changed or resumed."""
        spec = watched.monitor.spec
        if not isinstance(spec, PushSpec) or not watched.is_push or watched.paused:
            self.drop(watched.id)
            return
        # What is in memory may be newer than what is on disk.
        stored = self._deadlines.beat(watched.id) or await self._db.read(pushes.beat, watched.id)
        if stored is None:
            return
        now = self._clock.now()
        if old is not None and old.paused:
            # While it was paused nobody waited for a ping.
            beat = replace(push.begun(spec, now), last_at=stored.last_at)
        elif old is None or old.monitor.spec == spec:
            beat = stored
        else:
            beat = push.reconfigured(spec, stored, now)
        self._deadlines.put(watched.id, beat)
        if beat != stored:
            await self._db.write(pushes.save, {watched.id: beat})

    def drop(self, monitor_id: Id) -> None:
        """Wait for no ping of this monitor any more."""
        self._deadlines.remove(monitor_id)
        if not self._locks[monitor_id].locked():
            del self._locks[monitor_id]

    def guard(self, watched: Watched) -> None:
        """Have a monitor that lost its deadline waited for again: called by the watchdog."""
        if watched.id in self._deadlines or self._locks[watched.id].locked() or self._stopping:
            return
        log.error("a push monitor had lost its deadline", extra={"monitor_id": watched.id})
        self._begin(self.take_over(watched, None))

    # Pings

    async def ping(self, monitor_id: Id, ping: Ping) -> bool:
        """Take a ping; return False if the monitor is gone meanwhile. A paused one ignores it.

        Raises:
            StorageTrouble: it could not be kept. It counts until the process ends all the same.
        """
        watched = await self._on_duty(monitor_id)
        if watched is None:
            return False
        async with self._locks[monitor_id]:
            return await self._taken(monitor_id, ping)

    async def _taken(self, monitor_id: Id, ping: Ping) -> bool:
        watched = await self._on_duty(monitor_id)
        if watched is None:
            return False
        if self._deadlines.beat(monitor_id) is None:
            # It is on duty since this very moment, or was resumed in it.
            await self._changes_taken_over()
            watched = self._roster.get(monitor_id) or watched
        spec, beat = watched.monitor.spec, self._deadlines.beat(monitor_id)
        if not isinstance(spec, PushSpec):
            return False
        if watched.paused or beat is None:
            return True
        now = self._clock.now()
        if ping.kind is PingKind.LOG:
            self._raw.append([(watched.monitor.key, _note(watched, ping, now))])
            return True
        if ping.kind is PingKind.START:
            await self._keep(monitor_id, push.started(spec, beat, now))
            return True
        reading = push.reading_of(ping, beat, now)
        check = _check(spec, reading, now)
        try:
            await self._keep(monitor_id, push.pinged(spec, now))
        finally:
            await self._count(monitor_id, check)
        return True

    async def _keep(self, monitor_id: Id, beat: Beat) -> None:
        """Wait by the new beat from now on, and have it on disk."""
        self._deadlines.put(monitor_id, beat)
        await self._db.write(pushes.save, {monitor_id: beat})

    async def _count(self, monitor_id: Id, check: Check) -> None:
        """Have a check counted; where it cannot be written now, as soon as it can."""
        if not await self._counted(monitor_id, check):
            self._begin(self._count_later(monitor_id, check))

    async def _count_later(self, monitor_id: Id, check: Check) -> None:
        while not self._stopping:
            await asyncio.sleep(TROUBLE_SECONDS)
            watched = self._roster.get(monitor_id)
            last = None if watched is None else watched.last
            if last is not None and last.started_at > check.started_at:
                return  # a newer one has said more
            if await self._counted(monitor_id, check):
                return

    async def _counted(self, monitor_id: Id, check: Check) -> bool:
        """Return whether a check was counted, or is nobody's any more."""
        while (watched := await self._on_duty(monitor_id)) is not None:
            saved = await self._runner.take(watched, check)
            if not watched.gone:
                return saved
            # It was changed in this very moment: the check belongs to what replaced it.
        return True

    async def _on_duty(self, monitor_id: Id) -> Watched | None:
        watched = self._roster.get(monitor_id)
        if watched is None or watched.gone:
            await self._changes_taken_over()
            watched = self._roster.get(monitor_id)
        return None if watched is None or watched.gone else watched

    async def _changes_taken_over(self) -> None:
        """Wait for what is being changed just now, but not for ever: the disk may be full."""
        settling = asyncio.get_running_loop().create_task(self._settled())
        await asyncio.wait({settling}, timeout=SETTLING_SECONDS)

    # Deadlines

    def turn(self) -> float | None:
        """Begin to judge the deadlines that have passed; return the seconds until the next look."""
        return self._deadlines.turn()

    def excuse(self, gone_at: Millis, back_at: Millis) -> None:
        """Shift every deadline: from `gone_at` until `back_at` no ping could be heard."""
        self._move(lambda spec, beat: push.excused(spec, beat, gone_at, back_at))

    def turn_back(self, now: Millis) -> None:
        """Shift what lies in the future now: the clock was set back."""
        self._move(lambda spec, beat: push.turned_back(spec, beat, now))

    def _move(self, how: Callable[[PushSpec, Beat], Beat]) -> None:
        moved = {}
        for monitor_id, beat in self._deadlines.beats():
            spec = self._spec(monitor_id)
            if spec is not None and (after := how(spec, beat)) != beat:
                moved[monitor_id] = after
                self._deadlines.put(monitor_id, after)
        if moved:
            self._begin(self._keep_all(moved))

    async def _keep_all(self, moved: dict[Id, Beat]) -> None:
        while not self._stopping:
            try:
                fresh = {
                    one: beat for one, beat in moved.items() if self._deadlines.beat(one) == beat
                }
                await self._db.write(pushes.save, fresh)
            except StorageTrouble:
                await asyncio.sleep(TROUBLE_SECONDS)
            else:
                return

    def _passed(self, monitor_id: Id) -> None:
        self._begin(self._missed(monitor_id))

    async def _missed(self, monitor_id: Id) -> None:
        async with self._locks[monitor_id]:
            await self._judge_missed(monitor_id)

    async def _judge_missed(self, monitor_id: Id) -> None:
        spec, beat = self._spec(monitor_id), self._deadlines.beat(monitor_id)
        if spec is None or beat is None or monitor_id in self._deadlines:
            return  # a ping, or a change, came first
        now = self._clock.now()
        check = _check(spec, push.absence(spec, beat), min(beat.deadline_at, now))
        after = push.missed(spec, beat, now)
        self._deadlines.put(monitor_id, after)
        await self._count(monitor_id, check)
        try:
            await self._db.write(pushes.save, {monitor_id: after})
        except StorageTrouble as trouble:
            # A restart would find it late once more, and forgive it.
            log.warning("a missed ping could not be kept: %s", trouble)

    # Below

    def _spec(self, monitor_id: Id) -> PushSpec | None:
        watched = self._roster.get(monitor_id)
        if watched is None or watched.paused or not watched.is_push:
            return None
        spec = watched.monitor.spec
        return spec if isinstance(spec, PushSpec) else None

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a push monitor could not be judged", exc_info=error)

    async def quiet(self) -> None:
        """Wait until what was begun is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _check(spec: PushSpec, reading: Reading, at: Millis) -> Check:
    verdict = judge(spec, reading, now=at)
    return Measured(started_at=at, reading=reading, verdict=verdict).check(None)


def _note(watched: Watched, ping: Ping, now: Millis) -> Check:
    """Return what a job only wanted to be noted: it is listed, and counts for nothing."""
    last = watched.last
    result = last.result if last is not None and last.conclusive else Result.UP
    return Check(
        due_at=now,
        started_at=now,
        result=result,
        detail="log",
        message=ping.text or None,
        counted=False,
    )
