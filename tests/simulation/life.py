"""Years of monitors' lives in virtual time, over the real storage and the real decisions.

Nothing here is random but by its seed: the same seed lives the same life. What is simulated is the
outside: what targets answer, what receivers do with a notice, what people press, when the process
dies and how wrong the clock is. What is real is every decision and every row.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.alert import Attempt, Notice, QuietHours, Rule
from netpulse.model.channel import MACHINES, Channel, ChannelConfig, SlackConfig, WebhookConfig
from netpulse.model.check import Check, Failure, Result
from netpulse.model.edge import Edge
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Flip, Status, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.rules import outbox
from netpulse.storage import (
    acknowledging,
    alert_rules,
    channels,
    claims,
    edges,
    held,
    incident_list,
    monitors,
    notices,
    settling,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.parents import Heard
from tests.store import add_org

WORKER = "simulated"
LEASE = 120 * SECOND


class Told(Struct, frozen=True):
    """What a receiver took."""

    at: Millis
    notice: Notice


class Target:
    """A monitor and what its target answers: up for hours, then in trouble, sometimes flapping."""

    def __init__(self, monitor: Monitor, watch: Watch, chance: random.Random) -> None:
        self.monitor = monitor
        self.watch = watch
        self.chance = chance
        self.mood = Result.UP
        self.good_at: Millis | None = None
        """When its last conclusive check began, if that was good."""
        self.streak: list[Result] = []
        """The conclusive results since the last flip, for the invariants."""

    def answer(self) -> Result:
        """Return what a check finds now."""
        roll = self.chance.random()
        if self.mood is Result.UP:
            if roll < 0.004:
                self.mood = Result.DOWN
            elif roll < 0.006:
                self.mood = Result.DEGRADED
            elif roll < 0.011:
                return Result.DOWN  # a blip
        elif roll < 0.08:
            self.mood = Result.UP
        elif roll < 0.1:
            self.mood = Result.DOWN
        elif roll < 0.2:
            return Result.UP  # flapping
        return Result.INCONCLUSIVE if self.chance.random() < 0.01 else self.mood


class Receiver:
    """The far side of a channel: it works, it is in trouble for a while, it refuses."""

    def __init__(self, channel: Channel, chance: random.Random) -> None:
        self.channel = channel
        self.chance = chance
        self.broken_until: Millis = 0
        self.taken: list[Told] = []
        self.messages: list[Id] = []
        """What came, in order; the same id again is the same message again."""

    def takes(self, now: Millis) -> bool:
        """Tell whether it takes a message now."""
        if now < self.broken_until:
            return False
        if self.chance.random() < 0.01:
            self.broken_until = now + round(self.chance.expovariate(1 / (40 * MINUTE)))
            return False
        return True


class Life:
    """An organization through time."""

    def __init__(self, conn: Conn, seed: int, start: Millis, *, targets: int = 8) -> None:
        self.conn = conn
        self.chance = random.Random(seed)
        self.now = start
        self.real = start
        """Time as it really passes; `now` is what the clock says."""
        self.org = add_org(conn, f"Life {seed}", at=start)
        self.targets: dict[Id, Target] = {}
        self.receivers: dict[Id, Receiver] = {}
        self.flips: list[tuple[Id, Flip]] = []
        self.restarts = 0
        self.waiting: set[Id] = set()
        """Monitors with a notice that waits for what they depend on."""
        self._queue: list[tuple[Millis, int, Callable[[], None]]] = []
        self._count = 0
        self._look_at: Millis | None = None
        for number in range(targets):
            self._add_target(number)
        for number, kind in enumerate(("webhook", "slack", "slack", "webhook")):
            self._add_channel(number, kind)
        self._add_rules()
        self._plan(HOUR, self._person)
        self._plan(DAY, self._restart)

    # The cast

    def _add_target(self, number: int) -> None:
        parent = None
        if number in {2, 3} or number == 5:
            parent = list(self.targets)[0 if number < 5 else 2]
        spec = HttpSpec(
            name=f"Target {number}",
            target=f"https://{number}.example/",
            tags=("web",) if number % 2 else (),
            confirmations=1 + number % 3,
            recoveries=1 + number % 2,
            parent_id=parent,
        )
        monitor = monitors.insert(
            self.conn,
            Monitor(id=new_id(self.now), key=0, org_id=self.org.id, spec=spec, created_at=self.now),
        )
        watch = watches.get(self.conn, monitor.id)
        assert watch is not None
        self.targets[monitor.id] = Target(monitor, watch, self.chance)
        self._plan(1 + self.chance.randrange(60_000), lambda: self._check(monitor.id))

    def _add_channel(self, number: int, kind: str) -> None:
        url = f"https://hooks.example/{number}"
        config: ChannelConfig = SlackConfig(webhook_url=url)
        if kind in MACHINES:
            config = WebhookConfig(url=url)
        channel = channels.insert(
            self.conn,
            Channel(
                id=new_id(self.now),
                org_id=self.org.id,
                name=f"{kind} {number}",
                type=kind,
                config=config,
                created_at=self.now,
            ),
        )
        self.receivers[channel.id] = Receiver(channel, self.chance)

    def _add_rules(self) -> None:
        machine, people, night, spare = self.receivers
        self._rule(machine, condition="down or degraded", cooldown_seconds=0)
        self._rule(people, condition="down", cooldown_seconds=300, reminder_minutes=45)
        self._rule(people, condition="degraded", tag="web", cooldown_seconds=900)
        self._rule(
            night,
            condition="down",
            cooldown_seconds=0,
            quiet_hours=QuietHours(start="22:00", end="07:00", timezone="Europe/Berlin"),
            fallback_channel_id=spare,
        )
        self._rule(spare, condition="down", escalation_minutes=20, cooldown_seconds=0)

    def _rule(self, channel_id: Id, **fields: object) -> None:
        rule = Rule(  # type: ignore[arg-type]
            id=new_id(self.now),
            org_id=self.org.id,
            name=str(fields),
            channel_id=channel_id,
            created_at=self.now,
            **fields,
        )
        alert_rules.insert(self.conn, rule)

    # Time

    def _plan(self, wait: int, deed: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.real + wait, self._count, deed))

    def live(self, hours: float, after_each: Callable[[], None]) -> None:
        """Let time pass; `after_each` is called after everything that happens."""
        end = self.real + round(hours * HOUR)
        while self._queue and self._queue[0][0] <= end:
            at, _, deed = heapq.heappop(self._queue)
            self.now += at - self.real
            self.real = at
            deed()
            self._dispatch()
            after_each()
        self.now += end - self.real
        self.real = end

    def settle(self, after_each: Callable[[], None]) -> None:
        """Let everything come up and every receiver work, until nothing waits any more."""
        for receiver in self.receivers.values():
            receiver.broken_until = 0
            receiver.chance = random.Random(0)
        for target in self.targets.values():
            target.mood = Result.UP
            target.chance = _Calm()
        self._queue = [one for one in self._queue if one[2] not in (self._person, self._restart)]
        heapq.heapify(self._queue)
        self.live(30, after_each)

    # What happens

    def _check(self, monitor_id: Id) -> None:
        target = self.targets[monitor_id]
        interval = target.monitor.spec.interval_seconds * SECOND
        waiting = target.watch.downs or target.watch.slows
        self._plan(10 * SECOND if waiting else interval, lambda: self._check(monitor_id))
        if target.watch.status is Status.PAUSED:
            return
        result = target.answer()
        check = Check(
            due_at=self.now,
            started_at=self.now - 50,
            result=result,
            response_time_ms=None if result is Result.DOWN else 12,
            failure=Failure.REFUSED if result is Result.DOWN else None,
            message="connection refused" if result is Result.DOWN else None,
        )
        if check.conclusive:
            target.streak.append(result)
        first = not target.watch.downs
        watch, flip = rules.step(target.monitor.spec, target.watch, check, now=self.now)
        parent = self.targets.get(target.monitor.spec.parent_id or "")
        if result is Result.DOWN and first and parent is not None:
            # What the engine does at a child's first failing check.
            self._check_now(parent)
        if not check.conclusive:
            # I6: what says nothing changes nothing.
            assert flip is None
            assert replace(watch, silent_since=None) == replace(target.watch, silent_since=None)
        self._settle(target, watch, flip)
        if check.conclusive:
            target.good_at = check.started_at if result is Result.UP else None
            if result is Result.UP:
                self._hear(self._children(monitor_id), Heard(parent_good_at=check.started_at))
            else:
                self._hear([monitor_id], Heard(own_check_at=check.started_at))

    def _hear(self, monitor_ids: list[Id], heard: Heard) -> None:
        """Look at the notices that wait for a parent's verdict, as the engine does."""
        for monitor_id in monitor_ids:
            if monitor_id in self.waiting and not held.hear(self.conn, monitor_id, heard, self.now):
                self.waiting.discard(monitor_id)

    def _children(self, monitor_id: Id) -> list[Id]:
        return [
            one.monitor.id
            for one in self.targets.values()
            if one.monitor.spec.parent_id == monitor_id
        ]

    def _check_now(self, target: Target) -> None:
        """Check a target off its grid."""
        if target.watch.status is not Status.PAUSED:
            result = target.answer()
            check = Check(
                due_at=self.now,
                started_at=self.now - 20,
                result=result,
                failure=Failure.REFUSED if result is Result.DOWN else None,
                message="connection refused" if result is Result.DOWN else None,
            )
            if check.conclusive:
                target.streak.append(result)
                target.good_at = check.started_at if result is Result.UP else None
            watch, flip = rules.step(target.monitor.spec, target.watch, check, now=self.now)
            self._settle(target, watch, flip)

    def _settle(self, target: Target, watch: Watch, flip: Flip | None) -> None:
        before = target.watch
        if flip is None and not rules.worth_saving(before, watch):
            target.watch = watch
            return
        parent = self.targets.get(target.monitor.spec.parent_id or "")
        edge = Edge(
            monitor=target.monitor,
            watch=watch,
            flip=flip,
            parent_good_at=None if parent is None else parent.good_at,
        )
        outcome = edges.record(self.conn, edge)
        assert not outcome.dropped
        assert outcome.watch is not None
        target.watch = replace(
            outcome.watch,
            vouched_until=watch.vouched_until,
            silent_since=watch.silent_since,
        )
        if outcome.waits_for_parent:
            self.waiting.add(target.monitor.id)
        if flip is not None:
            self._check_flip(target, flip)
            self.flips.append((target.monitor.id, flip))

    def _check_flip(self, target: Target, flip: Flip) -> None:
        """I5: no flip without its confirmations; those of a clock or a person apart."""
        if flip.check is None:
            return
        spec = target.monitor.spec
        needed = {Status.DOWN: spec.confirmations, Status.DEGRADED: spec.confirmations}
        wanted = needed.get(flip.after, 1)
        if flip.settled in {Status.DOWN, Status.DEGRADED} and flip.after is Status.UP:
            wanted = spec.recoveries
        if flip.settled is flip.after or flip.settled is Status.PENDING:
            wanted = 1 if flip.after is Status.UP or flip.settled is flip.after else wanted
        latest = target.streak[-wanted:]
        assert len(latest) == wanted
        if flip.after is Status.DOWN:
            assert set(latest) == {Result.DOWN}
        elif flip.after is Status.UP:
            assert set(latest) == {Result.UP}

    def _dispatch(self) -> None:
        """Do what the dispatcher does when it looks at the outbox, with these receivers."""
        for _ in range(50):
            due = notices.next_due(self.conn, self.now)
            if due is None or due > self.now:
                break
            claimed = claims.claim(self.conn, WORKER, self.now, limit=64, lease_ms=LEASE)
            if not claimed:
                break
            for one in claimed:
                self._deliver(one)
        if due is not None and (self._look_at is None or not self.now < self._look_at <= due):
            self._look_at = max(due, self.now + 1)
            self._plan(self._look_at - self.now, self._look)

    def _look(self) -> None:
        self._look_at = None

    def _deliver(self, claimed: claims.Claimed) -> None:
        """Make an attempt at one message, as the dispatcher does."""
        receiver = self.receivers[claimed.channel.id]
        if receiver.takes(self.now):
            receiver.messages.append(claimed.id)
            for notice in claimed.notices:
                receiver.taken.append(Told(self.now, notice))
                if self.chance.random() < 0.002:
                    # It arrived, and the process died before it was written down.
                    self._plan(1, self._restart)
                    return
            attempt = Attempt(at=self.now, ok=True, status_code=200)
            for notice in claimed.notices:
                settling.sent(self.conn, notice.id, attempt, self.now)
            return
        attempt = Attempt(at=self.now, ok=False, status_code=503)
        attempts = claimed.notice.attempt_count + 1
        wait = outbox.Backoff().wait(attempts, None, self.chance.random())
        again_at = self.now + round(wait * SECOND)
        for notice in claimed.notices:
            why = outbox.gives_up(claimed.channel, notice, attempts, next_attempt_at=again_at)
            if why is None:
                settling.retry(self.conn, notice.id, attempt, again_at, "503")
            else:
                settling.failed(self.conn, notice.id, attempt, why)

    def _lapse(self, target: Target) -> None:
        watch, flip = rules.lapse(target.watch, self.now, UnknownReason.STALE, now=self.now)
        self._settle(target, watch, flip)

    def _restart(self) -> None:
        """Die without a word, be away for a while, and start again from what is on disk."""
        self._plan(round(self.chance.expovariate(1 / (12 * HOUR))) + MINUTE, self._restart)
        self.restarts += 1
        away = self.chance.choice([5 * SECOND, MINUTE, 10 * MINUTE])
        self.now += away
        claims.release_claims(self.conn, None)
        self.waiting = set(held.waiting_children(self.conn))
        for target in self.targets.values():
            stored = watches.get(self.conn, target.monitor.id)
            assert stored is not None
            # I10: what a restart knows is what was known, but for what only memory holds.
            assert stored == replace(target.watch, vouched_until=None, silent_since=None) or (
                target.watch.silent_since is not None
            )
            target.watch = stored

    def _person(self) -> None:
        """Somebody presses something."""
        self._plan(round(self.chance.expovariate(1 / (2 * HOUR))) + SECOND, self._person)
        deed = self.chance.choice(
            [self._acknowledge, self._acknowledge, self._pause, self._lapse_one, self._clock]
        )
        deed()

    def _acknowledge(self) -> None:
        found = incident_list.page(self.conn, self.org.id, IncidentFilter(is_open=True)).rows
        if found:
            incident = self.chance.choice(found)
            acknowledging.acknowledge(
                self.conn, self.org.id, incident.id, by="somebody", via="page", now=self.now
            )

    def _pause(self) -> None:
        target = self.chance.choice(list(self.targets.values()))
        monitor_id = target.monitor.id
        deed = edges.resume if target.watch.status is Status.PAUSED else edges.pause
        deed(self.conn, self.org.id, monitor_id, self.now)
        self._reload(target)

    def _reload(self, target: Target) -> None:
        monitor = monitors.get(self.conn, self.org.id, target.monitor.id)
        watch = watches.get(self.conn, target.monitor.id)
        assert monitor is not None
        assert watch is not None
        target.monitor, target.watch = monitor, watch
        target.streak.clear()

    def _lapse_one(self) -> None:
        target = self.chance.choice(list(self.targets.values()))
        if target.watch.status is not Status.PAUSED:
            self._lapse(target)

    def _clock(self) -> None:
        """The clock is set: an hour either way now and then."""
        step = self.chance.choice([-HOUR, HOUR, -5 * SECOND, 5 * SECOND])
        self.now += step
        if step < -SECOND:  # as the dispatcher does when it sees that
            claims.turn_back(self.conn, -step)


class _Calm(random.Random):
    """A chance that never brings trouble."""

    def random(self) -> float:
        return 0.5


def received(life: Life) -> dict[tuple[Id, Id | None], list[Told]]:
    """Return what each receiver took, by channel and monitor, in the order it took it."""
    found: dict[tuple[Id, Id | None], list[Told]] = defaultdict(list)
    for channel_id, receiver in life.receivers.items():
        for told in receiver.taken:
            found[channel_id, told.notice.monitor_id].append(told)
    return found
