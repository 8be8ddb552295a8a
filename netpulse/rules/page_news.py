"""What the subscribers of a status page are told, and when.

What happens within half a minute is told at once, in one message: a storm is one piece of news.
After it the page keeps silent for two minutes, and for twice as long with every further message of
the same row, up to half an hour. What people wrote waits for two minutes at the most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netpulse.model.board import BoardAnnouncement, BoardIncident, BoardMaintenance
from netpulse.model.ids import Id
from netpulse.model.incident import IncidentStatus, TimelineEntry
from netpulse.model.page_news import NewsEvent, NewsItem
from netpulse.model.time import MINUTE, SECOND, Millis

GATHER: Millis = 30 * SECOND
LEAST_SILENCE: Millis = 2 * MINUTE
LONGEST_SILENCE: Millis = 30 * MINUTE


def silence(row_length: int) -> Millis:
    """Return how long a page keeps silent after so many messages in a row."""
    return min(LEAST_SILENCE << min(max(row_length - 1, 0), 16), LONGEST_SILENCE)


def opens_at(
    seen_at: Millis, told_at: Millis | None, row_length: int, *, by_people: bool
) -> Millis:
    """Return when news may be told.

    Args:
        seen_at: when the first of them was seen.
        told_at: when the page told something last; None: never.
        row_length: how many messages in a row that was.
        by_people: somebody wrote some of them.
    """
    ready = seen_at + GATHER
    if told_at is None or told_at > seen_at:  # the latter: the clock was set back
        return ready
    return max(ready, told_at + (LEAST_SILENCE if by_people else silence(row_length)))


def row_after(told_at: Millis | None, row_length: int, now: Millis) -> int:
    """Return how many messages in a row the one of this moment makes."""
    if told_at is None or not 0 <= now - told_at < 2 * silence(row_length):
        return 1
    return row_length + 1


def of_incident(
    incident: BoardIncident, entries: Sequence[TimelineEntry], names: Mapping[Id, str]
) -> NewsItem | None:
    """Return what is new of an incident, or None where nothing is for the public.

    Args:
        incident: as the page tells it, with the new lines alone.
        entries: the new steps of its story that these lines were made of.
        names: what services are called, by the page's own ids.
    """
    if not incident.updates:
        return None
    kinds = {entry.kind for entry in entries}
    event = NewsEvent.INCIDENT_UPDATED
    if "opened" in kinds:
        event = NewsEvent.INCIDENT_OPENED
    if incident.resolved_at is not None and _ends(entries):
        event = NewsEvent.INCIDENT_RESOLVED
    return NewsItem(
        event=event,
        id=incident.id,
        title=incident.title,
        status=incident.status,
        impact=incident.impact,
        services=tuple(names[one] for one in incident.services if one in names),
        starts_at=incident.started_at,
        ends_at=incident.resolved_at,
        updates=incident.updates,
        by_people=incident.is_manual or any(entry.is_public for entry in entries),
    )


def _ends(entries: Sequence[TimelineEntry]) -> bool:
    return any(
        entry.kind == "resolved" or entry.status is IncidentStatus.RESOLVED for entry in entries
    )


def of_maintenance(plan: BoardMaintenance, names: Mapping[Id, str]) -> NewsItem:
    """Return a planned maintenance as news."""
    return NewsItem(
        event=NewsEvent.MAINTENANCE_PLANNED,
        id=plan.id,
        title=plan.title,
        services=tuple(names[one] for one in plan.services if one in names),
        starts_at=plan.starts_at,
        ends_at=plan.ends_at,
        repeats=plan.repeats,
        text=plan.text,
        by_people=True,
    )


def of_announcement(item: BoardAnnouncement) -> NewsItem:
    """Return an announcement as news."""
    return NewsItem(
        event=NewsEvent.ANNOUNCEMENT,
        id=item.id,
        title=item.title,
        starts_at=item.at,
        text=item.text,
        by_people=True,
    )


def merged(items: Sequence[NewsItem]) -> tuple[NewsItem, ...]:
    """Return the items of several issues as those of one: of each thing one, with all its lines."""
    found: dict[Id, NewsItem] = {}
    for item in items:
        before = found.pop(item.id, None)
        found[item.id] = item if before is None else _joined(before, item)
    return tuple(found.values())


def _joined(before: NewsItem, after: NewsItem) -> NewsItem:
    event = after.event
    if before.event is NewsEvent.INCIDENT_OPENED and event is NewsEvent.INCIDENT_UPDATED:
        event = before.event
    return NewsItem(
        event=event,
        id=after.id,
        title=after.title,
        status=after.status,
        impact=after.impact,
        services=after.services,
        starts_at=after.starts_at,
        ends_at=after.ends_at,
        repeats=after.repeats,
        text=after.text,
        updates=(*before.updates, *after.updates),
        by_people=before.by_people or after.by_people,
    )
