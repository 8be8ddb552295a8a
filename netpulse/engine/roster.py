"""The roster: every monitor on duty, with what is known of it between two checks."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from netpulse.model.check import Certificate, Check, Failure, Result
from netpulse.model.edge import Edge
from netpulse.model.ids import Id
from netpulse.model.maintenance import Window, shown
from netpulse.model.monitor import IcmpSpec, Monitor, PushSpec
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Flip, Status, Watch
from netpulse.rules import incidents, push
from netpulse.rules.schedule import phase_ms, step_ms, vouched_until

if TYPE_CHECKING:
    from netpulse.engine.lone import Plan

MOST_OWED = 20
"""Edges of one monitor that wait for the disk: those of 10,000 flapping monitors fit in memory."""


class Underway(Protocol):
    """A check under way, with a task of its own or without."""

    def cancel(self) -> object:
        """Drop it; nothing comes of it."""

    def done(self) -> bool:
        """Tell whether it is over."""


class Watched:
    """A monitor on duty."""

    __slots__ = (
        "_turns",
        "_watch",
        "busy",
        "certificate",
        "finished_at",
        "fresh_seconds",
        "gone",
        "good",
        "held",
        "internal",
        "interval_ms",
        "is_ping",
        "known",
        "lapsed",
        "last",
        "long",
        "maintained",
        "monitor",
        "owed",
        "own_failure",
        "paused",
        "phase",
        "plan",
        "probing",
        "retries",
        "silent_from",
        "task",
        "unsaved",
        "vouching",
    )

    def __init__(self, monitor: Monitor, watch: Watch, mono: float) -> None:
        """Take the stored monitor and memory; `mono` is the monotonic present."""
        self.monitor = monitor
        self.is_ping = type(monitor.spec) is IcmpSpec
        self.interval_ms = _in_millis(monitor.spec.interval_seconds)
        """Milliseconds between two slots."""
        self.phase = phase_ms(monitor.id, self.interval_ms, step_ms(monitor.spec))
        self.owed: list[Edge] = []
        """Edges that the disk has not taken yet, the oldest first: they are written together with
        the next one, so that an outage during a full disk is neither lost nor counted as up."""
        self.gone = False
        """Deleted or replaced: nothing of it may be written any more."""
        self._watch = watch
        self.vouching: Check | None = None
        """The last check, where it said what `watch` says already: it vouches for that too."""
        self._note(watch)
        self.last: Check | None = None
        """The last counted check, conclusive or not."""
        self.long: bool | None = None
        """The last check had a long body to read, so that others of the kind stand in its way; None
        until one was made since the start."""
        self.maintained: Window | None = None
        """The maintenance it is in; `Roster.maintain` sets it."""
        self.certificate: Certificate | None = None
        """The one that was seen last."""
        self.busy = 0
        """How many are `alone` with it, or wait to be."""
        self._turns: asyncio.Lock | None = None
        self.plan: Plan | None = None
        """What is known of its checks beforehand; `LonePings` sets it."""
        self.good: tuple[tuple[str, ...], float] | None = None
        """What was answered last, and within how many milliseconds that is up; `LightChecks` sets
        it."""
        self.task: Underway | None = None
        self.probing = False
        """The task measures still: it can be cancelled without losing an edge."""
        self.held = False
        """Its last check waits for a decision on our own network."""
        self.finished_at = mono
        """Monotonic moment of the last finished check (before the first: of its beginning)."""
        self.fresh_seconds = (
            0 if isinstance(monitor.spec, PushSpec) else monitor.spec.interval_seconds
        )
        """For so long a check is news; a push monitor's deadlines are looked at elsewhere."""
        self.silent_from: float | None = None
        """Monotonic start of the first of the inconclusive checks since the last conclusive one."""
        self.own_failure: Failure | None = None
        """What made the last check inconclusive."""
        self.retries = 0
        """Inconclusive checks in a row that were tried again off the grid."""
        self.lapsed = False
        """The watchdog turned it unknown, and no conclusive check came since."""
        self.internal = False
        """The last check ended in a mistake of ours, which is in the log."""
        self.unsaved = False
        """Its last edge could not be written, which is in the log."""

    @property
    def id(self) -> Id:
        """The monitor's id."""
        return self.monitor.id

    @property
    def watch(self) -> Watch:
        """What is on disk; only who is `alone` may replace it. How long it vouches is said by
        `vouched` alone."""
        return self._watch

    @watch.setter
    def watch(self, watch: Watch) -> None:
        self._watch, self.vouching = watch, None
        self._note(watch)

    def _note(self, watch: Watch) -> None:
        """Keep what every check asks at hand."""
        self.paused = watch.status is Status.PAUSED or self.monitor.spec.is_paused
        """It is not to be checked."""
        self.known: Result | None = None
        """What a check says that says no more than is certain and on disk; None: each is to
        be looked at."""
        if not (self.paused or self.gone or self.owed):
            self.known = incidents.known(watch)

    def leave(self) -> None:
        """Let nothing of it be written any more: it was deleted or replaced."""
        self.gone = True
        self.known = None

    @property
    def fresh_until(self) -> float:
        """Until then (monotonic) there is nothing to look into: the last check said something."""
        # One that lapsed in a process before this one has no check yet: nobody vouches for it.
        is_news = self.silent_from is None and not self.lapsed
        return self.finished_at + (self.fresh_seconds if is_news else 0)

    @property
    def vouched(self) -> Watch:
        """`watch`, and until when it vouches: computed when somebody asks, which after nearly all
        checks nobody does before the next."""
        if self.vouching is None:
            return self._watch
        return replace(self._watch, vouched_until=self.vouched_until(self.vouching))

    @property
    def latest(self) -> Watch:
        """What is known, whether it is on disk or not: what the next check is held against."""
        return self.owed[-1].watch if self.owed else self.vouched

    @property
    def shown(self) -> Watch:
        """What people see of it: `watch`, or maintenance over it."""
        return shown(self.watch, self.maintained)

    @property
    def is_push(self) -> bool:
        """Tell whether it waits for pings instead of being checked.

        One whose schedule cannot be read does not: its checks say what is wrong with it.
        """
        return isinstance(self.monitor.spec, PushSpec) and self.monitor.damage is None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Wait for one's turn, and keep others out: the edges of one monitor keep their order."""
        # Not for good: of most monitors there is nothing to wait for, and a lock that was waited
        # for once keeps its queue, which is as large as all else that is known of a monitor.
        turns = self._turns = self._turns or asyncio.Lock()
        self.busy += 1
        try:
            async with turns:
                yield
        finally:
            self.busy -= 1
            if not self.busy:
                self._turns = None

    def owe(self, watch: Watch, flip: Flip | None, parent_good_at: Millis | None = None) -> None:
        """Note an edge that is to be written; of the steps within a streak the last one counts."""
        if self.owed and self.owed[-1].flip is None:
            self.owed.pop()
        self.owed.append(
            Edge(monitor=self.monitor, watch=watch, flip=flip, parent_good_at=parent_good_at)
        )
        # One that flaps for days on a full disk: the latest of it must do.
        del self.owed[:-MOST_OWED]
        self.known = None

    def owe_still(self, watch: Watch) -> None:
        """Note how long the last owed state is vouched for: nothing else has changed."""
        self.owed[-1] = replace(self.owed[-1], watch=watch)

    def vouched_until(self, check: Check) -> Millis:
        """Return until when the verdict of `check` speaks: its next slot + timeout."""
        spec = self.monitor.spec
        if isinstance(spec, PushSpec):
            return push.vouched_until(spec, check.started_at)
        timeout_ms = spec.timeout_seconds * SECOND
        return vouched_until(check.due_at, self.interval_ms, self.phase, timeout_ms)


