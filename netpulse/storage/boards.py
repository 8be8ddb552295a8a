"""The board of a status page, read in one state of the main file.

A day that is over seldom changes, and there are 89 of them for each service: whoever reads boards
hands the last one's days back in (`Kept`), and only today and what changed is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from netpulse.model.board import (
    Board,
    BoardAnnouncement,
    BoardDay,
    BoardGroup,
    BoardIncident,
    BoardMaintenance,
    BoardService,
)
from netpulse.model.check import LOCAL
from netpulse.model.ids import Id, public_id
from netpulse.model.incident import Incident, Origin
from netpulse.model.maintenance import Schedule
from netpulse.model.status_page import StatusPage
from netpulse.model.time import DAY, Millis
from netpulse.model.watch import Gap, Status
from netpulse.rules import boards as rules
from netpulse.rules import maintenance as maintenance_rules
from netpulse.rules.days import clipped, days
from netpulse.storage import (
    announcements,
    incident_list,
    incident_story,
    maintenance_spans,
    quotas,
    rollups,
    runs,
    spans,
    status_pages,
)
from netpulse.storage.conn import Conn
from netpulse.storage.maintenance_rows import COLUMNS as PLAN_COLUMNS
from netpulse.storage.maintenance_rows import of_row as plan_of_row

DAYS = 90
HISTORY = 90 * DAY
MOST_INCIDENTS = 100
"""Told on one board: those that are open, then the latest."""
MOST_PLANS = 100
AHEAD = 30 * DAY
"""How far ahead maintenance is announced."""

Token = tuple[Millis, Millis, Millis, str, int, int]
"""Changes when the finished days of a service may have."""


class Kept(Struct, frozen=True):
    """The finished days of a service, and what they were computed from."""

    token: Token
    days: tuple[BoardDay, ...]


class Read(Struct, frozen=True):
    """A page, what it says, and what the next reading of it may use."""

    page: StatusPage
    board: Board
    kept: dict[Id, Kept]


class _Shown(Struct, frozen=True):
    """A monitor as people see it."""

    status: Status
    since: Millis
    span_since: Millis
    """When its real state began, beneath maintenance."""
    span_status: str
    tags: frozenset[str]


def read(conn: Conn, slug: str, now: Millis, kept: Mapping[Id, Kept]) -> Read | None:
    """Return the page with this address and its board at `now`, or None if there is none."""
    page = status_pages.by_slug(conn, slug)
    if page is None:
        return None
    shown = _shown(conn, page.id)
    renewed: dict[Id, Kept] = {}
    groups = _groups(conn, page, shown, now, kept, renewed)
    told = _incidents(conn, page, now)
    plans = _maintenance(conn, page, shown, now)
    states = [
        (
            rules.status_of(shown[one].status),
            shown[one].status not in {Status.PENDING, Status.PAUSED},
        )
        for one in page.monitor_ids
    ]
    board = Board(
        status=rules.overall(states, told),
        groups=groups,
        incidents=tuple(told),
        maintenance=tuple(plans),
        announcements=tuple(announced(conn, page, now)),
        changes_at=_changes_at(conn, page.id, plans, now),
    )
    return Read(page, board, renewed)


def _shown(conn: Conn, page_id: Id) -> dict[Id, _Shown]:
    rows = conn.all(
        "SELECT m.id, w.status, w.since, m.maintained_from, m.tags FROM status_page_services s"
        " JOIN monitors m ON m.id = s.monitor_id"
        " JOIN watches w ON w.monitor_id = m.id AND w.region = ?"
        " WHERE s.page_id = ?",
        (LOCAL, page_id),
    )
    found = {}
    for monitor_id, word, since, maintained_from, tags in rows:
        status, shown_since = Status(word), since
        if maintained_from is not None and status is not Status.PAUSED:
            status, shown_since = Status.MAINTENANCE, maintained_from
        found[monitor_id] = _Shown(
            status, shown_since, since, word, frozenset(msgspec.json.decode(tags))
        )
    return found


def _groups(
    conn: Conn,
    page: StatusPage,
    shown: Mapping[Id, _Shown],
    now: Millis,
    kept: Mapping[Id, Kept],
    renewed: dict[Id, Kept],
) -> tuple[BoardGroup, ...]:
    today = now - now % DAY
    first = today - (DAYS - 1) * DAY
    # Only whole days of what the organization may look back to: a part of one would shrink with
    # every moment, and the finished days would have to be computed anew.
    shown_from = quotas.shown_from(conn, page.org_id, now)
    shown_from = max(first, shown_from + -shown_from % DAY)
    gaps = runs.gaps(conn, first, now)
    # A gap that lasts grows; what of it lies in days that are over does not.
    over = [min(gap.end, today) for gap in gaps if gap.start < today]
    stretch = (len(over), max(over, default=0))
    alike: dict[BoardDay, BoardDay] = {}
    groups = []
    for group in page.groups:
        services = []
        for service in group.monitors:
            at = shown[service.monitor_id]
            named: tuple[BoardDay, ...] = ()
            if page.figures.uptime:
                token = (first, shown_from, at.span_since, at.span_status, *stretch)
                before = kept.get(service.monitor_id)
                if before is None or before.token != token:
                    past = _days(conn, service.monitor_id, first, DAYS - 1, gaps, now, shown_from)
                    # Most days of most services are alike: one object for all of them.
                    before = Kept(token, tuple(alike.setdefault(day, day) for day in past))
                renewed[service.monitor_id] = before
                named = (*before.days, *_days(conn, service.monitor_id, today, 1, gaps, now, today))
            status = rules.status_of(at.status)
            services.append(
                BoardService(
                    id=public_id(page.id, service.monitor_id),
                    name=service.public_name,
                    status=status,
                    since=at.since,
                    days=rules.with_now(named, status),
                    uptime_percent=rules.uptime_of(named),
                    response_time_ms=rollups.response_time(conn, service.monitor_id, now)
                    if page.figures.response_times
                    else None,
                )
            )
        groups.append(BoardGroup(name=group.name, services=tuple(services)))
    return tuple(groups)


def _days(
    conn: Conn,
    monitor_id: Id,
    first: Millis,
    count: int,
    gaps: Sequence[Gap],
    now: Millis,
    shown_from: Millis,
) -> list[BoardDay]:
    """Return days; those before `shown_from` are days without data."""
    end = min(first + count * DAY, now + 1)
    known = clipped(spans.between(conn, monitor_id, shown_from, end), shown_from)
    maintained = maintenance_spans.between(conn, monitor_id, first, end)
    return [rules.day_of(day) for day in days(first, count, known, gaps, now, maintained)]


def _incidents(conn: Conn, page: StatusPage, now: Millis) -> list[BoardIncident]:
    names = page.public_names
    found = [
        incident
        for incident in incident_list.of_page(conn, page.id, now - HISTORY, MOST_INCIDENTS)
        if not is_excused(conn, incident, now)
    ]
    stories = incident_story.timelines(conn, [incident.id for incident in found])
    return [rules.incident_of(page.id, one, stories[one.id], names) for one in found]


def is_excused(conn: Conn, incident: Incident, now: Millis) -> bool:
    """Tell whether no page tells of an incident, because it lies in planned maintenance."""
    if incident.origin is Origin.MANUAL:
        return False
    end = now if incident.resolved_at is None else incident.resolved_at
    start = incident.started_at
    maintained = maintenance_spans.between(
        conn, incident.monitor_ids[0], start, max(end, start) + 1
    )
    return rules.is_excused(incident, maintained, now)


def announced(conn: Conn, page: StatusPage, now: Millis) -> list[BoardAnnouncement]:
    """Return the announcements that a page tells at `now`, the latest first."""
    return [
        BoardAnnouncement(
            id=public_id(page.id, item.id), title=item.title, text=item.text, at=item.created_at
        )
        for item in announcements.of_page(conn, page.id, now=now)
    ]


def planned(conn: Conn, page: StatusPage, now: Millis) -> list[BoardMaintenance]:
    """Return the maintenance that a page tells at `now`, by its beginning."""
    return _maintenance(conn, page, _shown(conn, page.id), now)


def _maintenance(
    conn: Conn, page: StatusPage, shown: Mapping[Id, _Shown], now: Millis
) -> list[BoardMaintenance]:
    found = []
    for row in conn.all(
        f"SELECT updated_at, {PLAN_COLUMNS} FROM maintenances WHERE org_id = ? AND is_public"
        " AND deleted_at IS NULL AND next_to > ? AND next_from < ?"
        " ORDER BY next_from, id LIMIT ?",
        (page.org_id, now, now + AHEAD, MOST_PLANS),
    ):
        plan = plan_of_row(conn, row[1:])
        assert plan.next is not None, "it was selected so"
        covered = [
            public_id(page.id, one)
            for one in page.monitor_ids
            if maintenance_rules.covers(plan.coverage, one, shown[one].tags)
        ]
        if covered:
            found.append(
                BoardMaintenance(
                    id=public_id(page.id, f"{plan.id}/{plan.next.start}"),
                    title=plan.title,
                    text=plan.description,
                    starts_at=plan.next.start,
                    ends_at=plan.next.end,
                    announced_at=max(plan.created_at, row[0] or 0),
                    is_active=plan.next.start <= now,
                    repeats=plan.schedule.ends_at is None,
                    plan=public_id(page.id, f"{plan.id}/{_timing(plan.schedule)}"),
                    services=tuple(covered),
                )
            )
    return found


def _timing(schedule: Schedule) -> str:
    """Return when a plan is, so that one that was moved is another."""
    if schedule.ends_at is not None:
        return f"{schedule.starts_at} to {schedule.ends_at}"
    rule = schedule.rrule or schedule.cron
    return f"{schedule.starts_at} {rule} {schedule.timezone} for {schedule.duration_minutes}"


def _changes_at(conn: Conn, page_id: Id, plans: Sequence[BoardMaintenance], now: Millis) -> Millis:
    """Return when the board says something else without anybody doing anything."""
    row = conn.one(
        "SELECT min(ends_at) FROM status_page_announcements WHERE page_id = ? AND ends_at > ?",
        (page_id, now),
    )
    moments = [now - now % DAY + DAY, *(one.ends_at for one in plans)]
    moments += [one.starts_at for one in plans if one.starts_at > now]
    if row is not None and row[0] is not None:
        moments.append(row[0])
    return min(moment for moment in moments if moment > now)
