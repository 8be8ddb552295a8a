"""/v1/auth/me and /v1/auth/password: what somebody may know and change of their own account."""

from __future__ import annotations

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.model.org import Org
from netpulse.model.time import rfc3339
from netpulse.model.user import Membership, Role
from netpulse.storage import known_addresses, orgs, users
from netpulse.storage.db import Conn
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import Opener, Stage
from tests.sign_ins import clock_of, error, login, problems, signed_in, told, with_mail, written

ALICE = "alice@acme.example"


class TestMe:
    async def test_answer(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        answer = await client.get("/v1/auth/me")
        assert answer.status_code == 200
        acme = house.cast.acme
        assert answer.json()["data"] == {
            "user": {
                "id": house.cast.alice.id,
                "email": ALICE,
                "role": "admin",
                "totp_enabled": False,
                "recovery_codes_left": 0,
                "ip_whitelist": [],
                "last_login_at": rfc3339(START),
                "password_changed_at": None,
                "created_at": rfc3339(START),
            },
            "organization": {"id": acme.id, "name": "Acme", "slug": "acme"},
            "organizations": [{"id": acme.id, "name": "Acme", "slug": "acme", "role": "admin"}],
        }

    async def test_where_somebody_may_act(self, house: Stage, alice: httpx.AsyncClient) -> None:
        cast = house.cast
        closed = Org(
            id="019b0000-0000-7000-8000-00000000c105",
            name="Closed",
            slug="closed",
            created_at=START,
        )
        gone = Org(
            id="019b0000-0000-7000-8000-00000000906e",
            name="Gone",
            slug="gone",
            created_at=START,
            deleted_at=START,
        )

        def write(conn: Conn) -> None:
            for org in (closed, gone):
                orgs.insert(conn, org)
            for org_id, role, active in (
                (cast.globex.id, Role.VIEWER, True),
                (closed.id, Role.ADMIN, False),
                (gone.id, Role.ADMIN, True),
            ):
                member = Membership(
                    user_id=cast.alice.id, org_id=org_id, role=role, is_active=active
                )
                users.put_membership(conn, member)

        await house.house.db.write(write)
        there = await alice.get("/v1/auth/me", headers={"X-Org-Id": cast.globex.id})
        data = there.json()["data"]
        assert data["user"]["role"] == "viewer"
        assert data["organization"]["slug"] == "globex"
        assert [(each["slug"], each["role"]) for each in data["organizations"]] == [
            ("acme", "admin"),
            ("globex", "viewer"),
        ]

    async def test_a_super_administrator_may_act_everywhere(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET role = 'super_admin' WHERE user_id = ?",
                (house.cast.alice.id,),
            )
        )
        data = (await alice.get("/v1/auth/me")).json()["data"]
        assert [(each["slug"], each["role"]) for each in data["organizations"]] == [
            ("acme", "super_admin"),
            ("globex", "super_admin"),
        ]


async def test_another_password_leaves_only_the_address_it_came_from(house: Stage) -> None:
    for ip in ("203.0.113.66", "192.0.2.10"):
        client = await signed_in(house, ALICE, ip=ip)
    body = {"current_password": PASSWORD, "new_password": "nine patient herons"}
    assert (await client.post("/v1/auth/password", json=body)).status_code == 200
    alice = house.cast.alice.id
    assert await house.house.db.read(known_addresses.is_known, alice, "192.0.2.10")
    assert not await house.house.db.read(known_addresses.is_known, alice, "203.0.113.66")


