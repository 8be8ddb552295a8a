"""What a monitor's configuration must be beyond its types, and the one form it is stored in."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import UNSET, Struct
from msgspec.structs import replace

from netpulse.model.monitor import (
    BasicAuth,
    BearerAuth,
    DnsSpec,
    HttpSpec,
    HttpsSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.rules import documents, patterns, push, records, targets
from netpulse.rules.write_only import (
    READ_ONLY,
    SECRET_FIELDS,
    is_secret_header,
    join_secrets,
    keep_secrets,
    redacted,
    split_secrets,
    strip_read_only,
    without_empty_secrets,
)

__all__ = [
    "READ_ONLY",
    "SECRET_FIELDS",
    "Problem",
    "is_secret_header",
    "join_secrets",
    "keep_secrets",
    "normalised",
    "problems",
    "redacted",
    "split_secrets",
    "strip_read_only",
]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_STATUS_RANGE = re.compile(r"[1-9][0-9]{2}(?:-[1-9][0-9]{2})?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that frame a request: a wrong one makes a healthy target's answer unreadable."""

_LARGEST_VALUE = 16_384
"""Bytes of JSON that `json_value` may have."""

_DEEPEST_VALUE = 50
_HTTPS_PORT = 443


class Problem(Struct, frozen=True):
    """Something wrong in a configuration: where (a JSON path) and what, for the person to read."""

    path: str
    message: str


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
        return _normalised_http(spec)
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


def _normalised_http(spec: HttpSpec) -> HttpSpec:
    headers = {
        name: None if value is None else value.strip(" \t") for name, value in spec.headers.items()
    }
    spec = without_empty_secrets(replace(spec, headers=headers))
    try:
        url = targets.url(spec.target)
    except targets.TargetError:
        return spec
    if url.user is not None or url.password is not None:
        if spec.auth is not None:
            return spec
        auth = BasicAuth(username=url.user or "", password=url.password or None)
        spec = replace(spec, auth=auth)
    return replace(spec, target=str(url.with_user(None)))


def problems(spec: MonitorSpec) -> list[Problem]:
    """Return everything that is wrong with a spec, in the order of its fields; empty if nothing.

    Types and simple bounds have been checked when it was read. Call it on the spec as it will be
    stored: after `keep_secrets` and `normalised`.
    """
    found = list(_common(spec))
    if isinstance(spec, HttpSpec):
        found += _http(spec)
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
    if _CONTROL.search(spec.name):
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
    if spec.ca_certificate is not None and not _certificates(spec.ca_certificate):
        yield Problem("$.ca_certificate", _NO_CERTIFICATE)


def _http(spec: HttpSpec) -> Iterator[Problem]:
    yield from _url(spec)
    yield from _request(spec)
    yield from _expectations(spec)
    yield from _tls(spec)


def _url(spec: HttpSpec) -> Iterator[Problem]:
    if spec.ip_version not in {None, 4, 6}:
        yield Problem("$.ip_version", f"{spec.ip_version} is neither 4, 6 nor null")
    try:
        url = targets.url(spec.target.strip())
    except targets.TargetError as trouble:
        yield Problem("$.target", str(trouble))
        return
    if isinstance(spec, HttpsSpec) and url.scheme != "https":
        yield Problem("$.target", "an https monitor needs an https:// target")
    if url.user is not None or url.password is not None:
        if spec.auth is not None:
            yield Problem("$.target", "the target has a user name, and auth is set too: give one")
        elif ":" in (url.user or ""):
            yield Problem("$.target", "a user name has no colon (RFC 7617)")
    literal = 6 if ":" in (url.raw_host or "") else 4 if _is_v4(url.raw_host or "") else None
    if spec.ip_version is not None and literal is not None and literal != spec.ip_version:
        yield Problem("$.ip_version", f"the target is an IPv{literal} address")


def _is_v4(host: str) -> bool:
    return host.rpartition(".")[2].isdigit()


def _request(spec: HttpSpec) -> Iterator[Problem]:
    if spec.method == "CONNECT":
        yield Problem("$.method", "CONNECT asks for a tunnel; use a tcp monitor")
    seen: set[str] = set()
    for name, value in spec.headers.items():
        path = f"$.headers.{name}"
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            yield Problem(path, "is not a header name: letters, digits and - only (RFC 9110)")
        elif lower in _OURS:
            yield Problem(path, "is set by NetPulse itself")
        elif lower in seen:
            yield Problem(path, "is there twice")
        seen.add(lower)
        if value is None:
            yield Problem(path, "has no value")
        elif _CONTROL.search(value):
            yield Problem(path, "has a line break or another control character")
        elif lower == "host" and not _is_host_header(value):
            yield Problem(path, "is not a host, such as shop.example or shop.example:8080")
    auth = spec.auth
    if auth is None:
        return
    if "authorization" in seen:
        yield Problem("$.auth", "an Authorization header is set too: give one")
    if isinstance(auth, BearerAuth):
        if not auth.token:
            yield Problem("$.auth.token", "the token is missing")
        elif not (auth.token.isascii() and auth.token.isprintable() and " " not in auth.token):
            yield Problem("$.auth.token", "a token has neither spaces nor signs outside ASCII")
        return
    if ":" in auth.username:
        yield Problem("$.auth.username", "a user name has no colon (RFC 7617)")
    if _CONTROL.search(auth.username):
        yield Problem("$.auth.username", "has a line break or another control character")
    if _CONTROL.search(auth.password or ""):
        yield Problem("$.auth.password", "has a line break or another control character")


