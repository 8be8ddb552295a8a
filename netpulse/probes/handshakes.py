"""Threads that shake hands where the loop has more of it to do than it can.

Verifying signatures is OpenSSL's work and needs no interpreter, so that another core can do it.
What it costs is being handed over: the interpreter goes there and back, and a loop that sleeps has
to be woken. So a thread takes what there is without being asked anew, and calls the loop once for
all that it has done meanwhile; and it has a heap of its own (`engine.memory`), or both would wait
for each other at every block that OpenSSL takes and gives back: that costs more than all the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

PER_THREAD = 16
"""Handshakes that a thread may have before it: the loop says only once in a turn what has ended."""
RELIEF_SECONDS = 1.0
"""Checks that began late say so for this long: what they left undone takes a while to do."""


def _further_cores() -> int:
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return min(found - 1, 4)


THREADS = _further_cores()
"""One for each core beside the loop's, four at most."""


def step(tls: ssl.SSLObject) -> bool:
    """Go on with a handshake; False where it needs to hear more.

    Raises:
        ssl.SSLError: both sides do not agree, or the certificate does not verify.
    """
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


class _Desk:
    """Where the threads lay what they have done for one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[tuple[asyncio.Future[bool], bool | BaseException]] = deque()
        self._called = False

    def lay(self, waiter: asyncio.Future[bool], outcome: bool | BaseException) -> None:
        """Lay down what became of a step, in a thread; the loop is called once for all of them."""
        self._done.append((waiter, outcome))
        if not self._called:
            self._called = True
            try:
                self.loop.call_soon_threadsafe(self._tell)
            except BaseException as error:
                # Or it would not be called with the next outcome either.
                self._called = False
                # Of a loop that was closed meanwhile nobody waits any more.
                if not isinstance(error, RuntimeError):
                    raise

    def _tell(self) -> None:
        # Before looking: what is laid down from now on calls again.
        self._called = False
        while self._done:
            waiter, outcome = self._done.popleft()
            if waiter.done():
                # Its deadline was first.
                continue
            if isinstance(outcome, BaseException):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)


class Lain:
    """How long a piece of work lay there for us: before a thread, and done before it was told."""

    __slots__ = ("_begun_at", "_ended_at", "_handed_at")

    def __init__(self) -> None:
        """It is handed over now."""
        self._handed_at = time.perf_counter()
        self._begun_at: float | None = None
        self._ended_at: float | None = None

    def done(self, work: Callable[[], T]) -> T:
        """Do the work, in a thread: what it takes itself is not ours."""
        self._begun_at = time.perf_counter()
        try:
            return work()
        finally:
            self._ended_at = time.perf_counter()

    def seconds(self) -> float:
        """Return how long it lay there until now, when it is told or its deadline strikes."""
        now = time.perf_counter()
        begun_at, ended_at = self._begun_at, self._ended_at
        before = (now if begun_at is None else begun_at) - self._handed_at
        return before + (0.0 if ended_at is None else now - ended_at)


class _Handed(NamedTuple):
    """A step that a thread is to do."""

    tls: ssl.SSLObject
    waiter: asyncio.Future[bool]
    desk: _Desk
    lain: Lain


class Handshakes:
    """The threads that shake hands for whoever has no time to, and what lies before them."""

    def __init__(self, threads: int = THREADS) -> None:
        """Have so many threads once they are needed, or from `start` on."""
        self._threads = threads
        self.free = threads * PER_THREAD
        """How many more may be handed over now."""
        self._wanted_until = 0.0
        self._desk: _Desk | None = None
        self._lock = threading.Lock()
        self._handed: deque[_Handed] = deque()
        self._at_work = 0
        """Threads that look into `_handed` before they rest."""
        self._pool: ThreadPoolExecutor | None = None
        self._slow_pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Make the threads now. The first threads of a process have heaps of their own.

        Raises:
            RuntimeError: the system starts no more threads.
        """
        if self._threads > 0:
            all_there = threading.Barrier(self._threads + 1)
            try:
                for _ in range(self._threads):
                    self._made().submit(all_there.wait)
                all_there.wait()
            except BaseException:
                # Those that are there would wait for the rest, and the process never end.
                all_there.abort()
                raise

    def relieve(self) -> None:
        """Have the threads take what they can for the next second: checks begin late, because the
        loop has too much to do. On the loop."""
        self._wanted_until = time.perf_counter() + RELIEF_SECONDS

    def are_wanted(self) -> bool:
        """Tell whether checks began late within the last second."""
        return time.perf_counter() < self._wanted_until

    async def step(self, tls: ssl.SSLObject, ours: Callable[[float], None]) -> bool:
        """Go on with a handshake in a thread; as `step`. Nobody else may touch `tls` meanwhile, nor
        once the caller's time is up: the thread is not interrupted. However it ends, `ours` is told
        the seconds that it lay there for others of ours: they are not the target's."""
        loop = asyncio.get_running_loop()
        desk = self._desk
        if desk is None or desk.loop is not loop:
            desk = self._desk = _Desk(loop)
        waiter: asyncio.Future[bool] = loop.create_future()
        lain = Lain()
        with self._lock:
            self._handed.append(_Handed(tls, waiter, desk, lain))
            one_more = self._at_work < max(1, self._threads)
            if one_more:
                self._at_work += 1
        if one_more:
            self._made().submit(self._work)
        self.free -= 1
        try:
            return await waiter
        finally:
            self.free += 1
            ours(lain.seconds())

    def _work(self) -> None:
        """Do what has been handed over until nothing is left; in a thread."""
        try:
            while True:
                with self._lock:
                    if not self._handed:
                        self._at_work -= 1
                        return
                    handed = self._handed.popleft()
                if handed.waiter.done():
                    continue
                try:
                    outcome: bool | BaseException = handed.lain.done(partial(step, handed.tls))
                except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
                    outcome = error
                handed.desk.lay(handed.waiter, outcome)
                # Or this one would be kept until the next comes.
                del handed, outcome
        except BaseException:
            # No memory is left, for instance. Who hands over next asks anew for a thread.
            with self._lock:
                self._at_work -= 1
            log.exception("a thread that shakes hands broke")
            raise

    def _made(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max(1, self._threads), "handshake")
        return self._pool

    async def slowly(
        self, work: Callable[[], T], ours: Callable[[float], None] = lambda _: None
    ) -> T:
        """Do in a thread what may take long: only others of its kind wait for it. `ours` as
        `step` has it."""
        if self._slow_pool is None:
            # A core is left to the loop, where there are two.
            most = max(1, min(self._threads, 2))
            self._slow_pool = ThreadPoolExecutor(most, "slow-handshake")
        lain = Lain()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._slow_pool, partial(lain.done, work)
            )
        finally:
            ours(lain.seconds())


HANDSHAKES = Handshakes()
"""Those of this process."""
