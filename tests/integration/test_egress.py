"""The way out: names, families, the guard on addresses, whose fault a failure is, posts."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from netpulse.egress import connect
from netpulse.egress import resolver as resolver_module
from netpulse.egress.attempt import Attempt
from netpulse.egress.connect import DialError, Egress
from netpulse.egress.resolver import Address, Resolver
from netpulse.egress.trouble import from_connect
from netpulse.model.check import Failure
from netpulse.rules.addresses import AddressPolicy
from tests.certificates import Authority
from tests.probing import check, undisturbed
from tests.servers import (
    DnsServer,
    Exchange,
    HttpServer,
    Sink,
    TcpServer,
    answer,
    black_hole,
    free_port,
    redirect,
)


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with DnsServer(
        {
            "both.example": ["127.0.0.1", "::1"],
            "four.example": ["127.0.0.1"],
            "six.example": ["::1"],
            "local.example": ["169.254.1.1", "127.0.0.1"],
            "xn--kse-qla.example": ["127.0.0.1"],
            "nothing.example": "nodata",
            "broken.example": "servfail",
            "shy.example": "refused",
            "mad.example": "malformed",
            "liar.example": "wrong_id",
            "mute.example": "silent",
        }
    ) as server:
        yield server


@pytest.fixture
async def egress(names: DnsServer) -> AsyncIterator[Egress]:
    egress = Egress(nameservers=[names.address])
    yield egress
    await egress.close()


def soon(seconds: float = 2.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def failure(egress: Egress, host: str, port: int = 80, **more: object) -> DialError:
    more.setdefault("deadline", soon())
    with pytest.raises(DialError) as caught:
        await egress.dial(host, port, **more)  # type: ignore[arg-type]
    return caught.value


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("host", "word", "detail", "words"),
    [
        ("gone.example", Failure.DNS, "nxdomain", "the name gone.example does not exist"),
        ("nothing.example", Failure.DNS, "no_data", "the name nothing.example has no address"),
        ("broken.example", Failure.DNS, "servfail", "SERVFAIL"),
        ("shy.example", Failure.DNS, "refused", "REFUSED"),
        ("mad.example", Failure.DNS, "malformed", "malformed"),
        ("mute.example", Failure.DNS, "timeout", "the name servers of mute.example do not answer"),
        ("liar.example", Failure.DNS, "timeout", "the name servers of liar.example do not answer"),
    ],
)
async def test_names_that_lead_nowhere(
    egress: Egress, host: str, word: Failure, detail: str, words: str
) -> None:
    for one in undisturbed():
        with one:
            began = time.perf_counter()
            trouble = await failure(egress, host)
            took = time.perf_counter() - began
    assert (trouble.failure, trouble.detail) == (word, detail)
    assert words in trouble.message
    assert took < 2.0, "the resolver decides before the deadline does"


async def test_a_silent_resolver_is_our_own_trouble(names: DnsServer, egress: Egress) -> None:
    names.default = "silent"
    for one in undisturbed():
        with one:
            trouble = await failure(egress, "shop.example", deadline=soon(1.0))
    assert (trouble.failure, trouble.detail) == (Failure.OWN_NETWORK, "no_resolver")
    assert trouble.message == (
        f"no name server answers this host ({names.address}), so shop.example cannot be looked up"
    )


async def test_a_dead_resolver_is_our_own_trouble() -> None:
    egress = Egress(nameservers=[f"127.0.0.1:{free_port()}"])
    seen = await check(egress, "http://shop.example/", timeout_seconds=1)
    assert seen.said == "inconclusive own_network"
    async with HttpServer(answer(200)) as server:
        # Addresses and the hosts file need no resolver.
        assert (await check(egress, server.url())).said == "up"
        assert (await check(egress, f"http://localhost:{server.port}/")).said == "up"
    await egress.close()


async def test_every_address_that_may_be_dialled_is_told(egress: Egress) -> None:
    async with TcpServer() as server:
        seen = await check(egress, f"both.example:{server.port}", "tcp")
        assert (seen.said, seen.reading.address) == ("up", "127.0.0.1")
        assert sorted(seen.reading.addresses) == ["127.0.0.1", "::1"]
        # Those of a name that may not be dialled are nobody's business.
        seen = await check(egress, f"local.example:{server.port}", "tcp")
        assert (seen.reading.address, seen.reading.addresses) == ("127.0.0.1", ("127.0.0.1",))
    seen = await check(egress, f"both.example:{server.port}", "tcp")
    assert seen.said == "down refused"
    assert len(seen.reading.addresses) == 2
    public = egress.under(AddressPolicy(allow_private=False))
    for kind, target in (("tcp", f"both.example:{server.port}"), ("icmp", "both.example")):
        seen = await check(public, target, kind)
        assert (seen.said, seen.reading.addresses) == ("down blocked", ())
    seen = await check(egress, "missing.example", "ssl")
    assert (seen.said, seen.reading.addresses) == ("down dns", ())
    async with HttpServer({"/": redirect("/in"), "/in": answer(200)}) as first:
        here = await check(egress, first.url())
        assert here.reading.addresses == ("127.0.0.1",)
        first.scripts["/in"] = redirect("http://missing.example/")
        seen = await check(egress, first.url())
        assert (seen.said, seen.reading.addresses) == ("down dns", ())


async def test_answers_are_kept_for_their_time_and_beyond_it_in_trouble(
    names: DnsServer, egress: Egress
) -> None:
    names.ttl = 1
    async with TcpServer() as server:

        async def dialled() -> float:
            began = time.perf_counter()
            (await egress.dial("four.example", server.port, deadline=soon(20))).sock.close()
            return time.perf_counter() - began

        await dialled()
        asked = len(names.asked)
        await dialled()
        assert len(names.asked) == asked, "fresh answers are not asked for again"
        await asyncio.sleep(1.2)
        for word in ("servfail", "refused", "silent"):
            names.zone["four.example"] = word
            # A second, however much longer the deadline is.
            assert await dialled() < 10, word
        assert len(names.asked) > asked


async def test_a_name_that_is_gone_is_no_trouble(names: DnsServer, egress: Egress) -> None:
    names.ttl = 1
    async with TcpServer() as server:
        (await egress.dial("four.example", server.port, deadline=soon())).sock.close()
        await asyncio.sleep(1.2)
        names.zone["four.example"] = "nxdomain"
        assert (await failure(egress, "four.example", server.port)).detail == "nxdomain"
        # And then there is nothing left to fall back on.
        names.zone["four.example"] = "servfail"
        assert (await failure(egress, "four.example", server.port)).detail == "servfail"


async def test_stale_answers_have_an_end(
    names: DnsServer, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "STALE_SECONDS", 0.1)
    names.ttl = 1
    async with TcpServer() as server:
        (await egress.dial("four.example", server.port, deadline=soon())).sock.close()
        names.zone["four.example"] = "servfail"
        await asyncio.sleep(1.3)
        assert (await failure(egress, "four.example", server.port)).detail == "servfail"


async def test_many_checks_of_a_name_ask_once(names: DnsServer, egress: Egress) -> None:
    async with TcpServer() as server:
        made = await asyncio.gather(
            *(egress.dial("both.example", server.port, deadline=soon()) for _ in range(30))
        )
        for each in made:
            each.sock.close()
    assert sorted(names.asked) == [("both.example", 1), ("both.example", 28)]


async def test_literals_and_families() -> None:
    resolver = Resolver()
    assert (await resolver.addresses("127.0.0.1", socket.AF_UNSPEC, soon()))[0].text == "127.0.0.1"
    assert (await resolver.addresses("0:0::1", socket.AF_UNSPEC, soon()))[0].text == "::1"
    with pytest.raises(DialError) as caught:
        await resolver.addresses("127.0.0.1", socket.AF_INET6, soon())
    assert caught.value.message == "127.0.0.1 has no IPv6 address"
    await resolver.close()


async def test_international_names(egress: Egress) -> None:
    async with HttpServer(answer(200)) as server:
        seen = await check(egress, f"http://k\u00e4se.example:{server.port}/")
        assert seen.said == "up", seen.message
        assert server.requests[0].headers["host"] == f"xn--kse-qla.example:{server.port}"


# ------------------------------------------------------------------ families


async def test_either_family_will_do(egress: Egress) -> None:
    for host in ("127.0.0.1", "::1"):
        async with TcpServer(host=host) as server:
            dialled = await egress.dial("both.example", server.port, deadline=soon())
            assert dialled.address == host
            assert dialled.connect_ms < 200
            dialled.sock.close()


async def test_a_demanded_family_never_falls_back(egress: Egress) -> None:
    async with TcpServer(host="127.0.0.1") as server:
        trouble = await failure(egress, "both.example", server.port, family=6)
        assert trouble.failure is Failure.REFUSED
        trouble = await failure(egress, "four.example", server.port, family=6)
        assert (trouble.failure, trouble.detail) == (Failure.DNS, "no_data")
        assert trouble.message == "four.example has no IPv6 address"
        (await egress.dial("both.example", server.port, family=4, deadline=soon())).sock.close()


async def test_a_black_hole_does_not_hold_the_other_address_up(
    names: DnsServer, egress: Egress
) -> None:
    """RFC 8305: the next address is tried a quarter of a second later, beside the first."""
    with black_hole() as port:
        names.zone["hole.example"] = ["127.0.0.1", "127.0.0.2"]
        with socket.create_server(("127.0.0.2", port)):
            for one in undisturbed():
                with one:
                    dialled = await egress.dial("hole.example", port, deadline=soon(3))
                dialled.sock.close()
            assert dialled.address == "127.0.0.2"
            assert 0 <= dialled.connect_ms < 600


async def test_what_is_known_at_once_needs_no_task(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with two addresses of which the first refuses, as localhost has it."""
    async with TcpServer(host="::1") as server:
        # From the second time on its addresses are known.
        (await egress.dial("both.example", server.port, deadline=soon())).sock.close()
        monkeypatch.setattr(connect.asyncio, "wait", None)
        dialled = await egress.dial("both.example", server.port, deadline=soon())
        assert dialled.address == "::1"
        dialled.sock.close()
    with pytest.raises(DialError) as caught:
        await egress.dial("both.example", server.port, deadline=soon())
    assert caught.value.failure is Failure.REFUSED


