"""Switching between organizations in a browser, and that no page of one acts in another."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from netpulse.model.ids import Id
from netpulse.model.user import Membership, Role
from netpulse.storage import sessions, users
from netpulse.storage.db import Conn
from netpulse.web import page_org, routes
from netpulse.web.endpoint import PUBLIC
from tests.api.test_clients import (
    CLIENTS,
    inside,
    make_in,
    new_client,
    org_of,
    person_of,
    rows,
    super_admin,
)
from tests.api.test_monitors import make, sent
from tests.api.test_page_forms import HTTP_FORM
from tests.api.test_pages import ADMINS, VIEWERS, furnish, led_to, problems, text_of
from tests.cast import DIGESTER, Person
from tests.clock import START
from tests.conftest import Stage
from tests.makers import random_id

PLAN: dict[str, Any] = {
    "title": "Move",
    "repeat": "once",
    "starts_at": "2026-12-01T10:00",
    "ends_at": "2026-12-01T11:00",
    "timezone": "UTC",
    "scope": "monitors",
}

DAY = 86_400_000


async def browser_of(house: Stage, person: Person) -> httpx.AsyncClient:
    """Return a signed-in browser, which is at home first."""
    token = f"the page session of {person.name}"
    await house.house.db.write(
        sessions.create,
        DIGESTER.digest(token),
        person.id,
        person.org.id,
        START,
        START + DAY,
        None,
        None,
    )
    return house.client(cookies={"np_session": token})


def here(page: str) -> str:
    """The organization that the head of a page names."""
    found = re.search(r"Organization: </span>([^<]+)</span>", page)
    assert found is not None
    return unescape(found[1])


def offered(page: str) -> list[str]:
    """The organizations that the menu at the head offers."""
    head = page.split("</header>", maxsplit=1)[0]
    return [unescape(name) for name in re.findall(r'<span class="np-break">([^<]+)</span>', head)]


async def switch(browser: httpx.AsyncClient, org_id: Id, to: str = "") -> httpx.Response:
    """Switch, as the menu's form does."""
    return await browser.post("/switch", data={"org_id": org_id, "next": to})


