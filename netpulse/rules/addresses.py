"""Which addresses may be dialled: our own table, because the usual predicates leave holes.

`ipaddress.is_global` calls NAT64, 6to4 and site-local addresses global and multicast too, and
`is_private` misses shared address space (100.64.0.0/10). An IPv4 address hidden in an IPv6 one is
taken out and judged by itself. Sources: IANA special-purpose address registries (RFC 6890), RFC
4291, 6052 and 8215 (NAT64), 3056 (6to4), 4380 (Teredo), and the clouds' own manuals.
"""

from __future__ import annotations

import functools
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from msgspec import Struct

from netpulse.rules.targets import REMEMBERED


class AddressPolicy(Struct, frozen=True, kw_only=True):
    """What an organization may reach."""

    allow_private: bool = True
    """Private, loopback and other addresses that are not of the public internet."""
    own: frozenset[tuple[str, int]] = frozenset()
    """(address, port) where NetPulse itself listens, each address in its canonical form. A
    wildcard (0.0.0.0 or ::) stands for loopback; the host's other addresses are listed beside it.
    """


_ALWAYS_4: tuple[tuple[IPv4Network, str], ...] = (
    (IPv4Network("0.0.0.0/8"), "an unspecified address"),
    (IPv4Network("100.100.100.200/32"), "a cloud metadata address"),
    (IPv4Network("168.63.129.16/32"), "a cloud metadata address"),
    (IPv4Network("169.254.169.254/32"), "a cloud metadata address"),
    (IPv4Network("169.254.170.2/32"), "a cloud metadata address"),
    (IPv4Network("169.254.170.23/32"), "a cloud metadata address"),
    (IPv4Network("192.0.0.192/32"), "a cloud metadata address"),
    (IPv4Network("169.254.0.0/16"), "a link-local address"),
    (IPv4Network("224.0.0.0/4"), "a multicast address"),
    (IPv4Network("255.255.255.255/32"), "a broadcast address"),
)
_ALWAYS_6: tuple[tuple[IPv6Network, str], ...] = (
    (IPv6Network("::/128"), "an unspecified address"),
    (IPv6Network("fd00:ec2::254/128"), "a cloud metadata address"),
    (IPv6Network("fd00:ec2::23/128"), "a cloud metadata address"),
    (IPv6Network("fd00:42::42/128"), "a cloud metadata address"),
    (IPv6Network("fd20:ce::254/128"), "a cloud metadata address"),
    (IPv6Network("fe80::/10"), "a link-local address"),
    (IPv6Network("ff00::/8"), "a multicast address"),
)
_PRIVATE_4: tuple[tuple[IPv4Network, str], ...] = (
    (IPv4Network("127.0.0.0/8"), "a loopback address"),
    (IPv4Network("10.0.0.0/8"), "a private address"),
    (IPv4Network("172.16.0.0/12"), "a private address"),
    (IPv4Network("192.168.0.0/16"), "a private address"),
    (IPv4Network("100.64.0.0/10"), "a shared (carrier NAT) address"),
    (IPv4Network("192.0.0.0/24"), "a reserved address"),
    (IPv4Network("192.0.2.0/24"), "a documentation address"),
    (IPv4Network("198.51.100.0/24"), "a documentation address"),
    (IPv4Network("203.0.113.0/24"), "a documentation address"),
    (IPv4Network("192.88.99.0/24"), "a reserved address"),
    (IPv4Network("198.18.0.0/15"), "a benchmarking address"),
    (IPv4Network("240.0.0.0/4"), "a reserved address"),
)
_PRIVATE_6: tuple[tuple[IPv6Network, str], ...] = (
    (IPv6Network("::1/128"), "a loopback address"),
    (IPv6Network("fc00::/7"), "a private address"),
    (IPv6Network("fec0::/10"), "a site-local address"),
    (IPv6Network("100::/64"), "a discard-only address"),
    (IPv6Network("100:0:0:1::/64"), "a reserved address"),
    (IPv6Network("2001::/23"), "a reserved address"),
    (IPv6Network("2001:db8::/32"), "a documentation address"),
    (IPv6Network("3fff::/20"), "a documentation address"),
    (IPv6Network("5f00::/16"), "a segment-routing address"),
)
_GLOBAL_6 = IPv6Network("2000::/3")
_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE = IPv6Network("::/96")


