"""Who makes room in a crowd: nobody who asks, or who is being answered."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from litestar.types import Receive, Scope, Send

from netpulse.web import crowd, listening
from netpulse.web.crowd import Asking
from netpulse.web.listening import Listener
from tests.clock import FakeClock
from tests.servers import free_port

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="who waits is told on Linux only: run on Linux"
)

LARGE = bytes(24 * 1024 * 1024)
"""More than the system takes for somebody who does not read."""
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = LARGE if scope["path"] == "/large" else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def crowded(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Serve with eight places; the event lets in thirty who send half a head again and again."""
    monkeypatch.setattr(listening, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(crowd, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 0.2)
    port = free_port()
    listener = Listener(app, "127.0.0.1", port)
    await listener.start()
    rush = asyncio.Event()

    async def half() -> None:
        await rush.wait()
        while True:
            with suppress(ConnectionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(b"GET / HT")
                    await reader.read()
                finally:
                    writer.close()
                    await writer.wait_closed()

    halves = [asyncio.create_task(half()) for _ in range(30)]
    try:
        yield port, rush
    finally:
        for one in halves:
            one.cancel()
        await asyncio.gather(*halves, return_exceptions=True)
        await listener.end(10.0)


async def test_a_connection_in_use_is_not_closed_between_two_questions(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with crowded(monkeypatch) as (port, rush):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        held = writer.get_extra_info("socket")
        for _ in range(30):
            writer.write(GET % b"")
            assert await asyncio.wait_for(reader.readuntil(b"ok"), 5)
            # Acknowledged at once and not with the next question: no answer is on its way still.
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            rush.set()
            await asyncio.sleep(0.03)
        assert "more connections come than there is room for" in caplog.text
        # It is idle now, and makes room like the others.
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_an_answer_on_its_way_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with crowded(monkeypatch) as (port, rush):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"large")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        # The application is done with it; whoever reads takes a rest.
        rush.set()
        for _ in range(100):
            if "more connections come than there is room for" in caplog.text:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("no crowd came")
        await asyncio.sleep(0.5)
        body = await asyncio.wait_for(reader.readexactly(len(LARGE)), 30)
        assert body == LARGE
        writer.close()


def test_one_that_the_server_closes_meanwhile_is_nothing() -> None:
    with socket.socket() as gone:
        number = gone.fileno()
    assert crowd._shut(number) == 0


def test_ports_are_forgotten() -> None:
    clock = FakeClock()
    asking = Asking(clock.monotonic)
    asking.begin(1)
    asking.begin(1)
    asking.end(1)
    clock.advance(60)
    asking.forget()
    assert 1 in asking
    asking.end(1)
    asking.forget()
    assert 1 in asking
    clock.advance(crowd.PATIENCE_SECONDS)
    assert 1 not in asking
    asking.forget()
    assert not asking._ended
