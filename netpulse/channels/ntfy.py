"""ntfy: a topic of ntfy.sh or of a server of one's own, published as JSON to the server's root.

Limits: the message has 4,096 bytes (more becomes an attachment), at most three actions. Priority is
1 to 5; tags that name an emoji are shown as one.
"""

from __future__ import annotations

from typing import Any

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import Refusal, Reply, cut_bytes, post_json
from netpulse.model.channel import NtfyConfig
from netpulse.rules.messages import Words

LONGEST = 4_096
TITLE = 250
_PRIORITY = {"problem": 5, "warning": 4, "recovery": 3, "info": 3}
_TAG = {
    "problem": "rotating_light",
    "warning": "warning",
    "recovery": "white_check_mark",
    "info": "information_source",
}


async def send(config: NtfyConfig, message: Message, carrier: Carrier) -> Answer:
    """Publish one message.

    Raises:
        DeliveryError: it was not taken.
    """
    headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
    return await post_json(
        carrier,
        f"{config.url.rstrip('/')}/",
        {"topic": config.topic, **body(message.words)},
        headers=headers,
        secrets=(config.token,),
        rules=_rules,
    )


def body(words: Words) -> dict[str, Any]:
    """Return the message in ntfy's form."""
    fields: dict[str, Any] = {
        "title": cut_bytes(words.title, TITLE),
        # An empty message would be shown as "triggered".
        "message": cut_bytes("\n".join(words.lines) or words.title, LONGEST),
        "priority": _PRIORITY[words.level],
        "tags": [_TAG[words.level]],
    }
    if words.page_url:
        fields["click"] = words.page_url
    if words.acknowledge_url:
        fields["actions"] = [
            # It opens the page with the question; a request in the background would be as good as
            # an answer.
            {"action": "view", "label": "Acknowledge", "url": words.acknowledge_url, "clear": False}
        ]
    return fields


def _rules(reply: Reply) -> Refusal | None:
    said = str(reply.fields.get("error") or "")
    if reply.status == 400 and "topic" in said:
        return Refusal(f"ntfy answered: {said}", disables=True)
    if reply.status in {400, 413, 507} and said:
        return Refusal(f"ntfy answered: {said}")
    return None
