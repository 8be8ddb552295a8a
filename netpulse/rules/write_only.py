"""The write-only fields of a monitor: what is sealed, what is kept on PUT, what is answered.

A secret never leaves: it is answered as null, with `<field>_set` beside it. Sent back as null, or
left out, it keeps its value; an empty text clears it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from netpulse.model.monitor import BasicAuth, BearerAuth, HttpSpec, MonitorSpec
from netpulse.rules import targets
from netpulse.rules.monitors_problem import Problem

SECRET_FIELDS = ("auth.password", "auth.token", "client_key")
"""Paths of the fields that are secret by themselves; headers are by their name."""

READ_ONLY = frozenset(
    {
        "id",
        "org_id",
        "status",
        "status_since",
        "last_check",
        "created_by",
        "created_at",
        "updated_at",
        "version",
        "problem",
        "ping_url",
        "body_set",
        "client_key_set",
        "headers_set",
    }
)
"""Fields that answers add to a spec, and that are ignored when they come back."""

_READ_ONLY_AUTH = frozenset({"password_set", "token_set"})
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
_SECRET_WORDS = ("key", "token", "secret")


def is_secret_header(name: str) -> bool:
    """Tell whether the value of a request header is write-only, by the header's name."""
    lower = name.lower()
    return lower in _SECRET_HEADERS or any(word in lower for word in _SECRET_WORDS)


def split_secrets(spec: MonitorSpec) -> tuple[MonitorSpec, dict[str, str]]:
    """Return the spec with null for every secret, and the secrets by path.

    Paths are `client_key`, `auth.password`, `auth.token` and `headers.<name>`.
    """
    if not isinstance(spec, HttpSpec):
        return spec, {}
    found: dict[str, str] = {}
    auth = spec.auth
    if isinstance(auth, BasicAuth) and auth.password is not None:
        found["auth.password"] = auth.password
        auth = replace(auth, password=None)
    elif isinstance(auth, BearerAuth) and auth.token is not None:
        found["auth.token"] = auth.token
        auth = replace(auth, token=None)
    if spec.client_key is not None:
        found["client_key"] = spec.client_key
    headers: dict[str, str | None] = {}
    for name, value in spec.headers.items():
        secret = value is not None and is_secret_header(name)
        headers[name] = None if secret else value
        if secret and value is not None:
            found[f"headers.{name}"] = value
    if not found:
        return spec, found
    return replace(spec, auth=auth, client_key=None, headers=headers), found


def join_secrets(spec: MonitorSpec, secrets: dict[str, str]) -> MonitorSpec:
    """Return the spec with its secrets put back: the inverse of `split_secrets`."""
    if not isinstance(spec, HttpSpec) or not secrets:
        return spec
    auth = spec.auth
    if isinstance(auth, BasicAuth):
        auth = replace(auth, password=secrets.get("auth.password", auth.password))
    elif isinstance(auth, BearerAuth):
        auth = replace(auth, token=secrets.get("auth.token", auth.token))
    headers = {name: secrets.get(f"headers.{name}", value) for name, value in spec.headers.items()}
    key = secrets.get("client_key", spec.client_key)
    return replace(spec, auth=auth, client_key=key, headers=headers)


def keep_secrets(new: MonitorSpec, old: MonitorSpec) -> MonitorSpec:
    """Return the spec of a PUT with the secrets it leaves null taken from the stored one.

    An empty text clears. A secret header is dropped when it is cleared, and null for one that was
    not there stays null (`problems` says so). The key of a client certificate goes with it.
    """
    if not isinstance(new, HttpSpec):
        return new
    if not isinstance(old, HttpSpec):
        return without_empty_secrets(new)
    auth = new.auth
    if isinstance(auth, BasicAuth) and isinstance(old.auth, BasicAuth):
        auth = replace(auth, password=_kept(auth.password, old.auth.password))
    elif isinstance(auth, BearerAuth) and isinstance(old.auth, BearerAuth):
        auth = replace(auth, token=_kept(auth.token, old.auth.token))
    key = new.client_key
    if new.client_certificate is not None:
        key = _kept(key, old.client_key)
    before = {name.lower(): value for name, value in old.headers.items() if is_secret_header(name)}
    headers = {
        name: before.get(name.lower()) if value is None else value
        for name, value in new.headers.items()
    }
    return without_empty_secrets(replace(new, auth=auth, client_key=key, headers=headers))


def moved_secrets(new: MonitorSpec, old: MonitorSpec) -> list[Problem]:
    """Return what is wrong with the secrets that `keep_secrets` would keep.

    Where a target leads to another server, they must be entered again: whoever may change an
    address must not so be given a secret. The key of a client certificate is never sent, and stays.
    """
    if not isinstance(new, HttpSpec) or not isinstance(old, HttpSpec):
        return []
    if _origin(new) == _origin(old):
        return []
    given = split_secrets(new)[1]
    kept = split_secrets(keep_secrets(new, old))[1]
    return [
        Problem(f"$.{path}", "this is another server: enter the secret again")
        for path in kept
        if path not in given and path != "client_key"
    ]


def _origin(spec: HttpSpec) -> str | None:
    try:
        return str(targets.url(spec.target.strip()).origin())
    except (targets.TargetError, ValueError):
        return None


def without_empty_secrets(spec: HttpSpec) -> HttpSpec:
    """Return the spec with null for each secret that is an empty text; such headers fall away."""
    auth = spec.auth
    if isinstance(auth, BasicAuth) and auth.password == "":
        auth = replace(auth, password=None)
    elif isinstance(auth, BearerAuth) and auth.token == "":
        auth = replace(auth, token=None)
    headers = {
        name: value
        for name, value in spec.headers.items()
        if value != "" or not is_secret_header(name)
    }
    return replace(spec, auth=auth, client_key=spec.client_key or None, headers=headers)


def redacted(spec: MonitorSpec, *, for_admin: bool = True) -> dict[str, Any]:
    """Return the fields of a spec as the API answers them: plain values, no secret among them.

    `body` is shown to admins only; others get null and `body_set`. The `_set` fields are in
    READ_ONLY, so that the answer can be sent back as it is.
    """
    bare, secrets = split_secrets(spec)
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(bare))
    if not isinstance(bare, HttpSpec):
        return answer
    answer["target"] = targets.shown(bare.target)
    answer["client_key_set"] = "client_key" in secrets
    if isinstance(bare.auth, BasicAuth):
        answer["auth"]["password_set"] = "auth.password" in secrets
    elif isinstance(bare.auth, BearerAuth):
        answer["auth"]["token_set"] = "auth.token" in secrets
    answer["headers_set"] = {
        name: f"headers.{name}" in secrets for name in bare.headers if is_secret_header(name)
    }
    if not for_admin:
        answer["body"] = None
        answer["body_set"] = bare.body is not None
    return answer


def strip_read_only(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what somebody sent without the fields that only answers have.

    Other unknown fields stay, for the border to refuse.
    """
    kept = {name: value for name, value in raw.items() if name not in READ_ONLY}
    auth = kept.get("auth")
    if isinstance(auth, dict):
        kept["auth"] = {name: value for name, value in auth.items() if name not in _READ_ONLY_AUTH}
    return kept


def _kept(new: str | None, old: str | None) -> str | None:
    return old if new is None else new
