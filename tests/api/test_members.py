"""Members: who sees and changes whom, with their exact audit rows; and nobody outruns the rules."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from netpulse.channels import Carrier, Mail
from netpulse.model.time import DAY, HOUR, MINUTE, rfc3339
from netpulse.model.user import Role
from netpulse.storage import invitations, letters, second_factors, users
from netpulse.storage.db import Conn
from tests import people
from tests.api.test_monitors import SPEC, errors, make, sent
from tests.cast import Person
from tests.clock import START, FakeClock
from tests.conftest import Stage

RANDOM = "019b0000-0000-7000-8000-00000000dead"
LAST = (
    "This is the last active administrator of the organization; make somebody else an "
    "administrator first"
)
SELF = (
    "Nobody changes their own role, disables or removes themselves; ask another administrator of "
    "the organization"
)
GRANT = (
    "This person has their rights here from your provider, who alone can change them or take them "
    "back"
)


def url(person: Person, act: str = "") -> str:
    return f"/v1/org/members/{person.id}{act}"


def refused(answer: httpx.Response, status: int = 403, code: str = "FORBIDDEN") -> str:
    """Return the words of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    return str(answer.json()["error"]["message"])


def with_mail(house: Stage) -> None:
    """Let letters be written."""
    mail = Mail(host="127.0.0.1", port=1, sender="netpulse@acme.example", security="none")
    house.house.carrier = Carrier(egress=house.house.egress, mail=mail)


async def written(house: Stage) -> list[tuple[str, str]]:
    """Return (recipient, first line) of the letters that wait, sorted; without those about keys."""
    found = await house.house.db.read(letters.due, START + DAY, 100)
    lines = sorted((letter.recipient, letter.text.splitlines()[0]) for letter in found)
    return [line for line in lines if "API key" not in line[1]]


class TestList:
    async def test_what_an_administrator_sees(self, house: Stage, alice: httpx.AsyncClient) -> None:
        bob = house.cast.bob
        await house.house.db.write(users.touch_login, bob.id, START + MINUTE)
        listed = await alice.get("/v1/org/members")
        first, second = sent(listed)
        assert first["email"] == house.cast.alice.email
        assert second == {
            "id": bob.id,
            "email": bob.email,
            "role": "viewer",
            "is_active": True,
            "is_grant": False,
            "totp_enabled": False,
            "last_login_at": rfc3339(START + MINUTE),
            "created_at": rfc3339(START),
        }
        assert listed.json()["meta"] == {"page": 1, "limit": 20, "total": 2}
        paged = await alice.get("/v1/org/members", params={"limit": 1, "page": 2})
        assert [row["email"] for row in sent(paged)] == [bob.email]

    async def test_what_a_viewer_sees(self, house: Stage, bob: httpx.AsyncClient) -> None:
        await house.house.db.write(users.touch_login, house.cast.alice.id, START)
        first, _ = sent(await bob.get("/v1/org/members"))
        assert first["email"] == house.cast.alice.email
        # Whom it pays to attack is not everybody's business.
        assert (first["totp_enabled"], first["last_login_at"]) == (None, None)

    async def test_others_are_not_in_it(self, house: Stage, charlie: httpx.AsyncClient) -> None:
        assert [row["id"] for row in sent(await charlie.get("/v1/org/members"))] == [
            house.cast.charlie.id
        ]


