"""A real webhook receiver on port 0, which keeps a ledger and answers as a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Delivery:
    """One request as it came."""

    id: str
    headers: dict[str, str]
    body: bytes
    status: int
    at: float
    path: str = ""

    @property
    def payload(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass
class Receiver:
    """Use as an async context manager; `answer` decides each status, `delay` holds each answer."""

    answer: Callable[[Delivery], int] = lambda _: 200
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_text: str = "thank you"
    delay: float = 0.0
    port: int = 0
    ledger: list[Delivery] = field(default_factory=list)
    most_at_once: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _now: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Delivery]:
        """What was answered with 2xx, in the order it came."""
        return [one for one in self.ledger if 200 <= one.status < 300]

    async def __aenter__(self) -> Receiver:
        """Listen."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, count: int, seconds: float = 10) -> list[Delivery]:
        """Wait until so many were taken."""
        async with asyncio.timeout(seconds):
            while len(self.taken) < count:
                self._came.clear()
                await self._came.wait()
        return self.taken

    async def _take(self, request: web.Request) -> web.Response:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            delivery = Delivery(
                id=request.headers.get("webhook-id", ""),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.read(),
                status=0,
                at=asyncio.get_running_loop().time(),
                path=request.path_qs,
            )
            if self.delay:
                await asyncio.sleep(self.delay)
            delivery.status = self.answer(delivery)
            self.ledger.append(delivery)
            self._came.set()
            return web.Response(
                status=delivery.status, text=self.answer_text, headers=self.answer_headers
            )
        finally:
            self._now -= 1
