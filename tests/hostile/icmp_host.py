"""A host that answers pings as it likes, in a network of its own: Linux and root only.

Every address of 198.51.100.0/24 and fd78::/64 is there. The kernel of that side is mute; what is
sent is made here, byte by byte.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import functools
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netpulse.egress.echo import checksum
from tests import netns
from tests.hostile.rows import Serve

_CAP_NET_RAW = 13
_IPV6_FREEBIND = 78
_LIBC = ctypes.CDLL(None, use_errno=True)
_EVERYBODY, _NOBODY = "0 2147483647", "1 0"
_NUMBERS = itertools.count(10)
SOMEBODY_ELSE = {4: "198.51.100.9", 6: "fd78::9"}


# ---------------------------------------------------------------- the network


@functools.cache
def network() -> netns.Namespaces:
    """Return the two ends of a cable, made at the first use and gone with the process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    made = stack.enter_context(netns.Namespaces([], "np-icmp").made())
    for name, end in ((made.here, "fd77::2/64"), (made.there, "fd77::1/64")):
        cable = "cable0" if name == made.here else "cable1"
        netns.ip("-n", name, "addr", "add", end, "dev", cable, "nodad")
    for prefix in ("fd78::/64", "fd79::/64"):
        netns.ip("-n", made.here, "route", "add", prefix, "via", "fd77::1")
    for prefix in ("198.51.100.0/24", "fd78::/64"):
        netns.ip("-n", made.there, "route", "add", "local", prefix, "dev", "lo")
    netns.ip("-n", made.there, "route", "add", "unreachable", "203.0.113.0/24")
    netns.ip("-n", made.there, "route", "add", "blackhole", "192.0.2.0/24")
    netns.ip("-n", made.there, "route", "add", "prohibit", "fd79::/64")
    with made.inside(made.there):
        for place, value in (
            ("ipv4/ip_forward", "1"),
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv4/icmp_echo_ignore_all", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/icmp/ratelimit", "0"),
            ("ipv6/icmp/echo_ignore_all", "1"),
        ):
            _set(place, value)
    return made


def _set(place: str, value: str) -> None:
    """Set a value of the network namespace that this thread is in."""
    (Path("/proc/sys/net") / place).write_text(value)


