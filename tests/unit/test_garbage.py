"""What lives on is not walked through again and again in search of garbage."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from netpulse.engine import garbage


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_a_long_collection_freezes_what_is_left_of_it() -> None:
    now = [0.0, 0.0]
    watch = garbage.Watch(lambda: now.pop())
    try:
        gc.collect(1)
        assert now == [0.0, 0.0], "collections of what is young are none of its business"
        gc.collect()
        assert gc.get_freeze_count() == 0, "it was a short one"
        now += [0.02, 0.0]
        gc.collect()
        assert gc.get_freeze_count() > 1_000
    finally:
        watch.end()
    before = gc.get_freeze_count()
    kept = [[number] for number in range(10)]
    gc.collect()
    assert gc.get_freeze_count() == before, "it has ended"
    assert kept


async def test_while_the_process_starts_what_has_come_is_frozen() -> None:
    usual = gc.get_threshold()
    settling = asyncio.create_task(garbage.settle((60.0,)))
    await asyncio.sleep(0)
    assert gc.get_threshold()[2] > 1_000_000, "no full collections meanwhile"
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    assert gc.get_threshold() == usual
    await garbage.settle((0.0,))
    first = gc.get_freeze_count()
    kept = [[number] for number in range(1_000)]
    await garbage.settle((0.0, 0.0))
    assert gc.get_freeze_count() >= first + len(kept)