class TestAddresses:
    async def test_set_and_cleared(self, house: Stage) -> None:
        with_mail(house)
        client = await signed_in(house, ALICE)
        body = {
            "ip_whitelist": [" 192.0.2.0/24", "2001:DB8::/32", "192.0.2.0/24"],
            "current_password": PASSWORD,
        }
        answer = await client.patch("/v1/auth/me", json=body)
        assert answer.status_code == 200, answer.text
        wanted = ["192.0.2.0/24", "2001:db8::/32"]
        assert answer.json()["data"]["user"]["ip_whitelist"] == wanted
        assert (await client.get("/v1/auth/me")).json()["data"]["user"]["ip_whitelist"] == wanted
        # It counts at the next request, for keys too, and at sign-in.
        away = house.client(ip="203.0.113.5", headers=dict(client.headers))
        refused = await away.get("/v1/monitors")
        assert error(refused) == (403, "FORBIDDEN")
        assert refused.json()["error"]["message"] == (
            "You may not come from this address: it is not on the list of addresses that you "
            "allowed for your account"
        )
        assert error(await login(house.client(ip="203.0.113.5"), ALICE)) == (401, "LOGIN_FAILED")
        six = house.client(ip="2001:db8::7", headers=dict(client.headers))
        assert (await six.get("/v1/monitors")).status_code == 200
        key = await client.post("/v1/api-keys", json={"name": "K", "scopes": ["monitors:read"]})
        signed = {"X-API-Key": key.json()["data"]["key"]}
        assert (
            await house.client(ip="203.0.113.5").get("/v1/monitors", headers=signed)
        ).status_code == 403
        assert (
            await house.client(ip="192.0.2.9").get("/v1/monitors", headers=signed)
        ).status_code == 200

        said = "The addresses from which your account may be used were changed."
        assert said in await told(house)
        rows = dict(
            zip(
                await house.actions(house.cast.acme.id),
                await house.payloads(house.cast.acme.id),
                strict=True,
            )
        )
        assert rows["user.addresses_changed"] == {
            "before": {"ip_whitelist": []},
            "after": {"ip_whitelist": wanted},
        }
        cleared = await client.patch(
            "/v1/auth/me", json={"ip_whitelist": [], "current_password": PASSWORD}
        )
        assert cleared.json()["data"]["user"]["ip_whitelist"] == []
        assert (await login(house.client(ip="203.0.113.5"), ALICE)).status_code == 200

    async def test_nobody_locks_themselves_out(self, house: Stage) -> None:
        client = await signed_in(house, ALICE, ip="192.0.2.10")
        for entries in (["203.0.113.0/24"], ["192.0.2.11", "2001:db8::/32"], ["::/0"]):
            body = {"ip_whitelist": entries, "current_password": PASSWORD}
            answer = await client.patch("/v1/auth/me", json=body)
            assert problems(answer) == [
                (
                    "$.ip_whitelist",
                    "your own address 192.0.2.10 is not in it, and you would be locked out",
                )
            ]
        body = {"ip_whitelist": ["192.0.2.10"], "current_password": PASSWORD}
        assert (await client.patch("/v1/auth/me", json=body)).status_code == 200

    async def test_behind_a_proxy_the_clients_own_address_counts(self, open_stage: Opener) -> None:
        stage = await open_stage(config=Config(server=Server(trusted_proxies=("192.0.2.0/24",))))
        client = stage.client(
            headers=stage.cast.alice.headers | {"X-Forwarded-For": "198.51.100.7, 203.0.113.5"}
        )
        for entry, status in (("192.0.2.10", 400), ("198.51.100.7", 400), ("203.0.113.5", 200)):
            body = {"ip_whitelist": [entry], "current_password": PASSWORD}
            assert (await client.patch("/v1/auth/me", json=body)).status_code == status, entry
        # Whoever is no proxy may write what they like.
        liar = stage.client(
            ip="198.51.100.9",
            headers=stage.cast.alice.headers | {"X-Forwarded-For": "203.0.113.5"},
        )
        assert (await liar.get("/v1/auth/me")).status_code == 403

    async def test_what_is_wrong_with_it(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)

        async def send(entries: object, **more: object) -> list[tuple[str, str]]:
            body = {"ip_whitelist": entries, "current_password": PASSWORD} | more
            return problems(await client.patch("/v1/auth/me", json=body))

        assert await send(["192.0.2.10", "home", "192.0.2.7/24"]) == [
            (
                "$.ip_whitelist[1]",
                "'home' is no address or network such as 192.0.2.7 or 192.0.2.0/24",
            ),
            (
                "$.ip_whitelist[2]",
                "'192.0.2.7/24' has bits beyond its prefix; did you mean 192.0.2.0/24?",
            ),
        ]
        assert await send(["192.0.2.10"] * 51) == [
            ("$.ip_whitelist", "there are more than 50 entries")
        ]
        assert await send(["192.0.2.10"], current_password="not the password") == [
            ("$.current_password", "this is not your password")
        ]
        assert await send(["192.0.2.10"], role="super_admin", email="x@y.example") == [
            ("$.role", "there is no such field here"),
            ("$.email", "there is no such field here"),
        ]
        missing = await client.patch("/v1/auth/me", json={"ip_whitelist": []})
        assert problems(missing) == [("$.current_password", "this field is required")]
        assert (await client.get("/v1/auth/me")).json()["data"]["user"]["ip_whitelist"] == []


