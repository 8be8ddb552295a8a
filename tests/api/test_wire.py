"""Bytes straight at the server: requests that two readers may understand differently, and clients
that take their time.

What each of them gets is written down here: an answer 400 or 431, a closed connection, or a
reading that RFC 9112 prescribes. Nothing that was hidden in a request ever becomes another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from netpulse.engine.clock import Clock
from netpulse.model.time import DAY
from netpulse.storage import sessions
from netpulse.web import border, crowd, listening
from tests.api.test_server import served
from tests.cast import SIGNER
from tests.conftest import Opener
from tests.wire import Log, say

HEAD = b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def line(open_stage: Opener) -> AsyncIterator[tuple[int, Log]]:
    """A port, and what has reached the application behind it."""
    stage = await open_stage(clock=Clock())
    log = stage.app = Log(stage.app)  # type: ignore[assignment]
    async with served(stage) as base:
        log.requests.clear()
        port = httpx.URL(base).port
        assert port is not None
        yield port, log


LOGIN = ["POST /v1/auth/login"]
AMBIGUOUS: list[tuple[str, bytes, list[int], list[str], bool]] = [
    # What it is; what is sent; the answers; what reached the application; whether it was closed.
    #
    # RFC 9112, 6.3: of both the chunks count alone, and the connection ends with the answer.
    (
        "length and chunks",
        HEAD
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    (
        "chunks and length",
        HEAD
        + b"Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    (
        "two lengths",
        HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + HIDDEN,
        [400],
        [],
        True,
    ),
    (
        "one length twice",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        [400],
        LOGIN,
        False,
    ),
    ("a list of lengths", HEAD + b"Content-Length: 2, 2\r\n\r\n{}", [400], [], True),
    ("a length with a sign", HEAD + b"Content-Length: +2\r\n\r\n{}", [400], [], True),
    ("a negative length", HEAD + b"Content-Length: -2\r\n\r\n{}", [400], [], True),
    ("a length in hex", HEAD + b"Content-Length: 0x2\r\n\r\n{}", [400], [], True),
    (
        "a length beyond all",
        HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
        [400],
        [],
        True,
    ),
    ("a space before the colon", HEAD + b"Content-Length : 2\r\n\r\n{}", [400], [], True),
    ("identity", HEAD + b"Transfer-Encoding: identity\r\n\r\n" + HIDDEN, [400], [], True),
    ("almost chunked", HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + HIDDEN, [400], [], True),
    (
        "chunked with a tab",
        HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + HIDDEN,
        [400],
        [],
        True,
    ),
    (
        "packed and chunked",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        [400],
        LOGIN,
        True,
    ),
    (
        "chunked twice",
        HEAD
        + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    (
        "chunked, then something else",
        HEAD
        + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
        + HIDDEN,
        [400],
        [],
        True,
    ),
    (
        "chunks of HTTP/1.0",
        HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        [400],
        [],
        True,
    ),
    (
        "chunks that end with a bare line feed",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    (
        "a chunk that is longer than it says",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    (
        "a chunk size beyond all",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n" + HIDDEN,
        [400],
        LOGIN,
        True,
    ),
    # RFC 9112, 2.2, lets a line end with a line feed alone. What follows is a line of its own to
    # everybody who does; a proxy that takes it for a part of a value must not send it on.
    (
        "bare line feeds",
        b"GET /healthz HTTP/1.1\nHost: x\n\n",
        [200],
        ["GET /healthz"],
        False,
    ),
    (
        "a bare carriage return",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
        [400],
        [],
        True,
    ),
    ("a folded line", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", [400], [], True),
    ("a name with a space", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", [400], [], True),
    ("a NUL", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", [400], [], True),
    # RFC 9112, 3.2: one Host, and a sound one.
    ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", [400], ["GET /healthz"], True),
    ("no host in HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", [200], ["GET /healthz"], True),
    (
        "two hosts",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        [400],
        ["GET /healthz"],
        True,
    ),
    (
        "a host of two words",
        b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
        [400],
        ["GET /healthz"],
        True,
    ),
    (
        "a host with a path",
        b"GET /healthz HTTP/1.1\r\nHost: x/v1?y#z\r\n\r\n",
        [400],
        ["GET /healthz"],
        True,
    ),
    (
        "a host with a user",
        b"GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n",
        [400],
        ["GET /healthz"],
        True,
    ),
    (
        "an address",
        b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        [200],
        ["GET /healthz"],
        False,
    ),
    # RFC 9112, 3.2.2: a whole address is taken for its path. Whose name is in it means nothing
    # here; see test_hosts.
    (
        "a whole address",
        b"GET http://other.example/healthz?a HTTP/1.1\r\nHost: x\r\n\r\n",
        [200],
        ["GET /healthz"],
        False,
    ),
    (
        "a tunnel",
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        [405],
        ["CONNECT "],
        False,
    ),
    ("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [404], ["OPTIONS *"], False),
    (
        "a body where none is expected",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN),
        [200],
        ["GET /healthz"],
        False,
    ),
    (
        "two requests at once",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        [200, 404],
        ["GET /healthz", "GET /nowhere"],
        False,
    ),
    ("a trace", b"TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", [405], ["TRACE /healthz"], False),
    (
        "a method of our own making",
        b"MAKE /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        [405],
        ["MAKE /healthz"],
        False,
    ),
    (
        "a method in small letters",
        b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        [405],
        ["get /healthz"],
        False,
    ),
    ("no method at all", b"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", [400], [], True),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", [400], [], True),
    ("HTTP/3 in words", b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", [400], [], True),
    ("HTTP/2 out of the blue", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [], [], True),
    (
        "an upgrade to HTTP/2",
        GET
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
        [200],
        ["GET /healthz"],
        False,
    ),
    ("bytes in a path", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", [400], [], True),
    ("nothing but noise", bytes(range(256)) * 8, [400], [], True),
    (
        "two hundred headers",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        [431],
        [],
        True,
    ),
    (
        "a large header",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        [431],
        [],
        True,
    ),
    (
        "a path",
        b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        [404],
        ["GET /" + "a" * 30_000],
        False,
    ),
    ("a large path", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [431], [], True),
]


async def test_what_becomes_of_it(line: tuple[int, Log]) -> None:
    port, log = line
    found, wanted = {}, {}
    for name, data, statuses, reached, is_closed in AMBIGUOUS:
        log.requests.clear()
        heard = await say(port, data, answers=len(statuses))
        found[name] = (heard.statuses, list(log.requests), heard.is_closed)
        wanted[name] = (statuses, reached, is_closed)
        assert not any("hidden" in request for request in log.requests), name
        assert (heard.header("server") or "netpulse") == "netpulse", name
    assert found == wanted
    # The next one is served as ever.
    after = await say(port, GET + b"Connection: close\r\n\r\n")
    assert (after.statuses, after.is_closed) == ([200], True)


async def test_what_comes_after_the_chunks_is_no_header(line: tuple[int, Log]) -> None:
    port, _ = line
    data = (
        b"POST /v1/auth/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nCookie: np_refresh=x\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n"
    )
    heard = await say(port, data)
    assert heard.statuses == [401]
    assert b"There is no refresh cookie" in heard.raw


async def test_a_client_that_leaves_in_the_middle_is_no_mistake_of_ours(
    line: tuple[int, Log], caplog: pytest.LogCaptureFixture
) -> None:
    port, log = line
    caplog.set_level(logging.INFO)
    for body in (b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + body)
        await writer.drain()
        writer.close()
    for _ in range(100):
        if len(log.requests) == 2:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert [
        record.getMessage() for record in caplog.records if "error" in record.getMessage()
    ] == []


# Clients that take their time


async def drip(port: int, begin: bytes, piece: bytes, every: float) -> tuple[float, bytes]:
    """Send `begin`, then a piece now and then, until the far side ends it; return how long that
    took, and what came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(begin)

    async def go_on() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(every)
                writer.write(piece)
                await writer.drain()

    dripping = asyncio.create_task(go_on())
    heard = b""
    try:
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while piece_ := await reader.read(4096):
                    heard += piece_
        return time.monotonic() - began, heard
    finally:
        dripping.cancel()
        writer.close()


