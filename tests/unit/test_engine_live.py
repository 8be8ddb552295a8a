"""Live events: who hears what, and when."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from msgspec import structs

from netpulse.engine import live
from netpulse.engine.live import Hub, Subscription
from netpulse.model.check import Check, Result
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor, PushSpec
from netpulse.model.watch import Status, Watch

A, B = new_id(1), new_id(2)


def monitor(org_id: Id, key: int = 1) -> Monitor:
    spec = HttpSpec(name=f"Shop {key}", target="http://shop.example/")
    return Monitor(id=new_id(key), key=key, org_id=org_id, spec=spec, created_at=0)


UP = Watch(status=Status.UP, since=1_766_000_000_000)
DOWN = Watch(status=Status.DOWN, since=1_766_000_000_000)


def check(ms: int, result: Result = Result.UP, message: str | None = None) -> Check:
    return Check(
        due_at=0, started_at=1_766_000_001_500, result=result, response_time_ms=ms, message=message
    )


async def collected(
    subscription: Subscription, seconds: float, wait_for: int = 0
) -> list[tuple[str, dict[str, Any]]]:
    """Return so many events, whenever they come, and those that come within seconds after them."""
    got: list[tuple[str, dict[str, Any]]] = []
    events = subscription.events()

    async def one_more() -> None:
        event = await anext(events)
        got.append((event.name, json.loads(event.data)))

    async with asyncio.timeout(30):
        while len(got) < wait_for:
            await one_more()
    with contextlib.suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            while True:
                await one_more()
    return got


async def test_an_edge_is_told_at_once_to_its_organization_only() -> None:
    hub = Hub()
    mine, theirs = hub.subscribe(A), hub.subscribe(B)
    one = monitor(A)
    hub.edge(one, DOWN, check(12, Result.DOWN, "connection refused"))
    hub.tell(A, "incident", {"id": "x", "status": "investigating"})
    assert await collected(theirs, 0.05) == []
    assert await collected(mine, 0.05) == [
        (
            "monitor",
            {
                "id": one.id,
                "status": "down",
                "status_since": "2025-12-17T19:33:20Z",
                "status_text": "Down: connection refused",
                "response_time_ms": 12,
                "checked_at": "2025-12-17T19:33:21.500Z",
            },
        ),
        ("incident", {"id": "x", "status": "investigating"}),
    ]


async def test_steady_values_come_once_a_second_the_latest_only() -> None:
    hub = Hub()
    mine = hub.subscribe(A)
    one = monitor(A)
    for ms in range(20):
        hub.steady(one, UP, check(ms))
    got = await collected(mine, 0.05, wait_for=1)
    assert [body["response_time_ms"] for _, body in got] == [19]


async def test_an_edge_overtakes_the_steady_value_before_it() -> None:
    hub = Hub()
    mine = hub.subscribe(A)
    one = monitor(A)
    hub.steady(one, UP, check(1))
    hub.edge(one, DOWN, check(2, Result.DOWN))
    got = await collected(mine, 0.05, wait_for=1)
    assert [body["status"] for _, body in got] == ["down"]


async def test_only_monitors_that_are_shown() -> None:
    hub = Hub()
    one, two = monitor(A, 1), monitor(A, 2)
    mine = hub.subscribe(A, visible=[two.id])
    hub.edge(one, DOWN, None)
    hub.edge(two, DOWN, None)
    hub.steady(one, UP, check(1))
    got = await collected(mine, 0.1)
    assert [body["id"] for _, body in got] == [two.id]


async def test_a_stream_ends_in_a_tenth_of_a_second() -> None:
    hub = Hub()
    streams = [hub.subscribe(A) for _ in range(50)]
    readers = [asyncio.create_task(collected(stream, 30)) for stream in streams]
    await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    hub.close()
    await asyncio.gather(*readers)
    assert asyncio.get_running_loop().time() - began < 0.1
    assert len(hub) == 0
    assert await collected(hub.subscribe(A), 1) == []


async def test_a_reader_that_is_too_slow_is_ended() -> None:
    hub = Hub()
    mine = hub.subscribe(A)
    for _ in range(live.QUEUE_EVENTS + 1):
        hub.tell(A, "counts", {"up": 1})
    assert len(hub) == 0
    assert await collected(mine, 1) == []


async def test_a_reader_ended_by_steady_values_costs_nobody_else_theirs() -> None:
    hub = Hub()
    slow, other = hub.subscribe(A), hub.subscribe(B)
    for _ in range(live.QUEUE_EVENTS):
        hub.tell(A, "counts", {"up": 1})
    hub.steady(monitor(A), UP, check(1))
    hub.steady(monitor(B), UP, check(2))
    hub._flush()
    assert [name for name, _ in await collected(other, 0.05)] == ["monitor"]
    assert await collected(slow, 1) == []
    assert not hub.listens(A)


async def test_frames_are_an_event_stream_and_keep_alive() -> None:
    hub = Hub()
    mine = hub.subscribe(A)
    hub.tell(A, "counts", {"up": 1})
    frames = mine.frames(keepalive=0.02)
    assert await anext(frames) == b'event: counts\ndata: {"up":1}\n\n'
    assert await anext(frames) == b": still here\n\n"
    hub.close()
    assert [frame async for frame in frames] == []


async def test_many_steady_values_all_arrive_in_slices() -> None:
    hub = Hub()
    mine = hub.subscribe(A)
    monitors = [monitor(A, key) for key in range(1, live.STEADY_PER_TURN * 2 + 50)]
    for one in monitors:
        hub.steady(one, UP, check(1))
    got = await collected(mine, 0.05, wait_for=len(monitors))
    assert {body["id"] for _, body in got} == {one.id for one in monitors}


async def test_nobody_listening_costs_nothing() -> None:
    hub = Hub()
    hub.steady(monitor(A), UP, check(1))
    hub.edge(monitor(A), UP, check(1))
    hub.tell(A, "counts", {})
    assert not hub.listens(A)


def test_the_state_in_words() -> None:
    one = monitor(A)
    own = check(0, Result.INCONCLUSIVE, "our own process was late by 3.0 s: not judged")
    bad = check(0, Result.DOWN, "connection refused")

    def text(status: Status, last: Check | None) -> str:
        return str(live.monitor_event(one, Watch(status=status, since=0), last)["status_text"])

    assert text(Status.PENDING, None) == "Waiting for the first check"
    job = structs.replace(one, spec=PushSpec(name="Backup", target=""))
    pending = live.monitor_event(job, Watch(status=Status.PENDING, since=0), None)
    assert pending["status_text"] == "Waiting for the first ping"
    assert text(Status.UP, check(1)) == "Up"
    assert text(Status.UP, bad) == "Up"  # not confirmed yet
    assert text(Status.DOWN, bad) == "Down: connection refused"
    assert text(Status.DOWN, own) == "Down"
    assert text(Status.DEGRADED, check(900, Result.DEGRADED, "slow")) == "Degraded: slow"
    assert text(Status.UNKNOWN, own) == ("Unknown: our own process was late by 3.0 s: not judged")
    assert text(Status.UNKNOWN, bad) == "Unknown"
    assert text(Status.PAUSED, bad) == "Paused"
