"""A finished check as `netpulse check` shows it: for people, and as JSON."""

from __future__ import annotations

import msgspec

from netpulse.model.check import LOCAL, Reading, Verdict
from netpulse.model.monitor import MonitorSpec
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.rules.targets import shown


def as_json(reading: Reading, verdict: Verdict, started_at: Millis) -> str:
    """Return the check as the API answers it, and beside it what only a probe knows."""
    certificate = None
    if reading.certificate is not None:
        certificate = msgspec.to_builtins(reading.certificate)
        for moment in ("not_before", "not_after"):
            certificate[moment] = rfc3339(certificate[moment])
    check = {
        # An id is computed from a monitor's, and there is none.
        "id": None,
        "monitor_id": None,
        "status": verdict.result,
        "response_time_ms": _response_time(reading),
        "status_code": reading.status_code,
        "error_message": verdict.message,
        "failure": verdict.failure,
        "failure_detail": verdict.detail,
        "checked_at": rfc3339(started_at),
        "region": LOCAL,
        "counted": False,
        "timings": reading.timings,
        "address": reading.address,
        "http_version": reading.http_version,
        "tls_version": reading.tls_version,
        "final_url": reading.final_url,
        "redirects": reading.redirects,
        "certificate": certificate,
    }
    return msgspec.json.format(msgspec.json.encode(check), indent=2).decode() + "\n"


def _response_time(reading: Reading) -> int | None:
    took = reading.timings.total_ms
    return None if took is None or reading.failure is not None else round(took)


def in_words(spec: MonitorSpec, reading: Reading, verdict: Verdict, started_at: Millis) -> str:
    """Return the verdict in a line, and a line for each phase and what else is known."""
    said = verdict.message
    if said is None:
        code = f"answered {reading.status_code}" if reading.status_code else "connected"
        took = _response_time(reading)
        said = code if took is None else f"{code} in {took} ms"
    words = [word for word in (verdict.failure, verdict.detail) if word]
    reason = f" ({', '.join(words)})" if words else ""
    lines = [f"{verdict.result.upper()}  {shown(spec.target)}  {said}{reason}"]
    timings = reading.timings
    rows: list[tuple[str, str | None]] = [
        ("address", reading.address),
        ("dns", _milliseconds(timings.dns_ms)),
        ("connect", _milliseconds(timings.connect_ms)),
        ("tls", _milliseconds(timings.tls_ms, reading.tls_version)),
        ("first byte", _milliseconds(timings.first_byte_ms)),
        ("total", _milliseconds(timings.total_ms)),
    ]
    if reading.redirects:
        rows.append(("redirects", f"{reading.redirects}, to {reading.final_url}"))
    certificate = reading.certificate
    if certificate is not None:
        left = certificate.not_after - started_at
        when = f"in {left // DAY} days" if left >= 0 else f"{-left // DAY} days ago"
        ends = rfc3339(certificate.not_after - certificate.not_after % 1000)
        rows.append(
            (
                "certificate",
                f"{certificate.subject}, issued by {certificate.issuer}, ends {ends} ({when})",
            )
        )
    lines += [f"  {label:<12}{value}" for label, value in rows if value is not None]
    return "\n".join(lines) + "\n"


def _milliseconds(value: float | None, more: str | None = None) -> str | None:
    if value is None:
        return None
    return f"{value:g} ms" + (f"  {more}" if more else "")
