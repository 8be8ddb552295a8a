"""Connections as probes use them: read with back-pressure, timed at arrival, closed for good."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

from netpulse.egress import refusals
from netpulse.egress.certificates import describe_certificate, describe_chain
from netpulse.egress.connect import Dialled, Egress
from netpulse.egress.tls import CONTEXTS, TlsOptions, peer_chain, peer_der
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError
from netpulse.model.check import Certificate, Failure
from netpulse.probes.plain import PlainWire
from netpulse.probes.secure import TlsWire


async def open_wire(
    egress: Egress,
    host: str,
    port: int,
    *,
    family: int | None,
    tls: TlsOptions | None,
    deadline: float,
    trace: Trace,
) -> TlsWire | PlainWire:
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
) -> TlsWire:
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
    wire = TlsWire(dialled.sock)
    trace.phase = "tls"
    name = (server_name or host).removesuffix(".")
    try:
        try:
            await _shake_hands(wire, context, name, trace)
        except OSError as error:
            trace.stop()
            raise await _refused(error, egress, dialled, port, tls, name, deadline) from None
    except BaseException:
        wire.close()
        raise
    return wire


async def _shake_hands(
    wire: TlsWire, context: ssl.SSLContext, name: str, trace: Trace | None = None
) -> None:
    """Return once both sides agree on TLS; `trace` notes how long that took."""
    began = time.perf_counter()
    try:
        spoken = await wire.shake_hands(context, name)
    finally:
        if trace is not None:
            # While an answer lay there, we were busy with other checks: our time, not the target's.
            trace.forgive(wire.waited)
    if trace is not None:
        trace.shook_hands((time.perf_counter() - began - wire.waited) * 1000)
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
    error: OSError,
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
    wire = TlsWire(sock)
    try:
        await _shake_hands(wire, context, name)
        return wire.certificate, len(wire.chain)
    finally:
        wire.close()
