"""Guessing gets nobody in, and locks nobody out: limits by address and by account."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from netpulse.model.time import DAY
from netpulse.model.user import Actor
from netpulse.storage import audit, known_addresses, login_attempts, second_factors, users
from netpulse.storage.db import Conn
from netpulse.web import sign_in
from netpulse.web.errors import ApiError
from tests.cast import PASSWORD
from tests.conftest import Opener, Stage
from tests.sign_ins import arm, browser, clock_of, error, login, problems, signed_in, user_of

ALICE = "alice@acme.example"
NOBODY = "nobody@acme.example"


class TestByAddress:
    async def test_a_thousand_bad_logins_from_one_address(self, house: Stage) -> None:
        """They lock nobody else out, the owner neither; and their own door closes at the sixth."""
        await login(house.client(ip="192.0.2.10"), ALICE)
        flood = house.client(ip="203.0.113.9")
        statuses: list[int] = []
        for _ in range(10):
            answers = await asyncio.gather(
                *(login(flood, ALICE, f"guess number {number}") for number in range(100))
            )
            statuses += [answer.status_code for answer in answers]
        assert sorted(statuses) == [401] * 5 + [429] * 995
        for ip, email in (
            ("192.0.2.10", ALICE),
            ("192.0.2.99", ALICE),
            ("203.0.113.10", ALICE),
            ("192.0.2.10", "bob@acme.example"),
            ("2001:db8::1", "charlie@globex.example"),
        ):
            assert (await login(house.client(ip=ip), email)).status_code == 200
        refused = await login(flood, "bob@acme.example")
        assert error(refused) == (429, "TOO_MANY_REQUESTS")
        # What was refused unread is no row: a flood fills neither the table nor the log.
        rows = await house.house.db.read(
            lambda conn: conn.one("SELECT count(*) FROM login_failures")
        )
        assert rows == (5,)
        assert (await house.actions(house.cast.acme.id)).count("auth.login_failed") == 5

    async def test_one_address_cannot_press_an_account(self, house: Stage) -> None:
        """Even with all it may try in the fifteen minutes that count."""
        flood = house.client(ip="203.0.113.9")
        for _ in range(3):
            for _ in range(8):
                await login(flood, ALICE, "wrong wrong")
            clock_of(house).advance(7 * 60)
        other = house.client(ip="203.0.113.10")
        for _ in range(4):
            assert error(await login(other, ALICE, "wrong wrong")) == (401, "LOGIN_FAILED")
        assert (await login(other, ALICE)).status_code == 200


class TestByAccount:
    async def press(self, house: Stage, email: str, times: int = 20) -> None:
        """Let a botnet try its luck, one guess an address."""
        for number in range(times):
            client = house.client(ip=f"198.51.100.{number}")
            assert error(await login(client, email, "wrong wrong")) == (401, "LOGIN_FAILED")

    async def test_many_addresses_have_one_guess_each(self, house: Stage) -> None:
        await self.press(house, ALICE, 19)
        again = house.client(ip="198.51.100.1")
        assert error(await login(again, ALICE, "wrong wrong")) == (401, "LOGIN_FAILED")
        # That was the twentieth. Whoever was wrong before is not listened to, right or wrong.
        for password in ("wrong wrong", PASSWORD):
            answer = await login(again, ALICE, password)
            assert error(answer) == (429, "TOO_MANY_REQUESTS")
            assert answer.headers["retry-after"] == "900"
            assert answer.json()["error"]["message"] == (
                "Too many failed sign-ins for this account from all over; wait as long as "
                "Retry-After says, or sign in from where you did before"
            )
        # A new one has one guess.
        fresh = house.client(ip="198.51.100.77")
        assert error(await login(fresh, ALICE, "wrong wrong")) == (401, "LOGIN_FAILED")
        assert error(await login(fresh, ALICE)) == (429, "TOO_MANY_REQUESTS")
        # Other accounts know nothing of it.
        assert (await login(fresh, "bob@acme.example")).status_code == 200

    async def test_the_owner_is_let_in_from_anywhere_new(self, house: Stage) -> None:
        await self.press(house, ALICE)
        assert (await login(house.client(ip="192.0.2.55"), ALICE)).status_code == 200

    async def test_an_owner_who_mistypes_waits_no_longer_than_15_minutes(
        self, house: Stage
    ) -> None:
        """However long the guessing goes on."""
        clock = clock_of(house)
        await self.press(house, ALICE)
        owner = house.client(ip="192.0.2.55")
        assert error(await login(owner, ALICE, "a slip of it")) == (401, "LOGIN_FAILED")
        blocked = await login(owner, ALICE)
        assert error(blocked) == (429, "TOO_MANY_REQUESTS")
        wait = int(blocked.headers["retry-after"])
        assert wait <= 900
        for minute in range(15):
            clock.advance(60)
            for number in range(2):
                bot = house.client(ip=f"198.18.{minute}.{number}")
                assert (await login(bot, ALICE, "wrong wrong")).status_code == 401
        assert (await login(owner, ALICE)).status_code == 200

    async def test_an_address_that_the_account_knows_is_never_held_up(self, house: Stage) -> None:
        home = house.client(ip="192.0.2.10")
        assert (await login(home, ALICE)).status_code == 200
        await self.press(house, ALICE)
        for _ in range(4):
            assert error(await login(home, ALICE, "a slip of it")) == (401, "LOGIN_FAILED")
        assert (await login(home, ALICE)).status_code == 200
        await house.house.db.write(known_addresses.forget_before, clock_of(house).now() + 1)
        assert error(await login(home, ALICE, "a slip of it")) == (401, "LOGIN_FAILED")
        assert (await login(home, ALICE)).status_code == 429

    async def test_what_is_known_of_an_account_counts_for_it_alone(self, house: Stage) -> None:
        home = house.client(ip="192.0.2.10")
        assert (await login(home, "bob@acme.example")).status_code == 200
        await self.press(house, ALICE)
        assert error(await login(home, ALICE, "wrong wrong")) == (401, "LOGIN_FAILED")
        assert error(await login(home, ALICE)) == (429, "TOO_MANY_REQUESTS")

    async def test_an_account_that_there_is_not_answers_alike(self, house: Stage) -> None:
        answers = []
        for email in (ALICE, NOBODY):
            await self.press(house, email)
            client = house.client(ip="198.51.100.3")
            answers.append(await login(client, email, "wrong wrong"))
        assert [error(answer) for answer in answers] == [(429, "TOO_MANY_REQUESTS")] * 2
        assert answers[0].content == answers[1].content
        assert answers[0].headers["retry-after"] == answers[1].headers["retry-after"]

    async def test_an_ipv6_site_is_one_network(self, house: Stage) -> None:
        await self.press(house, ALICE)
        bot = house.client(ip="2001:db8:7:1::1")
        assert error(await login(bot, ALICE, "wrong wrong")) == (401, "LOGIN_FAILED")
        moved = house.client(ip="2001:db8:7:ffff::1")
        assert error(await login(moved, ALICE)) == (429, "TOO_MANY_REQUESTS")
        elsewhere = house.client(ip="2001:db8:8::1")
        assert (await login(elsewhere, ALICE)).status_code == 200

    async def test_across_a_restart(self, open_stage: Opener) -> None:
        stage = await open_stage()
        await self.press(stage, ALICE)
        await stage.house.db.close()
        later = await open_stage(data=stage.data, clock=stage.house.clock)
        bot = later.client(ip="198.51.100.3")
        assert error(await login(bot, ALICE)) == (429, "TOO_MANY_REQUESTS")
        clock_of(later).advance(15 * 60)
        assert (await login(bot, ALICE)).status_code == 200

    async def test_the_address_is_not_kept_in_words(self, house: Stage) -> None:
        await login(house.client(), NOBODY, "wrong wrong")
        await login(house.client(), "my password by mistake", "wrong wrong")
        rows = await house.house.db.read(lambda conn: conn.all("SELECT * FROM login_failures"))
        noted = await house.house.db.read(audit.page, audit.INSTANCE)
        assert len(rows) == len(noted.rows) == 2
        kept = repr(rows) + repr(noted)
        assert NOBODY not in kept
        assert "mistake" not in kept
        assert [row.action for row in noted.rows] == ["auth.login_failed"] * 2
        assert {row.ip_address for row in noted.rows} == {"192.0.2.10"}


class TestKnownAddresses:
    async def test_the_last_fifty_are_kept(self, house: Stage) -> None:
        def act(conn: Conn) -> None:
            user_id = house.cast.alice.id
            for number in range(60):
                known_addresses.note(conn, user_id, f"198.51.100.{number}", number)
            known_addresses.note(conn, user_id, "198.51.100.11", 100)
            assert not known_addresses.is_known(conn, user_id, "198.51.100.9")
            assert known_addresses.is_known(conn, user_id, "198.51.100.11")
            assert known_addresses.is_known(conn, user_id, "198.51.100.59")
            assert not known_addresses.is_known(conn, house.cast.bob.id, "198.51.100.59")
            (count,) = conn.one("SELECT count(*) FROM known_addresses") or (0,)
            assert count == 50

        await house.house.db.write(act)

    async def test_housekeeping_forgets(self, house: Stage) -> None:
        clock = clock_of(house)
        await login(house.client(), ALICE)
        await login(house.client(), ALICE, "wrong wrong")
        await arm(house, house.cast.alice)
        await login(house.client(), ALICE, totp_code="1")

        async def counts() -> tuple[int, ...]:
            row = await house.house.db.read(
                lambda conn: conn.one(
                    "SELECT (SELECT count(*) FROM known_addresses),"
                    " (SELECT count(*) FROM login_failures),"
                    " (SELECT count(*) FROM account_failures)"
                )
            )
            assert row is not None
            return row

        assert await counts() == (1, 2, 1)
        clock.advance(2 * DAY / 1000)
        await house.house.engine.housekeeping.clean()
        assert await counts() == (1, 0, 0)
        clock.advance(180 * DAY / 1000)
        await house.house.engine.housekeeping.clean()
        assert await counts() == (0, 0, 0)


class TestOneAnswerForAll:
    """Who does not know the password learns nothing (ASVS 6.3.8)."""

    async def strangers(self, house: Stage) -> list[tuple[str, str, str]]:
        """Return (what, email, password) of everybody who is not let in."""

        def write(conn: Conn) -> None:
            users.set_active(conn, house.cast.bob.id, False, 1)
            conn.execute(
                "UPDATE memberships SET is_active = 0 WHERE user_id = ?", (house.cast.charlie.id,)
            )

        await house.house.db.write(write)
        return [
            ("wrong password", ALICE, "not the password"),
            ("unknown address", NOBODY, PASSWORD),
            ("disabled", "bob@acme.example", PASSWORD),
            ("no organization", "charlie@globex.example", PASSWORD),
            ("no address", "no address at all", PASSWORD),
            ("too long", ALICE, "x" * 9_000),
            ("empty", ALICE, ""),
        ]

    async def test_status_and_words(self, house: Stage) -> None:
        answers = [
            await login(house.client(ip=f"192.0.2.{number}"), email, password)
            for number, (_, email, password) in enumerate(await self.strangers(house))
        ]
        assert {error(answer) for answer in answers} == {(401, "LOGIN_FAILED")}
        bodies = {answer.content for answer in answers}
        headers = {
            tuple((k, v) for k, v in answer.headers.items() if k != "x-request-id")
            for answer in answers
        }
        assert (len(bodies), len(headers)) == (1, 1)
        reasons = [row["after"]["reason"] for row in await house.payloads(house.cast.acme.id)]
        assert reasons == ["wrong password", "disabled", "wrong password", "wrong password"]
        reasons = [row["after"]["reason"] for row in await house.payloads(house.cast.globex.id)]
        assert reasons == ["no organization"]

    async def test_an_address_that_the_owner_did_not_allow(self, house: Stage) -> None:
        await house.house.db.write(
            users.set_ip_whitelist, house.cast.alice.id, ("192.0.2.0/24",), 1
        )
        wrong = await login(house.client(ip="192.0.2.1"), ALICE, "not the password")
        away = await login(house.client(ip="203.0.113.1"), ALICE)
        assert wrong.content == away.content
        assert error(away) == (401, "LOGIN_FAILED")
        assert (await login(house.client(ip="192.0.2.2"), ALICE)).status_code == 200
        reasons = [row["after"] for row in await house.payloads(house.cast.acme.id)]
        assert reasons == [
            {"reason": "wrong password"},
            {"reason": "address not allowed"},
            {"via": "api"},
        ]

    async def test_ten_kilobytes(self, house: Stage) -> None:
        answer = await login(house.client(), ALICE, "x" * 10_001)
        assert problems(answer) == [("$.password", "must have at most 10,000 characters")]
        form = {"email": ALICE, "password": "x" * 20_000}
        answer = await house.client().post("/login", data=form)
        assert answer.status_code == 401

    async def test_the_work_is_the_same(self, house: Stage) -> None:
        """The time of a password hash, once each: by the processor's clock, which other programs
        of the machine do not disturb."""
        kinds = await self.strangers(house)
        await login(house.client(ip="192.0.2.250"), ALICE, "warm up")
        spent: dict[str, list[float]] = {what: [] for what, _, _ in kinds}
        for turn in range(5):
            for number, (what, email, password) in enumerate(kinds):
                client = house.client(ip=f"198.51.{turn}.{number}")
                begun = time.process_time()
                assert (await login(client, email, password)).status_code == 401
                spent[what].append(time.process_time() - begun)
        middle = {what: statistics.median(times) for what, times in spent.items()}
        usual = middle["wrong password"]
        for what, each in middle.items():
            assert 0.6 < each / usual < 1.6, (what, middle)


class TestChangedMeanwhile:
    async def test_a_password_that_changes_while_it_is_checked(self, house: Stage) -> None:
        """A sign-in with the old one must not come to be after the change has ended them all."""
        first = await signed_in(house, ALICE)
        change = {"current_password": PASSWORD, "new_password": "eleven brave walruses"}
        answers = await asyncio.gather(
            first.post("/v1/auth/password", json=change),
            *(login(house.client(ip=f"198.51.100.{number}"), ALICE) for number in range(12)),
        )
        assert answers[0].status_code == 200
        for answer in answers[1:]:
            if answer.status_code == 200:
                bearer = f"Bearer {answer.json()['data']['access_token']}"
                asked = await house.client().get("/v1/auth/me", headers={"Authorization": bearer})
                assert asked.status_code == 401, "it began before the change, which ended it"

    async def test_a_second_factor_that_is_turned_on_meanwhile(self, house: Stage) -> None:
        user = await user_of(house, house.cast.alice)
        await arm(house, house.cast.alice)
        actor = Actor(kind="user", ip="192.0.2.10")
        for opening in (sign_in.open_page_session, sign_in.open_api_session):
            with pytest.raises(ApiError, match=sign_in.WRONG):
                await opening(house.house, actor, user)
        await house.house.db.write(second_factors.turn_off, user.id, 1)
        assert await sign_in.open_page_session(house.house, actor, user)


async def test_limits_of_the_login_page_are_the_same(house: Stage) -> None:
    await browser(house, ALICE)
    client = house.client(ip="203.0.113.9")
    for _ in range(5):
        form = {"email": ALICE, "password": "wrong wrong"}
        answer = await client.post("/login", data=form)
        assert answer.status_code == 401
        assert "The email address or the password is wrong." in answer.text
    answer = await client.post("/login", data={"email": ALICE, "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == 600
    assert (await login(client, ALICE)).status_code == 429
    assert login_attempts.LIMIT == 5
