"""discord: a webhook of a channel.

Limits (Discord's reference of message and embed objects): content 2,000 characters, an embed's
title 256, its description 4,096. `allowed_mentions` without any keeps @everyone in a monitor's
name from waking everyone. 429 says in its body how long to wait.
"""

from __future__ import annotations

import re
from typing import Any

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import Refusal, Reply, cut, length, post_json
from netpulse.model.channel import DiscordConfig
from netpulse.rules.messages import Words

CONTENT = 2_000
TITLE = 256
DESCRIPTION = 4_096
_COLOURS = {"problem": 0xC62828, "warning": 0xEF6C00, "recovery": 0x2E7D32, "info": 0x455A64}
_MARKUP = re.compile(r"([\\*_~`|>\[\]()#<@-])")
_URL = re.compile(r"(https?://\S+)")
UNKNOWN_WEBHOOK = 10015


async def send(config: DiscordConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    return await post_json(carrier, config.webhook_url, body(message.words), rules=_rules)


def body(words: Words) -> dict[str, Any]:
    """Return the message in Discord's form."""
    links = [
        f"[{label}]({url})"
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        if url and len(url) < CONTENT // 2
    ]
    foot = " · ".join(links)
    lines = "\n".join(escaped(line) for line in words.lines)
    room = DESCRIPTION - length(foot) - 2
    embed: dict[str, Any] = {
        "title": cut(words.title, TITLE),
        "color": _COLOURS[words.level],
    }
    description = f"{cut(lines, room)}\n\n{foot}".strip()
    if description:
        embed["description"] = description
    return {
        "content": cut(escaped(words.title), CONTENT),
        "embeds": [embed],
        "allowed_mentions": {"parse": []},
    }


def escaped(text: str) -> str:
    """Return a text in which Discord finds no markup; addresses stay as they are."""
    parts = _URL.split(text)
    return "".join(
        part if place % 2 else _MARKUP.sub(r"\\\1", part) for place, part in enumerate(parts)
    )


def _rules(reply: Reply) -> Refusal | None:
    if reply.status == 429:
        wait = reply.fields.get("retry_after")
        asked = float(wait) if isinstance(wait, int | float) else None
        return Refusal(
            "Discord answered HTTP 429: too many messages",
            permanent=False,
            retry_after=max(asked or 0.0, reply.retry_after or 0.0) or None,
        )
    if reply.status >= 400 and reply.fields.get("code") == UNKNOWN_WEBHOOK:
        return Refusal("Discord does not know this webhook; make a new one", disables=True)
    return None