class TestChange:
    async def test_a_role_counts_at_the_next_request(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        with_mail(house)
        who = house.cast.bob
        assert (await bob.post("/v1/monitors", json=SPEC)).status_code == 403
        changed = sent(await alice.patch(url(who), json={"role": "admin"}))
        assert (changed["role"], changed["is_active"]) == ("admin", True)
        assert (await bob.post("/v1/monitors", json=SPEC)).status_code == 201
        sent(await alice.patch(url(who), json={"role": "viewer"}))
        assert (await bob.post("/v1/monitors", json=SPEC)).status_code == 403
        admin = {"email": who.email, "role": "admin", "is_active": True}
        viewer = admin | {"role": "viewer"}
        rows = list(
            zip(
                await house.audit(house.cast.acme.id),
                await house.payloads(house.cast.acme.id),
                strict=True,
            )
        )
        row = ("member.updated", house.cast.alice.id, house.cast.alice.email)
        assert rows[0] == (row, {"before": viewer, "after": admin})
        assert rows[-1] == (row, {"before": admin, "after": viewer})
        assert await written(house) == [
            (who.email, "Your role in Acme is administrator now."),
            (who.email, "Your role in Acme is viewer now."),
        ]

    async def test_disabled_here_and_here_only(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        with_mail(house)
        eve = await people.add(house, "eve", Role.VIEWER)
        await people.join(house, eve, house.cast.globex, Role.ADMIN)
        here = people.client(house, eve)
        there = people.client(house, eve, **{"X-Org-Id": house.cast.globex.id})
        key = sent(await there.post("/v1/api-keys", json=KEY), 201)["key"]
        assert (await here.get("/v1/monitors")).status_code == 200
        assert sent(await alice.patch(url(eve), json={"is_active": False}))["is_active"] is False
        named = people.client(house, eve, **{"X-Org-Id": house.cast.acme.id})
        assert (await named.get("/v1/monitors")).status_code == 403
        # Without naming one she is where she may still be.
        assert [row["id"] for row in sent(await here.get("/v1/org/members"))] == [
            house.cast.charlie.id,
            eve.id,
        ]
        assert (await there.post("/v1/monitors", json=SPEC)).status_code == 201
        keyed = house.client(headers={"X-API-Key": key})
        assert (await keyed.get("/v1/monitors")).status_code == 200
        row = next(r for r in sent(await charlie.get("/v1/org/members")) if r["id"] == eve.id)
        assert row["is_active"] is True
        happened = await house.actions(house.cast.globex.id)
        assert happened == ["api_key.created", "monitor.created"]
        assert sent(await alice.patch(url(eve), json={"is_active": True}))["is_active"] is True
        assert (await named.get("/v1/monitors")).status_code == 200
        assert await written(house) == [
            (eve.email, "Your access to Acme was given back to you."),
            (eve.email, "Your access to Acme was taken from you."),
        ]

    async def test_disabled_where_there_is_nothing_else(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        sent(await alice.patch(url(house.cast.bob), json={"is_active": False}))
        assert (await bob.get("/v1/monitors")).status_code == 401
        credentials = {"email": house.cast.bob.email, "password": "seven wandering otters"}
        signed_in = await house.client().post("/v1/auth/login", json=credentials)
        if signed_in.status_code == 200:
            token = sent(signed_in)["access_token"]
            again = house.client(headers={"Authorization": f"Bearer {token}"})
            assert (await again.get("/v1/monitors")).status_code == 401

    async def test_a_disabled_members_keys_rest(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        dora = await people.add(house, "dora", Role.ADMIN)
        made = sent(await people.client(house, dora).post("/v1/api-keys", json=KEY), 201)
        key = house.client(headers={"X-API-Key": made["key"]})
        assert (await key.get("/v1/monitors")).status_code == 200
        sent(await alice.patch(url(dora), json={"is_active": False}))
        assert (await key.get("/v1/monitors")).status_code == 401
        sent(await alice.patch(url(dora), json={"is_active": True}))
        assert (await key.get("/v1/monitors")).status_code == 200

    async def test_nothing_asked_nothing_noted(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        with_mail(house)
        for body in ({}, {"role": "viewer"}, {"role": "viewer", "is_active": True}):
            assert sent(await alice.patch(url(house.cast.bob), json=body))["role"] == "viewer"
        listed = sent(await alice.get("/v1/org/members"))[1]
        sent(await alice.patch(url(house.cast.bob), json=listed))
        assert await house.actions(house.cast.acme.id) == []
        assert await written(house) == []

    @pytest.mark.parametrize(
        ("body", "path", "said"),
        [
            ({"role": "owner"}, "$.role", "'owner' is none of viewer, admin, super_admin"),
            ({"role": 3}, "$.role", "must be text, not a whole number"),
            ({"is_active": "no"}, "$.is_active", "must be true or false, not text"),
            ({"kind": "grant"}, "$.kind", "there is no such field here"),
            ({"org_id": RANDOM}, "$.org_id", "there is no such field here"),
            ({"home_org_id": RANDOM}, "$.home_org_id", "there is no such field here"),
            ({"password_hash": "x"}, "$.password_hash", "there is no such field here"),
        ],
    )
    async def test_problems(
        self, house: Stage, alice: httpx.AsyncClient, body: Any, path: str, said: str
    ) -> None:
        assert errors(await alice.patch(url(house.cast.bob), json=body)) == [(path, said)]
        assert await house.actions(house.cast.acme.id) == []

    async def test_what_is_only_read_is_not_taken(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        more = {"email": "x@x.example", "totp_enabled": True, "is_grant": True, "id": RANDOM}
        found = sent(await alice.patch(url(house.cast.bob), json=more))
        assert (found["id"], found["email"]) == (house.cast.bob.id, house.cast.bob.email)
        assert (found["totp_enabled"], found["is_grant"]) == (False, False)


class TestRefusals:
    async def test_viewers_change_nobody(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        for answer in (
            await bob.patch(url(house.cast.alice), json={"role": "viewer"}),
            await bob.delete(url(house.cast.alice)),
            await bob.post(url(house.cast.alice, "/reset-2fa")),
            await bob.patch(url(house.cast.bob), json={"role": "admin"}),
        ):
            refused(answer)
        assert await house.actions(house.cast.acme.id) == []

    async def test_nobody_changes_themselves(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await people.add(house, "dora", Role.ADMIN)
        me = house.cast.alice
        for answer in (
            await alice.patch(url(me), json={"role": "viewer"}),
            await alice.patch(url(me), json={"role": "super_admin"}),
            await alice.patch(url(me), json={"is_active": False}),
            await alice.delete(url(me)),
            await alice.post(url(me, "/reset-2fa")),
        ):
            assert refused(answer) == SELF
        assert await house.actions(house.cast.acme.id) == []

    async def test_nobody_raises_above_themselves(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        answer = await alice.patch(url(house.cast.bob), json={"role": "super_admin"})
        assert refused(answer) == "Nobody can give more than their own role; yours here is admin"

    async def test_a_super_administrator_is_above_administrators(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN)
        for answer in (
            await alice.patch(url(root), json={"role": "viewer"}),
            await alice.patch(url(root), json={"is_active": False}),
            await alice.delete(url(root)),
            await alice.post(url(root, "/reset-2fa")),
        ):
            said = "Only a super administrator may change or remove a super administrator"
            assert refused(answer) == said
        as_root = people.client(house, root)
        sent(await as_root.patch(url(house.cast.alice), json={"role": "super_admin"}))
        sent(await alice.patch(url(root), json={"role": "viewer"}))

    async def test_a_super_administrator_reaches_every_organization(self, house: Stage) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN)
        there = people.client(house, root, **{"X-Org-Id": house.cast.globex.id})
        assert refused(await there.delete(url(house.cast.charlie)), 409, "LAST_ADMIN") == LAST
        dan = await people.add(house, "dan", Role.VIEWER, house.cast.globex)
        sent(await there.patch(url(dan), json={"role": "admin"}))
        sent(await there.delete(url(house.cast.charlie)))
        assert await house.audit(house.cast.globex.id) == [
            ("member.updated", root.id, f"{root.email} (Acme)"),
            ("member.removed", root.id, f"{root.email} (Acme)"),
        ]

    async def test_a_super_administrator_is_made_at_home(self, house: Stage) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN)
        await people.join(house, house.cast.charlie, house.cast.acme, Role.ADMIN)
        client = people.client(house, root)
        answer = await client.patch(url(house.cast.charlie), json={"role": "super_admin"})
        assert refused(answer) == (
            "A super administrator must be at home in this organization; this person's account "
            "belongs to another one"
        )

    async def test_a_providers_people_are_the_providers(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        acme = house.cast.acme
        client_org = await people.add_org(house, "Initech", parent=acme)
        dora = await people.add(house, "dora", Role.ADMIN, client_org)
        await people.join(house, house.cast.bob, client_org, Role.ADMIN, is_grant=True)
        client = people.client(house, dora)
        rows = {row["id"]: row for row in sent(await client.get("/v1/org/members"))}
        assert rows[house.cast.bob.id]["is_grant"] is True
        for answer in (
            await client.patch(url(house.cast.bob), json={"role": "viewer"}),
            await client.patch(url(house.cast.bob), json={"is_active": False}),
            await client.delete(url(house.cast.bob)),
            await client.post(url(house.cast.bob, "/reset-2fa")),
        ):
            assert refused(answer) == GRANT
        # The provider's administrator, for their part, is one here.
        granted = people.client(house, house.cast.bob, **{"X-Org-Id": client_org.id})
        erin = await people.add(house, "erin", Role.VIEWER, client_org)
        sent(await granted.patch(url(erin), json={"role": "admin"}))

    async def test_the_last_administrator_stays(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        me = house.cast.alice
        for answer in (
            await alice.patch(url(me), json={"role": "viewer"}),
            await alice.patch(url(me), json={"is_active": False}),
            await alice.delete(url(me)),
        ):
            assert refused(answer, 409, "LAST_ADMIN") == LAST
        # A disabled administrator runs nothing.
        dora = await people.add(house, "dora", Role.ADMIN)
        sent(await alice.patch(url(dora), json={"is_active": False}))
        assert refused(await alice.delete(url(me)), 409, "LAST_ADMIN") == LAST
        assert await house.actions(house.cast.acme.id) == ["member.updated"]

    async def test_a_provider_may_leave_a_client_without_administrators(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """As long as somebody of the provider can run it: who is disabled there cannot."""
        client_org = await people.add_org(house, "Initech", parent=house.cast.acme)
        dora = await people.add(house, "dora", Role.ADMIN, client_org)
        erin = await people.add(house, "erin", Role.ADMIN)
        root = await people.add(house, "root", Role.SUPER_ADMIN, house.cast.globex)
        await people.join(house, erin, client_org, Role.ADMIN, is_grant=True)
        there = people.client(house, root, **{"X-Org-Id": client_org.id})
        sent(await alice.patch(url(erin), json={"is_active": False}))
        answer = await there.patch(url(dora), json={"role": "viewer"})
        assert refused(answer, 409, "LAST_ADMIN") == LAST
        sent(await alice.patch(url(erin), json={"is_active": True}))
        granted = people.client(house, erin, **{"X-Org-Id": client_org.id})
        sent(await granted.patch(url(dora), json={"role": "viewer"}))

    async def test_nobody_there(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        for who in (house.cast.charlie.id, RANDOM, "me", "%00"):
            place = f"/v1/org/members/{who}"
            for answer in (
                await alice.patch(place, json={"role": "admin"}),
                await alice.delete(place),
                await alice.post(f"{place}/reset-2fa"),
            ):
                assert refused(answer, 404, "MEMBER_NOT_FOUND")
        assert await house.actions(house.cast.globex.id) == []


class TestRaces:
    """The rules are asked in the transaction that acts, so that two at once cannot both win."""

    @pytest.mark.parametrize("how", ["demote", "disable", "remove"])
    async def test_two_administrators_against_each_other(self, house: Stage, how: str) -> None:
        async def act(client: httpx.AsyncClient, target: Person) -> int:
            if how == "remove":
                return (await client.delete(url(target))).status_code
            body = {"role": "viewer"} if how == "demote" else {"is_active": False}
            return (await client.patch(url(target), json=body)).status_code

        for round_ in range(5):
            org = await people.add_org(house, f"Org{round_}")
            one = await people.add(house, f"one{round_}", Role.ADMIN, org)
            other = await people.add(house, f"other{round_}", Role.ADMIN, org)
            first, second = sorted(
                await asyncio.gather(
                    act(people.client(house, one), other), act(people.client(house, other), one)
                )
            )
            # 401 where the guard saw it already, 403 where the transaction did, 404 where the
            # loser is no member any more.
            assert first == 200
            assert second in {401, 403, 404}
            assert len(await house.house.db.read(_active_admins, org.id)) == 1
            assert len(await house.actions(org.id)) == 1

    async def test_twenty_at_once_leave_one(self, house: Stage) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN, house.cast.globex)
        admins = [house.cast.alice]
        admins += [await people.add(house, f"admin{n}", Role.ADMIN) for n in range(9)]
        client = people.client(house, root, **{"X-Org-Id": house.cast.acme.id})
        answers = await asyncio.gather(
            *(client.patch(url(each), json={"role": "viewer"}) for each in admins),
            *(client.delete(url(each)) for each in admins),
        )
        assert {answer.status_code for answer in answers} <= {200, 404, 409}
        assert len(await house.house.db.read(_active_admins, house.cast.acme.id)) == 1

    async def test_a_role_lost_meanwhile(self, house: Stage, alice: httpx.AsyncClient) -> None:
        """Between the guard and the transaction the actor's role may go."""
        dora = await people.add(house, "dora", Role.ADMIN)
        client = people.client(house, dora)
        bodies = [{"role": "admin"}, {"role": "viewer"}]
        answers = await asyncio.gather(
            alice.patch(url(dora), json={"role": "viewer"}),
            *(client.patch(url(house.cast.bob), json=bodies[n % 2]) for n in range(20)),
        )
        assert answers[0].status_code == 200
        assert (await client.patch(url(house.cast.bob), json=bodies[0])).status_code == 403
        seen = [answer.status_code for answer in answers[1:]]
        assert set(seen) <= {200, 403}


def _active_admins(conn: Conn, org_id: str) -> list[str]:
    rows = conn.all(
        "SELECT user_id FROM memberships WHERE org_id = ? AND is_active"
        " AND role IN ('admin', 'super_admin')",
        (org_id,),
    )
    return [row[0] for row in rows]


KEY = {"name": "Deploy", "scopes": ["monitors:write"]}


class TestRemoval:
    async def test_who_belongs_nowhere_else_is_deleted(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        with_mail(house)
        dora = await people.add(house, "dora", Role.ADMIN)
        client = people.client(house, dora)
        key = sent(await client.post("/v1/api-keys", json=KEY), 201)
        monitor = await make(client)
        asked = sent(
            await client.post("/v1/org/members/invite", json={"email": "erin@x.example"}), 201
        )
        assert sent(await alice.delete(url(dora))) is None
        assert (await client.get("/v1/monitors")).status_code == 401
        keyed = house.client(headers={"X-API-Key": key["key"]})
        assert (await keyed.get("/v1/monitors")).status_code == 401
        assert sent(await alice.get("/v1/api-keys")) == []
        assert sent(await alice.get("/v1/org/invitations")) == []
        assert sent(await alice.get(f"/v1/monitors/{monitor['id']}"))["created_by"] == dora.id
        assert await house.house.db.read(users.get, dora.id) is None
        rows = list(
            zip(
                await house.audit(house.cast.acme.id),
                await house.payloads(house.cast.acme.id),
                strict=True,
            )
        )
        by_dora = [("api_key.created", dora.id), ("monitor.created", dora.id)]
        by_dora += [("invitation.created", dora.id)]
        assert [(row[0], row[1]) for row, _ in rows[:3]] == by_dora
        me = (house.cast.alice.id, house.cast.alice.email)
        assert [row for row, _ in rows[3:]] == [
            ("member.removed", *me),
            ("api_key.revoked", *me),
            ("invitation.revoked", *me),
        ]
        assert rows[3][1] == {
            "before": {"email": dora.email, "role": "admin", "is_active": True},
            "after": None,
        }
        assert rows[4][1]["before"]["prefix"] == key["prefix"]
        assert key["key"] not in str(rows)
        assert rows[5][1]["before"] == {"email": "erin@x.example", "role": "viewer"}
        assert asked["url"].rpartition("/")[2] not in str(rows)
        assert await written(house) == [(dora.email, "You were removed from Acme.")]
        # The address is free again.
        sent(await alice.post("/v1/org/members/invite", json={"email": dora.email}), 201)

    async def test_a_home_moves_to_where_one_still_belongs(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        eve = await people.add(house, "eve", Role.VIEWER)
        disabled = await people.add_org(house, "Initech")
        later = await people.add_org(house, "Umbrella")
        granted = await people.add_org(house, "Client")
        await people.join(house, eve, granted, Role.ADMIN, is_grant=True, at=START - 2)
        await people.join(house, eve, disabled, Role.ADMIN, at=START - 1)
        await people.join(house, eve, later, Role.VIEWER, at=START + 2)
        await people.join(house, eve, house.cast.globex, Role.VIEWER, at=START + 1)
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET is_active = 0 WHERE org_id = ?", (disabled.id,)
            )
        )
        sent(await alice.delete(url(eve)))
        moved = await house.house.db.read(users.get, eve.id)
        assert moved is not None
        assert moved.home_org_id == house.cast.globex.id
        assert moved.is_active
        # The sign-in stands, and is at home there now.
        found = sent(await people.client(house, eve).get("/v1/org"))
        assert found["id"] == house.cast.globex.id
        assert await house.actions(house.cast.globex.id) == []

    async def test_a_guest_keeps_their_home(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await people.join(house, house.cast.charlie, house.cast.acme, Role.ADMIN)
        sent(await alice.delete(url(house.cast.charlie)))
        kept = await house.house.db.read(users.get, house.cast.charlie.id)
        assert kept is not None
        assert kept.home_org_id == house.cast.globex.id

    async def test_where_only_a_disabled_membership_is_left(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        eve = await people.add(house, "eve", Role.VIEWER)
        await people.join(house, eve, house.cast.globex, Role.VIEWER)
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET is_active = 0 WHERE user_id = ? AND org_id = ?",
                (eve.id, house.cast.globex.id),
            )
        )
        sent(await alice.delete(url(eve)))
        kept = await house.house.db.read(users.get, eve.id)
        assert kept is not None
        assert kept.home_org_id == house.cast.globex.id
        assert (await people.client(house, eve).get("/v1/monitors")).status_code == 401

    async def test_who_leaves_the_provider_leaves_its_clients(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        acme, bob = house.cast.acme, house.cast.bob
        client_org = await people.add_org(house, "Initech", parent=acme)
        await people.join(house, bob, client_org, Role.ADMIN, is_grant=True)
        there = people.client(house, bob, **{"X-Org-Id": client_org.id})
        key = sent(await there.post("/v1/api-keys", json=KEY), 201)["key"]
        sent(await there.post("/v1/org/members/invite", json={"email": "mole@x.example"}), 201)
        sent(await alice.delete(url(bob)))
        assert (await there.get("/v1/monitors")).status_code == 401
        keyed = house.client(headers={"X-API-Key": key})
        assert (await keyed.get("/v1/monitors")).status_code == 401
        # The client's log says whose people did it.
        me = (house.cast.alice.id, f"{house.cast.alice.email} (Acme)")
        assert (await house.audit(client_org.id))[2:] == [
            ("api_key.revoked", *me),
            ("invitation.revoked", *me),
            ("grant.ended", *me),
        ]
        assert await house.house.db.read(invitations.count_open, client_org.id, START) == 0

    async def test_who_loses_a_role_loses_what_they_opened_with_it(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        for name, change in (("dora", {"role": "viewer"}), ("dan", {"is_active": False})):
            dora = await people.add(house, name, Role.ADMIN)
            client = people.client(house, dora)
            body = {"email": "mole@x.example", "role": "admin"}
            made = sent(await client.post("/v1/org/members/invite", json=body), 201)
            sent(await alice.patch(url(dora), json=change))
            token = made["url"].rpartition("/")[2]
            answer = await house.client().post(
                "/v1/auth/invitations/accept", json={"token": token, "password": "x" * 20}
            )
            assert answer.status_code == 404
            assert (await house.actions(house.cast.acme.id))[-2:] == [
                "member.updated",
                "invitation.revoked",
            ]


class TestSecondFactor:
    async def on(self, house: Stage, person: Person) -> None:
        """Turn somebody's second factor on."""

        def work(conn: Conn) -> None:
            second_factors.begin(conn, person.id, "JBSWY3DPEHPK3PXP", START)
            assert second_factors.turn_on(conn, person.id, 1, START)

        await house.house.db.write(work)

    async def test_reset(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        with_mail(house)
        who = house.cast.bob
        await self.on(house, who)
        assert sent(await alice.get("/v1/org/members"))[1]["totp_enabled"] is True
        assert (await bob.get("/v1/monitors")).status_code == 200
        found = sent(await alice.post(url(who, "/reset-2fa")))
        assert (found["id"], found["totp_enabled"]) == (who.id, False)
        assert (await bob.get("/v1/monitors")).status_code == 401
        assert await house.house.db.read(second_factors.secret, who.id) is None
        assert await house.audit(house.cast.acme.id) == [
            ("member.second_factor_reset", house.cast.alice.id, house.cast.alice.email)
        ]
        assert await house.payloads(house.cast.acme.id) == [
            {
                "before": {"email": who.email, "totp_enabled": True},
                "after": {"email": who.email, "totp_enabled": False},
            }
        ]
        assert await written(house) == [
            (who.email, "Your second factor was reset, and all your sessions have ended.")
        ]

    async def test_only_at_home(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await people.join(house, house.cast.charlie, house.cast.acme, Role.VIEWER)
        await self.on(house, house.cast.charlie)
        answer = await alice.post(url(house.cast.charlie, "/reset-2fa"))
        assert refused(answer) == (
            "This person's account is at home in another organization; only there can its second "
            "factor be reset"
        )
        assert await house.house.db.read(second_factors.secret, house.cast.charlie.id) is not None


class TestKeys:
    async def key(self, client: httpx.AsyncClient, house: Stage, *scopes: str) -> Any:
        body = {"name": "Ops", "scopes": list(scopes)}
        made = sent(await client.post("/v1/api-keys", json=body), 201)
        return house.client(headers={"X-API-Key": made["key"]})

    async def test_what_a_key_may_do(self, house: Stage, alice: httpx.AsyncClient) -> None:
        reader = await self.key(alice, house, "org:read")
        writer = await self.key(alice, house, "org:write")
        assert len(sent(await reader.get("/v1/org/members"))) == 2
        refused(await reader.patch(url(house.cast.bob), json={"role": "admin"}))
        sent(await writer.patch(url(house.cast.bob), json={"role": "admin"}))
        assert (await house.audit(house.cast.acme.id))[-1][0:2] == (
            "member.updated",
            house.cast.alice.id,
        )
        # Its maker is who acts: it cannot raise or lower them.
        assert (
            refused(await writer.patch(url(house.cast.alice), json={"role": "super_admin"})) == SELF
        )
        said = "No API key is taken here; sign in as a person"
        assert refused(await writer.post(url(house.cast.bob, "/reset-2fa"))) == said
        assert refused(await writer.post("/v1/api-keys", json=KEY)) == said

    async def test_a_super_administrators_key_is_an_administrator(self, house: Stage) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN)
        other = await people.add(house, "other", Role.SUPER_ADMIN)
        key = await self.key(people.client(house, root), house, "org:write")
        answer = await key.patch(url(house.cast.bob), json={"role": "super_admin"})
        assert refused(answer) == "Nobody can give more than their own role; yours here is admin"
        said = "Only a super administrator may change or remove a super administrator"
        assert refused(await key.delete(url(other))) == said
        assert refused(await key.patch(url(other), json={"role": "viewer"})) == said

    @pytest.mark.parametrize("removed", [False, True])
    async def test_those_of_a_super_administrator_in_every_organization(
        self, house: Stage, bob: httpx.AsyncClient, removed: bool
    ) -> None:
        globex = house.cast.globex
        root = await people.add(house, "root", Role.SUPER_ADMIN, globex)
        other = await people.add(house, "other", Role.SUPER_ADMIN, globex)
        there = people.client(house, root, **{"X-Org-Id": house.cast.acme.id})
        key = await self.key(there, house, "org:read")
        body = {"email": "new@acme.example", "role": "admin"}
        sent(await there.post("/v1/org/members/invite", json=body), 201)
        before = len(await house.actions(house.cast.acme.id))
        as_other = people.client(house, other)
        if removed:
            sent(await as_other.delete(url(root)))
        else:
            sent(await as_other.patch(url(root), json={"role": "admin"}))
        assert (await key.get("/v1/org/members")).status_code == 401
        label = f"{other.email} (Globex)"
        assert (await house.audit(house.cast.acme.id))[before:] == [
            ("api_key.revoked", other.id, label),
            ("invitation.revoked", other.id, label),
        ]
        if not removed:
            # As a super administrator again, they have none of it back.
            sent(await as_other.patch(url(root), json={"role": "super_admin"}))
            assert (await key.get("/v1/org/members")).status_code == 401

    @pytest.mark.parametrize("change", [{"role": "viewer"}, {"is_active": False}])
    async def test_invitations_into_clients_fall_with_the_providers_role(
        self, house: Stage, alice: httpx.AsyncClient, change: dict[str, Any]
    ) -> None:
        shop = await people.add_org(house, "Shop", parent=house.cast.acme)
        dora = await people.add(house, "dora", Role.ADMIN)
        await people.join(house, dora, shop, Role.ADMIN, is_grant=True)
        there = people.client(house, dora, **{"X-Org-Id": shop.id})
        body = {"email": "new@shop.example", "role": "admin"}
        made = sent(await there.post("/v1/org/members/invite", json=body), 201)
        sent(await alice.patch(url(dora), json=change))
        token = made["url"].rpartition("/")[2]
        assert (await house.client().get(f"/invitations/{token}")).status_code == 404
        assert (await house.audit(shop.id))[-1] == (
            "invitation.revoked",
            house.cast.alice.id,
            f"{house.cast.alice.email} (Acme)",
        )

    async def test_it_falls_with_its_maker(self, house: Stage, alice: httpx.AsyncClient) -> None:
        dora = await people.add(house, "dora", Role.ADMIN)
        key = await self.key(people.client(house, dora), house, "org:write")
        sent(await key.patch(url(house.cast.bob), json={"role": "admin"}))
        sent(await alice.patch(url(dora), json={"role": "viewer"}))
        refused(await key.patch(url(house.cast.bob), json={"role": "viewer"}))
        assert len(sent(await key.get("/v1/org/members"))) == 3


async def test_a_page_session_of_somebody_removed_leads_home(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    """A browser that showed the organization goes on where its person still belongs."""
    charlie = house.cast.charlie
    await people.join(house, charlie, house.cast.acme, Role.VIEWER)
    browser = house.client()
    form = {"email": charlie.email, "password": "seven wandering otters"}
    assert (await browser.post("/login", data=form)).status_code == 303
    await house.house.db.write(
        lambda conn: conn.execute(
            "UPDATE sessions SET org_id = ? WHERE user_id = ?", (house.cast.acme.id, charlie.id)
        )
    )
    assert f'data-org="{house.cast.acme.id}"' in (await browser.get("/monitors")).text
    sent(await alice.delete(url(charlie)))
    assert f'data-org="{charlie.org.id}"' in (await browser.get("/monitors")).text
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(HOUR // 1000)
    assert (await browser.get("/monitors")).status_code == 200
