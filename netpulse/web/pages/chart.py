"""The response-time chart: figures for uPlot, and the bands behind them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import Response

from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status
from netpulse.storage import monitors, runs, spans
from netpulse.storage.db import Conn
from netpulse.storage.raw.figures import Bucket, Figure
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import not_found

PERIODS: dict[str, tuple[str, Millis]] = {
    "1h": ("1 h", HOUR),
    "24h": ("24 h", DAY),
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
}
POINTS = 360
SHORTEST = 10 * MINUTE

_BANDS = {Status.DOWN: "down", Status.UNKNOWN: "unknown", Status.MAINTENANCE: "maintenance"}


def control(monitor_id: Id, period: str) -> dict[str, Any]:
    """Return what the page shows of the chart before its figures arrive."""
    return {
        "url": f"/monitors/{monitor_id}/chart.json?period={period}",
        "period": period,
        "periods": [
            {
                "label": label,
                "value": value,
                "url": f"/monitors/{monitor_id}/chart.json?period={value}",
            }
            for value, (label, _) in PERIODS.items()
        ],
    }


def period_of(call: Call) -> str:
    """Return the period that the address names, or the usual one."""
    wanted = call.request.query_params.get("period", "")
    return wanted if wanted in PERIODS else "24h"


@page("GET", "/monitors/{id:str}/chart.json", access=VIEWER)
async def chart(call: Call) -> Response[bytes]:
    """Give the figures of a period as JSON."""
    monitor = await call.session.read(monitors.get, call.id("id", "monitor"))
    if monitor is None:
        raise not_found("monitor")
    _, length = PERIODS[period_of(call)]
    end = call.now
    # The few points of a new monitor would hide at the end of an empty month.
    start = max(end - length, min(monitor.created_at, end - SHORTEST))
    step = max(monitor.spec.interval_seconds * SECOND, (end - start) // POINTS)
    points = max(1, (end - start) // step)
    buckets = await call.house.raw.series(monitor.key, start, end, points)
    known, gaps = await call.session.read(_states, monitor.id, start, end)
    # Building and encoding a few hundred points takes about a millisecond; off the loop anyway.
    body = await asyncio.to_thread(_encoded, monitor, buckets, known, gaps, start, end)
    return Response(body, media_type="application/json")


def _states(
    conn: Conn, org_id: Id, monitor_id: Id, start: Millis, end: Millis
) -> tuple[list[Span], list[Gap]]:
    del org_id  # the monitor was found in it
    return spans.between(conn, monitor_id, start, end), runs.gaps(conn, start, end)


def _encoded(
    monitor: Monitor,
    buckets: list[Bucket],
    known: list[Span],
    gaps: list[Gap],
    start: Millis,
    end: Millis,
) -> bytes:
    phases = [
        ("Response time", [_mean(bucket.response) for bucket in buckets]),
        ("Name", [_mean(bucket.dns) for bucket in buckets]),
        ("Connect", [_mean(bucket.connect) for bucket in buckets]),
        ("TLS", [_mean(bucket.tls) for bucket in buckets]),
        ("First byte", [_mean(bucket.first_byte) for bucket in buckets]),
    ]
    shown = [
        {"label": label, "values": values}
        for number, (label, values) in enumerate(phases)
        if number == 0 or any(value for value in values)
    ]
    return msgspec.json.encode(
        {
            "from": start // SECOND,
            "to": end // SECOND,
            "at": [(bucket.start + bucket.end) // 2 // SECOND for bucket in buckets],
            "series": shown,
            "bands": _bands(known, gaps, start, end),
            "threshold_ms": monitor.spec.degraded_after_ms,
        }
    )


def _mean(figure: Figure | None) -> float | None:
    return None if figure is None else round(figure.mean, 1)


def _bands(
    known: list[Span], gaps: list[Gap], start: Millis, end: Millis
) -> list[dict[str, int | str]]:
    stretches = [(gap.start, gap.end, "unknown") for gap in gaps]
    for number, span in enumerate(known):
        until = known[number + 1].at if number + 1 < len(known) else end
        word = _BANDS.get(span.status)
        if word is not None:
            stretches.append((span.at, until, word))
    return [
        {
            "from": max(start, begun) // SECOND,
            "to": min(end, ended) // SECOND,
            "status": word,
        }
        for begun, ended, word in sorted(stretches)
        if ended > start and begun < end
    ]


ROUTES = (chart,)
