"""Live events: what browsers hear of, after it is on disk.

Edges go out at once; steady values (the latest response time) are coalesced to once a second.
Each event is encoded once per organization, and goes to those subscribers only that show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from netpulse.model.check import Check, Result
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, PushSpec
from netpulse.model.time import rfc3339
from netpulse.model.watch import Status, Watch

STEADY_SECONDS = 1.0
STEADY_PER_TURN = 200
PAUSE_SECONDS = 0.02
QUEUE_EVENTS = 512
"""Events a subscriber may be behind; then its stream ends, and the browser asks anew."""
KEEPALIVE_SECONDS = 15.0
_KEEPALIVE = b": still here\n\n"

_encode = msgspec.json.Encoder().encode

_WORDS = {
    Status.PENDING: "Waiting for the first check",
    Status.UP: "Up",
    Status.DEGRADED: "Degraded",
    Status.DOWN: "Down",
    Status.MAINTENANCE: "Maintenance",
    Status.PAUSED: "Paused",
    Status.UNKNOWN: "Unknown",
}


class LiveEvent(Struct, frozen=True):
    """One event: its name, its JSON, and both as a frame of a text/event-stream."""

    name: str
    data: bytes
    frame: bytes
    monitor_id: Id | None = None
    """Set on `monitor` events, which go to those only who show that monitor."""


def monitor_event(monitor: Monitor, watch: Watch, last: Check | None) -> dict[str, Any]:
    """Return the `monitor` event: the confirmed state, and the last check's figures.

    `status_text` is the state in words; where something is wrong, with the last check's sentence
    if that is about the same: a trouble of our own explains "unknown", and nothing else.
    """
    text = _WORDS[watch.status]
    if watch.status is Status.PENDING and isinstance(monitor.spec, PushSpec):
        text = "Waiting for the first ping"
    if last is not None and last.message:
        wrong = watch.status in {Status.DOWN, Status.DEGRADED} and last.conclusive
        if wrong or (watch.status is Status.UNKNOWN and not last.conclusive):
            text = f"{text}: {last.message}"
    return {
        "id": monitor.id,
        "status": watch.status.value,
        "status_since": rfc3339(watch.since),
        "status_text": text,
        "response_time_ms": last.response_time_ms
        if last is not None and last.result is not Result.INCONCLUSIVE
        else None,
        "checked_at": None if last is None else rfc3339(last.started_at),
    }


class Subscription:
    """One reader of an organization's events. Close it when its connection is gone."""

    def __init__(self, hub: Hub, org_id: Id, visible: frozenset[Id] | None) -> None:
        """Made by `Hub.subscribe`."""
        self._hub = hub
        self.org_id = org_id
        self.visible = visible
        """The monitors it shows; None: all of the organization's."""
        self._queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
        self._ended = False

    def offer(self, event: LiveEvent) -> None:
        """Queue an event; a reader that is too far behind is ended instead."""
        if self._ended:
            return
        if self._queue.qsize() >= QUEUE_EVENTS:
            self.end()
        else:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """End the stream at once: what is queued is not sent any more."""
        if not self._ended:
            self._ended = True
            self._hub.forget(self)
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[LiveEvent]:
        """Yield events until the stream ends."""
        try:
            while (event := await self._queue.get()) is not None:
                yield event
        finally:
            self.end()

    async def frames(self, keepalive: float = KEEPALIVE_SECONDS) -> AsyncIterator[bytes]:
        """Yield frames of a text/event-stream, a comment when `keepalive` seconds were quiet."""
        try:
            while True:
                try:
                    async with asyncio.timeout(keepalive):
                        event = await self._queue.get()
                except TimeoutError:
                    yield _KEEPALIVE
                    continue
                if event is None:
                    return
                yield event.frame
        finally:
            self.end()


