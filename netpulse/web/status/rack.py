"""The rack: what the badges of single monitors tell, read at most once a second for each.

A badge stands in the text of a project that thousands look at, and each of them asks for it. What
it tells is read anew for whoever asks a second later; a browser or proxy may show an answer for
four more, so that none is older than five seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict

from netpulse.crypto.tokens import new_token
from netpulse.engine.clock import Clock
from netpulse.model.badge import BadgeFacts
from netpulse.storage import badges
from netpulse.storage.db import Database

SECONDS = 1.0
"""How old what is told may be when it is sent."""
CACHED_SECONDS = 4
"""How long it may be shown after that."""
MOST = 2_000
"""Tokens whose facts are kept; what nobody asked for longest goes first."""
_TOKEN_BYTES = 18
_SHAPE = re.compile(r"[A-Za-z0-9_-]{24}", re.ASCII)


def new_badge_token() -> str:
    """Return a token that nobody can guess (144 bits)."""
    return new_token(_TOKEN_BYTES)


class Rack:
    """What is kept of all badges. One a process."""

    def __init__(self) -> None:
        """Start empty; `open` before use."""
        self._db: Database
        self._clock: Clock
        self._kept: OrderedDict[str, tuple[float, BadgeFacts]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[BadgeFacts | None]] = {}
        self.reads = 0
        """How often a monitor was looked at."""

    def open(self, db: Database, clock: Clock) -> None:
        """Take the parts."""
        self._db = db
        self._clock = clock

    def forget(self, token: str) -> None:
        """Let the next reader find what is stored: the address ended, or another label was set."""
        self._kept.pop(token, None)
        self._reading.pop(token, None)

    async def look(self, token: str) -> BadgeFacts | None:
        """Return what the badges with this token tell; None: no monitor has it.

        Raises:
            StorageTrouble: it cannot be read.
        """
        found = self._kept.get(token)
        if found is not None and self._clock.monotonic() - found[0] < SECONDS:
            self._kept.move_to_end(token)
            return found[1]
        if _SHAPE.fullmatch(token) is None:
            return None
        task = self._reading.get(token)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._read(token))
            self._reading[token] = task
        # However many ask, it is read once; somebody who leaves does not take it from the others.
        return await asyncio.shield(task)

    async def _read(self, token: str) -> BadgeFacts | None:
        at = self._clock.monotonic()
        self.reads += 1
        me = asyncio.current_task()
        try:
            found = await self._db.read(badges.facts, token, self._clock.now())
        finally:
            # Else it was forgotten meanwhile, and what was read may be what ended.
            is_latest = self._reading.get(token) is me
            if is_latest:
                del self._reading[token]
        if found is None:
            self._kept.pop(token, None)
        elif is_latest:
            self._kept[token] = (at, found)
            self._kept.move_to_end(token)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return found
