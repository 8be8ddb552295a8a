"""What this host knows of its own way to an address; nothing is sent to find out."""

from __future__ import annotations

import errno
import socket
from enum import StrEnum
from pathlib import Path

_UP, _REJECT = 0x1, 0x200
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


class Way(StrEnum):
    """How packets to an address go."""

    OUT = "out"
    """To another host."""
    HERE = "here"
    """The address is this host's own."""
    NONE = "none"
    """No route leads there."""


def way_to(address: str) -> Way:
    """Return how packets to `address` (not a name) would go just now.

    Connecting a datagram socket sends nothing: it looks the route up and picks our address on it,
    which is the target's own where that is this host.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, 9))
            ours = str(asked.getsockname()[0])
    except OSError as error:
        return Way.NONE if error.errno in _NO_ROUTE else Way.OUT
    return Way.HERE if ours == address else Way.OUT


def has_default_route(proc: Path = Path("/proc/net")) -> bool | None:
    """Tell whether this host has a default route, for IPv4 or IPv6; None where it cannot be told.

    Args:
        proc: where the kernel shows its tables `route` and `ipv6_route` (proc(5)).
    """
    tables = {}
    for name in ("route", "ipv6_route"):
        try:
            tables[name] = (proc / name).read_text("ascii").splitlines()
        except OSError:
            continue
    if not tables:
        return None
    four = (line.split() for line in tables.get("route", [])[1:])
    six = (line.split() for line in tables.get("ipv6_route", []))
    return any(
        len(row) > 7 and row[1] == row[7] == "00000000" and _usable(int(row[3], 16)) for row in four
    ) or any(
        len(row) > 9
        and row[1] == "00"
        and not row[0].strip("0")
        and row[9] != "lo"
        and _usable(int(row[8], 16))
        for row in six
    )


def _usable(flags: int) -> bool:
    return bool(flags & _UP) and not flags & _REJECT
