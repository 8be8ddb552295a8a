"""Open event streams: how many of whom, and that each ends with its reader's right to it.

Once a second one small question goes to the database: has anybody written to it, this process or
another? Only then, and when a sign-in ends by itself, the readers are asked again who they are. So
a disabled user, an ended session, a lowered role or a token that expired closes its streams within
AGAIN_SECONDS and two rounds, which is well under five seconds, and a quiet evening costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from netpulse.engine.clock import Clock
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.storage.db import Database

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
AGAIN_SECONDS = 2.0
"""How often at most a reader is asked: a busy instance writes every second."""
PER_USER = 30


class Ended(Exception):
    """The reader may not read on."""


class Stream:
    """One open stream, and its reader's right to it."""

    __slots__ = (
        "again",
        "asked_at",
        "carrier",
        "end",
        "ends_at",
        "leaving",
        "seen",
        "user_id",
    )

    def __init__(
        self,
        user_id: Id,
        ends_at: Millis | None,
        again: Callable[[], Awaitable[Millis | None]],
        end: Callable[[], None],
        leaving: asyncio.Event | None = None,
    ) -> None:
        """Take whose it is; when the sign-in ends by itself; what asks again and returns the new
        such moment, or raises Ended; what ends the stream; and what is set when its listener gives
        way to another one."""
        self.user_id = user_id
        self.ends_at = ends_at
        self.again = again
        self.end = end
        self.leaving = leaving
        self.carrier: asyncio.Task[Any] | None = None
        """The task that carries the stream to its reader."""
        self.asked_at = float("-inf")
        self.seen: int | None = None
        """The database's version when it was asked last."""


class Streams:
    """All open streams."""

    def __init__(self) -> None:
        """Begin without any."""
        self._open: dict[Id, set[Stream]] = {}
        self._rounds: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many are open."""
        return sum(len(streams) for streams in self._open.values())

    def __iter__(self) -> Iterator[Stream]:
        """Iterate over those that are open now."""
        return iter([stream for streams in self._open.values() for stream in streams])

    def is_full(self, user_id: Id) -> bool:
        """Tell whether a user has as many open as one may."""
        return len(self._open.get(user_id, ())) >= PER_USER

    def enter(self, stream: Stream, db: Database, clock: Clock, stopping: asyncio.Event) -> bool:
        """Watch a stream from now on, until `leave`; False: its user has too many open."""
        if self.is_full(stream.user_id):
            return False
        stream.carrier = asyncio.current_task()
        self._open.setdefault(stream.user_id, set()).add(stream)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._go_round(db, clock, stopping), name="streams")
        return True

    def leave(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        streams = self._open.get(stream.user_id, set())
        streams.discard(stream)
        if not streams:
            self._open.pop(stream.user_id, None)

    async def _go_round(self, db: Database, clock: Clock, stopping: asyncio.Event) -> None:
        try:
            while self._open:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ROUND_SECONDS):
                        await stopping.wait()
                    return
                if self._open:
                    version = await db.version()
                    for stream in self:
                        if stream.carrier is not None and stream.carrier.done():
                            # Its reader went away while we were sending: the generator stands
                            # where it was, and is not told.
                            stream.end()
                            self.leave(stream)
                        else:
                            await _ask(stream, version, clock)
        except Exception:
            log.exception("streams are not watched any more; all of them end")
        finally:
            for stream in self:
                stream.end()


async def _ask(stream: Stream, version: int, clock: Clock) -> None:
    """Ask the reader again if that may have another answer by now."""
    if stream.leaving is not None and stream.leaving.is_set():
        # The browser comes back by itself, to the listener that took over.
        stream.end()
        return
    now = asyncio.get_running_loop().time()
    is_changed = stream.seen != version and now - stream.asked_at >= AGAIN_SECONDS
    is_over = stream.ends_at is not None and stream.ends_at <= clock.now()
    if not is_changed and not is_over:
        return
    try:
        stream.ends_at = await stream.again()
    except Ended:
        stream.end()
    stream.seen, stream.asked_at = version, now
