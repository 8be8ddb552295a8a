"""When maintenance is: its windows from a plan, by the clock on the wall of a time zone.

A local time that the clock skips comes later by what is skipped (02:30 is 03:30); one that it shows
twice is the first of the two. How long a window lasts is elapsed time. Nothing here looks further
than some centuries ahead or takes longer than some hundredths of a second: a rule that never comes
is an answer, not an endless search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrule, rrulestr
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Coverage, Schedule, Window
from netpulse.model.time import DAY, MINUTE, Millis
from netpulse.rules import push
from netpulse.rules.push import ScheduleError

SHORTEST = 1
LONGEST = 30 * 24 * 60
"""Minutes that a window may last: 30 days."""
FARTHEST = 10 * 366 * DAY
"""How far from the present a plan may begin."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(days=1)
"""More than a clock on the wall ever jumps."""
_COMPARED = 60
"""Windows that are held against each other to see whether they overlap."""
_CYCLE = 400
"""Years after which the Gregorian calendar repeats itself, weekdays too."""
_LAST_YEAR = 9978
"""A rule is moved by whole cycles up to here, so that a search ends soon at the last year that
there is (9999) instead of walking eight thousand years."""
_CALENDAR_ENDS = 9999 - 3
"""The last leap year."""
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY"}
    | {"BYWEEKNO", "BYDAY", "BYHOUR", "BYMINUTE"}
)
_LONGEST_TEXT = 500
_MOST_A_DAY = 24
"""Beginnings of a rule: ten years of them are walked in a tenth of a second."""
_UNTIL = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)


class Problem(Struct, frozen=True):
    """What is wrong with a plan, and where."""

    path: str
    message: str


def next_window(
    schedule: Schedule, now: Millis, ended_through: Millis | None = None
) -> Window | None:
    """Return the window that lasts at `now`, or else the next; None when there is none to come.

    Windows that began until `ended_through` count as over.

    Raises:
        ScheduleError: the rule or the zone cannot be read (any more).
    """
    return next(_windows(schedule, now, ended_through), None)


def windows(
    schedule: Schedule, now: Millis, count: int, ended_through: Millis | None = None
) -> list[Window]:
    """Return up to `count` windows from the one that lasts at `now` on."""
    return list(islice(_windows(schedule, now, ended_through), count))


def problems(schedule: Schedule, now: Millis) -> Iterator[Problem]:
    """Yield what is wrong with a plan that somebody makes at `now`."""
    if abs(schedule.starts_at - now) > FARTHEST:
        yield Problem("$.starts_at", "must not be more than ten years away")
        return
    try:
        push.zone(schedule.timezone)
    except ScheduleError as trouble:
        yield Problem("$.timezone", str(trouble))
        return
    if schedule.rrule is None and schedule.cron is None:
        yield from _of_once(schedule, now)
        return
    if schedule.rrule is not None and schedule.cron is not None:
        yield Problem("$.cron", "give rrule or cron, not both")
        return
    if schedule.ends_at is not None:
        yield Problem(
            "$.ends_at",
            "a recurring maintenance has a duration_minutes; COUNT or UNTIL in its rrule end it",
        )
    if schedule.duration_minutes is None:
        yield Problem("$.duration_minutes", "a recurring maintenance needs it: 1 to 43200")
        return
    path = "$.cron" if schedule.rrule is None else "$.rrule"
    try:
        found = windows(schedule, now, _COMPARED)
    except ScheduleError as trouble:
        yield Problem(path, str(trouble))
        return
    if not found:
        yield Problem(path, "it names no time that is still to come")
    if any(later.start < window.end for window, later in pairwise(found)):
        yield Problem("$.duration_minutes", "a window would last longer than until the next one")


def on_the_wall(at: Millis, timezone: str) -> datetime:
    """Return what a clock of a time zone shows at `at`, to the second, without the zone.

    Raises:
        ScheduleError: there is no such zone.
    """
    return _on_the_wall(at, push.zone(timezone))


def moment_of(shown: datetime, timezone: str) -> Millis:
    """Return when a clock of a time zone shows a time, as windows have it at the edges.

    Raises:
        ScheduleError: there is no such zone.
    """
    return _moment(shown, push.zone(timezone))


def covers(coverage: Coverage, monitor_id: Id, tags: Iterable[str]) -> bool:
    """Tell whether a monitor is among those that a maintenance covers."""
    return coverage.all or monitor_id in coverage.monitor_ids or bool({*coverage.tags} & {*tags})


