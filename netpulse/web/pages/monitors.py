"""The pages of monitors: the list, one of them, making, changing, trying and deleting it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import Incident
from netpulse.model.monitor import (
    Monitor,
    MonitorSpec,
    PushSpec,
)
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.model.user import Role
from netpulse.model.watch import Status
from netpulse.rules import targets
from netpulse.rules.monitors import keep_secrets
from netpulse.storage import alert_rules, channels, incidents, monitors
from netpulse.storage.db import Conn
from netpulse.storage.incidents import IncidentFilter
from netpulse.storage.monitors import SORTS, MonitorFilter, MonitorRow
from netpulse.web import resource
from netpulse.web.api import checks as checks_api
from netpulse.web.api import monitors as api
from netpulse.web.api.checks import CheckAnswer, ChecksQuery, TestAnswer
from netpulse.web.api.uptime import UptimeQuery, uptime_of
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import chart, forms, monitor_form, render
from netpulse.web.pages.monitor_facts import facts
from netpulse.web.pages.render import redirect
from netpulse.web.pages.rows import bars, incident_row, monitor_rows

LIMIT = 20
RECENT_CHECKS = 12
RECENT_INCIDENTS = 5
ORDERS = [
    {"value": "status", "label": "Trouble first"},
    {"value": "name", "label": "By name"},
    {"value": "-created_at", "label": "Newest first"},
]
FIGURES = (("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"))


class _Listed(Struct, frozen=True):
    rows: list[MonitorRow]
    fitting: int
    total: int
    counts: dict[Status, int]
    covered: set[Id]
    bars: dict[Id, dict[str, Any]]
    tags: list[str]
    groups: list[str]


def _listed(conn: Conn, org_id: Id, wanted: MonitorFilter, offset: int, now: Millis) -> _Listed:
    found = monitors.page(conn, org_id, wanted, offset, LIMIT)
    ids = [(row.monitor.id, row.monitor.created_at) for row in found.rows]
    return _Listed(
        rows=found.rows,
        fitting=found.total,
        total=monitors.count(conn, org_id),
        counts=monitors.status_counts(conn, org_id),
        covered=monitors.covered(conn, org_id, [id_ for id_, _ in ids]),
        bars=bars(conn, org_id, ids, now),
        tags=monitors.tags(conn, org_id),
        groups=monitors.groups(conn, org_id),
    )


@page("GET", "/monitors", access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, filtered and paged on the server."""
    given = call.request.query_params
    filters = {name: str(given.get(name, ""))[:200] for name in _FILTERS}
    sort = filters["sort"] if filters["sort"] in SORTS else "status"
    status = filters["status"] if filters["status"] in set(Status) else ""
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    wanted = MonitorFilter(
        status=Status(status) if status else None,
        type=filters["type"] or None,
        tag=filters["tag"] or None,
        group=filters["group"] or None,
        q=filters["q"] or None,
        sort=sort,
    )
    seen = await call.session.read(_listed, wanted, (at - 1) * LIMIT, call.now)
    active = {name: value for name, value in filters.items() if value and name != "sort"}
    return await render.page(
        call,
        "monitors/list.html",
        active="Monitors",
        monitors=monitor_rows(call.house, seen.rows, seen.covered, seen.bars),
        monitors_total=seen.total,
        counts={each.value: seen.counts.get(each, 0) for each in Status},
        filters=filters | {"sort": sort, "status": status, "active": bool(active)},
        types=monitor_form.TYPES,
        tags=seen.tags,
        groups=seen.groups,
        sorts=ORDERS,
        pager=pager("/monitors", filters, at, LIMIT, seen.fitting),
    )


_FILTERS = ("q", "status", "type", "tag", "group", "sort")


