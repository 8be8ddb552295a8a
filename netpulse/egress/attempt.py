"""One attempt to connect to one address. It is begun at once, and waited for only where it does not
stand by then: on this host and on a fast network it does."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from netpulse.egress.resolver import Address
from netpulse.egress.trouble import from_connect, from_local
from netpulse.egress.watch import watch

LOOK_AGAIN = errno.EINPROGRESS
"""What the first look says of a connection that may stand by the second."""
_NOT_YET = frozenset({errno.EINPROGRESS, errno.EALREADY})
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Attempt:
    """A non-blocking TCP socket on its way to an address. Whoever has it closes `sock`."""

    __slots__ = ("_began", "address", "connect_ms", "port", "sock", "stands")

    def __init__(self, address: Address, port: int) -> None:
        """Begin.

        Raises:
            DialError: it is refused, or cannot even begin.
        """
        self.address = address
        self.port = port
        self._began = time.perf_counter()
        try:
            # The system's socket without Python's class around it: a third of its cost.
            self.sock = sock = socket.SocketType(address.family, _STREAM)
        except OSError as error:
            raise from_local(error) from None
        # By ourselves: the loop's own sock_connect costs as much as all the rest of a connection.
        try:
            number = sock.connect_ex((address.text, port))
            if number == LOOK_AGAIN:
                # Which is nothing beside waiting.
                number = sock.connect_ex((address.text, port))
        except OSError as error:
            # Not the system says so, but an audit hook of this process (PEP 578).
            number = error.errno or errno.EPERM
        self.stands = not number
        if number not in _NOT_YET:
            self._ended(number)

    async def standing(self) -> socket.SocketType:
        """Return the socket once it is connected. Where that fails, or whoever waits is cancelled,
        it is closed.

        Raises:
            DialError: the address does not answer.
        """
        if not self.stands:
            try:
                await watch().writable(self.sock.fileno())
            except BaseException:
                self.sock.close()
                raise
            self.decided()
        return self.sock

    def decided(self) -> None:
        """Note what became of it, once the socket is writable.

        Raises:
            DialError: the address does not answer; the socket is closed.
        """
        self._ended(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        self.stands = True

    def _ended(self, number: int) -> None:
        """Note the end of waiting, with the system's word for it: 0 where it stands."""
        self.connect_ms = (time.perf_counter() - self._began) * 1000
        if number:
            self.sock.close()
            error = OSError(number, os.strerror(number))
            address = self.address
            raise from_connect(error, address.family, address.text, self.port) from None


def drop(sock: socket.SocketType) -> None:
    """Close a connection that the far side has not closed, by a reset: it would else keep a local
    port for a minute, and there are 28,000 of them.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        sock.close()
