"""Figures that take long to add up: kept for a while, and renewed behind the reader's back.

What walks over every monitor of an organization takes a millisecond for a handful and a quarter of
a second for ten thousand. A handful gets fresh figures at each look; of thousands a reader gets
those that were added up last, at once, while new ones are made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

QUICK_SECONDS = 0.025
"""What is made in less is worth waiting for."""
KEPT_FOR = 30
"""How long figures count as fresh, as a multiple of what making them took."""
OLD_SECONDS = 300.0
"""Figures that nobody looked at for so long are made anew before they are shown."""
MOST = 500
"""Figures that are kept at once."""


class _Entry:
    __slots__ = ("fresh_until", "making", "took", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.took = 0.0
        self.fresh_until = float("-inf")
        self.making: asyncio.Task[Any] | None = None


class Kept:
    """Figures by key. One loop's; a process has one."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[object, _Entry] = {}

    async def get(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        """Return the figures under `key`, made by `make` where there are none that will do.

        `key` names all that the figures depend on, the organization first. However many ask,
        `make` runs once at a time; what it raises goes to those who wait for it.
        """
        entry = self._entries.get(key)
        if entry is None:
            self._drop_old()
            entry = self._entries[key] = _Entry()
        now = time.monotonic()
        if now < entry.fresh_until:
            return entry.value  # type: ignore[no-any-return]  # what `make` of this key returned
        if entry.making is None:
            entry.making = asyncio.get_running_loop().create_task(self._make(entry, make))
            entry.making.add_done_callback(_heard)
        if entry.took > QUICK_SECONDS and now < entry.fresh_until + OLD_SECONDS:
            return entry.value  # type: ignore[no-any-return]  # as above
        # Somebody who leaves must not take the figures from the others who wait.
        return await asyncio.shield(entry.making)

    async def _make(self, entry: _Entry, make: Callable[[], Awaitable[T]]) -> T:
        begun = time.monotonic()
        try:
            found = await make()
            done = time.monotonic()
            entry.value, entry.took = found, done - begun
            entry.fresh_until = done + KEPT_FOR * entry.took
            return found
        finally:
            entry.making = None

    def _drop_old(self) -> None:
        """Make room: what was not looked at for the longest time goes first."""
        if len(self._entries) < MOST:
            return
        by_age = sorted(self._entries.items(), key=lambda item: item[1].fresh_until)
        for key, entry in by_age[: MOST // 5]:
            if entry.making is None:
                del self._entries[key]


def _heard(task: asyncio.Task[Any]) -> None:
    """Say in the log what nobody may have waited for."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("figures could not be added up: %s", task.exception())
