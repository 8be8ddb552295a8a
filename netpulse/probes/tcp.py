"""tcp: a connection, TLS if asked for, a text sent, a text expected."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

from netpulse.egress import refusals
from netpulse.egress.attempt import drop
from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.egress.tls import TlsOptions
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError, broken
from netpulse.model.check import Failure, Reading
from netpulse.model.monitor import TcpSpec
from netpulse.probes.plain import PlainWire
from netpulse.probes.secure import TlsWire
from netpulse.probes.wire import open_wire
from netpulse.probes.words import out_of_time
from netpulse.rules.targets import Endpoint, endpoint

ANSWER_LIMIT = 65_536
"""Bytes in which the expected text must stand."""


class _Talk:
    """What was said so far."""

    __slots__ = ("body", "complete", "wire")

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = True
        self.wire: TlsWire | PlainWire | None = None


async def probe(spec: TcpSpec, deadline: float, egress: Egress) -> Reading:
    """Connect once and measure. `deadline` is a moment of the loop's clock.

    total is the wall time until the connection stood (with TLS, if asked for), or until the
    expected text was there.
    """
    trace = Trace()
    where = endpoint(spec.target, spec.port)
    talk = _Talk()
    failure: tuple[Failure, str | None, str] | None = None
    try:
        if spec.tls or spec.send is not None or spec.expect is not None:
            with Deadline(deadline):
                await _converse(spec, where, talk, trace, egress, deadline)
        else:
            await _knock(where, trace, egress, deadline)
    except TimeoutError:
        # Some answer, but not the expected one, is judged by what it says.
        if not talk.body:
            sentence = out_of_time(trace, where.host, spec.timeout_seconds, "")
            failure = (Failure.TIMEOUT, trace.phase, sentence)
    except DialError as error:
        sentence = error.message
        if error.failure is Failure.TIMEOUT:
            sentence = out_of_time(trace, where.host, spec.timeout_seconds, "")
        trace.stop()
        return Reading(
            timings=trace.timings(),
            failure=error.failure,
            detail=error.detail,
            error=sentence,
            address=error.address or trace.address,
            addresses=trace.addresses,
            certificate=error.certificate,
        )
    except ssl.SSLError as error:
        failure = refusals.explain(error, where.host, None, 0)
    except OSError as error:
        word, sentence = broken(error, str(where), f"after {len(talk.body):,} bytes of answer")
        failure = (word, trace.phase, sentence)
    return _reading(trace, talk, failure)


async def _knock(where: Endpoint, trace: Trace, egress: Egress, deadline: float) -> None:
    """Connect and no more. What stands at once needs no deadline."""
    begun = egress.at_once(where.host, where.port, trace=trace)
    if begun is not None and begun.stands:
        sock = begun.sock
        trace.connected(begun.connect_ms)
    else:
        with Deadline(deadline):
            dialled = await egress.dial(
                where.host,
                where.port,
                deadline=deadline,
                trace=trace,
                guarded=True,
                begun=begun,
            )
        sock = dialled.sock
    trace.stop()
    drop(sock)


async def _converse(
    spec: TcpSpec, where: Endpoint, talk: _Talk, trace: Trace, egress: Egress, deadline: float
) -> None:
    wire = await open_wire(
        egress,
        where.host,
        where.port,
        family=None,
        tls=TlsOptions() if spec.tls else None,
        deadline=deadline,
        trace=trace,
    )
    talk.wire = wire
    try:
        asked_at = time.perf_counter()
        if spec.send is not None:
            wire.send(spec.send.encode())
        if spec.expect is not None:
            await _listen(spec.expect.encode(), wire, talk, trace, asked_at)
        trace.stop()
        if spec.send is not None and spec.expect is None:
            # A reset could overtake what was sent. That it all went is no part of the verdict.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await wire.finish()
    finally:
        wire.close()


async def _listen(
    expected: bytes, wire: TlsWire | PlainWire, talk: _Talk, trace: Trace, asked_at: float
) -> None:
    """Read until the expected text is there, or cannot be any more."""
    while True:
        data = await wire.receive()
        if not data:
            return
        if not talk.body:
            trace.phase = "expect"
            trace.answered(((wire.first_at or asked_at) - asked_at) * 1000)
        searched = max(0, len(talk.body) - len(expected))
        talk.body += data
        if len(talk.body) >= ANSWER_LIMIT:
            del talk.body[ANSWER_LIMIT:]
            talk.complete = False
            return
        if talk.body.find(expected, searched) >= 0:
            return


def _reading(trace: Trace, talk: _Talk, failure: tuple[Failure, str | None, str] | None) -> Reading:
    trace.stop()
    word, detail, sentence = failure or (None, None, None)
    return Reading(
        timings=trace.timings(),
        failure=word,
        detail=detail,
        error=sentence,
        address=trace.address,
        addresses=trace.addresses,
        body=bytes(talk.body),
        body_complete=talk.complete,
        certificate=None if talk.wire is None else talk.wire.certificate,
        tls_version=None if talk.wire is None else talk.wire.tls_version,
    )
