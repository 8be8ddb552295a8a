"""telegram: a bot that writes into a chat (Bot API, sendMessage).

Limits: 4,096 characters after entities are parsed; with parse mode HTML & < > are written as
entities. 429 says in `parameters.retry_after` how long to wait.
"""

from __future__ import annotations

import html
from typing import Any

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import Refusal, Reply, at_base, cut, length, post_json
from netpulse.model.channel import TelegramConfig
from netpulse.rules.messages import Words

API = "https://api.telegram.org"
LONGEST = 4_096
TITLE = 500


async def send(config: TelegramConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    url = at_base(config.api_url or API, f"bot{config.bot_token}/sendMessage")
    fields = {"chat_id": config.chat_id, **body(message.words)}
    return await post_json(carrier, url, fields, secrets=(config.bot_token,), rules=_rules)


def body(words: Words) -> dict[str, Any]:
    """Return the message in Telegram's form."""
    title = cut(words.title, TITLE)
    rest = cut(words.body, LONGEST - length(title) - 1)
    fields: dict[str, Any] = {
        "text": f"<b>{html.escape(title, quote=False)}</b>\n{html.escape(rest, quote=False)}",
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    buttons = [
        {"text": label, "url": url}
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        # Telegram takes buttons to public addresses only, and refuses the whole message else.
        if url and url.startswith("https://")
    ]
    if buttons:
        fields["reply_markup"] = {"inline_keyboard": [buttons]}
    return fields


def _rules(reply: Reply) -> Refusal | None:
    if reply.status == 200 and reply.fields.get("ok") is True:
        return None
    said = str(reply.fields.get("description") or "")
    if reply.status == 429:
        wait = (reply.fields.get("parameters") or {}).get("retry_after")
        asked = float(wait) if isinstance(wait, int | float) else 0.0
        return Refusal(
            "Telegram answered HTTP 429: too many messages",
            permanent=False,
            retry_after=max(asked, reply.retry_after or 0.0) or None,
        )
    if reply.status == 401 or reply.status == 404:
        return Refusal("Telegram does not know this bot; check its token", disables=True)
    if reply.status == 403:
        return Refusal(f"Telegram answered: {said or 'forbidden'}", disables=True)
    if reply.status == 400:
        lower = said.lower()
        moved = (reply.fields.get("parameters") or {}).get("migrate_to_chat_id")
        if moved is not None:
            sentence = f"the group became a supergroup; its chat id is now {moved}"
            return Refusal(f"Telegram answered: {sentence}", disables=True)
        gone = "chat not found" in lower or "chat_id is empty" in lower or "kicked" in lower
        return Refusal(f"Telegram answered: {said or 'a bad request'}", disables=gone)
    if 200 <= reply.status <= 299:
        return Refusal("what answered is not Telegram's Bot API; check the URL", disables=True)
    return None
