"""A finished check as `netpulse check` shows it: for people, and as JSON."""

from __future__ import annotations

import msgspec

from netpulse.model.check import LOCAL, Certificate, Reading, Verdict
from netpulse.model.monitor import MonitorSpec, type_of
from netpulse.model.time import DAY, Millis, rfc3339
from netpulse.rules.excerpt import excerpt
from netpulse.rules.targets import shown


def as_json(spec: MonitorSpec, reading: Reading, verdict: Verdict, started_at: Millis) -> str:
    """Return the check as the API answers it, and beside it what only a probe knows."""
    certificate = None
    if reading.certificate is not None:
        certificate = msgspec.to_builtins(reading.certificate)
        for each in (certificate, *certificate["chain"]):
            for moment in {"not_before", "not_after"} & each.keys():
                each[moment] = rfc3339(each[moment])
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
        "addresses": tuple(dict.fromkeys(reading.addresses)),
        "http_version": reading.http_version,
        "tls_version": reading.tls_version,
        "final_url": reading.final_url,
        "redirects": reading.redirects,
        "certificate": certificate,
        "answers": reading.answers,
        "packets": None if reading.packets_sent is None else _packets(reading),
        "body": excerpt(spec, reading),
    }
    return msgspec.json.format(msgspec.json.encode(check), indent=2).decode() + "\n"


def _packets(reading: Reading) -> dict[str, float | None]:
    return {
        "sent": reading.packets_sent,
        "received": reading.packets_received,
        "loss_percent": None if reading.loss_percent is None else round(reading.loss_percent, 1),
        "min_ms": reading.rtt_min_ms,
        "average_ms": reading.rtt_average_ms,
        "max_ms": reading.rtt_max_ms,
        "jitter_ms": reading.jitter_ms,
    }


def _response_time(reading: Reading) -> int | None:
    took = reading.timings.total_ms
    return None if took is None or reading.failure is not None else round(took)


def in_words(spec: MonitorSpec, reading: Reading, verdict: Verdict, started_at: Millis) -> str:
    """Return the verdict in a line, and a line for each phase and what else is known."""
    kind = type_of(spec)
    words = [word for word in (verdict.failure, verdict.detail) if word]
    reason = f" ({', '.join(words)})" if words else ""
    said = verdict.message or _good(kind, reading)
    lines = [f"{verdict.result.upper()}  {shown(spec.target)}  {said}{reason}"]
    rows = _phases(reading)
    rows += [("record", _in_one_line(each)) for each in reading.answers]
    if reading.redirects:
        rows.append(("redirects", f"{reading.redirects}, to {reading.final_url}"))
    if reading.certificate is not None:
        rows += _certificate(kind, reading.certificate, started_at)
    lines += [f"  {label:<12}{value}" for label, value in rows if value is not None]
    return "\n".join(lines) + "\n"


def _good(kind: str, reading: Reading) -> str:
    """Return what to say of a check that is up."""
    if reading.rtt_average_ms is not None:
        return f"answered in {reading.rtt_average_ms:g} ms on average"
    said = f"answered {reading.status_code}" if reading.status_code else "connected"
    if kind == "ssl":
        said = "the certificate is good, shown"
    elif kind in {"icmp", "dns"}:
        said = "answered"
    took = _response_time(reading)
    return said if took is None else f"{said} in {took} ms"


def _phases(reading: Reading) -> list[tuple[str, str | None]]:
    timings = reading.timings
    others = [each for each in dict.fromkeys(reading.addresses) if each != reading.address]
    rows: list[tuple[str, str | None]] = [
        ("address", reading.address),
        ("also at", ", ".join(others) or None),
        ("dns", _milliseconds(timings.dns_ms)),
        ("connect", _milliseconds(timings.connect_ms)),
        ("tls", _milliseconds(timings.tls_ms, reading.tls_version)),
        ("first byte", _milliseconds(timings.first_byte_ms)),
        ("total", _milliseconds(timings.total_ms)),
    ]
    if reading.packets_sent is not None:
        rows[-1] = ("pings", f"{reading.packets_received} of {reading.packets_sent} came back")
        trips = (reading.rtt_min_ms, reading.rtt_average_ms, reading.rtt_max_ms, reading.jitter_ms)
        if trips[0] is not None:
            told = " / ".join("-" if each is None else f"{each:g}" for each in trips)
            rows.append(("round trip", f"{told} ms (least / average / most / jitter)"))
    return rows


def _certificate(
    kind: str, certificate: Certificate, started_at: Millis
) -> list[tuple[str, str | None]]:
    left = certificate.not_after - started_at
    when = f"in {left // DAY} days" if left >= 0 else f"{-left // DAY} days ago"
    ends = rfc3339(certificate.not_after - certificate.not_after % 1000)
    of = f"{certificate.subject}, issued by {certificate.issuer}, ends {ends} ({when})"
    rows: list[tuple[str, str | None]] = [("certificate", of)]
    if kind == "ssl":
        chain = " < ".join(link.subject for link in certificate.chain)
        rows.append(("chain", chain or None))
        rows.append(("key", f"{certificate.key}, signed with {certificate.signature}"))
    return rows


def _in_one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _milliseconds(value: float | None, more: str | None = None) -> str | None:
    if value is None:
        return None
    return f"{value:g} ms" + (f"  {more}" if more else "")
