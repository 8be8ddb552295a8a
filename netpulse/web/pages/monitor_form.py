"""The form of a monitor: from texts to what the API takes, and from what is stored to texts."""

from __future__ import annotations

import json
from typing import Any, get_args

from netpulse.model.monitor import (
    DnsSpec,
    HttpSpec,
    MonitorSpec,
    PushSpec,
    RecordType,
    SslSpec,
    TcpSpec,
    type_of,
)
from netpulse.rules import monitors as rules
from netpulse.web.api import monitors as api
from netpulse.web.errors import ApiError, Problem, invalid
from netpulse.web.languages import mark, say
from netpulse.web.pages.forms import Form

LABELS = {
    "type": mark("Type"),
    "name": mark("Name"),
    "target": mark("Target"),
    "group": mark("Group"),
    "tags": mark("Tags"),
    "interval_seconds": mark("Check every"),
    "timeout_seconds": mark("Give up after"),
    "confirmations": mark("Failed checks until it is down"),
    "retry_interval_seconds": mark("Between these checks"),
    "recoveries": mark("Good checks until it is up again"),
    "degraded_after_ms": mark("Degraded when slower than"),
    "parent_id": mark("Depends on"),
    "expected_status": mark("Expected status codes"),
    "alert_days_before_expiry": mark("Degraded when the certificate has less than"),
    "body_match": mark("The body must contain"),
    "body_not_match": mark("The body must not contain"),
    "body_regex": mark("The body must match"),
    "json_path": "JSON path",
    "json_value": "JSON value",
    "expect": mark("The answer must contain"),
    "method": mark("Method"),
    "auth.type": mark("Sign in with"),
    "auth.username": mark("User name"),
    "auth.password": mark("Password"),
    "auth.token": mark("Token"),
    "headers": mark("Headers"),
    "body": mark("Body"),
    "follow_redirects": mark("Follow redirects"),
    "max_redirects": mark("Redirects at most"),
    "send": mark("Send after connecting"),
    "tls": mark("Speak TLS"),
    "port": mark("Port"),
    "packets": mark("Pings"),
    "max_loss_percent": mark("Down when as many are lost"),
    "degraded_loss_percent": mark("Degraded when as many are lost"),
    "record_type": mark("Record type"),
    "expected_value": mark("Expected records"),
    "match": mark("The answer must have"),
    "nameserver": mark("Name server"),
    "description": mark("Description"),
    "runbook_url": mark("Runbook"),
    "ip_version": mark("Address family"),
    "verify_tls": mark("Verify the certificate"),
    "server_name": mark("Server name"),
    "cron": mark("Crontab"),
    "timezone": mark("Time zone"),
    "grace_seconds": mark("Grace"),
    "check_chain": mark("Demand a trusted issuer"),
    "ca_certificate": mark("Own certificate authority"),
    "client_certificate": mark("Client certificate"),
    "client_key": mark("Key of the client certificate"),
    "invert": mark("Inverted"),
    "is_paused": mark("Paused"),
    "push_target": mark("Job"),
    "push_interval_seconds": mark("A ping at least every"),
    "push_confirmations": mark("Missed pings until it is down"),
    "ssl_days": mark("Degraded when the certificate has less than"),
}

BOXES = ("follow_redirects", "verify_tls", "check_chain", "tls", "invert", "is_paused")
SECRETS = ("auth.password", "auth.token", "client_key")

TYPES = [
    {"value": "https", "label": "HTTPS"},
    {"value": "http", "label": mark("HTTP or HTTPS")},
    {"value": "tcp", "label": mark("TCP port")},
    {"value": "ssl", "label": mark("TLS certificate")},
    {"value": "icmp", "label": mark("Ping")},
    {"value": "dns", "label": mark("DNS records")},
    {"value": "push", "label": mark("Job that pings")},
]
RECORDS = [{"value": word, "label": word} for word in get_args(RecordType)]
METHODS = [
    {"value": word, "label": word}
    for word in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
]

FRESH: dict[str, Any] = {
    "type": "https",
    "interval_seconds": "60",
    "timeout_seconds": "10",
    "confirmations": "2",
    "recoveries": "1",
    "expected_status": "200-299",
    "method": "GET",
    "follow_redirects": True,
    "max_redirects": "10",
    "verify_tls": True,
    "check_chain": True,
    "ssl_days": "14",
    "push_interval_seconds": "3600",
    "push_confirmations": "1",
    "timezone": "UTC",
    "grace_seconds": "60",
    "packets": "3",
    "max_loss_percent": "100",
    "degraded_loss_percent": "50",
    "record_type": "A",
    "match": "all",
}
"""What a new monitor's form begins with: the API's own defaults."""

