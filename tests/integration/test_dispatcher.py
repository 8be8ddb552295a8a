"""The dispatcher: a real outbox, real receivers, real attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from standardwebhooks.webhooks import Webhook

from netpulse.model.alert import NoticeStatus
from netpulse.model.check import Result
from netpulse.rules.outbox import Backoff
from netpulse.storage import channels, notices
from netpulse.storage.db import Conn
from tests.home import SECRET, now
from tests.post import Post
from tests.receiver import Receiver


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


async def test_after_five_minutes_the_fallback_channel_is_told(
    post: Post, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 503
    async with Receiver() as spare:
        fallback = await post.home.channel(spare.url, name="Spare")
        rule = await post.home.rule(
            await post.home.channel(receiver.url), fallback_channel_id=fallback.id
        )
        assert rule.fallback_channel_id == fallback.id
        await post.open(Backoff(first=600))
        monitor = await post.monitor()
        await post.edge(monitor, Result.UP)
        await post.edge(monitor, Result.DOWN)

        async def tried() -> bool:
            return len(receiver.ledger) == 1

        await post.home.until(tried, "the first attempt")
        assert spare.taken == []
        post.later(5 * 60)
        (got,) = await spare.wait_for(1)
        assert got.payload["event"] == "monitor.down"
        assert got.payload["id"] == got.id != receiver.ledger[0].id


async def test_a_channel_that_is_gone_is_switched_off_and_another_one_hears_of_it(
    post: Post, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 410
    async with Receiver() as spare:
        gone = await post.home.channel(receiver.url, name="Gone")
        await post.home.rule(gone)
        await post.home.rule(await post.home.channel(spare.url), condition="system")
        await post.open()
        monitor = await post.monitor()
        await post.edge(monitor, Result.UP)
        await post.edge(monitor, Result.DOWN)
        (got,) = await spare.wait_for(1)
        assert got.payload["event"] == "channel.disabled"
        assert got.payload["reason"].startswith("The channel Gone was switched off: ")
        found = await post.home.db.read(channels.get, post.home.org.id, gone.id)
        assert found is not None
        assert not found.is_active
        await post.edge(monitor, Result.UP)
        assert len(receiver.ledger) == 1


async def test_a_redirect_is_final_and_not_followed(post: Post, receiver: Receiver) -> None:
    async with Receiver() as elsewhere:
        receiver.answer = lambda _: 307
        receiver.answer_headers = {"Location": elsewhere.url}
        channel = await post.home.channel(receiver.url)
        await post.home.rule(channel)
        await post.open()
        monitor = await post.monitor()
        await post.edge(monitor, Result.UP)
        await post.edge(monitor, Result.DOWN)
        (notice,) = await post.settled()
        assert notice.status is NoticeStatus.FAILED
        assert len(receiver.ledger) == 1
        assert elsewhere.ledger == []
        found = await post.home.db.read(channels.get, post.home.org.id, channel.id)
        assert found is not None
        assert not found.is_active


@pytest.mark.parametrize("answer", [b"", b"\x00\xff\x00 no HTTP at all\r\n\r\n"])
async def test_garbage_is_tried_again(post: Post, answer: bytes) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await post.home.rule(await post.home.channel(f"http://127.0.0.1:{port}/"))
    await post.open()
    monitor = await post.monitor()
    await post.edge(monitor, Result.UP)
    await post.edge(monitor, Result.DOWN)

    async def tried() -> bool:
        (notice,) = await post.all()
        return notice.attempt_count >= 2

    await post.home.until(tried, "it is tried again")
    (notice,) = await post.all()
    assert notice.status is NoticeStatus.PENDING
    assert notice.error
    server.close()


async def test_who_takes_notices_again_gets_what_waited_at_once(
    post: Post, receiver: Receiver
) -> None:
    """What a channel could not deliver for want of a connection goes out when it takes one."""
    await post.home.rule(await post.home.channel(receiver.url))
    await post.open(Backoff(first=600))
    first, second = [await post.monitor(name) for name in ("Shop", "Mail")]
    for monitor in (first, second):
        await post.edge(monitor, Result.UP)
    await receiver.close()
    await post.edge(first, Result.DOWN)

    async def tried() -> bool:
        (notice,) = await post.all()
        return notice.attempt_count == 1

    await post.home.until(tried, "the first attempt")
    await receiver.open()
    await post.edge(second, Result.DOWN)
    told = await receiver.wait_for(2)
    assert [one.payload["monitor"]["name"] for one in told] == ["Mail", "Shop"]