@contextlib.asynccontextmanager
async def raw_only() -> AsyncIterator[None]:
    """Let nobody ping but who may open a raw socket, in the namespace that this thread is in."""
    _set("ipv4/ping_group_range", _NOBODY)
    try:
        yield
    finally:
        _set("ipv4/ping_group_range", _EVERYBODY)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Take CAP_NET_RAW from this thread for a while (capabilities(7))."""
    header = struct.pack("=Ii", 0x2008_0522, 0)
    before = ctypes.create_string_buffer(24)
    assert _LIBC.capget(header, before) == 0
    effective, *rest = struct.unpack("=6I", before.raw)
    without = struct.pack("=6I", effective & ~(1 << _CAP_NET_RAW), *rest)
    assert _LIBC.capset(header, without) == 0
    try:
        yield
    finally:
        assert _LIBC.capset(header, before.raw) == 0


# ---------------------------------------------------------------- the host


@dataclass(frozen=True)
class Echo:
    """A ping that arrived."""

    version: int
    ident: int
    sequence: int
    payload: bytes
    quote: bytes
    """The packet with its IP header, as errors quote it."""
    number: int
    """The how manieth it is, from 0."""


@dataclass(frozen=True)
class Packet:
    """What is sent back."""

    kind: int
    code: int
    rest: bytes
    """All behind the checksum."""
    delay: float = 0.0
    source: str | None = None
    """Another address than the one that was asked."""
    broken: bool = False
    """With a wrong checksum."""


Answer = Callable[[Echo], list[Packet]]


def reply(
    echo: Echo,
    *,
    ident: int = 0,
    sequence: int = 0,
    payload: bytes | None = None,
    code: int = 0,
    **more: object,
) -> Packet:
    """Return the right reply, or one that differs: `ident` and `sequence` are flipped bits."""
    kept = echo.payload if payload is None else payload
    rest = struct.pack("!HH", echo.ident ^ ident, echo.sequence ^ sequence) + kept
    return Packet(0 if echo.version == 4 else 129, code, rest, **more)  # type: ignore[arg-type]


def error(echo: Echo, kind: int, code: int, quote: bytes | None = None) -> Packet:
    """Return an ICMP error about the ping."""
    return Packet(kind, code, bytes(4) + (echo.quote if quote is None else quote))


class Host:
    """Answers the pings to one address."""

    def __init__(self, made: netns.Namespaces, address: str, answer: Answer) -> None:
        self._address = address
        self._answer = answer
        self._version = 6 if ":" in address else 4
        self._number = 0
        self._later: list[asyncio.TimerHandle] = []
        with made.inside(made.there):
            if self._version == 4:
                self._heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                self._sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            else:
                protocol = socket.IPPROTO_ICMPV6
                self._heard = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
                self._sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
                self._heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        self._heard.setblocking(False)
        asyncio.get_running_loop().add_reader(self._heard.fileno(), self._hear)

    def close(self) -> None:
        """Answer no more."""
        asyncio.get_running_loop().remove_reader(self._heard.fileno())
        for handle in self._later:
            handle.cancel()
        self._heard.close()
        self._sock.close()

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            packet, control, _, source = self._heard.recvmsg(2048, 256)
            if self._version == 4:
                to, header, icmp = socket.inet_ntoa(packet[16:20]), packet[:20], packet[20:]
            else:
                info = next(data for _, kind, data in control if kind == socket.IPV6_PKTINFO)
                to = socket.inet_ntop(socket.AF_INET6, info[:16])
                asker = socket.inet_pton(socket.AF_INET6, source[0])
                length = struct.pack("!IHBB", 6 << 28, len(packet), socket.IPPROTO_ICMPV6, 64)
                header, icmp = length + asker + info[:16], packet
            if to != self._address or icmp[0] != (8 if self._version == 4 else 128):
                return
            ident, sequence = struct.unpack_from("!HH", icmp, 4)
            echo = Echo(self._version, ident, sequence, icmp[8:], header + icmp, self._number)
            self._number += 1
            for each in self._answer(echo):
                send = functools.partial(self._send, each, source[0])
                self._later.append(asyncio.get_running_loop().call_later(each.delay, send))

    def _send(self, packet: Packet, to: str) -> None:
        icmp = bytes([packet.kind, packet.code]) + bytes(2) + packet.rest
        source = packet.source or self._address
        if self._version == 6:
            info = socket.inet_pton(socket.AF_INET6, source) + struct.pack("=I", 0)
            control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
            self._sock.sendmsg([icmp], control, 0, (to, 0))
            return
        summed = checksum(icmp) ^ (0x5555 if packet.broken else 0)
        icmp = icmp[:2] + struct.pack("!H", summed) + icmp[4:]
        ends = socket.inet_aton(source) + socket.inet_aton(to)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
        self._sock.sendto(head + ends + icmp, (to, 0))


def far(answer: Answer | None = None, *, target: str = "", six: bool = False) -> Serve:
    """Return how to have `answer` answer at an address of its own; or how to ping `target`."""
    number = next(_NUMBERS)
    address = target or (f"fd78::{number:x}" if six else f"198.51.100.{number}")

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        made = network()
        host = None if answer is None else Host(made, address, answer)
        try:
            with made.inside(made.here):
                _set("ipv4/ping_group_range", _EVERYBODY)
                yield address
        finally:
            if host is not None:
                host.close()

    return serve


@contextlib.asynccontextmanager
async def forbidden() -> AsyncIterator[str]:
    """A system that lets nobody ping, and us open no raw socket."""
    async with far(target="198.51.100.1")() as target, raw_only():
        with unprivileged():
            yield target
