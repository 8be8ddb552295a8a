"""Requests as bytes, for what no client library would send."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass

from litestar.types import ASGIApp, Receive, Scope, Send

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True)
class Heard:
    """What came back on a connection."""

    raw: bytes
    is_closed: bool

    @property
    def statuses(self) -> list[int]:
        """The statuses of all answers, in order."""
        return [int(status) for status in _STATUS.findall(self.raw)]

    def header(self, name: str) -> str | None:
        """Return a header of the first answer, or None."""
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


async def say(port: int, data: bytes, *, answers: int = 1, quiet: float = 0.3) -> Heard:
    """Send `data` and return what comes back: until the far side closes, or until there were so
    many answers and then silence for `quiet` seconds. For the answers it waits a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = Heard(b"", is_closed=False)
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        while not heard.is_closed:
            patience = quiet if answers and len(heard.statuses) >= answers else 5.0
            try:
                async with asyncio.timeout(patience):
                    piece = await reader.read(65_536)
            except TimeoutError:
                break
            except ConnectionError:
                piece = b""
            heard = Heard(heard.raw + piece, is_closed=not piece)
    finally:
        writer.close()
    return heard


class Log:
    """An application that notes what reaches the one behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.requests.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)
