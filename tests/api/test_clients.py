"""Clients of a provider: what it sets, what it sees, and what nobody sees without a grant."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.time import rfc3339
from netpulse.model.user import Membership, Role
from netpulse.model.watch import Status, Watch
from netpulse.storage import orgs, quotas, users
from netpulse.storage.db import Conn
from tests.api.test_monitors import errors, make, sent
from tests.cast import PASSWORD, Person
from tests.clock import START
from tests.conftest import Stage
from tests.makers import random_id

CLIENTS = "/v1/org/clients"
NONE = {
    "up": 0,
    "degraded": 0,
    "down": 0,
    "unknown": 0,
    "maintenance": 0,
    "paused": 0,
    "pending": 0,
}


async def new_client(who: httpx.AsyncClient, **changes: Any) -> Any:
    """Make a client and return it."""
    return sent(await who.post(CLIENTS, json={"name": "Corner Shop"} | changes), 201)


def inside(client: Any) -> dict[str, str]:
    """The header that leads into a client."""
    return {"X-Org-Id": client["id"]}


async def make_in(who: httpx.AsyncClient, client: Any, **changes: Any) -> Any:
    """Make a monitor in a client and return it."""
    spec = {"name": "Shop", "type": "http", "target": "https://shop.example/"} | changes
    return sent(await who.post("/v1/monitors", json=spec, headers=inside(client)), 201)


async def org_of(house: Stage, org_id: Id) -> Org:
    found = await house.house.db.read(orgs.get, org_id)
    assert found is not None
    return found


async def person_of(house: Stage, org: Org, name: str, role: Role = Role.ADMIN) -> Person:
    """Return somebody who belongs to an organization."""
    found = Person(name, role, org, START)
    await house.house.db.write(found.enter, START)
    return found


async def super_admin(house: Stage) -> httpx.AsyncClient:
    """Return the client of a super administrator, who is at home in Globex."""
    root = await person_of(house, house.cast.globex, "root", Role.SUPER_ADMIN)
    return house.client(headers=root.headers)


async def rows(house: Stage, org_id: Id) -> list[tuple[str, str, Any, Any]]:
    """Return (action, who, before and after, from where they acted) of an organization's log."""
    audit, payloads = await house.audit(org_id), await house.payloads(org_id)
    return [
        (action, label, {"before": load["before"], "after": load["after"]}, load.get("actor_org"))
        for (action, _, label), load in zip(audit, payloads, strict=True)
    ]