@pytest.mark.parametrize("when", ["before it is waited for", "meanwhile"])
async def test_an_attempt_that_is_given_up_leaves_no_socket(
    when: str, names: DnsServer, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Attempt] = []

    class Noted(Attempt):
        def __init__(self, address: Address, port: int) -> None:
            super().__init__(address, port)
            made.append(self)

    monkeypatch.setattr(connect, "Attempt", Noted)
    with black_hole() as port:
        names.zone["hole.example"] = ["127.0.0.1", "127.0.0.2"]
        await egress.resolver.addresses("hole.example", socket.AF_UNSPEC, soon())
        others = asyncio.all_tasks()
        dialling = asyncio.create_task(egress.dial("hole.example", port, deadline=soon()))
        await asyncio.sleep(0)
        attempts = asyncio.all_tasks() - others - {dialling}
        assert len(attempts) == 1
        assert made[0].sock.fileno() >= 0
        if when == "meanwhile":
            await asyncio.sleep(0)
            dialling.cancel()
        else:
            for attempt in attempts:
                attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert [each.sock.fileno() for each in made] == [-1]


# ------------------------------------------------------------------ the guard


async def test_forbidden_addresses_behind_names(names: DnsServer, egress: Egress) -> None:
    names.zone["meta.example"] = ["169.254.169.254"]
    trouble = await failure(egress, "meta.example")
    assert trouble.failure is Failure.BLOCKED
    assert trouble.address == "169.254.169.254"
    async with TcpServer() as server:
        # One forbidden address among good ones is left out.
        dialled = await egress.dial("local.example", server.port, deadline=soon())
        assert dialled.address == "127.0.0.1"
        dialled.sock.close()
        public = egress.under(AddressPolicy(allow_private=False))
        assert (await failure(public, "both.example", server.port)).failure is Failure.BLOCKED
        assert server.connections == 1


