"""Lone pings: checks that are one ping to one address, begun and taken without a task.

A task, its deadline and its end cost as much as all the rest of such a check. So the request is
sent where the check begins, and the result taken where its answer is read; whatever is more than a
good answer that says what is known already goes the way of every other check from there on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpulse.egress.connect import Egress
from netpulse.egress.icmp import Pinger
from netpulse.egress.icmp_line import Lone
from netpulse.egress.resolver import Address
from netpulse.engine.clock import Clock
from netpulse.engine.due import Due
from netpulse.engine.figures import Lags
from netpulse.engine.isolation import Isolation
from netpulse.engine.measuring import Measured, Measuring, broken
from netpulse.engine.roster import Watched
from netpulse.model.check import Check, Reading, Result, Timings, round_latency
from netpulse.model.ids import Id
from netpulse.model.monitor import IcmpSpec
from netpulse.model.time import Millis
from netpulse.probes import icmp
from netpulse.rules.isolation import network_of
from netpulse.rules.verdict import good_ping_within


class Plan(NamedTuple):
    """What stays the same from one check of a monitor to the next."""

    way: Egress
    """Under whose policy the rest was decided."""
    pinger: Pinger | None
    spec: IcmpSpec | None
    """None: its checks are no lone pings."""
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
                address,
                network_of(address.text),
                -1.0 if within is None else within,
            )
    return Plan(way, None, None, _NONE, None, -1.0)


class LonePings:
    """Begins such checks, and takes what comes of them."""

    def __init__(
        self,
        *,
        way: Callable[[Id], Egress],
        clock: Clock,
        measuring: Measuring,
        isolation: Isolation,
        lags: Lags,
        confirms: Callable[[Watched, Check], bool],
        conclude: Callable[[Watched, Due, Measured], None],
        done: Callable[[Due], None],
    ) -> None:
        """Take the parts.

        Args:
            way: the way out of each organization.
            clock: the time.
            measuring: who judges what is not simply good.
            isolation: who takes note of every answer.
            lags: how late checks began.
            confirms: takes a check that says what is known, and returns whether it was one.
            conclude: takes what was measured, whatever it is.
            done: called when a check is over.
        """
        self._way = way
        self.clock = clock
        self.measuring = measuring
        self.isolation = isolation
        self._lags = lags
        self.confirms = confirms
        self.conclude = conclude
        self.free = done

    def begin(self, watched: Watched, due: Due) -> bool:
        """Begin the check that is due, and return True, if it is one of these and can begin."""
        way = self._way(watched.monitor.org_id)
        made = watched.plan
        if made is None or made.way is not way:
            made = watched.plan = plan(watched, way)
        if made.spec is None or made.pinger is None:
            return False
        clock = self.clock
        check = _Check(self, watched, due, made, clock.now(), clock.monotonic())
        watched.task, watched.probing = check, True
        try:
            lone = made.pinger.ask(
                made.address, seconds=made.spec.timeout_seconds, told=check.ended
            )
        except Exception:  # noqa: BLE001 - the probe meets the same, and what it says is logged
            lone = None
        if lone is None:
            watched.task, watched.probing = None, False
            return False
        check.lone = lone
        self._lags.add(check.mono - due.mono, check.mono)
        return True


class _Check:
    """One check under way."""

    __slots__ = ("due", "lone", "mono", "owner", "plan", "started_at", "watched")

    def __init__(
        self,
        owner: LonePings,
        watched: Watched,
        due: Due,
        made: Plan,
        started_at: Millis,
        mono: float,
    ) -> None:
        self.owner = owner
        self.watched = watched
        self.due = due
        self.plan = made
        self.started_at = started_at
        self.mono = mono
        self.lone: Lone | None = None

    def done(self) -> bool:
        return self.watched.task is not self

    def cancel(self) -> None:
        if self.lone is not None and not self.done():
            self.lone.cancel()
            self.over()

    def over(self) -> None:
        """Nothing more is to come of it."""
        self.watched.task, self.watched.probing = None, False
        self.owner.free(self.due)

    def ended(self, lone: Lone) -> None:
        """Take what came of it."""
        if self.done():
            return
        owner, spec = self.owner, self.plan.spec
        assert spec is not None
        try:
            if type(lone.came) is float and self._good(round_latency(lone.came)):
                return
            measured = owner.measuring.judged(
                spec, icmp.reading_of(lone, spec), started_at=self.started_at, mono=self.mono
            )
        except Exception as error:  # noqa: BLE001 - logged once per edge, by the runner
            measured = broken(self.started_at, Reading(), error)
        owner.conclude(self.watched, self.due, measured)

    def _good(self, total: float) -> bool:
        """Take an answer that came within so many milliseconds, and return True, if it is good and
        says what is known already."""
        made, due = self.plan, self.due
        if total > made.good_within_ms:
            return False
        check = Check(
            due_at=self.started_at if due.at is None else due.at,
            started_at=self.started_at,
            result=Result.UP,
            response_time_ms=round(total),
            timings=Timings(0.0, None, None, None, total),
        )
        owner, address = self.owner, made.address.text
        if not owner.isolation.hears(
            self.watched, address, made.where, began=self.mono, ms=total
        ) or not owner.confirms(self.watched, check):
            return False
        self.over()
        return True