def refusal(address: str, port: int, policy: AddressPolicy) -> str | None:
    """Return why `address` must not be dialled on `port`, in words, or None if it may be.

    `address` is what the socket is about to connect to, never a name. Always refused: link-local,
    cloud metadata, multicast, unspecified, and where NetPulse itself listens.
    """
    always, private, forms = _judged(address)
    if always is not None:
        return f"{address} is {always}: always blocked"
    if policy.own and any(_is_own(form, port, policy.own) for form in forms):
        return f"{address}:{port} is where NetPulse itself listens: always blocked"
    if private is not None and not policy.allow_private:
        return f"{address} is {private}: this organization may only reach public addresses"
    return None


@functools.lru_cache(maxsize=REMEMBERED)
def _judged(address: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return why never, why not for strangers, and the address's forms (the hidden ones too)."""
    try:
        outer = ip_address(address)
    except ValueError:
        return "not an IP address", None, (address,)
    if isinstance(outer, IPv6Address) and outer.scope_id is not None:
        return "an address with a zone id", None, (address,)
    always = private = None
    inner = hidden(outer) if isinstance(outer, IPv6Address) else []
    seen: list[IPv4Address | IPv6Address] = [*inner, outer]
    for form in seen:
        always = always or _always(form)
        private = private or _private(form)
    # A mapped address is the IPv4 address, and the well-known NAT64 prefix is how a host without
    # IPv4 reaches it. Every other disguise is a road of its own: not for strangers.
    if isinstance(outer, IPv6Address) and inner and not _plain(outer):
        private = private or "an address inside another"
    return always, private, tuple(str(form) for form in seen)


def hidden(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address carries (RFC 4291, 6052, 8215, 3056, 4380)."""
    number = int(address)
    low = IPv4Address(number & 0xFFFF_FFFF)
    if address in _MAPPED or address in _NAT64 or address in _TRANSLATED:
        return [low]
    if address in _NAT64_LOCAL:
        # A prefix of 48 to 96 bits may follow; each puts the address elsewhere (RFC 6052, 2.2),
        # stepping over the eight bits from the 64th on.
        after_48 = IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        after_56 = IPv4Address((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFF_FFFF)
        after_64 = IPv4Address(number >> 24 & 0xFFFF_FFFF)
        candidates = [after_48, after_56, after_64, low]
        # All but one are read from the wrong place, mostly from zeros: those say nothing.
        return [found for found in candidates if found not in _ALWAYS_4[0][0]] or [low]
    if address in _SIX_TO_FOUR:
        return [IPv4Address(number >> 80 & 0xFFFF_FFFF)]
    if address in _TEREDO:
        return [IPv4Address(number >> 64 & 0xFFFF_FFFF), IPv4Address(~number & 0xFFFF_FFFF)]
    if address in _COMPATIBLE and number > 1:
        return [low]
    if number >> 32 & 0xFFFF_FFFF in {0x5EFE, 0x0200_5EFE}:  # ISATAP, RFC 5214
        return [low]
    return []


def _always(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((why for network, why in _ALWAYS_4 if address in network), None)
    return next((why for network, why in _ALWAYS_6 if address in network), None)


def _private(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((why for network, why in _PRIVATE_4 if address in network), None)
    found = next((why for network, why in _PRIVATE_6 if address in network), None)
    if found is not None or address in _GLOBAL_6 or _plain(address):
        return found
    return "an address outside the public internet"


def _plain(address: IPv6Address) -> bool:
    """Tell whether an address is just another way to the IPv4 address in it."""
    return address in _MAPPED or address in _NAT64


def _is_own(address: str, port: int, own: frozenset[tuple[str, int]]) -> bool:
    if (address, port) in own:
        return True
    wildcard = ("0.0.0.0", port) in own or ("::", port) in own  # noqa: S104 (compared, not bound)
    return wildcard and (address == "::1" or address.startswith("127."))
