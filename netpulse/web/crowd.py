"""When more connect than there is room for: those that ask for nothing make room for the others.

The server below takes so many connections and no more; whoever comes then waits in the kernel's
queue. Half a head of a request, sent by somebody who never sends the other half, keeps a place for
ten seconds, and some hundreds of them would keep everybody out for minutes where places are few. So
as long as somebody waits at the door, connections on which nothing was asked for half a second are
closed, those of strangers as well as those that a browser keeps for later. A request under way is
never touched, an event stream neither, nor an answer that has not arrived as a whole.

Linux only: how many wait is in the listening socket's TCP_INFO (tcp(7)), and which connections are
ours in /proc/self/fd. Elsewhere they end after ten seconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""How often we look whether somebody waits."""
PATIENCE_SECONDS = 0.5
"""How long a connection may ask for nothing while others wait. A head comes in one piece, and what
came while the connection waited itself is read at once; a handshake of TLS takes a way there and
back."""
QUIET_SECONDS = 10.0
"""After so long without anybody waiting a rush is over, and the next one is mentioned again."""
_PER_TURN = 200
"""Descriptors that are looked at in one turn of the loop: two milliseconds."""

_WAITING = struct.Struct("=24xI")
"""tcpi_unacked of struct tcp_info, which of a listening socket is the length of its queue."""


def can_watch() -> bool:
    """Tell whether this system says who waits."""
    return sys.platform == "linux"


class Asking:
    """From which ports requests are under way, and from which one was lately."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the clock (seconds)."""
        self._monotonic = monotonic
        self._under_way: Counter[int] = Counter()
        self._ended: dict[int, float] = {}
        """When the last request from a port was over, in the order of these moments."""

    def begin(self, port: int) -> None:
        """Note that a request from `port` is under way."""
        self._under_way[port] += 1

    def end(self, port: int) -> None:
        """Note that one is over."""
        self._under_way[port] -= 1
        if not self._under_way[port]:
            del self._under_way[port]
        self._ended.pop(port, None)
        self._ended[port] = self._monotonic()

    def __contains__(self, port: int) -> bool:
        """Tell whether a request from `port` is under way, or was within `PATIENCE_SECONDS`.

        Between two looks many are answered on a connection that is in constant use.
        """
        if port in self._under_way:
            return True
        ended = self._ended.get(port)
        return ended is not None and self._monotonic() - ended < PATIENCE_SECONDS

    def forget(self) -> None:
        """Forget what was over longer ago than that."""
        until = self._monotonic() - PATIENCE_SECONDS
        while self._ended:
            port, ended = next(iter(self._ended.items()))
            if ended > until:
                break
            del self._ended[port]


class Crowd:
    """Keeps places free behind one listening socket."""

    def __init__(self, door: socket.socket, asking: Asking) -> None:
        """Take the listening socket, which somebody else closes, and the ports that people ask
        from. The address is left out, since there is more than one way to write it."""
        self._door = door
        self._port = door.getsockname()[1]
        self._asking = asking
        self._idle: dict[tuple[str, int], float] = {}
        """Since when (monotonic seconds) a peer asks for nothing, as far as was looked."""

    async def watch(self) -> None:
        """Make room whenever somebody waits, until cancelled."""
        closed, began, last = 0, 0.0, 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._asking.forget()
            if self._waiting():
                last = now
                more = await self._make_room(now)
                if more and not closed:
                    began = now
                    log.warning(
                        "more connections come than there is room for: "
                        "those that ask for nothing are closed"
                    )
                closed += more
                continue
            self._idle.clear()
            if closed and now - last > QUIET_SECONDS:
                seconds = round(last - began)
                log.info("there is room for connections again: %d closed in %d s", closed, seconds)
                closed = 0

    def _waiting(self) -> int:
        """Return how many connections wait to be taken."""
        info = self._door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
        (waiting,) = _WAITING.unpack(info)
        return int(waiting)

    async def _make_room(self, now: float) -> int:
        """Close what has asked for nothing long enough; return how many that were."""
        before, self._idle, closed = self._idle, {}, 0
        for place, number in enumerate(_descriptors()):
            if place % _PER_TURN == _PER_TURN - 1:
                await asyncio.sleep(0)
            peer = self._idle_peer(number)
            if peer is None:
                continue
            since = before.get(peer, now)
            if now - since < PATIENCE_SECONDS:
                self._idle[peer] = since
            else:
                closed += _shut(number)
        return closed

    def _idle_peer(self, number: int) -> tuple[str, int] | None:
        """Return who is at the other end of a descriptor; None where it is no connection to our
        door, or one with a request under way or an answer on its way: the server below keeps what
        the system does not take yet.

        No copy is made of the descriptor: of the database's files one must not be closed, since
        their locks end with any of the copies. Between here and `_shut` this thread does nothing
        else, so that the number cannot become the socket of a check.
        """
        try:
            held = socket.socket(fileno=number)
        except OSError:  # no socket, or closed meanwhile
            return None
        try:
            if held.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if held.getsockname()[1] != self._port:
                return None
            address, port = held.getpeername()[:2]
            if port in self._asking or _unsent(number):
                return None
        except OSError:  # the door itself, or one that is gone
            return None
        finally:
            held.detach()
        return address, port


def _descriptors() -> list[int]:
    """Return the open descriptors; none where there is none left to read them with."""
    try:
        return [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    except OSError:
        return []


def _unsent(number: int) -> int:
    """Return how many bytes of a connection the other side has not acknowledged (SIOCOUTQ)."""
    (left,) = struct.unpack("=i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
    return int(left)


def _shut(number: int) -> int:
    """End the connection of a descriptor, which the server below sees and closes; return 1, or 0
    where it had ended."""
    try:
        held = socket.socket(fileno=number)
    except OSError:  # the server closes them in threads of its own
        return 0
    try:
        held.shutdown(socket.SHUT_RDWR)
    except OSError:
        return 0
    finally:
        held.detach()
    return 1
