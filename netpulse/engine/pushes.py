"""Push monitors: pings that come in, and deadlines that pass.

What a ping changes is on disk before it is acknowledged; then it is a check like any other. A
deadline is a moment of the wall clock. None is judged while this process was late, while the clock
jumped, or while our own network is away: pings of that time may not have reached us.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from itertools import count

from msgspec.structs import replace

from netpulse.engine.alarm import Alarm
from netpulse.engine.clock import Clock
from netpulse.engine.isolation import Isolation
from netpulse.engine.lag import BREAK_SECONDS, LoopLag
from netpulse.engine.measuring import Measured
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.runner import Runner
from netpulse.model.check import Check, Reading, Result
from netpulse.model.ids import Id
from netpulse.model.monitor import PushSpec
from netpulse.model.push import Beat, Ping, PingKind
from netpulse.model.time import SECOND, Millis
from netpulse.rules import push
from netpulse.rules.verdict import judge
from netpulse.storage import pushes
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import Raw

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""The wall clock, and whether our network is away, are looked at this often."""
LATE_MS = 500.0
"""A process that was later than this may have pings waiting at its door: they come first."""
WAIT_SECONDS = 2.0
TROUBLE_SECONDS = 2.0
SETTLING_SECONDS = 5.0
MISSES_PER_TURN = 100


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
        self._lag = lag
        self._roster = roster
        self._runner = runner
        self._isolation = isolation
        self._settled = settled
        self._beats: dict[Id, Beat] = {}
        self._locks: defaultdict[Id, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Pings and misses of one monitor come in order."""
        self._heap: list[tuple[Millis, int, Id]] = []
        self._live: dict[Id, int] = {}
        """The serial number of each monitor's heap item; one with another number is dead."""
        self._serial = count(1)
        self._alarm = Alarm(clock, self.turn)
        self._offset = self._wall_offset()
        self._away: Millis | None = None
        """Since when our own network has been away."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def __contains__(self, monitor_id: Id) -> bool:
        """Tell whether a deadline is being waited for."""
        return monitor_id in self._live

    def beat(self, monitor_id: Id) -> Beat | None:
        """Return where a monitor stands, or None."""
        return self._beats.get(monitor_id)

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
            self._arm(monitor_id, beat)
        if moved:
            await self._db.write(pushes.save, moved)

    def start(self) -> None:
        """Let the running loop drive the deadlines from now on."""
        self._offset = self._wall_offset()
        self._alarm.start()

    async def stop(self, seconds: float) -> None:
        """Judge no deadline any more, and wait for what is being written."""
        self._stopping = True
        self._alarm.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    # Changes from outside

    async def take_over(self, watched: Watched, old: Watched | None) -> None:
        """Wait for the next ping of a monitor that was made, changed or resumed."""
        spec = watched.monitor.spec
        if not isinstance(spec, PushSpec) or watched.paused:
            self.drop(watched.id)
            return
        # What is in memory may be newer than what is on disk.
        stored = self._beats.get(watched.id) or await self._db.read(pushes.beat, watched.id)
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
        self._arm(watched.id, beat)
        if beat != stored:
            await self._db.write(pushes.save, {watched.id: beat})

    def drop(self, monitor_id: Id) -> None:
        """Wait for no ping of this monitor any more."""
        self._live.pop(monitor_id, None)
        self._beats.pop(monitor_id, None)
        if not self._locks[monitor_id].locked():
            del self._locks[monitor_id]

    def guard(self, watched: Watched) -> None:
        """Have a monitor that lost its deadline waited for again: called by the watchdog."""
        if watched.id in self._live or self._locks[watched.id].locked() or self._stopping:
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
        if monitor_id not in self._beats:
            # It is on duty since this very moment, or was resumed in it.
            await self._changes_taken_over()
            watched = self._roster.get(monitor_id) or watched
        spec, beat = watched.monitor.spec, self._beats.get(monitor_id)
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
        self._arm(monitor_id, beat)
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
        mono, now = self._clock.monotonic(), self._clock.now()
        if self._isolation.isolated:
            self._away = self._isolation.since if self._away is None else self._away
            return LOOK_SECONDS
        before, self._offset = self._offset, self._wall_offset()
        jumped = abs(self._offset - before) > BREAK_SECONDS * SECOND
        if jumped or self._lag.worst_since(mono - WAIT_SECONDS) > LATE_MS:
            # What the break means for the deadlines is settled first, and what waits is read.
            return WAIT_SECONDS
        if self._away is not None:
            self.excuse(self._away, now)
            self._away = None
        begun = 0
        while self._heap and self._heap[0][0] <= now:
            if begun >= MISSES_PER_TURN:
                return 0.0
            _, serial, monitor_id = heapq.heappop(self._heap)
            if self._live.get(monitor_id) == serial:
                begun += 1
                del self._live[monitor_id]
                self._begin(self._missed(monitor_id))
        if not self._heap:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, (self._heap[0][0] - now) / SECOND)

    def excuse(self, gone_at: Millis, back_at: Millis) -> None:
        """Shift every deadline: from `gone_at` until `back_at` no ping could be heard."""
        self._move(lambda spec, beat: push.excused(spec, beat, gone_at, back_at))

    def turn_back(self, now: Millis) -> None:
        """Shift what lies in the future now: the clock was set back."""
        self._move(lambda spec, beat: push.turned_back(spec, beat, now))

    def _move(self, how: Callable[[PushSpec, Beat], Beat]) -> None:
        moved = {}
        for monitor_id, beat in list(self._beats.items()):
            spec = self._spec(monitor_id)
            if spec is not None and (after := how(spec, beat)) != beat:
                moved[monitor_id] = after
                self._arm(monitor_id, after)
        if moved:
            self._begin(self._keep_all(moved))

    async def _keep_all(self, moved: dict[Id, Beat]) -> None:
        while not self._stopping:
            try:
                fresh = {one: beat for one, beat in moved.items() if self._beats.get(one) == beat}
                await self._db.write(pushes.save, fresh)
            except StorageTrouble:
                await asyncio.sleep(TROUBLE_SECONDS)
            else:
                return

    async def _missed(self, monitor_id: Id) -> None:
        async with self._locks[monitor_id]:
            await self._judge_missed(monitor_id)

    async def _judge_missed(self, monitor_id: Id) -> None:
        spec, beat = self._spec(monitor_id), self._beats.get(monitor_id)
        if spec is None or beat is None or monitor_id in self._live:
            return  # a ping, or a change, came first
        now = self._clock.now()
        check = _check(spec, push.absence(spec, beat), min(beat.deadline_at, now))
        after = push.missed(spec, beat, now)
        self._arm(monitor_id, after)
        await self._count(monitor_id, check)
        try:
            await self._db.write(pushes.save, {monitor_id: after})
        except StorageTrouble as trouble:
            # A restart would find it late once more, and forgive it.
            log.warning("a missed ping could not be kept: %s", trouble)

    # Below

    def _arm(self, monitor_id: Id, beat: Beat) -> None:
        self._beats[monitor_id] = beat
        serial = self._live[monitor_id] = next(self._serial)
        heapq.heappush(self._heap, (beat.deadline_at, serial, monitor_id))
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = [item for item in self._heap if self._live.get(item[2]) == item[1]]
            heapq.heapify(self._heap)
        left = (beat.deadline_at - self._clock.now()) / SECOND
        self._alarm.set(self._clock.monotonic() + min(left, LOOK_SECONDS))

    def _spec(self, monitor_id: Id) -> PushSpec | None:
        watched = self._roster.get(monitor_id)
        if watched is None or watched.paused:
            return None
        spec = watched.monitor.spec
        return spec if isinstance(spec, PushSpec) else None

    def _wall_offset(self) -> float:
        return self._clock.now() - self._clock.monotonic() * SECOND

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
