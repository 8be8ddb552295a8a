"""The page of one monitor, and its parts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.badge import Badge
from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.maintenance import State
from netpulse.model.monitor import Monitor, PushSpec
from netpulse.model.time import DAY, HOUR, Millis, rfc3339
from netpulse.model.user import Role
from netpulse.rules import targets
from netpulse.storage import (
    alert_rules,
    badges,
    channels,
    incident_list,
    maintenances,
    monitors,
    notice_list,
    quotas,
)
from netpulse.storage.db import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.maintenances import MaintenanceFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.storage.notice_list import NoticeFilter
from netpulse.storage.table import Page
from netpulse.web.api import checks as checks_api
from netpulse.web.api import monitors as api
from netpulse.web.api.checks import CheckAnswer, ChecksQuery
from netpulse.web.api.uptime import UptimeQuery, uptime_of
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import Elsewhere, not_found
from netpulse.web.languages import mark, say
from netpulse.web.pages import chart, render
from netpulse.web.pages.badge_pictures import ON_ITS_PAGE, pictures
from netpulse.web.pages.monitor_facts import facts
from netpulse.web.pages.rows import bars, incident_row, is_system, monitor_rows, notice_rows

RECENT_CHECKS = 12
RECENT_INCIDENTS = 5
RECENT_NOTICES = 5
NEW_FOR = HOUR
"""How long a monitor's page fetches its figures again after checks, and not only after changes."""
FIGURES = (
    ("24h", mark("24 hours")),
    ("7d", mark("7 days")),
    ("30d", mark("30 days")),
    ("90d", mark("90 days")),
)


