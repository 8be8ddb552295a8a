"""Which addresses may be dialled: spellings and disguises, after parsing."""

from __future__ import annotations

import pytest

from netpulse.rules.addresses import AddressPolicy, refusal

OPEN = AddressPolicy()
STRICT = AddressPolicy(allow_private=False)

ALWAYS = [
    # unspecified
    ("0.0.0.0", "an unspecified address"),
    ("0.1.2.3", "an unspecified address"),
    ("::", "an unspecified address"),
    ("::ffff:0.0.0.0", "an unspecified address"),
    # link-local
    ("169.254.0.1", "a link-local address"),
    ("169.254.255.255", "a link-local address"),
    ("fe80::1", "a link-local address"),
    ("febf::1", "a link-local address"),
    ("::ffff:169.254.1.1", "a link-local address"),
    # cloud metadata
    ("169.254.169.254", "a cloud metadata address"),
    ("169.254.170.2", "a cloud metadata address"),
    ("100.100.100.200", "a cloud metadata address"),
    ("168.63.129.16", "a cloud metadata address"),
    ("192.0.0.192", "a cloud metadata address"),
    ("fd00:ec2::254", "a cloud metadata address"),
    ("fd20:ce::254", "a cloud metadata address"),
    ("::ffff:169.254.169.254", "a cloud metadata address"),
    ("::ffff:a9fe:a9fe", "a cloud metadata address"),
    ("::169.254.169.254", "a cloud metadata address"),
    ("64:ff9b::169.254.169.254", "a cloud metadata address"),
    ("64:ff9b::6464:64c8", "a cloud metadata address"),
    ("64:ff9b:1::a9fe:a9fe", "a cloud metadata address"),
    ("64:ff9b:1:a9fe:a9:fe00::", "a cloud metadata address"),
    ("64:ff9b:1:0:a9:fea9:fe00:0", "a cloud metadata address"),
    ("2002:a9fe:a9fe::", "a cloud metadata address"),
    ("2002:a9fe:a9fe:1::5", "a cloud metadata address"),
    ("2001:0:a9fe:a9fe::", "a cloud metadata address"),
    ("2001:0:4136:e378:8000:63bf:5601:5601", "a cloud metadata address"),
    ("2001:db8::5efe:169.254.169.254", "a cloud metadata address"),
    ("::ffff:0:169.254.169.254", "a cloud metadata address"),
    # multicast and broadcast
    ("224.0.0.1", "a multicast address"),
    ("239.255.255.250", "a multicast address"),
    ("ff02::1", "a multicast address"),
    ("ff0e::1", "a multicast address"),
    ("255.255.255.255", "a broadcast address"),
    ("64:ff9b::e000:1", "a multicast address"),
    # no addresses at all
    ("fe80::1%eth0", "an address with a zone id"),
    ("2001:db8::1%1", "an address with a zone id"),
    ("localhost", "not an IP address"),
    ("127.1", "not an IP address"),
    ("0x7f000001", "not an IP address"),
    ("2130706433", "not an IP address"),
    ("0177.0.0.1", "not an IP address"),
    ("①②⑦.⓪.⓪.①", "not an IP address"),
    ("", "not an IP address"),
]

PRIVATE = [
    ("127.0.0.1", "a loopback address"),
    ("127.255.255.254", "a loopback address"),
    ("::1", "a loopback address"),
    ("0:0:0:0:0:0:0:1", "a loopback address"),
    ("::ffff:127.0.0.1", "a loopback address"),
    ("::ffff:7f00:1", "a loopback address"),
    ("::127.0.0.1", "a loopback address"),
    ("::7f00:1", "a loopback address"),
    ("64:ff9b::7f00:1", "a loopback address"),
    ("64:ff9b:1::7f00:1", "a loopback address"),
    ("2002:7f00:1::", "a loopback address"),
    ("2001:0:7f00:1:8000:63bf:f7f7:f7f7", "a loopback address"),
    ("10.0.0.1", "a private address"),
    ("172.16.0.1", "a private address"),
    ("172.31.255.255", "a private address"),
    ("192.168.1.1", "a private address"),
    ("::ffff:192.168.1.1", "a private address"),
    ("64:ff9b::10.1.2.3", "a private address"),
    ("2002:c0a8:101::1", "a private address"),
    ("fc00::1", "a private address"),
    ("fdff::1", "a private address"),
    ("fec0::1", "a site-local address"),
    ("100.64.0.1", "a shared (carrier NAT) address"),
    ("100.127.255.255", "a shared (carrier NAT) address"),
    ("192.0.0.8", "a reserved address"),
    ("192.0.2.7", "a documentation address"),
    ("198.51.100.1", "a documentation address"),
    ("203.0.113.1", "a documentation address"),
    ("198.18.0.1", "a benchmarking address"),
    ("192.88.99.1", "a reserved address"),
    ("240.0.0.1", "a reserved address"),
    ("100::1", "a discard-only address"),
    ("2001:2::1", "a reserved address"),
    ("2001:db8::1", "a documentation address"),
    ("3fff::1", "a documentation address"),
    ("5f00::1", "a segment-routing address"),
    ("2002:808:808::", "an address inside another"),
    ("::8.8.8.8", "an address outside the public internet"),
    ("64:ff9b:1::808:808", "an address outside the public internet"),
    ("4000::1", "an address outside the public internet"),
]

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "99.255.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "169.253.255.255",
    "223.255.255.255",
    "192.0.1.1",
    "2606:4700::1111",
    "2a00:1450:4001::64",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize(("address", "why"), ALWAYS)
def test_never_dialled(address: str, why: str) -> None:
    assert refusal(address, 80, OPEN) == f"{address} is {why}: always blocked"
    assert refusal(address, 80, STRICT) == f"{address} is {why}: always blocked"


@pytest.mark.parametrize(("address", "why"), PRIVATE)
def test_dialled_where_private_addresses_are_allowed(address: str, why: str) -> None:
    assert refusal(address, 80, OPEN) is None
    assert refusal(address, 80, STRICT) == (
        f"{address} is {why}: this organization may only reach public addresses"
    )


@pytest.mark.parametrize("address", PUBLIC)
def test_dialled_by_everybody(address: str) -> None:
    assert refusal(address, 443, STRICT) is None
    assert refusal(address, 443, OPEN) is None


def test_our_own_address_is_never_dialled() -> None:
    policy = AddressPolicy(own=frozenset({("192.168.7.7", 8080), ("2001:db8::5", 8080)}))

    blocked = "is where NetPulse itself listens: always blocked"
    assert refusal("192.168.7.7", 8080, policy) == f"192.168.7.7:8080 {blocked}"
    assert refusal("::ffff:192.168.7.7", 8080, policy) == f"::ffff:192.168.7.7:8080 {blocked}"
    assert refusal("2001:db8:0::5", 8080, policy) == f"2001:db8:0::5:8080 {blocked}"
    assert refusal("192.168.7.7", 8081, policy) is None
    assert refusal("127.0.0.1", 8080, policy) is None


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_wildcard_listener_is_reached_through_any_loopback_address(wildcard: str) -> None:
    policy = AddressPolicy(own=frozenset({(wildcard, 8080)}))

    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert refusal(address, 8080, policy) is not None
        assert refusal(address, 8081, policy) is None
    assert refusal("192.168.7.7", 8080, policy) is None
