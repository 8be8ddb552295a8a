"""What subscribers of a status page are told, when, how often, and what they are never told."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis, rfc3339
from netpulse.storage import letters, page_news
from netpulse.storage.db import Conn
from tests.api.test_monitors import fail as break_down
from tests.api.test_monitors import sent
from tests.api.test_status_pages import make, monitor, of
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.subscribed import (
    PUBLIC_URL,
    READER,
    WITH_MAIL,
    Lasting,
    clock_of,
    mend,
    subscribe,
    taken,
    turn,
)

INSIDE = "db01.internal.example"
GATHER = 30
"""Seconds in which everything becomes one letter."""


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    """A stage that can write letters."""
    return await open_stage(config=WITH_MAIL, clock=FakeClock())


@pytest.fixture
def alice(stage: Stage) -> httpx.AsyncClient:
    """Alice's client."""
    return stage.client(auth=Lasting(stage, stage.cast.alice))


async def fail(stage: Stage, monitor_id: str, at: Millis | None = None) -> None:
    """Take a monitor down, now if nothing else is said, as the engine would."""
    now = stage.house.clock.now() if at is None else at
    await break_down(stage, monitor_id, now)
    stage.house.engine.live.stir(stage.cast.acme.id)


async def pass_by(stage: Stage, seconds: float) -> list[tuple[str, str]]:
    """Let time pass with a look at its beginning and its end; return (recipient, subject) of what
    was written, all of which is sent."""
    clock = clock_of(stage)
    await turn(stage)
    clock.advance(seconds)
    await turn(stage)
    return [(one.recipient, one.subject) for one in await taken(stage)]


async def after(stage: Stage, seconds: float) -> list[str]:
    """The same; the subjects alone."""
    return [subject for _, subject in await pass_by(stage, seconds)]


