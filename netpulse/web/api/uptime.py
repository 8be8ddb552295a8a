"""What a monitor's uptime looks like from outside, and how its figures come together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.maintenance import Window
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, PERIODS, SECOND, Millis, rfc3339
from netpulse.rules import uptime as rules
from netpulse.rules.uptime import Account
from netpulse.storage import incident_list, maintenance_spans, quotas, rollups, runs, spans
from netpulse.storage.db import Conn
from netpulse.storage.rollups import Rollup
from netpulse.web.api.checks import Moment, moment
from netpulse.web.errors import Problem, invalid
from netpulse.web.house import House
from netpulse.web.session import OrgSession


class UptimeQuery(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which period: its length up to now, or two moments."""

    period: Literal["24h", "7d", "30d", "90d"] | None = None
    from_: Moment | None = None
    """RFC 3339."""
    to: Moment | None = None
    """RFC 3339; absent: now."""


class OutageAnswer(Struct, frozen=True, kw_only=True):
    """The part of an incident that lies in the period."""

    incident_id: Id | None
    started_at: str
    """The first failing check."""
    ended_at: str | None
    duration_seconds: int
    reason: str | None


class UptimeAnswer(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Where every second of the period went; the five parts add up to it."""

    from_: str
    to: str
    uptime_percent: float | None
    """(checks - down) / checks, rounded down at 4 decimals; null without a check."""
    uptime_percent_time: float | None
    """(up + degraded) / (up + degraded + down) by seconds, rounded down at 4 decimals."""
    checks: int
    downs: int
    up_seconds: int
    degraded_seconds: int
    down_seconds: int
    maintenance_seconds: int
    unknown_seconds: int
    unknown_reasons: dict[str, int]
    coverage_percent: float | None
    outages: list[OutageAnswer]


class _Facts(Struct, frozen=True):
    """What is read in one state of the main file."""

    account: Account
    maintained: list[Window]
    incidents: list[Incident]
    sums: list[Rollup]
    """Days, and hours whose raw results are gone."""
    unsummed: list[Window]
    """What of the period none of them covers: its checks are to be counted one by one."""


def period_of(query: UptimeQuery, begun: Millis, now: Millis) -> tuple[Millis, Millis]:
    """Return the period in Unix milliseconds, cut to the time since `begun` and until `now`.

    Raises:
        ApiError: 400 for times that cannot be read or are the wrong way round.
    """
    problems: list[Problem] = []
    start = moment(query.from_, "?from", problems)
    end = moment(query.to, "?to", problems)
    if query.period is not None and (query.from_ is not None or query.to is not None):
        problems.append(Problem("?period", "give period, or from and to, not both"))
    if query.period is None and query.from_ is None:
        problems.append(Problem("?period", "give period (24h, 7d, 30d, 90d), or from and to"))
    if start is not None and end is not None and start >= end:
        problems.append(Problem("?to", "to must be later than from"))
    if problems:
        raise invalid(problems)
    end = now if end is None else min(end, now)
    if query.period is not None:
        start = end - PERIODS[query.period]
    start = max(start or 0, begun)
    return min(start, max(end, begun)), max(end, begun)


async def uptime_of(
    house: House, session: OrgSession, monitor: Monitor, query: UptimeQuery
) -> UptimeAnswer:
    """Return the account of a monitor's time over the period that `query` asks for, as far back
    as the organization may look."""
    now = session.now
    shown_from = await session.read(quotas.shown_from, now)
    start, end = period_of(query, max(monitor.created_at, shown_from), now)
    # Raw results are complete from here on (months are deleted whole, so there is no race with
    # retention); what is older is in the rollups alone.
    raw_from = _hour_after(now - house.config.retention.raw_days * DAY)
    facts = await session.read(_facts, monitor.id, start, end, raw_from, now)
    account = facts.account
    checks = sum(one.checks for one in facts.sums)
    downs = sum(one.downs for one in facts.sums)
    for stretch in facts.unsummed:
        counted = await house.raw.counts(monitor.key, stretch.start, stretch.end, facts.maintained)
        checks += counted.checks
        downs += counted.downs
    by_id = {incident.id: incident for incident in facts.incidents}
    return UptimeAnswer(
        # The parts are whole seconds between these two.
        from_=rfc3339(account.start // SECOND * SECOND),
        to=rfc3339(account.end // SECOND * SECOND),
        uptime_percent=rules.uptime_percent(checks, downs),
        uptime_percent_time=account.uptime_percent_time,
        checks=checks,
        downs=downs,
        up_seconds=account.up_seconds,
        degraded_seconds=account.degraded_seconds,
        down_seconds=account.down_seconds,
        maintenance_seconds=account.maintenance_seconds,
        unknown_seconds=account.unknown_seconds,
        unknown_reasons={
            reason.value: seconds for reason, seconds in account.unknown_reasons.items()
        },
        coverage_percent=account.coverage_percent,
        outages=[
            OutageAnswer(
                incident_id=outage.incident_id,
                started_at=rfc3339(outage.started_at),
                ended_at=None if outage.ended_at is None else rfc3339(outage.ended_at),
                duration_seconds=outage.duration_seconds,
                reason=_reason(by_id.get(outage.incident_id or "")),
            )
            for outage in account.outages
        ],
    )


def _reason(incident: Incident | None) -> str | None:
    return None if incident is None else incident.reason


def _facts(
    conn: Conn,
    org_id: Id,
    monitor_id: Id,
    start: Millis,
    end: Millis,
    raw_from: Millis,
    now: Millis,
) -> _Facts:
    del org_id  # the monitor was found in it
    # A quarter of days is ninety rows; as checks it would be ninety blobs to unpack.
    sums = rollups.days(conn, monitor_id, start + -start % DAY, end - end % DAY)
    unsummed = []
    for part in _between(start, end, sums):
        if part.start < raw_from:
            # Whole hours only; a part of an hour at the very start of an old period counts whole.
            until = min(raw_from, part.end)
            sums += rollups.hours(conn, monitor_id, part.start - part.start % HOUR, until)
        if part.end > raw_from:
            unsummed.append(Window(max(part.start, raw_from), part.end))
    maintained = maintenance_spans.between(conn, monitor_id, start, end)
    return _Facts(
        # Here and not on the event loop: a quarter of flapping takes tens of milliseconds.
        account=rules.account(
            start,
            end,
            spans.between(conn, monitor_id, start, end),
            runs.gaps(conn, start, end),
            now,
            maintained,
        ),
        maintained=maintained,
        incidents=incident_list.for_monitor(conn, monitor_id, start, end),
        sums=sums,
        unsummed=unsummed,
    )


def _between(start: Millis, end: Millis, days: Sequence[Rollup]) -> list[Window]:
    """Return what of [start, end) lies in none of `days`, which are in order."""
    found = []
    for day in days:
        if start < day.from_ms:
            found.append(Window(start, day.from_ms))
        start = day.from_ms + DAY
    if start < end:
        found.append(Window(start, end))
    return found


def _hour_after(at: Millis) -> Millis:
    return -(-at // HOUR) * HOUR
