"""The http probe against servers that behave, and against those that do not."""

from __future__ import annotations

import asyncio
import gzip
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netpulse import __version__
from netpulse.egress.connect import Egress
from netpulse.model.check import Failure
from netpulse.probes.http import BODY_LIMIT
from netpulse.probes.turns import A_TURN_SECONDS, LONG, turn
from netpulse.rules.addresses import AddressPolicy
from tests.hostile.http import encoded
from tests.hostile.streams import (
    BOMBS,
    endless_body,
    endless_interim,
    silent,
)
from tests.probing import Seen, check
from tests.servers import (
    Exchange,
    HttpServer,
    Request,
    TcpServer,
    answer,
    redirect,
)


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


async def see(egress: Egress, script: object, path: str = "/", **fields: object) -> Seen:
    async with HttpServer({"*": script}) as server:  # type: ignore[dict-item]
        return await check(egress, server.url(path), **fields)  # type: ignore[arg-type]


async def test_what_a_reading_has(egress: Egress) -> None:
    seen = await see(egress, answer(200, {"Content-Type": "text/html; charset=latin-1"}, b"\xe9"))
    reading = seen.reading
    assert seen.said == "up"
    assert (reading.status_code, reading.http_version, reading.body) == (200, "1.1", b"\xe9")
    assert reading.charset == "latin-1"
    assert reading.address == "127.0.0.1"
    assert ("Content-Length", "1") in reading.headers
    timings = reading.timings
    assert timings.dns_ms is not None
    assert timings.dns_ms < 1
    assert timings.tls_ms is None
    assert timings.connect_ms is not None
    assert timings.first_byte_ms is not None
    assert timings.total_ms is not None
    assert timings.total_ms >= timings.first_byte_ms


# ------------------------------------------------------------------ deadlines


async def test_an_endless_stream_costs_little(egress: Egress) -> None:
    began = time.process_time()
    assert (await see(egress, endless_interim, timeout_seconds=1)).said == "down timeout"
    # The server burns the other half of an endless stream.
    assert time.process_time() - began < 0.9


async def test_a_silent_server_is_described(egress: Egress) -> None:
    seen = await see(egress, silent, timeout_seconds=1)
    reading = seen.reading
    assert reading.timings.connect_ms is not None
    assert seen.message == (
        f"no answer within 1 s: connected after {reading.timings.connect_ms:g} ms, "
        "waiting for the first byte"
    )
    assert reading.timings.first_byte_ms is None
    assert reading.timings.total_ms is not None
    # Rounded to three digits.
    assert 900 < reading.timings.total_ms <= seen.seconds * 1010


# ------------------------------------------------------------------ connections


async def test_ip_version(egress: Egress) -> None:
    async with HttpServer(answer(200), host="::1") as server:
        assert (await check(egress, server.url())).said == "up"
        assert (await check(egress, server.url(), ip_version=6)).said == "up"
        seen = await check(egress, f"http://localhost:{server.port}/", ip_version=4)
        assert seen.said == "down refused"
        # Auto: the hosts file has both, and the other family answers.
        seen = await check(egress, f"http://localhost:{server.port}/")
        assert seen.said == "up"
        assert seen.reading.address == "::1"


async def test_blocked_addresses(egress: Egress) -> None:
    seen = await check(egress, "http://169.254.169.254/latest/meta-data/")
    assert seen.said == "down blocked"
    public = egress.under(AddressPolicy(allow_private=False))
    async with HttpServer({"/": answer(200)}) as server:
        own = AddressPolicy(own=frozenset({("127.0.0.1", server.port)}))
        assert (await check(egress.under(own), server.url())).said == "down blocked"
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            seen = await check(public, f"http://{host}:{server.port}/")
            assert seen.said == "down blocked", host
        assert server.connections == 0


async def test_no_file_descriptor_left_is_our_own_trouble(egress: Egress) -> None:
    async with HttpServer(answer(200)) as server:
        await check(egress, server.url())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            seen = await check(egress, server.url())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert seen.said == "inconclusive own_limit"
        assert "LimitNOFILE" in seen.message
        assert (await check(egress, server.url())).said == "up"


