"""A real mail server (aiosmtpd) that keeps what it takes, and answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "postmaster", "correct horse"


@dataclass
class Mailbox:
    """Use as an async context manager. A reply of None is the usual one; "hang" says nothing."""

    tls: ssl.SSLContext | None = None
    """Offered by STARTTLS, or spoken from the first byte where `implicit`."""
    implicit: bool = False
    auth: bool = False
    international: bool = False
    sender_reply: str | None = None
    data_reply: str | None = None
    recipient_replies: dict[str, str] = field(default_factory=dict)
    auth_reply: str | None = None
    taken: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """For each that was taken: whether the connection was."""
    greeted_as: list[str] = field(default_factory=list)
    port: int = 0
    """0: any; the one it listens on once it does."""
    _server: asyncio.Server | None = None
    _sessions: list[SMTP] = field(default_factory=list)
    _hanging: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def messages(self) -> list[EmailMessage]:
        """What was taken, parsed."""
        found = []
        for envelope in self.taken:
            assert isinstance(envelope.content, bytes)
            parsed = message_from_bytes(envelope.content, policy=default)
            assert isinstance(parsed, EmailMessage)
            found.append(parsed)
        return found

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._session,
            "127.0.0.1",
            self.port,
            ssl=self.tls if self.implicit else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        for task in self._hanging:
            task.cancel()
        for session in self._sessions:
            if session.transport is not None:
                session.transport.close()
        self._server.close()
        await asyncio.sleep(0)

    def _session(self) -> SMTP:
        later = self.tls is not None and not self.implicit
        with warnings.catch_warnings():
            # That credentials in clear are dangerous is what some tests are about.
            warnings.simplefilter("ignore")
            session = SMTP(
                self,
                hostname="mail.test",
                enable_SMTPUTF8=self.international,
                tls_context=self.tls if later else None,
                require_starttls=later,
                auth_required=self.auth,
                auth_require_tls=later or not self.auth,
                authenticator=self._authenticate if self.auth else None,
            )
        self._sessions.append(session)
        return session

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        if self.auth_reply is not None:
            return AuthResult(success=False, handled=False, message=self.auth_reply)
        assert isinstance(data, LoginPassword)
        good = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=good, handled=False)

    async def handle_EHLO(  # noqa: N802 (aiosmtpd's names)
        self, server: SMTP, session: Session, _: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        del server
        session.host_name = hostname
        self.greeted_as.append(hostname)
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_reply is not None:
            return await self._reply(self.sender_reply)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        if address in self.recipient_replies:
            return await self._reply(self.recipient_replies[address])
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server
        if self.data_reply is not None:
            return await self._reply(self.data_reply)
        self.taken.append(envelope)
        self.encrypted.append(session.ssl is not None or self.implicit)
        return "250 2.0.0 queued as 4XyZ"

    async def _reply(self, reply: str) -> str:
        if reply == "hang":
            task = asyncio.current_task()
            assert task is not None
            self._hanging.add(task)
            await asyncio.sleep(3600)
        return reply


@contextmanager
def in_thread() -> Iterator[Mailbox]:
    """Open a mailbox on a thread of its own, for tests that are not asynchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    box = Mailbox()
    asyncio.run_coroutine_threadsafe(box.__aenter__(), loop).result(10)
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(box.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
