"""Registering, signing in and out, and everything that must not work."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import jwt
import pytest

from netpulse.config import Auth, Config
from netpulse.model.time import DAY, MINUTE, rfc3339
from netpulse.storage import orgs, users
from netpulse.web import sign_in
from tests.cast import PASSWORD, SIGNER
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage

OWNER = {"email": "Dora@Initech.example", "password": "nine quiet pelicans", "org_name": "Initech"}


async def login(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/v1/auth/login", json={"email": email, "password": password})


def cookie(response: httpx.Response, name: str) -> str:
    return next(
        line for line in response.headers.get_list("set-cookie") if line.startswith(name + "=")
    )


class TestRegister:
    async def test_first(self, open_stage: Opener) -> None:
        stage = await open_stage(people=False)
        token = stage.house.setup_token.value
        client = stage.client()
        answer = await client.post("/v1/auth/register", json={**OWNER, "setup_token": token})
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert body["success"] is True
        assert set(body["data"]) == {"user", "organization"}
        assert body["data"]["user"]["email"] == "dora@initech.example"
        assert body["data"]["user"]["role"] == "super_admin"
        assert body["data"]["organization"]["slug"] == "initech"
        assert "token" not in answer.text
        assert "password" not in answer.text
        assert "set-cookie" not in answer.headers
        org_id = body["data"]["organization"]["id"]
        assert await stage.actions(org_id) == ["org.created", "user.created"]
        assert {user for _, user, _ in await stage.audit(org_id)} == {body["data"]["user"]["id"]}
        assert not (stage.data / "setup-token").exists()
        again = await client.post("/v1/auth/register", json={**OWNER, "setup_token": token})
        assert again.status_code == 403
        assert again.json()["error"]["code"] == "REGISTRATION_CLOSED"
        assert (await login(client, "dora@initech.example", OWNER["password"])).status_code == 200

    @pytest.mark.parametrize("token", [None, "", "wrong", "ü"])
    async def test_without_the_token(self, open_stage: Opener, token: str | None) -> None:
        stage = await open_stage(people=False)
        answer = await stage.client().post(
            "/v1/auth/register", json={**OWNER, "setup_token": token}
        )
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "FORBIDDEN"
        assert await stage.house.db.read(users.count) == 0
        assert stage.house.setup_token.value is not None

    async def test_fifty_at_once_make_one_owner(self, open_stage: Opener) -> None:
        stage = await open_stage(people=False)
        token = stage.house.setup_token.value

        async def one(number: int) -> int:
            client = stage.client(ip=f"198.51.100.{number}")
            body = {**OWNER, "email": f"owner{number}@initech.example", "setup_token": token}
            return (await client.post("/v1/auth/register", json=body)).status_code

        statuses = await asyncio.gather(*(one(number) for number in range(50)))
        assert sorted(statuses) == [201] + [403] * 49
        assert await stage.house.db.read(users.count) == 1

    async def test_every_problem_at_once(self, open_stage: Opener) -> None:
        stage = await open_stage(people=False)
        answer = await stage.client().post(
            "/v1/auth/register",
            json={
                "email": "nobody",
                "password": "short",
                "org_name": "  ",
                "setup_token": stage.house.setup_token.value,
            },
        )
        assert answer.status_code == 400
        errors = answer.json()["error"]["details"]["errors"]
        assert [error["path"] for error in errors] == ["$.email", "$.password", "$.org_name"]

    async def test_a_password_of_ten_kilobytes(self, open_stage: Opener) -> None:
        stage = await open_stage(people=False)
        body = {**OWNER, "password": "x" * 10_000, "setup_token": stage.house.setup_token.value}
        answer = await stage.client().post("/v1/auth/register", json=body)
        assert answer.status_code == 400

    async def test_closed_then_open(self, open_stage: Opener) -> None:
        stage = await open_stage()
        answer = await stage.client().post("/v1/auth/register", json=OWNER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "REGISTRATION_CLOSED")

    async def test_open(self, open_stage: Opener) -> None:
        stage = await open_stage(config=Config(auth=Auth(registration="open")))
        client = stage.client()
        answer = await client.post("/v1/auth/register", json=OWNER)
        assert answer.status_code == 201
        assert answer.json()["data"]["user"]["role"] == "admin"
        taken = await client.post("/v1/auth/register", json=OWNER)
        assert (taken.status_code, taken.json()["error"]["code"]) == (409, "EMAIL_TAKEN")
        second = await client.post(
            "/v1/auth/register", json={**OWNER, "email": "erin@initech.example"}
        )
        assert second.json()["data"]["organization"]["slug"] == "initech-2"

    async def test_twenty_at_once_with_one_address_make_one(self, open_stage: Opener) -> None:
        stage = await open_stage(config=Config(auth=Auth(registration="open")))
        before = await stage.house.db.read(orgs.count)
        answers = await asyncio.gather(
            *(
                stage.client(ip=f"198.51.100.{number}").post("/v1/auth/register", json=OWNER)
                for number in range(20)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert await stage.house.db.read(orgs.count) == before + 1


class TestLogin:
    async def test_answer(self, house: Stage) -> None:
        client = house.client()
        answer = await login(client, "  ALICE@acme.example ")
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert set(data) == {"access_token", "token_type", "expires_in"}
        assert (data["token_type"], data["expires_in"]) == ("Bearer", 900)
        refresh = cookie(answer, "np_refresh")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/v1/auth", "Max-Age=604800"):
            assert part in refresh
        assert "Secure" not in refresh
        assert "no-store" in answer.headers["cache-control"]
        assert await house.audit(house.cast.acme.id) == [
            ("auth.logged_in", house.cast.alice.id, "alice@acme.example")
        ]
        headers = {"Authorization": f"Bearer {data['access_token']}"}
        assert (await client.get("/v1/monitors", headers=headers)).status_code == 200
        claims = jwt.decode(data["access_token"], options={"verify_signature": False})
        assert "role" not in json.dumps(claims)
        assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}

    async def test_wrong_unknown_and_disabled_look_alike(self, house: Stage) -> None:
        await house.house.db.write(users.set_active, house.cast.bob.id, False, 1)
        answers = [
            await login(house.client(ip="192.0.2.1"), "alice@acme.example", "not the password"),
            await login(house.client(ip="192.0.2.2"), "nobody@acme.example"),
            await login(house.client(ip="192.0.2.3"), "bob@acme.example"),
            await login(house.client(ip="192.0.2.4"), "no address at all"),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        assert await house.audit(house.cast.acme.id) == [
            ("auth.login_failed", None, "alice@acme.example"),
            ("auth.login_failed", None, "bob@acme.example"),
        ]

    async def test_five_failures_close_the_door_across_a_restart(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        client = stage.client(ip="203.0.113.9")
        for _ in range(5):
            assert (await login(client, "alice@acme.example", "wrong wrong")).status_code == 401
            clock.advance(1)
        blocked = await login(client, "alice@acme.example")
        assert blocked.status_code == 429
        assert blocked.json()["error"]["code"] == "TOO_MANY_REQUESTS"
        # The first failure leaves the window of ten minutes after 595 s.
        assert int(blocked.headers["retry-after"]) == 595
        assert (
            await login(stage.client(ip="203.0.113.10"), "alice@acme.example")
        ).status_code == 200
        data = stage.data
        await stage.house.db.close()
        later = await open_stage(data=data, clock=clock)
        client = later.client(ip="203.0.113.9")
        assert (await login(client, "alice@acme.example")).status_code == 429
        clock.advance(595)
        assert (await login(client, "alice@acme.example")).status_code == 200

    async def test_a_burst_is_counted_one_by_one(self, house: Stage) -> None:
        client = house.client(ip="203.0.113.9")
        answers = await asyncio.gather(
            *(login(client, "alice@acme.example", "wrong wrong") for _ in range(12))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [401] * 5 + [429] * 7

    async def test_an_ipv6_network_is_one_address(self, house: Stage) -> None:
        for number in range(5):
            client = house.client(ip=f"2001:db8:1:2::{number}")
            await login(client, "alice@acme.example", "wrong wrong")
        same = house.client(ip="2001:db8:1:2:ffff::1")
        assert (await login(same, "alice@acme.example")).status_code == 429
        other = house.client(ip="2001:db8:1:3::1")
        assert (await login(other, "alice@acme.example")).status_code == 200

    async def test_a_spoofed_forwarded_for_opens_no_door(self, house: Stage) -> None:
        for number in range(5):
            client = house.client(headers={"X-Forwarded-For": f"198.51.100.{number}"})
            await login(client, "alice@acme.example", "wrong wrong")
        client = house.client(headers={"X-Forwarded-For": "198.51.100.200"})
        assert (await login(client, "alice@acme.example")).status_code == 429


class TestTokens:
    async def ask(self, stage: Stage, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await stage.client().get("/v1/monitors", headers=headers)

    async def test_forged_tokens(self, house: Stage) -> None:
        good = house.cast.alice.token
        claims = jwt.decode(good, options={"verify_signature": False})
        key = SIGNER._key
        header, payload, signature = good.split(".")

        def b64(value: dict[str, Any]) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        forged = {
            "none": f"{b64({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.",
            "no signature": f"{header}.{payload}.",
            "other payload": f"{header}.{b64({**claims, 'sub': house.cast.charlie.id})}.{signature}",
            "other algorithm": jwt.encode(
                claims, key + b"0" * 32, algorithm="HS512", headers={"typ": "at+jwt"}
            ),
            "other key": jwt.encode(
                claims, b"another key of thirty-two bytes!!", headers={"typ": "at+jwt"}
            ),
            "other type": jwt.encode(claims, key, headers={"typ": "JWT"}),
            "crit": jwt.encode(claims, key, headers={"typ": "at+jwt", "crit": ["x"], "x": 1}),
            "issuer": jwt.encode({**claims, "iss": "net"}, key, headers={"typ": "at+jwt"}),
            "audience": jwt.encode({**claims, "aud": "other"}, key, headers={"typ": "at+jwt"}),
            "garbage": "a.b.c",
            "empty": "",
            "no exp": jwt.encode(
                {k: v for k, v in claims.items() if k != "exp"}, key, headers={"typ": "at+jwt"}
            ),
        }
        for what, token in forged.items():
            answer = await self.ask(house, token)
            assert answer.status_code == 401, what
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await self.ask(house, good)).status_code == 200

    async def test_a_refresh_token_is_no_access_token(self, house: Stage) -> None:
        client = house.client()
        answer = await login(client, "alice@acme.example")
        refresh = cookie(answer, "np_refresh").split(";")[0].split("=")[1]
        assert (await self.ask(house, refresh)).status_code == 401
        access = answer.json()["data"]["access_token"]
        other = house.client(cookies={"np_refresh": access})
        assert (await other.post("/v1/auth/refresh")).status_code == 401

    async def test_it_expires(self, house: Stage) -> None:
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(899)
        assert (await self.ask(house, house.cast.alice.token)).status_code == 200
        clock.advance(2)
        assert (await self.ask(house, house.cast.alice.token)).status_code == 401

    async def test_a_disabled_user_is_out_at_once(self, house: Stage) -> None:
        await house.house.db.write(users.set_active, house.cast.alice.id, False, 1)
        assert (await self.ask(house, house.cast.alice.token)).status_code == 401

    async def test_a_changed_role_counts_at_once(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET role = 'viewer' WHERE user_id = ?", (house.cast.alice.id,)
            )
        )
        answer = await alice.post("/v1/monitors", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")

    async def test_another_organization(self, house: Stage, alice: httpx.AsyncClient) -> None:
        random = "019b0000-0000-7000-8000-000000000000"
        answers = [
            await alice.get("/v1/monitors", headers={"X-Org-Id": org_id})
            for org_id in (house.cast.globex.id, random, "nonsense")
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert len({answer.content for answer in answers}) == 1
        await house.house.db.write(
            lambda conn: conn.execute(
                "INSERT INTO memberships (user_id, org_id, role) VALUES (?, ?, 'viewer')",
                (house.cast.alice.id, house.cast.globex.id),
            )
        )
        there = {"X-Org-Id": house.cast.globex.id}
        assert (await alice.get("/v1/monitors", headers=there)).status_code == 200
        assert (await alice.post("/v1/monitors", headers=there, json={})).status_code == 403


class TestRefresh:
    async def test_rotation_and_reuse(self, house: Stage) -> None:
        client = house.client()
        first = await login(client, "alice@acme.example")
        stolen = cookie(first, "np_refresh").split(";")[0].split("=")[1]
        second = await client.post("/v1/auth/refresh")
        assert second.status_code == 200
        assert cookie(second, "np_refresh").split(";")[0].split("=")[1] != stolen
        access = second.json()["data"]["access_token"]
        headers = {"Authorization": f"Bearer {access}"}
        assert (await client.get("/v1/monitors", headers=headers)).status_code == 200
        thief = house.client(cookies={"np_refresh": stolen})
        reused = await thief.post("/v1/auth/refresh")
        assert reused.status_code == 401
        # The whole family is dead now: the honest one's cookie and access token too.
        assert (await client.post("/v1/auth/refresh")).status_code == 401
        assert (await client.get("/v1/monitors", headers=headers)).status_code == 401
        # Shown again and again it ends nothing further, and fills no log.
        for _ in range(3):
            again = await thief.post("/v1/auth/refresh", headers={"Cookie": f"np_refresh={stolen}"})
            assert again.json()["error"]["message"] == reused.json()["error"]["message"]
        actions = await house.actions(house.cast.acme.id)
        assert actions == ["auth.logged_in", "auth.refresh_reused"]

    async def test_ninety_days_however_often_it_is_renewed(self, house: Stage) -> None:
        client, clock = house.client(), house.house.clock
        assert isinstance(clock, FakeClock)
        await login(client, "alice@acme.example")
        for _ in range(14):
            clock.advance(6 * DAY / 1000)
            assert (await client.post("/v1/auth/refresh")).status_code == 200
        clock.advance(6 * DAY / 1000 - 1)
        last = await client.post("/v1/auth/refresh")
        assert last.status_code == 200
        headers = {"Authorization": f"Bearer {last.json()['data']['access_token']}"}
        listed = (await client.get("/v1/auth/sessions", headers=headers)).json()["data"]
        (own,) = [each for each in listed if each["is_current"]]
        assert own["expires_at"] == rfc3339(START + 90 * DAY)
        clock.advance(1)
        assert (await client.post("/v1/auth/refresh")).status_code == 401

    async def test_twenty_at_once_rotate_once(self, house: Stage) -> None:
        client = house.client()
        first = await login(client, "alice@acme.example")
        token = cookie(first, "np_refresh").split(";")[0].split("=")[1]
        answers = await asyncio.gather(
            *(
                house.client(cookies={"np_refresh": token}).post("/v1/auth/refresh")
                for _ in range(20)
            )
        )
        assert [answer.status_code for answer in answers].count(200) == 1

    async def test_seven_days(self, house: Stage) -> None:
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        client = house.client()
        first = await login(client, "alice@acme.example")
        token = cookie(first, "np_refresh").split(";")[0].split("=")[1]
        clock.advance(7 * DAY / 1000 + 1)
        late = house.client(cookies={"np_refresh": token})
        assert (await late.post("/v1/auth/refresh")).status_code == 401

    async def test_without_a_cookie(self, house: Stage) -> None:
        assert (await house.client().post("/v1/auth/refresh")).status_code == 401

    async def test_logout(self, house: Stage) -> None:
        client = house.client()
        access = (await login(client, "alice@acme.example")).json()["data"]["access_token"]
        answer = await client.post("/v1/auth/logout")
        assert (answer.status_code, answer.json()) == (200, {"data": None, "success": True})
        assert "Max-Age=0" in cookie(answer, "np_refresh")
        assert (await client.post("/v1/auth/refresh")).status_code == 401
        headers = {"Authorization": f"Bearer {access}"}
        assert (await client.get("/v1/monitors", headers=headers)).status_code == 401
        assert await house.actions(house.cast.acme.id) == ["auth.logged_in", "auth.logged_out"]
        assert (await house.client().post("/v1/auth/logout")).status_code == 200

    async def test_logout_with_a_token_that_is_over(self, house: Stage) -> None:
        """The family of its refresh tokens is not, and whoever leaves means all of it."""
        client = house.client()
        first = await login(client, "alice@acme.example")
        token = first.json()["data"]["access_token"]
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(15 * MINUTE / 1000)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await house.client().get("/v1/monitors", headers=headers)).status_code == 401
        left = await house.client().post("/v1/auth/logout", headers=headers)
        assert left.status_code == 200
        assert (await client.post("/v1/auth/refresh")).status_code == 401
        actions = await house.actions(house.cast.acme.id)
        assert actions == ["auth.logged_in", "auth.logged_out"]

    async def test_logout_by_token_alone(self, house: Stage, alice: httpx.AsyncClient) -> None:
        assert (await alice.post("/v1/auth/logout")).status_code == 200
        assert (await alice.get("/v1/monitors")).status_code == 401


class TestPageSession:
    async def open(self, house: Stage, client: httpx.AsyncClient) -> str:
        stage = house.house
        user = await stage.db.read(users.get, house.cast.alice.id)
        assert user is not None
        token = await sign_in.open_page_session(stage, actor(), user)
        client.cookies.set("np_session", token)
        return token

    async def test_the_api_takes_it(self, house: Stage) -> None:
        client = house.client()
        await self.open(house, client)
        assert (await client.get("/v1/monitors")).status_code == 200
        found = await house.house.db.read(
            lambda conn: conn.all("SELECT token_digest, ip FROM sessions")
        )
        assert found[0][0] != client.cookies["np_session"]

    async def test_a_wrong_token_is_not_made_good_by_a_cookie(self, house: Stage) -> None:
        client = house.client(headers={"Authorization": "Bearer nonsense"})
        await self.open(house, client)
        assert (await client.get("/v1/monitors")).status_code == 401

    async def test_another_site_cannot_use_it(self, house: Stage) -> None:
        client = house.client()
        await self.open(house, client)
        spec = {"name": "Shop", "type": "http", "target": "https://shop.example/"}
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://other.netpulse.example"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://netpulse.example"},
        ):
            answer = await client.post("/v1/monitors", json=spec, headers=headers)
            assert answer.status_code == 403, headers
        for headers in (
            {"Origin": "http://netpulse.example"},
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://netpulse.example"},
            {"Sec-Fetch-Site": "none"},
        ):
            answer = await client.post("/v1/monitors", json=spec, headers=headers)
            assert answer.status_code == 201, (headers, answer.text)

    async def test_another_site_cannot_sign_somebody_in(self, house: Stage) -> None:
        body = {"email": "alice@acme.example", "password": PASSWORD}
        answer = await house.client().post(
            "/v1/auth/login", json=body, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    async def test_a_token_needs_no_origin(self, house: Stage, alice: httpx.AsyncClient) -> None:
        spec = {"name": "Shop", "type": "http", "target": "https://shop.example/"}
        assert (await alice.post("/v1/monitors", json=spec)).status_code == 201
        alice.cookies.set("np_session", "whatever")
        assert (await alice.post("/v1/monitors", json=spec)).status_code == 201
        # A page of another site is let in by name alone, whatever it brings: test_cors.
        headers = {"Origin": "https://dashboards.example"}
        assert (await alice.post("/v1/monitors", json=spec, headers=headers)).status_code == 403

    async def test_idle_and_absolute_limits(self, house: Stage) -> None:
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        client = house.client()
        await self.open(house, client)
        for _ in range(4):
            clock.advance(6.9 * DAY / 1000)
            assert (await client.get("/v1/monitors")).status_code == 200
        clock.advance(6.9 * DAY / 1000)
        assert (await client.get("/v1/monitors")).status_code == 401, "30 days are over"
        await self.open(house, client)
        clock.advance(7 * DAY / 1000 + 1)
        assert (await client.get("/v1/monitors")).status_code == 401, "unused for 7 days"

    async def test_its_use_is_noted_now_and_then(self, house: Stage) -> None:
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        client = house.client()
        await self.open(house, client)
        begun = clock.now()

        async def seen() -> int:
            rows = await house.house.db.read(
                lambda conn: conn.all("SELECT last_seen_at FROM sessions")
            )
            return int(rows[0][0]) - begun

        clock.advance(60)
        await client.get("/v1/monitors")
        assert await seen() == 0
        clock.advance(300)
        await client.get("/v1/monitors")
        assert await seen() == 6 * MINUTE


def actor() -> Any:
    from netpulse.model.user import Actor

    return Actor(kind="user", ip="192.0.2.10", user_agent="test")


class TestHttps:
    async def test_cookies_are_secure_behind_a_trusted_proxy(self, open_stage: Opener) -> None:
        from netpulse.config import Server

        stage = await open_stage(config=Config(server=Server(trusted_proxies=("192.0.2.0/24",))))
        client = stage.client(headers={"X-Forwarded-Proto": "https"})
        answer = await login(client, "alice@acme.example")
        refresh = cookie(answer, "__Secure-np_refresh")
        assert "Secure" in refresh
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        token = refresh.split(";")[0].split("=")[1]
        plain = stage.client(cookies={"np_refresh": token}, headers={"X-Forwarded-Proto": "https"})
        assert (await plain.post("/v1/auth/refresh")).status_code == 401, "the plain name"
        named = stage.client(
            cookies={"__Secure-np_refresh": token}, headers={"X-Forwarded-Proto": "https"}
        )
        assert (await named.post("/v1/auth/refresh")).status_code == 200

    async def test_a_strangers_word_is_nothing(self, house: Stage) -> None:
        answer = await login(
            house.client(headers={"X-Forwarded-Proto": "https"}), "alice@acme.example"
        )
        assert "Secure" not in cookie(answer, "np_refresh")
        assert "strict-transport-security" not in answer.headers
