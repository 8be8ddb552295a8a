"""The way to one name server for one question: a socket, and with it a source port, of its own."""

from __future__ import annotations

import functools
import socket

from netpulse.egress.connect import Egress
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError, from_connect, shown_endpoint
from netpulse.egress.watch import watch
from netpulse.model.check import Failure
from netpulse.rules.targets import REMEMBERED, Endpoint


@functools.lru_cache(maxsize=REMEMBERED)
def address_of(server: Endpoint) -> Address:
    """Return a name server's address."""
    return Address(socket.AF_INET6 if ":" in server.host else socket.AF_INET, server.host)


class Line:
    """The socket to one server."""

    __slots__ = ("_kept", "_sock", "descriptor", "server", "strays")

    def __init__(self, egress: Egress, server: Endpoint, *, ours: bool) -> None:
        """Open it; `ours`: the server is this host's own.

        Raises:
            DialError: it may not be asked, or cannot be.
        """
        self.server = server
        self.strays = 0
        """Packets that were ignored: a wrong id."""
        self._kept: bytes | OSError | None = None
        self._sock = egress.datagram(address_of(server), server.port, ours=ours)
        self.descriptor = self._sock.fileno()

    def send(self, wire: bytes) -> None:
        """Send a question.

        Raises:
            DialError: there is no way there.
        """
        try:
            self._sock.send(wire)
        except BlockingIOError:
            return  # the next turn sends again
        except OSError as error:
            raise self.unheard(error) from None

    def heard(self) -> bytes | OSError | None:
        """Return the next packet, or what the system says of the way there; None: nothing yet."""
        try:
            return self._sock.recv(65_535)
        except BlockingIOError:
            return None
        except OSError as error:
            return error

    def keep(self, heard: bytes | OSError) -> None:
        """Have what was heard be the next that arrives."""
        self._kept = heard

    async def arrived(self) -> bytes | OSError:
        """Wait for the next packet, or what the system says of the way there."""
        heard, self._kept = self._kept, None
        while heard is None:
            await watch().readable(self.descriptor)
            heard = self.heard()
        return heard

    def unheard(self, error: OSError) -> DialError:
        """Return what such a word of the system means."""
        host, port = self.server
        told = from_connect(error, address_of(self.server).family, host, port)
        if told.failure is Failure.REFUSED:
            told.message = f"{shown_endpoint(host, port)} refuses: no name server listens there"
        return told

    def close(self) -> None:
        """Hear nothing any more."""
        self._sock.close()
