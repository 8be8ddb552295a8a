"""What one reading means: up, degraded, down or inconclusive, in words a person can act on.

Without regard to the past: confirmations are counted in rules.incidents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from netpulse.model.check import OWN_FAILURES, Failure, Reading, Result, Verdict
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
from netpulse.rules import bodies, documents, patterns, records, targets

_UP = Verdict(Result.UP)
_LONGEST_QUOTE = 100


def lag_limit_ms(timeout_seconds: float) -> float:
    """Return how late our own loop may be, in milliseconds, before a failure is not judged.

    The smaller of one second and a quarter of the timeout.
    """
    return min(1000.0, timeout_seconds * 1000 / 4)


def judge(spec: MonitorSpec, reading: Reading, *, own_lag_ms: float = 0, now: Millis) -> Verdict:
    """Return the verdict on what a probe measured.

    `own_lag_ms` is the greatest lateness of our own loop while the probe ran; where it is too
    great, only an answer that is right in everything counts. `now` (Unix milliseconds) is what a
    certificate's expiry is held against. Failures of our own are inconclusive.
    """
    verdict = _judged(spec, reading, now)
    if verdict.result is Result.INCONCLUSIVE:
        return verdict
    if verdict.result is not Result.UP and own_lag_ms > lag_limit_ms(spec.timeout_seconds):
        late = own_lag_ms / SECOND
        return Verdict(
            Result.INCONCLUSIVE,
            Failure.OWN_LAG,
            None,
            f"our own process was late by {late:.1f} s: not judged",
        )
    return _inverted(verdict) if spec.invert else verdict


def is_heavy(spec: MonitorSpec, reading: Reading) -> bool:
    """Tell whether judging may take over a few milliseconds, and belongs in a thread."""
    if not isinstance(spec, HttpSpec) or not reading.body:
        return False
    size = len(reading.body)
    if spec.json_path is not None and size > 16_384:
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
    seen = (_lossy(spec, reading), _slow(spec, reading), _expiry(spec, reading, now))
    remarks = [remark for remark in seen if remark]
    if not remarks:
        return _UP
    detail = remarks[0][0]
    return Verdict(Result.DEGRADED, None, detail, "; ".join(text for _, text in remarks))


def _inverted(verdict: Verdict) -> Verdict:
    """Swap up and down. A blocked target was not even tried: that proves no absence."""
    if verdict.failure is Failure.BLOCKED:
        return verdict
    if verdict.result is Result.DOWN:
        return _UP
    return _down(Failure.MISMATCH, "it answered, but must not: invert is set", "inverted")


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
    if not isinstance(spec, HttpSpec | SslSpec) or spec.alert_days_before_expiry is None:
        return None
    certificate = reading.certificate
    if certificate is None:
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
        f"certificate for {host} expires in {_in_days(left)} (limit {limit})",
    )


def _in_days(left: int) -> str:
    days = left // DAY
    return "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"


def _ends(reading: Reading, now: Millis) -> str:
    """Return when a certificate ends that is refused for another reason, to follow a sentence."""
    certificate = reading.certificate
    if certificate is None or reading.failure is Failure.TLS_EXPIRED:
        return ""
    ends = rfc3339(certificate.not_after - certificate.not_after % SECOND)[:10]
    left = certificate.not_after - now
    return f"; it ended on {ends}" if left < 0 else f"; it ends on {ends}, in {_in_days(left)}"


def _host(url: str) -> str:
    try:
        return targets.url(url).host or url
    except targets.TargetError:
        return "the target"


# ------------------------------------------------------------------ http


def _http(spec: HttpSpec, reading: Reading) -> Verdict | None:
    """Return what is wrong with an answer, or None."""
    if reading.status_code is None:
        return _nothing()
    final = reading.final_url
    if isinstance(spec, HttpsSpec) and final is not None and not final.startswith("https://"):
        return _down(
            Failure.REDIRECT,
            f"redirected to {_origin(final)}: an https monitor must stay on https",
            "to_http",
        )
    if not _expected(spec.expected_status, reading.status_code):
        wanted = _wanted(spec.expected_status)
        return _down(Failure.STATUS, f"status {reading.status_code}, expected {wanted}")
    return _body(spec, reading)


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _expected(wanted: int | str | Sequence[int | str], status: int) -> bool:
    if isinstance(wanted, int):
        return status == wanted
    if isinstance(wanted, str):
        low, _, high = wanted.partition("-")
        return int(low) <= status <= int(high or low)
    return any(_expected(one, status) for one in wanted)


def _wanted(wanted: int | str | Sequence[int | str]) -> str:
    if isinstance(wanted, int | str):
        return str(wanted)
    words = [str(one) for one in wanted]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _body(spec: HttpSpec, reading: Reading) -> Verdict | None:
    if (
        spec.body_match is None
        and spec.body_not_match is None
        and spec.body_regex is None
        and spec.json_path is None
    ):
        return None
    text = bodies.utf8(reading.body[: bodies.LONGEST], reading.charset)
    part = "" if reading.body_complete else " in the first 1 MiB"
    if spec.body_match is not None and spec.body_match.encode() not in text:
        return _down(Failure.BODY, f"body does not contain {_quoted(spec.body_match)}{part}")
    if spec.body_not_match is not None and spec.body_not_match.encode() in text:
        return _down(Failure.BODY, f"body contains {_quoted(spec.body_not_match)}")
    if spec.body_regex is not None:
        pattern = patterns.compiled(spec.body_regex)
        if not pattern.finds(text):
            if pattern.reach < len(text):
                part = f" in the first {pattern.reach // 1024} KiB"
            return _down(Failure.BODY, f"body does not match {_quoted(spec.body_regex)}{part}")
    if spec.json_path is not None:
        return _json(spec, spec.json_path, text, reading.body_complete)
    return None


def _json(spec: HttpSpec, path: str, text: bytes, complete: bool) -> Verdict | None:
    if not complete:
        return _down(Failure.BODY, f"body is longer than 1 MiB: too long to look for {_cut(path)}")
    try:
        document = documents.decoded(text)
    except documents.DocumentError as trouble:
        return _down(Failure.BODY, f"body is not JSON: {trouble}", "not_json")
    try:
        found, value = documents.first(path, document)
    except documents.DocumentError as trouble:
        return _down(Failure.BODY, f"{_cut(path)} cannot be looked for: {trouble}")
    if not found:
        return _down(Failure.BODY, f"body has nothing at {_cut(path)}", "no_node")
    if spec.json_value is UNSET or documents.equal(value, spec.json_value):
        return None
    message = f"{_cut(path)} is {_shown(value)}, expected {_shown(spec.json_value)}"
    return _down(Failure.BODY, message, "other_value")


# ------------------------------------------------------------------ tcp


def _tcp(spec: TcpSpec, reading: Reading) -> Verdict | None:
    if reading.timings.connect_ms is None and reading.address is None:
        return _nothing()
    if spec.expect is None or spec.expect.encode() in reading.body:
        return None
    wanted = _quoted(spec.expect)
    if not reading.body:
        return _down(Failure.MISMATCH, f"answered nothing, expected {wanted}")
    if not reading.body_complete:
        return _down(Failure.MISMATCH, f"answer does not contain {wanted} in the first 64 KiB")
    got = _quoted(reading.body[:4096].decode("utf-8", "replace"))
    return _down(Failure.MISMATCH, f"answered {got}, expected {wanted}")


# ------------------------------------------------------------------ ssl


def _ssl(spec: SslSpec, reading: Reading) -> Verdict | None:
    """Return what is wrong with a handshake that succeeded: nothing but no certificate at all."""
    del spec
    return _nothing() if reading.certificate is None else None


# ------------------------------------------------------------------ push


def _push(spec: PushSpec, reading: Reading) -> Verdict | None:
    """Return what a ping says of a job that failed."""
    del spec
    if reading.exit_status is None:
        return _nothing()
    if reading.exit_status == 0:
        return None
    # One line: it stands in titles and in messages.
    text = " ".join(reading.body.decode("utf-8", "replace").split())
    said = f": {text}" if text else ""
    if reading.detail == "fail":
        return _down(Failure.STATUS, f"the job says that it failed{said}", "fail")
    return _down(
        Failure.STATUS, f"the job ended with exit status {reading.exit_status}{said}", "exit_status"
    )


# ------------------------------------------------------------------ icmp


def _icmp(spec: IcmpSpec, reading: Reading) -> Verdict | None:
    loss = reading.loss_percent
    if loss is None:
        return _nothing()
    if loss < spec.max_loss_percent:
        return None
    if not reading.packets_received:
        where = f" from {reading.address}" if reading.address else ""
        sent = reading.packets_sent
        pings = "the ping" if sent == 1 else f"any of {sent} pings"
        return _down(Failure.LOSS, f"no answer{where} to {pings}")
    return _down(Failure.LOSS, f"{_lost(reading)} (limit {spec.max_loss_percent}%)")


def _lossy(spec: CommonSpec, reading: Reading) -> tuple[str, str] | None:
    loss = reading.loss_percent
    if not isinstance(spec, IcmpSpec) or loss is None or loss < spec.degraded_loss_percent:
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
        return _nothing()
    wanted = spec.expected_value
    if wanted is None:
        return None
    listed = (wanted,) if isinstance(wanted, str) else wanted
    if records.difference(spec.record_type, listed, reading.answers, spec.match) is None:
        return None
    got, expected = _listed(reading.answers), _listed(listed)
    if len(listed) > 1:
        expected = f"{'any' if spec.match == 'any' else 'all'} of {expected}"
    return _down(
        Failure.MISMATCH,
        f"the {spec.record_type} of {spec.target} is {got}, expected {expected}",
    )


def _listed(values: Sequence[str]) -> str:
    shown = [_cut(_printable(value)) for value in values[:10]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)


# ------------------------------------------------------------------ words


def _down(failure: Failure, message: str, detail: str | None = None) -> Verdict:
    return Verdict(Result.DOWN, failure, detail, message)


def _nothing() -> Verdict:
    """A reading without an answer and without a failure says nothing: no data is never up."""
    return Verdict(
        Result.INCONCLUSIVE,
        Failure.INTERNAL,
        None,
        "the probe brought back neither an answer nor a failure",
    )


def _quoted(text: str) -> str:
    return _cut(json.dumps(text, ensure_ascii=False))


def _shown(value: Any) -> str:
    try:
        return _cut(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return "something too large to show"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


_JUDGES: dict[type, Callable[[Any, Reading], Verdict | None]] = {
    HttpSpec: _http,
    HttpsSpec: _http,
    TcpSpec: _tcp,
    SslSpec: _ssl,
    IcmpSpec: _icmp,
    DnsSpec: _dns,
    PushSpec: _push,
}
"""By type of spec: what is wrong with an answer. A new type is one function and one entry."""
