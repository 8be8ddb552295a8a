"""Checks begun without a task: what they say, where they go on in one, and what ends them early."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from dns import message, rrset
from msgspec.structs import replace

from netpulse.egress import attempt
from netpulse.egress.connect import Egress
from netpulse.engine.roster import Watched
from netpulse.model.check import Failure, Result
from netpulse.model.monitor import DnsSpec, Monitor, TcpSpec
from netpulse.model.watch import Status
from netpulse.probes import dns, tcp
from netpulse.probes.begun import Begun
from netpulse.storage import edges
from tests.home import Home, home, now
from tests.nameserver import NameServer
from tests.probing import undisturbed


class Port:
    """A port of this host that is open, closed, or takes nobody in."""

    def __init__(self) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._sock.getsockname()[1]
        self._inside: list[socket.socket] = []

    def open(self) -> None:
        self.close()
        self._sock = socket.create_server(("127.0.0.1", self.number))

    def close(self) -> None:
        self._sock.close()
        for each in self._inside:
            each.close()
        self._inside.clear()

    def fill(self) -> None:
        """Have nobody else taken in: whoever comes now waits."""
        self.close()
        self._sock = socket.create_server(("127.0.0.1", self.number), backlog=0)
        with contextlib.suppress(TimeoutError):
            while True:
                one = socket.create_connection(("127.0.0.1", self.number), timeout=0.1)
                self._inside.append(one)


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path / "data") as opened:
        yield opened


async def watched(at: Home, port: Port, **changes: object) -> tuple[Monitor, Watched]:
    """Have the port watched, and wait until it is up."""
    fields: dict[str, object] = {
        "name": "Port",
        "target": f"127.0.0.1:{port.number}",
        "interval_seconds": 3600,
        "timeout_seconds": 1,
        "retry_interval_seconds": 1,
    }
    monitor = await at.monitor(TcpSpec(**(fields | changes)))  # type: ignore[arg-type]
    await at.until_status(monitor.id, Status.UP)
    one = at.engine.roster.get(monitor.id)
    assert one is not None
    return monitor, one


def in_time(at: Home, monitor: Monitor) -> bool:
    """Tell whether it was checked, and that was not spoilt by lag of our own: then the engine
    checks it again by itself."""
    one = at.engine.roster.get(monitor.id)
    return one is not None and one.last is not None and one.last.failure is not Failure.OWN_LAG


async def again(at: Home, monitor: Monitor) -> None:
    """Have it checked once more, and wait for what comes of it."""
    before = sum(at.engine.figures.checks.values())
    at.nudge(monitor)

    async def checked() -> bool:
        after = sum(at.engine.figures.checks.values())
        return after > before and not at.engine.scheduler.running and in_time(at, monitor)

    await at.until(checked, "another check")


async def under_way(at: Home, port: Port, monitor: Monitor, one: Watched) -> None:
    """Have it checked, and wait until it waits."""
    port.fill()
    at.nudge(monitor)

    async def begun() -> bool:
        return one.probing

    await at.until(begun, "a check begins")
    assert not isinstance(one.task, asyncio.Task)


@pytest.fixture(params=[False, True], ids=["at once", "waits"])
def pace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections stand at once, or be waited for."""
    if request.param:
        monkeypatch.setattr(attempt, "LOOK_AGAIN", None)


