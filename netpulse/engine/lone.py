"""Lone pings: checks that are one ping to one address, begun and taken without a task.

A task, its deadline and its end cost as much as all the rest of such a check. So the request is
sent where the check begins, and the result taken where its answer is read; whatever is more than a
good answer that says what is known already goes the way of every other check from there on.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.egress.icmp import Pinger
from netpulse.egress.icmp_line import Lone
from netpulse.egress.resolver import Address
from netpulse.engine.due import Due
from netpulse.engine.measuring import broken
from netpulse.engine.roster import Watched
from netpulse.engine.taskless import Parts, Taskless
from netpulse.model.check import Check, Reading, Result, Timings, round_latency
from netpulse.model.monitor import IcmpSpec
from netpulse.model.time import Millis
from netpulse.probes import icmp
from netpulse.rules.isolation import network_of
from netpulse.rules.verdict import good_ping_within


class Plan(Struct, frozen=True, gc=False):
    """What stays the same from one check of a monitor to the next."""

    way: Egress
    """Under whose policy the rest was decided."""
    pinger: Pinger | None
    spec: IcmpSpec | None
    """None: its checks are no lone pings."""
    seconds: float
    """Until when an answer is waited for."""
    address: Address
    where: str | None
    """The network of the address, as `network_of` has it."""
    good_within_ms: float
    """A ping that takes no longer is up; negative: none is, without being looked at."""


_NONE = Address(0, "")


def plan(watched: Watched, way: Egress) -> Plan:
    """Return how a monitor is checked."""
    monitor, spec = watched.monitor, watched.monitor.spec
    if monitor.damage is None and isinstance(spec, IcmpSpec):
        address = icmp.lone_address(spec, way)
        if address is not None:
            within = good_ping_within(spec)
            return Plan(
                way,
                way.pinger,
                spec,
                spec.timeout_seconds,
                address,
                network_of(address.text),
                -1.0 if within is None else within,
            )
    return Plan(way, None, None, 0.0, _NONE, None, -1.0)


class LonePings:
    """Begins such checks, and takes what comes of them."""

    def __init__(self, parts: Parts) -> None:
        """Take whom they have to do with."""
        self._parts = parts

    def begin(self, watched: Watched, due: Due) -> bool:
        """Begin the check that is due, and return True, if it is one of these and can begin."""
        parts = self._parts
        way = parts.way(watched.monitor.org_id)
        made = watched.plan
        if made is None or made.way is not way:
            made = watched.plan = plan(watched, way)
        if made.pinger is None:
            return False
        clock = parts.clock
        # It stands from here on: what is sent may come to its end at once.
        watched.task = check = _Check(parts, watched, due, made, clock.now(), clock.monotonic())
        watched.probing = True
        try:
            lone = made.pinger.ask(made.address, seconds=made.seconds, told=check.ended)
        except Exception:  # noqa: BLE001 - the probe meets the same, and what it says is logged
            lone = None
        if lone is None:
            check.leave()
            return False
        check.lone = lone
        parts.lags.add(check.mono - due.mono, check.mono)
        return True


class _Check(Taskless):
    """One check under way."""

    __slots__ = ("lone", "mono", "plan", "started_at")

    def __init__(
        self,
        parts: Parts,
        watched: Watched,
        due: Due,
        made: Plan,
        started_at: Millis,
        mono: float,
    ) -> None:
        self.parts = parts
        self.watched = watched
        self.due = due
        self.plan = made
        self.started_at = started_at
        self.mono = mono
        self.lone: Lone | None = None

    def abandon(self) -> None:
        if self.lone is not None:
            self.lone.cancel()

    def ended(self, lone: Lone) -> None:
        """Take what came of it."""
        if self.watched.task is not self:
            return
        parts = self.parts
        try:
            if type(lone.came) is float and self._good(round_latency(lone.came)):
                return
            spec = self.plan.spec
            assert spec is not None
            measured = parts.measuring.judged(
                spec, icmp.reading_of(lone, spec), started_at=self.started_at, mono=self.mono
            )
        except Exception as error:  # noqa: BLE001 - logged once per edge, by the runner
            measured = broken(self.started_at, Reading(), error)
        parts.conclude(self.watched, self.due, measured)

    def _good(self, total: float) -> bool:
        """Take an answer that came within so many milliseconds, and return True, if it is good and
        says what is known already."""
        made, due, parts, watched = self.plan, self.due, self.parts, self.watched
        if total > made.good_within_ms:
            return False
        check = Check(
            due_at=self.started_at if due.at is None else due.at,
            started_at=self.started_at,
            result=Result.UP,
            response_time_ms=round(total),
            timings=Timings(0.0, None, None, None, total),
        )
        if not parts.isolation.hears(
            watched, made.address.text, made.where, began=self.mono, ms=total
        ) or not parts.confirms(watched, check):
            return False
        watched.task, watched.probing = None, False
        parts.done(due)
        return True
