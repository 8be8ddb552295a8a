"""Requests in flight while their sign-in ends: the body arrives late, and nothing is done for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pyotp
import pytest

from netpulse.crypto import passwords
from netpulse.model.user import Role
from netpulse.storage import api_keys, members, sessions, users
from netpulse.storage.db import Conn
from netpulse.web.session import ENDED, LOWERED
from tests import people
from tests.cast import PASSWORD, Person
from tests.conftest import Stage
from tests.sign_ins import browser, error, login, signed_in, user_of

ALICE = "alice@acme.example"
THIEF = "203.0.113.66"
EVIL = "twelve angry weasels"
CLI = "fifteen calm badgers"

Meanwhile = Callable[[], Awaitable[None]]


def recovery(stage: Stage, person: Person) -> Meanwhile:
    """Return what `netpulse user password` does to the account."""

    async def run() -> None:
        hashed = await passwords.hash_password(CLI)

        def write(conn: Conn) -> None:
            now = stage.house.clock.now()
            users.set_password(conn, person.id, hashed, now)
            sessions.end_all(conn, person.id, now)

        await stage.house.db.write(write)

    return run


async def slowly(body: bytes, meanwhile: Meanwhile) -> AsyncIterator[bytes]:
    """Send a body whose end comes after `meanwhile`."""
    yield body[:1]
    await meanwhile()
    yield body[1:]


async def sent(
    client: httpx.AsyncClient, method: str, path: str, body: Any, meanwhile: Meanwhile
) -> httpx.Response:
    return await client.request(
        method,
        path,
        content=slowly(json.dumps(body).encode(), meanwhile),
        headers={"Content-Type": "application/json"},
    )


KEY = {"name": "K", "scopes": ["monitors:read"]}
CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/api-keys", KEY),
    ("POST", "/v1/org/members/invite", {"email": "mallory@evil.example", "role": "admin"}),
    ("POST", "/v1/auth/2fa/setup", {"current_password": PASSWORD}),
    ("POST", "/v1/auth/password", {"current_password": PASSWORD, "new_password": EVIL}),
    ("POST", "/v1/auth/password", {"current_password": "not it at all", "new_password": EVIL}),
    ("PATCH", "/v1/auth/me", {"ip_whitelist": [THIEF], "current_password": PASSWORD}),
]


class TestRecovered:
    """The owner takes the account back while a thief's request is on its way."""

    @pytest.mark.parametrize(("method", "path", "body"), CHANGES)
    async def test_nothing_is_done(self, house: Stage, method: str, path: str, body: Any) -> None:
        alice = house.cast.alice
        thief = await signed_in(house, ALICE, ip=THIEF)
        before = await house.actions(house.cast.acme.id)
        answer = await sent(thief, method, path, body, recovery(house, alice))
        assert error(answer) == (401, "UNAUTHORIZED")
        assert answer.json()["error"]["message"] == ENDED
        assert await house.actions(house.cast.acme.id) == before
        owner = house.client(ip="198.51.100.1")
        assert (await login(owner, ALICE, CLI)).status_code == 200
        assert (await user_of(house, alice)).ip_whitelist == ()

    async def test_no_second_factor_is_turned_on(self, house: Stage) -> None:
        thief = await signed_in(house, ALICE, ip=THIEF)
        secret = (await thief.post("/v1/auth/2fa/setup")).json()["data"]["secret"]
        body = {"code": pyotp.TOTP(secret).at(house.house.clock.now() // 1000)}
        meanwhile = recovery(house, house.cast.alice)
        answer = await sent(thief, "POST", "/v1/auth/2fa/verify", body, meanwhile)
        assert error(answer) == (401, "UNAUTHORIZED")
        assert (await login(house.client(ip="198.51.100.1"), ALICE, CLI)).status_code == 200

    async def test_a_page_session_sets_no_password(self, house: Stage) -> None:
        thief = await browser(house, ALICE, ip=THIEF)
        form = {"current_password": PASSWORD, "new_password": EVIL, "again": EVIL}
        answer = await thief.post(
            "/profile/password",
            content=slowly(urlencode(form).encode(), recovery(house, house.cast.alice)),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 401
        assert (await login(house.client(ip="198.51.100.1"), ALICE, CLI)).status_code == 200
        assert error(await login(house.client(ip=THIEF), ALICE, EVIL)) == (401, "LOGIN_FAILED")

    async def test_while_the_new_password_is_hashed(
        self, house: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        thief = await signed_in(house, ALICE, ip=THIEF)
        hashing, hash_password = asyncio.Event(), passwords.hash_password
        goes_on = asyncio.Event()

        async def held(password: str) -> str:
            hashing.set()
            await goes_on.wait()
            return await hash_password(password)

        monkeypatch.setattr(passwords, "hash_password", held)
        body = {"current_password": PASSWORD, "new_password": EVIL}
        asked = asyncio.create_task(thief.post("/v1/auth/password", json=body))
        await hashing.wait()
        monkeypatch.setattr(passwords, "hash_password", hash_password)
        await recovery(house, house.cast.alice)()
        goes_on.set()
        assert error(await asked) == (401, "UNAUTHORIZED")
        assert (await login(house.client(ip="198.51.100.1"), ALICE, CLI)).status_code == 200


class TestRemoved:
    """Whoever was removed or disabled meanwhile is a stranger, and no mistake of ours."""

    @pytest.mark.parametrize(("method", "path", "body"), CHANGES)
    async def test_removed(self, house: Stage, method: str, path: str, body: Any) -> None:
        dan = await people.add(house, "dan", Role.ADMIN)

        async def leave() -> None:
            acme, now = house.cast.acme.id, house.house.clock.now()
            await house.house.db.write(members.leave, acme, dan.id, now)

        client = house.client(ip=THIEF, headers=dan.headers)
        answer = await sent(client, method, path, body, leave)
        assert error(answer) == (401, "UNAUTHORIZED")

    async def test_disabled(self, house: Stage) -> None:
        async def disable() -> None:
            now = house.house.clock.now()
            await house.house.db.write(users.set_active, house.cast.alice.id, False, now)

        client = house.client(headers=house.cast.alice.headers)
        answer = await sent(client, "POST", "/v1/api-keys", KEY, disable)
        assert error(answer) == (401, "UNAUTHORIZED")

    async def test_a_lower_role(self, house: Stage) -> None:
        async def lower() -> None:
            await people.join(house, house.cast.alice, house.cast.acme, Role.VIEWER)

        client = house.client(headers=house.cast.alice.headers)
        answer = await sent(client, "POST", "/v1/api-keys", KEY, lower)
        assert error(answer) == (403, "FORBIDDEN")
        assert answer.json()["error"]["message"] == LOWERED

    async def test_an_address_that_is_allowed_no_more(self, house: Stage) -> None:
        async def close() -> None:
            now = house.house.clock.now()
            alice = house.cast.alice.id
            await house.house.db.write(users.set_ip_whitelist, alice, ("198.51.100.1",), now)

        client = house.client(ip=THIEF, headers=house.cast.alice.headers)
        answer = await sent(client, "POST", "/v1/api-keys", KEY, close)
        assert error(answer) == (403, "FORBIDDEN")

    @pytest.mark.parametrize("end", ["revoked", "rotated", "of_who_was_removed"])
    async def test_an_api_key(self, house: Stage, alice: httpx.AsyncClient, end: str) -> None:
        body = {"name": "K", "scopes": ["monitors:write", "org:write"]}
        made = (await alice.post("/v1/api-keys", json=body)).json()["data"]
        acme, maker = house.cast.acme.id, house.cast.alice.id

        def write(conn: Conn) -> None:
            if end == "revoked":
                api_keys.delete(conn, acme, made["id"])
            elif end == "rotated":
                now = house.house.clock.now()
                api_keys.rotate(conn, acme, made["id"], "np_zzzzzzzz", "another", maker, now)
            else:
                users.drop_membership(conn, maker, acme)

        async def ended() -> None:
            await house.house.db.write(write)

        client = house.client(headers={"X-API-Key": made["key"]})
        monitor = {"name": "M", "type": "tcp", "target": "127.0.0.1:9"}
        answer = await sent(client, "POST", "/v1/monitors", monitor, ended)
        assert error(answer) == (401, "UNAUTHORIZED")


async def test_a_password_that_one_sign_in_changes_twice_at_once(house: Stage) -> None:
    """The second has proved a password that is another by the time it would be replaced."""
    client = await signed_in(house, ALICE)
    wanted = ["nine patient herons", "eight patient herons"]
    bodies = [{"current_password": PASSWORD, "new_password": new} for new in wanted]
    answers = await asyncio.gather(*(client.post("/v1/auth/password", json=b) for b in bodies))
    assert sorted(answer.status_code for answer in answers) in ([200, 400], [200, 409])
    won = next(new for new, answer in zip(wanted, answers, strict=True) if answer.is_success)
    assert (await login(house.client(), ALICE, won)).status_code == 200