def pager(path: str, filters: dict[str, str], at: int, limit: int, total: int) -> dict[str, Any]:
    """Return a pager for page `at` of a list at `path`."""

    def address(number: int) -> str:
        kept = {name: value for name, value in filters.items() if value}
        return f"{path}?{urlencode(kept | {'page': number})}"

    return {
        "page": at,
        "limit": limit,
        "total": total,
        "prev_url": address(at - 1) if at > 1 else None,
        "next_url": address(at + 1) if at * limit < total else None,
    }


# One monitor


async def _stored(call: Call) -> MonitorRow:
    row = await call.session.read(api.MONITORS.get, call.id("id", "monitor"))
    if row is None:
        raise not_found("monitor")
    return row


@page("GET", "/monitors/{id:str}", access=VIEWER)
async def detail(call: Call) -> Response[bytes]:
    """Show one, or the part that `part` names."""
    row = await _stored(call)
    monitor = row.monitor
    part = call.request.query_params.get("part")
    if part == "checks":
        return await render.page(
            call,
            "monitors/_checks.html",
            monitor=_shown(call, row, covered=True),
            checks=await _checks(call, row),
        )
    if part == "incidents":
        recent = await call.session.read(_incidents, monitor.id)
        listed = [incident_row(one, call.now) for one in recent]
        return await render.page(call, "monitors/_incidents.html", incidents=listed)
    seen = await call.session.read(_seen, row, call.now)
    figures = []
    for period, label in FIGURES:
        account = await uptime_of(
            call.house,
            call.session,
            monitor,
            UptimeQuery(period=period),  # type: ignore[arg-type]
        )
        figures.append(
            {
                "label": label,
                "uptime_percent": account.uptime_percent_time,
                "coverage_percent": account.coverage_percent,
                "down_seconds": account.down_seconds,
            }
        )
    return await render.page(
        call,
        "monitors/detail.html",
        active="Monitors",
        monitor=_shown(call, row, covered=monitor.id in seen.covered),
        figures=figures,
        bar=seen.bar["bar"],
        days=seen.bar["days"],
        chart=chart.control(monitor.id, chart.period_of(call)),
        checks=await _checks(call, row),
        incidents=[incident_row(one, call.now) for one in seen.incidents],
        facts=facts(monitor.spec),
        rules=seen.rules,
        certificate=_certificate(call, monitor.id),
        pinging=_pinging(call, monitor),
    )


class _Seen(Struct, frozen=True):
    covered: set[Id]
    bar: dict[str, Any]
    incidents: list[Incident]
    rules: list[dict[str, Any]]


def _seen(conn: Conn, org_id: Id, row: MonitorRow, now: Millis) -> _Seen:
    monitor = row.monitor
    telling = []
    for rule in alert_rules.for_monitor(conn, org_id, monitor.id, monitor.spec.tags):
        channel = channels.get(conn, org_id, rule.channel_id)
        telling.append(
            {
                "id": rule.id,
                "name": rule.name,
                "condition": rule.condition,
                "is_active": rule.is_active and channel is not None and channel.is_active,
                "channel_name": channel.name if channel is not None else "a deleted channel",
            }
        )
    return _Seen(
        covered=monitors.covered(conn, org_id, [monitor.id]),
        bar=bars(conn, org_id, [(monitor.id, monitor.created_at)], now)[monitor.id],
        incidents=_incidents(conn, org_id, monitor.id),
        rules=telling,
    )


def _incidents(conn: Conn, org_id: Id, monitor_id: Id) -> list[Incident]:
    wanted = IncidentFilter(monitor_id=monitor_id)
    return incidents.page(conn, org_id, wanted, 0, RECENT_INCIDENTS).rows


async def _checks(call: Call, row: MonitorRow) -> list[CheckAnswer]:
    query = ChecksQuery(limit=RECENT_CHECKS)
    found = await checks_api.page_of_checks(call.house.raw, row.monitor, query, call.now)
    return found.data


