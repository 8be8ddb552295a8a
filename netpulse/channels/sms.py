"""sms: through Twilio's Messages resource (API of 2010-04-01), one request a number.

Limits: a body has 1,600 characters; it is sent as a form, with the account and its token as
Basic credentials. A number that has it already is not asked again when another is tried again.
"""

from __future__ import annotations

import base64
import time
from urllib.parse import quote, urlencode

from netpulse.channels.base import Answer, Carrier, DeliveryError, Message
from netpulse.channels.posting import FORM, Refusal, Reply, at_base, cut, length, post
from netpulse.channels.sharing import Shares
from netpulse.model.channel import SmsConfig
from netpulse.rules.messages import Words

API = "https://api.twilio.com"
LONGEST = 1_600
TITLE = 400
ALL_SECONDS = 60.0
"""After so long no further number is begun; an attempt must not outlive its claim."""

_CHANNEL = frozenset({20003, 20404, 21212, 21603, 21606, 21659, 21660, 21661, 30002, 20005, 10001})
"""Error codes that speak of the account or of the sender: every message would be refused."""
_LATER = frozenset({20429, 14107, 30001, 30022, 63038})
"""Error codes of limits and queues."""


async def send(config: SmsConfig, message: Message, carrier: Carrier) -> Answer:
    """Send one message to every number of the channel.

    Raises:
        DeliveryError: no number took it, or one is to be tried again.
    """
    twilio = carrier.twilio
    account = config.account_sid or (twilio.account_sid if twilio else None)
    token = config.auth_token or (twilio.auth_token if twilio else None)
    sender = config.sender or (twilio.sender if twilio else None)
    if not account or not token or not sender:
        raise DeliveryError(
            "no Twilio account, token and number: set them in the channel, or TWILIO_SID, "
            "TWILIO_AUTH_TOKEN and TWILIO_PHONE in the environment",
            permanent=True,
            disables=True,
        )
    url = at_base(config.api_url or API, f"2010-04-01/Accounts/{quote(account, '')}/Messages.json")
    credentials = base64.b64encode(f"{account}:{token}".encode()).decode()
    headers = {**FORM, "Authorization": f"Basic {credentials}"}
    # A messaging service may stand in the place of a number.
    origin = "MessagingServiceSid" if sender.startswith("MG") else "From"
    text = body(message.words)
    shares = Shares(carrier, message.id, config.to)
    began = time.monotonic()
    for number in shares.waiting:
        if time.monotonic() - began > ALL_SECONDS:
            late = "Twilio is too slow for all numbers at once; the others follow"
            shares.put_off(DeliveryError(late, permanent=False))
            break
        form = urlencode({"To": number, origin: sender, "Body": text}).encode()
        try:
            answer = await post(
                carrier, url, form, headers, secrets=(token, credentials), rules=_rules
            )
        except DeliveryError as error:
            shares.failed(number, error)
            if error.disables or error.status_code is None:
                # The account, or the way there: the other numbers would fare no better.
                shares.put_off(error)
                break
        else:
            shares.took(number, answer)
    return shares.outcome()


def body(words: Words) -> str:
    """Return the message as one text."""
    title = cut(words.title, TITLE)
    links = words.links
    foot = "\n".join(links)
    room = LONGEST - length(title) - length(foot) - 2
    if room < 0:
        foot, room = "", LONGEST - length(title) - 1
    lines = cut("\n".join(words.lines), room)
    return "\n".join(part for part in (title, lines, foot) if part)


def _rules(reply: Reply) -> Refusal | None:
    code = reply.fields.get("code")
    if reply.status < 400 or not isinstance(code, int):
        return None
    said = str(reply.fields.get("message") or "")
    sentence = f"Twilio answered {code}: {said}"
    if code in _LATER or reply.status == 429 or reply.status >= 500:
        return Refusal(sentence, permanent=False, retry_after=reply.retry_after)
    return Refusal(sentence, disables=code in _CHANNEL or reply.status in {401, 403, 404})
