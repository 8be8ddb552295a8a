"""What "Test now" shows: the verdict, and everything that led to it."""

from __future__ import annotations

from typing import Any

from netpulse.model.check import Check, Failure, Reading
from netpulse.model.monitor import MonitorSpec, type_of
from netpulse.web.api.checks import BodyAnswer, TestAnswer, shown_test

BODY_BYTES = 1024
MOST = 20
"""Addresses, records and names that are listed; of more it is said how many."""

_PHASES = (
    ("dns_ms", "DNS"),
    ("connect_ms", "connect"),
    ("tls_ms", "TLS"),
    ("first_byte_ms", "first byte"),
    ("total_ms", "in all"),
)


def tested(spec: MonitorSpec, check: Check, reading: Reading) -> dict[str, Any]:
    """Return what the form shows of a test of `spec`."""
    tried = shown_test(spec, check, reading, longest=BODY_BYTES)
    kind = type_of(spec)
    took = f"answered in {tried.response_time_ms} ms"
    good = f"HTTP {tried.status_code}, {took}" if tried.status_code else took
    measured = [(label, getattr(tried.timings, name)) for name, label in _PHASES]
    seen = tried.certificate
    return {
        "status": tried.status.value,
        "text": tried.error_message or good,
        "phases": [{"label": label, "ms": f"{ms:g}"} for label, ms in measured if ms is not None],
        "addresses": _some(_addresses(kind, tried)),
        "server": tried.address if kind == "dns" else None,
        "spoken": ", ".join(word for word in (_http(tried), tried.tls_version) if word),
        "redirects": f"{tried.redirects}, to {tried.final_url}" if tried.redirects else None,
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
        {"text": each, "note": "dialled" if each == tried.address else ""}
        for each in tried.addresses
    ]
    if tried.address is not None and tried.address not in tried.addresses:
        blocked = tried.failure == Failure.BLOCKED.value
        rows.insert(0, {"text": tried.address, "note": "blocked" if blocked else "dialled"})
    # What was dialled stays in sight, however many there are.
    return sorted(rows, key=lambda row: not row["note"])


def _http(tried: TestAnswer) -> str | None:
    return None if tried.http_version is None else f"HTTP/{tried.http_version}"


def _size(body: BodyAnswer) -> str:
    """Return how much of the body is shown."""
    if not body.is_cut:
        return f"all {body.shown_bytes:,} bytes" if body.shown_bytes else "empty"
    if body.total_bytes is None:
        return f"the first {body.shown_bytes:,} bytes; it goes on"
    return f"the first {body.shown_bytes:,} of {body.total_bytes:,} bytes"


def _pings(tried: TestAnswer) -> list[str]:
    """Return what came of pings, a line each."""
    seen = tried.packets
    if seen is None:
        return []
    lines = [f"{seen.received} of {seen.sent} came back, {seen.loss_percent:g}% lost"]
    if seen.average_ms is not None:
        jitter = "" if seen.jitter_ms is None else f"; jitter {seen.jitter_ms:g} ms"
        lines.append(
            f"round trip: least {seen.min_ms:g} ms, average {seen.average_ms:g} ms, "
            f"most {seen.max_ms:g} ms{jitter}"
        )
    return lines
