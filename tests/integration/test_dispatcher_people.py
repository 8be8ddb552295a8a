"""The dispatcher and channels that people read: storms, pairs and restarts, with real receivers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from netpulse.model.alert import Event, NoticeStatus
from netpulse.model.channel import Channel, EmailConfig, NtfyConfig, Smtp
from netpulse.model.check import Result
from netpulse.model.monitor import Monitor
from netpulse.rules.outbox import Backoff
from netpulse.storage import incident_story, notices
from tests.mailbox import Mailbox
from tests.post import Post
from tests.receiver import Receiver


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    """A server for ntfy topics."""
    async with Receiver(answer_text='{"id": "x"}') as listening:
        yield listening


async def channel(post: Post, server: Receiver) -> Channel:
    """Add a channel that people read."""
    url = server.url.removesuffix("/hook")
    config = NtfyConfig(url=url, topic="alerts")
    return await post.home.channel(url, name="Phone", type="ntfy", config=config)


async def fleet(post: Post, count: int) -> list[Monitor]:
    """Add monitors that are up."""
    found = [await post.monitor(f"Shop {number}") for number in range(count)]
    for monitor in found:
        await post.edge(monitor, Result.UP)
    return found


async def test_a_storm_is_a_few_messages(post: Post, server: Receiver) -> None:
    await post.home.rule(await channel(post, server))
    shops = await fleet(post, 40)
    for monitor in shops:
        await post.edge(monitor, Result.DOWN)
    await post.open()
    await server.wait_for(5)
    post.later(10)
    for monitor in shops[20:]:
        await post.edge(monitor, Result.UP)
    post.later(21)
    await server.wait_for(6)
    told = await post.settled()
    assert len(server.taken) == 6
    assert server.taken[-1].payload["title"] == "15 monitors down, 20 up again"
    by_status = [notice.status for notice in told]
    assert by_status.count(NoticeStatus.SUPPRESSED) == 20, "the problems that were over"
    assert by_status.count(NoticeStatus.SENT) == 40
    incident_id = told[5].incident_id
    assert incident_id is not None
    story = await post.home.db.read(incident_story.timeline, incident_id)
    assert any(line.message == "Told Phone in a digest: Shop 5 is down" for line in story)


async def test_a_pair_that_nobody_heard_of_is_one_message(post: Post, server: Receiver) -> None:
    await post.home.rule(await channel(post, server))
    await post.open(Backoff(first=60))
    (shop,) = await fleet(post, 1)
    await server.close()
    await post.edge(shop, Result.DOWN)

    async def tried() -> bool:
        (notice,) = await post.all()
        return notice.attempt_count == 1

    await post.home.until(tried, "the first attempt")
    await server.open()
    post.clock.ahead_ms += 12 * 60_000
    await post.edge(shop, Result.UP)
    (got,) = await server.wait_for(1)
    assert got.payload["title"].startswith("Up again: Shop 0, it was down for 12 min")
    problem, recovery = await post.settled()
    assert problem.event is Event.MONITOR_DOWN
    assert (problem.status, problem.reason) == (NoticeStatus.SUPPRESSED, "collapsed")
    assert recovery.status is NoticeStatus.SENT


async def test_a_restart_in_the_middle_of_a_digest_repeats_it(post: Post, server: Receiver) -> None:
    await post.home.rule(await channel(post, server))
    for monitor in await fleet(post, 12):
        await post.edge(monitor, Result.DOWN)
    await post.open()
    await server.wait_for(5)
    server.delay = 30
    post.later(31)

    async def begun() -> bool:
        return any(notice.digest_id for notice in await post.all())

    await post.home.until(begun, "the digest is on its way")
    gathered = [notice.id for notice in await post.all() if notice.digest_id]
    assert len(gathered) == 7
    await post.close()
    server.delay = 0
    # What comes meanwhile is no part of it.
    (late,) = await fleet(post, 1)
    await post.edge(late, Result.DOWN)
    await post.open()
    await server.wait_for(6)
    assert server.taken[-1].payload["title"] == "7 monitors down"

    async def settled() -> bool:
        digest = [notice for notice in await post.all() if notice.digest_id]
        return {notice.status for notice in digest} == {NoticeStatus.SENT}

    await post.home.until(settled, "the digest is settled")
    told = [notice for notice in await post.all() if notice.digest_id]
    assert [notice.id for notice in told] == gathered
    assert {notice.digest_id for notice in told} == {gathered[0]}


async def test_messages_carry_links(post: Post, server: Receiver) -> None:
    await post.home.rule(await channel(post, server))
    await post.open()
    (shop,) = await fleet(post, 1)
    await post.edge(shop, Result.DOWN)
    (got,) = await server.wait_for(1)
    (notice,) = await post.settled()
    base = "https://netpulse.example"
    assert got.payload["click"] == f"{base}/incidents/{notice.incident_id}"
    (action,) = got.payload["actions"]
    assert action["url"].startswith(f"{base}/acknowledge/{notice.incident_id}.")


async def test_a_digest_that_is_refused_fails_as_a_whole(post: Post, server: Receiver) -> None:
    server.answer = lambda one: 400 if "monitors down" in one.payload["title"] else 200
    await post.home.rule(await channel(post, server))
    await post.open()
    for monitor in await fleet(post, 8):
        await post.edge(monitor, Result.DOWN)
    await server.wait_for(5)
    post.later(31)
    told = await post.settled()
    assert [notice.status.value for notice in told] == ["sent"] * 5 + ["failed"] * 3
    assert len(server.ledger) == 6


async def test_after_a_restart_nobody_has_the_same_mail_again(post: Post) -> None:
    """Two of three had it, or never will, when the process ended; the third gets it then."""
    replies = {
        "bob@acme.example": "450 4.2.0 greylisted",
        "carol@acme.example": "550 5.1.1 unknown",
    }
    async with Mailbox(recipient_replies=replies) as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, security="none", sender="np@acme.example")
        to = ("alice@acme.example", *replies)
        config = EmailConfig(to=to, smtp=smtp)
        await post.home.rule(await post.home.channel("-", name="Mail", type="email", config=config))
        (shop,) = await fleet(post, 1)
        await post.edge(shop, Result.DOWN)
        await post.open(Backoff(first=3_600.0, longest=3_600.0))

        async def is_tried() -> bool:
            (notice,) = await post.home.db.read(notices.recent, post.home.org.id)
            return notice.attempt_count == 1

        await post.home.until(is_tried, "it is tried once")
        await post.close()
        box.recipient_replies.clear()
        post.later(2 * 3_600)
        await post.open()
        (notice,) = await post.settled()
        assert notice.status is NoticeStatus.SENT
        assert [envelope.rcpt_tos for envelope in box.taken] == [[to[0]], [to[1]]]


@pytest.mark.parametrize(
    ("first", "then", "came_to"),
    [
        ({"bob@acme.example": "450 4.2.0 greylisted"}, {}, NoticeStatus.SENT),
        (
            {"alice@acme.example": "550 5.1.1 unknown", "bob@acme.example": "450 4.2.0 later"},
            {"bob@acme.example": "550 5.1.1 unknown"},
            NoticeStatus.FAILED,
        ),
    ],
)
async def test_what_is_sent_once_more_goes_to_everybody(
    post: Post, first: dict[str, str], then: dict[str, str], came_to: NoticeStatus
) -> None:
    """Also to who had it before the others, and to whoever was refused when it was settled."""
    async with Mailbox(recipient_replies=first) as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, security="none", sender="np@acme.example")
        to = ("alice@acme.example", "bob@acme.example")
        config = EmailConfig(to=to, smtp=smtp)
        await post.home.rule(await post.home.channel("-", name="Mail", type="email", config=config))
        (shop,) = await fleet(post, 1)
        await post.edge(shop, Result.DOWN)
        await post.open(Backoff(first=3_600.0, longest=3_600.0))

        async def is_tried() -> bool:
            (notice,) = await post.all()
            return notice.attempt_count == 1

        await post.home.until(is_tried, "it is tried once")
        box.recipient_replies.clear()
        box.recipient_replies.update(then)
        post.later(2 * 3_600)
        (notice,) = await post.settled()
        assert notice.status is came_to
        box.recipient_replies.clear()
        again = (post.home.org.id, notice.id, post.clock.now())
        await post.home.db.write(notices.resend, *again)
        post.later(1)
        (notice,) = await post.settled()
        assert notice.status is NoticeStatus.SENT
        assert box.taken[-1].rcpt_tos == list(to)