# ------------------------------------------------------------------ requests


async def test_the_request(egress: Egress) -> None:
    async with HttpServer(answer(200)) as server:
        await check(egress, server.url("/a%20b?q=%2B&x=1"))
        assert server.requests[0].head.decode() == (
            "GET /a%20b?q=%2B&x=1 HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{server.port}\r\n"
            f"User-Agent: NetPulse/{__version__}\r\n"
            "Accept: */*\r\n"
            "Accept-Encoding: gzip, deflate, br\r\n"
            "Connection: close\r\n\r\n"
        )


async def test_a_request_of_ones_own(egress: Egress) -> None:
    async with HttpServer(answer(200)) as server:
        await check(
            egress,
            server.url(),
            method="PUT",
            headers={"user-agent": "Mine", "Host": "shop.example", "X-Gone": None},
            body="käse",
        )
        request = server.requests[0]
    assert request.method == "PUT"
    assert request.headers["user-agent"] == "Mine"
    assert request.headers["host"] == "shop.example"
    assert request.headers["content-length"] == "5"
    assert request.body == "käse".encode()
    assert request.head.lower().count(b"user-agent") == 1
    assert b"x-gone" not in request.head.lower()


async def test_authorization(egress: Egress) -> None:
    from netpulse.model.monitor import BasicAuth, BearerAuth

    async with HttpServer(answer(200)) as server:
        await check(egress, server.url(), auth=BasicAuth(username="ann", password="s:ecrét"))
        await check(egress, server.url(), auth=BearerAuth(token="abc"))
        sent = [each.headers["authorization"] for each in server.requests]
    assert sent == ["Basic YW5uOnM6ZWNyw6l0", "Bearer abc"]


async def test_head_has_no_body(egress: Egress) -> None:
    async def head(exchange: Exchange) -> None:
        await exchange.send(answer(200, {"Content-Length": "5000"}, length=False))
        await exchange.hang()

    seen = await see(egress, head, method="HEAD")
    assert seen.said == "up"
    assert seen.seconds < 1


async def test_a_post_without_body_says_so(egress: Egress) -> None:
    async with HttpServer(answer(200)) as server:
        await check(egress, server.url(), method="POST")
        assert server.requests[0].headers["content-length"] == "0"


async def test_a_header_cannot_smuggle_another(egress: Egress) -> None:
    with pytest.raises(ValueError, match="line break"):
        await check(egress, "http://127.0.0.1:1/", headers={"X": "a\r\nY: b"})


# ------------------------------------------------------------------ expectations


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"expected_status": 404}, "down status"),
        ({"expected_status": (200, "300-399")}, "up"),
        ({"body_match": "ell"}, "up"),
        ({"body_match": "HELL"}, "down body"),
        ({"body_not_match": "ell"}, "down body"),
        ({"body_regex": "^.?hel+o"}, "up"),
        ({"body_regex": "^bye"}, "down body"),
        ({"json_path": "$.ok"}, "up"),
        ({"json_path": "$.ok", "json_value": True}, "up"),
        ({"json_path": "$.ok", "json_value": 1}, "down body"),
        ({"json_path": "$.missing"}, "down body"),
        ({"degraded_after_ms": 1}, "degraded"),
        ({"invert": True}, "down mismatch"),
    ],
)
async def test_expectations(egress: Egress, fields: dict[str, object], said: str) -> None:
    body = b'{"ok": true}' if "json_path" in fields else b"\xefhello"

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.02)
        await exchange.send(encoded("gzip", gzip.compress(body)))

    seen = await see(egress, slow, **fields)
    assert seen.said == said, seen.message


# ------------------------------------------------------------------ redirects


