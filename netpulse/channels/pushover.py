"""pushover: a user or group of Pushover (message API), posted as a form.

Limits: message 1,024 characters, title 250, url 512, url_title 100. 4xx is final by the service's
own rules and asks not to be repeated; only 429 (the month's messages are used up) and 5xx pass.
"""

from __future__ import annotations

from urllib.parse import urlencode

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import FORM, Refusal, Reply, at_base, cut, post
from netpulse.model.channel import PushoverConfig
from netpulse.rules.messages import Words

API = "https://api.pushover.net"
LONGEST = 1_024
TITLE = 250
URL = 512
_PRIORITY = {"problem": "1", "warning": "0", "recovery": "0", "info": "-1"}
"""1 bypasses a user's quiet hours; 2 would repeat until it is confirmed, which reminders do."""


async def send(config: PushoverConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one message.

    Raises:
        DeliveryError: it was not taken.
    """
    fields = {"token": config.token, "user": config.user, **body(message.words)}
    fields["timestamp"] = str(message.created_at // 1000)
    return await post(
        carrier,
        at_base(config.api_url or API, "1/messages.json"),
        urlencode(fields).encode(),
        FORM,
        secrets=(config.token, config.user),
        rules=_rules,
    )


def body(words: Words) -> dict[str, str]:
    """Return the message in Pushover's form."""
    url, title = words.acknowledge_url, "Acknowledge"
    if not url or len(url) > URL:
        url, title = words.page_url, "Details"
    fields = {
        "title": cut(words.title, TITLE),
        "message": cut("\n".join(words.lines) or words.title, LONGEST),
        "priority": _PRIORITY[words.level],
    }
    if url and len(url) <= URL:
        fields |= {"url": url, "url_title": title}
    return fields


def _rules(reply: Reply) -> Refusal | None:
    if 200 <= reply.status <= 299 and reply.fields.get("status") != 1:
        return Refusal("what answered is not Pushover's API; check the URL", disables=True)
    if reply.status != 429 and 400 <= reply.status <= 499 and reply.fields:
        said = reply.fields.get("errors")
        why = "; ".join(str(one) for one in said) if isinstance(said, list) and said else ""
        whose = any(reply.fields.get(name) == "invalid" for name in ("user", "token"))
        return Refusal(f"Pushover answered: {why or 'a bad request'}", disables=whose)
    return None
