"""The embedded server itself: events as they happen, stopping, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from netpulse.engine.clock import Clock
from netpulse.storage import sessions, users
from netpulse.web import listening
from netpulse.web.listening import PortTaken, probe_port, serve_embedded
from tests.api.test_monitors import SPEC, fresh, sent
from tests.conftest import Opener, Stage
from tests.servers import HttpServer, answer, free_port


@asynccontextmanager
async def served(stage: Stage) -> AsyncIterator[str]:
    """Serve the stage's application for real; yield its address."""
    port = free_port()
    task = asyncio.create_task(serve_embedded(stage.app, "127.0.0.1", port, stage.house.stopping))
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=base) as client:
            for _ in range(200):
                with suppress(httpx.TransportError):
                    await client.get("/healthz")
                    break
                await asyncio.sleep(0.02)
        yield base
    finally:
        stage.house.stopping.set()
        await asyncio.wait_for(task, 5)


@pytest.fixture
async def running(open_stage: Opener) -> AsyncIterator[tuple[Stage, str]]:
    stage = await open_stage(clock=Clock(), start=True)
    async with served(stage) as base:
        yield stage, base


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class TestLive:
    async def test_events_arrive_for_those_who_may_see_them(
        self, running: tuple[Stage, str]
    ) -> None:
        stage, base = running
        alice = await fresh(stage)
        now = stage.house.clock.now()
        charlie = stage.cast.charlie
        family = await stage.house.db.write(
            sessions.start_family, charlie.id, "c", now, now + 10**9
        )
        foreign = {"Authorization": f"Bearer {stage.house.signer.issue(charlie.id, family, now)}"}
        heard: list[Any] = []

        async def listen() -> None:
            async with (
                httpx.AsyncClient(base_url=base, headers=foreign) as other,
                other.stream("GET", "/live") as response,
            ):
                heard.extend([event async for event in events(response)])

        async with (
            HttpServer({"/": answer(200)}) as server,
            httpx.AsyncClient(base_url=base, headers=alice) as client,
            client.stream("GET", "/live") as response,
        ):
            eavesdropper = asyncio.create_task(listen())
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            spec = {**SPEC, "target": server.url("/")}
            made = sent(await client.post("/v1/monitors", json=spec), 201)
            async with asyncio.timeout(5):
                async for name, data in events(response):
                    if name == "monitor" and data["status"] == "up":
                        break
            assert data["id"] == made["id"]
            assert set(data) >= {"id", "status", "status_since", "response_time_ms", "checked_at"}
            await asyncio.sleep(0.1)
            eavesdropper.cancel()
            with suppress(asyncio.CancelledError):
                await eavesdropper
        assert heard == []

    async def test_it_ends_when_the_sign_in_does(self, running: tuple[Stage, str]) -> None:
        stage, base = running
        headers = await fresh(stage)
        async with (
            httpx.AsyncClient(base_url=base, headers=headers) as client,
            client.stream("GET", "/live") as response,
        ):
            await stage.house.db.write(users.set_active, stage.cast.alice.id, False, 1)
            async with asyncio.timeout(5):
                assert [event async for event in events(response)] == []
        await until_no_streams(stage)

    async def test_what_it_refuses(self, running: tuple[Stage, str]) -> None:
        stage, base = running
        headers = await fresh(stage)
        async with httpx.AsyncClient(base_url=base, headers=headers) as client:
            cross = await client.get("/live", headers={"Sec-Fetch-Site": "cross-site"})
            assert cross.status_code == 403
            assert (await client.get("/live?ids=1,2")).status_code == 400
            assert (await client.get("/live?colour=red")).status_code == 400
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/live")).status_code == 401

    async def test_a_reader_that_leaves_is_forgotten(self, running: tuple[Stage, str]) -> None:
        stage, base = running
        async with httpx.AsyncClient(base_url=base, headers=await fresh(stage)) as client:
            async with client.stream("GET", "/live") as response:
                await anext(response.aiter_lines())
                assert len(stage.house.engine.live) == 1
            # The server notices at the next thing it sends.
            for _ in range(100):
                stage.house.engine.live.tell(stage.cast.acme.id, "counts", {})
                if not len(stage.house.engine.live):
                    break
                await asyncio.sleep(0.05)
        assert len(stage.house.engine.live) == 0
        await until_no_streams(stage)