async def test_our_own_address_is_named_though_another_was_tried(egress: Egress) -> None:
    """A name for ourselves (localhost: 127.0.0.1 and ::1) is blocked, not refused by the address
    on which we do not listen."""
    async with TcpServer() as server:
        ours = egress.under(AddressPolicy(own=frozenset({("127.0.0.1", server.port)})))
        trouble = await failure(ours, "both.example", server.port)
        assert server.connections == 0
    assert trouble.failure is Failure.BLOCKED
    assert "where NetPulse itself listens" in str(trouble)


# ------------------------------------------------------------------ whose fault


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.ECONNRESET, Failure.RESET),
        (errno.ETIMEDOUT, Failure.TIMEOUT),
        (errno.EHOSTUNREACH, Failure.UNREACHABLE),
        (errno.ENETUNREACH, Failure.UNREACHABLE),
        (errno.ENOPROTOOPT, Failure.UNREACHABLE),
        (errno.EMFILE, Failure.OWN_LIMIT),
        (errno.ENFILE, Failure.OWN_LIMIT),
        (errno.ENOBUFS, Failure.OWN_LIMIT),
        (errno.ENOMEM, Failure.OWN_LIMIT),
        (errno.EADDRNOTAVAIL, Failure.OWN_LIMIT),
        (errno.EACCES, Failure.OWN_PERMISSION),
        (errno.EPERM, Failure.OWN_PERMISSION),
        (errno.ENETDOWN, Failure.OWN_NETWORK),
    ],
)
def test_errors_of_connecting(code: int, word: Failure) -> None:
    """To 127.0.0.1 there is a route, so that "unreachable" came from outside."""
    error = OSError(code, os.strerror(code))
    assert from_connect(error, socket.AF_INET, "127.0.0.1", 80).failure is word


