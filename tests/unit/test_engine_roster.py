"""A monitor on duty: one at a time changes what is known of it, and that costs nothing later."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from msgspec.structs import replace

from netpulse.engine.roster import Watched
from netpulse.model.check import Check, Result
from netpulse.model.watch import Status
from tests.clock import START
from tests.watched import watched


async def test_one_at_a_time_in_the_order_in_which_they_came() -> None:
    one, story = watched(), list[str]()

    async def stay(name: str) -> None:
        async with one.alone():
            story.append(f"{name} in")
            await asyncio.sleep(0)
            story.append(f"{name} out")

    await asyncio.gather(*(stay(name) for name in "abc"))
    assert story == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert not one.busy


async def test_who_waits_for_it_counts_as_being_at_it() -> None:
    one, leave = watched(), asyncio.Event()

    async def stay() -> None:
        async with one.alone():
            await leave.wait()

    tasks = [asyncio.create_task(stay()) for _ in range(2)]
    await asyncio.sleep(0)
    assert one.busy == 2
    leave.set()
    await asyncio.gather(*tasks)
    assert one.busy == 0


async def test_one_who_gives_up_waiting_or_fails_lets_the_next_in() -> None:
    one, leave, story = watched(), asyncio.Event(), list[str]()

    async def stay(name: str) -> None:
        async with one.alone():
            story.append(name)
            await leave.wait()
            raise ValueError(name)

    first, second, third = (asyncio.create_task(stay(name)) for name in ("one", "two", "three"))
    await asyncio.sleep(0)
    second.cancel()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await second
    for task, name in ((first, "one"), (third, "three")):
        with pytest.raises(ValueError, match=name):
            await task
    assert story == ["one", "three"]
    async with asyncio.timeout(1), one.alone():
        assert one.busy == 1


async def test_who_waited_leaves_nothing_behind() -> None:
    many = [watched(number) for number in range(300)]

    async def stay(one: Watched) -> None:
        async with one.alone():
            await asyncio.sleep(0)

    await asyncio.gather(*(stay(many[0]) for _ in range(3)))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for one in many:
            await asyncio.gather(*(stay(one) for _ in range(3)))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 60_000, "a queue that is kept takes 700 bytes a monitor"


async def test_what_a_check_may_say_that_is_not_looked_at() -> None:
    """Nothing more is asked of nearly every check than whether it says that."""
    one = watched()
    up = one.watch
    assert one.known is Result.UP
    one.owe(replace(up, downs=1), None)
    assert one.known is None, "what the disk did not take yet"
    one.watch = up
    assert one.known is None
    one.owed.clear()
    one.watch = up
    assert one.known is Result.UP
    one.watch = replace(up, silent_since=START)
    assert one.known is None
    one.watch = replace(up, status=Status.PAUSED)
    assert (one.known, one.paused) == (None, True)
    one.leave()
    one.watch = up
    assert (one.known, one.paused) == (None, False), "nothing of it is written any more"


def test_a_check_vouches_for_what_it_confirms() -> None:
    one = watched()
    assert one.latest.vouched_until is None
    one.vouching = Check(due_at=START, started_at=START, result=Result.UP)
    until = one.vouched_until(one.vouching)
    assert until > START
    assert one.latest == replace(one.watch, vouched_until=until)
    one.watch = one.latest
    assert (one.vouching, one.vouched.vouched_until) == (None, until)
