"""The dns probe against a name server of ours, and against none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netpulse.egress.connect import Egress
from netpulse.rules.addresses import AddressPolicy
from tests.nameserver import NameServer
from tests.probing import Seen, check, undisturbed

ZONE: dict[str, Any] = {
    "shop.example": {
        "A": ["192.0.2.2", "192.0.2.1"],
        "AAAA": ["2001:db8::1"],
        "MX": ["10 Mail.example.", "20 backup.example."],
        "NS": ["ns1.example."],
        "TXT": ['"v=spf1 -all"', '"two " "parts"'],
        "SOA": ["ns1.example. root.example. 2024010101 7200 3600 1209600 300"],
        "CAA": ['0 issue "ca.example"'],
    },
    "_sip._tcp.shop.example": {"SRV": ["10 5 5060 sip.example."]},
    "www.shop.example": {"CNAME": ["cdn.example."]},
    "cdn.example": {"CNAME": ["edge.example."]},
    "edge.example": {"A": ["198.51.100.7"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["shop.example."]},
    "away.example": {"CNAME": ["edge.example."], "partial": True},
    "null.example": {"MX": ["0 ."]},
    "odd.example": {"TXT": ['"\\255\\001bytes"']},
} | {f"{word}.example": word for word in ("silent", "truncated", "huge")}


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with NameServer(ZONE) as server:
        yield server


async def ask(egress: Egress, server: NameServer, name: str, kind: str = "A", **more: Any) -> Seen:
    return await check(egress, name, "dns", nameserver=server.address, record_type=kind, **more)


@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        ("shop.example", "A", ("192.0.2.2", "192.0.2.1")),
        ("SHOP.example.", "AAAA", ("2001:db8::1",)),
        ("shop.example", "MX", ("10 Mail.example", "20 backup.example")),
        ("shop.example", "NS", ("ns1.example",)),
        ("shop.example", "TXT", ("v=spf1 -all", "two parts")),
        ("shop.example", "SOA", ("ns1.example root.example 2024010101 7200 3600 1209600 300",)),
        ("shop.example", "CAA", ('0 issue "ca.example"',)),
        ("_sip._tcp.shop.example", "SRV", ("10 5 5060 sip.example",)),
        ("www.shop.example", "CNAME", ("cdn.example",)),
        ("www.shop.example", "A", ("198.51.100.7",)),
        ("192.0.2.7", "PTR", ("shop.example",)),
        ("7.2.0.192.in-addr.arpa", "PTR", ("shop.example",)),
        ("away.example", "A", ("198.51.100.7",)),
        ("null.example", "MX", ("0 .",)),
        ("odd.example", "TXT", ("\\xff\x01bytes",)),
    ],
)
async def test_records(
    egress: Egress, server: NameServer, name: str, kind: str, answers: tuple[str, ...]
) -> None:
    seen = await ask(egress, server, name, kind)
    # The records of a set are in no order, and dnspython's writer shuffles them.
    assert (seen.said, sorted(seen.reading.answers)) == ("up", sorted(answers))
    assert seen.reading.address == "127.0.0.1"
    assert seen.reading.timings.total_ms is not None


async def test_every_check_reaches_the_server(egress: Egress, server: NameServer) -> None:
    for _ in range(5):
        assert (await ask(egress, server, "shop.example")).said == "up"
    assert server.hits == 5
    assert len(set(server.sources)) > 1
    assert len(set(server.idents)) > 1


async def test_every_server_is_asked_three_times(egress: Egress, server: NameServer) -> None:
    for one in undisturbed():
        server.hits = 0
        with one:
            seen = await ask(egress, server, "silent.example", timeout_seconds=1)
    assert (seen.said, server.hits) == ("down timeout", 3)


async def test_truncated_answers_are_asked_for_once_more(
    egress: Egress, server: NameServer
) -> None:
    for name, count in (("truncated.example", 4), ("huge.example", 3000)):
        seen = await ask(egress, server, name)
        assert (seen.said, len(seen.reading.answers)) == ("up", count)
    assert (server.hits, server.tcp_hits) == (2, 2)


async def test_ipv6(egress: Egress) -> None:
    try:
        async with NameServer(ZONE, host="::1") as server:
            assert (await ask(egress, server, "shop.example")).said == "up"
    except OSError:
        pytest.skip("this host has no IPv6 loopback: switch IPv6 on")


class TestTheSystemsServers:
    async def test_next_one_on_silence(self) -> None:
        async with (
            NameServer({"shop.example": "silent"}) as first,
            NameServer(ZONE) as second,
        ):
            egress = Egress(nameservers=[first.address, second.address])
            seen = await check(egress, "shop.example", "dns", timeout_seconds=3)
            await egress.close()
            assert (seen.said, first.hits, second.hits) == ("up", 1, 1)

    async def test_next_one_on_trouble(self) -> None:
        async with (
            NameServer({"shop.example": "servfail"}) as first,
            NameServer(ZONE) as second,
        ):
            egress = Egress(nameservers=[first.address, second.address])
            seen = await check(egress, "shop.example", "dns")
            assert seen.said == "up"
            assert seen.seconds < 1
            gone = await check(egress, "none.example", "dns")
            await egress.close()
            assert gone.verdict.detail == "nxdomain"


async def test_policy(server: NameServer) -> None:
    public = Egress(AddressPolicy(allow_private=False))
    seen = await ask(public, server, "shop.example")
    assert seen.said == "down blocked"
    own = Egress(AddressPolicy(own=frozenset({("127.0.0.1", server.port)})))
    assert (await ask(own, server, "shop.example")).said == "down blocked"
    metadata = await check(own, "shop.example", "dns", nameserver="169.254.169.254")
    assert metadata.said == "down blocked"
    assert server.hits == 0
    await public.close()
    await own.close()


async def test_many_at_once(egress: Egress, server: NameServer) -> None:
    seen = await asyncio.gather(*(ask(egress, server, "shop.example") for _ in range(200)))
    assert {each.said for each in seen} == {"up"}
    assert server.hits >= 200