@pytest.fixture
def counted(at: Home, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each check that goes on in a task."""
    tasks: list[int] = []
    light = at.engine.runner._light
    go_on = light._parts.go_on

    def count(*args: object) -> None:
        tasks.append(1)
        go_on(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(light, "_parts", replace(light._parts, go_on=count))
    return tasks


@pytest.mark.usefixtures("pace")
async def test_up_down_and_up_again(at: Home, port: Port, counted: list[int]) -> None:
    monitor, one = await watched(at, port)
    assert len(counted) == 1, "the first verdict is an edge"
    await again(at, monitor)
    assert len(counted) == 1
    last = one.last
    assert last is not None
    assert (last.result, last.timings.dns_ms, last.timings.first_byte_ms) == (Result.UP, 0.0, None)
    assert last.timings.total_ms is not None
    assert last.timings.connect_ms is not None
    assert last.timings.connect_ms <= last.timings.total_ms
    assert last.response_time_ms == round(last.timings.total_ms)
    port.close()
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DOWN)
    assert one.last is not None
    assert one.last.failure is Failure.REFUSED
    assert one.last.message == f"connection refused by 127.0.0.1:{port.number}"
    port.open()
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.UP)
    await at.raw.flush()
    kept = await at.raw.range(monitor.key, 0, now() + 60_000, newest_first=False)
    said = [each.result for each in kept if each.failure is not Failure.OWN_LAG]
    assert said == [Result.UP, Result.UP, Result.DOWN, Result.DOWN, Result.UP]
    assert at.engine.scheduler.running == 0
    assert at.engine.figures.lags.count == len(kept)
    assert (one.task, one.probing) == (None, False)


async def asked(at: Home, server: NameServer, **changes: object) -> tuple[Monitor, Watched]:
    """Have a name watched, and wait for its first verdict."""
    fields: dict[str, object] = {
        "name": "Name",
        "target": "shop.example",
        "record_type": "A",
        "nameserver": server.address,
        "interval_seconds": 3600,
        "timeout_seconds": 1,
        "retry_interval_seconds": 1,
        "confirmations": 1,
    }
    monitor = await at.monitor(DnsSpec(**(fields | changes)))  # type: ignore[arg-type]

    async def judged() -> bool:
        return in_time(at, monitor) and not at.engine.scheduler.running

    await at.until(judged, "a first check")
    one = at.engine.roster.get(monitor.id)
    assert one is not None
    return monitor, one


async def test_a_name_whose_records_change(at: Home, counted: list[int]) -> None:
    async with NameServer({"shop.example": {"A": ["192.0.2.1", "192.0.2.2"]}}) as server:
        monitor, one = await asked(at, server, expected_value="192.0.2.2", match="any")
        await again(at, monitor)
        assert (one.watch.status, len(counted), server.hits) == (Status.UP, 1, 2)
        last = one.last
        assert last is not None
        assert last.timings.total_ms == last.timings.dns_ms
        assert last.timings.connect_ms is None
        # In another order, or with others beside it, it is as good.
        server.zone["shop.example"] = {"A": ["192.0.2.2", "192.0.2.3"]}
        await again(at, monitor)
        assert (one.watch.status, len(counted), server.hits) == (Status.UP, 1, 3)
        server.zone["shop.example"] = {"A": ["192.0.2.3"]}
        await again(at, monitor)
        assert (one.watch.status, len(counted), server.hits) == (Status.DOWN, 2, 4)
        assert one.last is not None
        assert one.last.message == "the A of shop.example is 192.0.2.3, expected 192.0.2.2"
        server.zone["shop.example"] = {"A": ["192.0.2.2"]}
        await again(at, monitor)
        await again(at, monitor)
        assert (one.watch.status, len(counted)) == (Status.UP, 3)
        # No id and no port came twice.
        assert len(set(server.idents)) > 4
        assert len(set(server.sources)) > 1


@pytest.mark.parametrize(
    ("script", "status", "hits"),
    [
        ({"CNAME": ["cdn.example."]}, Status.UP, 1),
        ({"CNAME": ["cdn.example."], "partial": True}, Status.UP, 2),
        ("nxdomain", Status.DOWN, 1),
        ("servfail", Status.DOWN, 1),
        ("malformed", Status.DOWN, 1),
        ("strays_first", Status.UP, 1),
        ("no_edns", Status.UP, 2),
        ("truncated", Status.DOWN, 1),
    ],
    ids=str,
)
async def test_nothing_is_asked_twice(at: Home, script: object, status: Status, hits: int) -> None:
    """Whatever the first answer is, in a task too it is the answer to one question."""
    zone = {"shop.example": script, "cdn.example": {"A": ["192.0.2.1"]}}
    async with NameServer(zone, tcp="closes") as server:
        monitor, one = await asked(at, server)
        assert (one.watch.status, server.hits) == (status, hits)
        await again(at, monitor)
        assert (one.watch.status, server.hits) == (status, 2 * hits)
        assert at.engine.scheduler.running == 0


def of_the_last(server: NameServer) -> int:
    """Return how many questions the last check asked: they have one id."""
    return server.idents.count(server.idents[-1])


async def test_a_silent_name_server_is_asked_three_times_in_all(at: Home) -> None:
    async with NameServer({"shop.example": "silent"}) as server:
        monitor, one = await asked(at, server)
        assert (one.watch.status, of_the_last(server)) == (Status.DOWN, 3)
        assert one.last is not None
        assert one.last.message == f"no answer within 1 s from {server.address}"
        assert one.last.timings.total_ms is not None
        assert 990 <= one.last.timings.total_ms < 1500
        # In time, but after it was asked again: the time is that from the first question on.
        server.zone["shop.example"] = "late"
        for each in undisturbed():
            with each:
                await again(at, monitor)
        assert (one.last.result, of_the_last(server)) == (Result.UP, 2)
        assert one.last.timings.total_ms is not None
        assert 400 <= one.last.timings.total_ms < 700


async def test_an_answer_that_came_in_time_counts_though_we_were_late() -> None:
    egress = Egress()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{server.getsockname()[1]}"
        spec = DnsSpec(name="Name", target="shop.example", record_type="A", nameserver=place)
        begun = dns.begin(spec, egress)
        assert begun is not None
        begun.patience = 0.05
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        begun.wait(partial(over.set_result, None))
        query, address = server.recvfrom(1000)
        reply = message.make_response(message.from_wire(query))
        reply.answer.append(rrset.from_text("shop.example.", 60, "IN", "A", "192.0.2.1"))
        server.sendto(reply.to_wire(), address)
        time.sleep(0.2)  # noqa: ASYNC251 - the lag
        await over
        assert begun.said == ("192.0.2.1",)
        assert begun.timings is not None
        begun.close()
    await egress.close()


async def test_what_waits_before_an_answer_that_came_in_time_is_passed_over() -> None:
    egress = Egress()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{server.getsockname()[1]}"
        spec = DnsSpec(name="Name", target="shop.example", record_type="A", nameserver=place)
        begun = dns.begin(spec, egress)
        assert begun is not None
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        begun.wait(partial(over.set_result, None))
        query, address = server.recvfrom(1000)
        reply = message.make_response(message.from_wire(query))
        reply.answer.append(rrset.from_text("shop.example.", 60, "IN", "A", "192.0.2.1"))
        for _ in range(2):
            server.sendto(bytes((query[0] ^ 1, *query[1:])), address)
        server.sendto(reply.to_wire(), address)
        begun.strike()
        assert over.done()
        assert begun.said == ("192.0.2.1",)
        begun.close()
    await egress.close()


async def test_the_last_answer_that_came_in_time_counts_though_we_were_late() -> None:
    egress, loop = Egress(), asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        place = f"127.0.0.1:{server.getsockname()[1]}"
        spec = DnsSpec(name="Name", target="shop.example", record_type="A", nameserver=place)
        queries = []

        def answer() -> None:
            query, address = server.recvfrom(1000)
            queries.append(query)
            if len(queries) == 3:
                reply = message.make_response(message.from_wire(query))
                reply.answer.append(rrset.from_text("shop.example.", 60, "IN", "A", "192.0.2.1"))
                server.sendto(reply.to_wire(), address)
                time.sleep(0.4)  # the lag

        loop.add_reader(server, answer)
        reading = await dns.probe(spec, loop.time() + 0.3, egress)
        loop.remove_reader(server)
        assert (reading.failure, reading.answers) == (None, ("192.0.2.1",))
    await egress.close()


async def test_who_waits_for_nothing_is_down_after_its_timeout(at: Home, port: Port) -> None:
    monitor, one = await watched(at, port, confirmations=1)
    await under_way(at, port, monitor, one)
    await at.until_status(monitor.id, Status.DOWN, seconds=30)
    assert one.last is not None
    assert (one.last.failure, one.last.detail) == (Failure.TIMEOUT, "connect")
    assert one.last.timings.total_ms is not None
    # Had we been late by more than a quarter of a second, it would not have been judged.
    assert 1000 <= one.last.timings.total_ms < 1900


async def test_inverted_it_is_down_while_it_answers(at: Home, port: Port) -> None:
    port.close()
    monitor, one = await watched(at, port, invert=True, confirmations=1)
    port.open()
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DOWN)
    assert one.last is not None
    assert one.last.failure is Failure.MISMATCH


async def test_one_that_is_dropped_comes_again(at: Home, port: Port) -> None:
    monitor, one = await watched(at, port, timeout_seconds=60)
    await under_way(at, port, monitor, one)
    begun = one.task.begun  # type: ignore[union-attr]
    before = at.engine.figures.checks.copy()
    assert at.engine.runner.drop_probes() == {monitor.id}
    assert (one.task, one.probing, at.engine.scheduler.running) == (None, False, 0)
    assert begun.descriptor is None
    assert at.engine.figures.checks == before
    assert at.engine.runner.drop_probes() == set()
    port.open()
    await again(at, monitor)
    assert at.engine.figures.checks[Result.UP] > before[Result.UP]


async def test_one_whose_place_was_lost_and_given_back_ends(at: Home, port: Port) -> None:
    monitor, one = await watched(at, port, timeout_seconds=60)
    await under_way(at, port, monitor, one)
    begun = one.task.begun  # type: ignore[union-attr]
    at.engine.scheduler.remove(monitor.id)
    at.engine.watchdog._guard(one)
    assert monitor.id in at.engine.scheduler
    assert (at.engine.scheduler.running, begun.descriptor) == (0, None)


async def test_a_change_meanwhile_ends_it(at: Home, port: Port) -> None:
    monitor, one = await watched(at, port, timeout_seconds=60)
    await under_way(at, port, monitor, one)
    await at.db.write(edges.retire, monitor.org_id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.engine.settled()
    assert one.gone
    assert at.engine.scheduler.running == 0


async def test_the_end_of_the_process_does_not_wait_for_it(at: Home, port: Port) -> None:
    monitor, one = await watched(at, port, timeout_seconds=60)
    await under_way(at, port, monitor, one)
    began = time.monotonic()
    await at.engine.stop()
    assert time.monotonic() - began < 2
    assert at.engine.scheduler.running == 0


async def test_what_may_not_be_reached_is_refused_in_words(at: Home) -> None:
    monitor = await at.monitor(
        TcpSpec(name="Metadata", target="169.254.169.254:80", confirmations=1)
    )
    await at.until_status(monitor.id, Status.DOWN)
    one = at.engine.roster.get(monitor.id)
    assert one is not None
    assert one.last is not None
    assert (one.last.failure, one.last.timings.dns_ms) == (Failure.BLOCKED, 0.0)


async def test_a_mistake_of_ours_is_one(
    at: Home, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor, one = await watched(at, port)

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(at.engine.runner._light, "_is_well", broken)
    await again(at, monitor)
    assert one.last is not None
    assert (one.last.result, one.last.failure) == (Result.INCONCLUSIVE, Failure.INTERNAL)
    assert one.last.message is not None
    assert "ZeroDivisionError" in one.last.message
    assert at.engine.scheduler.running == 0


@pytest.mark.parametrize("where", ["heard", "late"])
async def test_a_mistake_while_waiting_is_one(
    at: Home, port: Port, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(attempt, "LOOK_AGAIN", None)
    monitor, one = await watched(at, port)
    monkeypatch.setattr(tcp.Knock, where, broken)
    if where == "late":
        port.fill()
    await again(at, monitor)
    assert one.last is not None
    assert (one.last.result, one.last.failure) == (Result.INCONCLUSIVE, Failure.INTERNAL)
    assert (one.probing, at.engine.scheduler.running) == (False, 0)


async def test_an_answer_that_was_seen_after_a_break_is_dropped_with_it(
    at: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with NameServer({"shop.example": {"A": ["192.0.2.1"]}}) as server:
        monitor, one = await asked(at, server)
        before = one.last
        light = at.engine.runner._light
        heard, go_on = dns.Asked.heard, light._parts.go_on
        dropped: list[set[str]] = []

        def after_a_break(self: dns.Asked, now: float) -> bool:
            return heard(self, now + 60.0)

        def and_the_tick(*args: object) -> None:
            go_on(*args)  # type: ignore[arg-type]
            dropped.append(at.engine.runner.drop_probes())

        monkeypatch.setattr(dns.Asked, "heard", after_a_break)
        monkeypatch.setattr(light, "_parts", replace(light._parts, go_on=and_the_tick))
        at.nudge(monitor)

        async def over() -> bool:
            return server.hits > 1 and not at.engine.scheduler.running

        await at.until(over, "its end")
        assert dropped == [{monitor.id}]
        assert one.last is before


async def test_who_cannot_be_waited_for_goes_to_a_task(
    at: Home, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "LOOK_AGAIN", None)

    def cannot(self: Begun, told: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Begun, "wait", cannot)
    monitor, one = await watched(at, port)
    await again(at, monitor)
    assert one.last is not None
    assert one.last.result is Result.UP
    assert at.engine.scheduler.running == 0
