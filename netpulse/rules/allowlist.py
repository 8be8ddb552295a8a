"""The list of networks from which a person may come."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from msgspec import Struct

MOST = 50
"""Entries of one list."""


class Problem(Struct, frozen=True):
    """What is wrong with one entry, as a sentence without its end."""

    index: int
    message: str


def read(texts: Iterable[str]) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the entries in their usual spelling, each once, and what is wrong with the others.

    An entry is an address or a network in CIDR notation. IPv4 inside IPv6 (`::ffff:192.0.2.1`) is
    taken as the IPv4 that it is, because that is how such a client is seen.
    """
    found: list[str] = []
    problems: list[Problem] = []
    for index, text in enumerate(texts):
        entry = text.strip()
        try:
            usual = _usual(entry)
        except ValueError as error:
            problems.append(Problem(index, str(error)))
        else:
            if usual not in found:
                found.append(usual)
    return tuple(found), problems


def _usual(entry: str) -> str:
    """Return an entry in its usual spelling.

    Raises:
        ValueError: it is none; the text says what to write instead.
    """
    shown = entry[:60]
    if "/" not in entry:
        try:
            address = ipaddress.ip_address(entry)
        except ValueError:
            raise ValueError(
                f"{shown!r} is no address or network such as 192.0.2.7 or 192.0.2.0/24"
            ) from None
        if isinstance(address, ipaddress.IPv6Address):
            if address.scope_id is not None:
                raise ValueError(f"{shown!r} names an interface; leave out what begins with %")
            if address.ipv4_mapped is not None:
                return str(address.ipv4_mapped)
        return str(address)
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(f"{shown!r} is no network such as 192.0.2.0/24 or 2001:db8::/32") from None
    if str(network.network_address) != str(ipaddress.ip_address(entry.partition("/")[0])):
        raise ValueError(f"{shown!r} has bits beyond its prefix; did you mean {network}?")
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return f"{mapped}/{network.prefixlen - 96}"
    return str(network)
