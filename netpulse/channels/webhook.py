"""webhook: every edge as JSON to a URL of the user's own, signed by the Standard Webhooks
specification (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time

from netpulse import __version__
from netpulse.channels.base import (
    ANSWER_CHARACTERS,
    SEND_SECONDS,
    Answer,
    DeliveryError,
    Message,
)
from netpulse.egress.connect import DialError, Egress
from netpulse.model.channel import ChannelConfig
from netpulse.model.check import Failure

PREFIX = "whsec_"
_FINAL = frozenset({Failure.BLOCKED})
"""Failures to connect that no later attempt will heal."""


def signature(secret: str, message_id: str, timestamp: int, payload: bytes) -> str:
    """Return the `webhook-signature` of a payload: "v1," and Base64 of an HMAC-SHA256.

    Args:
        secret: `whsec_` and the key in Base64.
        message_id: the `webhook-id`.
        timestamp: the `webhook-timestamp`, Unix seconds of this attempt.
        payload: the body's exact bytes.

    Raises:
        ValueError: the secret is not Base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the signing secret is not whsec_ followed by Base64") from None
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, payload)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers_of(config: ChannelConfig, message: Message) -> dict[str, str]:
    """Return the request's headers: the user's own, then ours, which they cannot replace."""
    timestamp = message.attempted_at // 1000
    ours = {
        "content-type": "application/json",
        "user-agent": f"NetPulse/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
    }
    if config.secret:
        ours["webhook-signature"] = signature(config.secret, message.id, timestamp, message.payload)
    kept = {name: value for name, value in config.headers.items() if name.lower() not in ours}
    return kept | ours


async def send(config: ChannelConfig, message: Message, egress: Egress) -> Answer:
    """Post one message; any 2xx is a success.

    Raises:
        DeliveryError: 429, 5xx, a timeout or no connection (to be tried again); another 4xx, a
            redirect or a forbidden address (final).
    """
    began = time.perf_counter()
    try:
        headers = headers_of(config, message)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True) from None
    try:
        reply = await egress.post(config.url, message.payload, headers, timeout=SEND_SECONDS)
    except DialError as error:
        raise DeliveryError(
            error.message,
            permanent=error.failure in _FINAL,
            latency_ms=_since(began),
        ) from error
    latency_ms = _since(began)
    text = reply.body.decode("utf-8", "replace").strip()[:ANSWER_CHARACTERS]
    if 200 <= reply.status <= 299:
        return Answer(
            status_code=reply.status, text=text, latency_ms=latency_ms, address=reply.address
        )
    later = reply.status == 429 or reply.status >= 500
    raise DeliveryError(
        _refusal(reply.status),
        permanent=not later,
        status_code=reply.status,
        answer=text,
        retry_after_seconds=reply.retry_after if later else None,
        latency_ms=latency_ms,
    )


def _since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)


def _refusal(status: int) -> str:
    if status == 429:
        return "the receiver answered HTTP 429: too many requests"
    if status >= 500:
        return f"the receiver answered HTTP {status}: it is in trouble"
    if 300 <= status <= 399:
        return (
            f"the receiver answered HTTP {status}: redirects are not followed; enter the final URL"
        )
    if status in {401, 403}:
        return f"the receiver answered HTTP {status}: it does not accept our credentials"
    if status in {404, 410}:
        return f"the receiver answered HTTP {status}: there is no such address; check the URL"
    return f"the receiver answered HTTP {status}: it does not accept this message"
