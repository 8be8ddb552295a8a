"""Subscribing to a status page: asking, confirming by the link, ending it, and who sees it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from concurrent.futures import Future

import httpx
import pytest
from litestar.exceptions import LitestarException
from msgspec.structs import replace

from netpulse.config import Config, Server
from netpulse.model.letter import LetterKind
from netpulse.model.subscriber import Subscriber
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, rfc3339
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import letters, subscribers
from netpulse.storage.db import Conn
from netpulse.web.api import subscribers as api
from netpulse.web.rates import Rate
from netpulse.web.status import subscribing
from tests.api.test_monitors import sent
from tests.api.test_pages import led_to
from tests.api.test_status_pages import make, monitor, of
from tests.cast import PASSWORD
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.nameserver import NameServer
from tests.receiver import Receiver
from tests.subscribed import (
    ASKED,
    PUBLIC_URL,
    READER,
    WITH_MAIL,
    ask,
    clock_of,
    link_in,
    subscribe,
)

POLYGLOT = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}@mail.example"


@pytest.fixture(autouse=True)
def answer_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers go out at once; one test looks at when."""
    monkeypatch.setattr(subscribing, "ANSWER_SECONDS", 0.0)


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    """A stage that can write letters, with a page at /status/acme."""
    found = await open_stage(config=WITH_MAIL, clock=FakeClock())
    await make(found.client(headers=found.cast.alice.headers))
    return found


def admin(stage: Stage) -> httpx.AsyncClient:
    return stage.client(headers=stage.cast.alice.headers)


async def addresses(stage: Stage) -> list[str]:
    """Return who is subscribed to any page."""

    def read(conn: Conn) -> list[str]:
        rows = conn.all("SELECT id FROM status_page_subscribers WHERE confirmed_at IS NOT NULL")
        return sorted(one.address for row in rows if (one := subscribers.get(conn, row[0])))

    return await stage.house.db.read(read)


async def browser(stage: Stage) -> httpx.AsyncClient:
    """Alice's browser, signed in."""
    client = stage.client()
    form = {"email": stage.cast.alice.email, "password": PASSWORD}
    led_to(await client.post("/login", data=form))
    return client


async def listed(stage: Stage) -> list[dict[str, object]]:
    pages = sent(await admin(stage).get("/v1/status-pages"))
    (page_id,) = [page["id"] for page in pages if page["slug"] == "acme"]
    found: list[dict[str, object]] = sent(
        await admin(stage).get(f"/v1/status-pages/{page_id}/subscribers")
    )
    return found


