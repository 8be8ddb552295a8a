"""Subscribers of status pages with real servers: letters by mail, and webhooks that ask first."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from msgspec.structs import replace

from netpulse.channels.webhook import signature
from netpulse.config import Smtp
from netpulse.engine import page_webhooks
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, rfc3339
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import subscribers
from netpulse.storage.db import Conn
from tests.api.test_monitors import fail, sent
from tests.api.test_status_pages import make, monitor, of
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.mailbox import Mailbox
from tests.receiver import Delivery, Receiver
from tests.subscribed import (
    PUBLIC_URL,
    READER,
    WITH_MAIL,
    ask,
    clock_of,
    link_in,
    mend,
    subscribe,
    turn,
)

ANYWHERE = AddressPolicy()
"""Receivers of tests are on loopback."""


async def until(box: Mailbox, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(box.taken) < count:
        assert time.monotonic() < deadline, f"{len(box.taken)} of {count} letters"
        await asyncio.sleep(0.01)


async def test_by_mail_from_the_form_to_the_button_of_the_mail_program(
    open_stage: Opener,
) -> None:
    async with Mailbox() as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, sender="np@netpulse.example", security="none")
        stage = await open_stage(config=replace(WITH_MAIL, smtp=smtp), clock=FakeClock())
        await stage.house.engine.postman.start()
        alice = stage.client(headers=stage.cast.alice.headers)
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        reader = stage.client()
        assert (await ask(reader)).status_code == 200
        await until(box, 1)
        (question,) = box.messages
        assert question["To"] == READER
        body = question.get_content()
        assert (await reader.get(link_in(body))).status_code == 200
        await fail(stage, shop, START)
        await turn(stage)
        clock_of(stage).advance(HOUR / SECOND)
        await turn(stage)
        assert len(box.taken) == 1, "nothing before it is confirmed"
        await mend(stage, shop, START + HOUR)
        assert (await reader.post(link_in(body))).status_code == 200
        await fail(stage, shop, START + HOUR + SECOND)
        await turn(stage)
        clock_of(stage).advance(30)
        await turn(stage)
        await until(box, 2)
        news = box.messages[1]
        assert news["Subject"] == "[Acme] Outage of Shop"
        assert news["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        raw = box.taken[1].content
        assert isinstance(raw, bytes)
        # As it is, on one line: not in pieces, and not as encoded words.
        (line,) = [each for each in raw.split(b"\r\n") if each.startswith(b"List-Unsubscribe:")]
        url = line.decode().removeprefix("List-Unsubscribe: <").removesuffix(">")
        assert url.startswith(f"{PUBLIC_URL}/subscriptions/")
        assert url.endswith("/unsubscribe")
        assert url in news.get_content()
        provider = stage.client("203.0.113.9")
        done = await provider.post(urlsplit(url).path, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
        await mend(stage, shop, clock_of(stage).now())
        await turn(stage)
        clock_of(stage).advance(HOUR / SECOND)
        await turn(stage)
        assert len(box.taken) == 2


async def test_an_address_that_is_refused_for_good(open_stage: Opener) -> None:
    """It is said where administrators look, and ends after two weeks; a letter that is taken
    forgives all."""
    async with Mailbox() as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, sender="np@netpulse.example", security="none")
        stage = await open_stage(config=replace(WITH_MAIL, smtp=smtp), clock=FakeClock())
        alice = stage.client(headers=stage.cast.alice.headers)
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await stage.house.engine.postman.start()

        async def happen(how: Callable[..., Any], reply: str) -> tuple[object, ...]:
            """Have the shop fail or recover, and the letter of it answered."""
            box.recipient_replies = {READER: reply} if reply else {}
            await how(stage, shop, clock_of(stage).now())
            stage.house.engine.live.stir(stage.cast.acme.id)
            await turn(stage)
            clock_of(stage).advance(MINUTE / SECOND)
            await turn(stage)
            deadline = time.monotonic() + 10
            while await stage.letters():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            return await state(stage)

        unknown = "550 no such user"
        refused = (0, 0, f"the mail server does not accept the recipient: {unknown}")
        assert await happen(fail, unknown) == refused
        clock_of(stage).advance(14 * DAY / SECOND - HOUR / SECOND)
        assert await happen(mend, unknown) == refused
        clock_of(stage).advance(HOUR / SECOND)
        assert await happen(fail, "") == (0, 0, None)
        clock_of(stage).advance(15 * DAY / SECOND)
        assert await happen(mend, unknown) == refused
        clock_of(stage).advance(14 * DAY / SECOND)
        assert await happen(fail, unknown) == ()
        assert (await stage.audit(stage.cast.acme.id))[-1] == (
            "status_page.unsubscribed",
            None,
            "a subscriber's mail server",
        )


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    """A stage whose strangers' webhooks may be on loopback."""
    return await open_stage(config=WITH_MAIL, clock=FakeClock(), strangers=ANYWHERE)


