"""The list of monitors: filtered, sorted and paged on the server, however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.storage import monitor_list, monitors
from netpulse.storage.db import Conn
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web.api import monitors as api
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, monitor_form, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.rows import bars, monitor_rows
from netpulse.web.phrases import phrase

LIMITS = (20, 50, 100)
"""Monitors of one page of the list."""
ORDERS = [
    {"value": "status", "label": mark("Trouble first")},
    {"value": "name", "label": mark("By name")},
    {"value": "-name", "label": mark("By name, from Z to A")},
    {"value": "-response_time_ms", "label": mark("Slowest first")},
    {"value": "response_time_ms", "label": mark("Fastest first")},
    {"value": "uptime_24h", "label": mark("Worst uptime of 24 h first")},
    {"value": "-status_since", "label": mark("Latest change first")},
    {"value": "-created_at", "label": mark("Newest first")},
]
HEADS = {
    "status": ("status",),
    "name": ("name", "-name"),
    "response_time_ms": ("-response_time_ms", "response_time_ms"),
}
"""By column whose head sorts: the orders it offers, of which a second use takes the other."""
FILTERS = ("q", "status", "type", "tag", "group")
"""What says which monitors a list has; beside it, `sort` and `limit`."""


class _Listed(Struct, frozen=True):
    total: int
    covered: set[Id]
    bars: dict[Id, dict[str, Any]]
    tags: list[str]
    groups: list[str]


def _listed(conn: Conn, org_id: Id, rows: list[MonitorRow], now: Millis) -> _Listed:
    ids = [(row.monitor.id, row.monitor.created_at) for row in rows]
    return _Listed(
        total=monitors.count(conn, org_id),
        covered=monitors.covered(conn, org_id, [id_ for id_, _ in ids]),
        bars=bars(conn, org_id, ids, now),
        tags=monitor_list.tags(conn, org_id),
        groups=monitor_list.groups(conn, org_id),
    )


def filters_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return what an address or a form says of which monitors, in which order and how many; what
    there is no such thing of is left out."""
    filters = {name: str(given.get(name, ""))[:200] for name in (*FILTERS, "sort", "limit")}
    if filters["status"] not in set(Status):
        filters["status"] = ""
    if filters["sort"] not in api.SORTS:
        filters["sort"] = "status"
    if filters["limit"] not in {str(each) for each in LIMITS}:
        filters["limit"] = str(LIMITS[0])
    return filters


@page("GET", "/monitors", access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, filtered, sorted and paged on the server."""
    given = call.request.query_params
    filters = filters_of(given)
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    limit = int(filters["limit"])
    wanted = MonitorFilter(
        status=Status(filters["status"]) if filters["status"] else None,
        type=filters["type"] or None,
        tag=filters["tag"] or None,
        group=filters["group"] or None,
        q=filters["q"] or None,
        sort=filters["sort"],
    )
    found = await api.found(call.house, call.session, wanted, (at - 1) * limit, limit)
    seen = await call.session.read(_listed, found.rows, call.now)
    counts = call.house.engine.roster.counts(call.session.org_id)
    usual = {"sort": "status", "limit": str(LIMITS[0])}
    kept = {name: value for name, value in filters.items() if value != usual.get(name, "")}
    return await render.page(
        call,
        "monitors/list.html",
        active="Monitors",
        monitors=monitor_rows(call.house, found.rows, seen.covered, seen.bars),
        monitors_total=seen.total,
        counts={status.value: count for status, count in counts.items()},
        filters=filters | {"active": any(filters[name] for name in FILTERS)},
        types=forms.options(monitor_form.TYPES),
        tags=seen.tags,
        groups=seen.groups,
        sorts=forms.options(ORDERS),
        heads=_heads(filters["sort"], kept),
        limits=LIMITS,
        pager=pager("/monitors", kept, at, limit, found.total),
        job=job_of(call, given.get("job", "")),
        here="/monitors?" + urlencode(kept | {"page": at}),
    )


def _heads(now: str, kept: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return what the heads of the columns lead to, and how the list is sorted by each now."""
    found = {}
    for column, orders in HEADS.items():
        after = orders[(orders.index(now) + 1) % len(orders)] if now in orders else orders[0]
        query = urlencode({**kept, "sort": after})
        direction = "descending" if now.startswith("-") else "ascending"
        found[column] = {
            "href": f"/monitors?{query}",
            "direction": direction if now in orders else "",
        }
    return found


VERBS = {
    "pause": mark("paused"),
    "resume": mark("resumed"),
    "add_tag": mark("given the tag"),
    "remove_tag": mark("freed from the tag"),
    "delete": mark("deleted"),
    "check": mark("checked"),
}
"""What a change of many did to each, in words."""


def job_of(call: Call, job_id: str) -> dict[str, Any] | None:
    """Return a change of many monitors as the pages show it; None where there is none."""
    job = call.house.jobs.get(call.session.org_id, job_id)
    if job is None:
        return None
    return {
        "id": job.id,
        "verb": say(VERBS[job.action]),
        "tag": job.tag,
        "total": job.total,
        "done": job.done,
        "changed": job.changed,
        "same": job.done - job.changed - job.left_total,
        "left": [
            {"id": one.id, "name": one.name, "message": phrase(one.message)} for one in job.left
        ],
        "left_total": job.left_total,
        "is_done": job.is_done,
        "stopped": None if job.stopped is None else phrase(job.stopped),
    }


ROUTES = (list_all,)
