"""Asking name servers, each time anew: UDP first, TCP where the answer does not fit (RFC 7766)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import dns.message
from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.egress.trouble import DialError, broken, shown_endpoint
from netpulse.model.check import OWN_FAILURES, Failure
from netpulse.probes import messages, usual
from netpulse.probes.line import Line, address_of
from netpulse.probes.messages import Malformed, Question
from netpulse.probes.plain import PlainWire
from netpulse.rules.targets import Endpoint

ROUNDS = 3
"""How often each server is asked before there is silence."""
_PATIENCE = 2.0
"""Seconds before the next server is asked, or the same one again."""
MOST_LATE = 64
"""Packets that are looked through for an answer once its time is over."""
_WITHOUT_EDNS = frozenset({"formerr", "notimp", "badvers"})
_NEXT_SERVER = frozenset({"servfail", "refused", "notimp", "formerr"})


class Answer(Struct, frozen=True):
    """What answers, and who sent it."""

    message: dns.message.Message | None
    """None where it was of the usual shape; then there are records."""
    server: Endpoint
    records: tuple[str, ...] = ()


class Silence(Exception):
    """No server said anything that counts."""

    def __init__(self, strays: int) -> None:
        super().__init__()
        self.strays = strays
        """Packets that were ignored: a wrong id."""


class Sent(NamedTuple):
    """A first question that is under way already."""

    line: Line
    until: float
    """The loop's moment up to which its answer is waited for before it is asked again."""


def patience(seconds: float, turns: int = ROUNDS) -> float:
    """Return how long an answer is waited for while that many turns share what time is left."""
    return min(_PATIENCE, seconds / turns)


async def ask(
    egress: Egress,
    servers: Sequence[Endpoint],
    asked: Question,
    *,
    ours: bool,
    deadline: float,
    sent: Sent | None = None,
) -> Answer:
    """Return the first answer that a server gives, asking one after the other, and again.

    A server that cannot answer (SERVFAIL, REFUSED …) is passed over while there are others.
    `ours`: the servers are this host's own. `deadline` is a moment of the loop's clock. `sent`: the
    first of the servers was asked already.

    Raises:
        Silence: nobody answered by then.
        DialError: no server can be reached, or the answer cannot be read (dns malformed).
    """
    lines: dict[Endpoint, Line] = {} if sent is None else {sent.line.server: sent.line}
    fallen: dict[Endpoint, Answer | DialError] = {}
    strays = 0
    loop = asyncio.get_running_loop()
    turns = [server for _ in range(ROUNDS) for server in servers]
    try:
        for number, server in enumerate(turns):
            left = deadline - loop.time()
            if left <= 0 and number:
                break
            if server in fallen:
                continue
            last = all(each in fallen for each in turns[number + 1 :])
            wait = left if last else patience(left, len(turns) - number)
            until = loop.time() + wait if number or sent is None else sent.until
            # Servers behind old firewalls never see a question with EDNS.
            wire = asked.plain_wire if number >= len(servers) * (ROUNDS - 1) else asked.wire
            try:
                if server not in lines:
                    lines[server] = Line(egress, server, ours=ours)
                line = lines[server]
                if number or sent is None:
                    line.send(wire)
                answer = await _try(egress, line, asked, wire, ours, until, deadline)
            except DialError as error:
                fallen[server] = error
                continue
            if answer is None:
                continue
            if answer.message is None or messages.rcode(answer.message) not in _NEXT_SERVER:
                return answer
            fallen[server] = answer
    finally:
        for line in lines.values():
            line.close()
            strays += line.strays
    if len(fallen) < len(set(servers)) and not any(
        isinstance(each, Answer) for each in fallen.values()
    ):
        raise Silence(strays)
    return _told(list(fallen.values()))


def _told(fallen: list[Answer | DialError]) -> Answer:
    """Return a server's own word where there is one, else raise the most telling failure."""
    for each in fallen:
        if isinstance(each, Answer):
            return each
    errors = [each for each in fallen if isinstance(each, DialError)]
    raise next((each for each in errors if each.failure not in OWN_FAILURES), errors[0])


