"""http and https: one request, its redirects, and the first mebibyte of the answer.

Timings: dns, connect, tls and first byte are summed over the hops of redirects; total is the
wall time of everything, from the start of the first hop to the last byte that was read. The first
byte is counted from the moment the request was sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from typing import NamedTuple

from netpulse.egress import refusals
from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.egress.tls import TlsOptions
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError, broken
from netpulse.model.check import Certificate, Failure, Reading
from netpulse.model.monitor import HttpSpec, HttpsSpec
from netpulse.probes import http1
from netpulse.probes.decoding import BadEncoding, Decoder, decoded, layers
from netpulse.probes.http1 import Cut, Head, Malformed
from netpulse.probes.plain import PlainWire
from netpulse.probes.request import (
    REDIRECTS,
    Ask,
    BadRedirect,
    onward,
    opening,
    shown,
    written,
)
from netpulse.probes.secure import TlsWire
from netpulse.probes.turns import LONG, turn
from netpulse.probes.wire import open_wire
from netpulse.probes.words import out_of_time
from netpulse.rules import excerpt

BODY_LIMIT = 1 << 20
"""Bytes of a body, decoded, on which the verdict is reached."""
_RAW_LIMIT = 2 * BODY_LIMIT
"""Bytes of a body as sent, and between two encodings: those that yield nothing, and chunks of one
byte, end here."""
_A_TURN = 262_144
"""Bytes out of decoders after which others have their turn: a bomb unpacks a mebibyte at once."""
_DENSE = 8
"""What is packed once more may be thousands of tiny packets, each of which takes its time."""
_WORTH_SECONDS = 0.001
"""A shorter wait for a turn is not worth asking whose fault it was."""
_PATIENT = 100
"""Interim answers (1xx) after which reading slows down: an endless stream of them must wait for
the deadline without taking the processor."""

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)


class _Body(NamedTuple):
    data: bytes
    complete: bool


class _Hop:
    """What is known of the hop under way; read when something ends it early."""

    __slots__ = (
        "ask",
        "asked_at",
        "body",
        "certificate",
        "expected",
        "got",
        "head",
        "interim",
        "long",
        "request",
        "text",
        "tls",
    )

    def __init__(self, ask: Ask, request: bytes, text: str) -> None:
        self.ask = ask
        self.request = request
        """What goes over the wire."""
        self.text = text
        """The address as readings have it."""
        self.asked_at = 0.0
        self.head: Head | None = None
        self.body = bytearray()
        """What came of the body so far, decoded."""
        self.interim = 0
        """Interim answers so far."""
        self.got = 0
        """Bytes of the body so far, as sent."""
        self.long = False
        """The body has so much of it that it waits for its turn."""
        self.expected: int | None = None
        self.certificate: Certificate | None = None
        self.tls: str | None = None


async def probe(spec: HttpSpec, deadline: float, egress: Egress) -> Reading:
    """Ask once and measure what comes back. `deadline` is a moment of the loop's clock."""
    trace = Trace()
    begin = opening(spec)
    visits = [_Hop(begin.ask, begin.written, begin.text)]
    try:
        with Deadline(deadline):
            body = await _followed(spec, visits, trace, egress, deadline)
    except TimeoutError:
        hop = visits[-1]
        where = out_of_time(
            trace, hop.ask.host, spec.timeout_seconds, _waiting_for(hop, trace.phase)
        )
        return _failed(trace, visits, Failure.TIMEOUT, trace.phase, where)
    except DialError as error:
        if error.failure is Failure.TIMEOUT:
            sentence = out_of_time(trace, visits[-1].ask.host, spec.timeout_seconds, "")
        else:
            sentence = error.message
        visits[-1].certificate = error.certificate
        trace.address = error.address or trace.address
        return _failed(trace, visits, error.failure, error.detail, sentence)
    except BadRedirect as error:
        return _failed(trace, visits, Failure.REDIRECT, error.detail, str(error), hop=False)
    except Malformed as error:
        sentence = f"invalid HTTP answer: {error}"
        return _failed(trace, visits, Failure.PROTOCOL, None, sentence)
    except BadEncoding as error:
        sentence = f"the body cannot be decoded: {error}"
        return _failed(trace, visits, Failure.PROTOCOL, "content_encoding", sentence)
    except Cut as error:
        sentence = f"{visits[-1].ask.host} closed the connection {error}"
        return _failed(trace, visits, Failure.CLOSED, trace.phase, sentence)
    except OSError as error:
        return _broken(error, trace, visits)
    return _reading(trace, visits, body=body)


