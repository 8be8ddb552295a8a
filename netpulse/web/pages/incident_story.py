"""An incident's story as its page shows it: every step, who was told, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from netpulse.model.alert import Considered, Notice, NoticeStatus, Suppressed
from netpulse.model.check import Check, Result
from netpulse.model.ids import Id
from netpulse.model.incident import Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.time import SECOND, Millis, rfc3339
from netpulse.rules import targets
from netpulse.storage import (
    channels,
    considered,
    delivery_log,
    incident_story,
    incidents,
    monitors,
    notices,
)
from netpulse.storage.considered import Change
from netpulse.storage.db import Conn
from netpulse.storage.raw import Raw
from netpulse.web.figures import duration, ms
from netpulse.web.languages import mark, say
from netpulse.web.pages.rows import REASONS, notice_rows

MOST_CHECKS = 6
"""Failing checks of a monitor that the story names; all of them are on the monitor's own page."""

_RESOLUTIONS = {
    "recovered": mark("The monitor recovered."),
    "paused": mark("The monitor was paused."),
    "deleted": mark("The monitor was deleted."),
    "organization_deleted": mark("The organization was deleted."),
    "manual": mark("Somebody resolved it."),
}
_SILENT = {
    "opened": mark("Incident opened."),
    "resolved": mark("Resolved."),
    "status": mark("Status changed."),
}
_CHANGED = mark("Changed.")
_RESULTS = {
    Result.UP: mark("up"),
    Result.DEGRADED: mark("degraded"),
    Result.DOWN: mark("down"),
    Result.INCONCLUSIVE: mark("inconclusive"),
}

_VERDICTS = {
    "told": mark("Told"),
    "held": mark("Held back"),
    "suppressed": mark("Not told"),
    "later": mark("Speaks later, unless acknowledged or over"),
    "not_asked": mark("Did not ask for this"),
    "inactive": mark("Switched off"),
}

_OUTCOMES = {
    NoticeStatus.PENDING: mark("Not taken yet"),
    NoticeStatus.FAILED: mark("Could not be told"),
    NoticeStatus.SUPPRESSED: mark("Not told"),
}
"""What became of a notice that a rule had written, where it was not sent."""


class Story(Struct, frozen=True):
    """What the database has of an incident."""

    incident: Incident
    timeline: list[TimelineEntry]
    monitors: list[dict[str, Any]]
    keys: dict[Id, int]
    """Of the monitors that still exist: where their checks are kept."""
    notices: list[dict[str, Any]]
    written: dict[tuple[Id | None, Id, Millis], Notice]
    """By rule, channel and time."""
    changes: list[Change]
    channel_names: dict[Id, str]


def read(conn: Conn, org_id: Id, incident_id: Id, *, for_admin: bool) -> Story | None:
    """Return the organization's incident with all that belongs to it, or None."""
    incident = incidents.get(conn, org_id, incident_id)
    if incident is None:
        return None
    about, keys = [], {}
    names = monitors.names(conn, org_id, incident.monitor_ids)
    for monitor_id in incident.monitor_ids:
        row = monitors.get_row(conn, org_id, monitor_id)
        if row is not None:
            keys[monitor_id] = row.monitor.key
        about.append(
            {
                "id": monitor_id,
                "name": names.get(monitor_id, say("a deleted monitor")),
                "target": "" if row is None else targets.shown(row.monitor.spec.target),
                "status": "unknown" if row is None else row.shown.status.value,
                "deleted": row is None,
            }
        )
    told = notices.for_incident(conn, incident_id)
    attempts = delivery_log.attempts(conn, [notice.id for notice in told])
    rows = notice_rows(conn, org_id, told)
    for row_ in rows:
        row_["attempts"] = [
            {
                "at": rfc3339(attempt.at),
                "ok": attempt.ok,
                "answer": attempt.answer if for_admin else None,
                "status_code": attempt.status_code,
                "latency_ms": attempt.latency_ms,
            }
            for attempt in attempts.get(row_["id"], ())
        ]
    changes = considered.of_incident(conn, incident_id)
    return Story(
        incident=incident,
        timeline=incident_story.timeline(conn, incident_id),
        monitors=about,
        keys=keys,
        notices=rows,
        written={(one.rule_id, one.channel_id, one.created_at): one for one in told},
        changes=changes,
        channel_names=_channel_names(conn, org_id, changes),
    )


def _channel_names(conn: Conn, org_id: Id, changes: Sequence[Change]) -> dict[Id, str]:
    found: dict[Id, str] = {}
    for channel_id in {rule.channel_id for change in changes for rule in change.rules}:
        channel = channels.get(conn, org_id, channel_id)
        found[channel_id] = say("a deleted channel") if channel is None else channel.name
    return found


async def checks(raw: Raw, story: Story, now: Millis) -> list[dict[str, Any]]:
    """Return entries for the checks that the incident began with, and for the one that ended it."""
    incident = story.incident
    confirmed = next((one.at for one in story.timeline if one.kind == "confirmed"), now)
    found = []
    for monitor_id, key in story.keys.items():
        name = next(one["name"] for one in story.monitors if one["id"] == monitor_id)
        # A check is kept by its slot, which it may have begun some seconds after.
        early = await raw.range(
            key,
            incident.started_at - 60 * SECOND,
            confirmed + SECOND,
            limit=200,
            newest_first=False,
        )
        failing = [
            check
            for check in early
            if check.started_at >= incident.started_at and check.result is not Result.UP
        ]
        found += [_check(check, name) for check in failing[:MOST_CHECKS]]
        if incident.resolved_at is None or incident.resolution != "recovered":
            continue
        late = await raw.range(
            key,
            incident.resolved_at - 60 * SECOND,
            incident.resolved_at + SECOND,
            limit=50,
        )
        found += [
            _check(check, name) for check in late if check.started_at == incident.resolved_at
        ][:1]
    return found


