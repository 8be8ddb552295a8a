"""tcp: a connection, TLS if asked for, a text sent, a text expected."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Coroutine
from typing import Any

from netpulse.egress import refusals
from netpulse.egress.attempt import Attempt, drop
from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.egress.tls import TlsOptions
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError, broken
from netpulse.model.check import Failure, Reading, Timings
from netpulse.model.monitor import TcpSpec
from netpulse.probes.begun import Begun
from netpulse.probes.plain import PlainWire
from netpulse.probes.secure import TlsWire
from netpulse.probes.wire import open_wire
from netpulse.probes.words import out_of_time
from netpulse.rules.targets import endpoint

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
    knock = begin(spec, egress)
    if knock is not None:
        return await knock.go_on(deadline)
    trace, talk = Trace(), _Talk()
    return await _told(spec, trace, talk, _converse(spec, talk, trace, egress, deadline))


def begin(spec: TcpSpec, egress: Egress) -> Knock | None:
    """Begin a check that is a connection and no more; None where it is more, or something else has
    to be waited for before."""
    if spec.tls or spec.send is not None or spec.expect is not None:
        return None
    trace = Trace()
    where = endpoint(spec.target, spec.port)
    try:
        attempt = egress.at_once(where.host, where.port, trace=trace)
    except DialError as error:
        return Knock(spec, trace, None, error)
    return None if attempt is None else Knock(spec, trace, attempt, None)


class Knock(Begun):
    """A connection and no more."""

    __slots__ = ("_attempt", "_spec", "_trace", "_trouble")

    WRITING = True

    def __init__(
        self, spec: TcpSpec, trace: Trace, attempt: Attempt | None, trouble: Exception | None
    ) -> None:
        """Take how far it has come: `attempt` is under way, or ended in `trouble`."""
        super().__init__(trace.address, spec.timeout_seconds)
        self._spec = spec
        self._trace = trace
        self._attempt = attempt
        self._trouble = trouble
        if attempt is None:
            trace.stop()
        elif attempt.stands:
            self._stood(attempt)
        else:
            self.descriptor = attempt.sock.fileno()

    def _stood(self, attempt: Attempt) -> None:
        trace = self._trace
        trace.connected(attempt.connect_ms)
        trace.stop()
        self._attempt = self.descriptor = None
        drop(attempt.sock)
        self.timings = trace.timings()

    def heard(self, now: float) -> bool:
        """Look at what became of it."""
        del now
        attempt = self._attempt
        if attempt is not None:
            try:
                attempt.decided()
            except (DialError, OSError) as error:
                self._attempt = self.descriptor = None
                self._trouble = error
                self._trace.stop()
            else:
                self._stood(attempt)
        return True

    def reading(self, timings: Timings) -> Reading:
        """Return what was read of a connection that stood."""
        return Reading(timings=timings, address=self.address, addresses=self._trace.addresses)

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if self._attempt is not None:
            self._attempt.sock.close()
            self._attempt = self.descriptor = None

    async def go_on(self, deadline: float) -> Reading:
        """Wait until it stands, and return what it took."""
        if self.timings is not None:
            return self.reading(self.timings)
        return await _told(self._spec, self._trace, _Talk(), self._standing(deadline))

    async def _standing(self, deadline: float) -> None:
        if self._trouble is not None:
            raise self._trouble
        if self._attempt is not None:
            with Deadline(deadline):
                await self._attempt.standing()
            self._stood(self._attempt)


async def _told(
    spec: TcpSpec, trace: Trace, talk: _Talk, conversation: Coroutine[Any, Any, None]
) -> Reading:
    """Return what came of a conversation."""
    where = endpoint(spec.target, spec.port)
    failure: tuple[Failure, str | None, str] | None = None
    try:
        await conversation
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
            own_ms=trace.forgiven * 1000,
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


async def _converse(
    spec: TcpSpec, talk: _Talk, trace: Trace, egress: Egress, deadline: float
) -> None:
    with Deadline(deadline):
        await _speak(spec, talk, trace, egress, deadline)


async def _speak(spec: TcpSpec, talk: _Talk, trace: Trace, egress: Egress, deadline: float) -> None:
    where = endpoint(spec.target, spec.port)
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
        own_ms=trace.forgiven * 1000,
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
