"""A connection as a probe uses it: read with back-pressure, timed at arrival, closed for good."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from typing import cast

from netpulse.egress import refusals
from netpulse.egress.certificates import describe_certificate, describe_chain
from netpulse.egress.connect import Dialled, Egress
from netpulse.egress.tls import CONTEXTS, TlsOptions, peer_chain, peer_der
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError
from netpulse.model.check import Certificate, Failure
from netpulse.probes.plain import PIECE, RESET_ON_CLOSE, PlainWire

_FULL = 65_536


class Wire(asyncio.Protocol):
    """One connection. `receive` gives what came, in pieces of at most 8 KiB."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._paused = False
        self._more = False
        """The last piece did not empty the buffer."""
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._lost = False
        self._error: BaseException | None = None
        self.first_at: float | None = None
        """`time.perf_counter` at the first byte."""
        self.received = 0
        """Bytes in all."""
        self.certificate: Certificate | None = None
        self.chain: tuple[bytes, ...] = ()
        """The certificates that came, in DER, the far side's own first."""
        self.tls_version: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        # uvloop's transports are no children of asyncio's, only of their shape.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self.first_at is None:
            self.first_at = time.perf_counter()
        self.received += len(data)
        self._buffer += data
        if len(self._buffer) > _FULL and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool | None:
        """Called by the loop: the far side has nothing more to say."""
        self._ended = True
        self._wake()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._ended = self._lost = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def send(self, data: bytes) -> None:
        """Queue bytes for sending; what becomes of them shows when receiving."""
        if self._transport is not None:
            self._transport.write(data)

    async def receive(self) -> bytes:
        """Return the next bytes, or b"" when the far side has closed.

        Raises:
            OSError: the connection broke (a reset, a TLS alert).
        """
        while not self._buffer:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._more:
            # Others have their turn between the pieces of what came at once.
            await asyncio.sleep(0)
        self._more = len(self._buffer) > PIECE
        if not self._more:
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            data = bytes(self._buffer[:PIECE])
            del self._buffer[:PIECE]
        if self._paused and len(self._buffer) < PIECE and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        """Close at once. A connection that the far side has not closed is reset: it would else
        keep a local port for a minute, and there are 28,000 of them.
        """
        if self._transport is None:
            self._sock.close()
            return
        if self._lost:
            return
        if not self._ended:
            # The loop may have closed it this very moment.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    async def finish(self) -> None:
        """Close so that what was sent arrives; wait until the system has it all."""
        if self._transport is None:
            return
        # Closing asyncio's TLS transport a second time breaks it.
        if not self._transport.is_closing():
            self._transport.close()
        while not self._lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


async def open_wire(
    egress: Egress,
    host: str,
    port: int,
    *,
    family: int | None,
    tls: TlsOptions | None,
    deadline: float,
    trace: Trace,
) -> Wire | PlainWire:
    """Connect, and agree on TLS where `tls` says how. The caller keeps the deadline with a timer of
    its own: one is enough.

    Raises:
        DialError: no connection, or no TLS, as `open_tls` has it.
    """
    if tls is not None:
        return await open_tls(
            egress, host, port, family=family, tls=tls, deadline=deadline, trace=trace
        )
    dialled = await egress.dial(
        host, port, family=family, deadline=deadline, trace=trace, guarded=True
    )
    return PlainWire(dialled.sock)


