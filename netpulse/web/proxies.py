"""Who is really asking, and how they reached us, when a reverse proxy stands between.

X-Forwarded-* is only believed from the networks in `server.trusted_proxies`; of the addresses in
X-Forwarded-For the right-most one that is not such a proxy counts, because everything left of it
was written by a stranger (litestar's own limiter read the peer or the first entry:
CVE-2025-59152).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from msgspec import Struct

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(Struct, frozen=True, gc=False):
    """Where a request came from."""

    ip: str
    """The client's address; empty on a unix socket without a proxy."""
    is_https: bool
    host: str
    """The Host the client asked for, with its port; lower case."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks written as CIDR in `texts`. Raises ValueError on anything else."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def parse(text: str) -> Address | None:
    """Return the address in `text`, an IPv4-mapped one as IPv4; None if it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def within(text: str, nets: Sequence[Network]) -> bool:
    """Tell whether the address `text` lies in one of `nets`."""
    address = parse(text)
    return address is not None and any(address in net for net in nets)


def bucket(ip: str) -> str:
    """Return what the login limiter counts by: the IPv4 address, or the /64 of an IPv6 one."""
    address = parse(ip)
    if address is None:
        return ip or "local"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def wide_bucket(ip: str) -> str:
    """Return the network that one party is taken to hold: the IPv4 address, or the /48 of an IPv6
    one, which is what a single customer is given (RFC 6177)."""
    address = parse(ip)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 80 << 80, 48)))
    return bucket(ip)


def origin_of(
    peer: str, scheme: str, headers: Sequence[tuple[bytes, bytes]], trusted: Sequence[Network]
) -> Origin:
    """Return where a request came from, given the connection's peer and the trusted proxies."""
    address = parse(peer)
    ip = str(address) if address is not None else peer
    is_https = scheme == "https"
    host = _last(headers, b"host")
    # A peer without an address is a unix socket: only a proxy on this machine connects there.
    if trusted and (address is None or any(address in net for net in trusted)):
        ip = _rightmost_stranger(_all(headers, b"x-forwarded-for"), trusted) or ip
        proto = _last(headers, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
        if proto in ("http", "https"):
            is_https = proto == "https"
        host = _last(headers, b"x-forwarded-host").rpartition(",")[2].strip() or host
    return Origin(ip, is_https, host.lower())


def _rightmost_stranger(hops: list[str], trusted: Sequence[Network]) -> str | None:
    nearest = None
    for hop in reversed(hops):
        address = parse(hop)
        if address is None:
            return nearest
        nearest = str(address)
        if not any(address in net for net in trusted):
            return nearest
    return nearest


def _all(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    joined = ",".join(value.decode("latin-1") for key, value in headers if key == name)
    return [part.strip() for part in joined.split(",") if part.strip()]


def _last(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    found = ""
    for key, value in headers:
        if key == name:
            found = value.decode("latin-1")
    return found
