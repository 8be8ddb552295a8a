"""Checks of one ping, made without a task: what they say, and what ends them early."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netpulse.egress import icmp_line, icmp_socket
from netpulse.egress.connect import Egress
from netpulse.egress.icmp import Pinger
from netpulse.egress.icmp_line import Line, Lone
from netpulse.egress.resolver import Address
from netpulse.engine.roster import Watched
from netpulse.model.check import Failure, Result
from netpulse.model.monitor import IcmpSpec, Monitor
from netpulse.model.watch import Status
from netpulse.storage import edges
from tests import netns
from tests.home import Home, home, now
from tests.hostile.icmp import silent
from tests.hostile.icmp_host import Echo, Packet, error, far, reply
from tests.nameserver import can_ping

pings = pytest.mark.skipif(
    not can_ping(socket.AF_INET),
    reason="no ICMP socket is permitted here: run as root, or set net.ipv4.ping_group_range",
)
pytestmark = pytest.mark.skipif(netns.why_not() is not None, reason=netns.why_not() or "")


class Host:
    """A host that answers as it is told to."""

    def __init__(self) -> None:
        self.answer = reply_once
        self.address = ""

    def __call__(self, echo: Echo) -> list[Packet]:
        return self.answer(echo)


def reply_once(echo: Echo) -> list[Packet]:
    """Answer."""
    return [reply(echo)]


def refuse(echo: Echo) -> list[Packet]:
    """Say that it cannot be reached."""
    return [error(echo, 3, 1)]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    async with far(made)() as made.address:
        yield made


@pytest.fixture
async def at(tmp_path: Path, host: Host) -> AsyncIterator[Home]:
    async with home(tmp_path / "data") as opened:
        yield opened


async def watched(at: Home, host: Host, **changes: object) -> tuple[Monitor, Watched]:
    """Have the host watched, and wait until it is up."""
    fields: dict[str, object] = {
        "name": "Router",
        "target": host.address,
        "packets": 1,
        "interval_seconds": 3600,
        "timeout_seconds": 1,
        "retry_interval_seconds": 1,
    }
    monitor = await at.monitor(IcmpSpec(**(fields | changes)))  # type: ignore[arg-type]
    await at.until_status(monitor.id, Status.UP)
    one = at.engine.roster.get(monitor.id)
    assert one is not None
    return monitor, one


async def under_way(at: Home, monitor: Monitor, one: Watched) -> None:
    """Have it checked, and wait until its ping is out."""
    at.nudge(monitor)

    async def begun() -> bool:
        return one.probing

    await at.until(begun, "a check begins")
    assert not isinstance(one.task, asyncio.Task)


async def test_up_down_and_up_again(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host)
    last = one.last
    assert last is not None
    assert (last.result, last.timings.dns_ms, last.timings.connect_ms) == (Result.UP, 0.0, None)
    assert last.timings.total_ms is not None
    assert last.response_time_ms == round(last.timings.total_ms)
    host.answer = silent
    await under_way(at, monitor, one)
    # A check that was spoilt by lag of our own is made once more.
    await at.until_status(monitor.id, Status.DOWN, seconds=30)
    assert one.last is not None
    assert one.last.message == f"no answer from {host.address} to the ping"
    host.answer = reply_once
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.UP)
    await at.raw.flush()
    kept = await at.raw.range(monitor.key, 0, now() + 60_000, newest_first=False)
    assert [each.result for each in kept if each.failure is not Failure.OWN_LAG] == [
        Result.UP,
        Result.DOWN,
        Result.DOWN,
        Result.UP,
    ]
    assert at.engine.scheduler.running == 0
    assert at.engine.figures.lags.count == len(kept)


async def test_what_the_way_says_is_judged(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host)
    host.answer = refuse
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DOWN)
    assert one.last is not None
    assert one.last.failure is Failure.UNREACHABLE
    assert one.last.message == (
        f"{host.address} cannot be reached: {host.address} says “destination host unreachable”"
    )


async def test_a_slow_answer_is_degraded(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host, degraded_after_ms=50)
    host.answer = lambda echo: [reply(echo, delay=0.1)]
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DEGRADED)
    assert one.last is not None
    assert one.last.detail == "slow"


async def test_one_that_is_dropped_comes_again(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host, timeout_seconds=60)
    host.answer = silent
    await under_way(at, monitor, one)
    before = at.engine.figures.checks.copy()
    assert at.engine.runner.drop_probes() == {monitor.id}
    assert (one.task, one.probing, at.engine.scheduler.running) == (None, False, 0)
    assert not at.egress.pinger._lines[socket.AF_INET].waiting
    assert at.engine.figures.checks == before
    assert at.engine.runner.drop_probes() == set()
    # Another one may run, and an answer to the first is nobody's.
    host.answer = reply_once
    at.nudge(monitor)

    async def checked() -> bool:
        return at.engine.figures.checks[Result.UP] > before[Result.UP]

    await at.until(checked, "a check after that one")


async def test_a_change_meanwhile_ends_it(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host, timeout_seconds=60)
    host.answer = silent
    await under_way(at, monitor, one)
    host.answer = reply_once
    await at.db.write(edges.retire, monitor.org_id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.engine.settled()
    assert one.gone
    assert at.engine.scheduler.running == 0
    assert not at.egress.pinger._lines[socket.AF_INET].waiting


async def test_the_end_of_the_process_does_not_wait_for_it(at: Home, host: Host) -> None:
    monitor, one = await watched(at, host, timeout_seconds=60)
    host.answer = silent
    await under_way(at, monitor, one)
    began = time.monotonic()
    await at.engine.stop()
    assert time.monotonic() - began < 2
    assert at.engine.scheduler.running == 0


async def test_what_may_not_be_reached_is_refused_in_words(at: Home) -> None:
    fields = {"name": "Metadata", "packets": 1, "confirmations": 1}
    monitor = await at.monitor(IcmpSpec(target="169.254.169.254", **fields))  # type: ignore[arg-type]
    await at.until_status(monitor.id, Status.DOWN)
    one = at.engine.roster.get(monitor.id)
    assert one is not None
    assert one.last is not None
    assert one.last.failure is Failure.BLOCKED


@pings
async def test_an_answer_that_came_in_time_counts_though_we_were_late() -> None:
    egress = Egress()
    ended: asyncio.Future[Lone] = asyncio.get_running_loop().create_future()
    address = Address(socket.AF_INET, "127.0.0.1")
    lone = egress.pinger.ask(address, seconds=0.05, told=ended.set_result)
    assert lone is not None
    time.sleep(0.2)  # noqa: ASYNC251 - the lag
    assert await ended is lone
    assert isinstance(lone.came, float)
    lone.cancel()
    lone.strike()
    await egress.close()


@pings
async def test_one_that_was_never_sent_is_not_waited_for() -> None:
    class Refusing:
        """A socket that tells of others' troubles, one after the other."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def sendto(self, *_: object) -> int:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    line = Line(socket.AF_INET)
    line._sock = Refusing(line._sock)  # type: ignore[assignment]
    told: list[Lone] = []
    assert line.ask("127.0.0.1", 0.05, told.append) is None
    assert (line.waiting, told) == ({}, [])
    line.close()