class TestOutages:
    async def test_a_letter(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, target=f"https://{INSIDE}/health", name="shop-prod-1")
        groups = [{"name": "Web", "monitors": [{"monitor_id": shop, "public_name": "Shop"}]}]
        await make(alice, groups=groups)
        end = await subscribe(stage)
        await fail(stage, shop)
        assert await turn(stage) == GATHER
        assert await stage.letters() == []
        clock = clock_of(stage)
        clock.advance(GATHER - 0.001)
        await turn(stage)
        assert await stage.letters() == []
        clock.advance(0.001)
        await turn(stage)
        (letter,) = await stage.letters()
        assert (letter.kind, letter.recipient) == (LetterKind.STATUS_NEWS, READER)
        assert letter.org_id == stage.cast.acme.id
        assert letter.expires_at == START + GATHER * SECOND + DAY
        assert letter.subject == "[Acme] Outage of Shop"
        assert letter.text == (
            "Outage of Shop\n"
            "Services: Shop\n"
            "2025-12-17 19:33:20 UTC, investigating: Shop does not work as it should.\n\n"
            f"Acme: {PUBLIC_URL}/status/acme\n"
            "You get this because this address subscribed to that page. It takes one click to end "
            f"that:\n{PUBLIC_URL}{end}\n"
        )
        for leak in (INSIDE, "shop-prod", "connection refused", shop, stage.cast.acme.id, "alice"):
            assert leak not in letter.text
        assert await after(stage, DAY / SECOND) == ["[Acme] Outage of Shop"]
        assert await after(stage, DAY / SECOND) == []

    async def test_and_its_end(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await fail(stage, shop)
        assert await after(stage, GATHER) == ["[Acme] Outage of Shop"]
        await mend(stage, shop, START + GATHER * SECOND)
        # Two minutes after the letter before.
        assert await after(stage, 119.999) == []
        await turn(stage)
        clock = clock_of(stage)
        clock.advance(0.001)
        await turn(stage)
        (letter,) = await taken(stage)
        assert letter.subject == "[Acme] Resolved: Outage of Shop"
        assert letter.text.startswith(
            "Resolved: Outage of Shop\n"
            "Services: Shop\n"
            "2025-12-17 19:33:50 UTC, resolved: Shop works again.\n\n"
        )

    async def test_a_short_one_is_one_letter(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await fail(stage, shop)
        await mend(stage, shop, START + SECOND)
        assert await after(stage, GATHER) == ["[Acme] Resolved: Outage of Shop"]
        assert await after(stage, HOUR / SECOND) == []

    async def test_a_storm_is_one_letter(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        many = [await monitor(alice, name=f"Shop {number}") for number in range(40)]
        await make(alice, groups=of(*many))
        await subscribe(stage)
        await subscribe(stage, "second@mail.example")
        for number, one in enumerate(many):
            await fail(stage, one, START - 40 + number)
        subject = "[Acme] Outage of Shop 0, and 39 more"
        await turn(stage)
        clock = clock_of(stage)
        clock.advance(GATHER)
        await turn(stage)
        first, second = await taken(stage)
        assert {first.recipient, second.recipient} == {READER, "second@mail.example"}
        assert first.subject == second.subject == subject
        assert "Outage of Shop 29\n" in first.text
        assert "Outage of Shop 30\n" not in first.text
        assert "And 10 more; the page tells all of them." in first.text

    async def test_the_more_there_is_the_longer_it_keeps_silent(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        """A service that comes and goes all day fills nobody's mailbox."""
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        moments: list[int] = []
        clock = clock_of(stage)
        for minute in range(240):
            if minute % 2:
                await mend(stage, shop, clock.now())
            else:
                await fail(stage, shop)
            if await pass_by(stage, 60):
                moments.append(minute)
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert gaps[:4] == [2, 4, 8, 16]
        assert set(gaps[4:]) == {30}
        assert len(moments) < 12
        await mend(stage, shop, clock.now())
        assert len(await pass_by(stage, HOUR / SECOND)) == 1
        # After a quiet hour it begins anew.
        await after(stage, HOUR / SECOND)
        await fail(stage, shop)
        assert len(await pass_by(stage, GATHER)) == 1

    async def test_other_pages_and_what_is_not_shown(
        self, stage: Stage, alice: httpx.AsyncClient, charlie_page: dict[str, Any]
    ) -> None:
        shop, other = await monitor(alice), await monitor(alice, name="Other")
        await make(alice, groups=of(shop))
        await make(alice, slug="second", title="Second", groups=of(other))
        await subscribe(stage)
        await subscribe(stage, "second@mail.example", slug="second")
        await subscribe(stage, "globex@mail.example", slug=charlie_page["slug"])
        await fail(stage, other)
        told = await pass_by(stage, GATHER)
        assert told == [("second@mail.example", "[Second] Outage of Other")]

    async def test_in_maintenance_it_is_no_news_until_it_outlasts_it(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        plan = {
            "title": "Move",
            "starts_at": rfc3339(START + MINUTE),
            "ends_at": rfc3339(START + HOUR),
            "monitor_ids": [shop],
        }
        sent(await alice.post("/v1/maintenance", json=plan), 201)
        await stage.house.engine.calendar.turn()
        await subscribe(stage)
        await after(stage, 60)
        await stage.house.engine.calendar.turn()
        await fail(stage, shop)
        assert await after(stage, 50 * 60) == []
        await after(stage, 10 * 60)
        await stage.house.engine.calendar.turn()
        assert await after(stage, GATHER) == ["[Acme] Outage of Shop"]


@pytest.fixture
async def charlie_page(stage: Stage) -> dict[str, Any]:
    """A page of Globex."""
    charlie = stage.client(headers=stage.cast.charlie.headers)
    shop = await monitor(charlie)
    return await make(charlie, slug="globex", title="Globex", groups=of(shop))


class TestWhatPeopleWrite:
    async def test_an_incident_with_its_story(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        page = await make(alice)
        await subscribe(stage)
        body = {
            "title": "Slow payments",
            "message": "We see it, too.",
            "impact": "minor",
            "status_page_ids": [page["id"]],
        }
        incident = sent(await alice.post("/v1/incidents", json=body), 201)
        url = f"/v1/incidents/{incident['id']}"
        assert await after(stage, GATHER) == ["[Acme] Slow payments"]
        update = {"message": "It is\r\nthe bank.\x07", "status": "identified"}
        sent(await alice.post(f"{url}/updates", json=update), 201)
        assert await after(stage, 119) == []
        await turn(stage)
        clock_of(stage).advance(1)
        await turn(stage)
        (letter,) = await taken(stage)
        assert letter.subject == "[Acme] Update: Slow payments"
        assert letter.text.startswith(
            "Update: Slow payments\n2025-12-17 19:33:50 UTC, identified: It is\nthe bank.\n\n"
        )
        sent(await alice.patch(url, json={"status": "resolved"}))
        # People wait two minutes at the most, however many letters there were in a row.
        assert await after(stage, 120) == ["[Acme] Resolved: Slow payments"]
        # What is learned later is told, too.
        await after(stage, 7 * DAY / SECOND)
        await stage.house.engine.housekeeping.clean()
        fresh = await signed_in(stage)
        sent(await fresh.post(f"{url}/updates", json={"message": "How it came about."}), 201)
        assert await after(stage, GATHER) == ["[Acme] Update: Slow payments"]

    async def test_posted_on_the_page_later(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        page = await make(alice)
        await subscribe(stage)
        incident = sent(await alice.post("/v1/incidents", json={"title": "Slow"}), 201)
        assert await after(stage, HOUR / SECOND) == []
        body = {"status_page_ids": [page["id"]]}
        sent(await alice.patch(f"/v1/incidents/{incident['id']}", json=body))
        assert await after(stage, GATHER) == ["[Acme] Slow"]

    async def test_in_an_outage_only_what_is_for_the_public(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await fail(stage, shop)
        await after(stage, GATHER)
        (incident,) = sent(await alice.get("/v1/incidents"))
        url = f"/v1/incidents/{incident['id']}/updates"
        sent(await alice.post(url, json={"message": f"{INSIDE} has no power"}), 201)
        assert await after(stage, HOUR / SECOND) == []
        body = {"message": "A machine has no power.", "is_public": True}
        sent(await alice.post(url, json=body), 201)
        await turn(stage)
        clock_of(stage).advance(GATHER)
        await turn(stage)
        (letter,) = await taken(stage)
        assert letter.subject == "[Acme] Update: Outage of Shop"
        assert "A machine has no power." in letter.text
        assert INSIDE not in letter.text

    async def test_announcements(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        page = await make(alice)
        await subscribe(stage)
        url = f"/v1/status-pages/{page['id']}/announcements"
        sent(await alice.post(url, json={"title": "We move", "text": "To Bern."}), 201)
        await turn(stage)
        clock_of(stage).advance(GATHER)
        await turn(stage)
        (letter,) = await taken(stage)
        assert letter.subject == "[Acme] We move"
        assert letter.text.startswith("We move\nTo Bern.\n\nAcme: ")
        assert await after(stage, DAY / SECOND) == []

    async def test_maintenance(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        at = START + 3 * DAY
        plan = {
            "title": "New disks",
            "description": "All is slow.",
            "starts_at": rfc3339(at),
            "ends_at": rfc3339(at + HOUR),
            "monitor_ids": [shop],
            "is_public": True,
        }
        made = sent(await alice.post("/v1/maintenance", json=plan), 201)
        await turn(stage)
        clock_of(stage).advance(GATHER)
        await turn(stage)
        (letter,) = await taken(stage)
        assert letter.subject == "[Acme] Maintenance: New disks"
        assert letter.text.startswith(
            "Maintenance: New disks\n"
            "2025-12-20 19:33:20 UTC to 2025-12-20 20:33:20 UTC\n"
            "Services: Shop\n"
            "All is slow.\n\n"
        )
        # Better words are no news, another time is.
        sent(await alice.put(f"/v1/maintenance/{made['id']}", json=plan | {"title": "Disks"}))
        assert await after(stage, HOUR / SECOND) == []
        later = {"starts_at": rfc3339(at + HOUR), "ends_at": rfc3339(at + 2 * HOUR)}
        sent(await alice.put(f"/v1/maintenance/{made['id']}", json=plan | later))
        assert await after(stage, GATHER) == ["[Acme] Maintenance: New disks"]

    async def test_maintenance_that_repeats_is_told_once(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        plan = {
            "title": "Backup",
            "starts_at": rfc3339(START),
            "rrule": "FREQ=DAILY",
            "duration_minutes": 30,
            "all": True,
            "is_public": True,
        }
        sent(await alice.post("/v1/maintenance", json=plan), 201)
        assert await after(stage, GATHER) == ["[Acme] Maintenance: Backup"]
        for _ in range(3):
            await stage.house.engine.calendar.turn()
            assert await after(stage, DAY / SECOND) == []

    async def test_polyglots_stay_text(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        title = "\"'><script>alert(1)</script>\u202e{{7*7}}"
        page = await make(alice, title=title)
        await subscribe(stage)
        url = f"/v1/status-pages/{page['id']}/announcements"
        sent(await alice.post(url, json={"title": title, "text": f"{title}\r\nBcc: x@y"}), 201)
        await turn(stage)
        clock_of(stage).advance(GATHER)
        await turn(stage)
        (letter,) = await taken(stage)
        assert "\n" not in letter.subject
        assert "\u202e" not in letter.subject + letter.text


async def signed_in(stage: Stage) -> httpx.AsyncClient:
    """Alice, signed in anew after days."""
    from tests.api.test_status_pages import _sign_in

    client = stage.client()
    await _sign_in(client, stage)
    return client


class TestWhoIsToldWhat:
    async def test_nothing_of_before(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop, store = await monitor(alice), await monitor(alice, name="Store")
        page = await make(alice, groups=of(shop, store))
        await fail(stage, shop)
        await fail(stage, store)
        await mend(stage, store, START + SECOND)
        url = f"/v1/status-pages/{page['id']}/announcements"
        sent(await alice.post(url, json={"title": "We moved"}), 201)
        plan = {"title": "Disks", "starts_at": rfc3339(START), "ends_at": rfc3339(START + DAY)}
        body = plan | {"all": True, "is_public": True}
        sent(await alice.post("/v1/maintenance", json=body), 201)
        await subscribe(stage)
        assert await after(stage, HOUR / SECOND) == []
        await mend(stage, shop, START + HOUR)
        assert await after(stage, GATHER) == []  # it lay in the maintenance

    async def test_the_second_one_does_not_begin_it_anew(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await fail(stage, shop)
        await turn(stage)
        await subscribe(stage, "second@mail.example")
        told = await pass_by(stage, GATHER)
        assert sorted(one for one, _ in told) == [READER, "second@mail.example"]
        await subscribe(stage, "third@mail.example")
        assert await pass_by(stage, HOUR / SECOND) == []

    async def test_a_monitor_that_comes_to_the_page(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        """What is down then is news; what was is not."""
        old, down = await monitor(alice, name="Old"), await monitor(alice, name="Down")
        page = await make(alice)
        await subscribe(stage)
        await fail(stage, old)
        await mend(stage, old, START + SECOND)
        await fail(stage, down)
        assert await after(stage, HOUR / SECOND) == []
        body = {"slug": "acme", "title": "Acme", "groups": of(old, down)}
        sent(await alice.put(f"/v1/status-pages/{page['id']}", json=body))
        assert await after(stage, GATHER) == ["[Acme] Outage of Down"]

    async def test_what_waits_is_told_in_one_letter(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        """While the mail server is away, nobody's letters pile up."""
        shop, store = await monitor(alice), await monitor(alice, name="Store")
        await make(alice, groups=of(shop, store))
        await subscribe(stage)
        clock = clock_of(stage)
        await fail(stage, shop)
        for _ in range(2):
            await turn(stage)
            clock.advance(GATHER)
        await turn(stage)
        (first,) = await stage.letters()
        await mend(stage, shop, clock.now())
        await fail(stage, store)
        clock.advance(HOUR / SECOND)
        for _ in range(2):
            await turn(stage)
            clock.advance(GATHER)
        (second,) = await stage.letters()
        assert second.id != first.id
        known = await stage.house.db.read(letters.get, first.id)
        assert known is not None
        assert known.error == "what it told is in a later letter"
        assert second.subject == "[Acme] Resolved: Outage of Shop, and 1 more"
        assert "Shop does not work as it should." in second.text
        assert "Shop works again." in second.text
        assert "Outage of Store\n" in second.text
        # One that was sent is not told again.
        await taken(stage)
        await mend(stage, store, clock.now())
        clock.advance(HOUR / SECOND)
        for _ in range(2):
            await turn(stage)
            clock.advance(GATHER)
        (third,) = await taken(stage)
        assert third.subject == "[Acme] Resolved: Outage of Store"
        assert "Shop" not in third.text

    async def test_after_the_last_has_gone(self, stage: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        end = await subscribe(stage)
        await fail(stage, shop)
        await after(stage, GATHER)
        await mend(stage, shop, START + MINUTE)
        assert (await stage.client().post(end)).status_code == 200
        assert await stage.house.db.read(page_news.pages) == []
        assert await after(stage, HOUR / SECOND) == []
        await subscribe(stage)
        assert await after(stage, HOUR / SECOND) == []
        await fail(stage, shop)
        assert await after(stage, GATHER) == ["[Acme] Outage of Shop"]

    async def test_no_news_of_an_organization_that_is_deleted(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await subscribe(stage)
        await fail(stage, shop)
        await stage.house.db.write(
            lambda conn: conn.execute(
                "UPDATE organizations SET deleted_at = 1 WHERE id = ?", (stage.cast.acme.id,)
            )
        )
        assert await after(stage, GATHER) == []


class TestAtLeastOnce:
    async def test_an_issue_that_was_made_and_not_written(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        """The process may die between any two transactions."""
        shop = await monitor(alice)
        page = await make(alice, groups=of(shop))
        await subscribe(stage)
        await subscribe(stage, "second@mail.example")
        await fail(stage, shop)
        now = START + MINUTE
        assert await stage.house.db.write(page_news.issue, page["id"], now)
        assert not await stage.house.db.write(page_news.issue, page["id"], now)
        write = stage.house.engine.page_news._letter
        assert await stage.house.db.write(page_news.write_letters, write, now, 1) == 1
        assert await after(stage, MINUTE / SECOND) == ["[Acme] Outage of Shop"] * 2
        assert await after(stage, HOUR / SECOND) == []

    async def test_many_are_written_to_in_turns(
        self, stage: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("netpulse.engine.page_news.AT_ONCE", 2)
        monkeypatch.setattr("netpulse.engine.page_news.MOST_WAITING", 4)
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        for number in range(7):
            await subscribe(stage, f"reader-{number}@mail.example")
        await fail(stage, shop)
        # No more than four wait for the postman at any moment.
        assert len(await pass_by(stage, GATHER)) == 4
        assert await turn(stage) > 0
        assert len(await taken(stage)) == 3
        assert await after(stage, HOUR / SECOND) == []

    async def test_other_letters_go_first(self, stage: Stage) -> None:
        def write(conn: Conn) -> None:
            for kind, at in ((LetterKind.STATUS_NEWS, START), (LetterKind.SECURITY, START + 1)):
                letters.post(conn, kind, READER, kind.value, "", at, expires_at=START + DAY)

        await stage.house.db.write(write)
        clock = clock_of(stage)
        clock.advance(1)
        assert [one.subject for one in await stage.letters()] == ["security", "status_news"]

    async def test_a_backup_tells_nothing_again(
        self, stage: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop, store = await monitor(alice), await monitor(alice, name="Store")
        page = await make(alice, groups=of(shop, store))
        await subscribe(stage)
        await fail(stage, shop)
        await stage.house.db.write(page_news.issue, page["id"], START)
        await fail(stage, store)
        await stage.house.db.write(page_news.begin_again, START)
        assert await after(stage, HOUR / SECOND) == []
        await mend(stage, shop, START + HOUR)
        assert await after(stage, GATHER) == ["[Acme] Resolved: Outage of Shop"]