class TestPassword:
    @pytest.mark.parametrize(
        ("new", "message"),
        [
            ("short", "the password needs at least 12 characters"),
            ("password1234", "this password is among the most common ones; choose another"),
            (ALICE, "the password must not be the email address"),
            ("ä" * 600, "the password is longer than 1024 bytes"),
            (PASSWORD, "the new password is the one that you have"),
        ],
    )
    async def test_what_is_not_taken(
        self, house: Stage, alice: httpx.AsyncClient, new: str, message: str
    ) -> None:
        body = {"current_password": PASSWORD, "new_password": new}
        answer = await alice.post("/v1/auth/password", json=body)
        assert problems(answer) == [("$.new_password", message)]
        assert (await login(house.client(), ALICE)).status_code == 200

    async def test_ten_kilobytes(self, alice: httpx.AsyncClient) -> None:
        for body in (
            {"current_password": PASSWORD, "new_password": "x" * 10_240},
            {"current_password": "x" * 10_240, "new_password": "eleven brave walruses"},
            {"current_password": "x" * 9_000, "new_password": "eleven brave walruses"},
        ):
            assert error(await alice.post("/v1/auth/password", json=body)) == (
                400,
                "VALIDATION_FAILED",
            )

    async def test_a_session_that_guesses_is_stopped(self, house: Stage) -> None:
        clock = clock_of(house)
        client = await signed_in(house, ALICE)
        body = {"current_password": "not the password", "new_password": "eleven brave walruses"}
        for _ in range(5):
            answer = await client.post("/v1/auth/password", json=body)
            assert problems(answer) == [("$.current_password", "this is not your password")]
        right = body | {"current_password": PASSWORD}
        answer = await client.post("/v1/auth/password", json=right)
        assert error(answer) == (429, "TOO_MANY_REQUESTS")
        assert answer.headers["retry-after"] == "900"
        assert answer.json()["error"]["message"] == (
            "Too many wrong passwords for your account; wait as long as Retry-After says"
        )
        # From another session too, but it keeps nobody from signing in.
        other = await signed_in(house, ALICE)
        answer = await other.post("/v1/auth/password", json=right)
        assert error(answer) == (429, "TOO_MANY_REQUESTS")
        clock.advance(900)
        fresh = await signed_in(house, ALICE)
        assert (await fresh.post("/v1/auth/password", json=right)).status_code == 200
        actions = await house.actions(house.cast.acme.id)
        assert actions.count("auth.proof_refused") == 5

    async def test_who_is_in_another_organization_is_noted_at_home(self, house: Stage) -> None:
        cast = house.cast

        def write(conn: Conn) -> None:
            member = Membership(user_id=cast.alice.id, org_id=cast.globex.id, role=Role.VIEWER)
            users.put_membership(conn, member)

        await house.house.db.write(write)
        client = await signed_in(house, ALICE)
        answer = await client.post(
            "/v1/auth/password",
            headers={"X-Org-Id": cast.globex.id},
            json={"current_password": PASSWORD, "new_password": "eleven brave walruses"},
        )
        assert answer.status_code == 200
        assert await house.actions(cast.globex.id) == []
        assert await house.actions(cast.acme.id) == ["auth.logged_in", "user.password_changed"]


async def test_no_letter_without_a_mail_server(house: Stage) -> None:
    client = await signed_in(house, ALICE)
    body = {"current_password": PASSWORD, "new_password": "eleven brave walruses"}
    assert (await client.post("/v1/auth/password", json=body)).status_code == 200
    assert await written(house) == []