@pings
async def test_one_that_breaks_at_its_end_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    egress = Egress()
    ended: asyncio.Future[Lone] = asyncio.get_running_loop().create_future()
    address = Address(socket.AF_INET, "127.0.0.1")
    lone = egress.pinger.ask(address, seconds=5, told=ended.set_result)
    assert lone is not None

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(icmp_socket, "told", broken)
    with pytest.raises(ZeroDivisionError):
        lone.strike()
    assert ended.done()
    assert (lone.came, lone.may_be_unread) == (None, True)
    await egress.close()


@pings
async def test_a_worn_socket_stays_open_between_two_packets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, pinger = asyncio.get_running_loop(), Pinger()
    address = Address(socket.AF_INET, "127.0.0.1")
    both = asyncio.create_task(pinger.ping(address, packets=2, gap=0.2, deadline=loop.time() + 2))
    await asyncio.sleep(0)
    (line,) = pinger._lines.values()
    line.catch_up()
    assert line.waiting == {}
    monkeypatch.setattr(icmp_line, "MOST_WAITING", 0)
    ended: asyncio.Future[Lone] = loop.create_future()
    assert pinger.ask(address, seconds=1, told=ended.set_result) is not None
    assert pinger._lines[socket.AF_INET] is not line
    assert len((await both).round_trips) == 2
    await ended
    assert pinger._leaving == set()
    pinger.close()