class TestMaking:
    """POST."""

    async def test_the_answer(self, house: Stage, alice: httpx.AsyncClient) -> None:
        answer = await alice.post(CLIENTS, json={"name": "  Müller & Söhne "})
        made = sent(answer, 201)
        assert answer.headers["location"] == f"{CLIENTS}/{made['id']}"
        assert answer.headers["etag"] == '"1"'
        assert made == {
            "id": made["id"],
            "name": "Müller & Söhne",
            "slug": "muller-sohne",
            "plan": "free",
            "quotas": {
                "monitors": None,
                "users": None,
                "retention_days": None,
                "private_targets": False,
            },
            "timezone": "UTC",
            "locale": "en",
            "usage": {"monitors": 0, "users": 0},
            "health": NONE,
            "my_role": "admin",
            "created_at": rfc3339(START),
            "version": 1,
        }
        assert sent(await alice.get(f"{CLIENTS}/{made['id']}")) == made
        stored = await org_of(house, made["id"])
        assert stored.parent_id == house.cast.acme.id

    async def test_everything_set(self, alice: httpx.AsyncClient) -> None:
        limits = {"monitors": 5, "users": 3, "retention_days": 30, "private_targets": True}
        made = await new_client(
            alice,
            slug="corner",
            plan="Silver",
            quotas=limits,
            timezone="Europe/Berlin",
        )
        assert (made["slug"], made["plan"], made["quotas"]) == ("corner", "Silver", limits)
        assert made["timezone"] == "Europe/Berlin"

    async def test_what_both_logs_say(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        acme, alices = house.cast.acme, house.cast.alice.email
        record = {
            name: made[name] for name in ("name", "slug", "plan", "quotas", "timezone", "locale")
        }
        grant = {
            "email": alices,
            "role": "admin",
            "client": {"id": made["id"], "name": "Corner Shop"},
        }
        assert await rows(house, acme.id) == [
            ("client.created", alices, {"before": None, "after": record}, None),
            ("grant.given", alices, {"before": None, "after": grant}, None),
        ]
        whence = {"id": acme.id, "name": "Acme"}
        assert await rows(house, made["id"]) == [
            ("org.created", f"{alices} (Acme)", {"before": None, "after": record}, whence),
            ("grant.given", f"{alices} (Acme)", {"before": None, "after": grant}, whence),
        ]

    async def test_slugs(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        assert (await new_client(alice))["slug"] == "corner-shop"
        assert (await new_client(alice))["slug"] == "corner-shop-2"
        taken = await charlie.post(CLIENTS, json={"name": "Other", "slug": "corner-shop"})
        assert taken.status_code == 409
        assert taken.json()["error"]["code"] == "SLUG_TAKEN"
        assert taken.json()["error"]["message"] == (
            "The slug corner-shop is taken; choose another one"
        )
        assert await house.actions(house.cast.globex.id) == []

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"name": " "}, ("$.name", "the name is empty")),
            ({"name": "a\nb"}, ("$.name", "has a line break or another control character")),
            ({"timezone": "Mars/Olympus"}, ("$.timezone", None)),
            ({"locale": "tlh"}, ("$.locale", "'tlh' is none of en")),
            ({"slug": "No Slug"}, ("$.slug", None)),
            ({"plan": " "}, ("$.plan", "the plan is empty")),
            ({"quotas": {"monitors": -1}}, ("$.quotas.monitors", "must be at least 0")),
            ({"quotas": {"retention_days": 0}}, ("$.quotas.retention_days", "must be at least 1")),
            ({"quotas": {"money": 1}}, ("$.quotas.money", "there is no such field here")),
            ({"parent_id": "x"}, ("$.parent_id", "there is no such field here")),
            ({"org_id": "x"}, ("$.org_id", "there is no such field here")),
        ],
    )
    async def test_mistakes(
        self, alice: httpx.AsyncClient, changes: dict[str, Any], problem: tuple[str, str | None]
    ) -> None:
        ((path, said),) = errors(await alice.post(CLIENTS, json={"name": "Shop"} | changes))
        assert path == problem[0]
        assert problem[1] is None or said == problem[1]

    async def test_a_plan_is_the_name_of_quotas(
        self, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        silver = {"monitors": 7, "users": 2, "retention_days": None, "private_targets": True}
        await new_client(alice, plan="Silver", quotas=silver)
        assert (await new_client(alice, plan="Silver"))["quotas"] == silver
        assert (await new_client(alice, plan="Silver", quotas=None))["quotas"] == silver
        # What others call the same is nothing to this provider.
        assert (await new_client(charlie, plan="Silver"))["quotas"]["monitors"] is None
        # The client that was changed last says what the plan is.
        gold = await new_client(alice, plan="Gold", quotas={"monitors": 9})
        body = {"name": "Gold", "plan": "Silver"}
        assert sent(await alice.put(f"{CLIENTS}/{gold['id']}", json=body))["quotas"] == silver

    async def test_no_further_than_the_provider(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        before = await new_client(alice, plan="Open", quotas={"private_targets": True})

        def confine(conn: Conn) -> None:
            conn.execute(
                "UPDATE organizations SET private_targets = 0 WHERE id = ?", (house.cast.acme.id,)
            )

        await house.house.db.write(confine)
        refused = await alice.post(
            CLIENTS, json={"name": "Shop", "quotas": {"private_targets": True}}
        )
        assert errors(refused) == [
            (
                "$.quotas.private_targets",
                "your own organization may reach public addresses only",
            )
        ]
        assert not (await house.house.db.read(quotas.of, before["id"])).private_targets


class TestWhoMay:
    """Administrators of the provider, and nobody else."""

    async def test_a_client_has_no_clients(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        assert sent(await alice.get(CLIENTS, headers=inside(made))) == []
        refused = await alice.post(CLIENTS, json={"name": "Nested"}, headers=inside(made))
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "NOT_A_PROVIDER"
        assert refused.json()["error"]["message"] == (
            "Corner Shop is a client itself, and a client cannot have clients of its own"
        )

    async def test_viewers_do_not(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        for method, path in (
            ("GET", CLIENTS),
            ("POST", CLIENTS),
            ("GET", f"{CLIENTS}/{made['id']}"),
            ("DELETE", f"{CLIENTS}/{made['id']}"),
            ("GET", f"{CLIENTS}/{made['id']}/grants"),
            ("PUT", f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"),
        ):
            answer = await bob.request(method, path, json={})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")

    async def test_the_clients_own_people_do_not(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """Its administrator administers the client, not what the provider sets of it."""
        made = await new_client(alice)
        dora = await person_of(house, await org_of(house, made["id"]), "dora")
        doras = house.client(headers=dora.headers)
        assert sent(await doras.get(CLIENTS)) == []
        random = await doras.get(f"{CLIENTS}/{random_id()}")
        for path in (f"{CLIENTS}/{made['id']}", f"{CLIENTS}/{house.cast.acme.id}"):
            for method in ("GET", "PUT", "DELETE"):
                answer = await doras.request(method, path, json={"name": "Mine"})
                assert (answer.status_code, answer.content) == (404, random.content), path
        assert (await doras.get(CLIENTS, headers={"X-Org-Id": house.cast.acme.id})).status_code == (
            403
        )

    async def test_somebody_elses_client_is_nobodys(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        assert sent(await charlie.get(CLIENTS)) == []
        for method in ("GET", "PUT", "DELETE"):
            theirs = await charlie.request(method, f"{CLIENTS}/{made['id']}", json={"name": "x"})
            nobodys = await charlie.request(method, f"{CLIENTS}/{random_id()}", json={"name": "x"})
            assert theirs.status_code == 404
            assert theirs.content == nobodys.content
        for path in ("/v1/monitors", CLIENTS, "/dashboard", "/live"):
            theirs = await charlie.get(path, headers=inside(made))
            nobodys = await charlie.get(path, headers={"X-Org-Id": random_id()})
            assert theirs.status_code == nobodys.status_code == 403
            assert theirs.content == nobodys.content
        assert "client.deleted" not in await house.actions(house.cast.acme.id)

    async def test_a_super_administrator_sees_to_everybodys(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        root = await super_admin(house)
        in_acme = {"X-Org-Id": house.cast.acme.id}
        made = await new_client(alice)
        (seen,) = sent(await root.get(CLIENTS, headers=in_acme))
        assert (seen["my_role"], seen["health"]) == ("admin", NONE)
        answer = await root.post(CLIENTS, json={"name": "By root"}, headers=in_acme)
        by_root = sent(answer, 201)
        # They belong to another organization: a grant is for the provider's people.
        assert sent(await alice.get(f"{CLIENTS}/{by_root['id']}/grants")) == []
        label = "root@globex.example (Globex)"
        assert [row[:2] for row in await rows(house, house.cast.acme.id)][-1] == (
            "client.created",
            label,
        )
        await make_in(root, made)
        action, who, _, whence = (await rows(house, made["id"]))[-1]
        assert (action, who) == ("monitor.created", label)
        assert whence == {"id": house.cast.globex.id, "name": "Globex"}


class TestSeeing:
    """What is shown of a client to whom."""

    async def test_health_and_usage(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        await make_in(alice, made)
        await make_in(alice, made, is_paused=True)
        await person_of(house, await org_of(house, made["id"]), "dora")
        await house.house.engine.settled()
        (seen,) = sent(await alice.get(CLIENTS))
        assert seen["usage"] == {"monitors": 2, "users": 1}
        assert seen["health"] == NONE | {"pending": 1, "paused": 1}

    async def test_without_a_grant_there_is_no_health(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        await make_in(alice, made)
        erin = await person_of(house, house.cast.acme, "erin")
        erins = house.client(headers=erin.headers)
        seen = sent(await erins.get(f"{CLIENTS}/{made['id']}"))
        assert (seen["health"], seen["my_role"]) == (None, None)
        assert seen["usage"] == {"monitors": 1, "users": 0}
        assert (await erins.get("/v1/monitors", headers=inside(made))).status_code == 403

    async def test_a_key_looks_into_no_client(self, alice: httpx.AsyncClient, house: Stage) -> None:
        await new_client(alice)
        body = {"name": "All", "scopes": ["org:read", "org:write", "monitors:read"]}
        key = sent(await alice.post("/v1/api-keys", json=body), 201)["key"]
        keyed = house.client(headers={"X-API-Key": key})
        (seen,) = sent(await keyed.get(CLIENTS))
        assert (seen["health"], seen["my_role"]) == (None, None)
        refused = await keyed.get("/v1/monitors", headers=inside(seen))
        assert refused.status_code == 403

    async def test_lists(self, alice: httpx.AsyncClient) -> None:
        for name in ("banana", "Apple", "cherry 100%"):
            await new_client(alice, name=name, plan="Gold" if name == "Apple" else "free")

        async def names(**query: str) -> list[str]:
            return [one["name"] for one in sent(await alice.get(CLIENTS, params=query))]

        assert await names() == ["Apple", "banana", "cherry 100%"]
        assert await names(q="AN") == ["banana"]
        assert await names(q="%") == ["cherry 100%"]
        assert await names(plan="Gold") == ["Apple"]
        assert await names(limit="1", page="2") == ["banana"]
        found = (await alice.get(CLIENTS, params={"q": "a", "limit": "1"})).json()
        assert found["meta"] == {"page": 1, "limit": 1, "total": 2}

    async def test_metrics_are_of_ones_own_organization(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        mine = await make(alice, name="Ours")
        other = await make_in(alice, made, name="Theirs")
        await house.house.engine.settled()
        roster = house.house.engine.roster
        for watched in roster:
            roster.remember(watched, Watch(status=Status.UP, since=START))
        body = {"name": "Scraper", "scopes": ["metrics:read"]}
        key = sent(await alice.post("/v1/api-keys", json=body, headers=inside(made)), 201)["key"]
        keyed = house.client(headers={"X-API-Key": key})
        ours = (await alice.get("/metrics")).text
        assert f'org="acme",id="{mine["id"]}",name="Ours"' in ours
        assert other["id"] not in ours
        for theirs in (
            (await alice.get("/metrics", headers=inside(made))).text,
            (await keyed.get("/metrics")).text,
        ):
            assert f'org="corner-shop",id="{other["id"]}",name="Theirs"' in theirs
            assert mine["id"] not in theirs


class TestChanging:
    """PUT."""

    async def test_quotas_count_at_once(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice, quotas={"monitors": 1})
        url = f"{CLIENTS}/{made['id']}"
        await make_in(alice, made)
        full = await alice.post(
            "/v1/monitors",
            json={"name": "x", "type": "http", "target": "https://x.example"},
            headers=inside(made),
        )
        assert full.status_code == 409
        assert full.json()["error"]["message"] == (
            "This organization may have 1 monitor: delete one that is not needed any more, or ask "
            "Acme, who set this quota, for more"
        )
        body = {"name": "Corner Shop", "quotas": {"monitors": 2, "private_targets": True}}
        changed = sent(await alice.put(url, json=body))
        assert (changed["version"], changed["quotas"]["monitors"]) == (2, 2)
        await make_in(alice, made, target="http://127.0.0.1:9/")
        way = house.house.engine.permits.way(made["id"])
        assert way.policy.allow_private
        sent(await alice.put(url, json={"name": "Corner Shop", "quotas": {"monitors": 1}}))
        assert not house.house.engine.permits.way(made["id"]).policy.allow_private
        # A smaller quota takes nothing away.
        assert sent(await alice.get(url))["usage"]["monitors"] == 2

    async def test_what_is_left_out(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice, plan="Gold", quotas={"monitors": 3}, timezone="Asia/Tokyo")
        url = f"{CLIENTS}/{made['id']}"
        kept = sent(await alice.put(url, json={"name": "New name", "plan": "Gold"}))
        assert (kept["name"], kept["slug"], kept["timezone"]) == ("New name", "corner-shop", "UTC")
        # The plan is the same, and with it the quotas.
        assert kept["quotas"]["monitors"] == 3
        other = sent(await alice.put(url, json={"name": "New name", "plan": "Iron"}))
        assert other["quotas"]["monitors"] is None

    async def test_an_answer_can_be_sent_back(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice, plan="Gold", quotas={"monitors": 3})
        again = sent(await alice.put(f"{CLIENTS}/{made['id']}", json=made))
        assert again == made | {"version": 2}

    async def test_versions(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        url = f"{CLIENTS}/{made['id']}"
        stale = {"If-Match": '"7"'}
        assert (await alice.put(url, json={"name": "x"}, headers=stale)).status_code == 412
        assert (await alice.delete(url, headers=stale)).status_code == 412
        sent(await alice.put(url, json={"name": "x"}, headers={"If-Match": '"1"'}))

    async def test_the_slug_stays(self, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        refused = await alice.put(
            f"{CLIENTS}/{made['id']}", json={"name": "Shop", "slug": "another"}
        )
        assert errors(refused) == [
            ("$.slug", "stays as it is: metrics know the client by it; leave it out")
        ]

    async def test_what_both_logs_say(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        sent(await alice.put(f"{CLIENTS}/{made['id']}", json={"name": "Renamed"}))
        for org_id, action in (
            (house.cast.acme.id, "client.updated"),
            (made["id"], "org.updated"),
        ):
            last = (await rows(house, org_id))[-1]
            assert last[0] == action
            assert last[2]["before"]["name"] == "Corner Shop"
            assert last[2]["after"]["name"] == "Renamed"


class TestGrants:
    """Who of the provider's people may enter, and as what."""

    async def test_giving_changing_and_taking_back(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        bobs = house.cast.bob
        url = f"{CLIENTS}/{made['id']}/grants/{bobs.id}"
        assert (await bob.get("/v1/monitors", headers=inside(made))).status_code == 403
        given = sent(await alice.put(url, json={"role": "viewer"}))
        assert given == {
            "user_id": bobs.id,
            "email": bobs.email,
            "role": "viewer",
            "is_active": True,
            "granted_by": house.cast.alice.id,
            "created_at": rfc3339(START),
        }
        # Each counts at the next request. Bob is a viewer at home; here the grant says what he is.
        assert sent(await bob.get("/v1/monitors", headers=inside(made))) == []
        body = {"name": "x", "type": "http", "target": "https://x.example"}
        assert (await bob.post("/v1/monitors", json=body, headers=inside(made))).status_code == 403
        sent(await alice.put(url, json={"role": "admin"}))
        sent(await bob.post("/v1/monitors", json=body, headers=inside(made)), 201)
        assert (await bob.post("/v1/monitors", json=body)).status_code == 403
        # He cannot give himself more, nor let others in: that is the provider's.
        assert (await bob.put(url, json={"role": "admin"})).status_code == 403
        assert (await bob.put(url, json={"role": "admin"}, headers=inside(made))).status_code == 404
        sent(await alice.delete(url))
        gone = await bob.get("/v1/monitors", headers=inside(made))
        random = await bob.get("/v1/monitors", headers={"X-Org-Id": random_id()})
        assert (gone.status_code, gone.content) == (403, random.content)

    async def test_what_both_logs_say(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        bobs = house.cast.bob
        url = f"{CLIENTS}/{made['id']}/grants/{bobs.id}"
        for role in ("viewer", "admin", "admin"):  # the last one changes nothing
            sent(await alice.put(url, json={"role": role}))
        for _ in range(2):
            sent(await alice.delete(url))

        def grant(role: str) -> dict[str, Any]:
            client = {"id": made["id"], "name": "Corner Shop"}
            return {"email": bobs.email, "role": role, "client": client}

        wanted = [
            ("grant.given", {"before": None, "after": grant("viewer")}),
            ("grant.changed", {"before": grant("viewer"), "after": grant("admin")}),
            ("grant.ended", {"before": grant("admin"), "after": None}),
        ]
        acme = {"id": house.cast.acme.id, "name": "Acme"}
        for org_id, whence in ((house.cast.acme.id, None), (made["id"], acme)):
            found = (await rows(house, org_id))[2:]
            assert [(action, load) for action, _, load, _ in found] == wanted
            assert [from_ for _, _, _, from_ in found] == [whence] * 3

    async def test_only_members_of_the_provider(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        grants = f"{CLIENTS}/{made['id']}/grants"
        dora = await person_of(house, await org_of(house, made["id"]), "dora")
        nobody = await alice.put(f"{grants}/{random_id()}", json={"role": "viewer"})
        assert nobody.status_code == 404
        assert nobody.json()["error"]["code"] == "MEMBER_NOT_FOUND"
        for other in (house.cast.charlie.id, dora.id):
            for method in ("PUT", "DELETE"):
                answer = await alice.request(method, f"{grants}/{other}", json={"role": "viewer"})
                assert (answer.status_code, answer.content) == (404, nobody.content)
        assert (await alice.get(grants)).json()["meta"]["total"] == 1

    async def test_who_is_a_member_of_the_client_needs_no_grant(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)

        def join(conn: Conn) -> None:
            users.put_membership(
                conn,
                Membership(user_id=house.cast.bob.id, org_id=made["id"], role=Role.VIEWER),
            )

        await house.house.db.write(join)
        url = f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"
        refused = await alice.put(url, json={"role": "admin"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "ALREADY_MEMBER")
        # Nor is the membership ended as if it were one.
        sent(await alice.delete(url))
        still = await house.house.db.read(users.membership, house.cast.bob.id, made["id"])
        assert still is not None

    async def test_the_disabled_get_none(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        bobs = house.cast.bob
        url = f"{CLIENTS}/{made['id']}/grants/{bobs.id}"
        sent(await alice.put(url, json={"role": "viewer"}))

        def disable(conn: Conn) -> None:
            users.put_membership(
                conn,
                Membership(
                    user_id=bobs.id,
                    org_id=house.cast.acme.id,
                    role=Role.VIEWER,
                    is_active=False,
                ),
            )

        await house.house.db.write(disable)
        listed = sent(await alice.get(f"{CLIENTS}/{made['id']}/grants"))
        assert [(one["email"], one["is_active"]) for one in listed] == [
            (house.cast.alice.email, True),
            (bobs.email, False),
        ]
        refused = await alice.put(url, json={"role": "admin"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "MEMBER_DISABLED")
        bobs_client = house.client(headers=bobs.headers)
        assert (await bobs_client.get("/v1/monitors", headers=inside(made))).status_code == 403

    @pytest.mark.parametrize("role", ["super_admin", "owner", "", None])
    async def test_roles(self, house: Stage, alice: httpx.AsyncClient, role: str | None) -> None:
        made = await new_client(alice)
        url = f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"
        assert [path for path, _ in errors(await alice.put(url, json={"role": role}))] == ["$.role"]

    async def test_what_they_made_there_goes_with_it(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        url = f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"
        sent(await alice.put(url, json={"role": "admin"}))
        body = {"name": "Bob's", "scopes": ["monitors:read"]}
        key = sent(await bob.post("/v1/api-keys", json=body, headers=inside(made)), 201)["key"]
        keyed = house.client(headers={"X-API-Key": key})
        sent(await keyed.get("/v1/monitors"))
        sent(await alice.delete(url))
        assert (await keyed.get("/v1/monitors")).status_code == 401
        # It does not come to life again with the next grant.
        sent(await alice.put(url, json={"role": "admin"}))
        assert (await keyed.get("/v1/monitors")).status_code == 401
        assert (await house.actions(made["id"]))[-3:] == [
            "grant.ended",
            "api_key.revoked",
            "grant.given",
        ]

    async def test_a_key_made_by_grant_names_both_organizations(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        body = {"name": "Robot", "scopes": ["monitors:write"]}
        made_key = sent(await alice.post("/v1/api-keys", json=body, headers=inside(made)), 201)
        keyed = house.client(headers={"X-API-Key": made_key["key"]})
        await make(keyed)
        action, who, _, whence = (await rows(house, made["id"]))[-1]
        assert (action, who) == ("monitor.created", f"Robot ({made_key['prefix']}) (Acme)")
        assert whence == {"id": house.cast.acme.id, "name": "Acme"}

    async def test_twenty_at_once_give_one(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await new_client(alice)
        url = f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"
        answers = await asyncio.gather(
            *(alice.put(url, json={"role": "viewer"}) for _ in range(20))
        )
        assert {each.status_code for each in answers} == {200}
        assert (await house.actions(made["id"])).count("grant.given") == 2


class TestItsPeople:
    """The client's own people, whom the provider invites from inside."""

    async def test_invited_with_either_role(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice, quotas={"users": 2})
        url = "/v1/org/members/invite"
        for role in ("viewer", "admin"):
            body = {"email": f"{role}@shop.example", "role": role}
            asked = sent(await alice.post(url, json=body, headers=inside(made)), 201)
            token = asked["url"].rpartition("/")[2]
            joining = {"token": token, "password": PASSWORD}
            accept = "/v1/auth/invitations/accept"
            sent(await house.client().post(accept, json=joining), 201)
            login = {"email": f"{role}@shop.example", "password": PASSWORD}
            access = sent(await house.client().post("/v1/auth/login", json=login))["access_token"]
            theirs = house.client(headers={"Authorization": f"Bearer {access}"})
            assert sent(await theirs.get("/v1/org"))["provider"] == "Acme"
            spec = {"name": "x", "type": "http", "target": "https://x.example"}
            answer = await theirs.post("/v1/monitors", json=spec)
            assert answer.status_code == (201 if role == "admin" else 403)
            # They see who of the provider may come in, and not who else it looks after.
            members = sent(await theirs.get("/v1/org/members"))
            assert [one["email"] for one in members if one["is_grant"]] == [house.cast.alice.email]
            if role == "admin":
                assert sent(await theirs.get(CLIENTS)) == []
        full = await alice.post(
            url, json={"email": "third@shop.example", "role": "viewer"}, headers=inside(made)
        )
        assert (full.status_code, full.json()["error"]["code"]) == (409, "QUOTA_REACHED")
        # Whoever may only look there invites nobody.
        grants = f"{CLIENTS}/{made['id']}/grants/{house.cast.bob.id}"
        sent(await alice.put(grants, json={"role": "viewer"}))
        body = {"email": "x@shop.example", "role": "viewer"}
        assert (await bob.post(url, json=body, headers=inside(made))).status_code == 403

    async def test_they_cannot_touch_the_providers_people(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        dora = await person_of(house, await org_of(house, made["id"]), "dora")
        doras = house.client(headers=dora.headers)
        url = f"/v1/org/members/{house.cast.alice.id}"
        for answer in (
            await doras.patch(url, json={"role": "viewer"}),
            await doras.patch(url, json={"is_active": False}),
            await doras.delete(url),
            await doras.post(f"{url}/reset-2fa"),
        ):
            assert answer.status_code == 403
        sent(await alice.get("/v1/monitors", headers=inside(made)))

    async def test_who_leaves_the_provider_is_out_of_its_clients(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await new_client(alice)
        bobs = house.cast.bob.id
        sent(await alice.put(f"{CLIENTS}/{made['id']}/grants/{bobs}", json={"role": "admin"}))
        sent(await bob.get("/v1/monitors", headers=inside(made)))
        member = f"/v1/org/members/{bobs}"
        sent(await alice.patch(member, json={"is_active": False}))
        assert (await bob.get("/v1/monitors", headers=inside(made))).status_code == 403
        sent(await alice.patch(member, json={"is_active": True}))
        sent(await bob.get("/v1/monitors", headers=inside(made)))
        sent(await alice.delete(member))
        assert (await bob.get("/v1/monitors", headers=inside(made))).status_code == 401
        listed = sent(await alice.get(f"{CLIENTS}/{made['id']}/grants"))
        assert [one["email"] for one in listed] == [house.cast.alice.email]
        assert (await rows(house, made["id"]))[-1][:2] == (
            "grant.ended",
            "alice@acme.example (Acme)",
        )
