"""The response-time chart: figures for uPlot, and the bands behind them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Window
from netpulse.model.monitor import IcmpSpec, Monitor, MonitorSpec, PushSpec
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status
from netpulse.storage import maintenance_spans, monitors, quotas, runs, spans
from netpulse.storage.db import Conn
from netpulse.storage.raw.chart import Bucket, Figure
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import not_found
from netpulse.web.languages import mark, say

PERIODS: dict[str, tuple[str, Millis]] = {
    "1h": ("1 h", HOUR),
    "24h": ("24 h", DAY),
    "7d": (mark("7 days"), 7 * DAY),
    "30d": (mark("30 days"), 30 * DAY),
    "90d": (mark("90 days"), 90 * DAY),
}
POINTS = 360
SHORTEST = 10 * MINUTE
LONGEST = 90 * DAY
LONG = 8 * DAY
"""The figures of a period that is longer than this may be some seconds old."""

_PARTS = ("DNS", "Connect", "TLS", "First byte")

_BANDS = {Status.DOWN: "down", Status.UNKNOWN: "unknown"}


def control(monitor_id: Id, period: str) -> dict[str, Any]:
    """Return what the page shows of the chart before its figures arrive."""
    return {
        "url": f"/monitors/{monitor_id}/chart.json?period={period}",
        "period": period,
        "periods": [
            {
                "label": say(label),
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
    """Give the figures of a period, or of a stretch of one that somebody looks at closely, as
    JSON."""
    monitor = await call.session.read(monitors.get, call.id("id", "monitor"))
    if monitor is None:
        raise not_found("monitor")
    shown_from = await call.session.read(quotas.shown_from, call.now)
    start, end = _stretch(call, max(monitor.created_at, shown_from))

    async def make() -> bytes:
        return await _drawn(call, monitor, start, end)

    if "from" not in call.request.query_params and end - start > LONG:
        # Of a hundred thousand checks the last few are not seen; adding them up takes a while.
        key = (call.session.org_id, "chart", monitor.id, monitor.version, period_of(call))
        body = await call.house.kept.get(key, make)
    else:
        body = await make()
    return Response(body, media_type="application/json")


async def _drawn(call: Call, monitor: Monitor, start: Millis, end: Millis) -> bytes:
    step = max(monitor.spec.interval_seconds * SECOND, (end - start) // POINTS)
    points = max(1, (end - start) // step)
    buckets = await call.house.raw.series(monitor.key, start, end, points)
    seen = await call.session.read(_states, monitor.id, start, end)
    # Building and encoding a few hundred points takes about a millisecond; off the loop anyway.
    return await asyncio.to_thread(_encoded, monitor, buckets, seen, start, end)


def _stretch(call: Call, first: Millis) -> tuple[Millis, Millis]:
    """Return what the address asks for: `from` and `to` in Unix seconds, or the period up to now.

    `first` is the earliest moment of which there can be figures. What is asked for is moved and
    widened to a stretch that is in the past and not too short to have a shape.
    """
    now = call.now
    # The few points of a new monitor would hide at the end of an empty month.
    earliest = min(first, now - SHORTEST)
    given = [call.request.query_params.get(name, "") for name in ("from", "to")]
    if all(text.isdecimal() and len(text) < 12 for text in given):
        start, end = (int(text) * SECOND for text in given)
        end = min(max(end, earliest + SHORTEST), now)
        return min(max(start, earliest, end - LONGEST), end - SHORTEST), end
    _, length = PERIODS[period_of(call)]
    return max(now - length, earliest), now


class _Seen(Struct, frozen=True):
    known: list[Span]
    gaps: list[Gap]
    maintained: list[Window]


def _states(conn: Conn, org_id: Id, monitor_id: Id, start: Millis, end: Millis) -> _Seen:
    del org_id  # the monitor was found in it
    return _Seen(
        spans.between(conn, monitor_id, start, end),
        runs.gaps(conn, start, end),
        maintenance_spans.between(conn, monitor_id, start, end),
    )


def _encoded(
    monitor: Monitor,
    buckets: list[Bucket],
    seen: _Seen,
    start: Millis,
    end: Millis,
) -> bytes:
    return msgspec.json.encode(
        {
            "from": start // SECOND,
            "to": end // SECOND,
            "at": [(bucket.start + bucket.end) // 2 // SECOND for bucket in buckets],
            "total": {"label": _total_label(monitor.spec), "values": _totals(buckets)},
            "phases": _phases(monitor.spec, buckets),
            "bands": _bands(seen, start, end),
            "threshold_ms": monitor.spec.degraded_after_ms,
        }
    )


def _total_label(spec: MonitorSpec) -> str:
    if isinstance(spec, IcmpSpec):
        return "Round trip"
    return "Run time" if isinstance(spec, PushSpec) else "Response time"


def _totals(buckets: list[Bucket]) -> list[float | None]:
    # The parts are kept more exactly than the whole milliseconds of a response time.
    return [_mean(bucket.total or bucket.response) for bucket in buckets]


def _phases(spec: MonitorSpec, buckets: list[Bucket]) -> list[dict[str, Any]]:
    """Return the parts of which the total is the sum, in their order; none where it has none.

    A round trip has no parts: the look-up of the name comes before it.
    """
    if isinstance(spec, IcmpSpec | PushSpec):
        return []
    rows = [
        (_mean(each.dns), _mean(each.connect), _mean(each.tls), _mean(each.first_byte))
        for each in buckets
    ]
    shown = []
    for number, label in enumerate(_PARTS):
        # What has no place in this protocol is no part of it; a look-up of 0 ms is.
        if any(row[number] is not None for row in rows):
            parts = [row[number] for row in rows]
            shown.append({"label": label, "values": parts})
    rest = [
        None if total is None else max(0.0, round(total - sum(part or 0.0 for part in row), 1))
        for total, row in zip(_totals(buckets), rows, strict=True)
    ]
    return [*shown, {"label": "Rest", "values": rest}] if shown else []


def _mean(figure: Figure | None) -> float | None:
    return None if figure is None else round(figure.mean, 1)


def _bands(seen: _Seen, start: Millis, end: Millis) -> list[dict[str, int | str]]:
    known = seen.known
    stretches = [(gap.start, gap.end, "unknown") for gap in seen.gaps]
    stretches += [(one.start, one.end, "maintenance") for one in seen.maintained]
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
