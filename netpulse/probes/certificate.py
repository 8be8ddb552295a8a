"""ssl: one TLS handshake, and what the certificates that came with it are worth."""

from __future__ import annotations

import asyncio
import time

from netpulse.egress import refusals
from netpulse.egress.certificates import names_host, weakness
from netpulse.egress.connect import Egress
from netpulse.egress.tls import TlsOptions
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError
from netpulse.model.check import Certificate, Failure, Reading
from netpulse.model.monitor import SslSpec
from netpulse.probes.secure import TlsWire
from netpulse.probes.wire import open_tls
from netpulse.probes.words import out_of_time
from netpulse.rules.targets import ssl_endpoint

Trouble = tuple[Failure, str | None, str]


async def probe(spec: SslSpec, deadline: float, egress: Egress) -> Reading:
    """Shake hands once and measure. `deadline` is a moment of the loop's clock.

    total is the wall time until TLS stood. A certificate that does not verify costs one further
    handshake without verification, so that its dates are told all the same.
    """
    trace = Trace()
    where = ssl_endpoint(spec.target, spec.port)
    name = (spec.server_name or where.host).removesuffix(".")
    try:
        async with asyncio.timeout_at(deadline):
            wire = await open_tls(
                egress,
                where.host,
                where.port,
                family=None,
                tls=TlsOptions(verify=spec.check_chain, ca_certificate=spec.ca_certificate),
                deadline=deadline,
                trace=trace,
                server_name=name,
            )
    except TimeoutError:
        sentence = out_of_time(trace, where.host, spec.timeout_seconds, "")
        return _reading(trace, (Failure.TIMEOUT, trace.phase, sentence))
    except DialError as error:
        sentence = error.message
        if error.failure is Failure.TIMEOUT:
            sentence = out_of_time(trace, where.host, spec.timeout_seconds, "")
        trace.address = error.address or trace.address
        trouble = (error.failure, error.detail, sentence)
        return _reading(trace, trouble, certificate=error.certificate)
    trace.stop()
    try:
        return _reading(
            trace,
            _trouble(spec, wire, name),
            certificate=wire.certificate,
            tls_version=wire.tls_version,
        )
    finally:
        wire.close()


def _trouble(spec: SslSpec, wire: TlsWire, name: str) -> Trouble | None:
    """Return what is wrong with the certificates of a handshake that succeeded."""
    if wire.certificate is None:
        return (
            Failure.TLS_HANDSHAKE,
            "unreadable",
            f"the certificate of {name} cannot be read: it breaks the rules of X.509",
        )
    if not spec.check_chain:
        # Nothing was verified then; who signed it is all that may be wrong.
        found = _own_faults(wire.certificate, wire.chain[0], name)
        if found is not None:
            return found
    try:
        weak = weakness(wire.chain)
    except ValueError:
        # One further up that only OpenSSL can read; it has its own rules for weak ones.
        weak = weakness(wire.chain[:1])
    if weak is not None:
        return Failure.TLS_WEAK, weak[0], weak[1].format(host=name)
    return None


def _own_faults(certificate: Certificate, der: bytes, name: str) -> Trouble | None:
    # The certificate's dates are held against the wall, as OpenSSL does when it verifies.
    now = time.time() * 1000
    if certificate.not_after < now:
        return Failure.TLS_EXPIRED, *refusals.expired(name, certificate)
    if certificate.not_before > now:
        return Failure.TLS_NOT_YET_VALID, "not_yet_valid", refusals.not_yet(name, certificate)
    if not names_host(der, name):
        return Failure.TLS_HOSTNAME, "name_mismatch", refusals.wrong_name(name, certificate)
    return None


def _reading(
    trace: Trace,
    trouble: Trouble | None,
    *,
    certificate: Certificate | None = None,
    tls_version: str | None = None,
) -> Reading:
    trace.stop()
    failure, detail, sentence = trouble or (None, None, None)
    return Reading(
        timings=trace.timings(),
        own_ms=trace.forgiven * 1000,
        failure=failure,
        detail=detail,
        error=sentence,
        address=trace.address,
        addresses=trace.addresses,
        certificate=certificate,
        tls_version=tls_version,
    )
