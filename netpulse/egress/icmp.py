"""Pings: one socket for each family, however many hosts are pinged at once.

A datagram socket where the system lets everybody ping (net.ipv4.ping_group_range), else a raw one
where NetPulse may open it. A reply counts only with its identifier, sequence number and token, and
from the address that was asked. Round trips end when the kernel received the reply, not when we
came to read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
import time

from msgspec import Struct

from netpulse.egress import echo, entropy, icmp_socket
from netpulse.egress.deadlines import Deadline
from netpulse.egress.icmp_socket import Trouble
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError
from netpulse.model.check import Failure

RENEWED_AFTER = 60.0
"""Seconds after which a datagram socket is replaced. The kernel gives it one identifier for all
its pings, and a firewall that has a wrong idea of one keeps it as long as pings go on."""

SLEWED = 0.001
"""Seconds that the wall clock may run ahead of the other one while a packet waits for us."""
MOST_WAITING = 30_000
_AT_ONCE = 64
"""Packets read before the rest of the program has its turn."""

_READ_AFTER = 32
"""Packets sent in a row before what came back is read: the kernel keeps only so many for us."""


class Pinged(Struct, frozen=True):
    """What came of some echo requests to one address."""

    address: str
    sent: int
    round_trips: tuple[float, ...]
    """Milliseconds, of those that came back, in the order they were sent."""
    trouble: Trouble | None = None
    """The last word from the way, if there was any."""


class _Round:
    """The requests of one check: whoever waits for all of them waits for one thing."""

    __slots__ = ("_loop", "_waiter", "open")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.open = 0
        """How many are on their way."""
        self._waiter: asyncio.Future[None] | None = None

    def begun(self) -> None:
        """One more is on its way."""
        self.open += 1

    def ended(self) -> None:
        """One came back."""
        self.open -= 1
        if not self.open and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def all_back(self) -> None:
        """Wait until none is on its way."""
        if self.open:
            self._waiter = self._loop.create_future()
            await self._waiter


class _Waiting:
    """One request on its way."""

    __slots__ = ("address", "came", "key", "round", "sent_at", "token")

    def __init__(self, key: tuple[int, int], address: str, whose: _Round) -> None:
        self.key = key
        self.address = address
        self.token = entropy.fresh(echo.TOKEN_BYTES)
        self.sent_at = 0.0
        self.came: float | Trouble | None = None
        """Milliseconds of its way there and back, or what was said instead."""
        self.round = whose
        whose.begun()

    def settle(self, result: float | Trouble) -> None:
        """Note what came of it; the first word counts."""
        if self.came is None:
            self.came = result
            self.round.ended()


class Pinger:
    """Sends echo requests and hears the answers. Bound to the event loop that first uses it."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._leaving: set[_Line] = set()

    async def ping(self, address: Address, *, packets: int, gap: float, deadline: float) -> Pinged:
        """Send `packets` echo requests to `address`, `gap` seconds apart, and wait for answers
        until `deadline`, a moment of the loop's clock.

        Raises:
            DialError: this host cannot send them: own_permission, own_limit, own_network.
        """
        loop = asyncio.get_running_loop()
        line = self._line(address.family)
        waiting: list[_Waiting] = []
        ident, sequence = line.fresh()
        began, dropped, whose = loop.time(), line.dropped, _Round(loop)
        try:
            for number in range(packets):
                if number:
                    pause = began + number * gap - loop.time()
                    if pause > 0:
                        await asyncio.sleep(pause)
                    if loop.time() >= deadline:
                        break
                one = line.prepare(ident, (sequence + number) & 0xFFFF, address.text, whose)
                waiting.append(one)
                while not line.send(one):
                    # The kernel's buffer is full for a moment.
                    await asyncio.sleep(0.005)
                    if loop.time() >= deadline:
                        raise _no_buffer(address)
            if whose.open:
                with contextlib.suppress(TimeoutError), Deadline(deadline):
                    await whose.all_back()
        finally:
            for one in waiting:
                if one.came is None:
                    line.forget(one)
            if self._leaving:
                self._let_go()
        if line.dropped != dropped and not all(one.came is not None for one in waiting):
            raise DialError(
                Failure.OWN_LIMIT,
                "overflow",
                "more ICMP packets came than NetPulse could read: it is not known which were lost",
                address=address.text,
            )
        troubles = [one.came for one in waiting if isinstance(one.came, Trouble)]
        return Pinged(
            address=address.text,
            sent=len(waiting),
            round_trips=tuple([one.came for one in waiting if isinstance(one.came, float)]),
            trouble=troubles[-1] if troubles else None,
        )

    def close(self) -> None:
        """Close the sockets."""
        for line in (*self._lines.values(), *self._leaving):
            line.close()
        self._lines.clear()
        self._leaving.clear()

    def _line(self, family: int) -> _Line:
        line = self._lines.get(family)
        if line is not None and not line.is_worn:
            return line
        fresh = _Line(family)
        if line is not None:
            self._leaving.add(line)
        self._lines[family] = fresh
        return fresh

    def _let_go(self) -> None:
        for line in [each for each in self._leaving if not each.waiting]:
            line.close()
            self._leaving.discard(line)