def test_an_error_nobody_knows_is_not_the_targets() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        from_connect(OSError(errno.EBADF, "Bad file descriptor"), socket.AF_INET, "127.0.0.1", 80)


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a network namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare and ip: apt-get install util-linux iproute2")
    command = ["unshare", "-rn", "sh", "-c", script]
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this host allows no network namespaces: run as root")
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


CHECK = f"{sys.executable} -m netpulse check --json --timeout 5"


def test_without_a_network_nothing_is_down() -> None:
    for target in ("http://192.0.2.1/", "http://[2001:db8::1]/", "192.0.2.1:80"):
        done = in_namespace(f"{CHECK} '{target}'")
        assert done.returncode == 3, done
        assert '"own_network"' in done.stdout
        assert '"no_route"' in done.stdout


def test_without_a_resolver_no_name_is_down() -> None:
    done = in_namespace(f"ip link set lo up; {CHECK} http://shop.example/")
    assert done.returncode == 3, done
    assert '"no_resolver"' in done.stdout


def test_a_neighbour_that_does_not_exist_is_unreachable() -> None:
    done = in_namespace(
        "ip link set lo up && ip link add name va type veth peer name vb && ip addr add 10.9.0.1/24 dev va && "
        f"ip link set va up && ip link set vb up && {CHECK} http://10.9.0.2/"
    )
    if "failure" not in done.stdout:
        pytest.skip(f"run on a kernel with veth links: {done.stderr.strip()[:90]}")
    assert done.returncode == 2, done
    assert '"unreachable"' in done.stdout


# ------------------------------------------------------------------ posts


async def test_a_post(egress: Egress) -> None:
    async with Sink() as sink:
        said = await egress.post(
            sink.url("/hook?x=1"), b'{"a":1}', {"Content-Type": "application/json"}, timeout=2
        )
        assert (said.status, said.body, said.retry_after) == (200, b"ok", None)
        request = sink.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/hook?x=1", b'{"a":1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("NetPulse/")


@pytest.mark.parametrize("status", [201, 302, 400, 429, 500, 503])
async def test_any_answer_is_an_answer(egress: Egress, status: int) -> None:
    async with Sink() as sink:
        sink.answers = [answer(status, {"Location": "/elsewhere", "Retry-After": "7"}, b"why")]
        said = await egress.post(sink.url(), b"", {}, timeout=2)
        assert (said.status, said.body, said.retry_after) == (status, b"why", 7.0)
        assert len(sink.requests) == 1, "redirects are not followed"


async def test_retry_after_as_a_date(egress: Egress) -> None:
    async with Sink() as sink:
        for value, low, high in (
            (formatdate(time.time() + 90, usegmt=True), 80, 91),
            (formatdate(time.time() - 90, usegmt=True), 0, 0),
        ):
            sink.answers = [answer(503, {"Retry-After": value})]
            said = await egress.post(sink.url(), b"", {}, timeout=2)
            assert said.retry_after is not None
            assert low <= said.retry_after <= high
        for nonsense in ("soon", "-5", "1e9", "9" * 400):
            sink.answers = [answer(503, {"Retry-After": nonsense})]
            assert (await egress.post(sink.url(), b"", {}, timeout=2)).retry_after is None


async def hang(exchange: Exchange) -> None:
    await exchange.hang()