def _is_host_header(value: str) -> bool:
    name, colon, port = (value, "", "") if value.endswith("]") else value.rpartition(":")
    if not colon:
        name, port = value, "80"
    try:
        targets.endpoint(f"{name}:{port}", None)
    except targets.TargetError:
        return False
    return True


def _expectations(spec: HttpSpec) -> Iterator[Problem]:
    wanted = spec.expected_status
    if isinstance(wanted, tuple):
        if not wanted:
            yield Problem("$.expected_status", "the list is empty: no answer would ever be right")
        for number, one in enumerate(wanted):
            yield from _status(f"$.expected_status[{number}]", one)
    else:
        yield from _status("$.expected_status", wanted)
    if spec.method == "HEAD":
        for field in ("body_match", "body_regex", "json_path", "body_not_match"):
            if getattr(spec, field) is not None:
                yield Problem(f"$.{field}", "the answer to HEAD has no body; use GET")
    if spec.body_regex is not None:
        try:
            patterns.compiled(spec.body_regex)
        except patterns.PatternError as trouble:
            yield Problem("$.body_regex", f"RE2 does not take it: {trouble}")
    if spec.json_path is not None:
        try:
            documents.path(spec.json_path)
        except documents.PathError as trouble:
            yield Problem("$.json_path", str(trouble))
    elif spec.json_value is not UNSET:
        yield Problem("$.json_value", "is compared with json_path, which is not set")
    if spec.json_value is not UNSET:
        yield from _value(spec.json_value)


def _value(value: Any) -> Iterator[Problem]:
    if not _shallow(value, _DEEPEST_VALUE):
        yield Problem("$.json_value", f"is nested deeper than {_DEEPEST_VALUE} levels")
    elif len(msgspec.json.encode(value)) > _LARGEST_VALUE:
        yield Problem("$.json_value", f"is larger than {_LARGEST_VALUE // 1024} KiB")


def _shallow(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_shallow(one, levels - 1) for one in value)


def _status(path: str, wanted: int | str) -> Iterator[Problem]:
    if isinstance(wanted, int):
        return
    if not _STATUS_RANGE.fullmatch(wanted):
        yield Problem(
            path, f'{wanted} is neither a status such as 200 nor a range such as "200-299"'
        )
        return
    if "-" in wanted:
        low, _, high = wanted.partition("-")
        if int(low) > int(high):
            yield Problem(path, f"{wanted} is empty: write the smaller number first")


def _tls(spec: HttpSpec) -> Iterator[Problem]:
    if spec.ca_certificate is not None and not _certificates(spec.ca_certificate):
        yield Problem("$.ca_certificate", _NO_CERTIFICATE)
    certificate, key = spec.client_certificate, spec.client_key
    if certificate is not None and not _certificates(certificate):
        yield Problem("$.client_certificate", _NO_CERTIFICATE)
    if key is None and certificate is not None:
        yield Problem("$.client_key", "the client certificate needs its key")
    elif key is not None and certificate is None:
        yield Problem("$.client_certificate", "the client key needs its certificate")
    elif key is not None and certificate is not None:
        complaint = _key_complaint(certificate, key)
        if complaint:
            yield Problem("$.client_key", complaint)


_NO_CERTIFICATE = "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"


@functools.lru_cache(maxsize=64)
def _certificates(pem: str) -> tuple[bytes, ...]:
    """Return the public keys (DER) of all certificates in a PEM text; empty if it has none."""
    try:
        return tuple(
            one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for one in x509.load_pem_x509_certificates(pem.encode())
        )
    except (ValueError, UnsupportedAlgorithm):
        return ()


def _key_complaint(certificate: str, key: str) -> str | None:
    try:
        private = load_pem_private_key(key.encode(), None)
    except TypeError:
        return "is encrypted; give it without a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        return "is not a private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    keys = _certificates(certificate)
    if keys and public != keys[0]:
        return "does not belong to the client certificate"
    return None