@functools.lru_cache(maxsize=1024)
def _in_millis(seconds: int) -> Millis:
    """Return one and the same number for all monitors that have it: it is asked for in each check,
    and a place in memory of its own would have been left alone since the last."""
    return seconds * SECOND


class Roster:
    """All monitors on duty, and how many of each organization are in which state."""

    def __init__(self) -> None:
        """Start empty."""
        self._all: dict[Id, Watched] = {}
        self.get = self._all.get
        """Returns the monitor on duty with an id, or None."""
        self._counts: dict[Id, Counter[Status]] = {}

    def __len__(self) -> int:
        """Return how many monitors there are, paused ones too."""
        return len(self._all)

    def __iter__(self) -> Iterator[Watched]:
        """Iterate over a copy: the roster may change meanwhile."""
        return iter(list(self._all.values()))

    def ids(self) -> Set[Id]:
        """Return the ids of all of them."""
        return self._all.keys()

    def add(self, watched: Watched) -> None:
        """Put a monitor on duty."""
        self._all[watched.id] = watched
        self._counter(watched)[watched.shown.status] += 1

    def remove(self, monitor_id: Id) -> Watched | None:
        """Take a monitor off duty."""
        watched = self._all.pop(monitor_id, None)
        if watched is not None:
            watched.leave()
            self._counter(watched)[watched.shown.status] -= 1
        return watched

    def remember(self, watched: Watched, watch: Watch) -> None:
        """Replace what is known of a monitor by `watch`, which is on disk."""
        before = watched.shown.status
        watched.watch = watch
        self._recount(watched, before)

    def maintain(self, watched: Watched, window: Window | None) -> None:
        """Let a monitor be in maintenance, or in none any more."""
        before = watched.shown.status
        watched.maintained = window
        self._recount(watched, before)

    def counts(self, org_id: Id) -> dict[Status, int]:
        """Return how many of an organization's monitors are in each state, as people see them."""
        counter = self._counts.get(org_id, Counter())
        return {status: counter[status] for status in Status}

    def excuse(self, seconds: float) -> None:
        """Do not hold a stretch in which nothing ran against the freshness of any monitor."""
        for watched in self._all.values():
            watched.finished_at += seconds
            if watched.silent_from is not None:
                watched.silent_from += seconds

    def begin_anew(self, mono: float) -> None:
        """Hold nobody's silence against its freshness: our own network was away until `mono`."""
        for watched in self._all.values():
            watched.finished_at = max(watched.finished_at, mono)
            watched.silent_from = watched.own_failure = None
            watched.lapsed = False

    def _recount(self, watched: Watched, before: Status) -> None:
        after = watched.shown.status
        if after is not before and not watched.gone:
            counter = self._counter(watched)
            counter[before] -= 1
            counter[after] += 1

    def _counter(self, watched: Watched) -> Counter[Status]:
        return self._counts.setdefault(watched.monitor.org_id, Counter())
