"""The configuration of a webhook: what may be set, what is kept, what is shown."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.channels.webhook import PREFIX
from netpulse.model.channel import WebhookConfig
from netpulse.rules import targets
from netpulse.rules.monitors import is_secret_header
from netpulse.web import reading
from netpulse.web.errors import Problem

MIN_SECRET_BYTES = 16
HeaderValue = Annotated[str, Meta(max_length=4000)]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


class WebhookSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a webhook's messages go."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    secret: Annotated[str, Meta(max_length=200)] | None = None
    """`whsec_` and Base64. Write-only: null keeps what is stored, "" removes it."""
    headers: Annotated[dict[str, HeaderValue | None], Meta(max_length=50)] = {}
    """Sent along. Values of headers named authorization, cookie or with key, token or secret in
    their name are write-only: null keeps them."""


class WebhookAnswer(Struct, frozen=True, kw_only=True):
    """A webhook's configuration without its secrets."""

    url: str
    """Whole for administrators; viewers see scheme and host, for a path may be a secret."""
    secret: None = None
    secret_set: bool
    headers: dict[str, str | None]
    headers_set: dict[str, bool]


def shown(config: WebhookConfig, *, for_admin: bool) -> WebhookAnswer:
    """Return a webhook's configuration as the API answers it."""
    return WebhookAnswer(
        url=config.url if for_admin else _origin(config.url),
        secret_set=config.secret is not None,
        headers={
            name: value if for_admin and not is_secret_header(name) else None
            for name, value in config.headers.items()
        },
        headers_set={name: True for name in config.headers if is_secret_header(name)},
    )


def trimmed(spec: WebhookSpec) -> WebhookSpec:
    """Return the configuration without spaces around what was pasted."""
    secret = None if spec.secret is None else spec.secret.strip()
    return replace(spec, url=spec.url.strip(), secret=secret)


def problems(spec: WebhookSpec) -> list[Problem]:
    """Return what is wrong with a webhook's configuration, apart from headers without a value."""
    found = []
    try:
        url = targets.url(spec.url)
    except targets.TargetError as trouble:
        found.append(Problem("$.config.url", str(trouble)))
    else:
        if url.user is not None or url.password is not None:
            found.append(
                Problem("$.config.url", "give user name and password in an Authorization header")
            )
    if spec.secret and not _is_secret(spec.secret):
        found.append(
            Problem(
                "$.config.secret",
                f"a signing secret is {PREFIX} followed by Base64 of at least "
                f"{MIN_SECRET_BYTES} bytes",
            )
        )
    found += _header_problems(spec.headers, "$.config.headers")
    return found


def _is_secret(text: str) -> bool:
    if not text.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return False
    return len(key) >= MIN_SECRET_BYTES


def merged(new: WebhookSpec, old: WebhookConfig | None) -> WebhookConfig:
    """Return the configuration to store: `new`, with what it leaves null taken from `old`.

    Raises:
        ApiError: 400 for a header without a value, and for a secret that is to be kept although
            the URL leads elsewhere now: whoever may change a URL must not so be given secrets.
    """
    moved = old is not None and _origin(old.url) != _origin(new.url)
    kept = {} if old is None else {name.lower(): value for name, value in old.headers.items()}
    wrong = []
    secret = new.secret
    if secret is None and old is not None and old.secret is not None:
        if moved:
            wrong.append(
                Problem("$.config.secret", "the URL leads to another host: enter the secret again")
            )
        secret = old.secret
    headers: dict[str, str] = {}
    for name, value in new.headers.items():
        if value is not None:
            if value or not is_secret_header(name):
                headers[name] = value
            continue
        before = kept.get(name.lower()) if is_secret_header(name) else None
        if before is None:
            wrong.append(Problem(f"$.config.headers.{name}", "has no value"))
        elif moved:
            wrong.append(
                Problem(
                    f"$.config.headers.{name}",
                    "the URL leads to another host: enter the value again",
                )
            )
        else:
            headers[name] = before
    reading.at_least_one(wrong)
    return WebhookConfig(url=new.url, secret=secret or None, headers=headers)


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL; "" where it cannot be read."""
    try:
        return str(targets.url(url).origin())
    except (targets.TargetError, ValueError):
        return ""


def _header_problems(headers: Mapping[str, str | None], path: str) -> list[Problem]:
    """Return what is wrong with the headers of a webhook; `path` is where they stand."""
    found = []
    seen: set[str] = set()
    for name, value in headers.items():
        where, lower = f"{path}.{name}", name.lower()
        if not _TOKEN.fullmatch(name):
            found.append(Problem(where, "is not a header name: letters, digits and - only"))
        elif lower in _OURS:
            found.append(Problem(where, "is set by NetPulse itself"))
        elif lower in seen:
            found.append(Problem(where, "is there twice"))
        seen.add(lower)
        if value is not None and _CONTROL.search(value):
            found.append(Problem(where, "has a line break or another control character"))
    return found