def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the deadlines ten times as short: it is they that are tried, not patience."""
    monkeypatch.setattr(listening, "HEADER_READ_MS", 1000)
    monkeypatch.setattr(border, "BODY_SECONDS", 1.0)


async def test_deadlines(open_stage: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listening.HEADER_READ_MS == 10_000
    assert border.BODY_SECONDS == 20.0
    short(monkeypatch)
    stage = await open_stage(clock=Clock())
    now, who = stage.house.clock.now(), stage.cast.alice
    family = await stage.house.db.write(sessions.start_family, who.id, "now", now, now + DAY)
    alice = stage.client(headers={"Authorization": f"Bearer {SIGNER.issue(who.id, family, now)}"})
    push = {"name": "Job", "type": "push", "interval_seconds": 3600}
    made = await alice.post("/v1/monitors", json=push)
    token = made.json()["data"]["ping_url"].rpartition("/")[2]
    async with served(stage) as base:
        port = httpx.URL(base).port
        assert port is not None
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: "
        body = HEAD + b"Content-Length: 60000\r\n\r\n"
        # A ping by GET may have a body, too; that of a stranger is not waited for.
        ping = b"GET /ping/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
        (
            (headers, nothing),
            (whole, told),
            (chunks, too),
            (got, three),
            (_, none),
        ) = await asyncio.gather(
            drip(port, head, b"b", 0.05),
            drip(port, body, b" ", 0.05),
            drip(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05),
            drip(port, ping % token.encode(), b" ", 0.05),
            drip(port, ping % b"nobody", b" ", 0.05),
        )
        assert none.startswith(b"HTTP/1.1 404 ")
    assert 0.8 < headers < 3
    assert nothing == b""
    for seconds, answer in ((whole, told), (chunks, too), (got, three)):
        assert 0.8 < seconds < 4
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"The request's body did not arrive in time; send it again" in answer


@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET /login HTTP/1.1\r\nHost: x\r\n", HEAD + b"Content-Length: 9\r\n\r\n"],
    ids=["silent", "one letter", "half a head", "no body"],
)
async def test_five_hundred_of_them_keep_nobody_out(
    open_stage: Opener, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    stage = await open_stage(clock=Clock())
    async with served(stage) as base:
        port = httpx.URL(base).port
        assert port is not None
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(500)]
        for _, writer in held:
            writer.write(said)
        await asyncio.sleep(0.2)
        async with httpx.AsyncClient(base_url=base, timeout=5) as client:
            began = time.monotonic()
            pages = [await client.get(path) for path in ("/healthz", "/login", "/static/app.css")]
            took = time.monotonic() - began
        assert [page.status_code for page in pages] == [200, 200, 200]
        assert took < 2
        for _, writer in held:
            writer.close()


async def test_more_than_fit_wait_their_turn(
    open_stage: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places taken by silent ones: who comes then is served when they are thrown out."""
    short(monkeypatch)
    monkeypatch.setattr(listening, "MAX_CONNECTIONS", 50)
    stage = await open_stage(clock=Clock())
    async with served(stage) as base:
        port = httpx.URL(base).port
        assert port is not None
        await asyncio.sleep(0.1)
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        async with httpx.AsyncClient(base_url=base, timeout=15) as client:
            assert (await client.get("/healthz")).status_code == 200
        for _, writer in held:
            writer.close()