async def test_redirects_are_followed(egress: Egress) -> None:
    scripts = {
        "/": redirect("/two?x=1#part", 301),
        "/two?x=1": redirect("three", 302),
        "/three": redirect("//127.0.0.1:{port}/fo%2fur"),
        "/fo%2fur": answer(200, body=b"end"),
    }
    async with HttpServer(scripts) as server:
        server.scripts["/three"] = redirect(f"//127.0.0.1:{server.port}/fo%2fur")
        seen = await check(egress, server.url())
        assert seen.said == "up"
        assert seen.reading.redirects == 3
        assert seen.reading.final_url == server.url("/fo%2fur")
        assert [each.path for each in server.requests] == list(scripts)
        seen = await check(egress, server.url(), follow_redirects=False, expected_status=301)
        assert seen.said == "up"
        seen = await check(egress, server.url(), max_redirects=3)
        assert seen.said == "up"
        seen = await check(egress, server.url(), max_redirects=2)
        assert seen.said == "down redirect"
        assert seen.verdict.detail == "too_many"
        assert seen.message == (
            f"more than 2 redirects; the last one leads to {server.url('/fo%2fur')}"
        )


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ],
)
async def test_methods_across_redirects(
    egress: Egress, status: int, method: str, then: str
) -> None:
    body = None if method == "HEAD" else "data"
    async with HttpServer({"/": redirect("/on", status), "/on": answer(200)}) as server:
        await check(
            egress, server.url(), method=method, body=body, headers={"Content-Type": "text/x"}
        )
        second = server.requests[1]
    assert second.method == then
    kept = then == method and body is not None
    assert second.body == (b"data" if kept else b"")
    if then != method:
        assert "content-type" not in second.headers


async def test_credentials_stay_with_their_origin(egress: Egress) -> None:
    from netpulse.model.monitor import BearerAuth

    secrets = {
        "Cookie": "session=1",
        "X-Api-Key": "k",
        "X-Auth-Token": "t",
        "X-Client-Secret": "s",
        "X-Plain": "p",
    }
    async with HttpServer({"/in": answer(200)}) as other, HttpServer({}) as first:
        first.scripts = {
            "/": redirect("/same"),
            "/same": redirect(other.url("/in")),
        }
        await check(egress, first.url(), headers=secrets, auth=BearerAuth(token="abc"))
        same, foreign = first.requests[1], other.requests[0]
    assert same.headers["authorization"] == "Bearer abc"
    assert same.headers["x-api-key"] == "k"
    assert foreign.headers["x-plain"] == "p"
    for name in ("authorization", "cookie", "x-api-key", "x-auth-token", "x-client-secret"):
        assert name not in foreign.headers
    assert foreign.headers["host"] == f"127.0.0.1:{other.port}"


async def test_a_host_header_stays_with_its_origin(egress: Egress) -> None:
    async with HttpServer({"/": answer(200)}) as other, HttpServer({}) as first:
        first.scripts = {"*": redirect(other.url())}
        await check(egress, first.url(), headers={"Host": "shop.example"})
        assert other.requests[0].headers["host"] == f"127.0.0.1:{other.port}"


async def test_cookies_set_on_the_way_go_back_to_their_host_only(egress: Egress) -> None:
    def gate(request: Request) -> bytes:
        if "seen=1" in request.headers.get("cookie", ""):
            return answer(200, body=b"in")
        return answer(302, {"Location": "/", "Set-Cookie": "seen=1; Path=/; HttpOnly"})

    async with HttpServer({"/": gate}) as server:
        seen = await check(egress, server.url(), headers={"Cookie": "mine=2"})
        assert seen.said == "up"
        assert server.requests[1].headers["cookie"] == "mine=2; seen=1"
        # The next check begins without them.
        await check(egress, server.url())
        assert "cookie" not in server.requests[2].headers
    async with HttpServer({"/": answer(200)}) as other, HttpServer({}) as first:
        away = f"http://localhost:{other.port}/"
        first.scripts = {"*": answer(302, {"Location": away, "Set-Cookie": "a=b"})}
        await check(egress, first.url(), ip_version=4)
        assert "cookie" not in other.requests[0].headers


async def test_https_monitors_must_stay_on_https(egress: Egress) -> None:
    from tests.certificates import Authority

    ours = Authority()
    async with (
        HttpServer({"*": answer(200)}) as plain,
        HttpServer({}, tls=ours.good(), name="localhost") as secure,
    ):
        secure.scripts = {"*": redirect(plain.url("/in"))}
        seen = await check(egress, secure.url(), "https", ca_certificate=ours.pem)
        assert seen.said == "down redirect"
        assert seen.verdict.detail == "to_http"
        assert seen.message == (
            f"redirected to http://127.0.0.1:{plain.port}: an https monitor must stay on https"
        )
        assert not plain.requests
        seen = await check(egress, secure.url(), "http", ca_certificate=ours.pem)
        assert seen.said == "up"