_OWN_FIELDS = {
    "push": {
        "$.target": "$.push_target",
        "$.interval_seconds": "$.push_interval_seconds",
        "$.confirmations": "$.push_confirmations",
    },
    "ssl": {"$.alert_days_before_expiry": "$.ssl_days"},
}
"""By type: what the API calls by another name than the form, which has a field of its own there."""
_REQUEST = {
    "method": "GET",
    "auth.type": "",
    "headers": "",
    "body": "",
    "follow_redirects": True,
    "max_redirects": "10",
}
"""The fields of the folded request, and what is in them at first."""
_ADVANCED = frozenset(
    {
        "description",
        "runbook_url",
        "ip_version",
        "ca_certificate",
        "client_certificate",
        "client_key",
        "invert",
        "is_paused",
    }
)
_ALWAYS = frozenset({"name", "target", "type", "confirmations", "recoveries"})


def spec(form: Form) -> MonitorSpec:
    """Return the sent form as a spec.

    Raises:
        ApiError: 400 with every problem of types and bounds.
    """
    mistakes = []
    if _is_http(form) and form.text("json_value"):
        try:
            json.loads(form.text("json_value"))
        except ValueError:
            hint = say('this is not JSON; write a text in quotes: "ok"')
            mistakes.append({"path": "$.json_value", "message": hint})
    try:
        found = api.spec_of(_values(form, with_json=not mistakes))
    except ApiError as error:
        own = _OWN_FIELDS.get(form.text("type"), {})
        mistakes += [
            each | {"path": own.get(each["path"], each["path"])}
            for each in error.details.get("errors", [])
        ]
    else:
        if not mistakes:
            return found
    raise invalid([Problem(**each) for each in mistakes])


def _is_http(form: Form) -> bool:
    return form.text("type") in {"http", "https"}


def _values(form: Form, *, with_json: bool) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/monitors."""
    kind = form.text("type")
    found: dict[str, Any] = {
        "type": kind,
        "name": form.text("name"),
        "target": form.text("target"),
        "description": form.text("description"),
        "runbook_url": form.text("runbook_url"),
        "group": form.text("group"),
        "tags": [tag.strip() for tag in form.text("tags").split(",") if tag.strip()],
        "interval_seconds": form.number("interval_seconds"),
        "timeout_seconds": form.number("timeout_seconds"),
        "confirmations": form.number("confirmations"),
        "recoveries": form.number("recoveries"),
        "retry_interval_seconds": form.number("retry_interval_seconds"),
        "degraded_after_ms": form.number("degraded_after_ms"),
        "parent_id": form.optional("parent_id"),
        "invert": form.checked("invert"),
        "is_paused": form.checked("is_paused"),
    }
    if _is_http(form):
        found |= _http(form)
        if with_json and form.text("json_value"):
            found["json_value"] = json.loads(form.text("json_value"))
    elif kind == "tcp":
        found |= {
            "send": form.raw("send") or None,
            "expect": form.raw("expect") or None,
            "tls": form.checked("tls"),
        }
    elif kind == "ssl":
        found |= {
            "server_name": form.optional("server_name"),
            "alert_days_before_expiry": form.number("ssl_days"),
            "check_chain": form.checked("check_chain"),
            "ca_certificate": form.optional("ca_certificate"),
        }
        if form.text("port"):
            found["port"] = form.number("port")
    elif kind == "push":
        found |= _push(form)
        # Nothing is dialled, so nothing times out or is tried again.
        del found["timeout_seconds"], found["retry_interval_seconds"]
    elif kind == "icmp":
        limits = ("packets", "max_loss_percent", "degraded_loss_percent")
        found |= {name: form.number(name) for name in limits if form.text(name)}
    elif kind == "dns":
        wanted = [line.strip() for line in form.raw("expected_value").splitlines() if line.strip()]
        found |= {
            "record_type": form.text("record_type") or "A",
            "expected_value": wanted or None,
            "match": form.text("match") or "all",
            "nameserver": form.optional("nameserver"),
        }
    return found


def _push(form: Form) -> dict[str, Any]:
    # Fields of their own where the limits and defaults differ from those of checks.
    found: dict[str, Any] = {
        "target": form.text("push_target"),
        "cron": form.optional("cron"),
        "timezone": form.text("timezone") or "UTC",
    }
    numbers = {
        "push_interval_seconds": "interval_seconds",
        "push_confirmations": "confirmations",
        "grace_seconds": "grace_seconds",
    }
    defaults = {"interval_seconds": 60, "confirmations": 1, "grace_seconds": 60}
    for field, name in numbers.items():
        found[name] = form.number(field) if form.text(field) else defaults[name]
    return found


def _http(form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": form.text("method") or "GET",
        "headers": form.headers("headers"),
        "body": form.raw("body") or None,
        "expected_status": _statuses(form.text("expected_status")),
        "body_match": form.raw("body_match") or None,
        "body_not_match": form.raw("body_not_match") or None,
        "body_regex": form.raw("body_regex") or None,
        "json_path": form.optional("json_path"),
        "follow_redirects": form.checked("follow_redirects"),
        "verify_tls": form.checked("verify_tls"),
        "ca_certificate": form.optional("ca_certificate"),
        "client_certificate": form.optional("client_certificate"),
        "client_key": form.secret("client_key"),
        "ip_version": form.number("ip_version"),
        "alert_days_before_expiry": form.number("alert_days_before_expiry"),
        "auth": _auth(form),
    }
    if form.text("max_redirects"):
        found["max_redirects"] = form.number("max_redirects")
    return found


def _auth(form: Form) -> dict[str, Any] | None:
    kind = form.text("auth.type")
    if kind == "basic":
        return {
            "type": kind,
            "username": form.text("auth.username"),
            "password": form.secret("auth.password"),
        }
    if kind == "bearer":
        return {"type": kind, "token": form.secret("auth.token")}
    return None


def _statuses(text: str) -> Any:
    """Return "200-299, 401" as the API takes it: a number, a range, or a list of them."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found: list[int | str] = [int(part) if part.isdecimal() else part for part in parts]
    if not found:
        return "200-299"
    return found[0] if len(found) == 1 else found


