"""gotify: an application of a Gotify server (POST /message, the token in X-Gotify-Key)."""

from __future__ import annotations

from typing import Any

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import at_base, cut, post_json
from netpulse.model.channel import GotifyConfig
from netpulse.rules.messages import Words

TITLE = 250
LONGEST = 10_000
"""Gotify documents no limit; a notice is never an essay."""
_PRIORITY = {"problem": 8, "warning": 6, "recovery": 5, "info": 4}
"""From 4 on the phone is shown a message, from 8 on it makes a sound of its own."""


async def send(config: GotifyConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    return await post_json(
        carrier,
        at_base(config.url, "message"),
        body(message.words),
        headers={"X-Gotify-Key": config.token},
        secrets=(config.token,),
    )


def body(words: Words) -> dict[str, Any]:
    """Return the message in Gotify's form; as plain text, nothing in it is marked up."""
    extras: dict[str, Any] = {"client::display": {"contentType": "text/plain"}}
    if words.page_url:
        extras["client::notification"] = {"click": {"url": words.page_url}}
    return {
        "title": cut(words.title, TITLE),
        "message": cut(words.body or words.title, LONGEST),
        "priority": _PRIORITY[words.level],
        "extras": extras,
    }
