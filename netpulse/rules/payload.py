"""What a notice says: the JSON of a webhook, and the sentences it carries."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from netpulse.model.alert import Event
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.monitor import Monitor, type_of
from netpulse.model.org import Org
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis, rfc3339
from netpulse.model.watch import Flip
from netpulse.rules import flapping, targets


def payload(
    notice_id: Id,
    event: Event,
    org: Org,
    *,
    at: Millis,
    monitor: Monitor | None = None,
    incident: Incident | None = None,
    reason: str | None = None,
) -> Raw:
    """Return the JSON that a webhook's receiver gets; `at` is the moment it was decided.

    `duration_seconds` of an incident is the whole outage once it is resolved, else the time from
    its first failing check to `at`. The target is shown without user names and passwords.
    """
    body = {
        "id": notice_id,
        "event": event.value,
        "monitor": None if monitor is None else _monitor(monitor),
        "incident": None if incident is None else _incident(incident, at),
        "org": {"id": org.id, "name": org.name},
        "reason": reason,
        "timestamp": rfc3339(at),
    }
    return Raw(msgspec.json.encode(body))


def reason_of(flip: Flip, event: Event, incident: Incident | None) -> str | None:
    """Return the sentence a notice carries: why it is so, or for a recovery why it had not been."""
    if event is Event.MONITOR_UP:
        return None if incident is None else incident.reason
    if event is Event.MONITOR_FLAPPING:
        window = flapping.WINDOW // MINUTE
        return f"changed more than {flapping.MOST} times in {window} min; {flip.after.value} now"
    return None if flip.check is None else flip.check.message


def nobody_answered(incident: Incident, now: Millis) -> str:
    """Return the sentence of an escalation."""
    return _with(
        f"nobody has acknowledged this for {lasting(now - incident.started_at)}", incident.reason
    )


def goes_on(incident: Incident, now: Millis) -> str:
    """Return the sentence of a reminder."""
    return _with(f"still down for {lasting(now - incident.started_at)}", incident.reason)


def through_maintenance(notice: Raw, since: Millis) -> Raw:
    """Return the payload of a notice that was held for a maintenance which is over now, saying so;
    `since` is when what it tells of began."""
    body = msgspec.json.decode(notice)
    told = f"since {rfc3339(since // SECOND * SECOND)}, through the maintenance that is over now"
    body["reason"] = f"{body['reason']} ({told})" if body.get("reason") else told
    return Raw(msgspec.json.encode(body))


def lasting(milliseconds: int) -> str:
    """Return a duration in words, in its two largest units that are not zero."""
    for unit, word, part, small in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", SECOND, "s"),
    ):
        if milliseconds >= unit:
            rest = milliseconds % unit // part
            return f"{milliseconds // unit} {word}" + (f" {rest} {small}" if rest else "")
    return f"{max(0, milliseconds) // SECOND} s"


def _with(words: str, reason: str | None) -> str:
    return f"{words}: {reason}" if reason else words


def _monitor(monitor: Monitor) -> dict[str, str]:
    spec = monitor.spec
    return {
        "id": monitor.id,
        "name": spec.name,
        "type": type_of(spec),
        "target": targets.shown(spec.target),
    }


def _incident(incident: Incident, at: Millis) -> dict[str, str | int]:
    end = at if incident.resolved_at is None else incident.resolved_at
    return {
        "id": incident.id,
        "started_at": rfc3339(incident.started_at),
        "duration_seconds": max(0, end - incident.started_at) // SECOND,
    }