async def test_half_a_head_keeps_nobody_out(
    open_stage: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 who send half a head, where there are 50 places: they make room, a request under way
    does not."""
    monkeypatch.setattr(listening, "MAX_CONNECTIONS", 50)
    monkeypatch.setattr(crowd, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(crowd, "QUIET_SECONDS", 0.5)
    caplog.set_level(logging.INFO, "netpulse.web.crowd")
    stage = await open_stage(clock=Clock())
    async with served(stage) as base:
        port = httpx.URL(base).port
        assert port is not None
        reader, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(HEAD + b"Content-Length: 2\r\n\r\n{")
        await slow.drain()
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(500)]
        for _, writer in held:
            writer.write(GET + b"X-Half: ")
        async with httpx.AsyncClient(base_url=base, timeout=5) as client:
            assert (await client.get("/healthz")).status_code == 200
        slow.write(b"}")
        assert b" 400 " in await reader.readline(), "the request under way was answered"
        ends = [await asyncio.wait_for(one.read(), 5) for one, _ in held[:450]]
        assert set(ends) == {b""}
        for _ in range(100):
            if "again" in caplog.text:
                break
            await asyncio.sleep(0.05)
        for _, writer in (*held, (reader, slow)):
            writer.close()
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == (
        "more connections come than there is room for: those that ask for nothing are closed"
    )
    assert said[1].startswith("there is room for connections again: ")
    assert len(said) == 2
