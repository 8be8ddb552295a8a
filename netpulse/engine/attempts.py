"""Attempts: what is sent side by side; what came of it is written down, however long that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
P = ParamSpec("P")
T = TypeVar("T")

TROUBLE_SECONDS = 1.0
STOP_SECONDS = 2.0


class NotNoted(Exception):
    """What came of an attempt could not be written before the end; that is counted."""


class Attempts(Generic[K]):
    """Tasks under way, each under a key of its own."""

    def __init__(self, db: Database, *, name: str) -> None:
        """Take where outcomes are written; `name` says in the log what attempts these are."""
        self._db = db
        self._name = name
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self.are_ending = False
        """Nothing more is to be begun."""
        self._not_noted = 0
        """Those whose outcome could not be written before the end."""

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._tasks)

    @property
    def keys(self) -> Iterable[K]:
        """Those under way, the earliest first."""
        return self._tasks.keys()

    def begin(
        self,
        key: K,
        attempt: Coroutine[Any, Any, None],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        """Begin an attempt; `ended` hears when it is no longer under way, and of what broke it."""
        task = asyncio.get_running_loop().create_task(attempt)
        self._tasks[key] = task
        task.add_done_callback(partial(self._over, key, ended))

    def _over(
        self, key: K, ended: Callable[[BaseException | None], None], task: asyncio.Task[None]
    ) -> None:
        del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        ended(None if isinstance(error, NotNoted) else error)

    async def all_over(self) -> None:
        """Wait for those that are under way now."""
        await asyncio.gather(*self._tasks.values())

    async def end(self) -> None:
        """Give those under way 2 s, and break off the others: what they sent may have arrived."""
        self.are_ending = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)
        if lost := self._not_noted + len(late):
            log.warning(
                "%s: what came of %d may not be noted, since the end came first (%s); after the"
                " next start they may be tried again, also what arrived",
                self._name,
                lost,
                self._db.trouble or "they took too long",
            )

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Within this an outcome is written down; where that fails at the end, it is counted.

        Raises:
            NotNoted: instead of the trouble that the database has.
        """
        try:
            yield
        except StorageTrouble as trouble:
            self._not_noted += 1
            raise NotNoted(str(trouble)) from trouble

    async def record(
        self, write: Callable[Concatenate[Conn, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Write down what came of an attempt, however long that takes.

        What was sent and cannot be recorded must not be sent again while this process lives.

        Raises:
            NotNoted: it cannot be written, and nothing more is waited for.
        """
        with self.noting():
            while True:
                try:
                    return await self._db.write(write, *args, **kwargs)
                except StorageTrouble:
                    if self.are_ending:
                        raise
                    await asyncio.sleep(TROUBLE_SECONDS)
