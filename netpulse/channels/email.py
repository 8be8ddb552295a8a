"""email: a message in plain text and HTML, by SMTP.

The Message-ID is made of the notice's, so that a repetition is the same message; what tells of one
incident refers to one ancestor, so that mail programs show it as one conversation.
"""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Sequence
from email.headerregistry import Address

from netpulse.channels.base import Answer, Carrier, DeliveryError, Message
from netpulse.channels.posting import since
from netpulse.channels.sharing import Shares
from netpulse.egress import mail_form
from netpulse.egress.connect import DialError
from netpulse.egress.mail import MAIL_SECONDS, MailRefused, hand_over, is_unusable
from netpulse.egress.mail_form import ascii_domain
from netpulse.model.channel import EmailConfig, Smtp
from netpulse.rules.messages import Words

_COLOURS = {"problem": "#c62828", "warning": "#ef6c00", "recovery": "#2e7d32", "info": "#455a64"}


async def send(config: EmailConfig, message: Message, carrier: Carrier) -> Answer:
    """Send one message to every address of the channel.

    Raises:
        DeliveryError: no address took it, or one is to be tried again.
    """
    server = config.smtp or carrier.mail
    if server is None or not server.host:
        raise DeliveryError(
            "no mail server: set [smtp] in the configuration, or one in the channel",
            permanent=True,
            disables=True,
        )
    sender = _sender(server, carrier.mail)
    shares = Shares(carrier, message.id, config.to)
    waiting = {ascii_domain(one): one for one in shares.waiting}
    # Encoding 64 KiB takes longer than anything may that runs on the event loop.
    raw = await asyncio.to_thread(compose, message, sender, config.to)
    began = time.perf_counter()
    try:
        handed = await hand_over(
            carrier.egress if config.smtp is not None else carrier.own or carrier.egress,
            server,
            ascii_domain(sender.addr_spec),
            list(waiting),
            raw,
            seconds=MAIL_SECONDS,
        )
    except DialError as error:
        final = is_unusable(error)
        raise DeliveryError(
            error.message, permanent=final, disables=final, latency_ms=since(began)
        ) from error
    except MailRefused as error:
        if not error.refused:
            raise _refusal(error, since(began)) from error
        refused, answer = error.refused, None
    else:
        refused = handed.refused
        answer = Answer(text=handed.text, latency_ms=since(began), address=handed.address)
    for address, one in waiting.items():
        if address in refused:
            shares.failed(one, _refusal(refused[address], since(began)))
        elif answer is not None:
            shares.took(one, answer)
    return shares.outcome()


def compose(message: Message, sender: Address, recipients: Sequence[str]) -> bytes:
    """Return the message in its exact bytes; the same at each attempt but for its date."""
    words = message.words
    incident = message.incident_id
    return mail_form.compose(
        message_id=message.id,
        sender=sender,
        recipients=recipients,
        subject=words.title,
        text=words.text,
        html=page(words),
        at=message.attempted_at,
        ancestor=None if incident is None else f"incident.{incident}",
    )


def page(words: Words) -> str:
    """Return the message as HTML: no script, no style sheet, nothing to load."""
    lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in words.lines if line)
    links = " &middot; ".join(
        f'<a href="{html.escape(url)}">{label}</a>'
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        if url and url.startswith(("https://", "http://"))
    )
    foot = f"<p>{links}</p>\n" if links else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<body style="font-family: sans-serif">\n'
        f'<h1 style="font-size: 1.2em; color: {_COLOURS[words.level]}">'
        f"{html.escape(words.title)}</h1>\n{lines}{foot}</body>\n</html>\n"
    )


def _sender(server: Smtp, general: Smtp | None) -> Address:
    try:
        return mail_form.sender_of(server, general)
    except mail_form.NoSender as error:
        raise DeliveryError(str(error), permanent=True, disables=True) from None


def _refusal(error: MailRefused, latency_ms: int) -> DeliveryError:
    return DeliveryError(
        error.sentence,
        permanent=error.is_final,
        disables=error.refuses_credentials,
        answer=str(error),
        latency_ms=latency_ms,
    )
