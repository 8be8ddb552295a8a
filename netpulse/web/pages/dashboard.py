"""The dashboard: what is wrong now, first; then how well we looked."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response
from msgspec import Struct

from netpulse.engine import glance
from netpulse.engine.glance import Ending, Responses
from netpulse.model.ids import Id
from netpulse.model.time import DAY, SECOND, Millis, rfc3339
from netpulse.model.watch import Status
from netpulse.storage import incident_list, monitor_list, monitors, overview
from netpulse.storage.db import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.storage.overview import Looked
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.figures import duration, many
from netpulse.web.languages import plural, say
from netpulse.web.pages import render
from netpulse.web.pages.rows import incident_row, monitor_rows

PROBLEMS = 10
"""Monitors in trouble that are listed; the list of monitors has the rest."""
LATEST = 5
ALONE = 3
LATE = SECOND
"""Scheduling lag (p99 of the last minute) from which on people are told of it."""
SLOWEST = 5
ENDING = 5
NEAR = 14 * DAY
"""A certificate that ends sooner is marked."""


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
        some = monitor_list.page(conn, org_id, wanted, 0, max(1, PROBLEMS - len(found)))
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
    return incident_list.page(conn, org_id, IncidentFilter(), 0, LATEST).rows


@page("GET", "/dashboard", access=VIEWER)
async def dashboard(call: Call) -> Response[bytes]:
    """Show it, or the part that `part` names."""
    part = call.request.query_params.get("part")
    if part == "incidents":
        return await render.page(call, "_incidents.html", incidents=await _incidents(call))
    if part == "figures":
        return await render.page(call, "_figures.html", figures=await _figures(call))
    if part == "moment":
        return await render.page(call, "_moment.html", moment=await _moment(call))
    session = call.session
    seen = await session.read(_problems)
    counts = call.house.engine.roster.counts(session.org_id)
    shown: dict[str, Any] = {
        "problems": monitor_rows(call.house, seen.problems, seen.covered, {}),
        "problems_total": seen.problems_total,
        "monitors_total": seen.total,
        "counts": {status.value: count for status, count in counts.items()},
        "headline": _headline(counts, seen.last_end, call.now),
    }
    if part == "problems":
        return await render.page(call, "_problems.html", **shown)
    # The first time both take a while: side by side.
    figures, moment = await asyncio.gather(_figures(call), _moment(call))
    around = await session.read(_around)
    steps = around.steps
    complete = steps.monitor and steps.channel and steps.rule
    total, alone = around.uncovered
    return await render.page(
        call,
        "dashboard.html",
        active="Dashboard",
        uncovered={"total": total, "rows": [{"id": id_, "name": name} for id_, name in alone]},
        first_steps=None
        if complete
        else {"monitor": steps.monitor, "channel": steps.channel, "rule": steps.rule},
        system_notices=_system_notices(call),
        incidents=await _incidents(call),
        figures=figures,
        moment=moment,
        **shown,
    )


class _Around(Struct, frozen=True):
    uncovered: tuple[int, list[tuple[Id, str]]]
    steps: overview.Steps


def _around(conn: Conn, org_id: Id) -> _Around:
    return _Around(overview.uncovered(conn, org_id, ALONE), overview.steps(conn, org_id))


async def _incidents(call: Call) -> list[dict[str, Any]]:
    return [incident_row(one, call.now) for one in await call.session.read(_latest)]


async def _figures(call: Call) -> dict[str, Any]:
    """Return the figures of the last day and month, as they were added up last."""
    session = call.session

    async def over(length: Millis) -> Looked:
        async def make() -> Looked:
            now = call.house.clock.now()
            return await session.read(overview.looked, now - length, now)

        return await call.house.kept.get((session.org_id, "looked", length), make)

    day, month = await over(DAY), await over(30 * DAY)
    lately = await session.read(overview.lately, call.now)
    return {
        "uptime_day": day.uptime_percent,
        "uptime_month": month.uptime_percent,
        "coverage_day": day.coverage_percent,
        "coverage_month": month.coverage_percent,
        "incidents": lately.incidents,
        "checks_per_minute": lately.checks_per_minute,
    }


async def _moment(call: Call) -> dict[str, Any]:
    """Return how fast the monitors answer now, and whose certificates end next."""
    roster, org_id = call.house.engine.roster, call.session.org_id

    async def look() -> tuple[Responses, list[Ending]]:
        # Ten thousand monitors take some milliseconds: not on the loop.
        return await asyncio.to_thread(
            lambda: (
                glance.responses(roster, org_id, SLOWEST),
                glance.endings(roster, org_id, ENDING),
            )
        )

    times, endings = await call.house.kept.get((org_id, "moment"), look)
    return {
        "count": times.count,
        "median_ms": times.median_ms,
        "p95_ms": times.p95_ms,
        "slowest": [
            {"id": one.id, "name": one.name, "response_ms": one.response_ms}
            for one in times.slowest
        ],
        "certificates": [
            {
                "id": one.id,
                "name": one.name,
                "subject": one.subject,
                "not_after": rfc3339(one.not_after),
                "days_left": max(0, (one.not_after - call.now) // DAY),
                "has_ended": one.not_after < call.now,
                "is_near": one.not_after - call.now < NEAR,
            }
            for one in endings
        ],
    }


def _headline(
    counts: dict[Status, int], last_end: Millis | None, now: Millis
) -> dict[str, str | None]:
    for status in (Status.DOWN, Status.DEGRADED, Status.UNKNOWN):
        if counts[status]:
            text = trouble_text(status, counts[status])
            return {"status": status.value, "text": text, "note": None}
    if counts[Status.UP]:
        note = say("Nothing needs you. There was no incident yet.")
        if last_end is not None:
            ago = duration(max(0, now - last_end) // SECOND)
            note = say("Nothing needs you. The last incident ended %(ago)s ago.", ago=ago)
        return {"status": "up", "text": say("Everything that is watched is up"), "note": note}
    if counts[Status.MAINTENANCE]:
        return {"status": "maintenance", "text": say("Maintenance is under way"), "note": None}
    if counts[Status.PENDING]:
        return {"status": "pending", "text": say("The first checks are under way"), "note": None}
    return {
        "status": "paused",
        "text": say("Nothing is watched: every monitor is paused"),
        "note": None,
    }


def trouble_text(status: Status, n: int) -> str:
    """Return how many monitors are down, degraded or unknown, in words."""
    if status is Status.DOWN:
        return plural(n, "%(num)s monitor is down", "%(num)s monitors are down")
    if status is Status.DEGRADED:
        return plural(n, "%(num)s monitor is degraded", "%(num)s monitors are degraded")
    return plural(
        n, "%(num)s monitor is not known just now", "%(num)s monitors are not known just now"
    )


def _system_notices(call: Call) -> list[dict[str, str]]:
    """Say what is wrong with NetPulse itself."""
    engine = call.house.engine
    found = []
    trouble = engine.trouble
    if trouble is not None:
        found.append(
            {
                "kind": "error",
                "text": say(
                    "NetPulse cannot write its data: %(trouble)s. Until then states on this page"
                    " may be old.",
                    trouble=trouble,
                ),
            }
        )
    if call.house.raw.trouble:
        found.append(
            {
                "kind": "error",
                "text": say(
                    "Check results cannot be kept: %(trouble)s.", trouble=call.house.raw.trouble
                ),
            }
        )
    lag = engine.lag_stats()
    if lag.p99_ms > LATE:
        words = [
            say(
                "Checks start %(usual)s s late, and up to %(most)s s: this machine is too busy for"
                " so many checks.",
                usual=f"{lag.p50_ms / SECOND:.1f}",
                most=f"{lag.p99_ms / SECOND:.1f}",
            ),
            say("What was checked is judged as ever."),
            say("Longer intervals, fewer monitors or more processor help."),
        ]
        left_out = engine.left_out()
        if left_out:
            words.insert(
                1,
                plural(
                    left_out,
                    "%(n)s check of the last minute had to be left out.",
                    "%(n)s checks of the last minute had to be left out.",
                    n=many(left_out),
                ),
            )
        found.append({"kind": "warning", "text": " ".join(words)})
    return found


ROUTES = (dashboard,)
