"""A connection without TLS, read straight from its socket: nothing is allocated for it that it does
not need, which is half the cost of a plain check.

The loop watches the socket only while somebody waits for it. So what the far side sends in advance
stays in the kernel, which slows it down as it should.
"""

from __future__ import annotations

import asyncio
import socket

from netpulse.egress.attempt import drop
from netpulse.egress.watch import watch
from netpulse.model.check import Certificate

PIECE = 8_192
"""Bytes handed out at once: what parsing them costs bounds how long the loop is held."""


class PlainWire:
    """One connection, with what `TlsWire` has: `receive` gives what came, at most 8 KiB at once."""

    __slots__ = (
        "_drained",
        "_ended",
        "_error",
        "_fd",
        "_more",
        "_sock",
        "_unsent",
        "first_at",
    )

    certificate: Certificate | None = None
    tls_version: str | None = None

    def __init__(self, sock: socket.SocketType) -> None:
        """Take a connected, non-blocking socket, which is closed by `close` or `finish`."""
        self._sock = sock
        self._fd = sock.fileno()
        self._more = False
        """The last piece may not have been all that came."""
        self._ended = False
        self._error: OSError | None = None
        """What became of sending."""
        self._unsent = b""
        self._drained: asyncio.Future[None] | None = None
        self.first_at: float | None = None
        """`time.perf_counter` when there was something to read for the first time."""

    def send(self, data: bytes) -> None:
        """Send bytes; what becomes of them shows when receiving."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            # The far side has gone. The system says so only once: to whoever hears it first.
            self._error = error
            return
        if sent < len(data):
            self._unsent = data[sent:]
            asyncio.get_running_loop().add_writer(self._fd, self._send_on)

    def _send_on(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._error = error
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._fd)
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)

    async def receive(self) -> bytes:
        """Return the next bytes, or b"" when the far side has closed.

        Raises:
            OSError: the connection broke (a reset).
        """
        if self._ended:
            return b""
        if self._more:
            # Others have their turn between the pieces of what came at once.
            await asyncio.sleep(0)
        else:
            await self._readable()
        data = self._taken()
        while data is None:
            await self._readable()
            data = self._taken()
        self._more = len(data) == PIECE
        self._ended = not data
        if not data and self._error is not None:
            raise self._error
        return data

    def has_come(self) -> bool:
        """Tell whether there is something to receive already, an end for instance."""
        if self._ended:
            return True
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            # The system says so only once.
            self._error = error
        return True

    def _taken(self) -> bytes | None:
        try:
            return self._sock.recv(PIECE)
        except BlockingIOError:
            return None

    async def _readable(self) -> None:
        arrived = await watch().readable(self._fd)
        if self.first_at is None:
            # When it came and not when it is read: between the two others may have their turn.
            self.first_at = arrived

    def close(self) -> None:
        """Close at once. A connection that the far side has not closed is reset: it would else
        keep a local port for a minute, and there are 28,000 of them.
        """
        if self._fd < 0:
            return
        if self._unsent:
            asyncio.get_running_loop().remove_writer(self._fd)
        self._fd = -1
        if self._ended:
            self._sock.close()
        else:
            drop(self._sock)

    async def finish(self) -> None:
        """Close so that what was sent arrives; wait until the system has it all."""
        if self._unsent:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        if self._fd >= 0:
            self._fd = -1
            self._sock.close()
