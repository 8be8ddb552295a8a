"""Our own network taken away for real: network namespaces, a cable, and addresses behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from netpulse.egress.routes import Way, has_default_route, way_to
from netpulse.model.monitor import Monitor
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import notices, runs
from tests.home import Home, home, now, spec
from tests.netns import Namespaces, why_not
from tests.servers import answer, read_request

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

FOUR = ["10.81.1.1", "10.81.2.1", "10.81.3.1", "10.81.4.1"]


@pytest.fixture
def cable() -> Iterator[Namespaces]:
    with Namespaces(FOUR).made() as made, made.inside(made.here):
        yield made


@pytest.fixture
async def port(cable: Namespaces) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(200, body=b"ok"))
        await writer.drain()
        writer.close()

    listening = cable.listening()
    server = await asyncio.start_server(serve, sock=listening)
    yield listening.getsockname()[1]
    server.close()
    await asyncio.sleep(0.05)


@pytest.fixture
async def at(tmp_path: Path, port: int) -> AsyncIterator[Home]:
    async with home(tmp_path / "data") as opened:
        await opened.rule(
            await opened.channel("http://127.0.0.1:1/"), condition="down or up or system"
        )
        yield opened


async def watch(at: Home, port: int, *addresses: str) -> list[Monitor]:
    made = [
        await at.monitor(spec(f"http://{one}:{port}/", name=one, timeout_seconds=1))
        for one in addresses
    ]
    for monitor in made:
        await at.until_status(monitor.id, Status.UP)
    return made


async def told(at: Home) -> list[str]:
    found = await at.db.read(notices.recent, at.org.id, 100)
    return [one.event.value for one in reversed(found)]


def statuses(at: Home, made: list[Monitor]) -> list[Status]:
    found = [at.engine.watch(one.id) for one in made]
    return [one.status for one in found if one is not None]


async def until_isolated(at: Home, wanted: bool, seconds: float = 15) -> None:
    async def look() -> bool:
        return at.engine.isolation.isolated is wanted

    await at.until(look, f"isolated is {wanted}", seconds)


async def test_the_cable_is_pulled_at_our_end(at: Home, port: int, cable: Namespaces) -> None:
    made = await watch(at, port, *FOUR)
    assert has_default_route() is True
    assert way_to(FOUR[0]) is Way.OUT
    assert way_to("10.77.0.2") is Way.HERE
    began = now()
    cable.pull()
    assert has_default_route() is False
    assert way_to(FOUR[0]) is Way.NONE
    at.nudge(made[0])
    await until_isolated(at, True)
    await asyncio.sleep(2.5)
    assert statuses(at, made) == [Status.UP] * 4
    assert await told(at) == ["system.isolated"]
    (notice,) = await at.db.read(notices.recent, at.org.id, 9)
    assert b"this host has no default route" in bytes(notice.payload)
    cable.plug_in()
    at.nudge(made[1])
    await until_isolated(at, False)
    await at.engine.isolation.turn()
    assert await told(at) == ["system.isolated", "system.recovered"]
    (gap,) = await at.db.read(runs.gaps, 0, now())
    assert gap.reason is UnknownReason.ISOLATED
    assert began <= gap.start < gap.end <= now()


async def test_everybody_is_silent(at: Home, port: int, cable: Namespaces) -> None:
    made = await watch(at, port, *FOUR)
    for address in FOUR:
        cable.fall_silent(address)
    at.nudge(made[2])
    await until_isolated(at, True)
    await asyncio.sleep(2.5)
    assert statuses(at, made) == [Status.UP] * 4
    assert await told(at) == ["system.isolated"]
    (notice,) = await at.db.read(notices.recent, at.org.id, 9)
    assert b"4 of 4 targets unreachable: our network or all of them" in bytes(notice.payload)
    for address in FOUR:
        cable.answer(address)
    await until_isolated(at, False)


async def test_half_of_it_is_silent(at: Home, port: int, cable: Namespaces) -> None:
    made = await watch(at, port, *FOUR)
    for address in FOUR[:2]:
        cable.fall_silent(address)
    at.nudge(made[0])
    at.nudge(made[1])
    await at.until_status(made[0].id, Status.DOWN, 10)
    await at.until_status(made[1].id, Status.DOWN, 10)
    assert statuses(at, made) == [Status.DOWN, Status.DOWN, Status.UP, Status.UP]
    assert await told(at) == ["monitor.down"] * 2


async def test_two_targets_are_judged(at: Home, port: int, cable: Namespaces) -> None:
    made = await watch(at, port, *FOUR[:2])
    for address in FOUR[:2]:
        cable.fall_silent(address)
    at.nudge(made[0])
    at.nudge(made[1])
    await at.until_status(made[0].id, Status.DOWN, 10)
    await at.until_status(made[1].id, Status.DOWN, 10)
    assert await told(at) == ["monitor.down"] * 2
    assert await at.db.read(runs.gaps, 0, now()) == []


async def test_a_channel_elsewhere_takes_the_notice_and_the_downs_follow(
    at: Home, port: int, cable: Namespaces
) -> None:
    """All four are really silent, and the channel at another address is not."""
    await at.rule(
        await at.channel(f"http://{cable.far_end}:{port}/", name="Elsewhere"),
        name="Told",
        condition="down or system",
    )
    made = await watch(at, port, *FOUR)
    for address in FOUR:
        cable.fall_silent(address)
    for monitor in made:
        at.nudge(monitor)
    for monitor in made:
        await at.until_status(monitor.id, Status.DOWN, 20)
    assert not at.engine.isolation.isolated
    found = await at.db.read(notices.recent, at.org.id, 100)
    sent = [one.event.value for one in reversed(found) if one.sent_at is not None]
    assert sent[0] == "system.isolated"
    assert set(sent) <= {"system.isolated", "system.recovered", "monitor.down"}
