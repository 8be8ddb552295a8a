"""Evidence about our own network: what each target's last check says of it, and who may be asked.

Whose silence counts is the point: a target that has been silent while the network was there, or
that is known to be down, says nothing by being silent still.

All of it runs on the event loop, between checks of up to 10,000 monitors: what walks over all of
them does the cheap comparison first, and leaves out what cannot change the outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

from netpulse.egress.routes import Way
from netpulse.engine.clock import Clock
from netpulse.engine.measuring import Measured
from netpulse.engine.roster import Roster, Watched
from netpulse.model.check import Failure
from netpulse.model.ids import Id
from netpulse.model.monitor import PushSpec, type_of
from netpulse.model.watch import Status
from netpulse.rules.isolation import (
    INDEPENDENT,
    OWN_SIDE,
    SUSPECT,
    WINDOW_SECONDS,
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

MOST_COUNTED = 1_000
"""Silent targets that are looked at one by one: more of them decide nothing more."""
MOST_LOOKED = 2_000
"""Monitors looked through in one call for a few that may answer again; the next call goes on."""


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
        self._suspects: dict[Id, Sighting] = {}
        """Those of `_seen` that may be our own fault, the one that was noted first in front."""
        self._local: set[Id] = set()
        """Targets on this host that answered."""
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
            if where is None or self.is_here(reading.address):
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
        return Sighting(target=watched.monitor.id, sign=sign, where=where, began=began, at=at)

    def answered(
        self, watched: Watched, address: str, where: str | None, began: float, ms: float
    ) -> Sighting:
        """Keep what a check says that was answered from `address`, of the network `where`, `ms`
        milliseconds after it began, and return it."""
        at, target = self._clock.monotonic(), watched.monitor.id
        before = self._seen.get(target)
        if where is None or self.is_here(address):
            sighting = Sighting(target, Sign.LOCAL, where, began, at)
            if before is not None and before.sign is Sign.LOCAL:
                # As nearly every one on this host: it is where it belongs already.
                self._seen[target] = sighting
                return sighting
        else:
            sighting = Sighting(target, Sign.ALIVE, where, began, min(at, began + ms / 1000))
            if before is not None and before.sign is Sign.ALIVE and not self._apart:
                self._seen[target] = sighting
                self.hear(sighting.at)
                return sighting
        self.note(sighting)
        return sighting

    @property
    def _apart(self) -> bool:
        """Tell whether any target's silence is to be told from others'."""
        return bool(self._mute or self._excused)

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
        target, sign = sighting.target, sighting.sign
        before = self._seen.get(target)
        self._seen[target] = sighting
        if sign is Sign.LOCAL and before is not None and before.sign is sign:
            return
        self._suspects.pop(target, None)
        self._local.discard(target)
        if sign in SUSPECT:
            self._suspects[target] = sighting
        elif sign is Sign.LOCAL:
            self._local.add(target)
        elif sign is Sign.ALIVE:
            self._mute.discard(target)
            self._excused.discard(target)
            self.hear(sighting.at)

    def hear(self, at: float) -> None:
        """Note that something outside was heard at the moment `at` (monotonic seconds)."""
        self.alive_at = max(self.alive_at, at)

    def excuse(self, target: Id) -> None:
        """Ask nobody any more because this target lacks a path of its own, until it answers."""
        self._excused.add(target)

    def acquit(self) -> None:
        """The network is there: what is silent now is silent by itself, until it answers."""
        self._mute.update(self._suspects)

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
        if watched.watch.settled is (Status.UP if watched.monitor.spec.invert else Status.DOWN):
            return False
        if watched.gone or watched.paused or watched.id in self._mute:
            return False
        return _is_dialled(watched)

    def _enough(self) -> bool:
        """Tell whether the evidence could be complete at all: with fewer independent targets, and
        nothing wrong on our own side, silence is judged at once."""
        now = self._clock.monotonic()
        if any(one.sign in OWN_SIDE and self._fresh(one) for one in self._suspects.values()):
            return True
        if now < self._few_until:
            return False
        places: set[str] = set()
        for one in self._roster:
            seen = self._seen.get(one.id)
            place = one.id if seen is None or seen.where is None else seen.where
            if place in places or (seen is not None and seen.sign is Sign.LOCAL):
                continue
            if not self._informative(one):
                continue
            places.add(place)
            if len(places) >= INDEPENDENT:
                return True
        self._few_until = now + FEW_SECONDS
        return False

    def ruling(self) -> Ruling:
        """Return what all of it amounts to now."""
        now = self._clock.monotonic()
        if len(self._seen) > len(self._roster):
            self._forget_gone()
        since = now - WINDOW_SECONDS
        fresh = [
            one for one in self._suspects.values() if one.began > self.alive_at and one.at >= since
        ]
        counted = [one for one in fresh[:MOST_COUNTED] if self._counts(one)]
        return rule(
            chain(counted, self._at_home()),
            now=now,
            default_route=self.default_route(),
            asked=sum(one.at >= since for one in self._seen.values()),
            uncounted=max(0, len(fresh) - MOST_COUNTED),
        )

    def _counts(self, seen: Sighting) -> bool:
        watched = self._roster.get(seen.target)
        if watched is None or watched.paused:
            return False
        if seen.sign in OWN_SIDE:
            return seen.target not in self._mute
        return self._informative(watched)

    def _at_home(self) -> list[Sighting]:
        """Return the sighting of one target on this host, if there is one."""
        for target in self._local:
            watched = self._roster.get(target)
            if watched is not None and not watched.paused:
                return [self._seen[target]]
        return []

    def _forget_gone(self) -> None:
        for target in [one for one in self._seen if self._roster.get(one) is None]:
            del self._seen[target]
            self._suspects.pop(target, None)
            self._local.discard(target)
            self._mute.discard(target)
            self._excused.discard(target)

    # Who may be asked

    def witnesses(self, suspect: Watched, most: int) -> list[Watched]:
        """Return up to `most` monitors that can be asked whether they answer: of independent
        networks first, and of those who have little time to answer, for the answer is waited for.
        """
        found: list[tuple[float, float, Watched]] = []
        for one in self._roster:
            seen = self._seen.get(one.id)
            if seen is not None and (seen.sign is Sign.LOCAL or self._fresh(seen)):
                continue
            # One that is down by refusing every connection proves the network alive as well as any.
            talks = seen is not None and seen.sign is Sign.ALIVE and not (one.gone or one.paused)
            if one is suspect or one.held or not (talks or self._informative(one)):
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
        everybody = list(self._roster)
        if not everybody:
            return []
        start = self._turn % len(everybody)
        found: list[Watched] = []
        looked = 0
        for one in islice(chain(everybody[start:], everybody[:start]), MOST_LOOKED):
            looked += 1
            seen = self._seen.get(one.id)
            if one.paused or not _is_dialled(one) or (seen is not None and seen.sign is Sign.LOCAL):
                continue
            found.append(one)
            if len(found) >= count:
                break
        self._turn = start + looked
        return found


def _is_dialled(watched: Watched) -> bool:
    """Tell whether checks of it reach out: not of a push monitor, nor of a damaged one."""
    monitor = watched.monitor
    return monitor.damage is None and not isinstance(monitor.spec, PushSpec)