def _check(check: Check, name: str) -> dict[str, Any]:
    found = say(_RESULTS[check.result])
    if check.response_time_ms is not None:
        time = ms(check.response_time_ms)
        found = say("%(result)s in %(time)s", result=found, time=time)
    text = (
        say("Check of %(name)s: %(result)s", name=name, result=found)
        if check.counted
        else say("Check of %(name)s, by hand: %(result)s", name=name, result=found)
    )
    return {
        "kind": "check",
        "at": rfc3339(check.started_at),
        "text": text,
        "detail": check.message,
        "status": None,
        "author": None,
        "is_public": False,
    }


def timeline(story: Story, checked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every step in the order of time; a check comes before what was made of it."""
    steps = checked + [_entry(entry) for entry in story.timeline]
    return sorted(steps, key=lambda step: step["at"])


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "at": rfc3339(entry.at),
        "text": entry.message or say(_SILENT.get(entry.kind, _CHANGED)),
        "detail": None,
        "status": None if entry.status is None else entry.status.value,
        "author": entry.author,
        "is_public": entry.is_public,
    }


WIDE = 1_000
"""How wide the picture of an incident is, whatever its length."""
_MARKED = frozenset({"confirmed", "notice", "acknowledged", "status", "update", "root_cause"})


def picture(story: Story, now: Millis) -> dict[str, Any]:
    """Return the incident as a strip of time: {stretches: [{x, width, status}], marks: [{x, kind,
    text}], figures: [{label, after (text) or None}]}. x goes from 0, its beginning, to WIDE, its
    end or now."""
    incident = story.incident
    end = now if incident.resolved_at is None else incident.resolved_at
    length = max(1, end - incident.started_at)

    def x(at: Millis) -> int:
        return max(0, min(WIDE, WIDE * (at - incident.started_at) // length))

    def after(at: Millis | None) -> str | None:
        return None if at is None else duration(max(0, at - incident.started_at) // SECOND)

    within = [entry for entry in story.timeline if entry.at <= end]
    turns = [(x(entry.at), entry.status) for entry in within if entry.status is not None]
    turns = [(0, IncidentStatus.INVESTIGATING), *turns]
    stretches = [
        {"x": left, "width": right - left, "status": status.value}
        for (left, status), right in zip(turns, [at for at, _ in turns[1:]] + [WIDE], strict=True)
        if right > left
    ]
    marks = [
        {
            "x": x(entry.at),
            "kind": entry.kind,
            "text": say(
                "after %(time)s: %(what)s",
                time=after(entry.at) or "",
                what=entry.message or say(_SILENT.get(entry.kind, _CHANGED)),
            ),
        }
        for entry in within
        if entry.kind in _MARKED
    ]
    certain = next((one.at for one in story.timeline if one.kind == "confirmed"), None)
    told = [one.sent_at for one in story.written.values() if one.sent_at is not None]
    figures = [
        {"label": say("Acknowledged after"), "after": after(incident.acknowledged_at)},
        {"label": say("Over after"), "after": after(incident.resolved_at)},
    ]
    if story.written:
        first = after(min(told, default=None))
        figures.insert(0, {"label": say("First told after"), "after": first})
    if incident.origin is Origin.CHECK:
        figures.insert(0, {"label": say("Certain after"), "after": after(certain)})
    return {"stretches": stretches, "marks": marks, "figures": figures}


def resolution_text(incident: Incident) -> str | None:
    """Return how it ended, in a sentence."""
    told = _RESOLUTIONS.get(incident.resolution or "")
    return None if told is None else say(told)


def why(story: Story) -> list[dict[str, Any]]:
    """Return what every rule made of every change: the answer to "why was I (not) told?"."""
    return [
        {
            "at": rfc3339(change.at),
            "before": change.before.value,
            "after": change.after.value,
            "rules": [
                {
                    "id": rule.rule_id,
                    "name": rule.rule_name,
                    "channel_name": story.channel_names[rule.channel_id],
                    "verdict": rule.verdict,
                    **_made_of_it(story, change, rule),
                    "until": None if rule.until is None else rfc3339(rule.until),
                }
                for rule in change.rules
            ],
        }
        for change in story.changes
    ]


def _made_of_it(story: Story, change: Change, rule: Considered) -> dict[str, str | None]:
    """Return the verdict in words; of a rule that spoke, what became of what it said."""
    words = {
        "verdict_text": say(_VERDICTS.get(rule.verdict, rule.verdict)),
        "reason_text": _reason(rule),
    }
    notice = story.written.get((rule.rule_id, rule.channel_id, change.at))
    if rule.verdict != "told" or notice is None or notice.status not in _OUTCOMES:
        return words
    why_not = notice.error if notice.reason is None else say(REASONS[notice.reason])
    return {"verdict_text": say(_OUTCOMES[notice.status]), "reason_text": why_not}


def _reason(rule: Considered) -> str | None:
    if rule.reason is None:
        return None
    known = rule.reason in set(Suppressed)
    return say(REASONS[Suppressed(rule.reason)]) if known else rule.reason