def pager(path: str, filters: dict[str, str], at: int, limit: int, total: int) -> dict[str, Any]:
    """Return a pager for page `at` of a list at `path`.

    Raises:
        Elsewhere: to the last page there is, where `at` is beyond it: an old link, or a list that
            has become shorter.
    """

    def address(number: int) -> str:
        kept = {name: value for name, value in filters.items() if value}
        return f"{path}?{urlencode(kept | {'page': number})}"

    last = max(1, -(-total // limit))
    if at > last:
        raise Elsewhere(address(last))
    return {
        "page": at,
        "limit": limit,
        "total": total,
        "prev_url": address(at - 1) if at > 1 else None,
        "next_url": address(at + 1) if at * limit < total else None,
    }


async def stored(call: Call) -> MonitorRow:
    """Return the monitor that the address names. Raises ApiError (404) where there is none."""
    row = await call.session.read(api.MONITORS.get, call.id("id", "monitor"))
    if row is None:
        raise not_found("monitor")
    return row


@page("GET", "/monitors/{id:str}", access=VIEWER)
async def detail(call: Call) -> Response[bytes]:
    """Show one, or the part that `part` names."""
    row = await stored(call)
    monitor = row.monitor
    part = call.request.query_params.get("part")
    if part == "checks":
        return await render.page(
            call,
            "monitors/_checks.html",
            monitor=in_full(call, row, covered=True),
            checks=await _checks(call, row),
        )
    if part == "incidents":
        recent = await call.session.read(_incidents, monitor.id)
        listed = [incident_row(one, call.now) for one in recent]
        return await render.page(call, "monitors/_incidents.html", incidents=listed)
    if part == "notices":
        told = await call.session.read(_notices, monitor.id)
        return await render.page(
            call, "monitors/_notices.html", notices=told.rows, notices_total=told.total
        )
    seen = await call.session.read(_seen, row, call.now)
    account = {
        "figures": await _figures(call, monitor),
        "bar": seen.bar["bar"],
        "days": seen.bar["days"],
    }
    if part == "figures":
        return await render.page(call, "monitors/_figures.html", **account)
    return await render.page(
        call,
        "monitors/detail.html",
        active="Monitors",
        monitor=in_full(call, row, covered=monitor.id in seen.covered),
        is_new=call.now - monitor.created_at < NEW_FOR,
        chart=chart.control(monitor.id, chart.period_of(call)),
        checks=await _checks(call, row),
        incidents=[incident_row(one, call.now) for one in seen.incidents],
        facts=facts(monitor.spec),
        notices=seen.notices.rows,
        notices_total=seen.notices.total,
        rules=seen.rules,
        maintenance=seen.maintenance,
        certificate=_certificate(call, monitor.id),
        badges=[] if seen.badge is None else pictures(seen.badge, row, ON_ITS_PAGE),
        pinging=_pinging(call, monitor),
        **account,
    )


async def _figures(call: Call, monitor: Monitor) -> list[dict[str, Any]]:
    figures = []
    for period, label in FIGURES:
        account = await uptime_of(
            call.house,
            call.session,
            monitor,
            UptimeQuery(period=period),  # type: ignore[arg-type]  # FIGURES has its words
        )
        figures.append(
            {
                "label": say(label),
                "uptime_percent": account.uptime_percent_time,
                "coverage_percent": account.coverage_percent,
                "down_seconds": account.down_seconds,
            }
        )
    return figures


class _Seen(Struct, frozen=True):
    covered: set[Id]
    bar: dict[str, Any]
    incidents: list[Incident]
    notices: Page[dict[str, Any]]
    rules: list[dict[str, Any]]
    maintenance: list[dict[str, Any]]
    badge: Badge | None


def _seen(conn: Conn, org_id: Id, row: MonitorRow, now: Millis) -> _Seen:
    monitor = row.monitor
    telling = []
    for rule in alert_rules.for_monitor(conn, org_id, monitor.id, monitor.spec.tags):
        if is_system(rule):
            continue
        channel = channels.get(conn, org_id, rule.channel_id)
        telling.append(
            {
                "id": rule.id,
                "name": rule.name,
                "condition": rule.condition,
                "is_active": rule.is_active and channel is not None and channel.is_active,
                "channel_name": channel.name if channel is not None else say("a deleted channel"),
            }
        )
    return _Seen(
        covered=monitors.covered(conn, org_id, [monitor.id]),
        bar=bars(conn, org_id, [(monitor.id, monitor.created_at)], now, in_words=True)[monitor.id],
        incidents=_incidents(conn, org_id, monitor.id),
        notices=_notices(conn, org_id, monitor.id),
        rules=telling,
        maintenance=_maintenance(conn, org_id, monitor.id, now),
        badge=badges.get(conn, monitor.id),
    )


def _maintenance(conn: Conn, org_id: Id, monitor_id: Id, now: Millis) -> list[dict[str, Any]]:
    """Return the windows that cover a monitor now, or will next."""
    wanted = MaintenanceFilter(monitor_id=monitor_id)
    found = maintenances.page(conn, org_id, wanted, limit=RECENT_INCIDENTS).rows
    return [
        {
            "id": item.id,
            "title": item.title,
            "is_active": item.state(now) is State.ACTIVE,
            "start": rfc3339(item.next.start),
            "end": rfc3339(item.next.end),
        }
        for item in found
        if item.next is not None and item.state(now) is not State.OVER
    ]


def _incidents(conn: Conn, org_id: Id, monitor_id: Id) -> list[Incident]:
    wanted = IncidentFilter(monitor_id=monitor_id)
    return incident_list.page(conn, org_id, wanted, 0, RECENT_INCIDENTS).rows


def _notices(conn: Conn, org_id: Id, monitor_id: Id) -> Page[dict[str, Any]]:
    wanted = NoticeFilter(monitor_id=monitor_id)
    found = notice_list.page(conn, org_id, wanted, limit=RECENT_NOTICES)
    return Page(notice_rows(conn, org_id, found.rows), found.total)


async def _checks(call: Call, row: MonitorRow) -> list[CheckAnswer]:
    query = ChecksQuery(limit=RECENT_CHECKS)
    shown_from = await call.session.read(quotas.shown_from, call.now)
    found = await checks_api.page_of_checks(
        call.house.raw, row.monitor, query, call.now, shown_from
    )
    return found.data


def in_full(call: Call, row: MonitorRow, *, covered: bool) -> dict[str, Any]:
    """Return a monitor as its own pages show it."""
    spec = row.monitor.spec
    alone = {row.monitor.id} if covered else set()
    found: dict[str, Any] = monitor_rows(call.house, [row], alone, {})[0]
    found["target"] = targets.shown(spec.target)
    return found | {
        "description": spec.description,
        "runbook_url": spec.runbook_url,
        "is_paused": spec.is_paused,
        "version": row.monitor.version,
    }


def _certificate(call: Call, monitor_id: Id) -> dict[str, Any] | None:
    watched = call.house.engine.roster.get(monitor_id)
    seen = None if watched is None else watched.certificate
    if seen is None:
        return None
    return {
        "not_after": rfc3339(seen.not_after),
        "days_left": max(0, (seen.not_after - call.now) // DAY),
        "has_ended": seen.not_after < call.now,
        "not_before": rfc3339(seen.not_before),
        "subject": seen.subject,
        "issuer": seen.issuer,
        "names": ", ".join(seen.names[:10]) + (" …" if len(seen.names) > 10 else ""),
        "key": say("%(key)s, signed with %(signature)s", key=seen.key, signature=seen.signature),
        "chain": [link.subject for link in seen.chain],
        "fingerprint": seen.fingerprint,
    }


def _pinging(call: Call, monitor: Monitor) -> dict[str, Any] | None:
    """Return where and how a job pings, and how it stands; None for what is not a push monitor."""
    if not isinstance(monitor.spec, PushSpec):
        return None
    path = api.ping_path(monitor) if call.session.role >= Role.ADMIN else None
    beat = call.house.engine.pushes.beat(monitor.id)
    known = beat is not None and not monitor.spec.is_paused
    return {
        "url": None if path is None else call.base + path,
        "cron": monitor.spec.cron or "0 * * * *",
        "last_at": rfc3339(beat.last_at) if beat is not None and beat.last_at else None,
        "started_at": rfc3339(beat.started_at) if beat is not None and beat.started_at else None,
        "deadline_at": rfc3339(beat.deadline_at) if beat is not None and known else None,
    }


ROUTES = (detail, *chart.ROUTES)