async def _followed(
    spec: HttpSpec, visits: list[_Hop], trace: Trace, egress: Egress, deadline: float
) -> _Body:
    """Ask, and go where redirects lead; return the body of the answer that is none."""
    seen = set()
    while True:
        hop = visits[-1]
        ask = hop.ask
        tls = None
        if ask.url.scheme == "https":
            # A client certificate is a credential too: it stays with the first origin.
            ours = ask.origin == visits[0].ask.origin
            tls = TlsOptions(
                verify=spec.verify_tls,
                ca_certificate=spec.ca_certificate,
                client_certificate=spec.client_certificate if ours else None,
                client_key=spec.client_key if ours else None,
                alpn=("http/1.1",),
            )
        wire = await open_wire(
            egress,
            ask.host,
            ask.port,
            family=spec.ip_version,
            tls=tls,
            deadline=deadline,
            trace=trace,
        )
        try:
            hop.certificate, hop.tls = wire.certificate, wire.tls_version
            hop.asked_at = time.perf_counter()
            wire.send(hop.request)
            head, rest = await _read_head(wire, hop, trace)
            location = head.first("location")
            if not (spec.follow_redirects and head.status in REDIRECTS and location):
                return await _read_body(wire, head, rest, hop, trace)
        finally:
            wire.close()
        following = onward(ask, head.status, location, head.all("set-cookie"))
        if isinstance(spec, HttpsSpec) and following.url.scheme != "https":
            raise BadRedirect(
                "to_http",
                f"redirected to http://{following.url.authority.rpartition('@')[2]}: "
                "an https monitor must stay on https",
            )
        seen.add((ask.method, ask.url, ask.cookies))
        if (following.method, following.url, following.cookies) in seen:
            raise BadRedirect(
                "loop", f"the redirects go in a circle: {shown(following.url)} comes again"
            )
        if len(visits) > spec.max_redirects:
            raise BadRedirect(
                "too_many",
                f"more than {spec.max_redirects} redirects; "
                f"the last one leads to {shown(following.url)}",
            )
        visits.append(_Hop(following, written(following), following.text))


async def _read_head(wire: TlsWire | PlainWire, hop: _Hop, trace: Trace) -> tuple[Head, bytes]:
    """Return the final answer's head and the bytes that came behind it."""
    block = bytearray()
    searched = 0
    heard = False
    while True:
        end = http1.head_end(block, searched)
        if end < 0:
            wrong = http1.looks_wrong(block)
            if wrong is not None:
                raise Malformed(wrong)
            searched = len(block)
            if hop.interim > _PATIENT:
                await asyncio.sleep(0.05)
            data = await wire.receive()
            if not data:
                raise Cut("in the middle of its headers" if block else "without answering")
            if not heard:
                heard = True
                trace.phase = "headers"
                trace.answered(((wire.first_at or 0.0) - hop.asked_at) * 1000)
            block += data
            continue
        if end > http1.HEAD_LIMIT:
            raise Malformed(f"its headers are longer than {http1.HEAD_LIMIT // 1024} KiB")
        head = http1.parse_head(bytes(block[:end]))
        del block[:end]
        searched = 0
        # 101 ends the HTTP on this connection: it is the final answer, if an odd one.
        if head.status >= 200 or head.status == 101:
            hop.head = head
            return head, bytes(block)
        hop.interim += 1


