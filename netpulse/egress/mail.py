"""Mail: one message handed to a server, and what a server that refuses it says by that."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence

from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.egress.tls import TlsOptions
from netpulse.egress.trouble import DialError
from netpulse.model.channel import Smtp
from netpulse.model.check import Failure

IMPLICIT_TLS_PORT = 465
MAIL_SECONDS = 30.0
"""The whole of one attempt. Servers let strangers wait before they greet them."""


class Handed(Struct, frozen=True):
    """What a server took."""

    text: str
    """Its last word: often the id of its queue."""
    address: str
    """The one that was dialled."""
    refused: dict[str, MailRefused]
    """By recipient: those it did not take, while it took the others."""


class MailRefused(Exception):
    """The server said no.

    Attributes:
        stage: connect, starttls, auth, sender, recipients or data.
        code: the reply's code; 0 where the server lacks what is asked for.
        text: what it said.
        refused: by recipient, where none of them was taken.
    """

    def __init__(
        self, stage: str, code: int, text: str, refused: dict[str, MailRefused] | None = None
    ) -> None:
        super().__init__(f"{code} {text}" if code else text)
        self.stage = stage
        self.code = code
        self.text = text
        self.refused = refused or {}

    @property
    def sentence(self) -> str:
        """What was refused, and what the server said, in words a person can act on."""
        return f"{_WHAT[self.stage]}: {self}"

    @property
    def is_final(self) -> bool:
        """Whether trying again would not help: 5yz is final, 4yz is not (RFC 5321, 4.2.1).

        A missing STARTTLS is not: somebody on the way may have taken it out.
        """
        return not (400 <= self.code <= 499 or self.stage == "starttls")

    @property
    def refuses_credentials(self) -> bool:
        """Whether it is our credentials that are refused for good, and any other mail would be."""
        return self.is_final and (self.stage == "auth" or self.code in _WANT_CREDENTIALS)


_WHAT = {
    "connect": "the mail server turns us away",
    "starttls": "the mail server has no encryption",
    "auth": "the mail server does not accept the user name and password",
    "sender": "the mail server does not accept the sender",
    "recipients": "the mail server does not accept the recipient",
    "data": "the mail server does not accept the message",
}
_WANT_CREDENTIALS = frozenset({530, 535})


def is_unusable(error: DialError) -> bool:
    """Tell whether a server cannot be dialled at all, however often it is tried: its name cannot
    be used, or its address is forbidden."""
    return error.failure is Failure.BLOCKED or error.detail == "bad_url"


def security_of(server: Smtp) -> str:
    """Return tls, starttls or none: port 465 speaks TLS from the first byte (RFC 8314)."""
    if server.port == IMPLICIT_TLS_PORT and server.security == "starttls":
        return "tls"
    return server.security


async def hand_over(
    egress: Egress,
    server: Smtp,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    seconds: float,
    tls: TlsOptions | None = None,
) -> Handed:
    """Hand a message (RFC 5322, lines ended by CRLF) to a server for all recipients it takes.

    Args:
        egress: the way out.
        server: where, and with whose credentials.
        sender: the envelope's sender.
        recipients: the envelope's recipients, as addresses alone.
        message: its exact bytes, 7 bit.
        seconds: for all of it, from the name to the last reply.
        tls: whom to trust; the system's roots unless given.

    Raises:
        DialError: no connection, or it broke.
        MailRefused: the server refuses the session, the sender, every recipient or the message.
    """
    # Loaded for the first mail, in a thread: many an instance sends none.
    smtp = await asyncio.to_thread(importlib.import_module, "netpulse.egress.smtp")
    handed: Handed = await smtp.hand_over(
        egress, server, sender, recipients, message, seconds=seconds, tls=tls
    )
    return handed
