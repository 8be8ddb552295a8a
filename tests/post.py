"""An outbox with a dispatcher that sends what edges, made by hand, write into it."""

from __future__ import annotations

from collections.abc import Sequence

from netpulse.channels import Carrier
from netpulse.crypto.links import Links
from netpulse.engine.dispatcher import Dispatcher
from netpulse.engine.figures import Figures
from netpulse.engine.live import Hub
from netpulse.model.alert import Notice
from netpulse.model.check import Check, Failure, Result
from netpulse.model.edge import Edge
from netpulse.model.monitor import Monitor
from netpulse.model.time import Millis
from netpulse.rules import incidents
from netpulse.rules.outbox import Backoff
from netpulse.storage import edges, monitors, notices
from netpulse.storage.db import Conn
from tests.clock import ShiftedClock
from tests.home import FAST, Home, spec


class Post:
    """A home without an engine's checks: edges are made by hand, a dispatcher sends."""

    def __init__(self, at: Home) -> None:
        self.home = at
        self.hub = Hub()
        self.clock = ShiftedClock(0)
        self.figures = Figures(self.clock)
        self.dispatcher: Dispatcher | None = None

    async def open(self, backoff: Backoff = FAST) -> None:
        """Start sending."""
        self.dispatcher = Dispatcher(
            db=self.home.db,
            carrier=lambda _: Carrier(egress=self.home.egress),
            links=Links(bytes(32), "https://netpulse.example"),
            clock=self.clock,
            hub=self.hub,
            figures=self.figures,
            worker="test",
            on_accepted=lambda address: None,
            backoff=backoff,
            chance=lambda: 0.5,
        )
        await self.dispatcher.start()

    async def close(self) -> None:
        """Stop sending."""
        if self.dispatcher is not None:
            await self.dispatcher.stop()
            self.dispatcher = None

    def later(self, seconds: float) -> None:
        """Let time pass on the dispatcher's clock."""
        self.clock.ahead_ms += round(seconds * 1_000)
        if self.dispatcher is not None:
            self.dispatcher.wake()

    async def monitor(self, name: str = "Shop") -> Monitor:
        """Add a monitor that one failing check takes down."""
        return await self.home.monitor(
            spec("http://shop.example/", name=name, confirmations=1, interval_seconds=60)
        )

    async def edge(self, monitor: Monitor, result: Result) -> None:
        """Write the edge that one check with this result makes."""
        await write_edges(self.home, [monitor], result, self.clock.now())
        if self.dispatcher is not None:
            self.dispatcher.wake()

    async def all(self) -> list[Notice]:
        """Return every notice, the oldest first."""
        return (await self.home.db.read(notices.recent, self.home.org.id, 1_000))[::-1]

    async def settled(self, seconds: float = 10) -> list[Notice]:
        """Wait until no notice is pending any more."""

        async def look() -> bool:
            return await self.home.db.read(notices.pending_count) == 0

        await self.home.until(look, "nothing is pending", seconds)
        return await self.all()


async def write_edges(home: Home, found: Sequence[Monitor], result: Result, at: Millis) -> None:
    """Write the edges that one check of each monitor, with this result at `at`, makes."""
    down = result is Result.DOWN
    check = Check(
        due_at=at,
        started_at=at,
        result=result,
        failure=Failure.REFUSED if down else None,
        message="the connection was refused" if down else None,
    )

    def write(conn: Conn) -> None:
        for monitor in found:
            loaded = monitors.load_one(conn, monitor.id)
            assert loaded is not None
            watch, flip = incidents.step(monitor.spec, loaded[1], check, now=at)
            edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))

    await home.db.write(write)
