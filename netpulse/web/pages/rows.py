"""What lists show: monitors, incidents and notices as the templates take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netpulse.engine.live import monitor_event
from netpulse.model.alert import Cause, Event, Notice, NoticeStatus, Rule, Suppressed
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.maintenance import Window
from netpulse.model.monitor import type_of
from netpulse.model.time import DAY, SECOND, Millis, rfc3339
from netpulse.model.watch import Gap, Span, Status
from netpulse.rules import uptime
from netpulse.rules.days import Day, clipped, days, runs
from netpulse.storage import alert_rules, channels, maintenance_spans, monitors, quotas, spans
from netpulse.storage import runs as running
from netpulse.storage.db import Conn
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web.figures import duration, outages
from netpulse.web.house import House
from netpulse.web.languages import mark, plural, say

BAR_DAYS = 90
_GONE = mark("a deleted channel")

EVENTS = {
    Event.MONITOR_DOWN: mark("Down"),
    Event.MONITOR_UP: mark("Up again"),
    Event.MONITOR_DEGRADED: mark("Degraded"),
    Event.MONITOR_THRESHOLD: mark("Threshold"),
    Event.MONITOR_FLAPPING: mark("Flapping"),
    Event.CERTIFICATE_EXPIRING: mark("Certificate expires"),
    Event.INCIDENT_ACKNOWLEDGED: mark("Acknowledged"),
    Event.SYSTEM_ISOLATED: mark("NetPulse cannot watch"),
    Event.SYSTEM_RECOVERED: mark("NetPulse watches again"),
    Event.CHANNEL_DISABLED: mark("A channel was switched off"),
    Event.TEST: mark("Test"),
}

CAUSES = {
    Cause.CHANGE: None,
    Cause.RECOVERY: None,
    Cause.ESCALATION: mark("Escalated: nobody had acknowledged it."),
    Cause.REMINDER: mark("A reminder."),
    Cause.FALLBACK: mark("Told in place of another channel."),
    Cause.ACKNOWLEDGEMENT: None,
    Cause.SYSTEM: None,
}

HELD = {
    Suppressed.COOLDOWN: mark("The rule is still quiet after its last notice"),
    Suppressed.MAINTENANCE: mark("Maintenance is under way"),
    Suppressed.PARENT_DOWN: mark("It waits for the verdict about what it depends on"),
    Suppressed.QUIET_HOURS: mark("The rule has its quiet hours"),
    Suppressed.FLAPPING: mark("It changes too often"),
}
"""What a notice that is held back waits for the end of."""

REASONS = {
    Suppressed.COOLDOWN: mark("The rule was still quiet after the last notice."),
    Suppressed.MAINTENANCE: mark("Maintenance was under way."),
    Suppressed.PARENT_DOWN: mark("What it depends on was down."),
    Suppressed.QUIET_HOURS: mark("The rule's quiet hours."),
    Suppressed.FLAPPING: mark("It changed too often."),
    Suppressed.ACKNOWLEDGED: mark("Somebody had acknowledged it."),
    Suppressed.CHANNEL_INACTIVE: mark("The channel is switched off."),
    Suppressed.DUPLICATE: mark("Another rule told this channel already."),
    Suppressed.COLLAPSED: mark("One message told beginning and end."),
}


def monitor_rows(
    house: House, rows: list[MonitorRow], covered: set[Id], bars: dict[Id, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return monitors for a table; `bars` may be empty where none are shown."""
    shown = []
    for row in rows:
        monitor = row.monitor
        event = monitor_event(monitor, row.shown, house.engine.last_check(monitor.id))
        bar = bars.get(monitor.id)
        shown.append(
            event
            | {
                "name": monitor.spec.name,
                "type": type_of(monitor.spec),
                "target": monitor.spec.target,
                "group": monitor.spec.group,
                "tags": list(monitor.spec.tags),
                "damage": monitor.damage,
                "covered": monitor.id in covered or monitor.spec.is_paused,
                "bar": None if bar is None else bar["bar"],
                "uptime_percent": None if bar is None else bar["uptime_percent"],
            }
        )
    return shown