def merged(stretches: Sequence[Window]) -> list[Window]:
    """Return stretches in the order of time, those that touch made one, empty ones left out."""
    found: list[Window] = []
    for one in sorted(stretches, key=lambda one: one.start):
        if one.end <= one.start:
            continue
        if found and one.start <= found[-1].end:
            found[-1] = Window(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


def _of_once(schedule: Schedule, now: Millis) -> Iterator[Problem]:
    if schedule.duration_minutes is not None:
        yield Problem("$.duration_minutes", "goes with rrule or cron; one that is once has ends_at")
    ends_at = schedule.ends_at
    if ends_at is None:
        yield Problem("$.ends_at", "give ends_at, or rrule or cron with duration_minutes")
        return
    lasts = ends_at - schedule.starts_at
    if lasts <= 0:
        yield Problem("$.ends_at", "must be later than starts_at")
    elif not SHORTEST * MINUTE <= lasts <= LONGEST * MINUTE:
        yield Problem("$.ends_at", "a maintenance lasts a minute at least and 30 days at most")
    elif ends_at <= now:
        yield Problem("$.ends_at", "it is over already: what has passed stays as it was")


def _windows(schedule: Schedule, now: Millis, ended_through: Millis | None) -> Iterator[Window]:
    if schedule.rrule is None and schedule.cron is None:
        end = schedule.ends_at or schedule.starts_at
        if end > now and (ended_through is None or schedule.starts_at > ended_through):
            yield Window(schedule.starts_at, end)
        return
    lasts = (schedule.duration_minutes or SHORTEST) * MINUTE
    after = max(now - lasts, schedule.starts_at - 1, ended_through or 0)
    for start in _starts(schedule, after):
        yield Window(start, start + lasts)


def _starts(schedule: Schedule, after: Millis) -> Iterator[Millis]:
    """Yield the beginnings strictly after `after`, each once."""
    zone = push.zone(schedule.timezone)
    floor = _on_the_wall(after, zone) - _MARGIN
    last = after
    if schedule.rrule is not None:
        local = _by_rule(schedule.rrule, _on_the_wall(schedule.starts_at, zone), zone, floor)
    else:
        local = _by_crontab(schedule.cron or "", floor)
    for moment in local:
        at = _moment(moment, zone)
        # 02:30 and 03:30 are one moment where the clock skips the hour between.
        if at > last:
            yield at
            last = at


def _by_crontab(cron: str, floor: datetime) -> Iterator[datetime]:
    if len(cron.split()) != 5:
        raise ScheduleError("a crontab has five fields: minute, hour, day, month, weekday")
    try:
        yield from CronSim(cron, floor)
    except CronSimError as trouble:
        raise ScheduleError(f"it cannot be read: {str(trouble).lower()}") from None
    except OverflowError:
        return


def _by_rule(text: str, begin: datetime, zone: ZoneInfo, floor: datetime) -> Iterator[datetime]:
    cycles = (_LAST_YEAR - max(begin.year, floor.year)) // _CYCLE
    rule = _read(text, _moved(begin, cycles), cycles, zone)
    floor = _moved(floor, cycles)
    for moment in rule:
        if moment >= floor:
            yield _moved(moment, -cycles)


def _read(text: str, begin: datetime, cycles: int, zone: ZoneInfo) -> rrule:
    """Return an RRULE (RFC 5545, section 3.3.10) that begins at the local time `begin`.

    Raises:
        ScheduleError: it is none, or has what a maintenance has no use for.
    """
    text = text.strip().upper().removeprefix("RRULE:")
    if not text.isascii() or len(text) > _LONGEST_TEXT:
        raise ScheduleError("it is too long, or not made of ASCII letters")
    parts: dict[str, str] = {}
    for part in text.strip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _PARTS:
            raise ScheduleError(_unknown(name))
        if name in parts:
            raise ScheduleError(f"{name} is there twice")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ScheduleError(
            "FREQ is DAILY, WEEKLY, MONTHLY or YEARLY; for several times a day add BYHOUR=0,6,12,18"
        )
    if "UNTIL" in parts and "COUNT" in parts:
        raise ScheduleError("give COUNT or UNTIL, not both")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not re.fullmatch(r"[1-9][0-9]{0,4}", parts[name]):
            raise ScheduleError(f"{name} is a whole number from 1 on")
    times = [parts.get(name, "").count(",") + 1 for name in ("BYHOUR", "BYMINUTE")]
    if times[0] * times[1] > _MOST_A_DAY:
        raise ScheduleError(f"it may begin at most {_MOST_A_DAY} times a day")
    until = None
    if "UNTIL" in parts:
        until = _moved(_until(parts.pop("UNTIL"), zone), cycles)
    try:
        read = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=begin)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
        raise ScheduleError(
            "it cannot be read; write it as RFC 5545 has it, such as FREQ=WEEKLY;BYDAY=SU"
        ) from None
    assert isinstance(read, rrule), "one rule and no set of them"
    return read if until is None else read.replace(until=until)


def _until(text: str, zone: ZoneInfo) -> datetime:
    """Return UNTIL as a local time; a date means all of that day."""
    found = _UNTIL.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        clock = (23, 59, 59)
        if found[4] is not None:
            clock = int(found[4]), int(found[5]), int(found[6])
        moment = datetime(int(found[1]), int(found[2]), int(found[3]), *clock, tzinfo=UTC)
        if found[7]:
            moment = moment.astimezone(zone)
    except (ValueError, OverflowError):
        raise ScheduleError(
            "UNTIL is a date such as 20271231, or a time such as 20271231T220000Z"
        ) from None
    return moment.replace(tzinfo=None)


def _unknown(name: str) -> str:
    name = name.partition(":")[0].strip()
    if name.startswith(("EXDATE", "RDATE", "EXRULE")):
        return f"{name} is not taken: only one RRULE is; make a second maintenance for exceptions"
    if name.startswith("DTSTART"):
        return "DTSTART is not taken: starts_at says when the rule begins"
    if name == "BYSECOND":
        return "BYSECOND is not taken: windows begin by the minute"
    return f"{name or 'an empty part'} is no part of an RRULE; write such as FREQ=WEEKLY;BYDAY=SU"


def _moved(moment: datetime, cycles: int) -> datetime:
    # An UNTIL in thousands of years is as good as the last year that there is.
    return moment.replace(year=min(moment.year + cycles * _CYCLE, _CALENDAR_ENDS))


def _moment(shown: datetime, zone: ZoneInfo) -> Millis:
    # fold=0: the first of two, and the offset before the gap, which moves it on by the gap.
    return (shown.replace(tzinfo=zone).astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _on_the_wall(at: Millis, zone: ZoneInfo) -> datetime:
    """Return what a clock of the zone shows, to the second."""
    shown = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    return shown.replace(microsecond=0, tzinfo=None)
