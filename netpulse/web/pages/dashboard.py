"""The dashboard: what is wrong now, first; then how well we looked."""

from __future__ import annotations

import time
from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Status
from netpulse.storage import incidents, monitors, overview
from netpulse.storage.db import Conn
from netpulse.storage.incidents import IncidentFilter
from netpulse.storage.monitors import MonitorFilter, MonitorRow
from netpulse.storage.overview import Looked
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.pages import render
from netpulse.web.pages.rows import duration, incident_row, monitor_rows

PROBLEMS = 10
"""Monitors in trouble that are listed; the list of monitors has the rest."""
LATEST = 5
ALONE = 3
LATE = 5 * SECOND
"""Scheduling lag from which on people are told of it."""
KEPT_FOR = 20
"""How long the figures of the last day are kept, as a multiple of what adding them up took: they
walk over every monitor, so a handful of monitors gets fresh ones and thousands wait a while."""


class _Seen(Struct, frozen=True):
    problems: list[MonitorRow]
    problems_total: int
    covered: set[Id]
    total: int
    last_end: Millis | None


def _problems(conn: Conn, org_id: Id) -> _Seen:
    found: list[MonitorRow] = []
    total = 0
    for status in overview.TROUBLE:
        wanted = MonitorFilter(status=status)
        some = monitors.page(conn, org_id, wanted, 0, max(1, PROBLEMS - len(found)))
        total += some.total
        found += some.rows
    found = found[:PROBLEMS]
    return _Seen(
        problems=found,
        problems_total=total,
        covered=monitors.covered(conn, org_id, [row.monitor.id for row in found]),
        total=monitors.count(conn, org_id),
        last_end=overview.last_end(conn, org_id),
    )


def _latest(conn: Conn, org_id: Id) -> list[Any]:
    return incidents.page(conn, org_id, IncidentFilter(), 0, LATEST).rows


@page("GET", "/dashboard", access=VIEWER)
async def dashboard(call: Call) -> Response[bytes]:
    """Show it, or the part that `part` names."""
    part = call.request.query_params.get("part")
    session, house = call.session, call.house
    shown: dict[str, Any] = {}
    if part != "incidents":
        seen = await session.read(_problems)
        counts = house.engine.roster.counts(session.org_id)
        shown |= {
            "problems": monitor_rows(house, seen.problems, seen.covered, {}),
            "problems_total": seen.problems_total,
            "monitors_total": seen.total,
            "counts": {status.value: count for status, count in counts.items()},
            "headline": _headline(counts, seen.last_end, call.now),
        }
    if part == "problems":
        return await render.page(call, "_problems.html", active="Dashboard", **shown)
    shown["incidents"] = [incident_row(one, call.now) for one in await session.read(_latest)]
    if part == "incidents":
        return await render.page(call, "_incidents.html", active="Dashboard", **shown)
    figures = await _figures(call)
    shown["figures"] = {
        "uptime_percent": figures.uptime_percent,
        "coverage_percent": figures.coverage_percent,
        "incidents": figures.incidents,
        "checks_per_minute": figures.checks_per_minute,
    }
    if part == "figures":
        return await render.page(call, "_figures.html", active="Dashboard", **shown)
    total, alone = await session.read(overview.uncovered, ALONE)
    steps = await session.read(overview.steps)
    complete = steps.monitor and steps.channel and steps.rule
    return await render.page(
        call,
        "dashboard.html",
        active="Dashboard",
        uncovered={"total": total, "rows": [{"id": id_, "name": name} for id_, name in alone]},
        first_steps=None
        if complete
        else {"monitor": steps.monitor, "channel": steps.channel, "rule": steps.rule},
        system_notices=_system_notices(call),
        **shown,
    )


async def _figures(call: Call) -> Looked:
    org_id = call.session.org_id
    if not hasattr(call.request.app.state, "looked"):
        call.request.app.state.looked = {}
    kept: dict[Id, tuple[float, Looked]] = call.request.app.state.looked
    begun = time.monotonic()
    if org_id in kept and begun < kept[org_id][0]:
        return kept[org_id][1]
    found = await call.session.read(overview.last_day, call.now)
    done = time.monotonic()
    kept[org_id] = (done + KEPT_FOR * (done - begun), found)
    return found


def _headline(
    counts: dict[Status, int], last_end: Millis | None, now: Millis
) -> dict[str, str | None]:
    for status, verb in (
        (Status.DOWN, "down"),
        (Status.DEGRADED, "degraded"),
        (Status.UNKNOWN, "not known just now"),
    ):
        count = counts[status]
        if count:
            noun = "monitor is" if count == 1 else "monitors are"
            return {"status": status.value, "text": f"{count} {noun} {verb}", "note": None}
    if counts[Status.UP]:
        note = "Nothing needs you. There was no incident yet."
        if last_end is not None:
            ago = duration(max(0, now - last_end) // SECOND)
            note = f"Nothing needs you. The last incident ended {ago} ago."
        return {"status": "up", "text": "Everything that is watched is up", "note": note}
    if counts[Status.MAINTENANCE]:
        return {"status": "maintenance", "text": "Maintenance is under way", "note": None}
    if counts[Status.PENDING]:
        return {"status": "pending", "text": "The first checks are under way", "note": None}
    return {"status": "paused", "text": "Nothing is watched: every monitor is paused", "note": None}


def _system_notices(call: Call) -> list[dict[str, str]]:
    """Say what is wrong with NetPulse itself."""
    engine = call.house.engine
    found = []
    trouble = engine.trouble
    if trouble is not None:
        found.append(
            {
                "kind": "error",
                "text": f"NetPulse cannot write its data: {trouble}. Until then "
                "states on this page may be old.",
            }
        )
    if call.house.raw.trouble:
        found.append(
            {"kind": "error", "text": f"Check results cannot be kept: {call.house.raw.trouble}."}
        )
    lag = engine.lag_stats()
    if lag.p99_ms > LATE:
        found.append(
            {
                "kind": "warning",
                "text": f"Checks start up to {lag.p99_ms / SECOND:.0f} s late: "
                "this machine is too busy for so many checks.",
            }
        )
    return found


ROUTES = (dashboard,)