def bars(
    conn: Conn, org_id: Id, rows: list[tuple[Id, Millis]], now: Millis, *, in_words: bool = False
) -> dict[Id, dict[str, Any]]:
    """Return the 90-day bar and uptime of each (monitor id, created at), and if they are to be
    read `in_words` what each day was. Days before those that the organization may look back to are
    days without data."""
    shown_from = quotas.shown_from(conn, org_id, now)
    first = (now // DAY - BAR_DAYS + 1) * DAY
    gaps = running.gaps(conn, first, now)
    ids = [monitor_id for monitor_id, _ in rows]
    known_of = spans.of_some(conn, ids, max(first, shown_from), now)
    maintained_of = maintenance_spans.of_some(conn, ids, first, now)
    found: dict[Id, dict[str, Any]] = {}
    alike: dict[tuple[Span, Millis], dict[str, Any]] = {}
    for monitor_id, created_at in rows:
        known = clipped(known_of.get(monitor_id, ()), max(first, shown_from))
        maintained = maintained_of.get(monitor_id, ())
        begun = max(first, created_at, shown_from)
        if len(known) > 1 or maintained:
            found[monitor_id] = _bar(first, begun, known, gaps, now, maintained, in_words)
            continue
        # Most are in one state all the time, and so have the same bar.
        key = (known[0] if known else _NOTHING, begun)
        if key not in alike:
            alike[key] = _bar(first, begun, known, gaps, now, maintained, in_words)
        found[monitor_id] = alike[key]
    return found


_NOTHING = Span(at=0, status=Status.PENDING)


def _bar(
    first: Millis,
    begun: Millis,
    known: Sequence[Span],
    gaps: Sequence[Gap],
    now: Millis,
    maintained: Sequence[Window],
    in_words: bool,
) -> dict[str, Any]:
    named = days(first, BAR_DAYS, known, gaps, now, maintained)
    account = uptime.account(begun, now, known, gaps, now, maintained)
    return {
        "bar": {"days": BAR_DAYS, "runs": [list(run) for run in runs(named)]},
        "days": [{"text": day_text(day)} for day in named] if in_words else [],
        "uptime_percent": account.uptime_percent_time,
    }


_STATES = {
    "up": mark("up"),
    "maintenance": mark("maintenance"),
    "paused": mark("paused"),
    "unknown": mark("partly unwatched"),
    "none": mark("no data"),
}


def day_text(day: Day) -> str:
    """Return a day's story: "2026-11-23: down for 3 min (1 outage, UTC: 12:00 to 12:03)"."""
    date = rfc3339(day.start)[:10]
    if day.status == "down":
        down = say("down for %(duration)s", duration=duration(day.down_seconds))
        return f"{date}: {down}{_outages(day)}"
    if day.status == "degraded":
        degraded = say("degraded for %(duration)s", duration=duration(day.degraded_seconds))
        return f"{date}: {degraded}"
    return f"{date}: {say(_STATES[day.status])}"


def _outages(day: Day) -> str:
    """Return how many outages a day had, and when the first were, by the clock of its bars: UTC."""
    if not day.moments:
        return outages(day.outages)
    times = [
        say("from %(start)s on", start=_clock(start))
        if end is None
        else say("%(start)s to %(end)s", start=_clock(start), end=_clock(end))
        for start, end in day.moments
    ]
    if day.outages > len(times):
        times.append("…")
    counted = plural(day.outages, "%(num)s outage", "%(num)s outages")
    return f" ({counted}, UTC: {', '.join(times)})"


def _clock(at: Millis) -> str:
    return rfc3339(at)[11:16]


def incident_row(incident: Incident, now: Millis) -> dict[str, Any]:
    """Return an incident for a table."""
    end = now if incident.resolved_at is None else incident.resolved_at
    return {
        "id": incident.id,
        "title": incident.title,
        "status": incident.status.value,
        "started_at": rfc3339(incident.started_at),
        "resolved_at": None if incident.resolved_at is None else rfc3339(incident.resolved_at),
        "duration_seconds": max(0, end - incident.started_at) // SECOND,
        "reason": incident.reason,
        "acknowledged_by": incident.acknowledged_by,
    }


def is_system(rule: Rule) -> bool:
    """Tell whether a rule is about NetPulse itself and no monitor."""
    events = alert_rules.events(rule)
    return bool(events) and events <= {Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED}


def notice_rows(conn: Conn, org_id: Id, notices: list[Notice]) -> list[dict[str, Any]]:
    """Return notices for a table, with the names of what they are about."""
    about = [notice.monitor_id for notice in notices if notice.monitor_id is not None]
    names = monitors.names(conn, org_id, about)
    gone = say(_GONE)
    by_id: dict[Id, str] = {}
    for notice in notices:
        if notice.channel_id not in by_id:
            channel = channels.get(conn, org_id, notice.channel_id)
            by_id[notice.channel_id] = gone if channel is None else channel.name
    return [
        {
            "id": notice.id,
            "event_text": say(EVENTS[notice.event]),
            "monitor_name": names.get(notice.monitor_id or ""),
            "incident_id": notice.incident_id,
            "channel_name": by_id[notice.channel_id],
            "status": notice.status.value,
            "reason_text": _reason(notice),
            "held_until": rfc3339(notice.next_attempt_at)
            if notice.held_for in HELD
            and notice.reason is None
            and notice.next_attempt_at is not None
            else None,
            "error": notice.error,
            "created_at": rfc3339(notice.created_at),
            "sent_at": None if notice.sent_at is None else rfc3339(notice.sent_at),
            "next_attempt_at": None
            if notice.next_attempt_at is None
            else rfc3339(notice.next_attempt_at),
            "attempt_count": notice.attempt_count,
            "can_resend": notice.status in {NoticeStatus.FAILED, NoticeStatus.SUPPRESSED}
            and by_id[notice.channel_id] != gone,
        }
        for notice in notices
    ]


def _reason(notice: Notice) -> str | None:
    if notice.reason is not None:
        return say(REASONS[notice.reason])
    if notice.held_for in HELD and notice.next_attempt_at is not None:
        return say(HELD[notice.held_for])
    cause = CAUSES[notice.cause]
    return None if cause is None else say(cause)