async def subscribed(stage: Stage, receiver: Receiver) -> httpx.AsyncClient:
    """Subscribe a receiver, through the question it is sent; returns Alice's client."""
    alice = stage.client(headers=stage.cast.alice.headers)
    await make(alice, groups=of(await monitor(alice)))
    assert (await ask(stage.client(), receiver.url, kind="webhook")).status_code == 200
    await stage.house.engine.page_webhooks.turn()
    confirm = urlsplit(receiver.ledger[-1].payload["confirm_url"]).path
    assert (await stage.client().post(confirm)).status_code == 200
    return alice


async def shop_of(alice: httpx.AsyncClient) -> str:
    (found,) = sent(await alice.get("/v1/monitors"))
    return str(found["id"])


async def tell(stage: Stage, seconds: float = 30) -> None:
    """Let the news be gathered, and webhooks be tried once."""
    await turn(stage)
    clock_of(stage).advance(seconds)
    await turn(stage)
    await stage.house.engine.page_webhooks.turn()


async def state(stage: Stage) -> tuple[object, ...]:
    """Return (attempts, whether another is planned, why the last failed) of the one webhook."""

    def read(conn: Conn) -> tuple[object, ...]:
        row = conn.one(
            "SELECT attempt_count, next_attempt_at IS NOT NULL, error FROM status_page_subscribers"
        )
        return () if row is None else tuple(row)

    return await stage.house.db.read(read)


async def test_a_webhook_is_asked_first(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice, title="Acme https://evil.example/ status")
        assert (await ask(stage.client(), receiver.url, kind="webhook")).status_code == 200
        await stage.house.engine.page_webhooks.turn()
        (question,) = receiver.ledger
        asked = question.payload
        confirm = asked["confirm_url"]
        assert asked == {
            "type": "status_page.confirm",
            "text": "Somebody asked that this webhook be told the news of Acme evil.example/ "
            f"status. Whoever runs it and wants that, says so here: {confirm}",
            "page": {
                "title": "Acme https://evil.example/ status",
                "url": f"{PUBLIC_URL}/status/acme",
            },
            "confirm_url": confirm,
            "unsubscribe_url": confirm.replace("/confirm", "/unsubscribe"),
            "signing_secret": asked["signing_secret"],
            "expires_at": rfc3339(START + 2 * DAY),
        }
        # It is asked once, and told nothing.
        for _ in range(3):
            clock_of(stage).advance(600)
            await stage.house.engine.page_webhooks.turn()
        assert len(receiver.ledger) == 1
        end = urlsplit(asked["unsubscribe_url"]).path
        assert (await stage.client().post(end)).status_code == 200
        assert await state(stage) == ()


