"""One ICMP socket, the echo requests that went through it, and what is heard of them."""

from __future__ import annotations

import asyncio
import errno
import math
import secrets
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from netpulse.egress import deadlines, echo, entropy, icmp_socket
from netpulse.egress.icmp_socket import Trouble
from netpulse.egress.trouble import DialError

RENEWED_AFTER = 60.0
"""Seconds after which a datagram socket is replaced. The kernel gives it one identifier for all
its pings, and a firewall that has a wrong idea of one keeps it as long as pings go on."""

SLEWED = 0.001
"""Seconds that the wall clock may run ahead of the other one while a packet waits for us."""
MOST_WAITING = 30_000
_AT_ONCE = 64
"""Packets read before the rest of the program has its turn."""
_MOST_BEHIND = 64
"""Times as many that are read before a deadline counts as missed."""
READ_AFTER = 32
"""Packets sent in a row before what came back is read: the kernel keeps only so many for us."""

_KEY = struct.Struct("!HH")
_IP_HEADER_BYTES = 20


class Round:
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


class Request(ABC):
    """One request on its way."""

    __slots__ = ("address", "came", "key", "packet", "reply", "sent_at", "token")

    def __init__(self, family: int, key: tuple[int, int], token: bytes, address: str) -> None:
        self.key = key
        self.address = address
        self.token = token
        self.packet, self.reply = echo.exchange(family, key, token)
        """What is sent, and what comes back in nearly every case."""
        self.sent_at = 0.0
        self.came: float | Trouble | None = None
        """Milliseconds of its way there and back, or what was said instead."""

    @abstractmethod
    def settle(self, result: float | Trouble) -> None:
        """Note what came of it, and tell whoever waits; the first word counts."""


class OneOfSome(Request):
    """A request of a round."""

    __slots__ = ("_round",)

    def __init__(
        self, family: int, key: tuple[int, int], token: bytes, address: str, whose: Round
    ) -> None:
        super().__init__(family, key, token, address)
        self._round = whose
        whose.begun()

    def settle(self, result: float | Trouble) -> None:
        if self.came is None:
            self.came = result
            self._round.ended()


class Lone(Request):
    """A request whose end is told by a call, once: no task waits for it."""

    __slots__ = ("_dropped", "_grain", "_line", "_told")

    def __init__(
        self,
        line: Line,
        key: tuple[int, int],
        token: bytes,
        address: str,
        at: float,
        told: Callable[[Lone], None],
    ) -> None:
        """Wait from now until the loop's moment `at` at most."""
        # All that `Request` has: a thousand of these are made in a second.
        self.key = key
        self.address = address
        self.token = token
        self.packet, self.reply = echo.exchange(line.family, key, token)
        self.sent_at = 0.0
        self.came = None
        self._line = line
        self._told: Callable[[Lone], None] | None = told
        self._dropped = line.dropped
        self._grain = line.wheel.add(self, at)

    @property
    def may_be_unread(self) -> bool:
        """Tell whether packets that came since this was sent were thrown away by the kernel, or not
        read for a mistake of ours."""
        return self._line.dropped != self._dropped

    def settle(self, result: float | Trouble | None) -> None:
        """Tell of it, unless nobody waits any more. None: nothing came."""
        told = self._told
        if told is not None:
            self._told = None
            self.came = result
            self._line.wheel.drop(self, self._grain)
            told(self)

    def cancel(self) -> None:
        """Wait no more; nothing is told."""
        self._told = None
        self._line.wheel.drop(self, self._grain)
        self._line.forget(self)

    def strike(self) -> None:
        """The deadline has come: what arrived before it may not have been read yet."""
        try:
            if self._told is not None:
                self._line.catch_up()
        except Exception:
            self._dropped = -1  # its answer may be among what was not read
            raise
        finally:
            # Nothing else would ever end it.
            if self._told is not None:
                self._line.forget(self)
                self.settle(None)


