"""A connection with TLS: OpenSSL works in memory, and a plain connection carries what it says.

Most of what a check over TLS costs is the handshake. Where the loop has more of them than it can do
in time, threads do some meanwhile (`probes.handshakes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from functools import partial

from netpulse.model.check import Certificate
from netpulse.probes.handshakes import HANDSHAKES, step
from netpulse.probes.plain import PIECE, PlainWire

BUSY_SECONDS = 0.010
"""An answer that had to wait this long for the loop shows that there is too much to do. A shorter
time only shows that some came together: a thread would cost more than doing one after the other."""
LONG_TURN_SECONDS = 0.002
"""What waited this long waits for the loop's next turn, so that others have theirs before."""
_HELLO_BYTES = 80
"""The cipher suite stands within these; nothing that takes long comes in fewer."""
_LONG_BYTES = 16_384
"""Of a handshake: four times what is usual. A hundred certificates, which OpenSSL still takes, are
verified for 20 ms."""
_SWIFT = frozenset(
    bytes.fromhex(suite)
    for suite in (
        *("1301", "1302", "1303", "1304", "1305"),
        *("c02b", "c02c", "c02f", "c030", "cca8", "cca9"),
        *("c009", "c00a", "c013", "c014", "c023", "c024", "c027", "c028"),
    )
)
"""Suites of TLS 1.3, and those of 1.2 that agree on a key by elliptic curves (RFC 8446, 8422). Of
the rest the far side chooses how long it takes: a group of 10,000 bits takes most of a second."""


def _is_swift(begun: bytes) -> bool:
    """Tell by the first bytes of a far side whether going on takes a millisecond or two at most."""
    if len(begun) < _HELLO_BYTES:
        return True
    # A record's head, a message's, version, random, session id, suite (RFC 5246, 7.4.1.3).
    at = 44 + begun[43]
    return (
        begun[0] == 22
        and begun[5] == 2
        and int.from_bytes(begun[3:5], "big") >= at - 3
        and begun[at : at + 2] in _SWIFT
    )


class TlsWire:
    """One connection. `receive` gives what came, decrypted, in pieces of at most 8 KiB."""

    def __init__(self, sock: socket.SocketType) -> None:
        """Take a connected, non-blocking socket, which is closed by `close` or `finish`."""
        self._plain = PlainWire(sock)
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._more = False
        """OpenSSL may have more to give, or to say, of what it has heard already."""
        self._ended = False
        self._anew = False
        """The far side asked to shake hands once more (TLS 1.2): it may choose a group again."""
        self.waited = 0.0
        """Seconds, while shaking hands, that what had come lay there because we were busy: the
        loop, or the thread that it was handed to."""
        self.first_at: float | None = None
        """`time.perf_counter` when the first piece of what `receive` gave had come."""
        self.certificate: Certificate | None = None
        self.chain: tuple[bytes, ...] = ()
        """The certificates that came, in DER, the far side's own first."""
        self.tls_version: str | None = None

    async def shake_hands(self, context: ssl.SSLContext, name: str) -> ssl.SSLObject:
        """Agree on TLS with the host `name`, and return OpenSSL's side of it.

        Raises:
            ssl.SSLError: both sides do not agree, or the certificate does not verify.
            OSError: the connection broke, or (without a number) was closed.
        """
        tls = self._tls = context.wrap_bio(self._heard, self._said, server_hostname=name)
        begun, heard, waited = b"", 0, 0.0
        try:
            while True:
                if heard > _LONG_BYTES or not _is_swift(begun):
                    done = await HANDSHAKES.slowly(partial(step, tls), self._wait)
                elif HANDSHAKES.free > 0 and (
                    # One's own first words take too little time to hand them over.
                    waited > BUSY_SECONDS or (begun and HANDSHAKES.are_wanted())
                ):
                    done = await HANDSHAKES.step(tls, self._wait)
                else:
                    done = step(tls)
                self._speak()
                if done:
                    return tls
                data, came_at = await self._listen()
                waited = time.perf_counter() - came_at
                if LONG_TURN_SECONDS < waited < BUSY_SECONDS:
                    await asyncio.sleep(0)
                    waited = time.perf_counter() - came_at
                self.waited += waited
                if not data:
                    raise ConnectionAbortedError
                heard += len(data)
                if len(begun) < _HELLO_BYTES:
                    begun += data[:_HELLO_BYTES]
                self._heard.write(data)
        except ssl.SSLError:
            # What we have against it is the far side's to know.
            self._speak()
            raise

    def _wait(self, seconds: float) -> None:
        self.waited += seconds

    def _speak(self) -> None:
        if self._said.pending:
            self._plain.send(self._said.read())

    async def _listen(self) -> tuple[bytes, float]:
        """Return what comes next, and when it came."""
        self._plain.first_at = None
        data = await self._plain.receive()
        came_at: float | None = self._plain.first_at
        return data, time.perf_counter() if came_at is None else came_at

    def send(self, data: bytes) -> None:
        """Send bytes; what becomes of them shows when receiving."""
        assert self._tls is not None
        try:
            self._tls.write(data)
        except ssl.SSLError:
            # What cannot be said any more, the far side has given a reason for: that is heard.
            self._more = True
        self._speak()

    async def receive(self) -> bytes:
        """Return the next bytes, or b"" when the far side has closed.

        Raises:
            OSError: the connection broke (a reset, a TLS alert).
        """
        tls = self._tls
        assert tls is not None
        if self._ended:
            return b""
        if self._more:
            # Others have their turn between the pieces of what came at once.
            await asyncio.sleep(0)
        came_at = time.perf_counter()
        while True:
            try:
                if not self._more and not self._heard.pending:
                    # It would only say that it needs to hear more, by an exception.
                    data = None
                elif self._anew:
                    data = await HANDSHAKES.slowly(partial(tls.read, PIECE))
                else:
                    data = tls.read(PIECE)
            except ssl.SSLWantReadError:
                # It may have had something to say itself: a key update, for instance.
                if self._said.pending and tls.version() != "TLSv1.3":
                    self._anew = True
                self._speak()
                data = None
            except ssl.SSLZeroReturnError:
                data = b""
            if data is None:
                raw, came_at = await self._listen()
                if not raw:
                    # Whether all of a body came is told by its own framing.
                    self._ended = True
                    return b""
                self._heard.write(raw)
                continue
            if self.first_at is None:
                self.first_at = came_at
            self._more = len(data) == PIECE
            self._ended = not data
            return data

    def has_come(self) -> bool:
        """Tell whether there is something to receive already, as `PlainWire.has_come`."""
        return self._ended or self._more or self._heard.pending > 0 or self._plain.has_come()

    def close(self) -> None:
        """Close at once, as `PlainWire.close` does."""
        self._plain.close()

    async def finish(self) -> None:
        """Close so that what was sent arrives; wait until the far side has closed as well."""
        assert self._tls is not None
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._speak()
        # What is left unread would make the system reset the connection, and what was sent lost.
        with contextlib.suppress(OSError):
            while await self._plain.receive():
                pass
        await self._plain.finish()
