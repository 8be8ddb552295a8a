"""slack: an incoming webhook, with Block Kit for the form.

Limits (Slack's reference of blocks and of text objects): a header block has 150 characters, a
section's text 3,000, and & < > are written as entities; without them nothing in a foreign text
becomes a mention or a link. One message a second and webhook; beyond it 429 with Retry-After.
"""

from __future__ import annotations

from typing import Any

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import Refusal, Reply, cut, length, post_json
from netpulse.model.channel import SlackConfig
from netpulse.rules.messages import Words

HEADER = 150
SECTION = 3_000
MOST_SECTIONS = 10
"""A message takes 50 blocks; more than this nobody reads."""
BUTTON_URL = 3_000
FALLBACK = 4_000
"""The text of notifications, where blocks are not shown."""

_GONE = frozenset(
    {
        "no_service",
        "no_service_id",
        "no_team",
        "team_disabled",
        "invalid_token",
        "no_active_hooks",
        "channel_not_found",
        "channel_is_archived",
        "action_prohibited",
        "posting_to_general_channel_denied",
    }
)
"""Words of an answer that say the webhook itself is of no use any more."""


async def send(config: SlackConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    return await post_json(carrier, config.webhook_url, body(message.words), rules=_rules)


def body(words: Words) -> dict[str, Any]:
    """Return the message in Slack's form."""
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            # Plain text of a header is not marked up, so nothing in it needs escaping.
            "text": {"type": "plain_text", "text": cut(words.title, HEADER), "emoji": False},
        }
    ]
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": part, "verbatim": True}}
        for part in _sections(words.lines)
    ]
    buttons = [
        {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url}
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        if url and len(url) <= BUTTON_URL
    ]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {
        "text": cut(escaped(words.title), FALLBACK),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def escaped(text: str) -> str:
    """Return a text in which Slack finds no markup of links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _sections(lines: tuple[str, ...]) -> list[str]:
    parts: list[str] = []
    for line in lines:
        # Cut before escaping, so that no entity is cut in two: it grows fivefold at most.
        text = escaped(line)
        if length(text) > SECTION:
            text = escaped(cut(line, SECTION // 5))
        if parts and length(parts[-1]) + length(text) < SECTION:
            parts[-1] += f"\n{text}"
        elif text and len(parts) < MOST_SECTIONS:
            parts.append(text)
    return parts


def _rules(reply: Reply) -> Refusal | None:
    word = reply.text.split("\n", 1)[0].strip()
    if reply.status >= 400 and word in _GONE:
        return Refusal(
            f"Slack answered {word}: the webhook is of no use any more; make a new one",
            disables=True,
        )
    return None
