"""The icmp probe: real pings on loopback, over a raw socket and over a datagram one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from netpulse.egress import echo, icmp, icmp_line, icmp_socket
from netpulse.egress.connect import Egress
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError
from netpulse.model.check import Failure
from netpulse.rules.addresses import AddressPolicy
from tests import netns
from tests.nameserver import can_ping
from tests.probing import check, undisturbed
from tests.servers import DnsServer

pings = pytest.mark.skipif(
    not can_ping(socket.AF_INET),
    reason="no ICMP socket is permitted here: run as root, or set net.ipv4.ping_group_range",
)
pings_6 = pytest.mark.skipif(
    not can_ping(socket.AF_INET6),
    reason="no ICMPv6 socket is permitted, or there is no ::1: run as root, with IPv6 on",
)
V4 = Address(socket.AF_INET, "127.0.0.1")


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


@pings
async def test_up(egress: Egress) -> None:
    for one in undisturbed():
        with one:
            seen = await check(egress, "127.0.0.1", "icmp")
    reading = seen.reading
    assert (seen.said, reading.packets_sent, reading.packets_received) == ("up", 3, 3)
    assert reading.loss_percent == 0
    least, average, most = reading.rtt_min_ms, reading.rtt_average_ms, reading.rtt_max_ms
    assert least is not None
    assert average is not None
    assert most is not None
    assert 0 < least <= average <= most < 1000
    assert reading.jitter_ms is not None
    assert reading.timings.total_ms is not None
    assert abs(reading.timings.total_ms - average) <= 0.1
    assert 0.35 < seen.seconds < 1  # two pauses of 200 ms


@pings_6
async def test_ipv6(egress: Egress) -> None:
    seen = await check(egress, "::1", "icmp", packets=1)
    assert (seen.said, seen.reading.address, seen.reading.jitter_ms) == ("up", "::1", None)
    assert (await check(egress, "[::1]", "icmp", packets=1)).said == "up"


@pings
async def test_names_and_mapped_addresses(egress: Egress) -> None:
    assert (await check(egress, "localhost", "icmp", packets=1)).said == "up"
    seen = await check(egress, "::ffff:127.0.0.1", "icmp", packets=1)
    assert (seen.said, seen.reading.address) == ("up", "127.0.0.1")


@pings
async def test_twenty_packets_fit_into_a_short_timeout(egress: Egress) -> None:
    for one in undisturbed():
        with one:
            seen = await check(egress, "127.0.0.1", "icmp", packets=20, timeout_seconds=1)
    assert (seen.said, seen.reading.packets_received) == ("up", 20)
    assert seen.seconds < 0.9


@pings
async def test_a_hundred_at_once_through_one_socket(egress: Egress) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    jobs = [asyncio.ensure_future(check(egress, f"127.0.0.{n}", "icmp")) for n in range(1, 101)]
    await asyncio.sleep(0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    seen = await asyncio.gather(*jobs)
    assert {each.said for each in seen} == {"up"}
    assert all(each.reading.packets_received == 3 for each in seen)


@pings
async def test_two_thousand_at_once_lose_nothing(egress: Egress) -> None:
    jobs = [check(egress, "127.0.0.1", "icmp", packets=1) for _ in range(2000)]
    seen = await asyncio.gather(*jobs)
    assert {each.said for each in seen} == {"up"}


@pings
async def test_replies_that_we_could_not_read_are_our_own_trouble(
    monkeypatch: pytest.MonkeyPatch, egress: Egress
) -> None:
    monkeypatch.setattr(icmp_line, "READ_AFTER", 1_000_000)
    await check(egress, "127.0.0.1", "icmp", packets=1)
    egress.pinger._lines[socket.AF_INET]._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    jobs = [check(egress, "127.0.0.1", "icmp", packets=2, timeout_seconds=1) for _ in range(200)]
    said = {each.said for each in await asyncio.gather(*jobs)}
    assert "inconclusive own_limit" in said
    assert said <= {"up", "inconclusive own_limit"}


@pings
async def test_names_that_do_not_exist() -> None:
    async with DnsServer({"meta.example": ["169.254.169.254"]}) as names:
        egress = Egress(nameservers=[names.address])
        seen = await check(egress, "none.example", "icmp")
        assert (seen.said, seen.verdict.detail) == ("down dns", "nxdomain")
        assert (await check(egress, "meta.example", "icmp")).said == "down blocked"
        await egress.close()


async def test_policy() -> None:
    public = Egress(AddressPolicy(allow_private=False))
    assert (await check(public, "127.0.0.1", "icmp")).said == "down blocked"
    assert (await check(public, "224.0.0.1", "icmp")).said == "down blocked"
    await public.close()


@pings
async def test_the_loops_lag_is_not_in_a_round_trip(egress: Egress) -> None:
    import time

    await check(egress, "127.0.0.1", "icmp", packets=1)
    loop = asyncio.get_running_loop()
    round_trips = []
    # The kernel begins to stamp what it receives a moment after it is asked to.
    for _ in range(5):
        job = asyncio.ensure_future(
            egress.pinger.ping(V4, packets=1, gap=0.1, deadline=loop.time() + 5)
        )
        loop.call_soon(lambda: time.sleep(0.3))  # the lag
        round_trips += (await job).round_trips
        if round_trips[-1] < 100:
            break
    assert round_trips[-1] < 100


class TestOnlyTheRightReplyCounts:
    """Replies put in by hand: everything but the right one is ignored."""

    @pings
    async def test_all(self) -> None:
        line = icmp_line.Line(socket.AF_INET)
        loop = asyncio.get_running_loop()
        ident, sequence = line.fresh()
        one = line.prepare(ident, sequence, "192.0.2.9", icmp_line.Round(loop))
        one.sent_at = 1.0
        good = echo.EchoReply(*one.key, one.token + bytes(40))
        line._reply(good, "192.0.2.8", 2.0, 0.0)  # somebody else's
        line._reply(good._replace(ident=good.ident ^ 1), "192.0.2.9", 2.0, 0.0)
        line._reply(good._replace(sequence=good.sequence ^ 1), "192.0.2.9", 2.0, 0.0)
        line._reply(good._replace(payload=bytes(56)), "192.0.2.9", 2.0, 0.0)
        line._reply(good._replace(payload=b""), "192.0.2.9", 2.0, 0.0)
        line._trouble(echo.EchoTrouble(3, 1, *one.key, "192.0.2.8"), "192.0.2.1")
        assert one.came is None
        line._reply(good, "192.0.2.9", 1.25, 0.05)
        assert one.came == pytest.approx(200.0)
        line._reply(good, "192.0.2.9", 3.0, 0.0)  # a duplicate
        assert one.came == pytest.approx(200.0)
        late = line.prepare(ident, sequence, "192.0.2.9", icmp_line.Round(loop))
        line.forget(late)
        line._reply(echo.EchoReply(*late.key, late.token), "192.0.2.9", 9.0, 0.0)
        assert late.came is None
        line.close()

    @pings
    async def test_every_probe_has_its_own_identifier(self) -> None:
        line = icmp_line.Line(socket.AF_INET)
        whose = icmp_line.Round(asyncio.get_running_loop())
        keys = {line.prepare(*line.fresh(), "192.0.2.9", whose).key for _ in range(1000)}
        assert len(keys) == 1000
        line.close()


@pytest.mark.parametrize(
    ("number", "failure"),
    [(24, Failure.OWN_LIMIT), (97, Failure.OWN_NETWORK)],  # EMFILE, EAFNOSUPPORT
)
async def test_no_socket(
    monkeypatch: pytest.MonkeyPatch, egress: Egress, number: int, failure: Failure
) -> None:
    class Refused:
        def __init__(self, privileged: bool) -> None:
            try:
                raise OSError(number, "no")
            except OSError as error:
                raise icmp_socket.ICMPSocketError(str(error))  # noqa: B904  # as icmplib does

    monkeypatch.setattr(icmp_socket, "ICMPv6Socket", Refused)
    seen = await check(egress, "::1", "icmp")
    assert seen.said == f"inconclusive {failure}"


# ---------------------------------------------------------------- in a network of our own


NO_NAMESPACES = netns.why_not()


@pytest.fixture(scope="module")
def network() -> Iterator[netns.Namespaces]:
    with netns.Namespaces(["198.51.100.1"]).made() as made:
        netns.ip("-n", made.there, "route", "add", "unreachable", "203.0.113.0/24")
        subprocess.run(
            [
                "ip",
                "netns",
                "exec",
                made.there,
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/icmp_ratelimit",
            ],
            check=True,
        )
        netns.ip("-n", made.there, "route", "add", "blackhole", "198.51.100.2/32")
        yield made


@pytest.mark.skipif(NO_NAMESPACES is not None, reason=NO_NAMESPACES or "")
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "datagram"])
@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_in_a_network_of_our_own(network: netns.Namespaces, raw: bool, loop: object) -> None:
    async def scene() -> list[tuple[str, str, str | None]]:
        egress = Egress()
        found = []
        for target in (
            "198.51.100.1",
            "203.0.113.7",
            "198.51.100.1",
            "10.77.0.99",
            "198.51.100.2",
            "127.0.0.1",
        ):
            # Only of the last but one nothing comes back; of 10.77.0.99 it takes three seconds.
            seconds = 1 if target == "198.51.100.2" else 10
            seen = await check(egress, target, "icmp", packets=2, timeout_seconds=seconds)
            found.append((target, seen.said, seen.verdict.detail))
        line = egress.pinger._lines[socket.AF_INET]
        assert line.raw is raw
        seen = await check(egress, "2001:db8::1", "icmp", packets=1)
        found.append(("2001:db8::1", seen.said, seen.verdict.detail))
        # An unreachable one among many does not spoil the others' pings on the shared socket.
        targets = [*["198.51.100.1"] * 20, "203.0.113.7"]
        together = await asyncio.gather(*(check(egress, each, "icmp") for each in targets))
        assert [each.said for each in together[:20]] == ["up"] * 20
        assert not together[20].reading.packets_received
        await egress.close()
        return found

    with _allowed(network, raw), network.inside(network.here):
        found = loop(scene())  # type: ignore[operator]
    assert found == [
        ("198.51.100.1", "up", None),
        ("203.0.113.7", "down unreachable", "host"),
        ("198.51.100.1", "up", None),
        ("10.77.0.99", "down unreachable", "host"),
        ("198.51.100.2", "down loss", None),
        ("127.0.0.1", "up", None),
        ("2001:db8::1", "inconclusive own_network", "no_route"),
    ]


@contextlib.contextmanager
def _allowed(network: netns.Namespaces, raw: bool) -> Iterator[None]:
    """Let everybody ping in `here`, or only those who may open a raw socket."""
    words = "1 0" if raw else "0 2147483647"
    subprocess.run(
        [
            "ip",
            "netns",
            "exec",
            network.here,
            "sysctl",
            "-qw",
            f"net.ipv4.ping_group_range={words}",
        ],
        check=True,
    )
    yield


async def test_an_old_datagram_socket_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_ping(socket.AF_INET):
        pytest.skip("no ICMP socket is permitted here: run as root")
    pinger = icmp.Pinger()
    first = pinger._line(socket.AF_INET)
    monkeypatch.setattr(icmp_line.Line, "is_worn", property(lambda self: self is first))
    loop = asyncio.get_running_loop()
    whose = icmp_line.Round(loop)
    one = first.prepare(*first.fresh(), "127.0.0.1", whose)
    assert first.send(one)
    assert pinger._line(socket.AF_INET) is not first
    await asyncio.wait_for(whose.all_back(), 10)
    assert isinstance(one.came, float)
    pinger._let_go()
    assert not pinger._leaving
    pinger.close()


async def test_a_dial_error_of_sending_is_ours() -> None:
    error = icmp_socket.unsent(PermissionError(1, "no"), socket.AF_INET, "192.0.2.7")
    assert isinstance(error, DialError)
    assert (error.failure, error.message) == (
        Failure.OWN_PERMISSION,
        "this host's firewall does not let NetPulse ping 192.0.2.7",
    )
