"""Turns: of all the long bodies under way, one piece is worked on in a turn of the loop.

A piece of 8 KiB may unpack to a megabyte, which takes a few milliseconds. Twenty of them in one
turn would make every other check wait for all twenty.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

LONG = 65_536
"""Bytes, as sent or decoded, from which on a body waits for its turn. Most pages are shorter."""

_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def turn() -> None:
    """Wait until the next piece may be worked on; whoever came first goes first."""
    loop = asyncio.get_running_loop()
    lock = _LOCKS.get(loop)
    if lock is None:
        lock = _LOCKS[loop] = asyncio.Lock()
    async with lock:
        await asyncio.sleep(0)