async def open_tls(
    egress: Egress,
    host: str,
    port: int,
    *,
    family: int | None,
    tls: TlsOptions,
    deadline: float,
    trace: Trace,
    server_name: str | None = None,
) -> Wire:
    """Connect and agree on TLS; the caller keeps the deadline.

    `server_name` is the host that TLS asks for and verifies, where it is not `host`.

    Raises:
        DialError: no connection, or no TLS. With a certificate that does not verify, it carries
            what the certificate says, which costs one further handshake without verification.
    """
    began = time.perf_counter()
    context = await CONTEXTS.get(tls)
    # The first of its kind takes a while to make: our time, not the target's.
    trace.forgive(time.perf_counter() - began)
    dialled = await egress.dial(
        host, port, family=family, deadline=deadline, trace=trace, guarded=True
    )
    wire = Wire(dialled.sock)
    trace.phase = "tls"
    name = (server_name or host).removesuffix(".")
    try:
        try:
            await _shake_hands(wire, context, name, dialled.sock, trace)
        except (OSError, asyncio.IncompleteReadError) as error:
            trace.stop()
            raise await _refused(error, egress, dialled, port, tls, name, deadline) from None
    except BaseException:
        wire.close()
        raise
    return wire


async def _shake_hands(
    wire: Wire,
    context: ssl.SSLContext,
    name: str,
    sock: socket.socket,
    trace: Trace | None = None,
) -> None:
    """Return once both sides agree on TLS; `trace` notes how long that took."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    transport, _ = await loop.create_connection(
        lambda: wire,
        sock=sock,
        ssl=context,
        server_hostname=name,
        # The deadline is ours and strikes from outside; the loop's own default is 60 s.
        ssl_handshake_timeout=86_400,
    )
    if trace is not None:
        trace.shook_hands((time.perf_counter() - began) * 1000)
    spoken = transport.get_extra_info("ssl_object")
    der = peer_der(spoken)
    if der is not None:
        wire.chain = peer_chain(spoken) or (der,)
        wire.certificate = _described(der, wire.chain)
    wire.tls_version = spoken.version()


def _described(der: bytes, chain: tuple[bytes, ...]) -> Certificate | None:
    try:
        # What was verified is the first of what was sent.
        return describe_chain(chain) if chain[0] == der else describe_certificate(der)
    except ValueError:
        # OpenSSL took it and the stricter parser did not: the handshake counts.
        return None


async def _refused(
    error: OSError | asyncio.IncompleteReadError,
    egress: Egress,
    dialled: Dialled,
    port: int,
    options: TlsOptions,
    name: str,
    deadline: float,
) -> DialError:
    """Return why the handshake failed; where the certificate was at fault, with what it says."""
    certificate, sent = None, 0
    unverified = isinstance(error, ssl.SSLCertVerificationError)
    # What is too weak to be spoken is not too weak to be read.
    weak = refusals.explain(error, name, None, 0)[0] is Failure.TLS_WEAK
    if unverified or weak:
        with contextlib.suppress(DialError, OSError, TimeoutError):
            async with asyncio.timeout_at(deadline):
                certificate, sent = await _shown(egress, dialled, port, options, name, deadline)
    failure, detail, sentence = refusals.explain(error, name, certificate, sent)
    if failure is Failure.TLS_EXPIRED and certificate is not None:
        detail, sentence = _whose_expiry(certificate, name, detail, sentence)
    trouble = DialError(failure, detail, sentence, address=dialled.address)
    trouble.certificate = certificate
    return trouble


def _whose_expiry(
    certificate: Certificate, name: str, detail: str, sentence: str
) -> tuple[str, str]:
    """Tell an expired certificate from a good one above which an expired one stands."""
    if certificate.not_after > time.time() * 1000:
        return "chain_expired", f"a certificate in the chain of {name} has expired, not its own"
    return detail, sentence


async def _shown(
    egress: Egress,
    dialled: Dialled,
    port: int,
    options: TlsOptions,
    name: str,
    deadline: float,
) -> tuple[Certificate | None, int]:
    """Shake hands once more without verifying, to read the certificate and count what is sent."""
    context = await CONTEXTS.get(
        TlsOptions(
            verify=False,
            client_certificate=options.client_certificate,
            client_key=options.client_key,
            alpn=options.alpn,
            lax=True,
        )
    )
    sock = await egress.redial(dialled, port, deadline=deadline)
    wire = Wire(sock)
    try:
        await _shake_hands(wire, context, name, sock)
        return wire.certificate, len(wire.chain)
    finally:
        wire.close()
