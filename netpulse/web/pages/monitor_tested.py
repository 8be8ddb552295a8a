"""What "Test now" shows: the verdict, and everything that led to it."""

from __future__ import annotations

from typing import Any

from netpulse.model.check import Check, Failure, Reading
from netpulse.model.monitor import MonitorSpec, type_of
from netpulse.web.api.checks import BodyAnswer, TestAnswer, shown_test
from netpulse.web.figures import decimal, many
from netpulse.web.languages import mark, say

BODY_BYTES = 1024
MOST = 20
"""Addresses, records and names that are listed; of more it is said how many."""

_PHASES = (
    ("dns_ms", "DNS"),
    ("connect_ms", mark("connect")),
    ("tls_ms", "TLS"),
    ("first_byte_ms", mark("first byte")),
    ("total_ms", mark("in all")),
)


def tested(spec: MonitorSpec, check: Check, reading: Reading) -> dict[str, Any]:
    """Return what the form shows of a test of `spec`."""
    tried = shown_test(spec, check, reading, longest=BODY_BYTES)
    kind = type_of(spec)
    took = say("answered in %(ms)s ms", ms=decimal(tried.response_time_ms))
    good = f"HTTP {tried.status_code}, {took}" if tried.status_code else took
    measured = [(label, getattr(tried.timings, name)) for name, label in _PHASES]
    seen = tried.certificate
    return {
        "status": tried.status.value,
        "text": tried.error_message or good,
        "phases": [
            {"label": say(label), "ms": f"{ms:g}"} for label, ms in measured if ms is not None
        ],
        "addresses": _some(_addresses(kind, tried)),
        "server": tried.address if kind == "dns" else None,
        "spoken": ", ".join(word for word in (_http(tried), tried.tls_version) if word),
        "redirects": say("%(n)s, to %(url)s", n=tried.redirects, url=tried.final_url)
        if tried.redirects
        else None,
        "certificate": seen,
        "names": _some([] if seen is None else list(seen.names)),
        "records": _some(list(tried.answers)),
        "pings": _pings(tried),
        "body": tried.body,
        "body_size": None if tried.body is None else _size(tried.body),
    }


def _some(listed: list[Any]) -> dict[str, Any]:
    return {"rows": listed[:MOST], "more": max(0, len(listed) - MOST)}


def _addresses(kind: str, tried: TestAnswer) -> list[dict[str, str]]:
    """Return every address of the target with what became of it."""
    if kind == "dns":
        return []
    rows = [
        {"text": each, "note": say("dialled") if each == tried.address else ""}
        for each in tried.addresses
    ]
    if tried.address is not None and tried.address not in tried.addresses:
        blocked = tried.failure == Failure.BLOCKED.value
        rows.insert(
            0, {"text": tried.address, "note": say("blocked") if blocked else say("dialled")}
        )
    # What was dialled stays in sight, however many there are.
    return sorted(rows, key=lambda row: not row["note"])


def _http(tried: TestAnswer) -> str | None:
    return None if tried.http_version is None else f"HTTP/{tried.http_version}"


def _size(body: BodyAnswer) -> str:
    """Return how much of the body is shown."""
    if not body.is_cut:
        return (
            say("all %(n)s bytes", n=many(body.shown_bytes)) if body.shown_bytes else say("empty")
        )
    shown = many(body.shown_bytes)
    if body.total_bytes is None:
        return say("the first %(n)s bytes; it goes on", n=shown)
    return say("the first %(n)s of %(total)s bytes", n=shown, total=many(body.total_bytes))


def _pings(tried: TestAnswer) -> list[str]:
    """Return what came of pings, a line each."""
    seen = tried.packets
    if seen is None:
        return []
    lines = [
        say(
            "%(received)s of %(sent)s came back, %(percent)s%% lost",
            received=seen.received,
            sent=seen.sent,
            percent=decimal(f"{seen.loss_percent:g}"),
        )
    ]
    if seen.average_ms is not None:
        line = say(
            "round trip: least %(least)s ms, average %(average)s ms, most %(most)s ms",
            least=decimal(f"{seen.min_ms:g}"),
            average=decimal(f"{seen.average_ms:g}"),
            most=decimal(f"{seen.max_ms:g}"),
        )
        if seen.jitter_ms is not None:
            line += "; " + say("jitter %(ms)s ms", ms=decimal(f"{seen.jitter_ms:g}"))
        lines.append(line)
    return lines
