"""The login page with a second factor: two steps, and nobody is in between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from netpulse.model.user import Membership, Role
from netpulse.storage import second_factors, sessions, users
from netpulse.storage.db import Conn
from tests.cast import PASSWORD, PASSWORD_HASH
from tests.conftest import Stage
from tests.sign_ins import RECOVERY, arm, clock_of, code, wrong

ALICE = "alice@acme.example"
TOO_LATE = "That took too long; sign in again."


async def first(client: httpx.AsyncClient, **more: str) -> httpx.Response:
    return await client.post("/login", data={"email": ALICE, "password": PASSWORD, **more})


def ticket_of(answer: httpx.Response) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', answer.text)
    assert found is not None, answer.text
    return found[1]


async def second(client: httpx.AsyncClient, ticket: str, text: str, **more: str) -> httpx.Response:
    return await client.post("/login", data={"ticket": ticket, "code": text, **more})


@pytest.fixture
async def armed(house: Stage) -> Stage:
    await arm(house, house.cast.alice)
    return house


def fields(answer: httpx.Response) -> Iterator[dict[str, str]]:
    for tag in re.findall(r"<input[^>]*>", answer.text):
        yield dict(re.findall(r'([\w-]+)="([^"]*)"', tag))


async def test_each_step_says_that_it_is_not_encrypted(armed: Stage) -> None:
    said = "This page is not encrypted: whoever is on the way to this server can read your "
    assert f"{said}password." in (await armed.client().get("/login")).text
    assert f"{said}code." in (await first(armed.client())).text


async def test_the_end_of_somebody_elses_session_is_noted(house: Stage) -> None:
    client = house.client()
    acme, cast = house.cast.acme.id, house.cast
    for email in (cast.alice.email, cast.alice.email, cast.bob.email):
        answer = await client.post("/login", data={"email": email, "password": PASSWORD})
        assert answer.status_code == 303
    assert await house.audit(acme) == [
        ("auth.logged_in", cast.alice.id, cast.alice.email),
        ("auth.logged_in", cast.alice.id, cast.alice.email),
        ("auth.logged_in", cast.bob.id, cast.bob.email),
        ("auth.logged_out", cast.alice.id, cast.alice.email),
    ]


class TestTwoSteps:
    async def test_the_way_in(self, armed: Stage) -> None:
        client = armed.client()
        asked = await first(client, next="/monitors?tag=web")
        assert asked.status_code == 200
        assert "set-cookie" not in asked.headers
        assert "no-store" in asked.headers["cache-control"]
        assert PASSWORD not in asked.text
        (typed,) = (each for each in fields(asked) if each["name"] == "code")
        assert typed["autocomplete"] == "one-time-code"
        assert typed["inputmode"] == "numeric"
        # In between nobody is in, wherever one looks.
        assert (await client.get("/dashboard")).status_code == 303
        assert (await client.get("/v1/auth/me")).status_code == 401
        assert await armed.actions(armed.cast.acme.id) == []

        ticket = ticket_of(asked)
        refused = await second(client, ticket, wrong(armed), next="/monitors?tag=web")
        assert refused.status_code == 401
        assert "This code is wrong, or was used before; wait for the next one." in refused.text
        assert "www-authenticate" not in refused.headers
        assert ticket_of(refused) == ticket
        came = await second(client, ticket, code(armed), next="/monitors?tag=web")
        assert (came.status_code, came.headers["location"]) == (303, "/monitors?tag=web")
        assert (await client.get("/v1/auth/me")).status_code == 200
        assert await armed.actions(armed.cast.acme.id) == ["auth.login_failed", "auth.logged_in"]

    async def test_without_a_second_factor_it_is_one(self, house: Stage) -> None:
        answer = await first(house.client())
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")

    async def test_with_a_recovery_code(self, armed: Stage) -> None:
        client = armed.client()
        asked = await first(client, next="/alerts")
        other = await client.post(
            "/login", data={"ticket": ticket_of(asked), "action": "other", "next": "/alerts"}
        )
        assert other.status_code == 200
        (typed,) = (each for each in fields(other) if each["name"] == "code")
        assert "inputmode" not in typed
        assert "Recovery code" in other.text
        assert {"type": "hidden", "name": "with", "value": "recovery"} in list(fields(other))
        wrong_one = await second(
            client, ticket_of(other), "zzzzz-zzzzz-zzzzz-zzzzz-zzzzz", **{"with": "recovery"}
        )
        assert wrong_one.status_code == 401
        assert "Recovery code" in wrong_one.text
        came = await second(
            client, ticket_of(other), RECOVERY[2], next="/alerts", **{"with": "recovery"}
        )
        assert (came.status_code, came.headers["location"]) == (303, "/alerts")
        again = await second(armed.client(), ticket_of(other), RECOVERY[2])
        assert again.status_code == 401

    async def test_in_the_field_for_codes_a_recovery_code_counts_too(self, armed: Stage) -> None:
        client = armed.client()
        ticket = ticket_of(await first(client))
        assert (await second(client, ticket, RECOVERY[0])).status_code == 303

    @pytest.mark.parametrize(
        "target", ["//evil.example", "/\\evil.example", "https:evil.example", "\t//evil.example"]
    )
    async def test_it_leads_nowhere_else(self, armed: Stage, target: str) -> None:
        client = armed.client()
        ticket = ticket_of(await first(client, next=target))
        came = await second(client, ticket, code(armed), next=target)
        assert came.headers["location"] == "/dashboard"


class TestTickets:
    async def test_five_minutes(self, armed: Stage) -> None:
        client = armed.client()
        ticket = ticket_of(await first(client))
        clock_of(armed).advance(5 * 60)
        late = await second(client, ticket, code(armed))
        assert late.status_code == 401
        assert TOO_LATE in late.text
        assert 'name="password"' in late.text
        assert "set-cookie" not in late.headers

    async def test_made_up_ones(self, armed: Stage) -> None:
        client = armed.client()
        good = ticket_of(await first(client))
        user_id, until, tag = good.split(".")
        bob = armed.cast.bob.id
        for text in (
            "",
            ".",
            "..",
            "x" * 5_000,
            user_id,
            f"{user_id}.{until}",
            f"{user_id}.{until}.",
            f"{user_id}.{until}.{tag[:-1]}{'1' if tag.endswith('0') else '0'}",
            f"{user_id}.{int(until) + 1}.{tag}",
            f"{bob}.{until}.{tag}",
            f"{user_id}.{'9' * 400}.{tag}",
            f"{user_id}.٣٤٥.{tag}",
            f"{user_id}.{until}.{tag}\u00fc",
            f"019b0000-0000-7000-8000-00000000dead.{until}.{tag}",
        ):
            answer = await second(client, text, code(armed))
            assert answer.status_code == 401, text
            assert TOO_LATE in answer.text
        assert (await second(client, good, code(armed))).status_code == 303

    async def test_it_ends_with_what_it_speaks_of(self, armed: Stage) -> None:
        """A changed password, a second factor that was reset, a person who was disabled."""

        async def after(change: Any) -> httpx.Response:
            client = armed.client()
            ticket = ticket_of(await first(client))
            await armed.house.db.write(change)
            return await second(client, ticket, code(armed))

        alice = armed.cast.alice.id

        def other_hash(conn: Conn) -> None:
            users.set_password(conn, alice, PASSWORD_HASH + "x", 1)

        def same_hash(conn: Conn) -> None:
            users.set_password(conn, alice, PASSWORD_HASH, 1)

        assert TOO_LATE in (await after(other_hash)).text
        await armed.house.db.write(same_hash)
        disabled = await after(lambda conn: users.set_active(conn, alice, False, 1))
        assert disabled.status_code == 401
        await armed.house.db.write(users.set_active, alice, True, 1)
        member = Membership(
            user_id=alice, org_id=armed.cast.acme.id, role=Role.ADMIN, is_active=False
        )
        nowhere = await after(lambda conn: users.put_membership(conn, member))
        assert nowhere.status_code == 401
        back = Membership(user_id=alice, org_id=armed.cast.acme.id, role=Role.ADMIN)
        await armed.house.db.write(users.put_membership, back)
        clock_of(armed).advance(60)
        elsewhere = ("203.0.113.0/24",)
        moved = await after(lambda conn: users.set_ip_whitelist(conn, alice, elsewhere, 1))
        assert moved.status_code == 401
        await armed.house.db.write(users.set_ip_whitelist, alice, (), 1)
        clock_of(armed).advance(600)
        reset = await after(lambda conn: second_factors.reset(conn, alice, 1))
        assert TOO_LATE in reset.text
        held = await armed.house.db.read(lambda conn: conn.all("SELECT id FROM sessions"))
        assert held == []

    async def test_it_is_no_session_and_no_token(self, armed: Stage) -> None:
        ticket = ticket_of(await first(armed.client()))
        for options in (
            {"cookies": {"np_session": ticket}},
            {"headers": {"Authorization": f"Bearer {ticket}"}},
            {"cookies": {"np_refresh": ticket}},
        ):
            client = armed.client(**options)
            assert (await client.get("/v1/auth/me")).status_code == 401
            assert (await client.post("/v1/auth/refresh")).status_code == 401

    async def test_sessions_of_pages_begin_where_one_may_be(self, house: Stage) -> None:
        """Whose home has closed begins in the organization that is left."""
        cast = house.cast

        def write(conn: Conn) -> None:
            for org_id, active in ((cast.acme.id, False), (cast.globex.id, True)):
                users.put_membership(
                    conn,
                    Membership(
                        user_id=cast.alice.id, org_id=org_id, role=Role.VIEWER, is_active=active
                    ),
                )

        await house.house.db.write(write)
        client = house.client()
        assert (await first(client)).status_code == 303
        digest = house.house.digester.digest(client.cookies["np_session"])
        row = await house.house.db.read(sessions.find, digest, house.house.clock.now())
        assert row is not None
        assert row.org_id == cast.globex.id
        assert await house.actions(cast.acme.id) == []
        assert await house.actions(cast.globex.id) == ["auth.logged_in"]


async def test_signing_in_again_ends_the_session_that_the_browser_had(house: Stage) -> None:
    client = house.client()
    assert (await first(client)).status_code == 303
    old = client.cookies["np_session"]
    form = {"email": "bob@acme.example", "password": PASSWORD}
    assert (await client.post("/login", data=form)).status_code == 303
    assert client.cookies["np_session"] != old
    stale = house.client(cookies={"np_session": old})
    assert (await stale.get("/v1/auth/me")).status_code == 401
    # A failed attempt ends nothing.
    assert (await client.post("/login", data=form | {"password": "wrong"})).status_code == 401
    assert (await client.get("/v1/auth/me")).status_code == 200


async def test_the_codes_limit_on_the_page(armed: Stage) -> None:
    for number in range(5):
        client = armed.client(ip=f"198.51.100.{number}")
        await second(client, ticket_of(await first(client)), wrong(armed))
    client = armed.client()
    answer = await second(client, ticket_of(await first(client)), code(armed))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "900"
    # A header that no page shows is no answer to a person.
    assert "Too many wrong codes for your account; wait 15 min, or use a recovery" in answer.text
    assert "Retry-After" not in answer.text
    client.headers["Accept-Language"] = "de"
    answer = await second(client, ticket_of(await first(client)), code(armed))
    assert "Zu viele falsche Codes für Ihr Konto; warten Sie 15 min, oder" in answer.text


async def test_another_site_cannot_take_the_second_step(armed: Stage) -> None:
    client = armed.client()
    ticket = ticket_of(await first(client))
    answer = await client.post(
        "/login",
        data={"ticket": ticket, "code": code(armed)},
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
