"""What the world is told: states, days and incidents in public words.

An automatic incident is told in the product's own words and the service's public name alone: its
title and story name errors and targets. What people write by hand is told as they wrote it, in an
automatic incident only where they said that it is for the public.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from netpulse.model.board import (
    BoardDay,
    BoardIncident,
    BoardService,
    BoardUpdate,
    PublicStatus,
)
from netpulse.model.ids import Id, public_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.maintenance import Window
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.rules import uptime
from netpulse.rules.days import Day

_STATES = {
    Status.UP: PublicStatus.OPERATIONAL,
    Status.DEGRADED: PublicStatus.DEGRADED,
    Status.DOWN: PublicStatus.OUTAGE,
    Status.MAINTENANCE: PublicStatus.MAINTENANCE,
}
_DAYS = {
    "up": PublicStatus.OPERATIONAL,
    "degraded": PublicStatus.DEGRADED,
    "down": PublicStatus.OUTAGE,
    "maintenance": PublicStatus.MAINTENANCE,
}
_WORST_FIRST = (
    PublicStatus.OUTAGE,
    PublicStatus.DEGRADED,
    PublicStatus.UNKNOWN,
    PublicStatus.MAINTENANCE,
)

_STATUS_TEXTS = {
    IncidentStatus.INVESTIGATING: "We are looking into it.",
    IncidentStatus.IDENTIFIED: "The cause is known.",
    IncidentStatus.MONITORING: "It should work again; we are watching whether it stays so.",
    IncidentStatus.RESOLVED: "Resolved.",
}


def status_of(shown: Status) -> PublicStatus:
    """Return the public word for the state of a monitor as people see it.

    Pending, paused and unknown ones are unknown: nobody vouches for them.
    """
    return _STATES.get(shown, PublicStatus.UNKNOWN)


def overall(
    services: Iterable[tuple[PublicStatus, bool]], incidents: Iterable[BoardIncident]
) -> PublicStatus:
    """Return the state of a whole page: that of its worst service or open manual incident.

    `services` are (state, counted): one that is paused or was never checked is not counted, unless
    there is no other; a page without a service that counts is unknown.
    """
    found = {status for status, counted in services if counted}
    if not found:
        found = {PublicStatus.UNKNOWN}
    for incident in incidents:
        if incident.is_manual and incident.resolved_at is None:
            said = _of_impact(incident)
            if said is not None:
                found.add(said)
    return next((each for each in _WORST_FIRST if each in found), PublicStatus.OPERATIONAL)


def _of_impact(incident: BoardIncident) -> PublicStatus | None:
    """Return what an open manual incident says of the whole; None: nothing."""
    if incident.impact is Impact.NONE:
        return None
    mended = incident.status is IncidentStatus.MONITORING
    if incident.impact is Impact.MINOR or mended:
        return PublicStatus.DEGRADED
    return PublicStatus.OUTAGE


def day_of(day: Day) -> BoardDay:
    """Return a monitor's day in public words."""
    return BoardDay(
        start=day.start,
        status=_DAYS.get(day.status, PublicStatus.UNKNOWN),
        known=day.status != "none",
        up_seconds=day.up_seconds,
        degraded_seconds=day.degraded_seconds,
        down_seconds=day.down_seconds,
        outages=day.outages,
    )


def uptime_of(days: Sequence[BoardDay]) -> float | None:
    """Return (up + degraded) / (up + degraded + down) of the days in percent; None without."""
    good = sum(day.up_seconds + day.degraded_seconds for day in days)
    return uptime.percent(good, good + sum(day.down_seconds for day in days))


def with_now(days: tuple[BoardDay, ...], status: PublicStatus) -> tuple[BoardDay, ...]:
    """Return a service's days so that the last one says what is so now: an outage that has just
    begun has not lasted a second."""
    if status is not PublicStatus.OUTAGE or not days or days[-1].status is status:
        return days
    return (*days[:-1], replace(days[-1], status=status, outages=max(days[-1].outages, 1)))


def runs(service: BoardService) -> list[tuple[str, int]]:
    """Return a service's days as runs of one state, under the words that bars are drawn by."""
    found: list[tuple[str, int]] = []
    for day in service.days:
        word = _BARS[day.status] if day.known else "none"
        if found and found[-1][0] == word:
            found[-1] = (word, found[-1][1] + 1)
        else:
            found.append((word, 1))
    return found


_BARS = {public: word for word, public in _DAYS.items()} | {PublicStatus.UNKNOWN: "unknown"}


def is_excused(incident: Incident, maintained: Sequence[Window], now: Millis) -> bool:
    """Tell whether an automatic incident lies in planned maintenance altogether: it was announced,
    and is no news. `maintained` are the monitor's stretches, none over another."""
    end = now if incident.resolved_at is None else incident.resolved_at
    return any(
        window.start <= incident.started_at and max(end, incident.started_at) <= window.end
        for window in maintained
    )


def incident_of(
    page_id: Id,
    incident: Incident,
    timeline: Sequence[TimelineEntry],
    names: Mapping[Id, str],
) -> BoardIncident:
    """Return an incident as a page tells it. `names` are the public names of the page's monitors
    by their ids; of the others that the incident has, nothing is said."""
    is_manual = incident.origin is Origin.MANUAL
    shown = [names[one] for one in incident.monitor_ids if one in names]
    about = shown[0] if shown else "A service"
    lines = [_line(entry, about, incident, is_manual=is_manual) for entry in timeline]
    updates = tuple(line for line in lines if line is not None)
    latest = incident.started_at if incident.resolved_at is None else incident.resolved_at
    return BoardIncident(
        id=public_id(page_id, incident.id),
        title=incident.title if is_manual else f"Outage of {about}",
        status=incident.status,
        impact=incident.impact,
        is_manual=is_manual,
        started_at=incident.started_at,
        resolved_at=incident.resolved_at,
        changed_at=max([latest, *(line.at for line in updates)]),
        services=tuple(public_id(page_id, one) for one in incident.monitor_ids if one in names),
        updates=updates,
    )


def _line(
    entry: TimelineEntry, about: str, incident: Incident, *, is_manual: bool
) -> BoardUpdate | None:
    """Return a line of the public story, or None for one that is not for the public."""
    if entry.kind == "opened":
        status = entry.status or incident.status
        text = entry.message if is_manual else f"{about} does not work as it should."
        is_said = is_manual and text != incident.title
        if is_manual and not is_said:  # nothing more was said
            text = _STATUS_TEXTS[status]
        return BoardUpdate(at=entry.at, status=status, text=text, is_ours=not is_said)
    if entry.kind == "resolved":
        return BoardUpdate(
            at=entry.at,
            status=IncidentStatus.RESOLVED,
            text=_end(incident.resolution, about),
            is_ours=True,
        )
    if entry.kind not in {"status", "update"}:
        return None
    text = entry.message if is_manual or entry.is_public else ""
    if not text and entry.status is None:
        return None
    return BoardUpdate(
        at=entry.at,
        status=entry.status,
        text=text or _STATUS_TEXTS[entry.status or incident.status],
        is_ours=not text,
    )


def _end(resolution: str | None, about: str) -> str:
    if resolution == "recovered":
        return f"{about} works again."
    if resolution in {"paused", "deleted"}:
        return f"{about} is not watched any more."
    return _STATUS_TEXTS[IncidentStatus.RESOLVED]
