"""The schedule: which monitor is checked when.

An agenda of monotonic due times. Each monitor keeps its own grid in Unix time, k x interval +
phase, so that a restart continues it; intervals are monotonic, so that a clock set back or forward
neither doubles nor misses a check. No task and no timer exists for an idle monitor: the loop has
one timer, for what comes first on the agenda.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Set
from itertools import count

from netpulse.engine.agenda import Agenda
from netpulse.engine.alarm import Alarm
from netpulse.engine.clock import Clock
from netpulse.engine.due import Due, Entry, State
from netpulse.engine.figures import Minute
from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.rules.schedule import next_slot, phase_ms, slot_at_or_before

log = logging.getLogger(__name__)

STARTS_PER_TURN = 16
"""Probes begun in one turn of the loop at most."""
LONG_TURN_SECONDS = 0.005
"""A turn of the loop that used more of the processor had too much in it: half as many probes begin
in the next one. So past what the processor can do checks start late, while each of them, and
whoever asks for a page, finds a loop that comes round. It is not the time that passed: where others
want the processor too, beginning fewer makes each check dearer, up to twice. For each time as long
as this one begins all the same: it may be pages that made the turn long, and however many people
ask for them, checks have their share."""
BEHIND_SECONDS = 0.05
"""What is still on the agenda after this long is there because turns are full. Light checks that
are due together may take half as long as there is from one of their slots to the next."""
POPS_PER_TURN = 256
PLACED_PER_TURN = 500
"""Monitors put on their grid anew in one turn, after a break: about 2 ms."""
SPREAD_MS = 60 * SECOND
"""Checks that are owed after a pause are spread over at most this (and at most one interval)."""
SPREAD_PER_MONITOR_MS = 10
LEAST_LIMIT = 8


class Scheduler:
    """Calls `begin(due)` for each check when its time has come; the caller says `done(due)`.

    `begin` must not block: it starts a task. At most `limit` checks run at once; the others wait
    in the order in which they came due. A check whose monitor is still being checked is skipped
    and counted, never stacked. `turn()` may be called by hand in tests, `start()` makes the loop
    call it.
    """

    def __init__(
        self,
        clock: Clock,
        begin: Callable[[Due], None],
        *,
        limit: int,
        per_turn: int = STARTS_PER_TURN,
        used: Callable[[], float] = time.thread_time,
        crowded: Callable[[Id], bool] = lambda _: False,
        behind: Callable[[], None] = lambda: None,
    ) -> None:
        """Make an empty schedule that runs at most `limit` checks at once.

        `used` returns the seconds of processor that the loop's thread has used so far, `crowded`
        whether checks that have begun would stand in the way of one of this monitor: then it is
        held until they do not. The others begin meanwhile: a few targets, which may be ill-natured,
        must not keep everybody's checks from beginning. `behind` is told, turn upon turn, that
        checks are late because there is more to do than one core can.
        """
        self._clock = clock
        self._begin = begin
        self._base_limit = limit
        self.limit = limit
        self._most_per_turn = self._per_turn = per_turn
        self._at_once = False
        """The last turn asked for the next at once: what lies between is one turn of the loop."""
        self._used = used
        self._crowded = crowded
        self._behind = behind
        self._used_before = 0.0
        self._entries: dict[Id, Entry] = {}
        self._agenda = Agenda()
        self._serial = count(1)
        self._waiting: deque[Due] = deque()
        self._held: deque[Due] = deque()
        """Those that wait for the crowd of their kind to go."""
        self._misplaced: deque[Entry] = deque()
        self.running = 0
        self.skipped = 0
        """Slots whose check did not run: the one before was still running, or nothing ran."""
        self.left_out = Minute(clock)
        """Those of the last minute whose check had no place in time: there were too many."""
        self._alarm = Alarm(clock, self.turn)
        self.turned_at = clock.monotonic()
        """Monotonic moment of the last turn, for the watchdog."""

    # What is on the schedule

    def __len__(self) -> int:
        """Return how many monitors are on the schedule."""
        return len(self._entries)

    def __contains__(self, monitor_id: Id) -> bool:
        """Tell whether the monitor is on the schedule with a live item on the agenda."""
        entry = self._entries.get(monitor_id)
        return entry is not None and entry.grid != 0

    def missing(self, monitor_ids: Set[Id]) -> Set[Id]:
        """Return those of the monitors that are not on the schedule."""
        return monitor_ids - self._entries.keys()

    @property
    def waiting(self) -> int:
        """How many checks are due and wait for a free place, or for others of their kind."""
        return len(self._waiting) + len(self._held)

    def next_due(self, monitor_id: Id) -> Millis | None:
        """Return the next slot of the monitor's grid (Unix milliseconds); None if not scheduled."""
        entry = self._entries.get(monitor_id)
        return entry.slot if entry is not None and entry.grid else None

    def overdue(self, monitor_id: Id) -> bool:
        """Tell whether a check of the monitor was due, and had no place yet, when the schedule was
        looked at last: there is too much to do."""
        entry = self._entries.get(monitor_id)
        if entry is None or not entry.grid:
            return False
        return entry.state is State.WAITING or entry.grid_mono < self.turned_at

    def put(
        self, monitor_id: Id, interval_ms: int, phase: int, *, within: float | None = None
    ) -> None:
        """Put a monitor on its grid, instead of what the schedule had for it.

        Args:
            monitor_id: the monitor.
            interval_ms: milliseconds between slots.
            phase: milliseconds that its slots lie past the multiples of the interval.
            within: seconds until a first check off the grid; None: wait for the next slot.
        """
        self.remove(monitor_id)
        entry = self._entries[monitor_id] = Entry(monitor_id, interval_ms, phase)
        self._place(entry)
        if within is not None:
            self._push_extra(entry, self._clock.monotonic() + within)
        self._set_alarm()

    def remove(self, monitor_id: Id) -> None:
        """Take a monitor off the schedule; a check of it that waits will not start."""
        entry = self._entries.pop(monitor_id, None)
        if entry is not None:
            entry.grid = entry.extra = 0

    def soon(self, monitor_id: Id, seconds: float) -> None:
        """Check a monitor once more in `seconds`, off its grid, unless its next slot is as near."""
        entry = self._entries.get(monitor_id)
        if entry is None:
            return
        at = self._clock.monotonic() + seconds
        if entry.grid and entry.grid_mono <= at:
            return
        self._push_extra(entry, at)
        self._set_alarm()

    def restore(self, monitor_id: Id, interval_ms: int, phase: int) -> bool:
        """Give a monitor its place back if it has none; return True if it had lost it."""
        if monitor_id in self:
            return False
        self.put(monitor_id, interval_ms, phase, within=0.0)
        return True

    def spread_seconds(self, monitor_id: Id, interval_ms: int, among: int) -> float:
        """Return when, in seconds from now, a check that is owed may run so that there is no burst.

        Uniform over min(interval, 60 s), or over less where `among` (how many monitors) is small.
        """
        return (phase_ms(monitor_id, interval_ms) % _window_ms(interval_ms, among)) / 1000

    def owe(self, monitor_id: Id, among: int) -> None:
        """Check a monitor soon, as one of so many that are owed a check: by its grid where its next
        slot is among the moments over which they are spread, else once more than its grid does."""
        entry = self._entries.get(monitor_id)
        if entry is not None:
            self._owe(entry, self._clock.monotonic(), among)
            self._set_alarm()

    def reanchor(self, dropped: set[Id]) -> None:
        """Put every monitor on its grid anew after a break: the clocks moved, or nothing ran.

        Those that missed a slot meanwhile, or whose running check was dropped, are checked off the
        grid, spread as after a start. The work is done in slices, a few hundred a turn.
        """
        for monitor_id in dropped:
            entry = self._entries.get(monitor_id)
            if entry is not None:
                entry.again = True
        self._misplaced = deque(self._entries.values())
        self._alarm.set(self._clock.monotonic())

    # Running

    def start(self) -> None:
        """Let the running loop drive the schedule from now on."""
        self._alarm.start()

    def stop(self) -> None:
        """Begin nothing any more."""
        self._alarm.stop()
        self._waiting.clear()
        self._held.clear()

    def kick(self) -> None:
        """Make the loop look at the schedule at once, whatever timer it has."""
        self._alarm.set(self._clock.monotonic())

    def done(self, due: Due) -> None:
        """Free the place of a check that `begin` was called for, however it ended."""
        if due.over:
            return
        due.over = True
        self.running -= 1
        entry = due.entry
        entry.state = State.IDLE
        if self.limit < self._base_limit:
            self.limit += 1
        if entry.again and entry.grid and not self._misplaced:
            entry.again = False
            self._push_extra(entry, self._clock.monotonic())
            self._set_alarm()
        if self._waiting or self._held:
            self._alarm.set(self._clock.monotonic())

    def ease(self) -> None:
        """Run fewer checks at once: the system has no descriptors or buffers left for more.

        Each check that ends gives one place back, so the limit finds its level.
        """
        self.limit = max(LEAST_LIMIT, min(self.limit, self.running) * 3 // 4)

    def turn(self) -> float | None:
        """Begin what is due, within the bounds of one turn.

        Returns:
            Seconds until there is something to do; 0 when there is more to do at once, None when
            nothing is planned.
        """
        # One right after the other: what passes in between would be missing from each next slot.
        now, wall = self._clock.monotonic(), self._clock.now()
        if self._at_once:
            self._measure(self._used() - self._used_before)
        self.turned_at = now
        delay = self._turn(now, wall)
        self._at_once = delay == 0.0
        if self._at_once:
            self._used_before = self._used()
        return delay

    def _measure(self, seconds: float) -> None:
        """Begin fewer in a turn while turns are long, and one more with each short one."""
        if seconds > LONG_TURN_SECONDS:
            share = min(self._most_per_turn, int(seconds / LONG_TURN_SECONDS))
            self._per_turn = max(share, self._per_turn // 2)
        elif self._per_turn < self._most_per_turn:
            self._per_turn += 1

    def _turn(self, now: float, wall: Millis) -> float | None:
        self._place_some()
        begun = self._begin_held()
        begun += self._begin_waiting(self._per_turn - begun)
        popped = 0
        agenda = self._agenda
        while begun < self._per_turn and popped < POPS_PER_TURN:
            item = agenda.take(now)
            if item is None:
                break
            popped += 1
            mono, serial, entry, slot = item
            if serial == entry.grid:
                due = Due(entry, self._take_slot(entry, slot or 0, now, wall), mono)
            elif serial == entry.extra:
                entry.extra = 0
                due = Due(entry, None, mono)
            else:
                continue
            if entry.state is not State.IDLE:
                if due.at is None:
                    entry.again = True
                else:
                    self.skipped += 1
                    if entry.state is State.WAITING:
                        self.left_out.add(1)
            elif self.running >= self.limit or self._waiting:
                entry.state = State.WAITING
                self._waiting.append(due)
            elif self._crowded(due.monitor_id):
                entry.state = State.WAITING
                self._held.append(due)
            else:
                self._start(due)
                begun += 1
        first_at = agenda.first_at
        if first_at is not None and now - first_at > BEHIND_SECONDS:
            self._behind()
        if self._misplaced or (self.waiting and self.running < self.limit):
            return 0.0
        return None if first_at is None else max(0.0, first_at - now)

    def _start(self, due: Due) -> None:
        due.entry.state = State.RUNNING
        self.running += 1
        try:
            self._begin(due)
        except Exception:
            log.exception("a check could not be begun", extra={"monitor_id": due.monitor_id})
            self.done(due)

    def _begin_held(self) -> int:
        """Begin those that were held, where they may; the others have half of the turn at least."""
        begun, most = 0, (self._per_turn + 1) // 2 if self._waiting else self._per_turn
        while self._held and self.running < self.limit and begun < most:
            if self._crowded(self._held[0].monitor_id):
                break
            begun += self._start_late(self._held.popleft())
        return begun

    def _begin_waiting(self, most: int) -> int:
        begun = looked = 0
        while self._waiting and self.running < self.limit and begun < most:
            looked += 1
            if looked > POPS_PER_TURN:
                break
            due = self._waiting.popleft()
            if self._crowded(due.monitor_id):
                self._held.append(due)
            else:
                begun += self._start_late(due)
        return begun

    def _start_late(self, due: Due) -> bool:
        """Start a check that has waited, unless it was taken off the schedule meanwhile."""
        due.entry.state = State.IDLE
        if not due.entry.grid:
            return False
        self._start(due)
        return True

    def _take_slot(self, entry: Entry, slot: Millis, now: float, wall: Millis) -> Millis:
        """Put the next slot on the agenda first, then return the one that is to be checked now."""
        interval_ms = entry.interval_ms
        if 0 <= wall - slot < interval_ms:
            # In time, as nearly always: no slot has passed since, and the next one is ahead.
            latest, following = slot, slot + interval_ms
        else:
            latest = self._latest(entry, slot, now, wall)
            following = next_slot(max(wall, latest), interval_ms, entry.phase)
        entry.grid = serial = next(self._serial)
        entry.slot = following
        entry.grid_mono = mono = now + (following - wall) / 1000
        self._agenda.put((mono, serial, entry, following))
        return latest

    def _latest(self, entry: Entry, slot: Millis, now: float, wall: Millis) -> Millis:
        """Return the slot to be checked where `slot` is not the last one before now."""
        interval_ms = entry.interval_ms
        latest = slot_at_or_before(wall, interval_ms, entry.phase)
        if wall + interval_ms >= slot:
            # Slots that passed since are one check, not many. (Further ahead than an interval
            # means that the clock was set back: keep the rhythm, on the grid of the new time.)
            latest = max(slot, latest)
            passed = (latest - slot) // interval_ms
            if passed:
                self.skipped += passed
                # As far as it was us who came late: a clock set forward left nothing out.
                late = round((now - entry.grid_mono) * SECOND) // interval_ms
                self.left_out.add(min(passed, late))
        return latest

    def _owe(self, entry: Entry, now: float, among: int) -> None:
        if entry.grid_mono - now > _window_ms(entry.interval_ms, among) / 1000:
            spread = self.spread_seconds(entry.monitor_id, entry.interval_ms, among)
            self._push_extra(entry, now + spread)

    def _place(self, entry: Entry) -> None:
        wall = self._clock.now()
        slot = next_slot(wall, entry.interval_ms, entry.phase)
        self._push_grid(entry, slot, wall, self._clock.monotonic())

    def _place_some(self) -> None:
        for _ in range(min(PLACED_PER_TURN, len(self._misplaced))):
            entry = self._misplaced.popleft()
            if not entry.grid:
                continue
            missed = entry.slot <= self._clock.now() or entry.again
            if entry.slot <= self._clock.now():
                self.skipped += 1
            entry.again = False
            self._place(entry)
            if missed:
                self._owe(entry, self._clock.monotonic(), len(self._entries))

    def _push_grid(self, entry: Entry, slot: Millis, wall: Millis, now: float) -> None:
        entry.grid = next(self._serial)
        entry.slot = slot
        entry.grid_mono = now + (slot - wall) / 1000
        self._agenda.put((entry.grid_mono, entry.grid, entry, slot))

    def _push_extra(self, entry: Entry, at: float) -> None:
        entry.extra = next(self._serial)
        self._agenda.put((at, entry.extra, entry, None))

    def _set_alarm(self) -> None:
        first_at = self._agenda.first_at
        if first_at is not None:
            self._alarm.set(first_at)


def _window_ms(interval_ms: int, among: int) -> int:
    """Return over how many milliseconds checks are spread that so many monitors are owed."""
    return max(SECOND, min(interval_ms, SPREAD_MS, among * SPREAD_PER_MONITOR_MS))
