"""What one reading means: up, degraded, down or inconclusive, in words a person can act on.

Without regard to the past: confirmations are counted in rules.incidents.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from netpulse.model.check import OWN_FAILURES, Failure, Reading, Result, Timings, Verdict
from netpulse.model.monitor import (
    CommonSpec,
    DnsSpec,
    HttpSpec,
    HttpsSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.time import DAY, SECOND, Millis, rfc3339
from netpulse.rules import bodies, patterns, records, targets, verdict_http
from netpulse.rules.certificates import in_days
from netpulse.rules.verdict_words import cut, down, nothing, quoted

_UP = Verdict(Result.UP)
_DOCUMENTS = "netpulse.rules.documents"
"""The first JSONPath loads it, which takes tens of milliseconds."""


def lag_limit_ms(timeout_seconds: float) -> float:
    """Return how late our own loop may be, in milliseconds, before a failure is not judged.

    The smaller of one second and a quarter of the timeout.
    """
    return min(1000.0, timeout_seconds * 1000 / 4)


def judge(spec: MonitorSpec, reading: Reading, *, own_lag_ms: float = 0, now: Millis) -> Verdict:
    """Return the verdict on what a probe measured.

    `own_lag_ms` is the greatest lateness of our own loop while the probe ran; where it is too
    great, or the time that the check waited for its turn among others, only an answer that is right
    in everything counts. `now` (Unix milliseconds) is what a certificate's expiry is held against.
    Failures of our own are inconclusive.
    """
    verdict = _judged(spec, reading, now)
    if verdict.result is Result.INCONCLUSIVE:
        return verdict
    own_lag_ms = max(own_lag_ms, reading.own_ms)
    if verdict.result is not Result.UP and own_lag_ms > lag_limit_ms(spec.timeout_seconds):
        late = own_lag_ms / SECOND
        return Verdict(
            Result.INCONCLUSIVE,
            Failure.OWN_LAG,
            None,
            f"our own process was late by {late:.1f} s: not judged",
        )
    return _inverted(verdict) if spec.invert else verdict


def good_ping_within(spec: IcmpSpec) -> float | None:
    """Return within how many milliseconds one ping, the only one, has to come back for `judge` to
    say "up" of it; None where it says something else however fast that was."""
    timings = Timings(dns_ms=0.0, total_ms=0.0)
    fastest = Reading(timings=timings, address="", packets_sent=1, packets_received=1)
    if judge(spec, fastest, now=0) is not _UP:
        return None
    return math.inf if spec.degraded_after_ms is None else spec.degraded_after_ms


def is_heavy(spec: MonitorSpec, reading: Reading) -> bool:
    """Tell whether judging may take over a few milliseconds, and belongs in a thread."""
    if not isinstance(spec, HttpSpec) or not reading.body:
        return False
    size = len(reading.body)
    if spec.json_path is not None and (size > 16_384 or _DOCUMENTS not in sys.modules):
        return True
    if spec.body_regex is not None:
        return patterns.compiled(spec.body_regex).cost(size) > 500_000
    return size > 65_536 and not bodies.is_utf8(reading.charset)


def _judged(spec: MonitorSpec, reading: Reading, now: Millis) -> Verdict:
    failure = reading.failure
    if failure is not None:
        result = Result.INCONCLUSIVE if failure in OWN_FAILURES else Result.DOWN
        message = reading.error or f"the check failed: {failure.value}"
        if isinstance(spec, SslSpec):
            message += _ends(reading, now)
        return Verdict(result, failure, reading.detail, message)
    wrong = _JUDGES[type(spec)](spec, reading)
    if wrong is not None:
        return wrong
    seen = [
        _lossy(spec, reading) if reading.packets_sent is not None else None,
        _slow(spec, reading) if spec.degraded_after_ms is not None else None,
        _expiry(spec, reading, now) if reading.certificate is not None else None,
    ]
    if not any(seen):
        return _UP
    remarks = [remark for remark in seen if remark]
    detail = remarks[0][0]
    return Verdict(Result.DEGRADED, None, detail, "; ".join(text for _, text in remarks))


def _inverted(verdict: Verdict) -> Verdict:
    """Swap up and down. A blocked target was not even tried: that proves no absence."""
    if verdict.failure is Failure.BLOCKED:
        return verdict
    if verdict.result is Result.DOWN:
        return _UP
    return down(Failure.MISMATCH, "it answered, but must not: invert is set", "inverted")


def _slow(spec: CommonSpec, reading: Reading) -> tuple[str, str] | None:
    took, limit = reading.timings.total_ms, spec.degraded_after_ms
    if took is None or limit is None or took <= limit:
        return None
    # A hair over the limit must not read "answered in 800 ms, more than 800 ms".
    shown = f"{took:.0f}" if round(took) > limit else f"{took:.1f}"
    if isinstance(spec, PushSpec):
        return "slow", f"the job took {shown} ms, more than {limit} ms"
    return "slow", f"answered in {shown} ms, more than {limit} ms"


def _expiry(spec: MonitorSpec, reading: Reading, now: Millis) -> tuple[str, str] | None:
    certificate = reading.certificate
    if certificate is None or not isinstance(spec, HttpSpec | SslSpec):
        return None
    if spec.alert_days_before_expiry is None:
        return None
    left = certificate.not_after - now
    limit = spec.alert_days_before_expiry
    if left >= limit * DAY:
        return None
    if isinstance(spec, SslSpec):
        host = spec.server_name or targets.ssl_endpoint(spec.target, spec.port).host
    else:
        host = _host(reading.final_url or spec.target)
    if left < 0:
        return "certificate_expired", f"certificate for {host} has expired"
    return (
        "certificate_expiring",
        f"certificate for {host} expires in {in_days(left)} (limit {limit})",
    )


def _ends(reading: Reading, now: Millis) -> str:
    """Return when a certificate ends that is refused for another reason, to follow a sentence."""
    certificate = reading.certificate
    if certificate is None or reading.failure is Failure.TLS_EXPIRED:
        return ""
    ends = rfc3339(certificate.not_after - certificate.not_after % SECOND)[:10]
    left = certificate.not_after - now
    return f"; it ended on {ends}" if left < 0 else f"; it ends on {ends}, in {in_days(left)}"


def _host(url: str) -> str:
    try:
        return targets.url(url).host or url
    except targets.TargetError:
        return "the target"


# ------------------------------------------------------------------ tcp


def _tcp(spec: TcpSpec, reading: Reading) -> Verdict | None:
    if reading.timings.connect_ms is None and reading.address is None:
        return nothing()
    if spec.expect is None or spec.expect.encode() in reading.body:
        return None
    wanted = quoted(spec.expect)
    if not reading.body:
        return down(Failure.MISMATCH, f"answered nothing, expected {wanted}")
    if not reading.body_complete:
        return down(Failure.MISMATCH, f"answer does not contain {wanted} in the first 64 KiB")
    got = quoted(reading.body[:4096].decode("utf-8", "replace"))
    return down(Failure.MISMATCH, f"answered {got}, expected {wanted}")


# ------------------------------------------------------------------ ssl


def _ssl(spec: SslSpec, reading: Reading) -> Verdict | None:
    """Return what is wrong with a handshake that succeeded: nothing but no certificate at all."""
    del spec
    return nothing() if reading.certificate is None else None


# ------------------------------------------------------------------ push


def _push(spec: PushSpec, reading: Reading) -> Verdict | None:
    """Return what a ping says of a job that failed."""
    del spec
    if reading.exit_status is None:
        return nothing()
    if reading.exit_status == 0:
        return None
    # One line: it stands in titles and in messages.
    text = " ".join(reading.body.decode("utf-8", "replace").split())
    said = f": {text}" if text else ""
    if reading.detail == "fail":
        return down(Failure.STATUS, f"the job says that it failed{said}", "fail")
    return down(
        Failure.STATUS, f"the job ended with exit status {reading.exit_status}{said}", "exit_status"
    )


# ------------------------------------------------------------------ icmp


def _icmp(spec: IcmpSpec, reading: Reading) -> Verdict | None:
    loss = reading.loss_percent
    if loss is None:
        return nothing()
    if loss < spec.max_loss_percent:
        return None
    if not reading.packets_received:
        where = f" from {reading.address}" if reading.address else ""
        sent = reading.packets_sent
        pings = "the ping" if sent == 1 else f"any of {sent} pings"
        return down(Failure.LOSS, f"no answer{where} to {pings}")
    return down(Failure.LOSS, f"{_lost(reading)} (limit {spec.max_loss_percent}%)")


def _lossy(spec: CommonSpec, reading: Reading) -> tuple[str, str] | None:
    if not isinstance(spec, IcmpSpec):
        return None
    loss = reading.loss_percent
    if loss is None or loss < spec.degraded_loss_percent:
        return None
    return "loss", f"{_lost(reading)} (limit {spec.degraded_loss_percent}%)"


def _lost(reading: Reading) -> str:
    """Return "1 of 3 pings lost, 33%", rounded so that it is never more than it was."""
    sent, received = reading.packets_sent or 0, reading.packets_received or 0
    percent = 100 * (sent - received) // sent
    return f"{sent - received} of {sent} pings lost, {percent}%"


# ------------------------------------------------------------------ dns


def _dns(spec: DnsSpec, reading: Reading) -> Verdict | None:
    if not reading.answers:
        return nothing()
    wanted = spec.expected_value
    if wanted is None:
        return None
    listed = (wanted,) if isinstance(wanted, str) else wanted
    if records.difference(spec.record_type, listed, reading.answers, spec.match) is None:
        return None
    got, expected = _listed(reading.answers), _listed(listed)
    if len(listed) > 1:
        expected = f"{'any' if spec.match == 'any' else 'all'} of {expected}"
    return down(
        Failure.MISMATCH,
        f"the {spec.record_type} of {spec.target} is {got}, expected {expected}",
    )


def _listed(values: Sequence[str]) -> str:
    shown = [cut(_printable(value)) for value in values[:10]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)


_JUDGES: dict[type, Callable[[Any, Reading], Verdict | None]] = {
    HttpSpec: verdict_http.http,
    HttpsSpec: verdict_http.http,
    TcpSpec: _tcp,
    SslSpec: _ssl,
    IcmpSpec: _icmp,
    DnsSpec: _dns,
    PushSpec: _push,
}
"""By type of spec: what is wrong with an answer. A new type is one function and one entry."""
