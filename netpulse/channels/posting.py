"""What the channels that post have in common: one POST, and what its answer means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from netpulse.channels.base import (
    ANSWER_CHARACTERS,
    SEND_SECONDS,
    Answer,
    Carrier,
    DeliveryError,
)
from netpulse.egress.answer import Answer as HttpAnswer
from netpulse.egress.connect import DialError
from netpulse.model.check import Failure

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_SHORTEST_SECRET = 8
"""A shorter text is no secret worth the name, and would blot out half an answer."""


class Reply(Struct, frozen=True):
    """What the far side said."""

    status: int
    text: str
    retry_after: float | None

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object in it; empty where it has none."""
        try:
            found = msgspec.json.decode(self.text)
        except (msgspec.DecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Refusal(Struct, frozen=True):
    """How a reply is to be taken, where the service has rules of its own."""

    sentence: str
    permanent: bool = True
    disables: bool = False
    retry_after: float | None = None


Rules = Callable[[Reply], Refusal | None]
"""What a service's answer means, or None where the usual rules of HTTP tell."""


async def post_json(
    carrier: Carrier,
    url: str,
    fields: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Iterable[str | None] = (),
    rules: Rules | None = None,
) -> Answer:
    """Post a JSON object as `post` does."""
    return await post(
        carrier,
        url,
        msgspec.json.encode(fields),
        {**JSON, **(headers or {})},
        secrets=secrets,
        rules=rules,
    )


async def post(
    carrier: Carrier,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str | None] = (),
    rules: Rules | None = None,
) -> Answer:
    """Post once; any 2xx is a success unless the service's `rules` say otherwise.

    `secrets`, and the URL's own path, are blotted out of the answer: some far sides repeat what
    they were asked, and the answer is kept in the delivery log.

    Raises:
        DeliveryError: 429, 5xx, a timeout or no connection (to be tried again); another 4xx, a
            redirect, an unusable URL or a forbidden address (final).
    """
    began = time.perf_counter()
    try:
        said = await carrier.egress.post(url, body, headers, timeout=SEND_SECONDS)
    except DialError as error:
        final = error.failure is Failure.BLOCKED or error.detail in {"bad_url", "bad_request"}
        raise DeliveryError(
            error.message, permanent=final, disables=final, latency_ms=since(began)
        ) from error
    latency_ms = since(began)
    reply = _reply(said, [*secrets, *_parts(url)])
    refusal = _refusal(reply, rules)
    if refusal is None:
        return Answer(
            status_code=reply.status, text=reply.text, latency_ms=latency_ms, address=said.address
        )
    raise DeliveryError(
        refusal.sentence,
        permanent=refusal.permanent,
        disables=refusal.disables,
        status_code=reply.status,
        answer=reply.text,
        retry_after_seconds=None if refusal.permanent else refusal.retry_after,
        latency_ms=latency_ms,
    )


def since(began: float) -> int:
    """Return the milliseconds since `began` (time.perf_counter)."""
    return round((time.perf_counter() - began) * 1000)


def length(text: str) -> int:
    """Return how many characters a text has as UTF-16 counts, where an emoji is two.

    Some services count so, and what fits by this count fits by every other.
    """
    return len(text.encode("utf-16-le", "replace")) // 2


def cut(text: str, most: int) -> str:
    """Return the text cut to `most` by `length`, with an ellipsis where it was longer."""
    raw = text.encode("utf-16-le", "replace")
    if len(raw) <= 2 * most:
        return text
    return raw[: 2 * (most - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def cut_bytes(text: str, most: int) -> str:
    """Return the text in at most so many bytes of UTF-8, with an ellipsis where it was longer."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return raw.decode("utf-8")
    return raw[: most - 3].decode("utf-8", "ignore").rstrip() + "…"


def at_base(base: str, path: str) -> str:
    """Return `path` below a base URL, whether that ends with a slash or not."""
    return f"{base.rstrip('/')}/{path}"


def _reply(said: HttpAnswer, secrets: Iterable[str | None]) -> Reply:
    text = said.body.decode("utf-8", "replace").replace("\x00", "").strip()
    for secret in sorted({one for one in secrets if one}, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "…")
    return Reply(said.status, text[:ANSWER_CHARACTERS], said.retry_after)


def _parts(url: str) -> list[str]:
    """Return what of a URL may be a secret: its path and query, and their longer parts."""
    try:
        found = urlsplit(url)
    except ValueError:
        return []
    whole = found.path + (f"?{found.query}" if found.query else "")
    pieces = re.split(r"[/?&=:]", whole)
    # Words of the way ("api", "webhooks") are none; tokens and ids are longer.
    return [whole, found.path, *(piece for piece in pieces if len(piece) >= 2 * _SHORTEST_SECRET)]


def _refusal(reply: Reply, rules: Rules | None) -> Refusal | None:
    found = rules(reply) if rules is not None else None
    if found is not None:
        return found
    status = reply.status
    if 200 <= status <= 299:
        return None
    what = f"the receiver answered HTTP {status}"
    if status == 429:
        return Refusal(f"{what}: too many requests", False, False, reply.retry_after)
    if status >= 500:
        return Refusal(f"{what}: it is in trouble", False, False, reply.retry_after)
    if 300 <= status <= 399:
        sentence = f"{what}: redirects are not followed; enter the final URL"
        return Refusal(sentence, disables=True)
    if status in {401, 403}:
        return Refusal(f"{what}: it does not accept our credentials", disables=True)
    if status in {404, 410}:
        return Refusal(f"{what}: there is no such address; check the URL", disables=True)
    return Refusal(f"{what}: it does not accept this message")