def _shown(call: Call, row: MonitorRow, *, covered: bool) -> dict[str, Any]:
    spec = row.monitor.spec
    alone = {row.monitor.id} if covered else set()
    shown: dict[str, Any] = monitor_rows(call.house, [row], alone, {})[0]
    shown["target"] = targets.shown(spec.target)
    return shown | {
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
        "key": f"{seen.key}, signed with {seen.signature}",
        "chain": [link.subject for link in seen.chain],
        "fingerprint": seen.fingerprint,
    }


def _pinging(call: Call, monitor: Monitor) -> dict[str, Any] | None:
    """Return where and how a job pings, and how it stands; None for what is not a push monitor."""
    if not isinstance(monitor.spec, PushSpec):
        return None
    origin = call.origin
    here = f"{'https' if origin.is_https else 'http'}://{origin.host}"
    base = call.house.config.server.public_url.rstrip("/") or here
    path = api.ping_path(monitor) if call.session.role >= Role.ADMIN else None
    beat = call.house.engine.pushes.beat(monitor.id)
    known = beat is not None and not monitor.spec.is_paused
    return {
        "url": None if path is None else base + path,
        "cron": monitor.spec.cron or "0 * * * *",
        "last_at": rfc3339(beat.last_at) if beat is not None and beat.last_at else None,
        "started_at": rfc3339(beat.started_at) if beat is not None and beat.started_at else None,
        "deadline_at": rfc3339(beat.deadline_at) if beat is not None and known else None,
    }


# Making and changing