# ------------------------------------------------------------------ bombs


def peak() -> int:
    """Return the most memory this process ever held since `forget_peak`, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def forget_peak() -> None:
    """Let the peak begin anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize("script", [each[1] for each in BOMBS], ids=[each[0] for each in BOMBS])
async def test_bombs_are_decided_early_and_harm_nobody(egress: Egress, script: object) -> None:
    longest = 0.0

    async def ticker() -> None:
        # What the loop computed between two ticks: a machine that stalls is no bomb's doing.
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.thread_time() - before)

    # The server's own work is in all three figures.
    forget_peak()
    before, began = peak(), time.process_time()
    task = asyncio.create_task(ticker())
    seen = await see(egress, script, timeout_seconds=30)
    task.cancel()
    grown, used = peak() - before, time.process_time() - began
    assert seen.said == "up"
    assert not seen.reading.body_complete
    assert len(seen.reading.body) <= 1 << 20
    assert seen.seconds < 15
    assert used < 3, used
    assert grown < 32 * 1024, f"{grown} KiB"
    assert longest < 0.1, longest


async def test_a_body_of_exactly_the_limit_is_whole(egress: Egress) -> None:
    for size, whole in ((1 << 20, True), ((1 << 20) + 1, False)):
        seen = await see(egress, answer(200, body=b"a" * size))
        assert seen.reading.body_complete is whole
        assert len(seen.reading.body) == 1 << 20


async def test_connections_do_not_pile_up(egress: Egress) -> None:
    """Whatever ends a check, its descriptor is gone a moment later."""
    import os

    async with (
        HttpServer({"/": answer(200), "/silent": silent, "/big": endless_body}) as server,
        TcpServer() as mute,
    ):
        await check(egress, server.url())
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        targets = [server.url(path) for path in ("/", "/silent", "/big")] * 5
        targets += [f"https://127.0.0.1:{mute.port}/"] * 5
        await asyncio.gather(*(check(egress, each, timeout_seconds=1) for each in targets))
        await asyncio.sleep(0.3)
        after = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert after <= before + 1


@asynccontextmanager
async def others_in_line(count: int) -> AsyncIterator[None]:
    """Have so many others wait for their turns meanwhile, and fill each of them."""
    done = False

    async def other() -> None:
        while not done:
            await turn()
            spent = time.perf_counter() + A_TURN_SECONDS
            while time.perf_counter() < spent:
                pass

    others = [asyncio.ensure_future(other()) for _ in range(count)]
    try:
        yield
    finally:
        done = True
        await asyncio.gather(*others)


async def test_a_long_page_that_waits_for_its_turn_blames_nobody(egress: Egress) -> None:
    """Others are read meanwhile, so many that this one is not done in time; the loop as a whole is
    never late."""
    page = answer(200, {}, b"x" * (BODY_LIMIT - 1))
    async with others_in_line(120):
        waited = await see(egress, page, timeout_seconds=1)
    assert waited.reading.failure is Failure.TIMEOUT
    assert waited.reading.own_ms > 250
    assert waited.said == "inconclusive own_lag"
    assert re.fullmatch(r"our own process was late by \d\.\d s: not judged", waited.message)
    alone = await see(egress, page, timeout_seconds=5)
    assert alone.said == "up"
    assert alone.reading.own_ms < 250


async def test_a_target_slower_than_we_are_is_not_excused_by_its_turns(egress: Egress) -> None:
    """It would not have been done in time without others either."""

    async def dripping(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LONG + 5_000))
        while True:
            await asyncio.sleep(0.3)
            await exchange.send(b"x" * 1_000)

    async with others_in_line(50):
        seen = await see(egress, dripping, timeout_seconds=4)
    assert seen.said == "down timeout"
    assert seen.reading.own_ms < 1_000
    assert (seen.reading.timings.total_ms or 0) > 3_000