async def until_no_streams(stage: Stage) -> None:
    for _ in range(100):
        if not len(stage.house.streams):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"streams are left: {stage.house.streams}")


async def test_it_stops_at_once_with_streams_open(open_stage: Opener) -> None:
    stage = await open_stage(clock=Clock(), start=True)
    async with served(stage) as base:
        headers = await fresh(stage)
        clients = [httpx.AsyncClient(base_url=base, headers=headers) for _ in range(3)]
        streams = [client.stream("GET", "/live") for client in clients]
        responses = [await stream.__aenter__() for stream in streams]
        assert {response.status_code for response in responses} == {200}
        began = time.monotonic()
        stage.house.stopping.set()
        for response in responses:
            async with asyncio.timeout(3):
                assert [event async for event in events(response)] == []
        assert time.monotonic() - began < 3
        for stream, client in zip(streams, clients, strict=True):
            await stream.__aexit__(None, None, None)
            await client.aclose()


async def test_a_taken_port(open_stage: Opener) -> None:
    stage = await open_stage()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is in use"):
            await serve_embedded(stage.app, "127.0.0.1", port, stage.house.stopping)
    assert probe_port("localhost", port) in ("127.0.0.1", "::1")


async def test_over_the_wire(running: tuple[Stage, str]) -> None:
    stage, base = running
    async with httpx.AsyncClient(base_url=base, headers=await fresh(stage)) as client:
        answer_ = await client.head("/v1/monitors")
        assert (answer_.status_code, answer_.content) == (200, b"")
        assert answer_.headers.get_list("server") == ["netpulse"]
        big = b'{"name": "' + b"x" * (1024 * 1024) + b'"}'
        headers = {"Content-Type": "application/json"}
        refused = await client.post("/v1/monitors", content=big, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (await client.request("TRACE", "/v1/monitors")).status_code == 405
        assert (await client.get("/v1/monitors", headers={"Host": "a b"})).status_code == 400
        sent(await client.post("/v1/monitors", json=SPEC), 201)
        rows = await stage.house.db.read(
            lambda conn: conn.all("SELECT DISTINCT ip_address FROM audit_logs")
        )
        assert rows == [("127.0.0.1",)]


class TestConnections:
    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"GET / HT",
            b"GET / HTTP/1.1\r\nHost: netpulse.example\r\n",
            # HTTP/2 on a plain connection is not spoken here; nobody waits for its frames.
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    async def test_those_that_ask_nothing_are_closed(
        self, open_stage: Opener, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        monkeypatch.setattr(listening, "HEADER_READ_MS", 200)
        stage = await open_stage(clock=Clock())
        async with served(stage) as base, asyncio.timeout(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(base).port)
            writer.write(said)
            with suppress(ConnectionResetError):
                while await reader.read(4096):
                    pass
            writer.close()

    async def test_those_that_read_nothing_are_given_up(
        self, open_stage: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody asks for a stream and never reads it, and we have more to say than the kernel
        keeps for them."""
        assert listening.UNHEARD_MS == 60_000
        monkeypatch.setattr(listening, "UNHEARD_MS", 1000)
        stage = await open_stage(clock=Clock(), start=True)
        async with served(stage) as base:
            headers, began = await fresh(stage), False
            port = httpx.URL(base).port
            said = f"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: {headers['Authorization']}\r\n\r\n"
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.connect(("127.0.0.1", port))
                deaf.sendall(said.encode())
                hub, noise = stage.house.engine.live, {"noise": "x" * 100_000}
                for _ in range(1500):
                    if began and not len(stage.house.streams):
                        break
                    began = began or bool(len(stage.house.streams))
                    hub.tell(stage.cast.acme.id, "noise", noise)
                    await asyncio.sleep(0.01)
                assert began
                assert len(stage.house.streams) == 0
                assert len(hub) == 0