async def drip(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    await exchange.drip(b"a" * 1000, 0.02)


async def rst(exchange: Exchange) -> None:
    exchange.reset()


@pytest.mark.parametrize(
    ("script", "word"),
    [
        (hang, Failure.TIMEOUT),
        (rst, Failure.RESET),
        (b"", Failure.CLOSED),
        (b"hello\r\n\r\n", Failure.PROTOCOL),
    ],
)
async def test_posts_that_fail(egress: Egress, script: object, word: Failure) -> None:
    async with HttpServer({"*": script}) as server:  # type: ignore[dict-item]
        for one in undisturbed():
            with one:
                began = time.perf_counter()
                with pytest.raises(DialError) as caught:
                    await egress.post(server.url(), b"x", {}, timeout=0.5)
                took = time.perf_counter() - began
    assert took < 1
    assert caught.value.failure is word
    assert "127.0.0.1" in caught.value.message


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (drip, b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", b"hello"),
    ],
)
async def test_a_status_counts_whatever_comes_of_the_body(
    egress: Egress, script: object, body: bytes
) -> None:
    async with HttpServer({"*": script}) as server:  # type: ignore[dict-item]
        said = await egress.post(server.url(), b"x", {}, timeout=0.5)
        assert said.status == 200
        assert said.body.startswith(body)


async def test_a_header_with_a_line_break_is_never_sent(egress: Egress) -> None:
    async with HttpServer({}) as server:
        with pytest.raises(DialError) as caught:
            await egress.post(server.url(), b"", {"X-Token": "a\r\nX-Evil: b"}, timeout=2)
    assert (caught.value.failure, caught.value.detail) == (Failure.INTERNAL, "bad_request")


async def test_posts_to_where_nothing_is(names: DnsServer, egress: Egress) -> None:
    for url, word in (
        (f"http://127.0.0.1:{free_port()}/", Failure.REFUSED),
        ("http://gone.example/", Failure.DNS),
        ("http://169.254.169.254/", Failure.BLOCKED),
        ("http://[::ffff:169.254.169.254]/", Failure.BLOCKED),
        ("ftp://files.example/", Failure.INTERNAL),
        ("http://127.1/", Failure.INTERNAL),
    ):
        with pytest.raises(DialError) as caught:
            await egress.post(url, b"", {}, timeout=2)
        assert caught.value.failure is word, url
    names.default = "silent"
    with pytest.raises(DialError) as caught:
        await egress.post("http://shop.example/", b"", {}, timeout=1)
    assert caught.value.failure is Failure.OWN_NETWORK


async def test_posts_keep_to_the_policy(names: DnsServer, egress: Egress) -> None:
    async with Sink() as sink:
        public = AddressPolicy(allow_private=False)
        for host in ("127.0.0.1", "both.example", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(DialError) as caught:
                await egress.post(f"http://{host}:{sink.port}/", b"", {}, timeout=2, policy=public)
            assert caught.value.failure is Failure.BLOCKED, host
            with pytest.raises(DialError) as caught:
                await egress.under(public).post(f"http://{host}:{sink.port}/", b"", {}, timeout=2)
            assert caught.value.failure is Failure.BLOCKED, host
        assert sink.connections == 0
        assert (await egress.post(sink.url(), b"", {}, timeout=2)).status == 200


async def test_answers_to_posts_are_capped(egress: Egress) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.send(b"a" * 65_536)

    bomb = answer(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(100 << 20)))
    for script in (endless, bomb):
        async with HttpServer({"*": script}) as server:
            began = time.perf_counter()
            said = await egress.post(server.url(), b"", {}, timeout=3, cap=10_000)
            assert len(said.body) == 10_000
            assert time.perf_counter() - began < 1


async def test_posts_verify_certificates(egress: Egress) -> None:
    async with HttpServer(answer(200), tls=Authority().good(), name="localhost") as server:
        with pytest.raises(DialError) as caught:
            await egress.post(server.url(), b"", {}, timeout=2)
    assert caught.value.failure is Failure.TLS_UNTRUSTED
    assert "localhost" in caught.value.message


async def test_posts_keep_no_cookies(egress: Egress) -> None:
    async with Sink() as sink:
        sink.answers = [answer(200, {"Set-Cookie": "a=b"})]
        for _ in range(2):
            await egress.post(sink.url(), b"", {}, timeout=2)
        assert "cookie" not in sink.requests[1].headers
        sink.answers = [redirect("/x")]
        assert (await egress.post(sink.url(), b"", {}, timeout=2)).status == 302