@page("GET", "/monitors/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form."""
    return await _form(call, None, monitor_form.FRESH)


@page("POST", "/monitors/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one, or try it."""
    form = await forms.read(call)
    try:
        spec = api.spec_of(monitor_form.values(form))
        if form.text("action") == "test":
            return await _tried(call, form, None, spec)
        row = await resource.create(api.MONITORS, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, form, None, error)
    told = "saved" if row.monitor.spec.is_paused else "watching"
    return redirect(f"/monitors/{row.monitor.id}", told)


@page("GET", "/monitors/{id:str}/edit", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    row = await _stored(call)
    return await _form(call, row, monitor_form.entered(row.monitor.spec))


@page("POST", "/monitors/{id:str}/edit", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it, or try the change."""
    row = await _stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = api.spec_of(monitor_form.values(form))
        if form.text("action") == "test":
            return await _tried(call, form, row, spec)
        await resource.replace(
            api.MONITORS,
            call.house,
            call.session,
            row.monitor.id,
            spec,
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, form, row, error)
    return redirect(f"/monitors/{row.monitor.id}", "saved")


async def _tried(
    call: Call, form: forms.Form, row: MonitorRow | None, spec: MonitorSpec
) -> Response[bytes]:
    api.refuse_push(spec)
    if row is not None:
        spec = keep_secrets(spec, row.monitor.spec)
    reading, _, check = await call.house.engine.test(api.checked(spec))
    shown = form.again(monitor_form.BOXES, monitor_form.SECRETS)
    return await _form(call, row, shown, result=_result(checks_api.shown_test(check, reading)))


async def _refused(
    call: Call, form: forms.Form, row: MonitorRow | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, monitor_form.LABELS)
    shown = form.again(monitor_form.BOXES, monitor_form.SECRETS)
    return await _form(call, row, shown, found, status=error.status)


async def _form(
    call: Call,
    row: MonitorRow | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    result: dict[str, Any] | None = None,
    status: int = 200,
) -> Response[bytes]:
    stored = () if row is None else monitor_form.stored_secrets(row.monitor.spec)
    monitor = None
    if row is not None:
        spec = row.monitor.spec
        monitor = {"id": row.monitor.id, "name": spec.name, "version": row.monitor.version}
    return await render.page(
        call,
        "monitors/form.html",
        active="Monitors",
        status=status,
        monitor=monitor,
        form=forms.view(shown, errors, stored),
        types=monitor_form.TYPES,
        methods=monitor_form.METHODS,
        records=monitor_form.RECORDS,
        groups=await call.session.read(monitors.groups),
        test_result=result,
        advanced_open=monitor_form.advanced_open(shown, errors or {}),
    )


_PHASES = (
    ("dns_ms", "name"),
    ("connect_ms", "connect"),
    ("tls_ms", "TLS"),
    ("first_byte_ms", "first byte"),
    ("total_ms", "in all"),
)


def _result(tried: TestAnswer) -> dict[str, Any]:
    took = f"answered in {tried.response_time_ms} ms"
    good = f"HTTP {tried.status_code}, {took}" if tried.status_code else took
    measured = [(label, getattr(tried.timings, name)) for name, label in _PHASES]
    return {
        "status": tried.status.value,
        "text": tried.error_message or good,
        "phases": [{"label": label, "ms": f"{ms:g}"} for label, ms in measured if ms is not None],
        "certificate": tried.certificate,
        "notes": _notes(tried),
    }


def _notes(tried: TestAnswer) -> list[str]:
    """Return what a ping or a name server brought back, a line each."""
    notes = [f"Record: {each}" for each in tried.answers[:20]]
    if len(tried.answers) > 20:
        notes.append(f"and {len(tried.answers) - 20} more")
    seen = tried.packets
    if seen is not None:
        notes.append(f"{seen.received} of {seen.sent} pings came back, {seen.loss_percent:g}% lost")
        if seen.average_ms is not None:
            jitter = "" if seen.jitter_ms is None else f"; jitter {seen.jitter_ms:g} ms"
            notes.append(
                f"Round trip: least {seen.min_ms:g} ms, average {seen.average_ms:g} ms, "
                f"most {seen.max_ms:g} ms{jitter}"
            )
    return notes


# Acts


@page("POST", "/monitors/{id:str}/check", access=ADMIN)
async def check_now(call: Call) -> Response[bytes]:
    """Check it now, by hand."""
    row = await _stored(call)
    api.refuse_push(row.monitor.spec)
    await call.house.engine.check_now(call.session.org_id, row.monitor)
    await call.house.raw.flush()
    return redirect(f"/monitors/{row.monitor.id}", "checked")


@page("POST", "/monitors/{id:str}/pause", access=ADMIN)
async def pause(call: Call) -> Response[bytes]:
    """Pause it."""
    row = await api.pause(call.house, call.session, call.id("id", "monitor"))
    return redirect(f"/monitors/{row.monitor.id}", "paused")


@page("POST", "/monitors/{id:str}/resume", access=ADMIN)
async def resume(call: Call) -> Response[bytes]:
    """Resume it."""
    row = await api.resume(call.house, call.session, call.id("id", "monitor"))
    return redirect(f"/monitors/{row.monitor.id}", "resumed")


@page("GET", "/monitors/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    row = await _stored(call)
    return await render.page(
        call,
        "monitors/delete.html",
        active="Monitors",
        monitor=_shown(call, row, covered=True),
        consequences=await call.session.read(_consequences, row),
    )


def _consequences(conn: Conn, org_id: Id, row: MonitorRow) -> list[str]:
    found = ["Its figures and checks leave the lists."]
    if row.watch.incident_id is not None:
        found.append("Its open incident is resolved; no recovery is told.")
    bound = alert_rules.page(conn, org_id, monitor_id=row.monitor.id, limit=5)
    if bound.total:
        names = ", ".join(rule.name for rule in bound.rows)
        more = f" and {bound.total - len(bound.rows)} more" if bound.total > 5 else ""
        verb = "rule names only this monitor and goes" if bound.total == 1 else "rules go"
        found.append(f"{bound.total} {verb} with it: {names}{more}.")
    return found


@page("POST", "/monitors/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    await resource.delete(api.MONITORS, call.house, call.session, call.id("id", "monitor"))
    return redirect("/monitors", "deleted")


ROUTES = (
    list_all,
    new_form,
    create,
    detail,
    edit_form,
    replace,
    check_now,
    pause,
    resume,
    delete_form,
    delete,
    *chart.ROUTES,
)
