"""What is known of an organization's monitors at one moment, read off the roster: how fast they
answer, and whose certificate ends next.

Nothing here waits, and the roster is copied in one step: it may be called in a thread of its own,
which ten thousand monitors deserve.
"""

from __future__ import annotations

import heapq
import math

from msgspec import Struct

from netpulse.engine.roster import Roster, Watched
from netpulse.model.check import Result
from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Slow(Struct, frozen=True):
    """One of the slowest."""

    id: Id
    name: str
    response_ms: int


class Responses(Struct, frozen=True, kw_only=True):
    """How fast the monitors answered last."""

    count: int
    """Monitors whose last check got an answer."""
    median_ms: int | None
    p95_ms: int | None
    slowest: tuple[Slow, ...]


class Ending(Struct, frozen=True):
    """A certificate that was seen last, and when it ends."""

    id: Id
    name: str
    subject: str
    not_after: Millis


def response_times(roster: Roster, org_id: Id) -> dict[Id, int]:
    """Return the last response time of each monitor that is watched, in milliseconds; those
    without an answer are left out."""
    return {one.id: ms for one in roster if (ms := _answered(one, org_id)) is not None}


def responses(roster: Roster, org_id: Id, most: int) -> Responses:
    """Return the figures of an organization, with its `most` slowest monitors."""
    found = [(ms, one) for one in roster if (ms := _answered(one, org_id)) is not None]
    times = sorted(ms for ms, _ in found)
    slowest = heapq.nlargest(most, found, key=lambda each: each[0])
    return Responses(
        count=len(times),
        median_ms=_percentile(times, 0.5),
        p95_ms=_percentile(times, 0.95),
        slowest=tuple(Slow(one.id, one.monitor.spec.name, ms) for ms, one in slowest),
    )


def endings(roster: Roster, org_id: Id, most: int) -> list[Ending]:
    """Return the `most` certificates that end first."""
    found = [
        (certificate.not_after, one, certificate)
        for one in roster
        if one.monitor.org_id == org_id
        and not one.paused
        and (certificate := one.certificate) is not None
    ]
    return [
        Ending(one.id, one.monitor.spec.name, certificate.subject, not_after)
        for not_after, one, certificate in heapq.nsmallest(most, found, key=lambda each: each[0])
    ]


def _answered(one: Watched, org_id: Id) -> int | None:
    last = one.last
    if one.monitor.org_id != org_id or one.paused or one.is_push or last is None:
        return None
    return last.response_time_ms if last.result is not Result.INCONCLUSIVE else None


def _percentile(times: list[int], share: float) -> int | None:
    """Return the nearest-rank percentile of sorted `times`; None of none."""
    return times[max(0, math.ceil(share * len(times)) - 1)] if times else None
