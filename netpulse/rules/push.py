"""When a push monitor's next ping is due, and when it is missed.

A ping is due one interval after the last one, or at the next time of a crontab; with the grace
added, that is the deadline. A job that says it started has the grace to end.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec.structs import replace

from netpulse.model.check import Failure, Reading, Timings, round_latency
from netpulse.model.monitor import PushSpec
from netpulse.model.push import Beat, Ping, PingKind
from netpulse.model.time import SECOND, Millis, rfc3339

LONGEST_TEXT = 4096
"""Bytes of what a job said that are kept."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_STEPS = 1000


class ScheduleError(ValueError):
    """A crontab or a time zone that cannot be used; the message says why."""


def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name.

    Raises:
        ScheduleError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ScheduleError(
            f"{name} is no time zone; write an IANA name such as Europe/Berlin"
        ) from None


@functools.lru_cache(maxsize=4096)
def next_cron(cron: str, timezone: str, after: Millis) -> Millis:
    """Return the first moment strictly after `after` that a crontab names in a time zone.

    At the edges of summer time as Debian's cron has it: a fixed time that the clock skips comes
    right after the gap, one that it shows twice comes once, and `*` goes on by the hour or minute.

    Raises:
        ScheduleError: it cannot be read, or never comes.
    """
    if len(cron.split()) != 5:
        raise ScheduleError("a crontab has five fields: minute, hour, day, month, weekday")
    local = zone(timezone)
    began = _EPOCH + timedelta(milliseconds=after)
    try:
        times = CronSim(cron, began.astimezone(local))
        for _ in range(_MOST_STEPS):
            found = (next(times).astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
            # In the hour that comes twice, a fixed time may be found that is over.
            if found > after:
                return found
    except CronSimError as trouble:
        raise ScheduleError(f"it cannot be read: {str(trouble).lower()}") from None
    except (StopIteration, OverflowError):
        pass
    raise ScheduleError("it names a time that never comes")


def next_due(spec: PushSpec, base_at: Millis) -> Millis:
    """Return when the ping after `base_at` is due."""
    if spec.cron is None:
        return base_at + spec.interval_seconds * SECOND
    return next_cron(spec.cron, spec.timezone, base_at)


def begun(spec: PushSpec, now: Millis) -> Beat:
    """Return the beginning: a new monitor, or one that is resumed."""
    return Beat(base_at=now, deadline_at=next_due(spec, now) + _grace(spec))


def pinged(spec: PushSpec, now: Millis) -> Beat:
    """Return what follows a ping that ends a run, well or not."""
    return replace(begun(spec, now), last_at=now)


def started(spec: PushSpec, beat: Beat, now: Millis) -> Beat:
    """Return what follows a job's word that it started: it has the grace to end."""
    return replace(beat, started_at=now, deadline_at=now + _grace(spec))


def missed(spec: PushSpec, beat: Beat, now: Millis) -> Beat:
    """Return what follows a deadline that passed: the next slot has its own.

    Slots that have passed meanwhile are one miss, not many.
    """
    base_at = next_due(spec, beat.base_at) if beat.started_at is None else beat.started_at
    if next_due(spec, base_at) + _grace(spec) <= now:
        step = 1 if spec.cron is not None else spec.interval_seconds * SECOND
        base_at += (now - _grace(spec) - base_at) // step * step
    return replace(
        beat,
        base_at=base_at,
        started_at=None,
        deadline_at=next_due(spec, base_at) + _grace(spec),
    )


def excused(spec: PushSpec, beat: Beat, gone_at: Millis, back_at: Millis) -> Beat:
    """Return the beat after a stretch in which nobody listened: what came then is not known.

    The deadline shifts by the stretch and one grace more; and it is not before the first ping that
    must come after the stretch can be late, with one grace more. Whether a run under way has ended
    meanwhile is not known either: its start counts like a ping.
    """
    if back_at <= gone_at:
        return beat
    base_at = beat.base_at if beat.started_at is None else max(beat.base_at, beat.started_at)
    due = next_due(spec, base_at)
    if due < back_at:
        due = _due_from(spec, base_at, back_at)
    shifted = beat.deadline_at + (back_at - gone_at) + _grace(spec)
    return replace(beat, deadline_at=max(shifted, due + 2 * _grace(spec)))


def turned_back(spec: PushSpec, beat: Beat, now: Millis) -> Beat:
    """Return the beat after the clock was set back: nothing lies in the future."""
    started_at = None if beat.started_at is None else min(beat.started_at, now)
    base_at = min(beat.base_at, now)
    due = next_due(spec, base_at) if started_at is None else started_at
    return replace(
        beat,
        base_at=base_at,
        started_at=started_at,
        last_at=None if beat.last_at is None else min(beat.last_at, now),
        deadline_at=min(beat.deadline_at, due + 2 * _grace(spec)),
    )


def reconfigured(spec: PushSpec, beat: Beat, now: Millis) -> Beat:
    """Return the beat under another schedule: one that would be late at once begins anew."""
    if beat.started_at is not None:
        deadline_at = beat.started_at + _grace(spec)
    else:
        deadline_at = next_due(spec, beat.base_at) + _grace(spec)
    if deadline_at <= now:
        return replace(begun(spec, now), last_at=beat.last_at)
    return replace(beat, deadline_at=deadline_at)


def vouched_until(spec: PushSpec, at: Millis) -> Millis:
    """Return until when a ping (or a miss) at `at` speaks for the monitor: deadline and grace."""
    return next_due(spec, at) + 2 * _grace(spec)


def reading_of(ping: Ping, beat: Beat, now: Millis) -> Reading:
    """Return a ping that ends a run as a reading; its total is how long the job ran."""
    took = ping.took_ms
    if took is None and beat.started_at is not None and beat.started_at <= now:
        took = float(now - beat.started_at)
    failed = ping.kind is PingKind.FAIL
    return Reading(
        timings=Timings(total_ms=None if took is None else round_latency(took)),
        exit_status=1 if failed and ping.exit_status is None else ping.exit_status or 0,
        detail="fail" if failed and ping.exit_status is None else None,
        body=ping.text.encode(),
    )


def absence(spec: PushSpec, beat: Beat) -> Reading:
    """Return a ping that did not come as a reading."""
    grace = _lasting(spec.grace_seconds)
    if beat.started_at is not None:
        sentence = f"the job that started at {_shown(beat.started_at)} has not ended within {grace}"
        return Reading(failure=Failure.MISSED, detail="unfinished", error=sentence)
    due = next_due(spec, beat.base_at)
    at = _shown(due)
    if spec.cron is not None and spec.timezone != "UTC":
        there = (_EPOCH + timedelta(milliseconds=due)).astimezone(zone(spec.timezone))
        at += f" ({there:%H:%M} {spec.timezone})"
    late = f"and {grace} of grace are over" if spec.grace_seconds else "and there is no grace"
    if beat.last_at is None:
        sentence = f"no ping has ever come; one was due at {at}, {late}"
        return Reading(failure=Failure.MISSED, detail="never", error=sentence)
    sentence = f"no ping since {_shown(beat.last_at)}; one was due at {at}, {late}"
    return Reading(failure=Failure.MISSED, detail="late", error=sentence)


def shortened(text: str) -> str:
    """Return what a job said, without control characters, at most 4 KiB."""
    clean = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
    return clean.encode("utf-8", "replace")[:LONGEST_TEXT].decode("utf-8", "ignore").strip()


def _due_from(spec: PushSpec, base_at: Millis, moment: Millis) -> Millis:
    """Return the first due time after `base_at` that is not before `moment`."""
    if spec.cron is not None:
        return next_cron(spec.cron, spec.timezone, max(base_at, moment - 1))
    step = spec.interval_seconds * SECOND
    return base_at + max(1, -((base_at - moment) // step)) * step


def _grace(spec: PushSpec) -> int:
    return spec.grace_seconds * SECOND


def _shown(at: Millis) -> str:
    return rfc3339(at - at % SECOND).replace("T", " ").replace("Z", " UTC")


def _lasting(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
