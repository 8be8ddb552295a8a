"""webhook: every edge as JSON to a URL of the user's own, signed by the Standard Webhooks
specification (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from netpulse import __version__
from netpulse.channels.base import Answer, Carrier, DeliveryError, Message
from netpulse.channels.posting import post
from netpulse.model.channel import WebhookConfig

PREFIX = "whsec_"


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


def headers_of(config: WebhookConfig, message: Message) -> dict[str, str]:
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


async def send(config: WebhookConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message; any 2xx is a success.

    Raises:
        DeliveryError: 429, 5xx, a timeout or no connection (to be tried again); another 4xx, a
            redirect or a forbidden address (final).
    """
    try:
        headers = headers_of(config, message)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True) from None
    return await post(
        carrier,
        config.url,
        message.payload,
        headers,
        secrets=(config.secret, *config.headers.values()),
    )