class Hub:
    """Hands events to subscribers. Whoever has none costs a dictionary look-up."""

    def __init__(self) -> None:
        """Start without subscribers."""
        self._readers: dict[Id, set[Subscription]] = {}
        self.hears = self._readers.__contains__
        """Tells whether anybody listens to the organization with an id."""
        self._steady: dict[Id, dict[Id, tuple[Monitor, Watch, Check | None]]] = {}
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._observers: list[Callable[[Id], None]] = []

    def observe(self, observer: Callable[[Id], None]) -> None:
        """Have `observer` called with the organization of every change that is told, whether
        anybody reads the stream or not. It must return at once."""
        self._observers.append(observer)

    def stir(self, org_id: Id) -> None:
        """Say to the observers alone that something of an organization looks different now."""
        for observer in self._observers:
            observer(org_id)

    def __len__(self) -> int:
        """Return how many subscribers there are."""
        return sum(len(readers) for readers in self._readers.values())

    def subscribe(self, org_id: Id, visible: Iterable[Id] | None = None) -> Subscription:
        """Return a new stream of `org_id`'s events.

        Args:
            org_id: no event of another organization is ever given to it.
            visible: the monitors whose `monitor` events it wants; None for all. The other kinds
                of event always come.
        """
        chosen = None if visible is None else frozenset(visible)
        subscription = Subscription(self, org_id, chosen)
        if self._closed:
            subscription.end()
        else:
            self._readers.setdefault(org_id, set()).add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Drop an ended subscription."""
        readers = self._readers.get(subscription.org_id)
        if readers is not None:
            readers.discard(subscription)
            if not readers:
                del self._readers[subscription.org_id]
                self._steady.pop(subscription.org_id, None)

    def listens(self, org_id: Id) -> bool:
        """Tell whether anybody hears of this organization."""
        return org_id in self._readers

    def edge(self, monitor: Monitor, watch: Watch, last: Check | None) -> None:
        """Tell at once that a monitor's confirmed state changed."""
        self.stir(monitor.org_id)
        readers = self._readers.get(monitor.org_id)
        if readers is None:
            return
        self._steady.get(monitor.org_id, {}).pop(monitor.id, None)
        self._tell(readers, "monitor", monitor_event(monitor, watch, last), monitor.id)

    def steady(self, monitor: Monitor, watch: Watch, last: Check | None) -> None:
        """Tell within a second that a monitor was checked; only the latest of a second counts."""
        if monitor.org_id not in self._readers:
            return
        self._steady.setdefault(monitor.org_id, {})[monitor.id] = (monitor, watch, last)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(STEADY_SECONDS, self._flush)

    def tell(self, org_id: Id, name: str, body: Mapping[str, Any]) -> None:
        """Tell an organization's subscribers an event that is no monitor's."""
        self.stir(org_id)
        readers = self._readers.get(org_id)
        if readers is not None:
            self._tell(readers, name, body, None)

    def counts(self, org_id: Id, count: Callable[[Id], Mapping[Status, int]]) -> None:
        """Tell how many monitors of an organization are in each state, if anybody listens."""
        if org_id in self._readers:
            self.tell(org_id, "counts", {key.value: n for key, n in count(org_id).items()})

    def end(self, org_id: Id) -> None:
        """End the streams of an organization that there is no more."""
        for subscription in tuple(self._readers.get(org_id, ())):
            subscription.end()

    def close(self) -> None:
        """End all streams at once, and every one that is asked for later."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for subscription in [one for readers in self._readers.values() for one in readers]:
            subscription.end()

    def _flush(self) -> None:
        """Tell the steady values of the last second, a few hundred a turn of the loop."""
        self._timer = None
        left = STEADY_PER_TURN
        for org_id in list(self._steady):
            readers = self._readers.get(org_id, set())
            shown = None
            if all(reader.visible is not None for reader in readers):
                shown = frozenset[Id]().union(*(reader.visible or () for reader in readers))
            latest = self._steady[org_id]
            while latest and left:
                monitor_id, (monitor, watch, last) = latest.popitem()
                if shown is None or monitor_id in shown:
                    self._tell(readers, "monitor", monitor_event(monitor, watch, last), monitor_id)
                    left -= 1
            if latest:
                self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._flush)
                return
            # The last reader may just have been ended for being too slow, and this with it.
            self._steady.pop(org_id, None)

    def _tell(
        self,
        readers: set[Subscription],
        name: str,
        body: Mapping[str, Any],
        monitor_id: Id | None,
    ) -> None:
        wanting = [
            reader
            for reader in readers
            if monitor_id is None or reader.visible is None or monitor_id in reader.visible
        ]
        if not wanting:
            return
        data = _encode(body)
        frame = b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
        event = LiveEvent(name, data, frame, monitor_id)
        for reader in wanting:
            reader.offer(event)
