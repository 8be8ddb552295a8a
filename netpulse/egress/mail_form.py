"""The form of a mail: whom it is from and to, its head lines and its parts, in exact bytes.

RFC 5322 for its form, 3834 for what answers itself, 8058 for ending a subscription. What comes from
outside (names, subjects) is made one line without control characters first, so that nobody writes a
head line of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import quote

import idna

from netpulse.model.channel import Smtp
from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.rules.messages import one_line

SUBJECT = 250
"""Characters of a subject."""


class NoSender(Exception):
    """Nothing says whom mail comes from; the text says what to set."""


def sender_of(server: Smtp, general: Smtp | None = None) -> Address:
    """Return whom mail through `server` comes from: what its settings say, its user, or what the
    `general` server's settings say.

    Raises:
        NoSender: none of them is an address.
    """
    for text in (server.sender, server.user, general.sender if general else None):
        name, address = parseaddr(text or "")
        if address.count("@") == 1:
            found = _address(address)
            return Address(one_line(name) or "NetPulse", found.username, found.domain)
    raise NoSender("no sender: set smtp.from to the address that mail comes from")


def compose(
    *,
    message_id: Id,
    sender: Address,
    recipients: Sequence[str],
    subject: str,
    text: str,
    at: Millis,
    html: str | None = None,
    ancestor: str | None = None,
    end_url: str | None = None,
) -> bytes:
    """Return a mail in its exact bytes, 7 bit; the same at each attempt but for its date.

    Args:
        message_id: what the Message-ID is made of, so that a repetition is the same message.
        sender: who it is from.
        recipients: whom it is to, as addresses alone.
        subject: made one line here.
        text: its plain text.
        at: its date, Unix milliseconds.
        html: the same as a page, beside the plain text.
        ancestor: the local part of the Message-ID that it refers to, so that mail programs show
            what belongs together as one conversation.
        end_url: where the recipient ends a subscription by one POST (RFC 8058).
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = tuple(_address(one) for one in recipients)
    mail["Subject"] = one_line(subject, SUBJECT)
    mail["Date"] = format_datetime(datetime.fromtimestamp(at // SECOND, UTC))
    domain = ascii_domain(sender.addr_spec).rpartition("@")[2] or "netpulse.invalid"
    mail["Message-ID"] = f"<{message_id}@{domain}>"
    if ancestor is not None:
        mail["In-Reply-To"] = f"<{ancestor}@{domain}>"
        mail["References"] = f"<{ancestor}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(f"{text}\n", cte="quoted-printable")
    if html is not None:
        mail.add_alternative(html, subtype="html", cte="quoted-printable")
    return _ending(end_url) + mail.as_bytes()


def _ending(end_url: str | None) -> bytes:
    """Return the head lines that say how a subscription ends.

    They are written here, for the library would encode a long address as it encodes words, and no
    mail program would find it again.
    """
    if end_url is None:
        return b""
    address = quote(end_url, safe=":/?#[]@!$&'()*+,;=%-._~").encode()
    return (
        b"List-Unsubscribe: <" + address + b">\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )


def ascii_domain(address: str) -> str:
    """Return an address with its domain as name servers know it (IDNA), as an envelope has it."""
    user, _, domain = address.rpartition("@")
    return f"{user}@{_idna(domain)}"


def _address(text: str) -> Address:
    user, _, domain = one_line(text).rpartition("@")
    return Address("", user, _idna(domain))


def has_name(domain: str) -> bool:
    """Tell whether name servers can know a domain: all of ASCII, or one that IDNA 2008 allows."""
    return _idna(domain).isascii()


def _idna(domain: str) -> str:
    """Return a domain as RFC 5891 has it, or as it is where that has no name for it. The `idna` of
    Python's own codec is that of 2003, which takes other people's domains for some: ß for ss."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain.lower()).decode("ascii")
    except idna.IDNAError:
        return domain
