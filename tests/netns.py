"""Two network namespaces with a cable between them, for tests that pull it.

`here` is where the test's thread goes with `inside`; `there` has the targets. Linux and root only:
`why_not()` says what is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

_NEW_NETWORK = 0x4000_0000
_LIBC = ctypes.CDLL(None, use_errno=True)

CABLE = ("10.77.0.2", "10.77.0.1")
"""Our end, and theirs."""


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


def why_not() -> str | None:
    """Return why namespaces cannot be used here, or None."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "network namespaces need Linux and ip(8): apt-get install iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root: run as root"
    name = f"np-try-{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        return f"run as root with CAP_SYS_ADMIN: {error.stderr.decode().strip()}"
    ip("netns", "del", name)
    return None


class Namespaces:
    """`here` and `there`, joined by a cable; `there` answers at the addresses it is given."""

    def __init__(self, addresses: Sequence[str], name: str = "np") -> None:
        """`name` keeps those apart that one process has at the same time."""
        self.here = f"{name}-here-{os.getpid()}"
        self.there = f"{name}-there-{os.getpid()}"
        self.addresses = tuple(addresses)
        self.far_end = CABLE[1]
        """Where `there` answers on the cable itself."""

    @contextlib.contextmanager
    def made(self) -> Iterator[Namespaces]:
        """Make both, and remove them at the end."""
        try:
            for name in (self.here, self.there):
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            peer = ("peer", "name", "cable1", "netns", self.there)
            ip("-n", self.here, "link", "add", "cable0", "type", "veth", *peer)
            for name, end, address in zip(
                (self.here, self.there), ("cable0", "cable1"), CABLE, strict=True
            ):
                ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
                ip("-n", name, "link", "set", end, "up")
            ip("-n", self.here, "route", "add", "default", "via", CABLE[1])
            for address in self.addresses:
                self.answer(address)
            yield self
        finally:
            for name in (self.here, self.there):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def answer(self, address: str) -> None:
        """Have `there` answer at `address`."""
        ip("-n", self.there, "addr", "add", f"{address}/32", "dev", "lo")

    def fall_silent(self, address: str) -> None:
        """Have `there` drop whatever is sent to `address`."""
        ip("-n", self.there, "addr", "del", f"{address}/32", "dev", "lo")

    def pull(self) -> None:
        """Take our end of the cable down: its routes go with it."""
        ip("-n", self.here, "link", "set", "cable0", "down")

    def plug_in(self) -> None:
        """Bring our end up again, with the route it had."""
        ip("-n", self.here, "link", "set", "cable0", "up")
        ip("-n", self.here, "route", "add", "default", "via", CABLE[1])

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Have this thread make its sockets in a namespace; those made keep belonging to it."""
        with open("/proc/thread-self/ns/net") as before, open(f"/var/run/netns/{name}") as wanted:  # noqa: PTH123
            _enter(wanted.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def listening(self, port: int = 0) -> socket.socket:
        """Return a socket that listens `there`, at every address."""
        with self.inside(self.there):
            return socket.create_server(("0.0.0.0", port), backlog=64)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")
