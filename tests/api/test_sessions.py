"""Open sign-ins: seen, ended, and over by themselves when their time has come."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.model.time import DAY, rfc3339
from netpulse.storage import users
from netpulse.storage.db import Conn
from tests.api.test_auth import cookie
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import Stage
from tests.sign_ins import browser, clock_of, error, login, signed_in, with_mail, written

ALICE = "alice@acme.example"
RANDOM = "019b0000-0000-7000-8000-00000000dead"


async def listed(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/v1/auth/sessions")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    assert answer.json()["meta"] == {"page": 1, "limit": 20, "total": len(found)}
    return found


class TestList:
    async def test_browsers_and_programs_in_one_list(self, house: Stage) -> None:
        clock = clock_of(house)
        clock.advance(60)
        page = await browser(
            house, ALICE, ip="203.0.113.5", headers={"User-Agent": "Firefox on Linux"}
        )
        clock.advance(60)
        client = await signed_in(house, ALICE, ip="192.0.2.10")
        rows = await listed(client)
        assert [row["kind"] for row in rows] == ["api", "page", "api"]
        assert [row["is_current"] for row in rows] == [True, False, False]
        first, second, cast = rows
        assert set(first) == {
            "id",
            "kind",
            "created_at",
            "last_seen_at",
            "expires_at",
            "ip",
            "user_agent",
            "is_current",
        }
        assert second["ip"] == "203.0.113.5"
        assert second["user_agent"] == "Firefox on Linux"
        assert second["created_at"] == second["last_seen_at"] == rfc3339(START + 60_000)
        assert second["expires_at"] == rfc3339(START + 60_000 + 7 * DAY), "if it is not used"
        assert first["ip"] == "192.0.2.10"
        assert first["expires_at"] == rfc3339(START + 120_000 + 7 * DAY)
        assert cast["created_at"] == rfc3339(START)
        seen = await listed(page)
        assert [row["is_current"] for row in seen] == [False, True, False]
        assert [row["id"] for row in seen] == [row["id"] for row in rows]

    async def test_it_knows_when_each_was_used(self, house: Stage) -> None:
        clock = clock_of(house)
        client = await signed_in(house, ALICE)
        page = await browser(house, ALICE)
        clock.advance(3_600)
        answer = await client.post("/v1/auth/refresh")
        headers = {"Authorization": f"Bearer {answer.json()['data']['access_token']}"}
        clock.advance(600)
        assert (await page.get("/v1/monitors")).status_code == 200
        rows = (await client.get("/v1/auth/sessions", headers=headers)).json()["data"]
        by_kind = {row["kind"]: row for row in rows if row["created_at"] == rfc3339(START)}
        assert by_kind["page"]["last_seen_at"] == rfc3339(START + 4_200_000)
        (own,) = (row for row in rows if row["is_current"])
        assert own["last_seen_at"] == rfc3339(START + 3_600_000)
        assert own["expires_at"] == rfc3339(START + 3_600_000 + 7 * DAY)

    async def test_only_ones_own(self, house: Stage, charlie: httpx.AsyncClient) -> None:
        await browser(house, ALICE)
        (only,) = await listed(charlie)
        assert only["is_current"]

    async def test_pages_of_the_list(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        for _ in range(4):
            await browser(house, ALICE)
        ids = []
        for number in (1, 2, 3):
            answer = await client.get(f"/v1/auth/sessions?limit=2&page={number}")
            assert answer.json()["meta"]["total"] == 6
            ids += [row["id"] for row in answer.json()["data"]]
        assert len(set(ids)) == 6

    async def test_what_is_over_is_not_listed(self, house: Stage) -> None:
        clock = clock_of(house)
        ended = await signed_in(house, ALICE)
        await ended.post("/v1/auth/logout")
        await browser(house, ALICE)
        clock.advance(7 * DAY / 1000 - 1)
        client = await signed_in(house, ALICE)
        assert len(await listed(client)) == 3
        clock.advance(1)
        (only,) = await listed(client)
        assert only["is_current"]


class TestEnding:
    async def test_one_of_each_kind(self, house: Stage) -> None:
        page, program = await browser(house, ALICE), await signed_in(house, ALICE)
        client = await signed_in(house, ALICE)
        (page_row,) = (row for row in await listed(page) if row["is_current"])
        (api_row,) = (row for row in await listed(program) if row["is_current"])
        for row, other in ((page_row, page), (api_row, program)):
            answer = await client.delete(f"/v1/auth/sessions/{row['id']}")
            assert (answer.status_code, answer.json()["data"]) == (200, None)
            assert (await other.get("/v1/auth/me")).status_code == 401
            again = await client.delete(f"/v1/auth/sessions/{row['id']}")
            assert error(again) == (404, "SESSION_NOT_FOUND")
        assert (await program.post("/v1/auth/refresh")).status_code == 401
        assert (await client.get("/v1/auth/me")).status_code == 200
        assert (await house.actions(house.cast.acme.id))[-2:] == ["auth.session_ended"] * 2

    async def test_the_one_that_asks(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        (own,) = (row for row in await listed(client) if row["is_current"])
        assert (await client.delete(f"/v1/auth/sessions/{own['id']}")).status_code == 200
        assert (await client.get("/v1/auth/me")).status_code == 401

    async def test_somebody_elses_are_not_there(self, house: Stage) -> None:
        bob = await signed_in(house, "bob@acme.example")
        alice = await signed_in(house, ALICE)
        rows = await listed(bob)
        answers = [
            await alice.delete(f"/v1/auth/sessions/{row_id}")
            for row_id in (rows[0]["id"], RANDOM, "nonsense")
        ]
        assert {error(answer) for answer in answers} == {(404, "SESSION_NOT_FOUND")}
        assert len({answer.content for answer in answers}) == 1
        assert (await bob.get("/v1/auth/me")).status_code == 200

    @pytest.mark.parametrize("by_page", [True, False])
    async def test_all_others(self, house: Stage, by_page: bool) -> None:
        pages = [await browser(house, ALICE) for _ in range(2)]
        programs = [await signed_in(house, ALICE) for _ in range(2)]
        client = pages[0] if by_page else programs[0]
        others = [each for each in (*pages, *programs) if each is not client]
        bob = await signed_in(house, "bob@acme.example")
        answer = await client.delete("/v1/auth/sessions")
        assert (answer.status_code, answer.json()["data"]) == (200, None)
        assert (await client.get("/v1/auth/me")).status_code == 200
        assert [(await each.get("/v1/auth/me")).status_code for each in others] == [401] * 3
        assert (await bob.get("/v1/auth/me")).status_code == 200
        (only,) = await listed(client)
        assert only["is_current"]
        assert (await house.actions(house.cast.acme.id))[-1] == "auth.sessions_ended"


class TestLimits:
    async def test_a_page_session_unused_for_seven_days(self, house: Stage) -> None:
        clock = clock_of(house)
        page = await browser(house, ALICE)
        clock.advance(7 * DAY / 1000 - 1)
        assert (await page.get("/v1/auth/me")).status_code == 200
        clock.advance(7 * DAY / 1000)
        assert (await page.get("/v1/auth/me")).status_code == 401

    async def test_a_page_session_after_thirty_days(self, house: Stage) -> None:
        clock = clock_of(house)
        page = await browser(house, ALICE)
        for _ in range(29):
            clock.advance(DAY / 1000)
            assert (await page.get("/v1/auth/me")).status_code == 200
        (own,) = (row for row in await listed(page) if row["is_current"])
        assert own["expires_at"] == rfc3339(START + 30 * DAY)
        clock.advance(DAY / 1000 - 1)
        assert (await page.get("/v1/auth/me")).status_code == 200
        clock.advance(1)
        assert (await page.get("/v1/auth/me")).status_code == 401

    async def test_a_refresh_token_unused_for_seven_days(self, house: Stage) -> None:
        clock = clock_of(house)
        client = await signed_in(house, ALICE)
        for _ in range(3):
            clock.advance(7 * DAY / 1000 - 1)
            assert (await client.post("/v1/auth/refresh")).status_code == 200
        clock.advance(7 * DAY / 1000)
        assert (await client.post("/v1/auth/refresh")).status_code == 401


class TestRefresh:
    async def token(self, house: Stage, client: httpx.AsyncClient) -> str:
        answer = await login(client, ALICE)
        return cookie(answer, "np_refresh").split(";")[0].split("=")[1]

    async def use(self, house: Stage, token: str, ip: str = "192.0.2.10") -> httpx.Response:
        client = house.client(ip=ip, cookies={"np_refresh": token})
        return await client.post("/v1/auth/refresh")

    async def test_reuse_ends_the_family(self, house: Stage) -> None:
        stolen = await self.token(house, house.client())
        honest = await self.use(house, stolen)
        assert honest.status_code == 200
        access = {"Authorization": f"Bearer {honest.json()['data']['access_token']}"}
        assert (await self.use(house, stolen, "203.0.113.5")).status_code == 401
        newer = cookie(honest, "np_refresh").split(";")[0].split("=")[1]
        assert (await self.use(house, newer)).status_code == 401
        assert (await house.client().get("/v1/auth/me", headers=access)).status_code == 401

    async def test_somebody_with_no_organization_left(self, house: Stage) -> None:
        """The token is not used up by it: a membership may come back."""
        token = await self.token(house, house.client())

        async def member(active: int) -> None:
            def write(conn: Conn) -> None:
                conn.execute(
                    "UPDATE memberships SET is_active = ? WHERE user_id = ?",
                    (active, house.cast.alice.id),
                )

            await house.house.db.write(write)

        await member(0)
        answer = await self.use(house, token)
        assert error(answer) == (401, "UNAUTHORIZED")
        assert answer.json()["error"]["message"] == "This sign-in has ended; sign in again"
        assert "set-cookie" not in answer.headers
        await member(1)
        assert (await self.use(house, token)).status_code == 200

    async def test_from_an_address_that_is_not_allowed(self, house: Stage) -> None:
        token = await self.token(house, house.client())
        allowed = ("192.0.2.0/24",)
        await house.house.db.write(users.set_ip_whitelist, house.cast.alice.id, allowed, 1)
        answer = await self.use(house, token, "203.0.113.5")
        assert error(answer) == (403, "FORBIDDEN")
        assert answer.json()["error"]["message"] == (
            "You may not come from this address: it is not on the list of addresses that you "
            "allowed for your account"
        )
        assert (await self.use(house, token, "192.0.2.77")).status_code == 200

    async def test_tokens_of_one_kind_are_not_taken_for_another(self, house: Stage) -> None:
        client = house.client()
        answer = await login(client, ALICE)
        access = answer.json()["data"]["access_token"]
        refresh = cookie(answer, "np_refresh").split(";")[0].split("=")[1]
        page = (await browser(house, ALICE)).cookies["np_session"]
        made = await client.post(
            "/v1/api-keys",
            headers={"Authorization": f"Bearer {access}"},
            json={"name": "All", "scopes": ["monitors:read"]},
        )
        key = made.json()["data"]["key"]
        places = {
            "bearer": lambda text: {"headers": {"Authorization": f"Bearer {text}"}},
            "page": lambda text: {"cookies": {"np_session": text}},
            "key": lambda text: {"headers": {"X-API-Key": text}},
        }
        tokens = {"bearer": access, "page": page, "key": key, "refresh": refresh}
        for place, put in places.items():
            for kind, text in tokens.items():
                answer = await house.client(**put(text)).get("/v1/monitors")
                assert answer.status_code == (200 if place == kind else 401), (place, kind)
        for kind, text in tokens.items():
            answer = await self.use(house, text)
            assert answer.status_code == (200 if kind == "refresh" else 401), kind


class TestPassword:
    async def test_a_change_ends_the_others(self, house: Stage) -> None:
        with_mail(house)
        page, program = await browser(house, ALICE), await signed_in(house, ALICE)
        other = await browser(house, ALICE)
        before = page.cookies["np_session"]
        body = {"current_password": PASSWORD, "new_password": "eleven brave walruses"}
        answer = await page.post("/v1/auth/password", json=body)
        assert (answer.status_code, answer.json()["data"]) == (200, None)
        assert page.cookies["np_session"] != before
        assert (await page.get("/v1/auth/me")).status_code == 200
        stale = house.client(cookies={"np_session": before})
        assert (await stale.get("/v1/auth/me")).status_code == 401
        assert (await program.get("/v1/auth/me")).status_code == 401
        assert (await program.post("/v1/auth/refresh")).status_code == 401
        assert (await other.get("/v1/auth/me")).status_code == 401
        assert error(await login(house.client(), ALICE)) == (401, "LOGIN_FAILED")
        assert (await login(house.client(), ALICE, "eleven brave walruses")).status_code == 200
        (letter,) = await written(house)
        assert letter.text.startswith("Your password was changed.\n")
        rows = await house.payloads(house.cast.acme.id)
        actions = await house.actions(house.cast.acme.id)
        assert rows[actions.index("user.password_changed")] == {"before": None, "after": None}
        assert (await page.get("/v1/auth/me")).json()["data"]["user"]["password_changed_at"]

    async def test_a_program_keeps_its_own(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        body = {"current_password": PASSWORD, "new_password": "eleven brave walruses"}
        assert (await client.post("/v1/auth/password", json=body)).status_code == 200
        assert (await client.get("/v1/auth/me")).status_code == 200
        assert (await client.post("/v1/auth/refresh")).status_code == 200
