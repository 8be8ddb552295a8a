"""The tcp probe against real listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from netpulse.egress.connect import Egress
from netpulse.rules.addresses import AddressPolicy
from tests.certificates import Authority
from tests.probing import check
from tests.servers import DnsServer, TcpServer

OURS = Authority()


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def test_what_is_sent_arrives(egress: Egress) -> None:
    async with TcpServer() as server:
        for text in ("one", "x" * 60_000):
            seen = await check(egress, f"127.0.0.1:{server.port}", "tcp", send=text)
            assert seen.said == "up"
        await asyncio.sleep(0.1)
        assert len(server.received) == 60_003


async def test_the_port_may_stand_in_a_field_of_its_own(egress: Egress) -> None:
    async with TcpServer(host="::1") as server:
        assert (await check(egress, "::1", "tcp", port=server.port)).said == "up"
        assert (await check(egress, f"[::1]:{server.port}", "tcp")).said == "up"
        assert (await check(egress, "localhost", "tcp", port=server.port)).said == "up"


async def test_tls(egress: Egress, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    async with TcpServer(echo, tls=OURS.good()) as server:
        seen = await check(egress, f"localhost:{server.port}", "tcp", tls=True)
        assert seen.said == "down tls_untrusted"
        assert seen.reading.certificate is not None
        assert seen.reading.certificate.issuer == "Test Authority"


async def test_blocked_and_unknown_names(egress: Egress) -> None:
    async with DnsServer({"meta.example": ["169.254.169.254"]}) as names:
        local = Egress(nameservers=[names.address])
        assert (await check(local, "meta.example:80", "tcp")).said == "down blocked"
        seen = await check(local, "shop.example:80", "tcp")
        assert (seen.said, seen.verdict.detail) == ("down dns", "nxdomain")
        assert seen.message == "the name shop.example does not exist"
        await local.close()
    async with TcpServer() as server:
        public = egress.under(AddressPolicy(allow_private=False))
        assert (await check(public, f"127.0.0.1:{server.port}", "tcp")).said == "down blocked"
        assert server.connections == 0


async def test_many_checks_of_one_port_leave_no_ports_behind(egress: Egress) -> None:
    """A connection that we close is reset: it must not wait a minute in TIME_WAIT."""
    async with TcpServer() as server:
        target = f"127.0.0.1:{server.port}"
        for _ in range(20):
            await asyncio.gather(*(check(egress, target, "tcp") for _ in range(20)))
        mine = f":{server.port:04X} "
        with open("/proc/net/tcp") as table:  # noqa: ASYNC230, PTH123
            waiting = [line for line in table if mine in line and line.split()[3] == "06"]
    assert len(waiting) < 20
