"""The dns probe against a name server of ours, and against none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netpulse.egress.connect import Egress
from netpulse.rules.addresses import AddressPolicy
from tests.nameserver import NameServer
from tests.probing import Seen, check
from tests.servers import free_port

ZONE: dict[str, Any] = (
    {
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
        "lost.example": {"CNAME": ["gone.example."]},
        "round.example": {"CNAME": ["about.example."]},
        "about.example": {"CNAME": ["round.example."]},
        "null.example": {"MX": ["0 ."]},
        "odd.example": {"TXT": ['"\\255\\001bytes"']},
    }
    | {
        f"{word.replace('_', '-')}.example": word
        for word in (
            "servfail refused notimp formerr silent malformed short echo other_question bare wrong_id "
            "strays_first late truncated huge no_edns drop_edns referral broken_record"
        ).split()
    }
    | {
        f"c{number}.example": {"CNAME": [f"c{number + 1}.example."], "partial": True}
        for number in range(12)
    }
)


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
        ("strays-first.example", "A", ("192.0.2.1",)),
        ("late.example", "A", ("192.0.2.1",)),
        ("no-edns.example", "A", ("192.0.2.1",)),
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


@pytest.mark.parametrize(
    ("name", "kind", "detail", "message"),
    [
        ("none.example", "A", "nxdomain", "none.example does not exist (NXDOMAIN, says {at})"),
        (
            "servfail.example",
            "A",
            "servfail",
            "{at} cannot look servfail.example up (SERVFAIL) (dnssec bogus: no?sig)",
        ),
        ("refused.example", "A", "refused", "{at} refuses to answer for refused.example (REFUSED)"),
        ("notimp.example", "A", "notimp", "{at} cannot answer such questions (NOTIMP)"),
        (
            "formerr.example",
            "A",
            "formerr",
            "{at} does not understand the question for formerr.example (FORMERR)",
        ),
        ("shop.example", "SRV", "no_data", "shop.example has no SRV record, says {at}"),
        (
            "www.shop.example",
            "MX",
            "no_data",
            "edge.example, where the CNAME of www.shop.example leads, has no MX record",
        ),
        ("lost.example", "A", "nxdomain", "gone.example does not exist (NXDOMAIN, says {at})"),
        (
            "referral.example",
            "A",
            "no_data",
            "{at} does not know referral.example and refers to other name servers",
        ),
        (
            "round.example",
            "A",
            "malformed",
            "the answer of {at} for round.example is of no use: its CNAMEs lead in a circle, back to round.example",
        ),
        ("c0.example", "A", "cname_chain", "c0.example leads through more than 8 CNAMEs"),
        (
            "echo.example",
            "A",
            "malformed",
            "the answer of {at} is malformed: it is not an answer but a question",
        ),
        (
            "other-question.example",
            "A",
            "malformed",
            "the answer of {at} is malformed: it answers another question",
        ),
        (
            "bare.example",
            "A",
            "malformed",
            "the answer of {at} is malformed: it does not repeat the question",
        ),
    ],
)
async def test_failures(
    egress: Egress, server: NameServer, name: str, kind: str, detail: str, message: str
) -> None:
    seen = await ask(egress, server, name, kind)
    assert (seen.said, seen.verdict.detail) == ("down dns", detail)
    assert seen.message == message.format(at=server.address)


@pytest.mark.parametrize("name", ["malformed.example", "short.example", "broken-record.example"])
async def test_unreadable(egress: Egress, server: NameServer, name: str) -> None:
    seen = await ask(egress, server, name)
    assert (seen.said, seen.verdict.detail) == ("down dns", "malformed")
    assert seen.message.startswith(f"the answer of {server.address} is malformed: ")
    assert seen.seconds < 1


async def test_every_check_reaches_the_server(egress: Egress, server: NameServer) -> None:
    for _ in range(5):
        assert (await ask(egress, server, "shop.example")).said == "up"
    assert server.hits == 5
    assert len(set(server.sources)) > 1
    assert len(set(server.idents)) > 1


async def test_silence(egress: Egress, server: NameServer) -> None:
    seen = await ask(egress, server, "silent.example", timeout_seconds=1)
    assert (seen.said, seen.verdict.detail) == ("down timeout", "dns")
    assert seen.message == f"no answer within 1 s from {server.address}"
    assert 0.9 < seen.seconds < 1.3
    assert server.hits == 3


async def test_wrong_ids_are_ignored_and_told(egress: Egress, server: NameServer) -> None:
    seen = await ask(egress, server, "wrong-id.example", timeout_seconds=1)
    assert seen.said == "down timeout"
    assert (
        seen.message
        == f"no answer within 1 s from {server.address}; 9 packets with a wrong id ignored"
    )


async def test_a_firewall_that_drops_edns(egress: Egress, server: NameServer) -> None:
    assert (await ask(egress, server, "drop-edns.example", timeout_seconds=2)).said == "up"


class TestTcp:
    async def test_truncated(self, egress: Egress, server: NameServer) -> None:
        seen = await ask(egress, server, "truncated.example")
        assert (seen.said, len(seen.reading.answers)) == ("up", 4)
        assert (server.hits, server.tcp_hits) == (1, 1)

    async def test_huge(self, egress: Egress, server: NameServer) -> None:
        seen = await ask(egress, server, "huge.example")
        assert (seen.said, len(seen.reading.answers)) == ("up", 3000)

    @pytest.mark.parametrize(
        ("how", "said", "detail", "end"),
        [
            ("refused", "down dns", "truncated", "it gives none: connection refused by {at}"),
            ("closes", "down dns", "truncated", "it broke off: the connection was closed"),
            ("half", "down dns", "truncated", "it broke off: the connection was closed"),
            ("truncated", "down dns", "truncated", "it is cut short as well"),
            ("silent", "down timeout", "dns", "it did not end in time"),
        ],
    )
    async def test_trouble(
        self, egress: Egress, how: str, said: str, detail: str, end: str
    ) -> None:
        async with NameServer(ZONE, tcp=how) as server:
            seen = await ask(egress, server, "truncated.example", timeout_seconds=1)
            assert (seen.said, seen.verdict.detail) == (said, detail)
            begin = f"the answer of {server.address} does not fit into UDP, and over TCP "
            assert seen.message == begin + end.format(at=server.address)

    async def test_wrong_id(self, egress: Egress) -> None:
        async with NameServer(ZONE, tcp="wrong_id") as server:
            seen = await ask(egress, server, "truncated.example")
            assert (seen.said, seen.verdict.detail) == ("down dns", "malformed")


async def test_nothing_listens(egress: Egress) -> None:
    at = f"127.0.0.1:{free_port()}"
    seen = await check(egress, "shop.example", "dns", nameserver=at)
    assert seen.said == "down refused"
    assert seen.message == f"{at} refuses: no name server listens there"
    assert seen.seconds < 1


async def test_ipv6(egress: Egress) -> None:
    try:
        async with NameServer(ZONE, host="::1") as server:
            assert (await ask(egress, server, "shop.example")).said == "up"
    except OSError:
        pytest.skip("this host has no IPv6 loopback: switch IPv6 on")


@pytest.mark.parametrize(
    ("kind", "wanted", "match", "said"),
    [
        ("A", "192.0.2.1", "all", "down mismatch"),
        ("A", "192.0.2.1", "any", "up"),
        ("A", ("192.0.2.1", "192.0.2.2"), "all", "up"),
        ("A", ("192.0.2.1", "192.0.2.2", "192.0.2.3"), "all", "down mismatch"),
        ("MX", ("mail.EXAMPLE.", "20 backup.example"), "all", "up"),
        ("TXT", ("two parts", "v=spf1 -all"), "all", "up"),
    ],
)
async def test_expected(
    egress: Egress, server: NameServer, kind: str, wanted: Any, match: str, said: str
) -> None:
    seen = await ask(egress, server, "shop.example", kind, expected_value=wanted, match=match)
    assert seen.said == said


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

    async def test_none_answers(self) -> None:
        egress = Egress(nameservers=[f"127.0.0.1:{free_port()}"])
        seen = await check(egress, "shop.example", "dns", timeout_seconds=2)
        assert (seen.said, seen.verdict.detail) == ("inconclusive own_network", "no_resolver")
        assert "so shop.example cannot be looked up" in seen.message
        await egress.close()

    async def test_all_silent(self) -> None:
        silent = {"shop.example": "silent"}
        server = NameServer(silent)
        server._answers = lambda data, *, over_tcp: []  # type: ignore[method-assign]  # deaf to all
        async with server:
            egress = Egress(nameservers=[server.address])
            began = time.perf_counter()
            seen = await check(egress, "shop.example", "dns", timeout_seconds=2)
            assert seen.said == "inconclusive own_network"
            assert time.perf_counter() - began < 2.3
            await egress.close()

    async def test_silent_for_this_name_only(self) -> None:
        async with NameServer({"shop.example": "silent"}) as server:
            egress = Egress(nameservers=[server.address])
            seen = await check(egress, "shop.example", "dns", timeout_seconds=2)
            assert (seen.said, seen.verdict.detail) == ("down dns", "timeout")
            await egress.close()


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
