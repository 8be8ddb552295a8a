"""From single verdicts to a confirmed state: confirmations, recoveries, unknown time, back-dating.

A `Watch` is what is remembered of a monitor, a `Flip` a change of its confirmed state. Both are
pure values here; storage writes them and keeps the incident's row.
"""

from __future__ import annotations

from msgspec.structs import replace

from netpulse.model.check import Check, Result
from netpulse.model.monitor import MonitorSpec
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status, UnknownReason, Watch

_STATUS: dict[Result, Status] = {
    Result.UP: Status.UP,
    Result.DEGRADED: Status.DEGRADED,
    Result.DOWN: Status.DOWN,
}
_RESULT = {status: result for result, status in _STATUS.items()}


def step(
    spec: MonitorSpec, watch: Watch, check: Check, *, now: Millis
) -> tuple[Watch, Flip | None]:
    """Hold one finished check against what is remembered.

    Returns the new memory, and the flip if the confirmed state changed. `incident_id` and
    `vouched_until` are left as they were: storage sets the one, the engine the other. An
    inconclusive check only marks since when nothing is known. A paused monitor changes nothing.
    """
    if watch.status is Status.PAUSED or check.result is known(watch):
        return watch, None
    if not check.conclusive:
        if watch.silent_since is None:
            watch = replace(watch, silent_since=check.started_at)
        return watch, None
    verdict = _STATUS[check.result]
    counted = _count(watch, verdict, check.started_at)
    after, began = _decide(spec, counted, verdict, check.started_at)
    if after is None or after is watch.status:
        return counted, None
    # A streak may have begun before the state it ends (a clock set back, a lapse dated back):
    # a span never begins before the one in front of it.
    at = max(began, watch.since)
    flip = Flip(
        before=watch.status,
        after=after,
        at=at,
        decided_at=now,
        check=check,
        settled=watch.settled,
        opens=after is Status.DOWN and watch.incident_id is None,
        closes=after is not Status.DOWN and _has_incident(watch),
    )
    settled = replace(counted, status=after, since=at, settled=after, goods=0, first_good_at=None)
    if after is not Status.DEGRADED:
        return _without_streaks(settled), flip
    # "Degraded" may be confirmed by a check that was down: that streak goes on counting.
    return replace(settled, slows=0, first_slow_at=None), flip


def known(watch: Watch) -> Result | None:
    """Return the result of the checks that say what is certain already, so that nothing is to be
    remembered of them: nearly every check of nearly every monitor. None where there is none."""
    if (
        watch.status is watch.settled
        and watch.silent_since is None
        and not (watch.downs or watch.slows or watch.goods)
    ):
        return _RESULT.get(watch.status)
    return None


def lapse(
    watch: Watch, at: Millis, reason: UnknownReason, *, now: Millis
) -> tuple[Watch, Flip | None]:
    """Turn a monitor unknown from `at` on, for which nobody vouches any more.

    Streaks that were not confirmed begin anew; an open incident stays open. A paused monitor, or
    one that is unknown already, does not flip.
    """
    if watch.status is Status.PAUSED:
        return watch, None
    fresh = _without_streaks(watch)
    if watch.status is Status.UNKNOWN:
        return fresh, None
    began = max(at, watch.since)
    flip = Flip(
        before=watch.status,
        after=Status.UNKNOWN,
        at=began,
        decided_at=now,
        reason=reason,
        settled=watch.settled,
    )
    return replace(fresh, status=Status.UNKNOWN, since=began), flip


def pause(watch: Watch, now: Millis) -> tuple[Watch, Flip | None]:
    """Stop watching: the open incident ends, and nothing of the past counts after a resume."""
    if watch.status is Status.PAUSED:
        return watch, None
    at = max(now, watch.since)
    flip = Flip(
        before=watch.status,
        after=Status.PAUSED,
        at=at,
        decided_at=at,
        reason=UnknownReason.PAUSED,
        settled=watch.settled,
        closes=_has_incident(watch),
    )
    return _restarted(watch, Status.PAUSED, at), flip


def resume(watch: Watch, now: Millis) -> tuple[Watch, Flip | None]:
    """Watch again, from pending: the first good check makes it up."""
    if watch.status is not Status.PAUSED:
        return watch, None
    at = max(now, watch.since)
    flip = Flip(before=Status.PAUSED, after=Status.PENDING, at=at, decided_at=at)
    return _restarted(watch, Status.PENDING, at), flip


def worth_saving(before: Watch, after: Watch) -> bool:
    """Tell whether a step changed what a restart must still know.

    Every step of an unconfirmed streak counts, so that a restart in the middle of one neither
    forgets nor repeats a confirmation. Steady monitors answer no.
    """
    return replace(before, vouched_until=None, silent_since=None) != replace(
        after, vouched_until=None, silent_since=None
    )


def _count(watch: Watch, verdict: Status, started_at: Millis) -> Watch:
    """Return the memory with this verdict counted in its streaks."""
    down = verdict is Status.DOWN
    slow = verdict is not Status.UP
    if watch.settled is Status.DOWN:
        better = not down
    else:
        better = watch.settled is Status.DEGRADED and not slow
    if verdict is watch.settled or watch.settled is Status.DOWN:
        down = slow = False  # nothing here that is not confirmed already
    return replace(
        watch,
        silent_since=None,
        downs=watch.downs + 1 if down else 0,
        first_down_at=_first(watch.first_down_at, started_at) if down else None,
        slows=watch.slows + 1 if slow else 0,
        first_slow_at=_first(watch.first_slow_at, started_at) if slow else None,
        goods=watch.goods + 1 if better else 0,
        first_good_at=_first(watch.first_good_at, started_at) if better else None,
    )


def _decide(
    spec: MonitorSpec, watch: Watch, verdict: Status, started_at: Millis
) -> tuple[Status | None, Millis]:
    """Return the state that is certain now and when it began, or None while it is not certain."""
    if verdict is watch.settled:
        return verdict, started_at
    if watch.settled is Status.DOWN:
        if watch.goods >= spec.recoveries:
            return verdict, _first(watch.first_good_at, started_at)
        return None, started_at
    if watch.downs >= spec.confirmations:
        return Status.DOWN, _first(watch.first_down_at, started_at)
    if watch.settled is Status.DEGRADED:
        if watch.goods >= spec.recoveries:
            return Status.UP, _first(watch.first_good_at, started_at)
        return None, started_at
    if watch.slows >= spec.confirmations:
        return Status.DEGRADED, _first(watch.first_slow_at, started_at)
    if verdict is Status.UP:  # pending: one good check suffices
        return Status.UP, started_at
    return None, started_at


def _first(kept: Millis | None, started_at: Millis) -> Millis:
    return started_at if kept is None else kept


def _has_incident(watch: Watch) -> bool:
    """Tell whether an incident is open: also where storage has not said its id yet."""
    return watch.incident_id is not None or watch.settled is Status.DOWN


def _without_streaks(watch: Watch) -> Watch:
    return replace(
        watch,
        downs=0,
        first_down_at=None,
        slows=0,
        first_slow_at=None,
        goods=0,
        first_good_at=None,
    )


def _restarted(watch: Watch, status: Status, at: Millis) -> Watch:
    return replace(
        _without_streaks(watch),
        status=status,
        since=at,
        settled=Status.PENDING,
        vouched_until=None,
        silent_since=None,
    )
