"""Deadlines on shared timers do what asyncio.timeout_at does, and what is cancelled stays cancelled."""

from __future__ import annotations

import asyncio

import pytest

from netpulse.egress.deadlines import GRAIN, Deadline, wheel_of


async def test_it_strikes_after_its_moment_and_soon() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError), Deadline(began + 0.1):
        await asyncio.sleep(60)
    took = loop.time() - began
    # The loop's clock may be read in whole milliseconds.
    assert took >= 0.098
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert GRAIN < 0.1


async def test_what_ends_in_time_is_left_alone() -> None:
    loop = asyncio.get_running_loop()
    with Deadline(loop.time() + 0.03):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)  # its timer runs out meanwhile, and finds nobody


async def test_one_that_has_passed_strikes_at_once() -> None:
    with pytest.raises(TimeoutError), Deadline(asyncio.get_running_loop().time() - 5):
        await asyncio.sleep(60)


async def test_an_error_of_the_work_is_the_works() -> None:
    later = asyncio.get_running_loop().time() + 60
    with pytest.raises(ValueError, match="mine"), Deadline(later):
        raise ValueError("mine")


async def test_the_inner_of_two_strikes_first() -> None:
    loop = asyncio.get_running_loop()
    reached = []
    with Deadline(loop.time() + 60):
        with pytest.raises(TimeoutError), Deadline(loop.time() + 0.03):
            await asyncio.sleep(60)
        reached.append("after the inner one")
    assert reached == ["after the inner one"]


async def test_the_outer_of_two_passes_through_the_inner() -> None:
    loop = asyncio.get_running_loop()
    inner = []

    async def work() -> None:
        try:
            with Deadline(loop.time() + 60):
                await asyncio.sleep(60)
        except TimeoutError:
            inner.append("it was not mine")

    with pytest.raises(TimeoutError), Deadline(loop.time() + 0.03):
        await work()
    assert inner == []


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with Deadline(asyncio.get_running_loop().time() + 60):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_that_comes_with_the_deadline_wins() -> None:
    ready = asyncio.Event()

    async def work() -> None:
        with Deadline(asyncio.get_running_loop().time() + 0.05):
            ready.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await ready.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_thousands_share_their_timers() -> None:
    loop = asyncio.get_running_loop()
    timers = 0
    real = loop.call_at

    def counted(*args: object, **options: object) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return real(*args, **options)  # type: ignore[arg-type]

    async def one(number: int) -> bool:
        try:
            with Deadline(began + 0.2 + number / 20_000):
                await asyncio.Event().wait()
        except TimeoutError:
            return True
        return False

    began = loop.time()
    loop.call_at = counted  # type: ignore[method-assign,assignment]
    try:
        struck = await asyncio.gather(*(one(number) for number in range(2_000)))
    finally:
        del loop.call_at  # type: ignore[attr-defined]
    assert all(struck)
    assert timers <= 0.1 / GRAIN + 2


async def test_a_mistake_of_one_leaves_the_others_theirs() -> None:
    loop = asyncio.get_running_loop()
    struck: list[int] = []
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    class One:
        def strike(self) -> None:
            struck.append(1)
            raise ZeroDivisionError

    wheel = wheel_of(loop)
    at = loop.time()
    kept = [One() for _ in range(3)]
    for one in kept:
        wheel.add(one, at)
    wheel.add(One(), at + GRAIN)
    with pytest.raises(TimeoutError), Deadline(at + 2 * GRAIN):
        await asyncio.Event().wait()
    assert len(struck) == len(told) == 4
