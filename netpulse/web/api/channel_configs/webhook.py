"""webhook: a URL of the user's own, with a signing secret and headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.channels.webhook import PREFIX
from netpulse.model.channel import WebhookConfig
from netpulse.rules.write_only import is_secret_header
from netpulse.web.api.channel_configs.parts import (
    CONFIG,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    moved,
    origin,
    stripped,
    url_problems,
)
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


class WebhookChannel(ChannelSpec, frozen=True, kw_only=True, tag="webhook"):
    """Every change as signed JSON to a URL of your own."""

    config: WebhookSpec


class WebhookChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="webhook"):
    """A webhook."""

    config: WebhookAnswer | None


class Webhook(Kind[WebhookSpec, WebhookConfig]):
    """A URL of the user's own."""

    word: ClassVar[str] = "webhook"
    spec = WebhookSpec
    config = WebhookConfig
    channel = WebhookChannel
    answer = WebhookChannelAnswer
    secrets = ("secret",)
    read_only = frozenset({"headers_set"})

    def trimmed(self, spec: WebhookSpec) -> WebhookSpec:
        """Return it without the spaces around what was pasted."""
        return replace(spec, url=spec.url.strip(), secret=stripped(spec.secret))

    def problems(self, spec: WebhookSpec) -> list[Problem]:
        """Return what is wrong, apart from headers without a value."""
        found = url_problems("url", spec.url)
        if spec.secret and not _is_secret(spec.secret):
            found.append(
                Problem(
                    f"{CONFIG}.secret",
                    f"a signing secret is {PREFIX} followed by Base64 of at least "
                    f"{MIN_SECRET_BYTES} bytes",
                )
            )
        return found + _header_problems(spec.headers, f"{CONFIG}.headers")

    def merged(self, new: WebhookSpec, old: WebhookConfig | None) -> WebhookConfig:
        """Return what to store, secrets kept."""
        keeping = Keeping(None if old is None else moved(new.url, old.url))
        secret = keeping.secret("secret", new.secret, None if old is None else old.secret)
        kept = {} if old is None else {name.lower(): value for name, value in old.headers.items()}
        headers: dict[str, str] = {}
        for name, value in new.headers.items():
            is_secret = is_secret_header(name)
            if value is None:
                value = keeping.header(name, kept.get(name.lower()) if is_secret else None)
            if value is not None and (value or not is_secret):
                headers[name] = value
        keeping.done()
        return WebhookConfig(url=new.url, secret=secret, headers=headers)

    def shown(self, config: WebhookConfig, *, for_admin: bool) -> WebhookAnswer:
        """Return it as it is answered."""
        return WebhookAnswer(
            url=config.url if for_admin else origin(config.url),
            secret_set=config.secret is not None,
            headers={
                name: value if for_admin and not is_secret_header(name) else None
                for name, value in config.headers.items()
            },
            headers_set={name: True for name in config.headers if is_secret_header(name)},
        )

    def destination(self, config: WebhookConfig, *, for_admin: bool) -> str:
        """Return the URL, or its host."""
        return config.url if for_admin else origin(config.url)


def _is_secret(text: str) -> bool:
    if not text.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return False
    return len(key) >= MIN_SECRET_BYTES


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
