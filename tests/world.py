"""A world of addresses for an engine whose time is moved by hand.

    world = World()
    world.host("203.0.113.7", answer="up")
    async with home(data, clock=clock, egress=world, start=False) as at: ...

Everything is the product's own but the network: `dial` to an address of this world ends in a real
server on loopback, or in what the world says instead (silence, a refusal, no route), at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from netpulse.egress.attempt import Attempt
from netpulse.egress.connect import Dialled, Egress
from netpulse.egress.resolver import Address
from netpulse.egress.routes import Way
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError
from netpulse.engine.engine import Engine
from netpulse.engine.loading import load
from netpulse.model.check import Failure
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Gap, Span, Status
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import notices, runs, spans
from tests.clock import FakeClock
from tests.home import Home, home
from tests.servers import HttpServer, answer

Fate = str
"""up, 500, refused, silent, unreachable, no_route or no_resolver."""


class World(Egress):
    """The way out into a world of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: dict[str, Fate] = {}
        """By address; the default is up."""
        self.names: dict[str, str] = {}
        self.network: Fate | None = None
        """What everybody outside meets instead, while it is set."""
        self.resolver_fate: Fate | None = None
        self.dialled: list[str] = []
        self.server = HttpServer({"*": answer(200, body=b"ok"), "/500": answer(500)})

    def at_once(self, *_: Any, **__: Any) -> None:
        """Nothing stands at once here: all goes by `dial`."""

    async def dial(
        self,
        host: str,
        port: int,
        *,
        family: int | None = None,
        policy: AddressPolicy | None = None,
        deadline: float,
        trace: Trace | None = None,
        guarded: bool = False,
        begun: Attempt | None = None,
    ) -> Dialled:
        """Go where the world says."""
        trace = trace if trace is not None else Trace()
        trace.port = port
        address = self.names.get(host, host)
        if host in self.names and self.resolver_fate is not None:
            if self.resolver_fate == "no_resolver":
                raise DialError(
                    Failure.OWN_NETWORK, "no_resolver", "no name server answers this host"
                )
            raise DialError(Failure.DNS, self.resolver_fate, f"cannot look {host} up")
        self.dialled.append(address)
        trace.resolved(0.0)
        trace.address = address
        fate = self.fates.get(address, "up")
        if self.network is not None and not address.startswith("127."):
            fate = self.network
        # A moment for those who wait beside us, as a network gives.
        await asyncio.sleep(0)
        if fate == "silent":
            raise DialError(Failure.TIMEOUT, "connect", "no answer in time", address=address)
        if fate == "unreachable":
            raise DialError(
                Failure.UNREACHABLE, None, f"{address}: no route to host", address=address
            )
        if fate == "refused":
            raise DialError(Failure.REFUSED, None, f"{address} refused", address=address)
        if fate == "no_route":
            raise DialError(Failure.OWN_NETWORK, "no_route", "no route", address=address)
        there = await self.resolver.addresses("127.0.0.1", 0, deadline)
        assert there == (Address(2, "127.0.0.1"),)
        dialled = await super().dial("127.0.0.1", self.server.port, deadline=deadline)
        trace.connected(dialled.connect_ms)
        trace.address = address
        return Dialled(dialled.sock, address, dialled.family, 0.0, dialled.connect_ms)

    def way(self, address: str) -> Way:
        """Return what the host would know of its way there."""
        if address.startswith("127."):
            return Way.HERE
        return Way.NONE if self.network == "no_route" else Way.OUT


class Story:
    """An engine that is not started, driven through virtual time."""

    def __init__(self, at: Home, clock: FakeClock, world: World) -> None:
        self.at = at
        self.clock = clock
        self.world = world
        self.began = clock.now()
        engine = at.engine
        engine.isolation.evidence.way_to = world.way
        engine.isolation.evidence.default_route = lambda: world.network != "no_route"

    @property
    def engine(self) -> Engine:
        return self.at.engine

    async def calm(self) -> None:
        """Wait until nobody does anything any more but wait for a decision."""
        quiet = 0
        while quiet < 3:
            busy = [
                one
                for one in self.engine.roster
                if one.task is not None and not one.task.done() and not one.held
            ]
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(0.001 if busy else 0)

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let virtual time pass, doing what is due."""
        left = seconds
        while left > 0:
            for _ in range(round(step * 10)):
                self.clock.advance(0.1)
                self.engine.lag.tick()
            left -= step
            for _ in range(20):
                wait = self.engine.scheduler.turn()
                await self.calm()
                await self.engine.isolation.turn()
                if wait != 0.0:
                    break
            await self.engine.watchdog.scan()
            await self.engine.calendar.turn()

    async def until(self, what: Callable[[], bool], seconds: float = 300.0) -> float:
        """Let time pass until something is so; return how long that took."""
        passed = 0.0
        while not what():
            assert passed < seconds, "it never came to that"
            await self.pass_time(1.0)
            passed += 1.0
        return passed

    def status(self, monitor_id: Id) -> Status:
        watch = self.engine.watch(monitor_id)
        assert watch is not None
        return watch.status

    async def told(self) -> list[str]:
        """Return the events of all notices, in order."""
        found = await self.at.db.read(notices.recent, self.at.org.id, 100)
        return [one.event.value for one in reversed(found)]

    async def gaps(self) -> list[Gap]:
        return await self.at.db.read(runs.gaps, 0, self.clock.now() + 1)

    async def spans(self, monitor_id: Id) -> list[Span]:
        return await self.at.db.read(spans.between, monitor_id, 0, self.clock.now())

    def ago(self, seconds: float) -> Millis:
        return self.clock.now() - round(seconds * 1000)


Opener = Callable[[], AbstractAsyncContextManager[Story]]


@asynccontextmanager
async def lived(data: Path, clock: FakeClock, world: World) -> AsyncIterator[Story]:
    """Take over the data as a process that starts does, up to the tasks that would run by
    themselves; time is the story's to pass."""
    async with world.server, home(data, clock=clock, egress=world, start=False) as at:
        engine = at.engine
        await engine.calendar.catch_up()
        await load(
            at.db,
            at.raw,
            clock,
            engine.roster,
            engine.scheduler,
            engine.runner,
            started_at=clock.now(),
        )
        await engine.thresholds.load()
        await engine.isolation.take_over()
        await engine.calendar.turn()
        yield Story(at, clock, world)
