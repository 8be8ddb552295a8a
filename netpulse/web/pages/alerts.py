"""The page of alerts: rules, channels, and what became of the latest notices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.alert import NoticeStatus, QuietHours, Rule
from netpulse.model.ids import Id, is_id
from netpulse.model.time import Millis, rfc3339
from netpulse.model.user import Role
from netpulse.storage import alert_rules, channels, monitors, notice_list, overview
from netpulse.storage.db import Conn
from netpulse.storage.notice_list import NoticeFilter
from netpulse.web.api.alert_rules import DAYS
from netpulse.web.api.channel_configs import destination
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.figures import duration
from netpulse.web.languages import say
from netpulse.web.pages import render
from netpulse.web.pages.channel_kinds import FACES
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.rows import is_system, notice_rows

LIMIT = 20
MOST = 500
"""Rules and channels that are shown; the API pages through more."""
ALONE = 3
_REACHED = (NoticeStatus.SENT, NoticeStatus.FAILED, NoticeStatus.PENDING)
"""Notices that were for the channel to take: one that a rule suppressed says nothing about it."""


class _Seen(Struct, frozen=True):
    rules: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    uncovered: tuple[int, list[tuple[Id, str]]]


def _seen(conn: Conn, org_id: Id, *, for_admin: bool) -> _Seen:
    ways = channels.page(conn, org_id, limit=MOST).rows
    rules = alert_rules.page(conn, org_id, limit=MOST).rows
    by_id = {channel.id: channel.name for channel in ways}
    about = [rule.monitor_id for rule in rules if rule.monitor_id is not None]
    names = monitors.names(conn, org_id, about)
    listed = []
    for channel in sorted(ways, key=lambda channel: channel.disabled_at is None):
        last = notice_list.last(conn, org_id, channel.id, _REACHED)
        face = FACES.get(channel.type)
        listed.append(
            {
                "id": channel.id,
                "name": channel.name,
                "type_label": channel.type if face is None else say(face.label),
                "icon": "bell" if face is None else face.icon,
                "destination": destination(channel, for_admin=for_admin),
                "problem": channel.damage,
                "is_active": channel.is_active,
                "disabled_at": _time(channel.disabled_at),
                "disabled_reason": channel.disabled_reason,
                "last_delivery": None
                if last is None
                else {
                    "status": last.status.value,
                    "at": rfc3339(last.sent_at or last.created_at),
                    "error": last.error,
                },
                "last_test": None
                if channel.last_test_at is None
                else {"at": rfc3339(channel.last_test_at), "ok": bool(channel.last_test_ok)},
            }
        )
    return _Seen(
        rules=[_rule(rule, by_id, names) for rule in rules],
        channels=listed,
        uncovered=overview.uncovered(conn, org_id, ALONE),
    )


def _rule(rule: Rule, ways: dict[Id, str], names: dict[Id, str]) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "condition": rule.condition,
        "monitor_id": rule.monitor_id,
        "monitor_name": names.get(rule.monitor_id or "", say("a deleted monitor")),
        "tag": rule.tag,
        "is_system": is_system(rule),
        "channel_name": ways.get(rule.channel_id, say("a deleted channel")),
        "notify_recovery": rule.notify_recovery,
        "more": list(_more(rule, ways)),
        "is_active": rule.is_active,
    }


def _more(rule: Rule, ways: dict[Id, str]) -> Iterator[str]:
    """Yield what a rule does beyond its condition, in words."""
    if rule.escalation_minutes is not None:
        yield say(
            "after %(duration)s unless acknowledged",
            duration=duration(rule.escalation_minutes * 60),
        )
    if rule.reminder_minutes is not None:
        yield say("again every %(duration)s", duration=duration(rule.reminder_minutes * 60))
    quiet = rule.quiet_hours
    if quiet is not None:
        yield say(
            "quiet %(days)s%(start)s to %(end)s (%(timezone)s)",
            days=_days(quiet),
            start=quiet.start,
            end=quiet.end,
            timezone=quiet.timezone,
        )
    if rule.fallback_channel_id is not None:
        other = ways.get(rule.fallback_channel_id, say("a deleted channel"))
        yield say("else by %(channel)s", channel=other)
    if rule.message is not None:
        yield say("in words of its own")


def _days(quiet: QuietHours) -> str:
    if len(quiet.days) == len(DAYS):
        return ""
    return ", ".join(say(day.capitalize()) for day in quiet.days) + " "


def _time(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)


class _Delivered(Struct, frozen=True):
    rows: list[dict[str, Any]]
    total: int
    channels: list[dict[str, str]]
    """What there is to choose from."""
    monitor: str | None
    """The name of the one that was asked for."""


def _deliveries(conn: Conn, org_id: Id, filters: dict[str, str], offset: int) -> _Delivered:
    monitor_id = filters["monitor_id"] or None
    wanted = NoticeFilter(
        status=NoticeStatus(filters["status"]) if filters["status"] else None,
        channel_id=filters["channel_id"] or None,
        monitor_id=monitor_id,
    )
    found = notice_list.page(conn, org_id, wanted, offset=offset, limit=LIMIT)
    ways = channels.page(conn, org_id, limit=MOST).rows
    return _Delivered(
        rows=notice_rows(conn, org_id, found.rows),
        total=found.total,
        channels=[{"value": channel.id, "label": channel.name} for channel in ways],
        monitor=None
        if monitor_id is None
        else monitors.names(conn, org_id, [monitor_id]).get(monitor_id),
    )


def _filters(call: Call) -> dict[str, str]:
    """Return what was asked for, with "" for what was not or is nothing that could be."""
    given = call.request.query_params
    found = {name: str(given.get(name, "")) for name in ("status", "channel_id", "monitor_id")}
    if found["status"] not in set(NoticeStatus):
        found["status"] = ""
    for name in ("channel_id", "monitor_id"):
        if not is_id(found[name]):
            found[name] = ""
    return found


@page("GET", "/alerts", access=VIEWER)
async def overview_page(call: Call) -> Response[bytes]:
    """Show all of it, or the notices alone."""
    return await shown(call)


async def shown(
    call: Call, flash: list[dict[str, str]] | None = None, status: int = 200
) -> Response[bytes]:
    """Return the page; `flash` says what was just done."""
    given = call.request.query_params
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    filters = _filters(call)
    found = await call.session.read(_deliveries, filters, (at - 1) * LIMIT)
    kept = {name: value for name, value in filters.items() if value}
    latest: dict[str, Any] = {
        "deliveries": found.rows,
        "filters": filters | {"active": bool(kept)},
        "pager": pager("/alerts", filters, at, LIMIT, found.total),
        "self_url": f"/alerts?{urlencode(kept | {'page': at, 'part': 'deliveries'})}",
    }
    if given.get("part") == "deliveries":
        return await render.page(call, "alerts/_deliveries.html", **latest)
    seen = await call.session.read(_seen, for_admin=call.session.role >= Role.ADMIN)
    alone, first = seen.uncovered
    more = {} if flash is None else {"flash": flash}
    return await render.page(
        call,
        "alerts/list.html",
        active="Alerts",
        status=status,
        rules=seen.rules,
        channels=seen.channels,
        ways=found.channels,
        statuses=[one.value for one in NoticeStatus],
        monitor_name=found.monitor,
        uncovered={"total": alone, "rows": [{"id": id_, "name": name} for id_, name in first]},
        **latest,
        **more,
    )


ROUTES = (overview_page,)
