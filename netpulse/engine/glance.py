"""What is known of an organization's monitors at one moment, read off the roster: how fast they
answer, and whose certificate ends next.

The roster is copied in one step, and walked with a rest now and then: call it in a thread of its
own, which ten thousand monitors deserve.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator

from msgspec import Struct

from netpulse.engine.roster import Roster, Watched
from netpulse.model.check import Result
from netpulse.model.ids import Id
from netpulse.model.time import Millis

_AT_ONCE = 250
_BREATH_SECONDS = 0.0002


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
    return {one.id: ms for one in _at_leisure(roster) if (ms := _answered(one, org_id)) is not None}


def responses(roster: Roster, org_id: Id, most: int) -> Responses:
    """Return the figures of an organization, with its `most` slowest monitors."""
    # Two lists and not one of pairs: ten thousand of those would set off the collector of garbage.
    answered: list[Watched] = []
    times: list[int] = []
    for one in _at_leisure(roster):
        ms = _answered(one, org_id)
        if ms is not None:
            answered.append(one)
            times.append(ms)
    slowest = heapq.nlargest(most, range(len(times)), key=times.__getitem__)
    by_time = sorted(times)
    return Responses(
        count=len(times),
        median_ms=_percentile(by_time, 0.5),
        p95_ms=_percentile(by_time, 0.95),
        slowest=tuple(
            Slow(answered[at].id, answered[at].monitor.spec.name, times[at]) for at in slowest
        ),
    )


def endings(roster: Roster, org_id: Id, most: int) -> list[Ending]:
    """Return the `most` certificates that end first."""
    found = [
        (certificate.not_after, one, certificate)
        for one in _at_leisure(roster)
        if (certificate := one.certificate) is not None
        and one.monitor.org_id == org_id
        and not one.paused
    ]
    return [
        Ending(one.id, one.monitor.spec.name, certificate.subject, not_after)
        for not_after, one, certificate in heapq.nsmallest(most, found, key=lambda each: each[0])
    ]


def _at_leisure(roster: Roster) -> Iterator[Watched]:
    """Yield every monitor, and let the checks have the interpreter now and then."""
    for number, one in enumerate(roster, start=1):
        yield one
        if not number % _AT_ONCE:
            time.sleep(_BREATH_SECONDS)


def _answered(one: Watched, org_id: Id) -> int | None:
    last = one.last
    if one.monitor.org_id != org_id or one.paused or one.is_push or last is None:
        return None
    return last.response_time_ms if last.result is not Result.INCONCLUSIVE else None


def _percentile(times: list[int], share: float) -> int | None:
    """Return the nearest-rank percentile of sorted `times`; None of none."""
    return times[max(0, math.ceil(share * len(times)) - 1)] if times else None
