"""The pages of clients: how they are doing, and what is set of them."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any

import httpx
import pytest

from netpulse.engine.roster import Watched
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.org import Org, Quotas
from netpulse.model.time import MINUTE
from netpulse.model.user import Membership, Role, User
from netpulse.model.watch import Status, Watch
from netpulse.storage import orgs, users
from netpulse.storage.db import Conn
from tests.api.test_clients import CLIENTS, inside, make_in, new_client, org_of, person_of
from tests.api.test_monitors import fail, sent
from tests.api.test_pages import led_to, problems, text_of
from tests.api.test_switch import browser_of, here, switch
from tests.clock import START
from tests.conftest import Stage
from tests.makers import random_id

FORM = {
    "name": "Corner Shop",
    "slug": "",
    "plan": "Silver",
    "timezone": "UTC",
    "limits": "own",
    "quotas.monitors": "10",
    "quotas.users": "",
    "quotas.retention_days": "30",
}


async def turn(house: Stage, monitor_id: Id, status: Status) -> None:
    """Have a monitor be in a state, on disk and on duty."""
    await house.house.engine.settled()
    if status is Status.DOWN:
        await fail(house, monitor_id, START)
    watched = house.house.engine.roster.get(monitor_id)
    assert watched is not None
    house.house.engine.roster.remember(watched, Watch(status=status, since=START))


def clients_of(page: str) -> list[tuple[str, str]]:
    """Return (state, name) of the rows of the roll-up, in their order."""
    return re.findall(
        r'data-status="(\w+)".*?<button class="np-link np-name[^>]*>([^<]+)</button>',
        page,
        re.DOTALL,
    )


class TestRollUp:
    async def test_the_worst_first(self, house: Stage, alice: httpx.AsyncClient) -> None:
        states = {
            "Alpha": [Status.UP],
            "Beta": [Status.UP, Status.DEGRADED],
            "Gamma": [Status.DOWN],
            "Delta": [Status.DOWN, Status.DOWN, Status.UP],
            "Epsilon": [Status.UNKNOWN],
        }
        made = {}
        for name, wanted in states.items():
            made[name] = await new_client(alice, name=name)
            for number, status in enumerate(wanted):
                monitor = await make_in(alice, made[name], name=f"{name} {number}")
                await turn(house, monitor["id"], status)
        page = text_of(await alice.get("/clients"))
        assert clients_of(page) == [
            ("down", "Delta"),
            ("down", "Gamma"),
            ("degraded", "Beta"),
            ("unknown", "Epsilon"),
            ("up", "Alpha"),
        ]
        assert "3 monitors are down, in 2 clients" in page
        tally = re.findall(r'<li class="c-(\w+)">.*?<strong>(\d+)</strong>', page)
        assert tally[:2] == [("down", "2"), ("up", "1")]
        # What is down is named, with since when, and leads there.
        assert "Delta 0" in page
        assert "since 2025-12-17 19:33:20 UTC" in page
        part = text_of(await alice.get("/clients?part=list"))
        assert clients_of(part) == clients_of(page)
        assert 'hx-trigger="refresh, every 10s"' in page
        assert 'hx-get="/clients?' in page

    async def test_what_is_down_leads_there(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        monitor = await make_in(alice, made, name="Web shop")
        await turn(house, monitor["id"], Status.DOWN)
        browser = await browser_of(house, house.cast.alice)
        page = text_of(await browser.get("/clients"))
        (form,) = re.findall(
            r'<form method="post" action="/switch">((?:(?!</form>).)*Web shop.*?)</form>', page
        )
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        assert fields == {
            "org_id": made["id"],
            "next": f"/monitors/{monitor['id']}",
            "np_org": house.cast.acme.id,
        }
        where = led_to(await browser.post("/switch", data=fields))
        page = text_of(await browser.get(where))
        assert here(page) == "Corner Shop"
        assert "<h1" in page
        assert "Web shop" in page

    async def test_many_that_are_down(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        for number in range(5):
            monitor = await make_in(alice, made, name=f"Shop {number}")
            await turn(house, monitor["id"], Status.DOWN)
        page = text_of(await alice.get("/clients"))
        assert [f"Shop {number}" in page for number in range(5)] == [True] * 3 + [False] * 2
        assert ">2 more<" in page

    async def test_what_is_in_maintenance_is_not_down(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        monitor = await make_in(alice, made, name="Web shop")
        await turn(house, monitor["id"], Status.DOWN)

        def maintain(conn: Conn) -> None:
            conn.execute(
                "UPDATE monitors SET maintained_until = ? WHERE id = ?",
                (START + MINUTE, monitor["id"]),
            )

        other = await make_in(alice, made, name="Mail")
        await turn(house, other["id"], Status.DOWN)
        await house.house.db.write(maintain)
        page = text_of(await alice.get("/clients"))
        assert "Mail" in page
        assert "Web shop" not in page

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (None, "Nothing is watched for clients yet"),
            (Status.PENDING, "The first checks are under way"),
            (Status.PAUSED, "All that is watched for clients is paused"),
            (Status.MAINTENANCE, "All that is watched for clients is in maintenance"),
            (Status.UP, "Everything that is watched for clients is up"),
        ],
    )
    async def test_the_headline_where_nothing_is_wrong(
        self, house: Stage, alice: httpx.AsyncClient, status: Status | None, said: str
    ) -> None:
        made = await new_client(alice)
        if status is not None:
            monitor = await make_in(alice, made, name="Web shop")
            await turn(house, monitor["id"], status)
        assert said in text_of(await alice.get("/clients"))

    async def test_only_with_a_grant(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        shop = await new_client(alice, name="Shop")
        await new_client(alice, name="School")
        # A viewer without a grant is offered nothing; an administrator how to get one.
        page = text_of(await bob.get("/dashboard"))
        assert 'href="/clients"' not in page
        page = text_of(await bob.get("/clients"))
        assert "You may enter no client" in page
        assert "An administrator of your organization gives access" in page
        erin = await person_of(house, house.cast.acme, "erin")
        page = text_of(await house.client(headers=erin.headers).get("/clients"))
        assert "give yourself access to it first" in page
        assert "Shop" not in page
        sent(
            await alice.put(
                f"{CLIENTS}/{shop['id']}/grants/{house.cast.bob.id}", json={"role": "viewer"}
            )
        )
        assert 'href="/clients"' in text_of(await bob.get("/dashboard"))
        page = text_of(await bob.get("/clients"))
        assert "Shop" in page
        assert "School" not in page
        assert "1 client of 2" in page

    async def test_without_clients(self, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
        assert 'href="/clients"' not in text_of(await alice.get("/dashboard"))
        page = text_of(await alice.get("/clients"))
        assert "No client yet" in page
        assert "/settings/clients/new" in page
        assert "/settings/clients/new" not in text_of(await bob.get("/clients"))

    async def test_in_a_client(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        await switch(browser, made["id"], "/clients")
        page = text_of(await browser.get("/clients"))
        assert "A client has no clients" in page
        assert "/settings/clients" not in page

    async def test_a_thousand_clients(
        self, house: Stage, alice: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With ten monitors each: what the page costs hangs on how many clients there are, and not
        on how many monitors."""
        ids = [new_id(START + number) for number in range(1_000)]

        def fill(conn: Conn) -> None:
            for number, client_id in enumerate(ids):
                orgs.insert(
                    conn,
                    Org(
                        id=client_id,
                        name=f"Client {number:04}",
                        slug=f"client-{number:04}",
                        parent_id=house.cast.acme.id,
                        quotas=Quotas(private_targets=False),
                        created_at=START,
                    ),
                )
                users.put_membership(
                    conn,
                    Membership(
                        user_id=house.cast.alice.id,
                        org_id=client_id,
                        role=Role.ADMIN,
                        is_grant=True,
                    ),
                )

        await house.house.db.write(fill)
        roster = house.house.engine.roster
        spec = HttpSpec(name="Shop", target="https://shop.example/")
        for number, client_id in enumerate(ids):
            for at in range(10):
                monitor = Monitor(
                    id=f"{client_id}-{at}", key=0, org_id=client_id, spec=spec, created_at=START
                )
                status = Status.DOWN if number == 700 and at == 0 else Status.UP
                roster.add(Watched(monitor, Watch(status=status, since=START), 0.0))
        times = []
        for path in ("/clients", "/clients?page=20", "/settings/clients?page=50", "/switch"):
            text_of(await alice.get(path))  # templates are compiled once
            began = time.perf_counter()
            page = text_of(await alice.get(path))
            times.append((path, time.perf_counter() - began))
            if path == "/clients":
                assert clients_of(page)[:2] == [("down", "Client 0700"), ("up", "Client 0000")]
                assert "1 to 50 of 1000 clients" in page
                assert "1 monitor is down, in 1 client" in page
        began = time.perf_counter()
        for _ in range(100):
            roster.counts(ids[500])
        each = (time.perf_counter() - began) / 100
        with capsys.disabled():
            listed = ", ".join(f"{path} {took * 1000:.0f} ms" for path, took in times)
            print(f"\n1,000 clients with 10 monitors: {listed}; counts of one {each * 1e6:.1f} us")
        assert max(took for _, took in times) < 1
        assert each < 0.001