async def _read_body(
    wire: TlsWire | PlainWire, head: Head, data: bytes, hop: _Hop, trace: Trace
) -> _Body:
    """Read and decode the body, as far as the verdict needs it."""
    trace.phase = "body"
    framing = http1.framing(head, hop.ask.method)
    hop.expected = getattr(framing, "length", None)
    stack = _decoders(head)
    body = hop.body
    rested = 0
    waited = 0.0
    while True:
        hop.got += len(data)
        for piece in decoded(framing.feed(data), stack):
            body += piece
            between = sum(each.given for each in stack[:-1])
            if len(body) > BODY_LIMIT or between > _RAW_LIMIT:
                return _Body(bytes(body[:BODY_LIMIT]), complete=False)
            unpacked = len(body) + _DENSE * between
            if unpacked - rested >= _A_TURN:
                rested = unpacked
                await _its_turn(hop, trace)
        if framing.done:
            return _Body(bytes(body), complete=True)
        if hop.got > _RAW_LIMIT:
            return _Body(bytes(body), complete=False)
        if waited > _WORTH_SECONDS and not wire.has_come():
            # The target was slower than we were: it would have taken as long without us.
            trace.forgive(-waited)
        waited = 0.0
        data = await wire.receive()
        if hop.got > LONG or len(body) > LONG:
            waited = await _its_turn(hop, trace)
        if not data:
            framing.end()
            return _Body(bytes(body), complete=True)


async def _its_turn(hop: _Hop, trace: Trace) -> float:
    """Wait for the turn of the next piece. Until then, or until the deadline strikes, what came
    lies here because of other checks: our time, not the target's. Returns the seconds."""
    hop.long = True
    came = time.perf_counter()
    try:
        await turn()
    finally:
        waited = time.perf_counter() - came
        trace.forgive(waited)
    return waited


def _decoders(head: Head) -> list[Decoder]:
    """Return how to undo Transfer-Encoding (but for the chunks), then Content-Encoding."""
    transfer = [word for word in http1.transfer_codings(head) if word != "chunked"]
    content = head.all("content-encoding")
    return layers(",".join(content + transfer))


def _waiting_for(hop: _Hop, phase: str) -> str:
    if phase in {"first_byte", "headers"} and hop.interim:
        return f"{hop.interim:,} interim answers (1xx) and no final one"
    if phase == "body":
        known = f" of {hop.expected:,}" if hop.expected is not None else ""
        return f"waiting for the rest of the body ({hop.got:,}{known} bytes so far)"
    return ""


def _broken(error: OSError, trace: Trace, visits: list[_Hop]) -> Reading:
    """Return what an error on a standing connection means."""
    name = visits[-1].ask.host
    if isinstance(error, ssl.SSLError):
        return _failed(trace, visits, *refusals.explain(error, name, visits[-1].certificate, 0))
    when = {
        "first_byte": "instead of answering",
        "headers": "in the middle of its headers",
    }.get(trace.phase, "in the middle of its body")
    failure, sentence = broken(error, name, when)
    return _failed(trace, visits, failure, trace.phase, sentence)


def _failed(
    trace: Trace,
    visits: list[_Hop],
    failure: Failure,
    detail: str | None,
    sentence: str,
    *,
    hop: bool = True,
) -> Reading:
    """Return the reading of a failure; `hop` adds at which redirect it came."""
    if hop and len(visits) > 1:
        count = len(visits) - 1
        times = "a redirect" if count == 1 else f"{count} redirects"
        sentence = f"{sentence} (after {times}, at {shown(visits[-1].ask.url)})"
    # What came of a body that broke off says more than that it did.
    begun = bytes(visits[-1].body[: excerpt.LONGEST])
    body = _Body(begun, complete=False) if begun else None
    return _reading(trace, visits, body=body, failure=failure, detail=detail, error=sentence)


def _reading(
    trace: Trace,
    visits: list[_Hop],
    *,
    body: _Body | None = None,
    failure: Failure | None = None,
    detail: str | None = None,
    error: str | None = None,
) -> Reading:
    trace.stop()
    last = visits[-1]
    head = last.head
    kind = None if head is None else head.first("content-type")
    charset = None if kind is None else _CHARSET.search(kind)
    return Reading(
        timings=trace.timings(),
        own_ms=trace.forgiven * 1000,
        long=last.long,
        failure=failure,
        detail=detail,
        error=error,
        address=trace.address,
        addresses=trace.addresses,
        status_code=None if head is None else head.status,
        http_version=None if head is None else head.version,
        headers=() if head is None else head.headers,
        body=b"" if body is None else body.data,
        body_complete=True if body is None else body.complete,
        charset=None if charset is None else charset[1],
        final_url=last.text,
        redirects=len(visits) - 1,
        certificate=last.certificate,
        tls_version=last.tls,
    )