class TestSwitching:
    async def test_there_and_back(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        await make(alice, name="Ours")
        await make_in(alice, made, name="Theirs")
        browser = await browser_of(house, house.cast.alice)
        page = text_of(await browser.get("/monitors"))
        assert here(page) == "Acme"
        assert offered(page) == ["Acme", "Corner Shop"]
        assert "Ours" in page
        assert "np-visit" not in page
        assert led_to(await switch(browser, made["id"])) == "/dashboard"
        page = text_of(await browser.get("/monitors"))
        assert here(page) == "Corner Shop"
        assert "Theirs" in page
        assert "Ours" not in page
        assert (
            'You are looking at <strong class="np-break">Corner Shop</strong>, with administrator '
            "rights" in page
        )
        assert "Back to Acme" in page
        assert led_to(await switch(browser, house.cast.acme.id, "/clients")) == "/clients"
        assert here(text_of(await browser.get("/clients"))) == "Acme"

    async def test_who_has_one_organization_sees_no_menu(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        page = text_of(await (await browser_of(house, house.cast.alice)).get("/dashboard"))
        assert "np-org" not in page.replace("np_org", "")
        assert "<small>Acme</small>" in page

    async def test_a_viewers_rights(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        bob = house.cast.bob
        sent(await alice.put(f"{CLIENTS}/{made['id']}/grants/{bob.id}", json={"role": "viewer"}))
        browser = await browser_of(house, bob)
        await switch(browser, made["id"])
        page = text_of(await browser.get("/monitors"))
        assert "Corner Shop</strong>, with viewer rights" in page
        assert "/monitors/new" not in page
        assert (await browser.get("/monitors/new")).status_code == 403

    async def test_the_clients_own_people_are_no_visitors(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        dora = await person_of(house, await org_of(house, made["id"]), "dora")
        page = text_of(await (await browser_of(house, dora)).get("/dashboard"))
        assert "You are looking at" not in page
        assert "/clients" not in page
        # Nor is there a tab for what a client cannot have.
        assert 'href="/settings/clients"' not in page

    async def test_where_one_may_not_go(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.charlie)
        answers = [
            await switch(browser, org_id)
            for org_id in (made["id"], house.cast.acme.id, random_id(), "nonsense", "")
        ]
        assert {each.status_code for each in answers} == {404}
        assert len({each.content for each in answers}) == 1
        assert "<small>Globex</small>" in text_of(await browser.get("/dashboard"))
        assert "auth.entered" not in await house.actions(made["id"])

    @pytest.mark.parametrize(
        ("wanted", "led"),
        [
            ("/monitors?status=down", "/monitors?status=down"),
            ("//evil.example", "/dashboard"),
            ("https://evil.example", "/dashboard"),
            ("/\\evil.example", "/dashboard"),
            ("\t//evil.example", "/dashboard"),
        ],
    )
    async def test_next(
        self, house: Stage, alice: httpx.AsyncClient, wanted: str, led: str
    ) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        assert led_to(await switch(browser, made["id"], wanted)) == led

    async def test_a_token_does_not_switch(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        refused = await alice.post("/switch", data={"org_id": made["id"]})
        assert refused.status_code == 403
        assert "name yours in X-Org-Id" in refused.text

    async def test_who_came_in_stands_in_the_clients_log(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        await switch(browser, made["id"])
        acme = {"id": house.cast.acme.id, "name": "Acme"}
        assert (await rows(house, made["id"]))[-1] == (
            "auth.entered",
            "alice@acme.example (Acme)",
            {"before": None, "after": {"role": "admin"}},
            acme,
        )
        # Staying where one is is nothing to note, and coming home is no visit.
        await switch(browser, made["id"])
        await switch(browser, house.cast.acme.id)
        assert (await house.actions(made["id"])).count("auth.entered") == 1
        assert (await rows(house, house.cast.acme.id))[-1][:2] == (
            "auth.entered",
            "alice@acme.example",
        )

    async def test_a_member_of_two_organizations_tells_neither_of_the_other(
        self, house: Stage
    ) -> None:
        def join(conn: Conn) -> None:
            users.put_membership(
                conn,
                Membership(
                    user_id=house.cast.alice.id, org_id=house.cast.globex.id, role=Role.VIEWER
                ),
            )

        await house.house.db.write(join)
        browser = await browser_of(house, house.cast.alice)
        await switch(browser, house.cast.globex.id)
        assert (await rows(house, house.cast.globex.id))[-1] == (
            "auth.entered",
            "alice@acme.example",
            {"before": None, "after": {"role": "viewer"}},
            None,
        )
        page = text_of(await browser.get("/dashboard"))
        assert here(page) == "Globex"
        assert "You are looking at" not in page

    async def test_a_client_that_is_gone_leads_home(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        await switch(browser, made["id"])
        sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
        page = text_of(await browser.get("/dashboard"))
        assert "<small>Acme</small>" in page
        assert "You are looking at" not in page

    async def test_a_grant_that_is_taken_back_leads_home(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        bob = house.cast.bob
        url = f"{CLIENTS}/{made['id']}/grants/{bob.id}"
        sent(await alice.put(url, json={"role": "admin"}))
        browser = await browser_of(house, bob)
        await switch(browser, made["id"])
        assert here(text_of(await browser.get("/dashboard"))) == "Corner Shop"
        sent(await alice.delete(url))
        assert "<small>Acme</small>" in text_of(await browser.get("/dashboard"))
        assert (await switch(browser, made["id"])).status_code == 404


class TestChoosing:
    """The menu, and the page behind it where there are many."""

    async def test_more_than_ten(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for number in range(12):
            await new_client(alice, name=f"Client {number:02}")
        browser = await browser_of(house, house.cast.alice)
        page = text_of(await browser.get("/dashboard"))
        assert offered(page) == ["Acme", *(f"Client {number:02}" for number in range(9))]
        assert 'placeholder="Find one of 13"' in page
        found = text_of(await browser.get("/switch", params={"q": "client 1"}))
        listed = found.split("</header>")[1]
        assert re.findall(r'<span class="np-break">([^<]+)<', listed) == ["Client 10", "Client 11"]
        assert "You may enter none" in text_of(await browser.get("/switch?q=zzz"))

    async def test_a_super_administrator_finds_every_organization(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await new_client(alice)
        await super_admin(house)
        root = Person("root", Role.SUPER_ADMIN, house.cast.globex, START)
        found = await house.house.db.read(users.by_email, root.email)
        assert found is not None
        root.id = found.id
        browser = await browser_of(house, root)
        assert offered(text_of(await browser.get("/dashboard"))) == [
            "Globex",
            "Acme",
            "Corner Shop",
        ]
        listed = text_of(await browser.get("/switch?q=corner"))
        assert "Super administrator · client of Acme" in listed
        await switch(browser, house.cast.acme.id)
        page = text_of(await browser.get("/dashboard"))
        assert "You are looking at" in page
        assert "with all rights" in page
        assert "Back to Globex" in page

    async def test_others_organizations_are_in_nobodys_menu(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await new_client(alice)
        browser = await browser_of(house, house.cast.charlie)
        for path in ("/dashboard", "/switch", "/switch?q=corner", "/switch?q=acme", "/clients"):
            page = text_of(await browser.get(path))
            assert "Corner Shop" not in page
            assert "Acme" not in page


class TestPagesOfAnotherOrganization:
    """Two tabs of one browser: one switches, the other still shows what was before."""

    async def two_tabs(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> tuple[httpx.AsyncClient, Any, str]:
        """Return a browser that is in a client, the client, and the field of a page of Acme's."""
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        page = text_of(await browser.get("/monitors/new"))
        (field,) = set(re.findall(r'name="np_org" value="([^"]+)"', page))
        assert field == house.cast.acme.id
        await switch(browser, made["id"])
        return browser, made, field

    async def test_every_form_of_every_page_says_it(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        ids = await furnish(alice)
        browser = await browser_of(house, house.cast.alice)
        seen = 0
        for path in (*VIEWERS, *ADMINS):
            page = text_of(await browser.get(path.format(**ids)))
            posts = re.findall(r"<form\b[^>]*>", page)
            posts = [form for form in posts if 'method="post"' in form.lower()]
            field = f'<input type="hidden" name="np_org" value="{house.cast.acme.id}">'
            for form in posts:
                assert page.count(form + field) == page.count(form), (path, form)
            seen += len(posts)
            # What a page on the world looks like has no form, and is nobody's.
            is_whole = "<html" in page and posts
            assert not is_whole or f'data-org="{house.cast.acme.id}"' in page, path
        assert seen > 60

    async def test_its_form_does_nothing_in_the_other(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        browser, made, field = await self.two_tabs(house, alice)
        before = (await house.actions(made["id"]), await house.actions(house.cast.acme.id))
        refused = await browser.post("/monitors/new", data=HTTP_FORM | {"np_org": field})
        assert refused.status_code == 409
        page = unescape(refused.text)
        assert "Another organization is open" in page
        assert (
            "This page is of Acme, and this browser is in Corner Shop by now: nothing was done. "
            "Switch back first, and send it again." in page
        )
        assert sent(await alice.get("/v1/monitors")) == []
        assert sent(await alice.get("/v1/monitors", headers=inside(made))) == []
        assert (await house.actions(made["id"]), await house.actions(house.cast.acme.id)) == before
        # Switched back, the same form does what it says.
        await switch(browser, house.cast.acme.id)
        led_to(await browser.post("/monitors/new", data=HTTP_FORM | {"np_org": field}))

    async def test_a_form_of_more_than_a_thousand_fields(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """A window over 1,000 monitors, as many as the API takes."""
        browser, _, field = await self.two_tabs(house, alice)
        own = await make(alice)
        data = PLAN | {"monitor_ids": [own["id"], *(random_id() for _ in range(999))]}
        for form in (data, data | {"np_org": field}):
            refused = await browser.post("/maintenance/new", data=form)
            assert refused.status_code == 409
            assert "Another organization is open" in refused.text
        await switch(browser, house.cast.acme.id)
        for path, said in (
            ("/maintenance/new", "Monitors: there is no monitor with this id."),
            ("/incidents/new", "Monitors: must have at most 100 entries."),
        ):
            shown = await browser.post(path, data={"np_org": field} | data)
            assert said in " ".join(problems(shown))
        rule = await browser.post("/alerts/rules/new", data={"np_org": field} | data)
        assert rule.status_code == 400
        full = data | {"np_org": field, "monitor_ids": [own["id"]] * 1_000}
        led_to(await browser.post("/maintenance/new", data=full))
        assert (await house.actions(house.cast.acme.id))[-1] == "maintenance.created"

    async def test_no_page_at_all_acts_for_another(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """Every route of pages that changes something, found by walking the table of contents."""
        browser, _, field = await self.two_tabs(house, alice)
        walked = 0
        for handler in routes.ROUTES:
            (method,), (path,) = handler.http_methods, handler.paths
            access, declaration = handler.opt["access"], handler.opt["declaration"]
            if method == "GET" or access is PUBLIC or declaration is not None:
                continue
            if handler.opt["any_org"]:
                # A person's own account, and the switch itself: no organization's.
                assert path.startswith(("/profile/", "/switch"))
                continue
            url = re.sub(r"\{\w+:\w+\}", random_id(), path)
            for data in ({"np_org": field}, {"np_org": random_id()}, {"np_org": "x"}, {"a": "b"}):
                refused = await browser.request(str(method), url, data=data)
                # What only a super administrator may do is refused even before that.
                wanted = 403 if access is Role.SUPER_ADMIN else 409
                assert refused.status_code == wanted, (path, data)
            walked += 1
        assert walked > 20

    async def test_an_unknown_organization_has_no_name(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        browser, _, _ = await self.two_tabs(house, alice)
        said = [
            (await browser.post("/monitors/new", data={"np_org": org_id})).content
            for org_id in (house.cast.globex.id, random_id(), "x")
        ]
        assert len(set(said)) == 1
        assert b"This page is of another organization" in said[0]

    async def test_what_its_script_fetches(self, house: Stage, alice: httpx.AsyncClient) -> None:
        browser, made, field = await self.two_tabs(house, alice)
        for path in ("/dashboard", "/dashboard?part=problems", "/live", "/clients?part=list"):
            refused = await browser.get(path, headers={page_org.HEADER: field})
            assert refused.status_code == 409, path
        stream = await browser.get("/live", params={"np_org": field})
        assert (stream.status_code, stream.json()["error"]["code"]) == (
            409,
            "ORGANIZATION_CHANGED",
        )
        text_of(await browser.get("/dashboard", headers={page_org.HEADER: made["id"]}))

    async def test_who_has_one_organization_need_not_say_it(self, house: Stage) -> None:
        browser = await browser_of(house, house.cast.alice)
        led_to(await browser.post("/monitors/new", data=HTTP_FORM))
        # A page of before somebody else signed in here says another one.
        refused = await browser.post(
            "/monitors/new", data=HTTP_FORM | {"np_org": house.cast.globex.id}
        )
        assert refused.status_code == 409

    async def test_signed_requests_say_it_themselves(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        led_to(await alice.post("/monitors/new", data=HTTP_FORM, headers=inside(made)))
        browser = await browser_of(house, house.cast.alice)
        led_to(await browser.post("/monitors/new", data=HTTP_FORM, headers=inside(made)))
        assert len(sent(await alice.get("/v1/monitors", headers=inside(made)))) == 2


def test_marking() -> None:
    org_id = "019b2dcd-7c00-7000-8000-000000000001"
    field = f'<input type="hidden" name="np_org" value="{org_id}">'
    page = '<form method="get" action="/x"></form><form class="a" method="post" action="/y"><b></b>'
    assert page_org.marked(page, org_id) == page.replace("<b>", f"{field}<b>")