class TestAsking:
    async def test_from_the_page_to_the_letter(self, stage: Stage) -> None:
        client = stage.client()
        assert 'href="/status/acme/subscribe"' in (await client.get("/status/acme")).text
        form = await client.get("/status/acme/subscribe")
        assert (form.status_code, form.headers["cache-control"]) == (200, "no-store")
        assert form.text.count('<form method="post" action="/status/acme/subscribe"') == 2
        assert await stage.letters() == []
        answer = await ask(client, f" {READER.upper()} ")
        assert answer.status_code == 200
        assert ASKED in answer.text
        (letter,) = await stage.letters()
        path = link_in(letter.text)
        assert (letter.kind, letter.recipient) == (LetterKind.SUBSCRIPTION, READER)
        assert letter.expires_at == START + 2 * DAY
        assert letter.subject == "Do you want the news of Acme?"
        assert letter.text == (
            "Somebody, probably you, asked that this address be told the news of Acme: its "
            "incidents and planned maintenance.\n\n"
            "If you want that, say so within 48 hours, here:\n\n"
            f"{PUBLIC_URL}{path}\n\n"
            "If not, do nothing: without you nothing happens.\n"
        )
        assert await addresses(stage) == []

    async def test_the_same_answer_whoever_is_subscribed(self, stage: Stage) -> None:
        await subscribe(stage)
        client = stage.client()
        known = await ask(client)
        unknown = await ask(client, "other@mail.example")
        assert known.text == unknown.text
        assert [one.recipient for one in await stage.letters()] == ["other@mail.example"]

    async def test_at_the_same_moment(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is written for an unknown address takes its time, and shows in none."""
        await subscribe(stage)
        monkeypatch.setattr(subscribing, "ANSWER_SECONDS", 0.25)
        loop = asyncio.get_running_loop()
        for address in (READER, "other@mail.example"):
            began = loop.time()
            assert (await ask(stage.client(), address)).status_code == 200
            assert loop.time() - began >= 0.25

    async def test_once_an_hour(self, stage: Stage) -> None:
        client = stage.client()
        await ask(client)
        clock_of(stage).advance(HOUR / SECOND - 1)
        await ask(client)
        (first,) = await stage.letters()
        clock_of(stage).advance(1)
        await ask(client)
        (second,) = await stage.letters()
        assert second.id != first.id
        # It is the same question: either link answers it.
        assert link_in(second.text) == link_in(first.text)

    @pytest.mark.parametrize(
        ("kind", "address", "why"),
        [
            ("email", "", "this is no email address."),
            ("email", "nobody", "this is no email address."),
            ("email", "a@b@c", "this is no email address."),
            ("email", "a@b.example\r\nBcc: x@y.example", "this is no email address."),
            ("email", f"{'a' * 250}@b.example", "this is no email address."),
            ("email", POLYGLOT, "this is no email address."),
            ("webhook", "ftp://hooks.example/x", "the scheme is ftp; use http or https."),
            ("webhook", "http://127.0.0.1/x", "only addresses on the public internet are told."),
            ("webhook", "http://[::1]/x", "only addresses on the public internet are told."),
            ("webhook", "http://localhost:1/", "only addresses on the public internet are told."),
            ("webhook", "http://169.254.169.254/", "only addresses on the public internet are told."),
            ("webhook", "http://0x7f.1/", None),
            ("webhook", "https://a:b@hooks.example/x", None),
            ("webhook", "https://hooks.example/" + "x" * 2_000, "is longer than 2000 characters."),
        ],
    )  # fmt: skip
    async def test_unusable_addresses(
        self, stage: Stage, kind: str, address: str, why: str | None
    ) -> None:
        answer = await ask(stage.client(), address, kind=kind)
        assert answer.status_code == 400
        if why is not None:
            label = "URL" if kind == "webhook" else "Email address"
            assert f"{label}: {why}" in answer.text
        assert "<script>alert" not in answer.text
        assert await stage.letters() == []
        rows = await stage.house.db.read(
            lambda conn: conn.all("SELECT 1 FROM status_page_subscribers")
        )
        assert rows == []

    async def test_how_often(self, stage: Stage) -> None:
        client = stage.client("192.0.2.77")
        codes = [(await ask(client, f"r{n}@mail.example")).status_code for n in range(21)]
        assert codes == [200] * 20 + [429]
        refused = await ask(client, "r99@mail.example")
        assert int(refused.headers["retry-after"]) > 60
        assert "Too many subscriptions were asked for" in refused.text
        assert (await ask(stage.client("192.0.2.78"))).status_code == 200

    async def test_nobody_has_a_stranger_written_to_again_and_again(self, stage: Stage) -> None:
        for number in range(5):
            await make(admin(stage), slug=f"page-{number}")
            client = stage.client(f"192.0.2.{100 + number}")
            assert (await ask(client, slug=f"page-{number}")).status_code == 200
        assert [one.recipient for one in await stage.letters()] == [READER] * 3

    async def test_as_many_as_fit(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscribing, "MOST", 1)
        await subscribe(stage)
        full = await ask(stage.client(), "other@mail.example")
        assert full.status_code == 409
        assert "This page takes no more subscribers." in full.text
        # For those who are among them too: else it would show who is.
        again = await ask(stage.client())
        assert again.text.replace(READER, "other@mail.example") == full.text

    async def test_who_does_not_answer_keeps_nobody_out(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subscribing, "MOST", 2)
        for name in ("a", "b", "c"):
            assert (await ask(stage.client(), f"{name}@mail.example")).status_code == 200
            clock_of(stage).advance(1)
        left = [link_in(one.text) for one in await stage.letters()]
        states = ["Yes, subscribe" in (await stage.client().get(link)).text for link in left]
        assert states == [False, True, True]

    async def test_where_it_is_switched_off(self, stage: Stage) -> None:
        path = await subscribe(stage)
        await ask(stage.client(), "late@mail.example")
        asked = link_in((await stage.letters())[-1].text)
        (page,) = sent(await admin(stage).get("/v1/status-pages"))
        body = {"slug": "acme", "title": "Acme", "takes_subscribers": False}
        sent(await admin(stage).put(f"/v1/status-pages/{page['id']}", json=body))
        client = stage.client()
        form = (await client.get("/status/acme/subscribe")).text
        assert "<form" not in form
        assert "feed.atom" in form
        assert "The subscription has ended" in (await client.post(asked)).text
        refused = await ask(client, "other@mail.example")
        assert refused.status_code == 409
        assert "This page cannot be subscribed to in this way." in refused.text
        assert await addresses(stage) == [READER]
        assert (await client.post(path)).status_code == 200

    @pytest.mark.parametrize(
        ("config", "email", "webhook"),
        [
            (Config(), 409, 409),
            (replace(WITH_MAIL, server=Server()), 409, 409),
            (Config(server=Server(public_url=PUBLIC_URL)), 409, 200),
            (WITH_MAIL, 200, 200),
        ],
    )
    async def test_what_is_offered(
        self, open_stage: Opener, config: Config, email: int, webhook: int
    ) -> None:
        stage = await open_stage(config=config)
        await make(admin(stage))
        client = stage.client()
        form = (await client.get("/status/acme/subscribe")).text
        assert ("Subscribe by mail" in form) is (email == 200)
        assert ("Subscribe by webhook" in form) is (webhook == 200)
        assert (await ask(client)).status_code == email
        answer = await ask(client, "https://hooks.example/x", kind="webhook")
        assert answer.status_code == webhook

    async def test_behind_a_password(self, stage: Stage) -> None:
        await make(admin(stage), slug="inside", password="open sesame")
        client = stage.client()
        asked = await client.get("/status/inside/subscribe")
        assert (asked.status_code, "This page has a password" in asked.text) == (401, True)
        assert (await ask(client, slug="inside")).status_code == 401
        assert await stage.letters() == []
        await client.post("/status/inside", data={"password": "open sesame"})
        assert (await ask(client, slug="inside")).status_code == 200
        assert len(await stage.letters()) == 1

    @pytest.mark.parametrize(("said", "left"), [("keep", [READER]), ("remove", [])])
    async def test_who_came_before_the_password(
        self, stage: Stage, said: str, left: list[str]
    ) -> None:
        await subscribe(stage)
        await ask(stage.client(), "asked@mail.example")
        (letter,) = await stage.letters()
        (page,) = sent(await admin(stage).get("/v1/status-pages"))
        url = f"/v1/status-pages/{page['id']}"
        refused = await admin(stage).put(url, json=page | {"password": "open sesame"})
        assert refused.status_code == 400
        assert refused.json()["error"]["details"]["errors"] == [
            {
                "path": "$.subscribers",
                "message": "keep or remove those there are (1): they were not asked for this"
                " password",
            }
        ]
        assert (await stage.client().get("/status/acme")).status_code == 200
        body = page | {"password": "open sesame", "subscribers": said}
        assert sent(await admin(stage).put(url, json=body))["password_set"] is True
        assert await addresses(stage) == left
        # Who was asked may ask again, and needs the password for it.
        confirm = await stage.client().post(link_in(letter.text))
        assert "The subscription has ended" in confirm.text
        assert await stage.letters() == []
        audit = await stage.actions(stage.cast.acme.id)
        removed = ["status_page.subscribers_removed"] if said == "remove" else []
        assert audit[2:] == [*removed, "status_page.updated"]
        if removed:
            assert (await stage.payloads(stage.cast.acme.id))[-2]["before"] == {"subscribers": 1}

    async def test_the_form_asks_what_becomes_of_them(self, stage: Stage) -> None:
        (page,) = sent(await admin(stage).get("/v1/status-pages"))
        here = f"/status-pages/{page['id']}"
        client = await browser(stage)
        assert "Present subscribers" not in (await client.get(here)).text
        await subscribe(stage)
        form = {"title": "Acme", "slug": "acme", "takes_subscribers": "true"}
        assert (
            "1 reader is subscribed. Choose when you set a password"
            in (await client.get(here)).text
        )
        refused = await client.post(here, data=form | {"password": "open sesame"})
        why = "Present subscribers: keep or remove those there are (1): they were not asked for"
        assert (refused.status_code, why in refused.text) == (400, True)
        assert "open sesame" not in refused.text
        done = await client.post(here, data=form | {"subscribers": "remove"})
        assert done.status_code == 303
        assert await addresses(stage) == []

    async def test_no_such_page(self, stage: Stage) -> None:
        assert (await ask(stage.client(), slug="nobody")).status_code == 404

    async def test_from_another_site(self, stage: Stage) -> None:
        client = stage.client(headers={"Sec-Fetch-Site": "cross-site"})
        assert (await ask(client)).status_code == 403
        assert await stage.letters() == []

    async def test_on_its_own_domain(self, stage: Stage) -> None:
        page = await make(admin(stage), slug="own", custom_domain="status.acme.example")
        await stage.house.db.write(
            lambda conn: conn.execute(
                "UPDATE status_pages SET domain_verified_at = 1 WHERE id = ?", (page["id"],)
            )
        )
        stage.house.shelf.domains_edited()
        client = stage.client(base="http://status.acme.example")
        assert 'action="/subscribe"' in (await client.get("/subscribe")).text
        answer = await client.post("/subscribe", data={"kind": "email", "address": READER})
        assert (answer.status_code, ASKED in answer.text) == (200, True)
        (letter,) = await stage.letters()
        link_in(letter.text)  # which leads to NetPulse's own address


class TestTheLinks:
    async def test_opening_one_does_nothing(self, stage: Stage) -> None:
        await ask(stage.client())
        path = link_in((await stage.letters())[0].text)
        asked = await stage.client().get(path)
        assert asked.status_code == 200
        assert "Yes, subscribe" in asked.text
        assert asked.headers["cache-control"] == "no-store"
        assert asked.headers["referrer-policy"] == "strict-origin"
        assert asked.headers["x-robots-tag"] == "noindex"
        assert await addresses(stage) == []

    async def test_the_button_confirms(self, stage: Stage) -> None:
        clock_of(stage).advance(60)
        await ask(stage.client())
        path = link_in((await stage.letters())[0].text)
        done = await stage.client("192.0.2.50").post(path)
        assert (done.status_code, "You are subscribed" in done.text) == (200, True)
        (row,) = await listed(stage)
        assert row == {
            "id": row["id"],
            "status_page_id": row["status_page_id"],
            "kind": "email",
            "address": READER,
            "created_at": rfc3339(START + MINUTE),
            "confirmed_at": rfc3339(START + MINUTE),
            "error": None,
        }
        again = await stage.client().post(path)
        assert "You are subscribed" in again.text
        assert "You are subscribed" in (await stage.client().get(path)).text
        audit = await stage.audit(stage.cast.acme.id)
        assert audit[-1] == ("status_page.subscribed", None, "a subscriber")
        (payload,) = (await stage.payloads(stage.cast.acme.id))[1:]
        assert payload == {
            "before": None,
            "after": {"subscriber_id": row["id"], "kind": "email"},
        }

    async def test_too_late(self, stage: Stage) -> None:
        await ask(stage.client())
        path = link_in((await stage.letters())[0].text)
        clock_of(stage).advance(2 * DAY / SECOND)
        assert "Yes, subscribe" in (await stage.client().get(path)).text
        clock_of(stage).advance(1)
        assert "That was too late" in (await stage.client().post(path)).text
        assert await addresses(stage) == []
        await stage.house.engine.housekeeping.clean()
        assert "The subscription has ended" in (await stage.client().get(path)).text

    async def test_ending_it(self, stage: Stage) -> None:
        path = await subscribe(stage)
        asked = await stage.client().get(path)
        assert "End the subscription?" in asked.text
        assert await addresses(stage) == [READER]
        done = await stage.client().post(path)
        assert (done.status_code, "You are not told any more" in done.text) == (200, True)
        assert await addresses(stage) == []
        for _ in range(2):
            again = await stage.client().post(path)
            assert (again.status_code, "The subscription has ended" in again.text) == (200, True)
        assert (await stage.actions(stage.cast.acme.id))[1:] == [
            "status_page.subscribed",
            "status_page.unsubscribed",
        ]

    async def test_strangers_fill_no_audit_log(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stage.house.rates, "subscription_notes", Rate(3, seconds=3600))
        for n in range(4):
            path = await subscribe(stage, f"reader{n}@mail.example")
            await stage.client().post(path)
        each = ["status_page.subscribed", "status_page.unsubscribed"]
        noted = [*each, each[0], "status_page.subscriptions_unnoted"]
        assert (await stage.actions(stage.cast.acme.id))[1:] == noted
        (*_, last) = await stage.payloads(stage.cast.acme.id)
        assert last["after"] == {"noted_an_hour": 60}
        clock_of(stage).advance(2 * HOUR / SECOND)
        await subscribe(stage)
        assert (await stage.actions(stage.cast.acme.id))[1:] == [*noted, each[0]]

    async def test_the_button_of_a_mail_program(self, stage: Stage) -> None:
        """RFC 8058: no cookie, no origin of ours, and the one field."""
        path = await subscribe(stage)
        provider = stage.client("203.0.113.5", headers={"Origin": "https://mail.example"})
        answer = await provider.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert await addresses(stage) == []

    async def test_a_provider_may_send_many(self, stage: Stage) -> None:
        path = await subscribe(stage)
        provider = stage.client("203.0.113.5")
        most = stage.house.config.limits.anonymous_per_minute
        codes = {(await provider.post(path)).status_code for _ in range(most + 5)}
        assert codes == {200}

    async def test_what_waits_is_not_sent_any_more(self, stage: Stage) -> None:
        path = await subscribe(stage)

        def wait(conn: Conn) -> None:
            (row,) = conn.all("SELECT id FROM status_page_subscribers")
            letters.post(
                conn,
                LetterKind.STATUS_NEWS,
                READER,
                "News",
                "News",
                START,
                expires_at=START + DAY,
                subscriber_id=row[0],
            )

        await stage.house.db.write(wait)
        assert len(await stage.letters()) == 1
        await stage.client().post(path)
        assert await stage.letters() == []

    async def test_the_address_is_forgotten(self, stage: Stage) -> None:
        def known(conn: Conn) -> list[str]:
            return [row[0] for row in conn.all("SELECT recipient FROM letters")]

        path = await subscribe(stage)
        assert await stage.house.db.read(known) == [], "of what was sent nothing is kept"

        def give_up(conn: Conn) -> None:
            (row,) = conn.all("SELECT id FROM status_page_subscribers")
            until = START + DAY
            sent_to = {"expires_at": until, "subscriber_id": row[0]}
            kind = LetterKind.STATUS_NEWS
            letter_id = letters.post(conn, kind, READER, "News", "News", START, **sent_to)
            letters.failed(conn, letter_id, "no such mailbox", None)

        await stage.house.db.write(give_up)
        await stage.house.db.write(letters.forget_before, START)
        assert await stage.house.db.read(known) == [READER]
        await stage.client().post(path)
        await stage.house.db.write(letters.forget_before, START)
        assert await stage.house.db.read(known) == []

    async def test_links_that_are_not_ours(self, stage: Stage) -> None:
        path = await subscribe(stage)
        token = path.split("/")[2]
        subscriber_id, _, tag = token.partition(".")
        other = stage.house.links.token(subscriber_id, subscriber_id, START + DAY)
        client = stage.client()
        for wrong in (
            subscriber_id,
            f"{subscriber_id}.",
            f"{subscriber_id}.{tag[:-1]}",
            f"{subscriber_id[:-1]}0.{tag}" if subscriber_id[-1] != "0" else f"1.{tag}",
            f".{tag}",
            "x" * 500,
            "ä.ü",
            other,
        ):
            for act in ("confirm", "unsubscribe"):
                answer = await client.post(f"/subscriptions/{wrong}/{act}")
                assert answer.status_code == 404, wrong
        assert await addresses(stage) == [READER]
        codes = [(await client.get("/subscriptions/x/confirm")).status_code for _ in range(60)]
        assert codes[-1] == 429

    async def test_the_page_is_gone(self, stage: Stage) -> None:
        path = await subscribe(stage)
        (page,) = sent(await admin(stage).get("/v1/status-pages"))
        asked = (await admin(stage).get(f"/v1/status-pages/{page['id']}")).json()
        assert asked["data"]["takes_subscribers"] is True
        assert (await admin(stage).delete(f"/v1/status-pages/{page['id']}")).status_code == 200
        answer = await stage.client().post(path)
        assert (answer.status_code, "The subscription has ended" in answer.text) == (200, True)
        left = await stage.house.db.read(
            lambda conn: conn.all("SELECT 1 FROM status_page_subscribers")
        )
        assert left == []


class TestWhoSeesThem:
    async def test_the_list_and_removing_one(self, stage: Stage) -> None:
        first = await subscribe(stage)
        clock_of(stage).advance(1)
        await subscribe(stage, "second@mail.example")
        page_id = str((await listed(stage))[0]["status_page_id"])
        url = f"/v1/status-pages/{page_id}/subscribers"
        two = await admin(stage).get(url, params={"limit": 1, "page": 2})
        assert [row["address"] for row in sent(two)] == [READER]
        assert two.json()["meta"]["total"] == 2
        row = sent(two)[0]
        bob = stage.client(headers=stage.cast.bob.headers)
        charlie = stage.client(headers=stage.cast.charlie.headers)
        assert (await bob.get(url)).status_code == 403
        assert (await charlie.get(url)).status_code == 404
        assert (await charlie.delete(f"{url}/{row['id']}")).status_code == 404
        assert (await admin(stage).delete(f"{url}/nobody")).status_code == 404
        other = await make(admin(stage), slug="other")
        wrong = f"/v1/status-pages/{other['id']}/subscribers/{row['id']}"
        missing = await admin(stage).delete(wrong)
        assert missing.json()["error"]["code"] == "SUBSCRIBER_NOT_FOUND"
        assert (await admin(stage).delete(f"{url}/{row['id']}")).status_code == 200
        assert [one["address"] for one in await listed(stage)] == ["second@mail.example"]
        assert (await stage.actions(stage.cast.acme.id))[-1] == "status_page.subscriber_removed"
        assert "The subscription has ended" in (await stage.client().get(first)).text

    async def test_the_export(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "AT_ONCE", 2)
        readers = ["=1+1@mail.example", "b@mail.example", "c@mail.example"]
        for reader in readers:
            await subscribe(stage, reader)
            clock_of(stage).advance(1)
        await ask(stage.client(), "asked@mail.example")
        rows = await listed(stage)
        url = f"/v1/status-pages/{rows[0]['status_page_id']}/subscribers/export"
        lines = await admin(stage).get(url, params={"format": "jsonl"})
        assert lines.headers["content-type"].startswith("application/jsonl")
        assert lines.headers["cache-control"] == "no-store"
        assert [json.loads(line) for line in lines.text.splitlines()] == rows[::-1]
        table = await admin(stage).get(url, params={"format": "csv"})
        day = rfc3339(START)[:10]
        assert (
            table.headers["content-disposition"]
            == f'attachment; filename="subscribers-acme-{day}.csv"'
        )
        found = list(csv.DictReader(io.StringIO(table.text, newline="")))
        # No cell is a formula.
        assert [row["address"] for row in found] == ["'=1+1@mail.example", *readers[1:]]
        assert tuple(found[0]) == api.COLUMNS
        assert (await stage.actions(stage.cast.acme.id))[-2:] == [
            "status_page.subscribers_exported"
        ] * 2
        (*_, payload) = await stage.payloads(stage.cast.acme.id)
        assert payload["after"] == {"subscribers": 3, "format": "csv"}
        wrong = await admin(stage).get(url, params={"format": "pdf"})
        assert wrong.status_code == 400
        assert (await stage.client(headers=stage.cast.bob.headers).get(url)).status_code == 403
        charlie = stage.client(headers=stage.cast.charlie.headers)
        assert (await charlie.get(url, params={"format": "csv"})).status_code == 404

    async def test_an_export_of_a_page_that_is_deleted_breaks_off(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not a short file that looks whole."""
        monkeypatch.setattr(api, "AT_ONCE", 1)
        for reader in (READER, "second@mail.example"):
            await subscribe(stage, reader)
        page_id = str((await listed(stage))[0]["status_page_id"])
        really = subscribers.following
        read: list[str] = []

        def following(conn: Conn, of: str, after: str, limit: int) -> list[Subscriber]:
            read.append(after)
            found = really(conn, of, after, limit)
            deleting.append(asyncio.run_coroutine_threadsafe(delete(), loop))
            deleting[-1].result(10)
            return found

        async def delete() -> None:
            answer = await admin(stage).delete(f"/v1/status-pages/{page_id}")
            assert answer.status_code == 200

        loop = asyncio.get_running_loop()
        deleting: list[Future[None]] = []
        monkeypatch.setattr(subscribers, "following", following)
        with pytest.raises(LitestarException) as broken:
            await admin(stage).get(f"/v1/status-pages/{page_id}/subscribers/export")
        assert "BrokenOff" in repr(broken.value.__cause__)
        assert read == [""]

    async def test_a_webhook_shows_no_more_than_its_host(self, stage: Stage) -> None:
        secret = "https://hooks.example/services/T000/B000/s3cr3t"
        assert (await ask(stage.client(), secret, kind="webhook")).status_code == 200
        (row,) = await stage.house.db.read(
            lambda conn: conn.all("SELECT id, address FROM status_page_subscribers")
        )
        assert b"s3cr3t" not in row[1]
        token = stage.house.links.subscription_token(row[0])
        await stage.client().post(f"/subscriptions/{token}/confirm")
        (shown,) = await listed(stage)
        assert (shown["kind"], shown["address"]) == ("webhook", "https://hooks.example/…")

    async def test_the_builder(self, stage: Stage) -> None:
        (page,) = sent(await admin(stage).get("/v1/status-pages"))
        here = f"/status-pages/{page['id']}/subscribers"
        client = await browser(stage)
        empty = (await client.get(here)).text
        assert "No subscribers yet" in empty
        await subscribe(stage)
        await ask(stage.client(), "asked@mail.example")
        shown = (await client.get(here)).text
        assert READER in shown
        assert "1 subscriber</h2>" in shown
        assert "asked@mail.example" not in shown
        assert "1 more was asked whether they want this and has not said yes." in shown
        exported = await client.post(f"{here}/export", data={"format": "jsonl"})
        assert json.loads(exported.text)["address"] == READER
        gone = (await client.get(f"/status-pages/{page['id']}/delete")).text
        assert "The addresses of its subscriber are forgotten, and nobody tells them." in gone
        row = (await listed(stage))[0]
        question = (await client.get(f"{here}/{row['id']}/delete")).text
        assert f"Remove the subscriber {READER}?" in question
        done = await client.post(f"{here}/{row['id']}/delete")
        assert done.headers["location"] == f"{here}?told=unsubscribed"
        assert await addresses(stage) == []

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            (Config(), "NetPulse does not know its own address"),
            (Config(server=Server(public_url=PUBLIC_URL)), "NetPulse has no mail server"),
        ],
    )
    async def test_what_is_missing_for_it(
        self, open_stage: Opener, config: Config, said: str
    ) -> None:
        stage = await open_stage(config=config)
        page = await make(admin(stage))
        client = await browser(stage)
        assert said in (await client.get(f"/status-pages/{page['id']}/subscribers")).text


