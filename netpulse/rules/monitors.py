"""What a monitor's configuration must be beyond its types, and the one form it is stored in."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.rules import monitors_http, push, records, targets
from netpulse.rules.monitors_pem import NO_CERTIFICATE, certificates
from netpulse.rules.monitors_problem import CONTROL, Problem
from netpulse.rules.write_only import (
    READ_ONLY,
    SECRET_FIELDS,
    is_secret_header,
    join_secrets,
    keep_secrets,
    moved_secrets,
    redacted,
    split_secrets,
    strip_read_only,
)

__all__ = [
    "READ_ONLY",
    "SECRET_FIELDS",
    "Problem",
    "is_secret_header",
    "join_secrets",
    "keep_secrets",
    "moved_secrets",
    "normalised",
    "problems",
    "redacted",
    "split_secrets",
    "strip_read_only",
]

_HTTPS_PORT = 443


def normalised(spec: MonitorSpec) -> MonitorSpec:
    """Return the spec in the form it is stored in; the same spec comes out the same again.

    Texts are trimmed, tags unique, an empty secret is none, and user name and password of an http
    target move to `auth` (unless `auth` is set too, which is a problem). What cannot be read stays
    for `problems` to name.
    """
    spec = replace(
        spec,
        name=spec.name.strip(),
        target=spec.target.strip(),
        group=spec.group.strip(),
        runbook_url=spec.runbook_url.strip(),
        tags=tuple(dict.fromkeys(tag.strip() for tag in spec.tags)),
    )
    if isinstance(spec, HttpSpec):
        return monitors_http.normalised(spec)
    if isinstance(spec, PushSpec) and spec.cron is not None:
        return replace(spec, cron=" ".join(spec.cron.split()))
    if isinstance(spec, DnsSpec):
        return _normalised_dns(spec)
    return _normalised_ssl(spec) if isinstance(spec, SslSpec) else spec


def _normalised_dns(spec: DnsSpec) -> DnsSpec:
    wanted = spec.expected_value
    if isinstance(wanted, str):
        wanted = wanted.strip()
    elif wanted is not None:
        wanted = tuple(dict.fromkeys(value.strip() for value in wanted))
    server = None if spec.nameserver is None else spec.nameserver.strip()
    return replace(spec, expected_value=wanted, nameserver=server or None)


def _normalised_ssl(spec: SslSpec) -> SslSpec:
    """Move a port of the target to its field, unless the field says another one."""
    if spec.server_name is not None:
        spec = replace(spec, server_name=spec.server_name.strip() or None)
    try:
        where = targets.endpoint(spec.target, None)
    except targets.TargetError:
        return spec  # no port in it, or no target: `problems` tells
    if spec.port not in {_HTTPS_PORT, where.port}:
        return spec
    return replace(spec, target=where.host, port=where.port)


def problems(spec: MonitorSpec) -> list[Problem]:
    """Return everything that is wrong with a spec, in the order of its fields; empty if nothing.

    Types and simple bounds have been checked when it was read. Call it on the spec as it will be
    stored: after `keep_secrets` and `normalised`.
    """
    found = list(_common(spec))
    if isinstance(spec, HttpSpec):
        found += monitors_http.problems(spec)
    elif isinstance(spec, SslSpec):
        found += _ssl(spec)
    elif isinstance(spec, PushSpec):
        found += _push(spec)
    elif isinstance(spec, TcpSpec):
        found += _tcp(spec)
    elif isinstance(spec, IcmpSpec):
        found += _icmp(spec)
    elif isinstance(spec, DnsSpec):
        found += _dns(spec)
    return found


def _common(spec: MonitorSpec) -> Iterator[Problem]:
    if not spec.name.strip():
        yield Problem("$.name", "the name is empty")
    if CONTROL.search(spec.name):
        yield Problem("$.name", "has a line break or another control character")
    if spec.runbook_url.strip():
        try:
            targets.url(spec.runbook_url.strip())
        except targets.TargetError as trouble:
            yield Problem("$.runbook_url", str(trouble))
    for number, tag in enumerate(spec.tags):
        if not tag.strip():
            yield Problem(f"$.tags[{number}]", "the tag is empty")
    if spec.timeout_seconds > spec.interval_seconds:
        yield Problem(
            "$.timeout_seconds",
            f"{spec.timeout_seconds} is above interval_seconds ({spec.interval_seconds})",
        )
    retry = spec.retry_interval_seconds
    if retry is not None and retry > spec.interval_seconds:
        yield Problem(
            "$.retry_interval_seconds",
            f"{retry} is above interval_seconds ({spec.interval_seconds})",
        )


def _tcp(spec: TcpSpec) -> Iterator[Problem]:
    try:
        targets.endpoint(spec.target, spec.port)
    except targets.TargetError as trouble:
        yield Problem("$.target", str(trouble))


def _push(spec: PushSpec) -> Iterator[Problem]:
    if spec.retry_interval_seconds is not None:
        yield Problem(
            "$.retry_interval_seconds", "a ping that is missed cannot be tried again: leave it null"
        )
    try:
        push.zone(spec.timezone)
    except push.ScheduleError as trouble:
        yield Problem("$.timezone", str(trouble))
        return
    if spec.cron is not None:
        try:
            push.next_cron(spec.cron, spec.timezone, 0)
        except push.ScheduleError as trouble:
            yield Problem("$.cron", str(trouble))


def _icmp(spec: IcmpSpec) -> Iterator[Problem]:
    try:
        targets.ping_host(spec.target)
    except targets.TargetError as trouble:
        yield Problem("$.target", str(trouble))


def _dns(spec: DnsSpec) -> Iterator[Problem]:
    try:
        records.question(spec.target, spec.record_type)
    except targets.TargetError as trouble:
        yield Problem("$.target", str(trouble))
    wanted = spec.expected_value
    listed = (wanted,) if isinstance(wanted, str) else wanted or ()
    for number, value in enumerate(listed):
        path = "$.expected_value" if isinstance(wanted, str) else f"$.expected_value[{number}]"
        if not value:
            yield Problem(path, "is empty")
            continue
        try:
            records.expected(spec.record_type, value)
        except records.RecordError as trouble:
            yield Problem(path, str(trouble))
    if spec.nameserver is not None:
        try:
            records.nameserver(spec.nameserver)
        except targets.TargetError as trouble:
            yield Problem("$.nameserver", str(trouble))


def _ssl(spec: SslSpec) -> Iterator[Problem]:
    try:
        targets.ssl_endpoint(spec.target, spec.port)
    except targets.TargetError as trouble:
        yield Problem("$.target", str(trouble))
    if spec.server_name is not None:
        try:
            targets.host(spec.server_name)
        except targets.TargetError as trouble:
            yield Problem("$.server_name", str(trouble))
    if spec.ca_certificate is not None and not certificates(spec.ca_certificate):
        yield Problem("$.ca_certificate", NO_CERTIFICATE)