class _Line:
    """One socket, and the requests sent through it."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.waiting: dict[tuple[int, int], _Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._opened, self.raw = icmp_socket.opened(family)
        self._sock: socket.socket = self._opened.sock
        icmp_socket.prepare(self._sock, raw=self.raw)
        self._ident = None if self.raw else icmp_socket.identified(self._sock)
        self._sequence = secrets.randbelow(0x10000)
        self._unread = 0
        self.dropped = 0
        """Packets that the kernel threw away because we had not read the earlier ones."""
        self._loop.add_reader(self._sock.fileno(), self._hear)

    @property
    def is_worn(self) -> bool:
        """Tell whether new pings should go through a new socket."""
        if len(self.waiting) >= MOST_WAITING:
            return True
        return not self.raw and self._loop.time() - self._opened_at > RENEWED_AFTER

    def fresh(self) -> tuple[int, int]:
        """Return an identifier and a first sequence number for one host's pings."""
        if self._ident is None:
            both = int.from_bytes(entropy.fresh(4), "big")
            return both >> 16, both & 0xFFFF
        return self._ident, self._sequence

    def prepare(self, ident: int, sequence: int, address: str, whose: _Round) -> _Waiting:
        """Return a request that is waited for from now on."""
        key = (ident, sequence)
        if self._ident is not None:
            key = (ident, self._next_free())
        while key in self.waiting:
            key = (secrets.randbelow(0x10000), sequence)
        one = _Waiting(key, address, whose)
        self.waiting[key] = one
        return one

    def _next_free(self) -> int:
        assert self._ident is not None
        while (self._ident, self._sequence) in self.waiting:
            self._sequence = (self._sequence + 1) & 0xFFFF
        found = self._sequence
        self._sequence = (found + 1) & 0xFFFF
        return found

    def send(self, one: _Waiting) -> bool:
        """Send a request; False where the kernel takes no more just now.

        Raises:
            DialError: this host cannot send it.
        """
        packet = echo.request(self.family, *one.key, one.token)
        self._unread += 1
        if self._unread > _READ_AFTER:
            self._hear(watched=False)
        for _ in range(3):
            one.sent_at = time.perf_counter()
            try:
                self._sock.sendto(packet, (one.address, 0))
            except BlockingIOError:
                return False
            except OSError as error:
                # An earlier request's trouble is told to whoever sends next: send again.
                if error.errno == errno.ECONNREFUSED or self._heard_troubles():
                    continue
                told = icmp_socket.unsent(error, self.family, one.address)
                if isinstance(told, Trouble):
                    one.settle(told)
                    self.forget(one)
                    return True
                raise told from None
            return True
        return True

    def forget(self, one: _Waiting) -> None:
        """Stop waiting: what comes now is late."""
        if self.waiting.get(one.key) is one:
            del self.waiting[one.key]

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._sock.fileno())
        self._opened.close()

    # ---------------------------------------------------------------- hearing

    def _hear(self, *, watched: bool = True) -> None:
        """Read what came; `watched`: the loop calls, so that there must be something."""
        packets = self._unread = 0
        erred = False
        for _ in range(_AT_ONCE):
            try:
                packet, control, _, source = self._sock.recvmsg(1024, 256)
            except BlockingIOError:
                break
            except OSError:
                # What is wrong is in the queue beside.
                erred = True
                self._heard_troubles()
                continue
            packets += 1
            # In this order: a moment lost in between counts as the way, not as our waiting.
            wall, now = time.time(), time.perf_counter()
            lost, stamp = icmp_socket.told(control)
            if lost:
                self.dropped = lost
            heard = echo.read(self.family, packet, raw=self.raw)
            if isinstance(heard, echo.EchoReply):
                self._reply(heard, echo.plain(source[0]), now, wall - stamp if stamp else 0.0)
            elif heard is not None:
                self._trouble(heard, echo.plain(source[0]))
        if self._heard_troubles() or erred or (not packets and watched):
            # uvloop gives a socket up once it had an error, and says so to nobody.
            self._loop.remove_reader(self._sock.fileno())
            self._loop.add_reader(self._sock.fileno(), self._hear)

    def _reply(self, heard: echo.EchoReply, source: str, now: float, age: float) -> None:
        one = self.waiting.get((heard.ident, heard.sequence))
        if one is None or source != one.address or heard.payload[: len(one.token)] != one.token:
            return
        took = now - one.sent_at
        # The kernel's stamp is of the wall clock, which may have been set in between; where it
        # is only corrected, a short way may seem a hair shorter than nothing.
        if 0.0 < age < took + SLEWED:
            took = max(0.0, took - age)
        one.settle(took * 1000)
        self.forget(one)

    def _trouble(self, heard: echo.EchoTrouble, source: str) -> None:
        one = self.waiting.get((heard.ident, heard.sequence))
        if one is None or heard.destination not in {None, one.address}:
            return
        detail, said = echo.explain(self.family, heard, source)
        one.settle(Trouble(detail, said, source))
        self.forget(one)

    def _heard_troubles(self) -> bool:
        """Read the queue of errors that Linux keeps for a datagram socket; tell if it had any."""
        if self.raw or not hasattr(socket, "MSG_ERRQUEUE"):
            return False
        found = False
        for _ in range(_AT_ONCE):
            try:
                sent, control, _, to = self._sock.recvmsg(1024, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            found = True
            for data in icmp_socket.errors(control):
                heard = echo.read_queued(self.family, sent, data)
                if heard is not None:
                    # Linux tells beside it where the request was going (recvmsg(2)).
                    heard = heard._replace(destination=echo.plain(to[0]) if to else None)
                    self._trouble(heard, icmp_socket.offender(data))
        return found


def _no_buffer(address: Address) -> DialError:
    return DialError(
        Failure.OWN_LIMIT,
        "enobufs",
        f"this host's network takes no more packets for {address.text}",
        address=address.text,
    )
