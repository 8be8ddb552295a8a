"""What can go wrong on the way out, in the closed list's words, and whose fault it is."""

from __future__ import annotations

import errno
import socket

from netpulse.model.check import Certificate, Failure

OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
"""The last of them: fs.epoll.max_user_watches, the sockets that one user may wait for."""
OWN_PERMISSIONS = frozenset({errno.EACCES, errno.EPERM})
RESETS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
NO_WAY = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
    }
)
# ICMP "protocol unreachable", "host isolated" and their like arrive as these.
REFUSED_ON_THE_WAY = frozenset({errno.ENOPROTOOPT, errno.EPROTO, errno.ENONET})


class DialError(Exception):
    """No connection, or none that may be used.

    `failure` is the word of the closed list, `detail` refines it, `message` is a sentence a
    person can act on. `address` is the one dialled last, if any.
    """

    def __init__(
        self, failure: Failure, detail: str | None, message: str, *, address: str | None = None
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.detail = detail
        self.message = message
        self.address = address
        self.certificate: Certificate | None = None
        """What the far side showed, where a certificate was the trouble."""


def shown_endpoint(address: str, port: int) -> str:
    """Return an address and a port as people write them: 192.0.2.7:443, [2001:db8::1]:443."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def family_name(family: int) -> str:
    """Return ``IPv4`` or ``IPv6`` for a socket family."""
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


def from_connect(error: OSError, family: int, address: str, port: int) -> DialError:
    """Return what an error of connecting a TCP socket to `address` means.

    An errno that has no place here is no target's doing: `error` is raised again.
    """
    code = error.errno
    told: tuple[Failure, str | None, str]
    where = shown_endpoint(address, port)
    if code == errno.ECONNREFUSED:
        told = (Failure.REFUSED, None, f"connection refused by {where}")
    elif code in RESETS:
        told = (Failure.RESET, None, f"{where} reset the connection while it was being made")
    elif code == errno.ETIMEDOUT:
        told = (Failure.TIMEOUT, "connect", f"{where} did not answer the connection attempt")
    elif code in OWN_LIMITS or code in OWN_PERMISSIONS:
        told = _own(error)
    elif code in NO_WAY:
        told = _no_way(error, family, address, port)
    elif code in REFUSED_ON_THE_WAY:
        told = (Failure.UNREACHABLE, None, f"{where} cannot be reached: {error.strerror}")
    else:
        raise error
    return DialError(*told, address=address)


def broken(error: OSError, name: str, when: str) -> tuple[Failure, str]:
    """Return what an error on a standing connection with `name` means, and a sentence that ends
    with `when`.

    An errno that has no place here is no target's doing: `error` is raised again.
    """
    if isinstance(error, ConnectionError):
        return Failure.RESET, f"{name} reset the connection {when}"
    if error.errno == errno.ETIMEDOUT:
        return Failure.TIMEOUT, f"{name} went silent {when}"
    if error.errno in NO_WAY:
        return Failure.UNREACHABLE, f"{name} could not be reached any more {when}"
    raise error


def from_local(error: OSError) -> DialError:
    """Return what an error before any packet left means: our limits, or our permissions.

    Any other error is raised again.
    """
    if error.errno in OWN_LIMITS or error.errno in OWN_PERMISSIONS:
        return DialError(*_own(error))
    if error.errno == errno.EAFNOSUPPORT:
        return DialError(Failure.OWN_NETWORK, "no_route", "this host has no IPv6")
    raise error


def _own(error: OSError) -> tuple[Failure, str, str]:
    word = errno.errorcode.get(error.errno or 0, "").lower()
    if error.errno in OWN_PERMISSIONS:
        return (
            Failure.OWN_PERMISSION,
            word,
            f"this host does not let NetPulse connect ({error.strerror}); look at its firewall",
        )
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return (
            Failure.OWN_LIMIT,
            word,
            "NetPulse has no file descriptor left for this check; raise LimitNOFILE (ulimit -n)",
        )
    return (
        Failure.OWN_LIMIT,
        word,
        f"this host has nothing left to connect with: {error.strerror}",
    )


def _no_way(
    error: OSError, family: int, address: str, port: int
) -> tuple[Failure, str | None, str]:
    """Tell our own missing route from a network that answers "unreachable".

    Connecting a datagram socket sends nothing and only looks the route up: where that works, the
    word came from outside (an ICMP answer, or a neighbour that does not exist).
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, port))
    except OSError as ours:
        if ours.errno in OWN_LIMITS:
            return _own(ours)
        if ours.errno == errno.EACCES:
            return (Failure.UNREACHABLE, "broadcast", f"{address} is a broadcast address")
        name = family_name(family)
        return (
            Failure.OWN_NETWORK,
            "no_route",
            f"this host has no {name} route to {address}: {error.strerror}",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            Failure.OWN_LIMIT,
            "no_port_left",
            f"this host has no local port left for connections to {shown_endpoint(address, port)}",
        )
    if error.errno == errno.ENETDOWN:
        return (Failure.OWN_NETWORK, "network_down", "this host's network is down")
    where = shown_endpoint(address, port)
    return (Failure.UNREACHABLE, None, f"{where} cannot be reached: {error.strerror}")