class Line:
    """One socket, and the requests sent through it."""

    def __init__(self, family: int) -> None:
        """Open it on the running loop.

        Raises:
            DialError: this host does not let us.
        """
        self.family = family
        self.waiting: dict[tuple[int, int], Request] = {}
        self._loop = asyncio.get_running_loop()
        self.wheel = deadlines.wheel_of(self._loop)
        self._opened, self.raw = icmp_socket.opened(family)
        self._sock: socket.socket = self._opened.sock
        icmp_socket.prepare(self._sock, raw=self.raw)
        self._ident = None if self.raw else icmp_socket.identified(self._sock)
        self._sequence = secrets.randbelow(0x10000)
        self._random = entropy.Pool()
        self.held = 0
        """How many checks have more to send through it."""
        self._unread = 0
        self.dropped = 0
        """Packets that the kernel threw away because we had not read the earlier ones."""
        self._reply_at = _IP_HEADER_BYTES if self.raw and family == socket.AF_INET else 0
        self._usual_bytes = self._reply_at + echo.PACKET_BYTES
        self._worn_at = math.inf if self.raw else time.monotonic() + RENEWED_AFTER
        self._loop.add_reader(self._sock.fileno(), self._hear)

    @property
    def is_worn(self) -> bool:
        """Tell whether new pings should go through a new socket."""
        return len(self.waiting) >= MOST_WAITING or time.monotonic() > self._worn_at

    def fresh(self) -> tuple[int, int]:
        """Return an identifier and a first sequence number for one host's pings."""
        if self._ident is None:
            ident, sequence = _KEY.unpack(self._random.fresh(_KEY.size))
            return ident, sequence
        return self._ident, self._sequence

    def prepare(self, ident: int, sequence: int, address: str, whose: Round) -> OneOfSome:
        """Return a request that is waited for from now on."""
        key = self._free(ident, sequence)
        token = self._random.fresh(echo.TOKEN_BYTES)
        one = self.waiting[key] = OneOfSome(self.family, key, token, address, whose)
        return one

    def ask(self, address: str, seconds: float, told: Callable[[Lone], None]) -> Lone | None:
        """Send a request, and call `told` with it when its answer came, or `seconds` are over.

        None where that cannot be done at once, for whatever reason: nothing is told then.
        """
        if self._ident is None:
            drawn = self._random.fresh(_KEY.size + echo.TOKEN_BYTES)
            key: tuple[int, int] = _KEY.unpack_from(drawn)
            token = drawn[_KEY.size :]
            if key in self.waiting:
                key = self._free(*key)
        else:
            key = self._free(self._ident, self._sequence)
            token = self._random.fresh(echo.TOKEN_BYTES)
        # The loop's own time is that of its last waking; it is the same clock.
        until = time.monotonic() + seconds
        one = self.waiting[key] = Lone(self, key, token, address, until, told)
        try:
            if self.send(one):
                return one
        except (DialError, OSError):
            pass  # whoever pings again hears of it
        one.cancel()
        return None

    def _free(self, ident: int, sequence: int) -> tuple[int, int]:
        key = (ident, sequence)
        if self._ident is not None:
            key = (ident, self._next_free())
        while key in self.waiting:
            key = (secrets.randbelow(0x10000), sequence)
        return key

    def _next_free(self) -> int:
        assert self._ident is not None
        while (self._ident, self._sequence) in self.waiting:
            self._sequence = (self._sequence + 1) & 0xFFFF
        found = self._sequence
        self._sequence = (found + 1) & 0xFFFF
        return found

    def send(self, one: Request) -> bool:
        """Send a request; False where the kernel takes no more just now.

        Raises:
            DialError: this host cannot send it.
        """
        self._unread += 1
        if self._unread > READ_AFTER:
            self._hear(watched=False)
        for _ in range(3):
            one.sent_at = time.perf_counter()
            try:
                self._sock.sendto(one.packet, (one.address, 0))
            except BlockingIOError:
                return False
            except OSError as error:
                # An earlier request's trouble is told to whoever sends next: send again.
                if error.errno == errno.ECONNREFUSED or self._heard_troubles():
                    continue
                told = icmp_socket.unsent(error, self.family, one.address)
                if isinstance(told, Trouble):
                    self.forget(one)
                    one.settle(told)
                    return True
                raise told from None
            return True
        # Others' troubles came each time: it is not on its way.
        return False

    def forget(self, one: Request) -> None:
        """Stop waiting: what comes now is late."""
        if self.waiting.get(one.key) is one:
            del self.waiting[one.key]

    def close(self) -> None:
        """Close the socket; of those on their way nothing is told any more."""
        for one in [*self.waiting.values()]:
            if isinstance(one, Lone):
                one.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._opened.close()

    # ---------------------------------------------------------------- hearing

    def catch_up(self) -> None:
        """Read all that came until now."""
        for _ in range(_MOST_BEHIND):
            if self._hear(watched=False) < _AT_ONCE:
                return

    def _hear(self, *, watched: bool = True) -> int:
        """Read what came, and return how many packets that were; `watched`: the loop calls, so
        that there must be something."""
        packets = self._unread = 0
        erred = False
        at, usual, waiting = self._reply_at, self._usual_bytes, self.waiting
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
            age = wall - stamp if stamp else 0.0
            if len(packet) == usual:
                # Nearly every packet is to its last byte what is awaited, and needs no reading.
                key: Any = _KEY.unpack_from(packet, at + 4)
                one = waiting.get(key)
                if one is not None and packet[at:] == one.reply and source[0] == one.address:
                    self._came(one, now, age)
                    continue
            heard = echo.read(self.family, packet, raw=self.raw)
            if isinstance(heard, echo.EchoReply):
                self._reply(heard, echo.plain(source[0]), now, age)
            elif heard is not None:
                self._trouble(heard, echo.plain(source[0]))
        if self._heard_troubles() or erred or (not packets and watched):
            # uvloop gives a socket up once it had an error, and says so to nobody.
            self._loop.remove_reader(self._sock.fileno())
            self._loop.add_reader(self._sock.fileno(), self._hear)
        return packets

    def _reply(self, heard: echo.EchoReply, source: str, now: float, age: float) -> None:
        one = self.waiting.get((heard.ident, heard.sequence))
        if one is None or source != one.address or heard.payload[: len(one.token)] != one.token:
            return
        self._came(one, now, age)

    def _came(self, one: Request, now: float, age: float) -> None:
        took = now - one.sent_at
        # The kernel's stamp is of the wall clock, which may have been set in between; where it
        # is only corrected, a short way may seem a hair shorter than nothing.
        if 0.0 < age < took + SLEWED:
            took = max(0.0, took - age)
        del self.waiting[one.key]
        one.settle(took * 1000)

    def _trouble(self, heard: echo.EchoTrouble, source: str) -> None:
        one = self.waiting.get((heard.ident, heard.sequence))
        if one is None or heard.destination not in {None, one.address}:
            return
        detail, said = echo.explain(self.family, heard, source)
        self.forget(one)
        one.settle(Trouble(detail, said, source))

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
