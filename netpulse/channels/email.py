"""email: a message in plain text and HTML, by SMTP.

RFC 5322 for its form, 3834 for what answers itself. The Message-ID is made of the notice's, so that
a repetition is the same message; what tells of one incident refers to one ancestor, so that mail
programs show it as one conversation.
"""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from netpulse.channels.base import Answer, Carrier, DeliveryError, Message
from netpulse.channels.posting import cut, since
from netpulse.channels.sharing import Shares
from netpulse.egress.connect import DialError
from netpulse.egress.mail import MailRefused, hand_over
from netpulse.model.channel import EmailConfig, Smtp
from netpulse.model.check import Failure
from netpulse.rules.messages import Words, one_line

MAIL_SECONDS = 30.0
"""The whole of one attempt. Servers let strangers wait before they greet them."""
SUBJECT = 250
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
    waiting = {_ascii_domain(one): one for one in shares.waiting}
    # Encoding 64 KiB takes longer than anything may that runs on the event loop.
    raw = await asyncio.to_thread(compose, message, sender, config.to)
    began = time.perf_counter()
    try:
        handed = await hand_over(
            carrier.egress,
            server,
            _ascii_domain(sender.addr_spec),
            list(waiting),
            raw,
            seconds=MAIL_SECONDS,
        )
    except DialError as error:
        final = error.failure is Failure.BLOCKED or error.detail == "bad_url"
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
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = tuple(_address(one) for one in recipients)
    mail["Subject"] = cut(one_line(words.title, SUBJECT), SUBJECT)
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.attempted_at // 1000, UTC))
    domain = _ascii_domain(sender.addr_spec).rpartition("@")[2] or "netpulse.invalid"
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    if message.incident_id is not None:
        ancestor = f"<incident.{message.incident_id}@{domain}>"
        mail["In-Reply-To"] = ancestor
        mail["References"] = ancestor
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(f"{words.text}\n", cte="quoted-printable")
    mail.add_alternative(page(words), subtype="html", cte="quoted-printable")
    return mail.as_bytes()


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
    """Return who the mail is from: what the server's settings say, its user, or the
    configuration.

    Raises:
        DeliveryError: none of them is an address.
    """
    for text in (server.sender, server.user, general.sender if general else None):
        name, address = parseaddr(text or "")
        if address.count("@") == 1:
            found = _address(address)
            return Address(one_line(name) or "NetPulse", found.username, found.domain)
    raise DeliveryError(
        "no sender: set smtp.from to the address that mail comes from",
        permanent=True,
        disables=True,
    )


def _address(text: str) -> Address:
    user, _, domain = one_line(text).rpartition("@")
    return Address("", user, _idna(domain))


def _ascii_domain(address: str) -> str:
    user, _, domain = address.rpartition("@")
    return f"{user}@{_idna(domain)}"


def _idna(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def _refusal(error: MailRefused, latency_ms: int) -> DeliveryError:
    """Return what a server's no means: 5yz is final, 4yz is not (RFC 5321, 4.2.1)."""
    later = 400 <= error.code <= 499 or error.stage == "starttls"
    what = {
        "connect": "the mail server turns us away",
        "starttls": "the mail server has no encryption",
        "auth": "the mail server does not accept the user name and password",
        "sender": "the mail server does not accept the sender",
        "recipients": "the mail server does not accept the recipient",
        "data": "the mail server does not accept the message",
    }[error.stage]
    own = not later and (error.stage == "auth" or error.code in {530, 535})
    return DeliveryError(
        f"{what}: {error}",
        permanent=not later,
        disables=own,
        answer=str(error),
        latency_ms=latency_ms,
    )