async def test_what_a_webhook_is_told(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        public = sent(await stage.client().get("/v1/public/status/acme"))
        await fail(stage, shop, START)
        await mend(stage, shop, START + SECOND)
        stage.house.engine.live.stir(stage.cast.acme.id)
        plan = {
            "title": "Disks",
            "starts_at": rfc3339(START + DAY),
            "ends_at": rfc3339(START + DAY + HOUR),
            "all": True,
            "is_public": True,
        }
        sent(await alice.post("/v1/maintenance", json=plan), 201)
        (page,) = sent(await alice.get("/v1/status-pages"))
        url = f"/v1/status-pages/{page['id']}/announcements"
        sent(await alice.post(url, json={"title": "News", "text": "We move."}), 201)
        await tell(stage)
        question, told = receiver.ledger[:2]
        for delivery in (question, told):
            at = int(delivery.headers["webhook-timestamp"])
            secret = question.payload["signing_secret"]
            signed = signature(secret, delivery.headers["webhook-id"], at, delivery.body)
            assert delivery.headers["webhook-signature"] == signed
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
        payload = told.payload
        incident, maintenance, announcement = payload["news"]
        (shown,) = sent(await stage.client().get("/v1/public/status/acme/incidents"))
        assert incident == {
            "event": "incident.resolved",
            "id": shown["id"],
            "title": "Outage of Shop",
            "services": ["Shop"],
            "status": "resolved",
            "impact": "major",
            "started_at": rfc3339(START),
            "resolved_at": rfc3339(START + SECOND),
            "updates": [
                {
                    "at": rfc3339(START),
                    "status": "investigating",
                    "text": "Shop does not work as it should.",
                },
                {
                    "at": rfc3339(START + SECOND),
                    "status": "resolved",
                    "text": "Shop works again.",
                },
            ],
        }
        assert maintenance == {
            "event": "maintenance.planned",
            "id": maintenance["id"],
            "title": "Disks",
            "services": ["Shop"],
            "text": "",
            "starts_at": rfc3339(START + DAY),
            "ends_at": rfc3339(START + DAY + HOUR),
            "repeats": False,
        }
        assert announcement == {
            "event": "announcement",
            "id": announcement["id"],
            "title": "News",
            "services": [],
            "text": "We move.",
            "announced_at": rfc3339(START),
        }
        assert payload["type"] == "status_page.news"
        assert payload["text"] == (
            f"Acme: Resolved: Outage of Shop, and 2 more {PUBLIC_URL}/status/acme"
        )
        assert payload["page"] == {"title": "Acme", "url": f"{PUBLIC_URL}/status/acme"}
        assert told.headers["webhook-timestamp"] == str((START + 30 * SECOND) // SECOND)
        assert public["title"] == "Acme"
        text = told.body.decode()
        for leak in (shop, "connection refused", "shop.example", stage.cast.acme.id, page["id"]):
            assert leak not in text


async def test_it_is_tried_again_with_what_came_up_meanwhile(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 503
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        first = receiver.ledger[-1]
        assert await state(stage) == (1, 1, "the receiver answered HTTP 503: it is in trouble")
        # The same at every attempt, so that a receiver knows it again.
        clock_of(stage).advance(30)
        await stage.house.engine.page_webhooks.turn()
        again = receiver.ledger[-1]
        assert (again.id, again.body) == (first.id, first.body)
        assert (await state(stage))[0] == 2
        await mend(stage, shop, clock_of(stage).now())
        await turn(stage)
        clock_of(stage).advance(HOUR / SECOND)
        await turn(stage)
        receiver.answer = lambda _: 200
        await stage.house.engine.page_webhooks.turn()
        told = receiver.ledger[-1]
        assert told.id != first.id
        (item,) = told.payload["news"]
        assert item["event"] == "incident.resolved"
        assert len(item["updates"]) == 2
        assert await state(stage) == (0, 0, None)
        count = len(receiver.ledger)
        await tell(stage, HOUR / SECOND)
        assert len(receiver.ledger) == count


async def test_it_is_not_tried_before_the_receiver_wants_that(stage: Stage) -> None:
    """Up to an hour: whatever is asked for, it is not hurried, and not forgotten."""
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 429
        receiver.answer_headers = {"Retry-After": "7200"}
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        for _ in range(3):
            clock_of(stage).advance(HOUR / SECOND / 4)
            await stage.house.engine.page_webhooks.turn()
        assert len(receiver.ledger) == 2
        receiver.answer = lambda _: 200
        clock_of(stage).advance(HOUR / SECOND / 4)
        await stage.house.engine.page_webhooks.turn()
        assert len(receiver.ledger) == 3
        assert await state(stage) == (0, 0, None)


@pytest.mark.parametrize("status", [200, 500])
async def test_one_that_says_yes_while_it_is_asked(stage: Stage, status: int) -> None:
    """Programs do. What comes of the question then, tells it nothing that was before."""
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
    async with Receiver() as receiver:
        assert (await ask(stage.client(), receiver.url, kind="webhook")).status_code == 200
        (asked,) = await stage.house.db.read(subscribers.due, clock_of(stage).now(), 8, ())
        token = stage.house.links.subscription_token(asked.id)
        receiver.answer = lambda _: status
        assert (await stage.client().post(f"/subscriptions/{token}/confirm")).status_code == 200
        await stage.house.engine.page_webhooks._deliver(asked)
        assert len(receiver.ledger) == 1
        clock_of(stage).advance(HOUR / SECOND)
        await turn(stage)
        receiver.answer = lambda _: 200
        await stage.house.engine.page_webhooks.turn()
        assert len(receiver.ledger) == 1, "what was told before it came"
        await mend(stage, shop, clock_of(stage).now())
        await tell(stage)
        (item,) = receiver.ledger[-1].payload["news"]
        assert [line["status"] for line in item["updates"]] == ["resolved"]


async def test_what_comes_up_while_it_is_sent(stage: Stage) -> None:
    """An attempt that succeeds settles what it told, and nothing that came after."""
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await turn(stage)
        clock_of(stage).advance(30)
        await turn(stage)
        (under_way,) = await stage.house.db.read(subscribers.due, clock_of(stage).now(), 8, ())
        await mend(stage, shop, clock_of(stage).now())
        await turn(stage)
        clock_of(stage).advance(HOUR / SECOND)
        await turn(stage)
        await stage.house.db.write(subscribers.taken, under_way)
        await stage.house.engine.page_webhooks.turn()
        ((item,),) = [one.payload["news"] for one in receiver.taken[1:]]
        assert item["event"] == "incident.resolved"
        assert len(item["updates"]) == 1


async def test_questions_hold_up_no_news(stage: Stage) -> None:
    """Strangers have as many asked as they like, and have them answer slowly."""
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        for n in range(3):
            await ask(stage.client(), f"{receiver.url}?{n}", kind="webhook")
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await turn(stage)
        clock_of(stage).advance(30)
        await turn(stage)
        due = await stage.house.db.read(subscribers.due, clock_of(stage).now(), 2, ())
        assert [one.confirmed_at is None for one in due] == [False, True]


async def test_who_may_be_slow_leaves_room_for_the_others(stage: Stage) -> None:
    """Questions to many hosts that never answer share half of the room."""
    let_go = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        writer.close()

    webhooks = stage.house.engine.page_webhooks
    async with Receiver() as receiver, await asyncio.start_server(silent, "0.0.0.0", 0) as server:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        port = server.sockets[0].getsockname()[1]
        for n in range(2, 9):
            url = f"http://127.0.0.{n}:{port}/"
            assert (await ask(stage.client(), url, kind="webhook")).status_code == 200
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await turn(stage)
        assert await webhooks._begin()
        assert len(webhooks._attempts) == 4
        clock_of(stage).advance(30)
        await turn(stage)
        assert await webhooks._begin()
        assert len(webhooks._attempts) == 5
        assert [one.path for one in await receiver.wait_for(2)] == ["/hook", "/hook"]
        # Those that wait are no reason to look again before an attempt has ended.
        assert not await webhooks._begin()
        assert await webhooks._next() == 30
        let_go.set()
        await webhooks.turn()


async def test_one_host_has_little_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever took long the last time is slow, until it was quick once more."""
    monkeypatch.setattr(page_webhooks, "WINDOW", 2)
    webhooks = stage.house.engine.page_webhooks
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        for n in range(4):
            await ask(stage.client(), f"{receiver.url}?{n}", kind="webhook")
        await webhooks.turn()
        assert len(receiver.ledger) == 5
        assert receiver.most_at_once <= 2

        def slowly(_: Delivery) -> int:
            clock_of(stage).advance(2)
            return 200

        receiver.answer = slowly
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        assert webhooks._slow == {"127.0.0.1"}
        receiver.answer = lambda _: 200
        await mend(stage, shop, clock_of(stage).now())
        await tell(stage, HOUR / SECOND)
        assert len(receiver.ledger) == 7
        assert webhooks._slow == set()


async def test_410_ends_it(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 410
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        assert await state(stage) == ()
        assert (await stage.audit(stage.cast.acme.id))[-1] == (
            "status_page.unsubscribed",
            None,
            "a subscriber's webhook",
        )


async def test_one_that_takes_nothing_for_two_weeks_is_removed(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 404
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        gone = "the receiver answered HTTP 404: there is no such address; check the URL"
        # Not tried again, but told what happens next.
        assert await state(stage) == (0, 0, gone)
        clock_of(stage).advance(14 * DAY / SECOND - 60)
        await mend(stage, shop, clock_of(stage).now())
        await tell(stage)
        assert len(receiver.ledger) == 3
        assert await state(stage) == (0, 0, gone)
        clock_of(stage).advance(MINUTE / SECOND)
        await fail(stage, shop, clock_of(stage).now())
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage, 120)
        assert len(receiver.ledger) == 4
        assert await state(stage) == ()


async def test_nor_do_further_news_keep_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next news come before the last are given up, it is tried on and on."""
    monkeypatch.setattr(page_webhooks, "DAYS_ATTEMPTS", 20)
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 500
        for half_days in range(29):
            await (mend if half_days % 2 else fail)(stage, shop, clock_of(stage).now())
            stage.house.engine.live.stir(stage.cast.acme.id)
            await tell(stage, DAY / SECOND / 2)
            assert (await state(stage) == ()) is (half_days == 28), half_days
        assert (await stage.audit(stage.cast.acme.id))[-1] == (
            "status_page.unsubscribed",
            None,
            "a subscriber's webhook",
        )


async def test_what_breaks_is_not_tried_without_a_pause(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pause = 0.05
    monkeypatch.setattr(page_webhooks, "TROUBLE_SECONDS", pause)
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        await fail(stage, await shop_of(alice), START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await turn(stage)
        clock_of(stage).advance(30)
        await turn(stage)
        damage = "UPDATE status_page_issues SET items = 'unreadable'"
        await stage.house.db.write(lambda conn: conn.execute(damage))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await stage.house.engine.page_webhooks.start()
        while (times := caplog.text.count("a webhook of a status page broke")) < 3:
            assert loop.time() < began + 10, caplog.text
            await asyncio.sleep(0.01)
        assert loop.time() - began >= times * pause
        await stage.house.engine.page_webhooks.stop()
        assert len(receiver.ledger) == 1, "the question"


async def test_news_are_given_up_after_a_day(stage: Stage) -> None:
    async with Receiver() as receiver:
        alice = await subscribed(stage, receiver)
        shop = await shop_of(alice)
        receiver.answer = lambda _: 500
        await fail(stage, shop, START)
        stage.house.engine.live.stir(stage.cast.acme.id)
        await tell(stage)
        clock_of(stage).advance(DAY / SECOND)
        await stage.house.engine.page_webhooks.turn()
        assert (await state(stage))[1] == 0
        receiver.answer = lambda _: 200
        await mend(stage, shop, clock_of(stage).now())
        await tell(stage)
        # What was given up is old, and is not told any more.
        (item,) = receiver.taken[-1].payload["news"]
        assert [line["status"] for line in item["updates"]] == ["resolved"]


async def test_the_engine_does_it_by_itself(open_stage: Opener) -> None:
    """Asked at once, by the running task."""
    async with Receiver() as receiver:
        stage = await open_stage(
            config=WITH_MAIL, clock=FakeClock(), strangers=ANYWHERE, start=True
        )
        await make(stage.client(headers=stage.cast.alice.headers))
        assert (await ask(stage.client(), receiver.url, kind="webhook")).status_code == 200
        deadline = time.monotonic() + 10
        while not receiver.ledger:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert receiver.ledger[0].payload["type"] == "status_page.confirm"
