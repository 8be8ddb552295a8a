"""The dispatcher: a real outbox, real receivers, real attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from netpulse.engine.clock import Clock
from netpulse.engine.dispatcher import Backoff, Dispatcher, gives_up
from netpulse.engine.figures import Figures
from netpulse.engine.live import Hub
from netpulse.model.alert import Event, Notice, NoticeStatus
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.check import Check, Failure, Result
from netpulse.model.edge import Edge
from netpulse.model.monitor import Monitor
from netpulse.rules import incidents
from netpulse.storage import channels, edges, monitors, notices
from netpulse.storage.db import Conn
from tests.home import FAST, SECRET, Home, home, now, spec
from tests.receiver import Receiver


class Post:
    """A home without an engine's checks: edges are made by hand, a dispatcher sends."""

    def __init__(self, at: Home) -> None:
        self.home = at
        self.hub = Hub()
        self.figures = Figures(Clock())
        self.dispatcher: Dispatcher | None = None

    async def open(self, backoff: Backoff = FAST) -> None:
        self.dispatcher = Dispatcher(
            db=self.home.db,
            egress=self.home.egress,
            clock=Clock(),
            hub=self.hub,
            figures=self.figures,
            worker="test",
            on_accepted=lambda address: None,
            backoff=backoff,
            chance=lambda: 0.5,
        )
        await self.dispatcher.start()

    async def close(self) -> None:
        if self.dispatcher is not None:
            await self.dispatcher.stop()
            self.dispatcher = None

    async def monitor(self, name: str = "Shop") -> Monitor:
        return await self.home.monitor(
            spec("http://shop.example/", name=name, confirmations=1, interval_seconds=60)
        )

    async def edge(self, monitor: Monitor, result: Result) -> None:
        """Write the edge that one check with this result makes."""
        at = now()
        down = result is Result.DOWN
        check = Check(
            due_at=at,
            started_at=at,
            result=result,
            failure=Failure.REFUSED if down else None,
            message="the connection was refused" if down else None,
        )

        def write(conn: Conn) -> None:
            loaded = monitors.load_one(conn, monitor.id)
            assert loaded is not None
            watch, flip = incidents.step(monitor.spec, loaded[1], check, now=at)
            edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))

        await self.home.db.write(write)
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


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with home(tmp_path / "data", start=False) as at:
        opened = Post(at)
        yield opened
        await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


async def test_an_edge_is_told_signed_and_recorded(post: Post, receiver: Receiver) -> None:
    await post.home.rule(await post.home.channel(receiver.url))
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    (got,) = await receiver.wait_for(1)
    body = Webhook(SECRET).verify(got.body, got.headers)
    assert body["event"] == "monitor.down"
    assert body["monitor"]["id"] == monitor.id
    assert body["reason"] == "the connection was refused"
    (notice,) = await post.settled()
    assert notice.status is NoticeStatus.SENT
    assert notice.id == got.id == body["id"]
    (attempt,) = await post.home.db.read(notices.attempts, notice.id)
    assert (attempt.ok, attempt.status_code, attempt.answer) == (True, 200, "thank you")
    assert attempt.latency_ms is not None
    assert post.figures.notices_sent == 1


async def test_a_receiver_that_was_away_gets_everything_in_order(
    post: Post, receiver: Receiver
) -> None:
    await post.home.rule(await post.home.channel(receiver.url))
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await receiver.close()
    for result in (Result.DOWN, Result.UP, Result.DOWN, Result.UP):
        await post.edge(monitor, result)
    await asyncio.sleep(0.5)
    assert receiver.ledger == []
    await receiver.open()
    await receiver.wait_for(4)
    events = [one.payload["event"] for one in receiver.taken]
    assert events == ["monitor.down", "monitor.up"] * 2
    settled = await post.settled()
    assert [notice.id for notice in settled] == [one.id for one in receiver.taken]
    assert settled[0].attempt_count >= 2
    tried = await post.home.db.read(notices.attempts, settled[0].id)
    assert [one.ok for one in tried] == [False] * (len(tried) - 1) + [True]
    assert "refused" in (tried[0].answer or "")


async def test_a_slow_receiver_delays_nobody_else(post: Post, receiver: Receiver) -> None:
    async with Receiver(delay=8) as slow:
        await post.home.rule(await post.home.channel(slow.url, name="Slow"))
        await post.home.rule(await post.home.channel(receiver.url, name="Quick"))
        await post.open()
        watched = [await post.monitor(f"Shop {n}") for n in range(40)]
        for monitor in watched:
            await post.edge(monitor, Result.UP)
        began = time.monotonic()
        for monitor in watched:
            await post.edge(monitor, Result.DOWN)
        await receiver.wait_for(40, seconds=6)
        assert time.monotonic() - began < 6
        assert slow.taken == []
        assert slow.most_at_once == 16
        assert receiver.most_at_once <= 16
        await post.close()


async def test_one_at_a_time_per_channel_and_monitor(post: Post) -> None:
    async with Receiver(delay=0.2) as slow:
        await post.home.rule(await post.home.channel(slow.url))
        await post.open()
        monitor = await post.monitor()
        await post.edge(monitor, Result.UP)
        for result in (Result.DOWN, Result.UP, Result.DOWN, Result.UP):
            await post.edge(monitor, result)
        await slow.wait_for(4)
        assert slow.most_at_once == 1


