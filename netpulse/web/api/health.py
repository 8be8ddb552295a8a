"""Whether the process answers, whether it watches, and its figures for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Response

from netpulse.engine.roster import Watched
from netpulse.model.ids import Id
from netpulse.model.monitor import type_of
from netpulse.model.time import SECOND
from netpulse.model.watch import Status
from netpulse.rules.status_pages import hostname, is_local
from netpulse.storage import notices, orgs
from netpulse.web import auth, scopes
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError, forbidden
from netpulse.web.house import House
from netpulse.web.proxies import networks, within
from netpulse.web.session import OrgSession

MAX_LAG_MS = 5_000
"""Scheduling lag (p99 over the last minute) from which on the process is not ready."""
_PER_TURN = 250
_TEXT = "text/plain; version=0.0.4"

_encode = msgspec.json.encode


def _json(body: dict[str, Any], status: int = 200) -> Response[bytes]:
    return Response(_encode(body), status_code=status, media_type="application/json")


@page("GET", "/healthz", access=PUBLIC, counts=False)
async def healthz(call: Call) -> Response[bytes]:
    """Say that the process answers."""
    del call
    return _json({"status": "ok"})


@page("GET", "/readyz", access=PUBLIC)
async def readyz(call: Call) -> Response[bytes]:
    """Say whether the database can be written, checks are on time, no monitor is stale, and
    somebody would be told."""
    engine = call.house.engine
    lag, stale, trouble = engine.lag_stats(), engine.stale_count(), engine.trouble
    stopping = call.house.stopping.is_set()
    keyless = call.house.db.vault.is_lost
    ready = trouble is None and lag.p99_ms < MAX_LAG_MS and not (stale or stopping or keyless)
    body: dict[str, Any] = {"status": "ready" if ready else "not ready"}
    if await _is_known(call):
        body |= {
            "database": "writable" if trouble is None else str(trouble),
            "schedule_lag_p50_ms": lag.p50_ms,
            "schedule_lag_p99_ms": lag.p99_ms,
            "checks_left_out": engine.left_out(),
            "stale_monitors": stale,
            "stopping": stopping,
            "encryption_key": "missing or another one: nobody is told" if keyless else "in use",
        }
    return _json(body, 200 if ready else 503)


async def _is_known(call: Call) -> bool:
    if _is_near(call) and _is_called_by_our_name(call):
        return True
    try:
        await auth.identify(call.request)
    except ApiError:
        return False
    return True


def _is_near(call: Call) -> bool:
    return within(call.origin.ip, networks(call.house.config.metrics.allow))


def _is_called_by_our_name(call: Call) -> bool:
    name = hostname(call.origin.host)
    return is_local(name) or name == urlsplit(call.house.config.server.public_url).hostname


@page("GET", "/metrics", access=PUBLIC)
async def metrics(call: Call) -> Response[bytes]:
    """Give the figures: all of them to the networks of `metrics.allow`, under a name that no page
    of a stranger can have; and to somebody who is signed in those of their own organization."""
    if _is_near(call) and _is_called_by_our_name(call):
        lines = await _of_monitors(call.house, None)
        lines += await _of_the_process(call.house)
    else:
        session = await _signed(call)
        if session.key is not None and not session.key.allows(scopes.METRICS):
            raise forbidden(f"This API key lacks the scope {scopes.METRICS}")
        lines = await _of_monitors(call.house, session.org_id)
    return Response("".join(lines).encode(), media_type=_TEXT)


async def _signed(call: Call) -> OrgSession:
    try:
        return await auth.identify(call.request)
    except ApiError:
        if not _is_near(call):
            raise
    raise forbidden(
        "Figures without a sign-in are given under an address of this machine or the name in "
        "server.public_url, not under the one you asked for; or send an API key"
    )


async def _of_monitors(house: House, org_id: Id | None) -> list[str]:
    """Return the figures of the monitors of one organization, or of all."""
    slugs = {org.id: _quoted(org.slug) for org in await house.db.read(orgs.all)}
    up: list[str] = []
    slow: list[str] = []
    expiry: list[str] = []
    for number, watched in enumerate(house.engine.roster):
        if number % _PER_TURN == _PER_TURN - 1:
            await asyncio.sleep(0)
        monitor = watched.monitor
        if org_id is not None and monitor.org_id != org_id:
            continue
        labels = (
            f'{{org="{slugs.get(monitor.org_id, "")}",id="{monitor.id}",'
            f'name="{_quoted(monitor.spec.name)}",type="{type_of(monitor.spec)}"}}'
        )
        state = _up(watched)
        if state is not None:
            up.append(f"netpulse_monitor_up{labels} {state}\n")
        last = watched.last
        if last is not None and last.conclusive and last.response_time_ms is not None:
            seconds = last.response_time_ms / SECOND
            slow.append(f"netpulse_monitor_response_seconds{labels} {seconds}\n")
        if watched.certificate is not None:
            at = watched.certificate.not_after // SECOND
            expiry.append(f"netpulse_certificate_expiry_timestamp_seconds{labels} {at}\n")
    return [
        *_family("netpulse_monitor_up", "gauge", "1 up or degraded, 0 down; absent: not known"),
        *up,
        *_family("netpulse_monitor_response_seconds", "gauge", "Response time of the last check"),
        *slow,
        *_family(
            "netpulse_certificate_expiry_timestamp_seconds",
            "gauge",
            "When the certificate that was seen last expires, Unix time",
        ),
        *expiry,
    ]


def _up(watched: Watched) -> int | None:
    if watched.watch.status in (Status.UP, Status.DEGRADED):
        return 1
    return 0 if watched.watch.status is Status.DOWN else None


async def _of_the_process(house: House) -> list[str]:
    figures = house.engine.figures
    pending = await house.db.read(notices.pending_count)
    lags = figures.lags
    return [
        *_family("netpulse_checks_total", "counter", "Finished checks by their result"),
        *(
            f'netpulse_checks_total{{result="{result.value}"}} {count}\n'
            for result, count in figures.checks.items()
        ),
        *_family("netpulse_schedule_lag_seconds", "histogram", "Start of a check less its slot"),
        *(
            f'netpulse_schedule_lag_seconds_bucket{{le="{_bound(bound)}"}} {count}\n'
            for bound, count in lags.cumulative()
        ),
        f"netpulse_schedule_lag_seconds_sum {lags.total_seconds}\n",
        f"netpulse_schedule_lag_seconds_count {lags.count}\n",
        *_family("netpulse_checks_skipped_total", "counter", "Slots whose check did not run"),
        f"netpulse_checks_skipped_total {house.engine.scheduler.skipped}\n",
        *_family("netpulse_outbox_pending", "gauge", "Notices that wait to be sent"),
        f"netpulse_outbox_pending {pending}\n",
        *_family(
            "netpulse_telling", "gauge", "1; 0: nobody is told, for want of the encryption key"
        ),
        f"netpulse_telling {int(not house.db.vault.is_lost)}\n",
    ]


def _family(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}\n", f"# TYPE {name} {kind}\n"


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else str(seconds)


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


ROUTES = (healthz, readyz, metrics)
