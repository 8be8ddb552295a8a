"""Asking name servers, each time anew: UDP first, TCP where the answer does not fit (RFC 7766)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import dns.message
from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError, broken, from_connect, shown_endpoint
from netpulse.model.check import OWN_FAILURES, Failure
from netpulse.probes import messages, usual
from netpulse.probes.messages import Malformed, Question
from netpulse.probes.plain import PlainWire
from netpulse.rules.targets import Endpoint

ROUNDS = 3
"""How often each server is asked before there is silence."""
_PATIENCE = 2.0
"""Seconds before the next server is asked, or the same one again."""
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


class _Line:
    """The socket to one server for one question."""

    __slots__ = ("_arrived", "_loop", "_waiter", "sock", "strays")

    def __init__(self, sock: socket.SocketType) -> None:
        self.sock = sock
        self.strays = 0
        self._loop = asyncio.get_running_loop()
        self._arrived: list[bytes | OSError] = []
        self._waiter: asyncio.Future[None] | None = None
        self._loop.add_reader(sock.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            self._arrived.append(self.sock.recv(65_535))
        except BlockingIOError:
            return
        except OSError as error:
            self._arrived.append(error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def arrived(self) -> bytes | OSError:
        """Return the next packet, or what the system says of the way there."""
        while not self._arrived:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._arrived.pop(0)

    def close(self) -> None:
        """Hear nothing any more."""
        self._loop.remove_reader(self.sock.fileno())
        self.sock.close()


async def ask(
    egress: Egress,
    servers: Sequence[Endpoint],
    asked: Question,
    *,
    ours: bool,
    deadline: float,
) -> Answer:
    """Return the first answer that a server gives, asking one after the other, and again.

    A server that cannot answer (SERVFAIL, REFUSED …) is passed over while there are others.
    `ours`: the servers are this host's own. `deadline` is a moment of the loop's clock.

    Raises:
        Silence: nobody answered by then.
        DialError: no server can be reached, or the answer cannot be read (dns malformed).
    """
    lines: dict[Endpoint, _Line] = {}
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
            wait = left if last else min(_PATIENCE, left / (len(turns) - number))
            # Servers behind old firewalls never see a question with EDNS.
            wire = asked.plain_wire if number >= len(servers) * (ROUNDS - 1) else asked.wire
            try:
                if server not in lines:
                    lines[server] = _open(egress, server, ours)
                answer = await _try(
                    egress, lines[server], server, asked, wire, ours, wait, deadline
                )
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


def _address(server: Endpoint) -> Address:
    return Address(socket.AF_INET6 if ":" in server.host else socket.AF_INET, server.host)


def _open(egress: Egress, server: Endpoint, ours: bool) -> _Line:
    return _Line(egress.datagram(_address(server), server.port, ours=ours))


async def _try(
    egress: Egress,
    line: _Line,
    server: Endpoint,
    asked: Question,
    wire: bytes,
    ours: bool,
    wait: float,
    deadline: float,
) -> Answer | None:
    """Ask one server once over UDP, and over TCP where it says so; None after `wait` seconds."""
    until = asyncio.get_running_loop().time() + wait
    _send(line, server, wire)
    while True:
        try:
            with Deadline(until):
                arrived = await line.arrived()
        except TimeoutError:
            return None
        if isinstance(arrived, OSError):
            raise _unheard(arrived, server) from None
        if not messages.is_for(asked, arrived):
            line.strays += 1
            continue
        records = usual.records(asked, arrived)
        if records is not None:
            return Answer(None, server, records)
        message = await _read(asked, arrived, server)
        if wire is asked.wire and messages.rcode(message) in _WITHOUT_EDNS:
            wire = asked.plain_wire
            _send(line, server, wire)
            continue
        if messages.is_truncated(message):
            message = await _over_tcp(egress, server, asked, wire, ours, deadline)
        return Answer(message, server)


def _send(line: _Line, server: Endpoint, wire: bytes) -> None:
    try:
        line.sock.send(wire)
    except BlockingIOError:
        return  # the next turn sends again
    except OSError as error:
        raise _unheard(error, server) from None


def _unheard(error: OSError, server: Endpoint) -> DialError:
    where = shown_endpoint(*server)
    told = from_connect(error, _address(server).family, server.host, server.port)
    if told.failure is Failure.REFUSED:
        told.message = f"{where} refuses: no name server listens there"
    return told


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
        sock = await egress.stream(_address(server), server.port, ours=ours, deadline=deadline)
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
