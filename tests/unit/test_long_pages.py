"""Which checks are held back while more long pages are read than can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from netpulse.engine import long_pages
from netpulse.engine.roster import Roster
from netpulse.model.check import Result
from netpulse.probes.turns import A_TURN_SECONDS, CROWD, THRONG, turn
from tests.store import check
from tests.watched import watched


@asynccontextmanager
async def waiting(count: int) -> AsyncIterator[None]:
    """Have so many bodies wait for their turn."""

    async def body() -> None:
        await turn()
        time.sleep(A_TURN_SECONDS)  # noqa: ASYNC251 -- a piece keeps the loop for so long

    bodies = [asyncio.create_task(body()) for _ in range(count + 1)]
    await asyncio.sleep(0)  # the first has its turn, and uses it up
    try:
        yield
    finally:
        for one in bodies:
            one.cancel()
        await asyncio.gather(*bodies, return_exceptions=True)


@pytest.fixture
def roster() -> Roster:
    """Five: long, short, never checked, known from before the start, and one that is pinged."""
    made = Roster()
    long, short, new, old, pinged = (watched(number, push=number == 4) for number in range(5))
    long.long, short.long = True, False
    for one in (long, short, old):
        one.last = check(Result.UP, 1)
    for one in (long, short, new, old, pinged):
        made.add(one)
    return made


@pytest.mark.parametrize(
    ("count", "held"),
    [
        (0, set()),
        (CROWD, set()),
        (CROWD + 1, {0}),
        (THRONG, {0}),
        (THRONG + 1, {0, 2, 3}),
    ],
)
async def test_who_is_held_behind_so_many(roster: Roster, count: int, held: set[int]) -> None:
    async with waiting(count):
        found = {one.monitor.key for one in roster if long_pages.crowded(roster, one.id)}
        assert not long_pages.crowded(roster, "nobody's")
    assert found == held
