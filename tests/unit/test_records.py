"""DNS questions, name servers, expected values, and what an answer is compared by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netpulse.model.check import Failure, Reading, Result, Timings, Verdict
from netpulse.model.monitor import TYPES, DnsSpec, IcmpSpec, MonitorSpec
from netpulse.rules import records, targets
from netpulse.rules.monitors import normalised, problems
from netpulse.rules.verdict import judge


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        (" 192.0.2.53:5353 ", "192.0.2.53:5353"),
        ("2001:DB8::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
    ],
)
def test_name_servers(text: str, shown: str) -> None:
    assert str(records.nameserver(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ns.example",
        "ns.example:53",
        "192.0.2.53:0",
        "192.0.2.53:65536",
        "192.0.2.53:",
        "fe80::1%eth0",
        "192.0.2",
        "[::1",
        "1.1.1.1 8.8.8.8",
        "①.1.1.1",
        "udp://1.1.1.1",
    ],
)
def test_no_name_servers(text: str) -> None:
    with pytest.raises(targets.TargetError):
        records.nameserver(text)


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        ("Shop.Example.", "A", "shop.example"),
        ("_dmarc.shop.example", "TXT", "_dmarc.shop.example"),
        ("*.shop.example", "A", "*.shop.example"),
        ("0/25.2.0.192.in-addr.arpa", "PTR", "0/25.2.0.192.in-addr.arpa"),
        ("bücher.example", "A", "xn--bcher-kva.example"),
        ("192.0.2.7", "PTR", "7.2.0.192.in-addr.arpa"),
        (
            "[2001:db8::7]",
            "PTR",
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
        ("example", "NS", "example"),
    ],
)
def test_questions(target: str, kind: str, name: str) -> None:
    assert records.question(target, kind) == name


@pytest.mark.parametrize(
    "target",
    [
        "192.0.2.7",
        "https://shop.example",
        "shop.example:53",
        "a..b",
        "a b",
        "a\r\nb",
        "x" * 64,
        ".",
        "①.example",
        "a." * 130,
    ],
)
def test_no_questions(target: str) -> None:
    with pytest.raises(targets.TargetError):
        records.question(target, "A")


@pytest.mark.parametrize(
    ("kind", "wanted", "answer", "fits"),
    [
        ("A", "192.0.2.7", "192.0.2.7", True),
        ("A", "192.0.2.7", "192.0.2.8", False),
        ("AAAA", "2001:0DB8:0::7", "2001:db8::7", True),
        ("CNAME", "CDN.example.", "cdn.example", True),
        ("CNAME", "example", "cdn.example", False),
        ("NS", "ns1.example", "NS1.EXAMPLE", True),
        ("NS", "bücher.example", "xn--bcher-kva.example", True),
        ("PTR", "host.example.", "host.example", True),
        ("MX", "mail.example", "10 mail.example", True),
        ("MX", "10 mail.example.", "10 Mail.Example", True),
        ("MX", "010 mail.example", "10 mail.example", True),
        ("MX", "20 mail.example", "10 mail.example", False),
        ("MX", "10", "10 mail.example", False),
        ("MX", "0 .", "0 .", True),
        ("TXT", "v=spf1 -all", "V=SPF1 -ALL", True),
        ("TXT", '"two " "parts"', "two parts", True),
        ("TXT", '"a \\"b\\""', 'a "b"', True),
        ("TXT", "v=spf1", "v=spf1 -all", False),
        ("SRV", "10 5 5060 sip.example", "10 5 5060 sip.example", True),
        ("SRV", "sip.example", "10 5 5060 sip.example", True),
        ("SRV", "10 5 5061 sip.example", "10 5 5060 sip.example", False),
        ("SOA", "ns1.example", "ns1.example root.example 1 2 3 4 5", True),
        ("SOA", "root.example", "ns1.example root.example 1 2 3 4 5", False),
        ("SOA", "ns1.example. root.example. 1 2 3 4 5", "ns1.example root.example 1 2 3 4 5", True),
        ("CAA", "0 ISSUE ca.example", '0 issue "ca.example"', True),
        ("CAA", '128 issue "ca.example"', '0 issue "ca.example"', False),
    ],
)
def test_fits(kind: str, wanted: str, answer: str, fits: bool) -> None:
    assert records.fits(kind, wanted, answer) is fits


@pytest.mark.parametrize(
    ("wanted", "answers", "match", "difference"),
    [
        (["192.0.2.1"], ["192.0.2.1"], "all", None),
        (["192.0.2.2", "192.0.2.1"], ["192.0.2.1", "192.0.2.2"], "all", None),
        (["192.0.2.1"], ["192.0.2.1", "192.0.2.2"], "all", ([], ["192.0.2.2"])),
        (["192.0.2.1", "192.0.2.2"], ["192.0.2.1"], "all", (["192.0.2.2"], [])),
        (["192.0.2.9", "192.0.2.1"], ["192.0.2.1", "192.0.2.2"], "any", None),
        (["192.0.2.9"], ["192.0.2.1"], "any", (["192.0.2.9"], [])),
    ],
)
def test_difference(wanted: list[str], answers: list[str], match: str, difference: Any) -> None:
    assert records.difference("A", wanted, answers, match) == difference


# ---------------------------------------------------------------- configurations


def spec(kind: str, **more: Any) -> MonitorSpec:
    raw = {"type": kind, "name": "x", "target": "shop.example"} | more
    made: MonitorSpec = msgspec.convert(raw, TYPES[kind])
    return made


@pytest.mark.parametrize(
    ("kind", "more", "path", "message"),
    [
        (
            "icmp",
            {"target": "https://shop.example"},
            "$.target",
            "a ping goes to a host or an address, such as shop.example, and no more",
        ),
        (
            "icmp",
            {"target": "shop.example:80"},
            "$.target",
            "a ping has no port: write the host alone, or use a tcp monitor",
        ),
        (
            "icmp",
            {"target": "[::1]:80"},
            "$.target",
            "a ping has no port: write the host alone, or use a tcp monitor",
        ),
        (
            "icmp",
            {"target": "fe80::1%eth0"},
            "$.target",
            "the host fe80::1%eth0 has a zone id; use an address without %",
        ),
        (
            "icmp",
            {"target": "①②⑦.0.0.1"},
            "$.target",
            "the host has the sign ①; write plain digits, dots and colons",
        ),
        (
            "dns",
            {"target": "192.0.2.7"},
            "$.target",
            "192.0.2.7 is an address; only PTR records can be asked for one",
        ),
        (
            "dns",
            {"target": "https://shop.example"},
            "$.target",
            "a dns target is a name, such as shop.example, without a scheme",
        ),
        (
            "dns",
            {"nameserver": "ns.example"},
            "$.nameserver",
            "ns.example is a name; write the name server's address, such as 192.0.2.53",
        ),
        (
            "dns",
            {"expected_value": "shop"},
            "$.expected_value",
            "shop is not an IPv4 address, such as 192.0.2.7",
        ),
        (
            "dns",
            {"expected_value": ["192.0.2.1", "2001:db8::1"]},
            "$.expected_value[1]",
            "2001:db8::1 is not an IPv4 address, such as 192.0.2.7",
        ),
        ("dns", {"expected_value": " "}, "$.expected_value", "is empty"),
        (
            "dns",
            {"record_type": "AAAA", "expected_value": "192.0.2.1"},
            "$.expected_value",
            "192.0.2.1 is not an IPv6 address, such as 2001:db8::7",
        ),
        (
            "dns",
            {"record_type": "MX", "expected_value": "x mail.example"},
            "$.expected_value",
            'x mail.example is neither a host nor "preference host", such as 10 mail.example',
        ),
        (
            "dns",
            {"record_type": "SRV", "expected_value": "1 2 sip.example"},
            "$.expected_value",
            '1 2 sip.example is neither a host nor "priority weight port host", such as 10 5 5060 sip.example',
        ),
        (
            "dns",
            {"record_type": "SOA", "expected_value": "a b"},
            "$.expected_value",
            'a b is neither the first name server nor "server mailbox serial refresh retry expire minimum"',
        ),
        (
            "dns",
            {"record_type": "CAA", "expected_value": "ca.example"},
            "$.expected_value",
            'ca.example is not "flags tag value", such as 0 issue "ca.example"',
        ),
        (
            "dns",
            {"record_type": "NS", "expected_value": "a..b"},
            "$.expected_value",
            "a..b is not a host name, such as mail.example",
        ),
    ],
)
def test_problems(kind: str, more: dict[str, Any], path: str, message: str) -> None:
    assert [(each.path, each.message) for each in problems(normalised(spec(kind, **more)))] == [
        (path, message)
    ]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("icmp", {"packets": 0}),
        ("icmp", {"packets": 21}),
        ("icmp", {"max_loss_percent": 0}),
        ("icmp", {"max_loss_percent": 101}),
        ("icmp", {"port": 1}),
        ("dns", {"record_type": "ANY"}),
        ("dns", {"record_type": "a"}),
        ("dns", {"match": "some"}),
        ("dns", {"expected_value": []}),
        ("dns", {"expected_value": ""}),
        ("dns", {"expected_value": 7}),
    ],
)
def test_refused_by_type(kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        spec(kind, **more)


def test_defaults() -> None:
    ping = spec("icmp")
    assert isinstance(ping, IcmpSpec)
    assert (ping.packets, ping.max_loss_percent, ping.degraded_loss_percent) == (3, 100, 50)
    name = spec("dns")
    assert isinstance(name, DnsSpec)
    assert (name.record_type, name.expected_value, name.match, name.nameserver) == (
        "A",
        None,
        "all",
        None,
    )
    assert problems(ping) == problems(name) == []


def test_normalised() -> None:
    stored = normalised(
        spec(
            "dns",
            target=" Shop.example ",
            nameserver=" 192.0.2.53 ",
            expected_value=[" 192.0.2.1 ", "192.0.2.1"],
        )
    )
    assert isinstance(stored, DnsSpec)
    assert (stored.target, stored.nameserver, stored.expected_value) == (
        "Shop.example",
        "192.0.2.53",
        ("192.0.2.1",),
    )
    assert normalised(stored) == stored
    assert normalised(spec("dns", nameserver="  ")).nameserver is None  # type: ignore[union-attr]


# ---------------------------------------------------------------- verdicts


def pinged(sent: int, received: int, average: float | None = 12.0) -> Reading:
    return Reading(
        packets_sent=sent,
        packets_received=received,
        address="192.0.2.7",
        timings=Timings(total_ms=average if received else None),
    )


@pytest.mark.parametrize(
    ("more", "sent", "received", "result", "failure", "message"),
    [
        ({}, 3, 3, "up", None, None),
        ({}, 3, 2, "up", None, None),
        ({}, 3, 1, "degraded", None, "2 of 3 pings lost, 66% (limit 50%)"),
        ({}, 2, 1, "degraded", None, "1 of 2 pings lost, 50% (limit 50%)"),
        ({}, 3, 0, "down", "loss", "no answer from 192.0.2.7 to any of 3 pings"),
        ({}, 1, 0, "down", "loss", "no answer from 192.0.2.7 to the ping"),
        ({"max_loss_percent": 34}, 3, 2, "up", None, None),
        ({"max_loss_percent": 33}, 3, 2, "down", "loss", "1 of 3 pings lost, 33% (limit 33%)"),
        ({"degraded_loss_percent": 100}, 3, 1, "up", None, None),
        ({"degraded_after_ms": 10}, 3, 3, "degraded", None, "answered in 12 ms, more than 10 ms"),
        (
            {"degraded_after_ms": 10},
            3,
            1,
            "degraded",
            None,
            "2 of 3 pings lost, 66% (limit 50%); answered in 12 ms, more than 10 ms",
        ),
        ({"invert": True}, 3, 0, "up", None, None),
    ],
)
def test_loss(
    more: dict[str, Any],
    sent: int,
    received: int,
    result: str,
    failure: str | None,
    message: str | None,
) -> None:
    verdict = judge(spec("icmp", **more), pinged(sent, received), now=0)
    assert (verdict.result, verdict.failure, verdict.message) == (result, failure, message)


def test_nothing_pinged_or_answered_is_never_up() -> None:
    assert judge(spec("icmp"), Reading(), now=0).result is Result.INCONCLUSIVE
    assert judge(spec("dns"), Reading(), now=0).result is Result.INCONCLUSIVE


@pytest.mark.parametrize(
    ("more", "answers", "message"),
    [
        ({}, ("192.0.2.1",), None),
        ({"expected_value": "192.0.2.1"}, ("192.0.2.1",), None),
        (
            {"expected_value": "192.0.2.9"},
            ("192.0.2.1", "192.0.2.2"),
            "the A of shop.example is 192.0.2.1, 192.0.2.2, expected 192.0.2.9",
        ),
        (
            {"expected_value": ["192.0.2.8", "192.0.2.9"]},
            ("192.0.2.1",),
            "the A of shop.example is 192.0.2.1, expected all of 192.0.2.8, 192.0.2.9",
        ),
        (
            {"expected_value": ["192.0.2.8", "192.0.2.9"], "match": "any"},
            ("192.0.2.1",),
            "the A of shop.example is 192.0.2.1, expected any of 192.0.2.8, 192.0.2.9",
        ),
        (
            {"record_type": "TXT", "expected_value": "a"},
            ("b\n",),
            'the TXT of shop.example is "b\\n", expected a',
        ),
    ],
)
def test_mismatch(more: dict[str, Any], answers: tuple[str, ...], message: str | None) -> None:
    verdict = judge(spec("dns", **more), Reading(answers=answers), now=0)
    if message is None:
        assert verdict == Verdict(Result.UP)
    else:
        assert verdict == Verdict(Result.DOWN, Failure.MISMATCH, None, message)
