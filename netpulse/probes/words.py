"""The sentence for a deadline that struck: what was reached, and what was waited for."""

from __future__ import annotations

from netpulse.egress.trace import Trace
from netpulse.egress.trouble import shown_endpoint
from netpulse.model.check import round_latency


def out_of_time(trace: Trace, host: str, seconds: float, waiting: str) -> str:
    """Return such a sentence: "no answer within 10 s: connected after 12 ms, waiting for the
    first byte". `waiting` replaces its last part.
    """
    begin = f"no answer within {seconds:g} s"
    if trace.phase == "dns":
        return f"{begin}: looking up {host}"
    if trace.phase == "connect":
        where = shown_endpoint(trace.address or host, trace.port or 0)
        return f"{begin}: connecting to {where}"
    reached = f"connected after {_milliseconds(trace.connect_ms)}"
    usual = {
        "tls": "waiting for the TLS handshake",
        "first_byte": "waiting for the first byte",
        "headers": "waiting for the end of the headers",
    }.get(trace.phase, "waiting for the rest")
    if trace.first_byte_ms is not None and trace.phase in {"headers", "body"}:
        reached = f"first byte after {_milliseconds(trace.first_byte_ms)}"
    return f"{begin}: {reached}, {waiting or usual}"


def _milliseconds(value: float | None) -> str:
    return "0 ms" if value is None else f"{round_latency(value):g} ms"