async def _try(
    egress: Egress,
    line: Line,
    asked: Question,
    wire: bytes,
    ours: bool,
    until: float,
    deadline: float,
) -> Answer | None:
    """Return what a server answers that was asked over UDP, asking over TCP where it says so; None
    after the loop's moment `until`."""
    server, late = line.server, 0
    while True:
        arrived: bytes | OSError | None
        try:
            with Deadline(until):
                arrived = await line.arrived()
        except TimeoutError:
            # What came in time may lie there: it was us who came late.
            late += 1
            arrived = line.heard() if late <= MOST_LATE else None
            if arrived is None:
                return None
        if isinstance(arrived, OSError):
            raise line.unheard(arrived) from None
        if not messages.is_for(asked, arrived):
            line.strays += 1
            continue
        records = usual.records(asked, arrived)
        if records is not None:
            return Answer(None, server, records)
        message = await _read(asked, arrived, server)
        if wire != asked.plain_wire and messages.rcode(message) in _WITHOUT_EDNS:
            wire = asked.plain_wire
            line.send(wire)
            continue
        if messages.is_truncated(message):
            message = await _over_tcp(egress, server, asked, wire, ours, deadline)
        return Answer(message, server)


async def _read(asked: Question, wire: bytes, server: Endpoint) -> dns.message.Message:
    try:
        if len(wire) > usual.MOST_BYTES:
            return await asyncio.to_thread(messages.read, asked, wire)
        return messages.read(asked, wire)
    except Malformed as error:
        raise DialError(
            Failure.DNS,
            "malformed",
            f"the answer of {shown_endpoint(*server)} is malformed: {error}",
            address=server.host,
        ) from None


async def _over_tcp(
    egress: Egress, server: Endpoint, asked: Question, wire: bytes, ours: bool, deadline: float
) -> dns.message.Message:
    where = shown_endpoint(*server)
    begin = f"the answer of {where} does not fit into UDP, and over TCP "
    try:
        sock = await egress.stream(address_of(server), server.port, ours=ours, deadline=deadline)
    except DialError as error:
        if error.failure in OWN_FAILURES:
            raise
        raise DialError(
            Failure.DNS, "truncated", f"{begin}it gives none: {error.message}", address=server.host
        ) from None
    line = PlainWire(sock)
    try:
        async with asyncio.timeout_at(deadline):
            whole = await _talk(line, wire)
    except TimeoutError:
        raise DialError(
            Failure.TIMEOUT, "dns", f"{begin}it did not end in time", address=server.host
        ) from None
    except OSError as error:
        _, sentence = broken(error, where, "in the middle of it")
        raise DialError(
            Failure.DNS, "truncated", f"{begin}it broke off: {sentence}", address=server.host
        ) from None
    finally:
        line.close()
    if whole is None:
        raise DialError(
            Failure.DNS,
            "truncated",
            f"{begin}it broke off: the connection was closed",
            address=server.host,
        )
    if not messages.is_for(asked, whole):
        raise DialError(
            Failure.DNS,
            "malformed",
            f"the answer of {where} over TCP is malformed: it has another id than the question",
            address=server.host,
        )
    message = await _read(asked, whole, server)
    if messages.is_truncated(message):
        raise DialError(
            Failure.DNS, "truncated", f"{begin}it is cut short as well", address=server.host
        )
    return message


async def _talk(line: PlainWire, wire: bytes) -> bytes | None:
    """Send one message and return the one that comes back; None where it ends too early."""
    line.send(len(wire).to_bytes(2, "big") + wire)
    got = bytearray()
    while len(got) < 2 or len(got) < 2 + int.from_bytes(got[:2], "big"):
        data = await line.receive()
        if not data:
            return None
        got += data
    return bytes(got[2 : 2 + int.from_bytes(got[:2], "big")])
