"""Evidence about our own network: what each target's last check says of it, and who may be asked.

Whose silence counts is the point: a target that has been silent while the network was there, or
that is known to be down, says nothing by being silent still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from netpulse.egress.routes import Way
from netpulse.engine.clock import Clock
from netpulse.engine.measuring import Measured
from netpulse.engine.roster import Roster, Watched
from netpulse.model.check import Failure
from netpulse.model.ids import Id
from netpulse.model.monitor import type_of
from netpulse.model.watch import Status
from netpulse.rules.isolation import (
    INDEPENDENT,
    OWN_SIDE,
    SUSPECT,
    Ruling,
    Sighting,
    Sign,
    domain_of,
    heard_after_ms,
    network_of,
    rule,
    sign_of,
)

WAY_SECONDS = 30.0
"""For so long the answer is kept whether an address is this host's own."""
MOST_WAYS = 20_000
MOST_WITNESSES = 1_000
"""Monitors looked through for those that can be asked."""
FEW_SECONDS = 1.0
"""For so long the answer is kept that there are too few independent targets."""

_NOT_DIALLED = frozenset({"push"})


class Evidence:
    """The latest sighting of each target. `alive_at` is when anybody outside was heard last."""

    def __init__(
        self,
        clock: Clock,
        roster: Roster,
        way_to: Callable[[str], Way],
        default_route: Callable[[], bool | None],
    ) -> None:
        """Take the time, the monitors, and what this host knows of its routes."""
        self._clock = clock
        self._roster = roster
        self.way_to = way_to
        self.default_route = default_route
        self._seen: dict[Id, Sighting] = {}
        self._ways: dict[str, tuple[Way, float]] = {}
        self._mute: set[Id] = set()
        """Targets whose silence proves nothing: it outlasted a time when the network was there."""
        self._excused: set[Id] = set()
        """Targets that cannot be reached for want of a path of their own (no IPv6 here)."""
        self._few_until = float("-inf")
        self._turn = 0
        self.alive_at = float("-inf")

    # What checks say

    def of(self, watched: Watched, measured: Measured) -> Sighting | None:
        """Return what a check says about the network, or None if it says nothing."""
        reading, spec = measured.reading, watched.monitor.spec
        sign = sign_of(type_of(spec), reading)
        if sign is Sign.NOTHING:
            return None
        if sign is not Sign.ALIVE and measured.verdict.failure is Failure.OWN_LAG:
            return None
        where = None
        if reading.address is not None:
            where = network_of(reading.address)
            if self.is_here(reading.address):
                if sign is not Sign.ALIVE:
                    return None
                sign = Sign.LOCAL
            elif sign is Sign.SILENT and self.way_to(reading.address) is Way.NONE:
                sign = Sign.NO_ROUTE
        elif sign is Sign.NAMELESS:
            where = domain_of(spec.target)
        began, at = measured.mono, self._clock.monotonic()
        if sign is Sign.ALIVE:
            at = min(at, began + heard_after_ms(reading) / 1000)
        return Sighting(target=watched.id, sign=sign, where=where, began=began, at=at)

    def is_here(self, address: str) -> bool:
        """Tell whether an address never leaves this host."""
        if network_of(address) is None:
            return True
        now = self._clock.monotonic()
        kept = self._ways.get(address)
        if kept is None or now >= kept[1]:
            if len(self._ways) >= MOST_WAYS:
                self._ways.clear()
            kept = self._ways[address] = (self.way_to(address), now + WAY_SECONDS)
        return kept[0] is Way.HERE

    def note(self, sighting: Sighting) -> None:
        """Keep a sighting in the place of the target's last one."""
        self._seen[sighting.target] = sighting
        if sighting.sign is Sign.ALIVE:
            self._mute.discard(sighting.target)
            self._excused.discard(sighting.target)
            self.hear(sighting.at)

    def hear(self, at: float) -> None:
        """Note that something outside was heard at the moment `at` (monotonic seconds)."""
        self.alive_at = max(self.alive_at, at)

    def excuse(self, target: Id) -> None:
        """Ask nobody any more because this target lacks a path of its own, until it answers."""
        self._excused.add(target)

    def acquit(self) -> None:
        """The network is there: what is silent now is silent by itself, until it answers."""
        self._mute.update(one.target for one in self._seen.values() if one.sign in SUSPECT)

    # Whose silence counts

    def is_open(self, watched: Watched, sighting: Sighting) -> bool:
        """Tell whether it is open whose fault a sighting is, and can be found out."""
        if not self._fresh(sighting):
            return False
        if sighting.sign in OWN_SIDE:
            return watched.id not in self._excused and watched.id not in self._mute
        return self._informative(watched) and self._enough()

    def _fresh(self, seen: Sighting) -> bool:
        """Tell whether a sighting speaks against our network still."""
        return seen.sign in SUSPECT and seen.began > self.alive_at

    def _informative(self, watched: Watched) -> bool:
        """Tell whether this target's silence would be news."""
        spec = watched.monitor.spec
        if watched.gone or watched.paused or watched.id in self._mute:
            return False
        if type_of(spec) in _NOT_DIALLED:
            return False
        return watched.watch.settled is not (Status.UP if spec.invert else Status.DOWN)

    def _talks(self, watched: Watched) -> bool:
        """Tell whether this target said something last time, if only that nobody is there: one
        that is down by refusing every connection proves the network alive as well as any."""
        seen = self._seen.get(watched.id)
        if watched.gone or watched.paused:
            return False
        return seen is not None and seen.sign is Sign.ALIVE

    def _enough(self) -> bool:
        """Tell whether the evidence could be complete at all: with fewer independent targets, and
        nothing wrong on our own side, silence is judged at once."""
        now = self._clock.monotonic()
        if any(one.sign in OWN_SIDE and self._fresh(one) for one in self._seen.values()):
            return True
        if now < self._few_until:
            return False
        places: set[str] = set()
        for one in self._roster:
            seen = self._seen.get(one.id)
            if not self._informative(one) or (seen is not None and seen.sign is Sign.LOCAL):
                continue
            places.add(one.id if seen is None or seen.where is None else seen.where)
            if len(places) >= INDEPENDENT:
                return True
        self._few_until = now + FEW_SECONDS
        return False

    def ruling(self) -> Ruling:
        """Return what all of it amounts to now."""
        now = self._clock.monotonic()
        for target in [one for one in self._seen if self._roster.get(one) is None]:
            del self._seen[target]
            self._mute.discard(target)
            self._excused.discard(target)
        return rule(self._counting(), now=now, default_route=self.default_route())

    def _counting(self) -> Iterator[Sighting]:
        for target, seen in self._seen.items():
            watched = self._roster.get(target)
            if watched is None or watched.paused:
                continue
            if seen.sign in OWN_SIDE:
                counts = target not in self._mute
            else:
                counts = seen.sign not in SUSPECT or self._informative(watched)
            if counts:
                yield seen

    # Who may be asked

    def witnesses(self, suspect: Watched, most: int) -> list[Watched]:
        """Return up to `most` monitors that can be asked whether they answer: of independent
        networks first, and of those who have little time to answer, for the answer is waited for.
        """
        found: list[tuple[float, float, Watched]] = []
        for one in self._roster:
            seen = self._seen.get(one.id)
            if one is suspect or one.held or not (self._informative(one) or self._talks(one)):
                continue
            if seen is not None and (seen.sign is Sign.LOCAL or self._fresh(seen)):
                continue
            heard = 0.0 if seen is None else -seen.at
            found.append((float(one.monitor.spec.timeout_seconds), heard, one))
            if len(found) >= MOST_WITNESSES:
                break
        found.sort(key=lambda each: each[:2])
        first: list[Watched] = []
        others: list[Watched] = []
        places: set[str] = set()
        for _, _, one in found:
            seen = self._seen.get(one.id)
            place = one.id if seen is None or seen.where is None else seen.where
            (others if place in places else first).append(one)
            places.add(place)
        return [*first, *others][:most]

    def next_few(self, count: int) -> list[Watched]:
        """Return `count` monitors that may show that the network is back, others each time."""
        there = [
            one
            for one in self._roster
            if not one.paused
            and type_of(one.monitor.spec) not in _NOT_DIALLED
            and ((seen := self._seen.get(one.id)) is None or seen.sign is not Sign.LOCAL)
        ]
        if not there:
            return []
        start = self._turn % len(there)
        self._turn += count
        return list(islice(there[start:] + there[:start], count))
