"""Echo packets: built, and read from whoever sends them (RFC 792, RFC 4443). Pure."""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
from typing import NamedTuple

from icmplib import ICMPReply  # type: ignore[import-untyped]  # it carries no types
from icmplib.exceptions import ICMPError  # type: ignore[import-untyped]  # the same

TOKEN_BYTES = 16
_PAYLOAD_BYTES = 56
"""What ping sends; some devices drop shorter ones."""
PACKET_BYTES = 8 + _PAYLOAD_BYTES
_HEADER = struct.Struct("!BBHHH")
_START = struct.Struct("!BBH")
_PACKET = struct.Struct(f"!BBHHH{_PAYLOAD_BYTES}s")

_ASK_4, _ASK_6 = 8, 128
_V4_ERRORS = frozenset({3, 11, 12})
_V6_ERRORS = frozenset({1, 2, 3, 4})

# Words for scripts, by ICMP type and code; the sentences are icmplib's.
_DETAILS: dict[tuple[int, int, int], str] = {
    (4, 3, 0): "network",
    (4, 3, 1): "host",
    (4, 3, 2): "protocol",
    (4, 3, 3): "port",
    (4, 3, 6): "network",
    (4, 3, 7): "host",
    (4, 3, 9): "prohibited",
    (4, 3, 10): "prohibited",
    (4, 3, 13): "prohibited",
    (4, 11, 0): "ttl_exceeded",
    (6, 1, 0): "network",
    (6, 1, 1): "prohibited",
    (6, 1, 3): "host",
    (6, 1, 4): "port",
    (6, 1, 5): "prohibited",
    (6, 1, 6): "prohibited",
    (6, 3, 0): "ttl_exceeded",
}


class EchoReply(NamedTuple):
    """An echo that came back."""

    ident: int
    sequence: int
    payload: bytes


class EchoTrouble(NamedTuple):
    """Somebody's word that our echo request did not arrive."""

    type: int
    code: int
    ident: int
    sequence: int
    destination: str | None
    """Where the request was going; None where the packet does not tell."""


def exchange(family: int, key: tuple[int, int], token: bytes) -> tuple[bytes, bytes]:
    """Return an echo request of an identifier and sequence number that carries `token`, and the
    reply to it.

    Over IPv6 the kernel sums both; what the reply will be is left empty. The token has an even
    number of bytes.
    """
    ident, sequence = key
    if family == socket.AF_INET6:
        return _PACKET.pack(_ASK_6, 0, 0, ident, sequence, token), b""
    # As `checksum` has it, once for both, of what is not zero: the kind of a request is 8, in the
    # upper byte, and that of a reply 0.
    summed = (int.from_bytes(token, "big") + ident + sequence) % 0xFFFF
    asked = (summed + (_ASK_4 << 8)) % 0xFFFF
    request = _PACKET.pack(_ASK_4, 0, 0xFFFF - asked if asked else 0, ident, sequence, token)
    replied = 0xFFFF - summed if summed or not any(request[4:]) else 0
    return request, _START.pack(0, 0, replied) + request[4:]


def checksum(data: bytes) -> int:
    """Return the internet checksum (RFC 1071); 0 for a packet that carries its right one."""
    if len(data) % 2:
        data += b"\0"
    # A sum of 16 bit words whose carries are added on is a remainder by 0xFFFF; of what that
    # divides it is 0xFFFF, or 0 where all words are.
    rest = int.from_bytes(data, "big") % 0xFFFF
    return 0xFFFF - rest if rest or not any(data) else 0


def read(family: int, packet: bytes, *, raw: bool) -> EchoReply | EchoTrouble | None:
    """Return what an ICMP packet says about an echo; None for anything else, or for rubbish.

    `raw`: it came from a raw socket, which over IPv4 leaves the IP header on and verifies nothing.
    """
    if family == socket.AF_INET6:
        return _read(6, packet)
    if raw:
        start = _ipv4_header(packet)
        if start is None:
            return None
        packet = packet[start:]
        if checksum(packet) != 0:
            return None
    return _read(4, packet)


def _read(version: int, packet: bytes) -> EchoReply | EchoTrouble | None:
    if len(packet) < _HEADER.size:
        return None
    kind, code, _, ident, sequence = _HEADER.unpack_from(packet)
    if kind == (0 if version == 4 else 129):
        return EchoReply(ident, sequence, packet[_HEADER.size :]) if code == 0 else None
    if version == 4:
        return _trouble_v4(kind, code, packet[8:]) if kind in _V4_ERRORS else None
    return _trouble_v6(kind, code, packet[8:]) if kind in _V6_ERRORS else None


def _trouble_v4(kind: int, code: int, inner: bytes) -> EchoTrouble | None:
    start = _ipv4_header(inner)
    if start is None or inner[9] != socket.IPPROTO_ICMP:
        return None
    return _request_in(4, kind, code, inner[start:], socket.inet_ntop(socket.AF_INET, inner[16:20]))


def _trouble_v6(kind: int, code: int, inner: bytes) -> EchoTrouble | None:
    # A request of ours has no extension headers.
    if len(inner) < 40 or inner[0] >> 4 != 6 or inner[6] != socket.IPPROTO_ICMPV6:
        return None
    destination = socket.inet_ntop(socket.AF_INET6, inner[24:40])
    return _request_in(6, kind, code, inner[40:], destination)


def _request_in(
    version: int, kind: int, code: int, inner: bytes, destination: str | None
) -> EchoTrouble | None:
    if len(inner) < _HEADER.size:
        return None
    wanted, _, _, ident, sequence = _HEADER.unpack_from(inner)
    if wanted != (8 if version == 4 else 128):
        return None
    return EchoTrouble(kind, code, ident, sequence, destination)


def read_queued(family: int, sent: bytes, control: bytes) -> EchoTrouble | None:
    """Return what Linux queued about a request of a datagram socket (ip(7), IP_RECVERR).

    `sent` is the packet that the trouble is about, `control` a struct sock_extended_err.
    """
    if len(control) < 16:
        return None
    origin, kind, code = control[4], control[5], control[6]
    version = 6 if family == socket.AF_INET6 else 4
    if origin != (3 if version == 6 else 2) or kind not in (
        _V6_ERRORS if version == 6 else _V4_ERRORS
    ):
        return None
    return _request_in(version, kind, code, sent, None)


def _ipv4_header(packet: bytes) -> int | None:
    """Return the length of the IPv4 header that a packet begins with; None if it has none."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    length = (packet[0] & 0x0F) * 4
    return length if 20 <= length <= len(packet) else None


def explain(family: int, trouble: EchoTrouble, source: str) -> tuple[str, str]:
    """Return a word and a few words for what `source` said of a request."""
    version = 6 if family == socket.AF_INET6 else 4
    reply = ICMPReply(
        source=source,
        family=version,
        id=trouble.ident,
        sequence=trouble.sequence,
        type=trouble.type,
        code=trouble.code,
        bytes_received=0,
        time=0.0,
    )
    said = "no reason given"
    try:
        reply.raise_for_status()
    except ICMPError as error:
        said = str(error).replace("prohibed", "prohibited")
        said = said[:1].lower() + said[1:]
    detail = _DETAILS.get(
        (version, trouble.type, trouble.code), f"icmp_{trouble.type}_{trouble.code}"
    )
    return detail, said


@functools.lru_cache(maxsize=32_768)
def plain(address: str) -> str:
    """Return an address in its usual spelling, without a zone."""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return address
