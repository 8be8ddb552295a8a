"""Waiting for sockets that live for one question: an epoll of our own, which the loop watches.

The loop's own registration of a socket takes six calls to the system and an object, which is half
of what a question and its answer cost together. Here it takes one call, and closing the socket
ends it.
"""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Callable
from functools import partial

from netpulse.egress.trouble import from_local

AT_ONCE = 256
"""Sockets that are looked after in one turn of the loop; the others have the next one."""
_READABLE = select.EPOLLIN | select.EPOLLONESHOT
_WRITABLE = select.EPOLLOUT | select.EPOLLONESHOT


class Watch:
    """The sockets of one loop that somebody waits for."""

    __slots__ = ("_epoll", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._waiting: dict[int, Callable[[float], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def call(self, descriptor: int, told: Callable[[float], None], *, writing: bool) -> None:
        """Have `told` called once, with the moment of `time.perf_counter` at which it was seen that
        there is something to read, an end or an error; or room to write, if `writing`. What it
        raises is logged.

        Raises:
            DialError: this host lets nobody wait for more sockets.
        """
        events = _WRITABLE if writing else _READABLE
        try:
            self._epoll.register(descriptor, events)
        except FileExistsError:
            # Waited for before, and asleep since.
            self._epoll.modify(descriptor, events)
        except OSError as error:
            raise from_local(error) from None
        self._waiting[descriptor] = told

    def forget(self, descriptor: int) -> None:
        """Wait no more, before the socket is closed: nothing that is still to come for it may wake
        the next one of this number."""
        if self._waiting.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    async def readable(self, descriptor: int) -> float:
        """Wait until there is something to read, an end or an error; return the moment at which
        that was seen, of `time.perf_counter`.
        """
        return await self._event(descriptor, writing=False)

    async def writable(self, descriptor: int) -> None:
        """Wait until there is room to write, or an error: of a connection, until it stands."""
        await self._event(descriptor, writing=True)

    async def _event(self, descriptor: int, *, writing: bool) -> float:
        waiter: asyncio.Future[float] = self.loop.create_future()
        self.call(descriptor, partial(_wake, waiter), writing=writing)
        try:
            return await waiter
        except BaseException:
            self.forget(descriptor)
            raise

    def _look(self) -> None:
        ready = self._epoll.poll(0, AT_ONCE)
        now = time.perf_counter()
        for descriptor, _ in ready:
            told = self._waiting.pop(descriptor, None)
            if told is not None:
                try:
                    told(now)
                except Exception as error:  # noqa: BLE001 - the others have to hear of theirs
                    self.loop.call_exception_handler(
                        {"message": "whoever waited for a socket broke", "exception": error}
                    )


def _wake(waiter: asyncio.Future[float], now: float) -> None:
    if not waiter.done():
        waiter.set_result(now)


class _Latest(threading.local):
    """The watch of the loop that a thread ran last: nearly always the one that runs now. One that
    is replaced goes on for those who hold it."""

    watch: Watch | None = None


_latest = _Latest()


def watch() -> Watch:
    """Return the watch of the running loop.

    Raises:
        DialError: there is no descriptor left for it.
    """
    loop = asyncio.get_running_loop()
    found = _latest.watch
    if found is None or found.loop is not loop:
        try:
            found = _latest.watch = Watch(loop)
        except OSError as error:
            raise from_local(error) from None
    return found