def entered(spec: MonitorSpec) -> dict[str, Any]:
    """Return a stored spec as the texts of the form, without secrets."""
    shown = rules.redacted(spec)
    found = {
        name: _text(shown[name])
        for name in LABELS
        if name in shown and name not in {"headers", "auth", "tags", "expected_status"}
    }
    found["type"] = type_of(spec)
    found["tags"] = ", ".join(spec.tags)
    if isinstance(spec, HttpSpec):
        wanted = spec.expected_status
        listed = wanted if isinstance(wanted, tuple) else (wanted,)
        found["expected_status"] = ", ".join(str(one) for one in listed)
        found["headers"] = "\n".join(
            f"{name}: {value or ''}".rstrip() for name, value in shown["headers"].items()
        )
        auth = shown.get("auth")
        found["auth.type"] = auth["type"] if auth else ""
        found["auth.username"] = auth.get("username", "") if auth else ""
        if "json_value" in shown:
            found["json_value"] = json.dumps(shown["json_value"], ensure_ascii=False)
    elif isinstance(spec, TcpSpec):
        if spec.port is not None and not spec.target.endswith(f":{spec.port}"):
            found["target"] = f"{spec.target}:{spec.port}"
    elif isinstance(spec, SslSpec):
        # A field of its own: what an empty one means differs from that of http.
        found["ssl_days"] = _text(spec.alert_days_before_expiry)
    elif isinstance(spec, PushSpec):
        found |= {
            "push_target": spec.target,
            "push_interval_seconds": str(spec.interval_seconds),
            "push_confirmations": str(spec.confirmations),
        }
    elif isinstance(spec, DnsSpec):
        wanted_values = spec.expected_value or ()
        records = (wanted_values,) if isinstance(wanted_values, str) else wanted_values
        found["expected_value"] = "\n".join(records)
    return found


def _text(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, bool) else str(value)


def stored_secrets(spec: MonitorSpec) -> list[str]:
    """Return the paths of the form's secrets that are stored."""
    shown = rules.redacted(spec)
    found = []
    if shown.get("client_key_set"):
        found.append("client_key")
    auth = shown.get("auth") or {}
    found += [f"auth.{name}" for name in ("password", "token") if auth.get(f"{name}_set")]
    return found


def request_open(shown: dict[str, Any], errors: dict[str, str]) -> bool:
    """Tell whether something in the folded request was set, or is wrong."""
    if any(field in _REQUEST or field.startswith("auth.") for field in errors):
        return True
    return any(shown.get(name) not in {usual, None} for name, usual in _REQUEST.items())


def advanced_open(shown: dict[str, Any], errors: dict[str, str]) -> bool:
    """Tell whether something in the folded part was set, or is wrong."""
    if _ADVANCED & errors.keys() or "verify_tls" in errors:
        return True
    http = shown.get("type") in {"http", "https"}
    return any(shown.get(name) for name in _ADVANCED) or (http and not shown.get("verify_tls"))
