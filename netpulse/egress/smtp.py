"""SMTP (RFC 5321), over a connection of our own dialling.

The name is looked up by our resolver and each address held against the policy when it is dialled;
the library only speaks the protocol. Where STARTTLS is asked for, nothing but EHLO is said before
TLS stands (RFC 3207), and a server that does not offer it gets no mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence

import aiosmtplib

from netpulse.egress.connect import Egress
from netpulse.egress.mail import Handed, MailRefused, security_of
from netpulse.egress.refusals import explain
from netpulse.egress.tls import CONTEXTS, TlsOptions
from netpulse.egress.trouble import DialError
from netpulse.model.channel import Smtp
from netpulse.model.check import Failure
from netpulse.rules.targets import TargetError
from netpulse.rules.targets import host as read_host

QUIT_SECONDS = 1.0


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
    """Hand a message to a server, as `mail.hand_over` has it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    try:
        host = read_host(server.host)
    except TargetError as error:
        sentence = f"the mail server's name cannot be used: {error}"
        raise DialError(Failure.INTERNAL, "bad_url", sentence) from None
    security = security_of(server)
    context = None if security == "none" else await CONTEXTS.get(tls or TlsOptions())
    dialled = await egress.dial(host, server.port, deadline=deadline)
    sock = socket.socket(fileno=dialled.sock.detach())
    sock.setblocking(False)
    client = aiosmtplib.SMTP(
        hostname=host,
        port=None,
        sock=sock,
        use_tls=security == "tls",
        start_tls=False,
        tls_context=context,
        local_hostname=_own_name(sock),
        timeout=None,  # the deadline below is for all of it
    )
    try:
        async with asyncio.timeout_at(deadline):
            await _open(client, host, server, security)
            handed = await _transfer(client, sender, recipients, message, dialled.address)
        # Outside of the deadline: what was taken is taken, however long the goodbye.
        await _leave(client)
    except MailRefused:
        await _leave(client)
        raise
    except TimeoutError:
        raise DialError(
            Failure.TIMEOUT,
            None,
            f"the mail server {host} did not finish within {seconds:g} s",
            address=dialled.address,
        ) from None
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise DialError(*explain(error, host, None, 0), address=dialled.address) from None
    except (aiosmtplib.SMTPException, OSError, EOFError) as error:
        if isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= 400:
            # Of a stage that has no meaning of its own: the greeting, or EHLO.
            raise MailRefused("connect", error.code, _shown(error.message)) from None
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError):
            raise DialError(*explain(cause, host, None, 0), address=dialled.address) from None
        raise DialError(
            Failure.CLOSED,
            None,
            f"the mail server {host} broke the connection off or does not speak SMTP",
            address=dialled.address,
        ) from None
    finally:
        client.close()
        sock.close()
    return handed


async def _open(client: aiosmtplib.SMTP, host: str, server: Smtp, security: str) -> None:
    await client.connect()
    if security == "starttls":
        await client.ehlo()
        if not client.supports_extension("starttls"):
            raise MailRefused(
                "starttls",
                0,
                f"{host} does not offer STARTTLS, and mail is not sent to it in clear; "
                "set security to tls (port 465), or to none where the way is safe",
            )
        try:
            await client.starttls(server_hostname=host)
        except aiosmtplib.SMTPResponseException as error:
            raise MailRefused("starttls", error.code, _shown(error.message)) from None
    if not server.user:
        return
    await client.ehlo()
    if not client.supports_extension("auth"):
        raise MailRefused(
            "auth", 0, f"{host} takes no user names and passwords on this port; leave them empty"
        )
    try:
        await client.login(server.user, server.password or "")
    except aiosmtplib.SMTPResponseException as error:
        raise MailRefused("auth", error.code, _shown(error.message)) from None
    except aiosmtplib.SMTPServerDisconnected:
        raise
    except aiosmtplib.SMTPException as error:
        raise MailRefused("auth", 0, f"{host}: {error}") from None


async def _transfer(
    client: aiosmtplib.SMTP,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    address: str,
) -> Handed:
    """MAIL, RCPT for each, and DATA if anybody was accepted (RFC 5321, 3.3)."""
    await client.ehlo()
    international = not all(one.isascii() for one in (sender, *recipients))
    options = []
    if international:
        if not client.supports_extension("smtputf8"):
            raise MailRefused(
                "recipients", 0, "the server takes no addresses beyond ASCII (SMTPUTF8)"
            )
        options.append("SMTPUTF8")
    encoding = "utf-8" if international else "ascii"
    try:
        await client.mail(sender, options=options, encoding=encoding)
    except aiosmtplib.SMTPSenderRefused as error:
        raise MailRefused("sender", error.code, _shown(error.message)) from None
    refused: dict[str, MailRefused] = {}
    for one in recipients:
        try:
            await client.rcpt(one, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            refused[one] = MailRefused("recipients", error.code, _shown(error.message))
    if len(refused) == len(recipients):
        first = next(iter(refused.values()))
        raise MailRefused("recipients", first.code, first.text, refused)
    try:
        response = await client.data(message)
    except aiosmtplib.SMTPDataError as error:
        raise MailRefused("data", error.code, _shown(error.message)) from None
    return Handed(f"{response.code} {_shown(response.message)}", address, refused)


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye. The message is taken or not by now, however the server takes its leave."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        if client.is_connected:
            async with asyncio.timeout(QUIT_SECONDS):
                await client.quit()


def _own_name(sock: socket.socket) -> str:
    """Return how we greet: this host's full name, or its address (RFC 5321, 4.1.3)."""
    name = socket.gethostname()
    if (
        "." in name.strip(".")
        and name.isascii()
        and name.replace("-", "").replace(".", "").isalnum()
    ):
        return name
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _shown(text: str) -> str:
    return " ".join(text.split())[:1000]
