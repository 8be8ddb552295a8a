"""The form of a maintenance: from texts to what the API takes, and from what is stored to texts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from netpulse.model.maintenance import Maintenance, Schedule
from netpulse.model.time import Millis, rfc3339
from netpulse.rules import maintenance as rules
from netpulse.rules.push import ScheduleError
from netpulse.web.errors import Problem, invalid
from netpulse.web.figures import duration
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms

LABELS = {
    "title": mark("Title"),
    "description": mark("Description"),
    "starts_at": mark("Begins"),
    "ends_at": mark("Ends"),
    "timezone": mark("Time zone"),
    "duration_minutes": mark("Lasts"),
    "rrule": "RRULE",
    "cron": mark("Crontab"),
    "monitor_ids": mark("Monitors"),
    "tags": mark("Tags"),
}
BOXES = ("is_public",)
PREVIEWED = 5
"""Windows that are shown before it is saved."""
WEEKDAYS = (
    ("MO", mark("Monday")),
    ("TU", mark("Tuesday")),
    ("WE", mark("Wednesday")),
    ("TH", mark("Thursday")),
    ("FR", mark("Friday")),
    ("SA", mark("Saturday")),
    ("SU", mark("Sunday")),
)
MONTHLY = (
    ("day", mark("the same day of the month")),
    ("1", mark("the first such weekday")),
    ("2", mark("the second such weekday")),
    ("3", mark("the third such weekday")),
    ("4", mark("the fourth such weekday")),
    ("-1", mark("the last such weekday")),
)
_WEEKLY = re.compile(r"FREQ=WEEKLY;BYDAY=((?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:MO|TU|WE|TH|FR|SA|SU))*)")


def values(form: forms.Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/maintenance."""
    zone = form.text("timezone")
    repeat = form.text("repeat")
    found: dict[str, Any] = {
        "title": form.text("title"),
        "description": form.text("description"),
        "is_public": form.checked("is_public"),
        "timezone": zone,
        "starts_at": _moment(form.text("starts_at"), zone),
    }
    if repeat == "once":
        found["ends_at"] = _moment(form.text("ends_at"), zone) or None
    else:
        found["duration_minutes"] = form.number("duration_minutes")
        found["cron" if repeat == "cron" else "rrule"] = _rule(form, repeat)
    scope = form.text("scope")
    if scope == "all":
        found["all"] = True
    elif scope == "tags":
        found["tags"] = [one.strip() for one in form.text("tags").split(",") if one.strip()]
        if not found["tags"]:
            raise invalid([Problem("$.tags", mark("name at least one"))])
    else:
        found["monitor_ids"] = form.every("monitor_ids")
        if not found["monitor_ids"]:
            raise invalid([Problem("$.monitor_ids", mark("choose at least one"))])
    return found


def _moment(text: str, zone: str) -> str:
    """Return a time of a datetime-local field as RFC 3339; what is none stays as it is, for the
    API to refuse. (A zone that there is not is refused too; then UTC does.)"""
    try:
        shown = datetime.fromisoformat(text)
    except ValueError:
        return text or "(empty)"
    if shown.tzinfo is not None:
        return text
    try:
        return rfc3339(rules.moment_of(shown, zone))
    except (ScheduleError, OverflowError):
        return f"{shown.isoformat(timespec='seconds')}Z"


def _rule(form: forms.Form, repeat: str) -> str:
    if repeat in {"rrule", "cron"}:
        if not form.text(repeat):
            raise invalid([Problem(f"$.{repeat}", mark("is empty; write when it comes"))])
        return form.text(repeat)
    if repeat == "daily":
        return "FREQ=DAILY"
    try:
        begin = datetime.fromisoformat(form.text("starts_at"))
    except ValueError:
        return f"FREQ={repeat.upper()}"
    weekday = WEEKDAYS[begin.weekday()][0]
    if repeat == "weekly":
        sent = form.every("weekday")
        days = [day for day, _ in WEEKDAYS if day in sent] or [weekday]
        return f"FREQ=WEEKLY;BYDAY={','.join(days)}"
    which = form.text("monthly")
    if which in {value for value, _ in MONTHLY} - {"day"}:
        return f"FREQ=MONTHLY;BYDAY={which}{weekday}"
    return f"FREQ=MONTHLY;BYMONTHDAY={begin.day}"


def entered(item: Maintenance) -> dict[str, Any]:
    """Return what is stored as the form's fields have it."""
    schedule = item.schedule
    repeat = "once"
    if schedule.cron is not None:
        repeat = "cron"
    elif schedule.rrule is not None:
        repeat = "daily" if schedule.rrule == "FREQ=DAILY" else "rrule"
        if _WEEKLY.fullmatch(schedule.rrule):
            repeat = "weekly"
    coverage = item.coverage
    zone = schedule.timezone
    ends_at = schedule.ends_at
    return {
        "title": item.title,
        "description": item.description,
        "scope": "all" if coverage.all else "tags" if coverage.tags else "monitors",
        "tags": ", ".join(coverage.tags),
        "is_public": item.is_public,
        "repeat": repeat,
        "timezone": zone,
        "starts_at": local(schedule.starts_at, zone),
        "ends_at": "" if ends_at is None else local(ends_at, zone),
        "duration_minutes": str(schedule.duration_minutes or ""),
        "rrule": schedule.rrule or "",
        "cron": schedule.cron or "",
        "monthly": "day",
    }


def local(at: Millis, zone: str) -> str:
    """Return a moment as a datetime-local field shows it."""
    try:
        shown = rules.on_the_wall(at, zone)
    except ScheduleError:
        shown = rules.on_the_wall(at, "UTC")
    return shown.isoformat(timespec="seconds" if shown.second else "minutes")


def weekdays(schedule: Schedule) -> frozenset[str]:
    """Return the days (MO to SU) on which a weekly one comes; none where it is not weekly."""
    found = _WEEKLY.fullmatch(schedule.rrule or "")
    return frozenset() if found is None else frozenset(found[1].split(","))


def windows(
    schedule: Schedule, now: Millis, ended_through: Millis | None = None
) -> list[dict[str, str]]:
    """Return the next windows, also as the clocks of their zone show them."""
    try:
        return [
            {
                "local": f"{rules.on_the_wall(window.start, schedule.timezone):%A, %Y-%m-%d %H:%M}"
                f" {schedule.timezone}",
                "start": rfc3339(window.start),
                "end": rfc3339(window.end),
            }
            for window in rules.windows(schedule, now, PREVIEWED, ended_through)
        ]
    except ScheduleError:
        return []


def repeats(schedule: Schedule) -> str | None:
    """Return in words how a recurring one comes again; None for one that is once."""
    if schedule.duration_minutes is None:
        return None
    weekly = _WEEKLY.fullmatch(schedule.rrule or "")
    if weekly is not None:
        labels = {value: say(label) for value, label in WEEKDAYS}
        often = say("every %(days)s", days=", ".join(labels[day] for day in weekly[1].split(",")))
    elif schedule.rrule == "FREQ=DAILY":
        often = say("every day")
    else:
        often = schedule.rrule or schedule.cron or ""
    if schedule.cron is None and "BYHOUR" not in (schedule.rrule or ""):
        time = local(schedule.starts_at, schedule.timezone)[11:16]
        often = say("%(often)s at %(time)s", often=often, time=time)
    return say(
        "%(often)s (%(zone)s), for %(duration)s",
        often=often,
        zone=schedule.timezone,
        duration=duration(schedule.duration_minutes * 60),
    )
