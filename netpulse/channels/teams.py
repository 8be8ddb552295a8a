"""teams: a workflow of Microsoft Teams that starts when a webhook request is received.

It takes an Adaptive Card in an attachment of a message, at most 28 KB in all, and answers 202. The
older connectors' MessageCard is not taken by workflows. Adaptive Cards mark up Markdown in text
blocks; in runs of a rich text block everything is plain.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import JSON, Refusal, Reply, cut, post
from netpulse.model.channel import TeamsConfig
from netpulse.rules.messages import Words

LARGEST = 28_000
"""Bytes of the whole request."""
TITLE = 500
_COLOURS = {"problem": "Attention", "warning": "Warning", "recovery": "Good", "info": "Default"}


async def send(config: TeamsConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    return await post(carrier, config.webhook_url, fitting(message.words), JSON, rules=_rules)


def fitting(words: Words) -> bytes:
    """Return the message in Teams' form, with as many lines as it takes."""
    lines = list(words.lines)
    left_out = 0
    while True:
        shown = lines + ([f"… and {left_out:,} more lines"] if left_out else [])
        encoded = msgspec.json.encode(_message(words, shown))
        if len(encoded) <= LARGEST:
            return encoded
        if len(lines) > 1:
            dropped = max(1, len(lines) // 4)
            left_out += dropped
            lines = lines[:-dropped]
        else:
            lines = [cut(lines[0], len(lines[0]) // 2)]


def _message(words: Words, lines: list[str]) -> dict[str, Any]:
    blocks = [_text(cut(words.title, TITLE), weight="Bolder", color=_COLOURS[words.level])]
    blocks += [_text(line) for line in lines if line]
    actions = [
        {"type": "Action.OpenUrl", "title": label, "url": url}
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        if url
    ]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
        "msteams": {"width": "Full"},
    }
    if actions:
        card["actions"] = actions
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _rules(reply: Reply) -> Refusal | None:
    code = (reply.fields.get("error") or {}) if reply.status >= 400 else {}
    word = code.get("code") if isinstance(code, dict) else None
    if word in {"WorkflowNotFound", "WorkflowTriggerIsNotEnabled", "InvalidTemplate"}:
        return Refusal(
            f"Teams answered {word}: the workflow is gone or switched off", disables=True
        )
    return None
