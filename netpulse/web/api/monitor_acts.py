"""What can be done with a monitor beside the five verbs: pause and resume it, read its checks and
its uptime, check it now, test a configuration.
"""

from __future__ import annotations

from typing import Any

from netpulse.model.monitor import Monitor, MonitorSpec
from netpulse.storage import monitors, quotas
from netpulse.web import limits
from netpulse.web.api import checks
from netpulse.web.api import monitors as monitors_api
from netpulse.web.api.checks import CheckAnswer, ChecksQuery, TestAnswer
from netpulse.web.api.uptime import UptimeAnswer, UptimeQuery, uptime_of
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, endpoint
from netpulse.web.envelope import Many, One
from netpulse.web.errors import not_found


async def _stored(call: Call) -> Monitor:
    found = await call.session.read(monitors.get, call.id("id", "monitor"))
    if found is None:
        raise not_found("monitor")
    return found


@endpoint(
    "POST",
    "/v1/monitors/{id:str}/pause",
    access=ADMIN,
    tag="monitors",
    summary="Pause a monitor; its open incident is resolved, and nobody is told of a recovery",
    answer=monitors_api.MonitorAnswer,
    errors=(404,),
)
async def pause_one(call: Call) -> One[dict[str, Any]]:
    """Pause."""
    row = await monitors_api.pause(call.house, call.session, call.id("id", "monitor"))
    call.tag(row.monitor.version)
    return One.of(monitors_api.shown(call.house, call.session, row))


@endpoint(
    "POST",
    "/v1/monitors/{id:str}/resume",
    access=ADMIN,
    tag="monitors",
    summary="Resume a paused monitor; it is checked within a second",
    answer=monitors_api.MonitorAnswer,
    errors=(404,),
)
async def resume_one(call: Call) -> One[dict[str, Any]]:
    """Resume."""
    row = await monitors_api.resume(call.house, call.session, call.id("id", "monitor"))
    call.tag(row.monitor.version)
    return One.of(monitors_api.shown(call.house, call.session, row))


@endpoint(
    "GET",
    "/v1/monitors/{id:str}/checks",
    access=VIEWER,
    tag="monitors",
    summary="List a monitor's checks, the newest first",
    query=ChecksQuery,
    answer=CheckAnswer,
    many=True,
    errors=(404,),
)
async def list_checks(call: Call) -> Many[CheckAnswer]:
    """Page by page number as far as row 10,000, and by cursor without end."""
    monitor = await _stored(call)
    query = call.query(ChecksQuery)
    shown_from = await call.session.read(quotas.shown_from, call.now)
    return await checks.page_of_checks(call.house.raw, monitor, query, call.now, shown_from)


@endpoint(
    "GET",
    "/v1/monitors/{id:str}/uptime",
    access=VIEWER,
    tag="monitors",
    summary="Account for a monitor's time",
    query=UptimeQuery,
    answer=UptimeAnswer,
    errors=(404,),
)
async def uptime(call: Call) -> One[UptimeAnswer]:
    """Say where every second of the period went."""
    monitor = await _stored(call)
    return One.of(await uptime_of(call.house, call.session, monitor, call.query(UptimeQuery)))


@endpoint(
    "POST",
    "/v1/monitors/{id:str}/check",
    access=ADMIN,
    tag="monitors",
    summary="Check a monitor now; it confirms nothing and is in no figure",
    answer=CheckAnswer,
    errors=(404, 409, 429),
)
async def check_now(call: Call) -> One[CheckAnswer]:
    """Run one check and return it."""
    monitor = await _stored(call)
    monitors_api.refuse_push(monitor.spec)
    limits.run_counts(call)
    check = await call.house.engine.check_now(call.session.org_id, monitor)
    return One.of(checks.shown(check, monitor.id))


@endpoint(
    "POST",
    "/v1/monitors/test",
    access=ADMIN,
    tag="monitors",
    summary="Try a configuration without storing it",
    body=MonitorSpec,
    answer=TestAnswer,
    errors=(409, 429),
)
async def test(call: Call) -> One[TestAnswer]:
    """Run one check of a configuration and return it."""
    spec = monitors_api.checked(monitors_api.spec_of(await call.json()))
    await call.session.read(monitors_api.refuse_parent, None, spec)
    monitors_api.refuse_push(spec)
    limits.run_counts(call)
    reading, _, check = await call.house.engine.test(call.session.org_id, spec)
    return One.of(checks.shown_test(spec, check, reading))


ROUTES = (pause_one, resume_one, list_checks, uptime, check_now, test)
