"""What the configuration of an http or https monitor must be beyond its types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from netpulse.model.monitor import BasicAuth, BearerAuth, HttpSpec, HttpsSpec
from netpulse.rules import patterns, targets
from netpulse.rules.monitors_pem import NO_CERTIFICATE, certificates, key_complaint
from netpulse.rules.monitors_problem import CONTROL, Problem
from netpulse.rules.write_only import without_empty_secrets

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_STATUS_RANGE = re.compile(r"[1-9][0-9]{2}(?:-[1-9][0-9]{2})?")
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


def normalised(spec: HttpSpec) -> HttpSpec:
    """Return the spec as it is stored: headers trimmed, user name and password of the target in
    `auth`."""
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


def problems(spec: HttpSpec) -> Iterator[Problem]:
    """Give what is wrong with the fields that http and https monitors alone have."""
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
        elif CONTROL.search(value):
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
    if CONTROL.search(auth.username):
        yield Problem("$.auth.username", "has a line break or another control character")
    if CONTROL.search(auth.password or ""):
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
        from netpulse.rules import documents

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
    if spec.ca_certificate is not None and not certificates(spec.ca_certificate):
        yield Problem("$.ca_certificate", NO_CERTIFICATE)
    certificate, key = spec.client_certificate, spec.client_key
    if certificate is not None and not certificates(certificate):
        yield Problem("$.client_certificate", NO_CERTIFICATE)
    if key is None and certificate is not None:
        yield Problem("$.client_key", "the client certificate needs its key")
    elif key is not None and certificate is None:
        yield Problem("$.client_certificate", "the client key needs its certificate")
    elif key is not None and certificate is not None:
        complaint = key_complaint(certificate, key)
        if complaint:
            yield Problem("$.client_key", complaint)