async def test_a_permanent_refusal_is_final(post: Post, receiver: Receiver) -> None:
    receiver.answer = lambda _: 404
    await post.home.rule(await post.home.channel(receiver.url))
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    (notice,) = await post.settled()
    assert notice.status is NoticeStatus.FAILED
    assert notice.error == (
        "the receiver answered HTTP 404: there is no such address; check the URL"
    )
    assert len(receiver.ledger) == 1
    assert post.figures.notices_failed == 1


async def test_it_gives_up_after_the_channels_attempts_but_makes_three(
    post: Post, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 500
    await post.home.rule(await post.home.channel(receiver.url, max_attempts=1))
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    (notice,) = await post.settled()
    assert notice.status is NoticeStatus.FAILED
    assert notice.attempt_count == len(receiver.ledger) == 3
    assert {one.id for one in receiver.ledger} == {notice.id}
    assert notice.error == (
        "the receiver answered HTTP 500: it is in trouble; given up after 3 attempts"
    )


async def test_retry_after_is_honoured(post: Post, receiver: Receiver) -> None:
    receiver.answer = lambda _: 503 if len(receiver.ledger) == 0 else 200
    receiver.answer_headers = {"Retry-After": "1"}
    await post.home.rule(await post.home.channel(receiver.url))
    await post.open(Backoff(first=0.05, longest=0.05))
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    await receiver.wait_for(1)
    first, second = receiver.ledger
    assert second.at - first.at >= 0.95
    assert first.id == second.id


async def test_claims_of_a_dead_process_are_sent_again_with_the_same_id(
    post: Post, receiver: Receiver
) -> None:
    await post.home.rule(await post.home.channel(receiver.url))
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    claimed = await post.home.db.write(
        notices.claim, "process that died", now(), limit=10, lease_ms=3_600_000
    )
    assert len(claimed) == 1
    await post.open()
    (got,) = await receiver.wait_for(1)
    assert got.id == claimed[0].notice.id


async def test_stopping_returns_what_is_not_finished(post: Post) -> None:
    async with Receiver(delay=30) as slow:
        await post.home.rule(await post.home.channel(slow.url))
        await post.open()
        monitor = await post.monitor()
        await post.edge(monitor, Result.UP)
        await post.edge(monitor, Result.DOWN)
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await post.close()
        assert time.monotonic() - began < 5
        again = await post.home.db.write(notices.claim, "next", now(), limit=10, lease_ms=1_000)
        assert len(again) == 1


async def test_a_channel_that_does_not_open_harms_only_itself(
    post: Post, receiver: Receiver
) -> None:
    broken = await post.home.channel("http://127.0.0.1:1/", name="Broken")
    await post.home.rule(broken)
    await post.home.rule(await post.home.channel(receiver.url, name="Whole"))

    def damage(conn: Conn) -> None:
        conn.execute("UPDATE alert_channels SET config = x'00' WHERE id = ?", (broken.id,))

    await post.home.db.write(damage)
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    await receiver.wait_for(1)
    found = await post.home.db.read(channels.get, post.home.org.id, broken.id)
    assert found is not None
    assert found.damage is not None


async def test_browsers_hear_what_became_of_a_notice(post: Post, receiver: Receiver) -> None:
    await post.home.rule(await post.home.channel(receiver.url))
    stream = post.hub.subscribe(post.home.org.id)
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)
    (notice,) = await post.settled()
    event = await anext(stream.events())
    assert event.name == "notice"
    assert event.data.decode() == (
        f'{{"incident_id":"{notice.incident_id}","id":"{notice.id}","status":"sent"}}'
    )


def test_waits_double_to_a_quarter_of_an_hour() -> None:
    backoff = Backoff()
    assert [backoff.wait(n, None, 0.5) for n in range(1, 10)] == [
        10, 20, 40, 80, 160, 320, 640, 900, 900,
    ]  # fmt: skip
    assert backoff.wait(1, None, 0.0) == 8
    assert backoff.wait(1, None, 0.999) == pytest.approx(12, abs=0.01)
    assert backoff.wait(1, 600, 0.5) == 600
    assert backoff.wait(500, None, 0.5) == 900


def test_when_it_gives_up() -> None:
    channel = Channel(
        id="c",
        org_id="o",
        name="Hook",
        type="webhook",
        config=WebhookConfig(url="http://127.0.0.1/"),
        retry_for_seconds=3_600,
        max_attempts=5,
        created_at=0,
    )
    notice = Notice(
        id="n",
        org_id="o",
        event=Event.MONITOR_DOWN,
        rule_id=None,
        channel_id="c",
        monitor_id=None,
        incident_id=None,
        status=NoticeStatus.PENDING,
        payload=b"{}",  # type: ignore[arg-type]
        created_at=0,
    )
    assert gives_up(channel, notice, 2, next_attempt_at=9_999_999) is None
    assert gives_up(channel, notice, 3, next_attempt_at=3_600_000) is None
    assert gives_up(channel, notice, 3, next_attempt_at=3_600_001) == (
        "given up after 3600 s and 3 attempts"
    )
    assert gives_up(channel, notice, 5, next_attempt_at=1) == "given up after 5 attempts"