class TestSettings:
    async def test_make_change_delete(self, house: Stage, alice: httpx.AsyncClient) -> None:
        where = led_to(await alice.post("/settings/clients/new", data=FORM))
        assert where == "/settings/clients?told=client-made"
        page = text_of(await alice.get(where))
        assert "Added. Open it to invite its people and to watch something." in page
        (made,) = sent(await alice.get(CLIENTS))
        assert made["quotas"] == {
            "monitors": 10,
            "users": None,
            "retention_days": 30,
            "private_targets": False,
        }
        assert "0<span" in page
        assert " of 10</span>" in page
        url = f"/settings/clients/{made['id']}"
        page = text_of(await alice.get(url))
        assert 'value="Corner Shop"' in page
        assert 'name="slug"' not in page
        changed = FORM | {"name": "Renamed", "quotas.monitors": "", "version": "1"}
        changed["quotas.private_targets"] = "true"
        assert led_to(await alice.post(url, data=changed)) == "/settings/clients?told=saved"
        (made,) = sent(await alice.get(CLIENTS))
        assert (made["name"], made["quotas"]["monitors"]) == ("Renamed", None)
        assert made["quotas"]["private_targets"] is True
        stale = await alice.post(url, data=changed)
        assert stale.status_code == 412
        asked = text_of(await alice.get(f"{url}/delete"))
        assert "Delete the client Renamed?" in asked
        assert led_to(await alice.post(f"{url}/delete")) == "/settings/clients?told=deleted"
        assert "No client yet" in text_of(await alice.get("/settings/clients"))

    async def test_what_goes_with_it_is_named(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        await make_in(alice, made)
        await make_in(alice, made)
        await person_of(house, await org_of(house, made["id"]), "dora")
        both = await person_of(house, await org_of(house, made["id"]), "both")

        def join(conn: Conn) -> None:
            users.put_membership(
                conn,
                Membership(user_id=both.id, org_id=house.cast.globex.id, role=Role.VIEWER),
            )

        await house.house.db.write(join)
        hook = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
        sent(await alice.post("/v1/alert-channels", json=hook, headers=inside(made)), 201)
        body = {"name": "Key", "scopes": ["monitors:read"]}
        sent(await alice.post("/v1/api-keys", json=body, headers=inside(made)), 201)
        page = text_of(await alice.get(f"/settings/clients/{made['id']}/delete"))
        assert [unescape(line) for line in re.findall(r"<li>([^<]+)</li>", page)][-5:] == [
            "2 monitors are watched no more; what is down is closed, and no recovery is told.",
            "2 people are out at once, and 1 account that belongs nowhere else is deleted.",
            "With it go 1 API key, 1 alert channel, and every alert rule.",
            "1 person of yours can enter it no more.",
            "Its audit log stays; everything else cannot be brought back.",
        ]

    async def test_limits_of_the_plan(self, alice: httpx.AsyncClient) -> None:
        page = text_of(await alice.get("/settings/clients/new"))
        assert '<option value="own" selected>' in page
        led_to(await alice.post("/settings/clients/new", data=FORM))
        page = text_of(await alice.get("/settings/clients/new"))
        assert '<option value="plan" selected>' in page
        assert (
            "10 monitors, any number of people, results of 30 days, public addresses only" in page
        )
        again = FORM | {"name": "Second", "limits": "plan", "quotas.monitors": "99"}
        led_to(await alice.post("/settings/clients/new", data=again))
        second = sent(await alice.get(CLIENTS, params={"q": "second"}))[0]
        assert second["quotas"]["monitors"] == 10

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"name": ""}, "Name: must not be empty."),
            ({"name": " \t"}, "Name: must not be empty."),
            ({"slug": "No Slug"}, "Slug: use letters a to z, digits and - only."),
            ({"quotas.monitors": "many"}, "Monitors: must be a whole number, not text."),
            ({"quotas.monitors": "-1"}, "Monitors: must be at least 0."),
            ({"timezone": "Mars"}, None),
            ({"plan": ""}, "Plan: must not be empty."),
        ],
    )
    async def test_mistakes(
        self, alice: httpx.AsyncClient, changes: dict[str, str], said: str | None
    ) -> None:
        refused = await alice.post("/settings/clients/new", data=FORM | changes)
        (line,) = problems(refused)
        assert said is None or line == said
        assert 'value="30"' in refused.text

    async def test_a_slug_that_is_taken(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        await new_client(charlie, slug="shop")
        refused = await alice.post("/settings/clients/new", data=FORM | {"slug": "shop"})
        assert problems(refused, 409) == ["The slug shop is taken; choose another one."]

    async def test_a_client_that_has_none(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        browser = await browser_of(house, house.cast.alice)
        await switch(browser, made["id"])
        page = text_of(await browser.get("/settings/clients"))
        assert "A client has no clients" in page
        refused = await browser.post("/settings/clients/new", data=FORM | {"np_org": made["id"]})
        assert problems(refused, 409) == [
            "Corner Shop is a client itself, and a client cannot have clients of its own."
        ]

    async def test_without_access_health_is_not_shown(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        monitor = await make_in(alice, made)
        await turn(house, monitor["id"], Status.DOWN)
        assert "1 down" in text_of(await alice.get("/settings/clients"))
        erin = await person_of(house, house.cast.acme, "erin")
        page = text_of(await house.client(headers=erin.headers).get("/settings/clients"))
        assert "1 down" not in page
        assert "not shown" in page
        assert "without access" in page
        assert "Open<" not in page


class TestAccess:
    async def test_give_change_take_back(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        bobs = house.cast.bob
        url = f"/settings/clients/{made['id']}/grants"
        page = text_of(await alice.get(url))
        assert f'<option value="{bobs.id}">{bobs.email}</option>' in page
        assert house.cast.charlie.email not in page
        form = {"user_id": bobs.id, "role": "viewer"}
        assert led_to(await alice.post(url, data=form)) == f"{url}?told=saved"
        sent(await bob.get("/v1/monitors", headers=inside(made)))
        page = text_of(await alice.get(url))
        assert bobs.email in page
        assert "Make administrator" in page
        led_to(await alice.post(url, data=form | {"role": "admin"}))
        asked = text_of(await alice.get(f"{url}/{bobs.id}/delete"))
        assert f"Take {bobs.email}'s access to Corner Shop back?" in unescape(asked)
        where = led_to(await alice.post(f"{url}/{bobs.id}/delete"))
        assert "Taken back. They are out of it at once." in text_of(await alice.get(where))
        assert (await bob.get("/v1/monitors", headers=inside(made))).status_code == 403

    async def test_mistakes(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        url = f"/settings/clients/{made['id']}/grants"
        assert problems(await alice.post(url, data={"user_id": "", "role": "viewer"})) == [
            "Who: choose one of your people."
        ]
        form = {"user_id": house.cast.bob.id, "role": "owner"}
        assert problems(await alice.post(url, data=form)) == ["Role: choose one."]
        for user_id in (random_id(), house.cast.charlie.id):
            form = {"user_id": user_id, "role": "viewer"}
            text_of(await alice.post(url, data=form), 404)

    async def test_of_others_nothing(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        made: Any = await new_client(alice)
        for path in ("", "/grants", "/delete", f"/grants/{house.cast.bob.id}/delete"):
            theirs = await charlie.get(f"/settings/clients/{made['id']}{path}")
            nobodys = await charlie.get(f"/settings/clients/{random_id()}{path}")
            assert (theirs.status_code, theirs.content) == (404, nobodys.content)


async def test_a_grant_is_listed_behind_any_number_of_members(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await new_client(alice)

    def fill(conn: Conn) -> None:
        for number in range(501):
            user = User(
                id=new_id(START),
                email=f"a{number}@a.example",
                password_hash="$",
                home_org_id=made["id"],
                created_at=START,
            )
            here = Membership(user_id=user.id, org_id=made["id"], role=Role.VIEWER)
            users.insert(conn, user, [here])

    await house.house.db.write(fill)
    url = f"/v1/org/clients/{made['id']}/grants/{house.cast.bob.id}"
    sent(await alice.put(url, json={"role": "viewer"}))
    page = text_of(await alice.get(f"/settings/clients/{made['id']}/grants"))
    assert f"/settings/clients/{made['id']}/grants/{house.cast.bob.id}/delete" in page
