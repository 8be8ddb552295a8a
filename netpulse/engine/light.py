"""Light checks: connections and questions, begun and taken without a task where all goes well.

The probe's first step is done where the check begins, and what comes of it is taken where it is
heard. A check that only says once more that all is well is over with that; every other one goes on
in a task, from where it is, and is judged as ever.
"""

from __future__ import annotations

import functools
import math

from netpulse.engine.due import Due
from netpulse.engine.lag import BREAK_SECONDS
from netpulse.engine.measuring import Since, broken
from netpulse.engine.roster import Watched
from netpulse.engine.taskless import Parts, Taskless
from netpulse.model.check import Check, Reading, Result, Timings
from netpulse.model.monitor import MonitorSpec
from netpulse.model.time import SECOND
from netpulse.probes import BEGINNINGS
from netpulse.probes.begun import Begun
from netpulse.rules.isolation import network_of
from netpulse.rules.verdict import judge


def good_within(spec: MonitorSpec, begun: Begun) -> float:
    """Return within how many milliseconds what was begun has to end for `judge` to say "up" of it;
    a negative number where it says something else however fast that was."""
    if judge(spec, begun.reading(Timings(total_ms=0.0)), now=0).result is not Result.UP:
        return -1.0
    return math.inf if spec.degraded_after_ms is None else spec.degraded_after_ms


@functools.lru_cache(maxsize=4096)
def _one(said: tuple[str, ...], within: float) -> tuple[tuple[str, ...], float]:
    """Return one and the same pair for all monitors for which it is so."""
    return said, within


class LightChecks:
    """Begins such checks, and takes what comes of them."""

    def __init__(self, parts: Parts) -> None:
        """Take whom they have to do with."""
        self._parts = parts

    def begin(self, watched: Watched, due: Due) -> bool:
        """Begin the check that is due, and return True, if it is one of these and can begin."""
        monitor = watched.monitor
        beginning = BEGINNINGS.get(type(monitor.spec))
        if beginning is None or monitor.damage is not None:
            return False
        parts = self._parts
        since = (parts.clock.now(), parts.clock.monotonic())
        try:
            begun = beginning(monitor.spec, parts.way(monitor.org_id))
        except Exception:  # noqa: BLE001 - the probe meets the same, and what it says is logged
            return False
        if begun is None:
            return False
        if (
            begun.descriptor is not None
            and not _Check(self, parts, watched, due, begun, since).waits()
        ):
            return False
        parts.lags.add(since[1] - due.mono, since[1])
        if begun.descriptor is None:
            self.ended(watched, due, begun, since)
        return True

    def ended(self, watched: Watched, due: Due, begun: Begun, since: Since) -> None:
        """Take what came of a first step."""
        try:
            if begun.broke is not None:
                raise begun.broke
            if self._is_well(watched, due, begun, since):
                self._parts.done(due)
            else:
                self._parts.go_on(watched, due, begun, since)
        except Exception as error:  # noqa: BLE001 - logged once per edge, by the runner
            begun.close()
            self._parts.conclude(watched, due, broken(since[0], Reading(), error))

    def _is_well(self, watched: Watched, due: Due, begun: Begun, since: Since) -> bool:
        """Take a check that only says once more that all is well; False: nothing of it is taken."""
        timings, address = begun.timings, begun.address
        if timings is None or timings.total_ms is None or address is None:
            return False
        if timings.total_ms > BREAK_SECONDS * SECOND:
            # Perhaps nothing ran meanwhile. The tick that tells has its turn before a task has,
            # and drops that.
            return False
        if watched.good is None or watched.good[0] != begun.said:
            watched.good = _one(begun.said, good_within(watched.monitor.spec, begun))
        if timings.total_ms > watched.good[1]:
            return False
        started_at, mono = since
        good = Check(
            due_at=started_at if due.at is None else due.at,
            started_at=started_at,
            result=Result.UP,
            response_time_ms=round(timings.total_ms),
            timings=timings,
        )
        return self._parts.isolation.hears(
            watched, address, network_of(address), began=mono, ms=timings.total_ms
        ) and self._parts.confirms(watched, good)


class _Check(Taskless):
    """One whose first step is waited for."""

    __slots__ = ("begun", "owner", "since")

    def __init__(
        self,
        owner: LightChecks,
        parts: Parts,
        watched: Watched,
        due: Due,
        begun: Begun,
        since: Since,
    ) -> None:
        self.parts = parts
        self.watched = watched
        self.due = due
        self.owner = owner
        self.begun = begun
        self.since = since

    def waits(self) -> bool:
        """Begin to wait; False where this host cannot, and all is given up."""
        self.stand()
        try:
            self.begun.wait(self._ended)
        except Exception:  # noqa: BLE001 - the probe meets the same, and what it says is logged
            self.leave()
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        self.begun.close()

    def _ended(self) -> None:
        if not self.done():
            self.leave()
            self.owner.ended(self.watched, self.due, self.begun, self.since)