async def test_names_that_lead_inside_are_refused_when_they_are_dialled(
    open_stage: Opener,
) -> None:
    """A name in public DNS that leads to us, or into the network around us."""
    async with NameServer({"hooks.example": {"A": ["127.0.0.1"]}}) as dns, Receiver() as receiver:
        stage = await open_stage(config=WITH_MAIL, nameservers=(dns.address,))
        await make(admin(stage))
        url = f"http://hooks.example:{receiver.port}/x"
        assert (await ask(stage.client(), url, kind="webhook")).status_code == 200
        await stage.house.engine.page_webhooks.turn()
        (row,) = await stage.house.db.read(
            lambda conn: conn.all("SELECT error, next_attempt_at FROM status_page_subscribers")
        )
    assert receiver.ledger == []
    assert row == (
        "127.0.0.1 is a loopback address: this organization may only reach public addresses",
        None,
    )


def test_what_strangers_have_dialled_is_public(house: Stage) -> None:
    policy = house.house.engine.page_webhooks.policy
    assert policy == AddressPolicy(allow_private=False)


async def test_a_confirmed_one_is_for_ever(stage: Stage) -> None:
    await subscribe(stage)
    clock_of(stage).advance(30 * DAY / SECOND)
    await stage.house.engine.housekeeping.clean()
    assert await addresses(stage) == [READER]


async def test_the_page_shows_its_services_only(stage: Stage) -> None:
    """The form is of the page: what it says of it is what the page says."""
    shop = await monitor(admin(stage), target="https://db01.internal.example/")
    await make(admin(stage), slug="web", groups=of(shop))
    text = (await stage.client().get("/status/web/subscribe")).text
    assert "db01" not in text
