"""ICMP sockets: opened with or without privileges, and what the kernel says beside the packets."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import struct
import sys
from typing import Any

from icmplib import (  # type: ignore[import-untyped]  # it carries no types
    ICMPSocketError,
    ICMPv4Socket,
    ICMPv6Socket,
    SocketPermissionError,
)
from msgspec import Struct

from netpulse.egress.trouble import (
    NO_WAY,
    OWN_LIMITS,
    OWN_PERMISSIONS,
    DialError,
    family_name,
    from_local,
)
from netpulse.model.check import Failure

Control = list[tuple[int, int, bytes]]
"""What recvmsg gives beside the bytes: level, type, data."""

_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_ICMP_FILTER, _ICMP6_FILTER, _SOL_RAW = 1, 1, 255
_TIMESPEC = struct.Struct("@ll")
_TIMESPEC_BYTES = _TIMESPEC.size
_SOL_SOCKET = socket.SOL_SOCKET

PERMISSION = (
    "this host does not let NetPulse ping; as root, run: "
    'sysctl -w net.ipv4.ping_group_range="0 2147483647"'
)
"""What helps. A line in /etc/sysctl.d makes it last."""


class Trouble(Struct, frozen=True):
    """What somebody on the way said of a request."""

    detail: str
    said: str
    source: str


def opened(family: int) -> tuple[Any, bool]:
    """Return an ICMP socket (icmplib's), and whether it is a raw one."""
    kind = ICMPv6Socket if family == socket.AF_INET6 else ICMPv4Socket
    for raw in (False, True):
        try:
            return kind(privileged=raw), raw
        except SocketPermissionError:
            continue
        except ICMPSocketError as trouble:
            cause = trouble.__context__
            if not isinstance(cause, OSError):
                raise
            if cause.errno in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT} and not raw:
                continue
            raise from_local(cause) from None
    raise DialError(Failure.OWN_PERMISSION, "ping", PERMISSION)


def prepare(sock: socket.socket, *, raw: bool) -> None:
    """Make an ICMP socket what we need: not blocking, stamped, filtered, with its errors."""
    sock.setblocking(False)
    six = sock.family == socket.AF_INET6
    wishes: list[tuple[int, int, int | bytes]] = [
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20),
        (socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1),
        (socket.SOL_SOCKET, _SO_RXQ_OVFL, 1),
    ]
    if raw and six:
        wished = _mask(range(256), but=(1, 2, 3, 4, 129))
        wishes.append((socket.IPPROTO_ICMPV6, _ICMP6_FILTER, wished))
    elif raw:
        blocked = 0xFFFF_FFFF & ~sum(1 << kind for kind in (0, 3, 11, 12))
        wishes.append((_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked)))
    elif six:
        wishes.append((socket.IPPROTO_IPV6, _IPV6_RECVERR, 1))
    else:
        wishes.append((socket.IPPROTO_IP, _IP_RECVERR, 1))
    for level, option, value in wishes:
        # Each only saves work or sharpens a figure; what is heard is verified all the same.
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, value)


def identified(sock: socket.socket) -> int:
    """Give a datagram socket a random identifier, as its port, and return it."""
    anywhere = "::" if sock.family == socket.AF_INET6 else ""
    for _ in range(16):
        with contextlib.suppress(OSError):  # somebody pings under that one already
            sock.bind((anywhere, 1 + secrets.randbelow(0xFFFF)))
            break
    else:
        sock.bind((anywhere, 0))
    return int(sock.getsockname()[1])


def _mask(kinds: range, but: tuple[int, ...]) -> bytes:
    """Return a struct icmp6_filter that blocks all types except some (RFC 3542, 3.2)."""
    words = [0] * 8
    for kind in kinds:
        if kind not in but:
            words[kind >> 5] |= 1 << (kind & 31)
    return struct.pack("=8I", *words)


def unsent(error: OSError, family: int, address: str) -> DialError | Trouble:
    """Return what an error of sending means: mostly that we have no way there."""
    if error.errno == errno.EACCES:
        return Trouble("broadcast", "it is a broadcast address, or this host prohibits it", address)
    if error.errno in OWN_LIMITS or error.errno in OWN_PERMISSIONS:
        if error.errno == errno.EPERM:
            return DialError(
                Failure.OWN_PERMISSION,
                "eperm",
                f"this host's firewall does not let NetPulse ping {address}",
                address=address,
            )
        return from_local(error)
    # A blackhole among our own routes answers with EINVAL.
    if error.errno not in NO_WAY | {errno.EINVAL}:
        raise error
    return DialError(
        Failure.OWN_NETWORK,
        "network_down" if error.errno == errno.ENETDOWN else "no_route",
        f"this host has no {family_name(family)} route to {address}: {error.strerror}",
        address=address,
    )


def offender(data: bytes) -> str:
    """Return who sent the trouble: the sockaddr behind a struct sock_extended_err."""
    rest = data[16:]
    if len(rest) >= 8 and rest[:2] == struct.pack("=H", socket.AF_INET):
        return socket.inet_ntop(socket.AF_INET, rest[4:8])
    if len(rest) >= 24 and rest[:2] == struct.pack("=H", socket.AF_INET6):
        return socket.inet_ntop(socket.AF_INET6, rest[8:24])
    return "a router on the way"


def told(control: Control) -> tuple[int, float]:
    """Return how many packets the kernel threw away so far because we had not read others, and when
    it received this one (Unix seconds); 0 where it does not say."""
    if len(control) == 1:
        level, kind, data = control[0]
        if kind == _SO_TIMESTAMPNS and level == _SOL_SOCKET and len(data) == _TIMESPEC_BYTES:
            seconds, nanoseconds = _TIMESPEC.unpack(data)  # as nearly always
            return 0, seconds + nanoseconds / 1e9
    lost, stamp = 0, 0.0
    for level, kind, data in control:
        if level != socket.SOL_SOCKET:
            continue
        if kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            stamp = seconds + nanoseconds / 1e9
        elif kind == _SO_RXQ_OVFL and len(data) >= 4:
            lost = int.from_bytes(data[:4], sys.byteorder)
    return lost, stamp


def errors(control: Control) -> list[bytes]:
    """Return the structs sock_extended_err of the error queue (ip(7), ipv6(7))."""
    kinds = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}
    return [data for level, kind, data in control if (level, kind) in kinds]
