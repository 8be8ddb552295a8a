"""What people read: a notice's payload in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from netpulse.model.alert import Cause, Event
from netpulse.model.time import MINUTE, SECOND, Millis, parse_rfc3339
from netpulse.rules import templates
from netpulse.rules.durations import lasted

LATE_SECONDS = 60
"""A message that comes later than this after its notice says so."""
LISTED = 20
"""How many notices a digest lists; of the others it gives the number."""
LONGEST_NAME = 200

_CAUSES = {
    Cause.ESCALATION: "Nobody has acknowledged it yet.",
    Cause.FALLBACK: "Told here because another channel could not deliver it.",
}

Level = Literal["problem", "warning", "recovery", "info"]


class Words(Struct, frozen=True, kw_only=True):
    """A message for people, before a channel gives it a form. Control characters are out."""

    title: str
    """One line."""
    lines: tuple[str, ...] = ()
    """The reason, since when, the target …: one line each."""
    page_url: str | None = None
    """Where to read on."""
    acknowledge_url: str | None = None
    """Where to say that somebody is at it."""
    level: Level = "info"

    @property
    def links(self) -> tuple[str, ...]:
        """The links that no line has yet, a line each."""
        known = "\n".join(self.lines)
        both = (("Details", self.page_url), ("Acknowledge", self.acknowledge_url))
        return tuple(f"{what}: {url}" for what, url in both if url and url not in known)

    @property
    def body(self) -> str:
        """The lines, then the links."""
        return "\n".join((*self.lines, *self.links))

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.title}\n{self.body}" if self.body else self.title


def compose(
    payload: bytes,
    *,
    template: str | None,
    cause: Cause,
    created_at: Millis,
    now: Millis,
    zone: str,
    page_url: str | None,
    acknowledge_url: str | None,
) -> Words:
    """Return what a notice says.

    Args:
        payload: the JSON of `alerting.payload`.
        template: the rule's own text, in place of the usual lines; the title stays.
        cause: why it was written: a reminder speaks otherwise than a change.
        created_at: when it was written, or when it fell due.
        now: the moment of sending; from a minute on, the message says how late it is.
        zone: the organization's time zone (IANA).
        page_url: where to read on.
        acknowledge_url: where to acknowledge.
    """
    told = _Told(msgspec.json.decode(payload), cause, zone)
    late = _lateness(created_at, now)
    if template is None:
        lines = told.lines()
    else:
        values = told.values(page_url, acknowledge_url, now)
        lines = tuple(_visible(line) for line in templates.fill(template, values).splitlines())
    return Words(
        title=told.title(),
        lines=(*lines, late) if late else lines,
        page_url=page_url,
        acknowledge_url=acknowledge_url if told.level == "problem" else None,
        level=told.level,
    )


def digest(items: Sequence[Words], *, page_url: str | None) -> Words:
    """Return one message for many: how many of what, and the list, cut after 20."""
    down = sum(item.level == "problem" for item in items)
    warned = sum(item.level == "warning" for item in items)
    up = sum(item.level == "recovery" for item in items)
    rest = len(items) - down - warned - up
    parts = [
        f"{down} monitor{'s' * (down != 1)} down" if down else "",
        f"{warned} warning{'s' * (warned != 1)}" if warned else "",
        f"{up} up again" if up else "",
        f"{rest} other notice{'s' * (rest != 1)}" if rest else "",
    ]
    title = ", ".join(part for part in parts if part) or "No news"
    lines = [f"- {item.title}" for item in items[:LISTED]]
    if len(items) > LISTED:
        lines.append(f"and {len(items) - LISTED:,} more")
    level: Level = "info"
    for candidate in ("problem", "warning", "recovery"):
        if any(item.level == candidate for item in items):
            level = candidate
            break
    return Words(title=title, lines=tuple(lines), page_url=page_url, level=level)


class _Told:
    """A payload taken apart."""

    def __init__(self, payload: dict[str, Any], cause: Cause, zone: str) -> None:
        monitor = payload.get("monitor") or {}
        incident = payload.get("incident") or {}
        self.event = str(payload.get("event") or "")
        self.cause = cause
        self.zone = zone
        self.name = one_line(monitor.get("name"))
        self.target = one_line(monitor.get("target"), 500)
        self.type = one_line(monitor.get("type"))
        self.organization = one_line((payload.get("org") or {}).get("name"))
        self.reason = one_line(payload.get("reason"), 2000)
        self.at = parse_rfc3339(payload["timestamp"])
        started = incident.get("started_at")
        self.since = None if started is None else parse_rfc3339(started)
        seconds = incident.get("duration_seconds")
        self.duration = None if seconds is None else lasted(int(seconds) * SECOND)
        self.level = self._level()

    def _level(self) -> Level:
        if self.cause is Cause.RECOVERY or self.event in {
            Event.MONITOR_UP,
            Event.SYSTEM_RECOVERED,
        }:
            return "recovery"
        if self.event == Event.MONITOR_DOWN:
            return "problem"
        if self.event in {Event.INCIDENT_ACKNOWLEDGED, Event.TEST}:
            return "info"
        return "warning"

    def title(self) -> str:
        monitor = self.name or "a monitor"
        where = f"{monitor} ({self.target})" if self.target else monitor
        event = self.event
        if event == Event.MONITOR_DOWN:
            if self.cause is Cause.REMINDER:
                return f"Still down: {where}"
            return f"Down: {where}"
        if event == Event.MONITOR_UP:
            if self.duration is None:
                return f"Up again: {monitor}"
            return f"Up again: {monitor}, it was down for {self.duration}"
        fixed = {
            Event.MONITOR_DEGRADED: f"Degraded: {where}",
            Event.MONITOR_THRESHOLD: f"Over its threshold: {where}",
            Event.MONITOR_FLAPPING: f"Flapping: {where}",
            Event.CERTIFICATE_EXPIRING: f"Certificate: {where}",
            Event.INCIDENT_ACKNOWLEDGED: f"Acknowledged: {monitor}",
            Event.SYSTEM_ISOLATED: "NetPulse cannot watch: its own network is away",
            Event.SYSTEM_RECOVERED: "NetPulse watches again",
            Event.CHANNEL_DISABLED: "An alert channel was switched off",
            Event.TEST: "Test from NetPulse",
        }
        if self.cause is Cause.RECOVERY:
            return f"Back to normal: {where}"
        return fixed.get(Event(event), f"{event}: {where}") if event in set(Event) else event

    def lines(self) -> tuple[str, ...]:
        """The usual lines."""
        found = [self.reason] if self.reason else []
        if self.since is not None:
            since = moment(self.since, self.zone)
            if self.level == "recovery":
                found.append(f"Down from {since} to {moment(self.at, self.zone)}")
            elif self.duration and self.duration != "0 s":
                found.append(f"Since {since}, for {self.duration}")
            else:
                found.append(f"Since {since}")
        else:
            found.append(f"At {moment(self.at, self.zone)}")
        extra = _CAUSES.get(self.cause)
        if extra is not None:
            found.append(extra)
        if self.organization:
            found.append(f"Organization: {self.organization}")
        return tuple(found)

    def values(
        self, page_url: str | None, acknowledge_url: str | None, now: Millis
    ) -> dict[str, str]:
        """What the placeholders stand for."""
        return {
            "monitor": self.name,
            "target": self.target,
            "type": self.type,
            "event": self.event,
            "reason": self.reason,
            "since": moment(self.since if self.since is not None else self.at, self.zone),
            "duration": self.duration or "0 s",
            "organization": self.organization,
            "incident_url": page_url or "",
            "acknowledge_url": acknowledge_url or "",
            "time": moment(now, self.zone),
        }


def moment(at: Millis, zone: str) -> str:
    """Return a moment by the clock of `zone`, and in UTC where that is another clock."""
    utc = datetime.fromtimestamp(at // SECOND, UTC)
    there = utc.astimezone(_zone(zone))
    if there.utcoffset() == utc.utcoffset():
        return f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    same_day = there.date() == utc.date()
    in_utc = f"{utc:%H:%M:%S}" if same_day else f"{utc:%Y-%m-%d %H:%M:%S}"
    return f"{there:%Y-%m-%d %H:%M:%S %Z} ({in_utc} UTC)"


def one_line(value: object, longest: int = LONGEST_NAME) -> str:
    """Return a foreign text as one line without control or direction-changing characters."""
    text = "" if value is None else str(value)
    line = " ".join(_visible(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _visible(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A zone that this machine's tables do not have (any more): the message still goes out.
        return ZoneInfo("UTC")


def _lateness(created_at: Millis, now: Millis) -> str | None:
    late = now - created_at
    if late < LATE_SECONDS * SECOND:
        return None
    return f"This message was delayed {lasted(late // MINUTE * MINUTE)}."
