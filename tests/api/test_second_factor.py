"""The second factor: turned on and off by its owner, asked for at sign-in, used once."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess

import httpx
import pyotp
import pytest

from netpulse.model.time import MINUTE
from netpulse.storage import second_factors
from tests.cast import PASSWORD
from tests.conftest import Opener, Stage
from tests.sign_ins import (
    RECOVERY,
    arm,
    browser,
    clock_of,
    code,
    error,
    login,
    problems,
    signed_in,
    told,
    user_of,
    with_mail,
    written,
    wrong,
)

ALICE = "alice@acme.example"


async def set_up(stage: Stage, client: httpx.AsyncClient) -> tuple[str, list[str]]:
    """Turn the second factor on as a program does; returns the secret and the recovery codes."""
    begun = (await client.post("/v1/auth/2fa/setup")).json()["data"]
    body = {"code": pyotp.TOTP(begun["secret"]).at(stage.house.clock.now() // 1000)}
    answer = await client.post("/v1/auth/2fa/verify", json=body)
    assert answer.status_code == 200, answer.text
    clock_of(stage).advance(60)
    return begun["secret"], answer.json()["data"]["recovery_codes"]


class TestTurningOn:
    async def test_from_nothing_to_a_sign_in_with_two_factors(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        answer = await client.post("/v1/auth/2fa/setup")
        assert answer.status_code == 200, answer.text
        begun = answer.json()["data"]
        assert set(begun) == {"secret", "otpauth_uri"}
        uri = begun["otpauth_uri"]
        assert uri.startswith("otpauth://totp/NetPulse:alice%40acme.example?")
        assert pyotp.parse_uri(uri).secret == begun["secret"]
        # It does not count yet.
        assert (await login(house.client(), ALICE)).status_code == 200
        assert (await client.get("/v1/auth/me")).json()["data"]["user"]["totp_enabled"] is False

        now = house.house.clock.now() // 1000
        app = pyotp.TOTP(begun["secret"])
        verified = await client.post("/v1/auth/2fa/verify", json={"code": app.at(now)})
        assert verified.status_code == 200, verified.text
        assert set(verified.json()["data"]) == {"recovery_codes"}
        assert len(set(verified.json()["data"]["recovery_codes"])) == 10
        me = (await client.get("/v1/auth/me")).json()["data"]["user"]
        assert (me["totp_enabled"], me["recovery_codes_left"]) == (True, 10)

        asked = await login(house.client(), ALICE)
        assert error(asked) == (401, "TOTP_REQUIRED")
        assert asked.json()["error"]["message"] == (
            "A one-time code is needed too: send totp_code, from your app or one of your "
            "recovery codes"
        )
        assert "set-cookie" not in asked.headers
        again = await login(house.client(), ALICE, totp_code=app.at(now))
        assert error(again) == (401, "LOGIN_FAILED"), "the code that turned it on is used up"
        clock_of(house).advance(30)
        right = await login(house.client(), ALICE, totp_code=app.at(now + 30))
        assert right.status_code == 200
        assert set(right.json()["data"]) == {"access_token", "token_type", "expires_in"}

    @pytest.mark.skipif(
        shutil.which("oathtool") is None, reason="no oathtool; as root: apt-get install oathtool"
    )
    async def test_with_another_program_for_the_codes(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret = (await client.post("/v1/auth/2fa/setup")).json()["data"]["secret"]

        def oathtool() -> str:
            now = f"--now=@{house.house.clock.now() // 1000}"
            done = subprocess.run(
                ["oathtool", "--totp", "-b", now, secret],
                check=True,
                capture_output=True,
                text=True,
            )
            return done.stdout.strip()

        verified = await client.post("/v1/auth/2fa/verify", json={"code": oathtool()})
        assert verified.status_code == 200, verified.text
        clock_of(house).advance(30)
        assert (await login(house.client(), ALICE, totp_code=oathtool())).status_code == 200

    async def test_a_viewer_may(self, house: Stage) -> None:
        await set_up(house, await signed_in(house, "bob@acme.example"))
        assert (await user_of(house, house.cast.bob)).totp_enabled

    async def test_wrong_first_codes(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        none = await client.post("/v1/auth/2fa/verify", json={"code": "123456"})
        assert error(none) == (409, "TOTP_NOT_BEGUN")
        secret = (await client.post("/v1/auth/2fa/setup")).json()["data"]["secret"]
        late = code(house, -2, secret)
        for text in (late, "", "1" * 200):
            answer = await client.post("/v1/auth/2fa/verify", json={"code": text})
            assert problems(answer) == [
                ("$.code", "this is not the code that your app should show now")
            ]
        assert not (await user_of(house, house.cast.alice)).totp_enabled
        # A second beginning replaces the first.
        other = (await client.post("/v1/auth/2fa/setup")).json()["data"]["secret"]
        assert other != secret
        old = await client.post("/v1/auth/2fa/verify", json={"code": code(house, 0, secret)})
        assert old.status_code == 400
        new = await client.post("/v1/auth/2fa/verify", json={"code": code(house, 0, other)})
        assert new.status_code == 200

    async def test_wrong_first_codes_are_counted(self, house: Stage) -> None:
        """Whoever found a session open guesses at the secret that its owner has begun."""
        client = await signed_in(house, ALICE)
        secret = (await client.post("/v1/auth/2fa/setup")).json()["data"]["secret"]
        late = {"code": code(house, -2, secret)}
        for _ in range(5):
            answer = await client.post("/v1/auth/2fa/verify", json=late)
            assert answer.status_code == 400
        good = {"code": code(house, 0, secret)}
        held = await client.post("/v1/auth/2fa/verify", json=good)
        assert error(held) == (429, "TOO_MANY_REQUESTS")
        assert held.headers["retry-after"] == "900"
        assert held.json()["error"]["message"] == (
            "Too many wrong codes for your account; wait as long as Retry-After says"
        )
        acme = house.cast.acme.id
        assert (await house.actions(acme)).count("auth.proof_refused") == 5
        assert (await house.payloads(acme))[-1]["after"] == {"reason": "wrong code"}
        clock_of(house).advance(15 * 60 - 1)
        again = {"code": code(house, 0, secret)}
        assert (await client.post("/v1/auth/2fa/verify", json=again)).status_code == 429
        assert (await client.post("/v1/auth/refresh")).status_code == 200

    async def test_a_secret_that_was_begun_ends(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        proof = {"current_password": PASSWORD}
        secret = (await client.post("/v1/auth/2fa/setup", json=proof)).json()["data"]["secret"]
        clock_of(house).advance(30 * 60)
        late = {"code": code(house, 0, secret)}
        answer = await client.post("/v1/auth/2fa/verify", json=late)
        assert error(answer) == (409, "TOTP_NOT_BEGUN")

    async def test_it_ends_with_the_password_that_began_it(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret = (await client.post("/v1/auth/2fa/setup")).json()["data"]["secret"]
        body = {"current_password": PASSWORD, "new_password": "nine patient herons"}
        assert (await client.post("/v1/auth/password", json=body)).status_code == 200
        assert await house.house.db.read(second_factors.secret, house.cast.alice.id) is None
        good = {"code": code(house, 0, secret)}
        answer = await client.post("/v1/auth/2fa/verify", json=good)
        assert error(answer) == (409, "TOTP_NOT_BEGUN")

    async def test_a_factor_that_is_on_outlives_the_password(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret, _ = await set_up(house, client)
        clock_of(house).advance(30)
        body = {"current_password": PASSWORD, "new_password": "nine patient herons"}
        assert (await client.post("/v1/auth/password", json=body)).status_code == 200
        assert await house.house.db.read(second_factors.secret, house.cast.alice.id) == secret

    async def test_one_that_is_on_must_be_turned_off_first(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret, _ = await set_up(house, client)
        answer = await client.post("/v1/auth/2fa/setup")
        assert error(answer) == (409, "TOTP_ENABLED")
        body = {"code": code(house, 0, secret)}
        assert error(await client.post("/v1/auth/2fa/verify", json=body)) == (409, "TOTP_ENABLED")

    async def test_the_password_is_asked_for_where_the_sign_in_is_old(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        clock_of(house).advance(14 * 60 + 59)
        assert (await client.post("/v1/auth/2fa/setup")).status_code == 200
        assert (await client.post("/v1/auth/refresh")).status_code == 200
        refreshed = await client.post("/v1/auth/refresh")
        headers = {"Authorization": f"Bearer {refreshed.json()['data']['access_token']}"}
        clock_of(house).advance(2)
        for body in ({}, {"current_password": None}, None):
            more = {} if body is None else {"json": body}
            answer = await client.post("/v1/auth/2fa/setup", headers=headers, **more)
            assert problems(answer) == [
                (
                    "$.current_password",
                    "the password is needed: this sign-in is more than 15 minutes old",
                )
            ]
        answer = await client.post(
            "/v1/auth/2fa/setup", headers=headers, json={"current_password": "not the password"}
        )
        assert problems(answer) == [("$.current_password", "this is not your password")]
        answer = await client.post(
            "/v1/auth/2fa/setup", headers=headers, json={"current_password": PASSWORD}
        )
        assert answer.status_code == 200

    async def test_a_browser_is_always_asked(self, house: Stage) -> None:
        client = await browser(house, ALICE)
        answer = await client.post("/v1/auth/2fa/setup")
        assert problems(answer)[0][0] == "$.current_password"

    async def test_a_key_cannot(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await alice.post("/v1/api-keys", json={"name": "All", "scopes": ["org:write"]})
        client = house.client(headers={"X-API-Key": made.json()["data"]["key"]})
        for path in ("2fa/setup", "2fa/verify", "2fa/disable", "2fa/recovery-codes", "password"):
            answer = await client.post(f"/v1/auth/{path}", json={})
            assert error(answer) == (403, "FORBIDDEN")
        for method, path in (("GET", "me"), ("PATCH", "me"), ("GET", "sessions")):
            answer = await client.request(method, f"/v1/auth/{path}", json={})
            assert error(answer) == (403, "FORBIDDEN")

    async def test_other_sessions_end_and_a_letter_goes_out(self, house: Stage) -> None:
        with_mail(house)
        other = await signed_in(house, ALICE)
        page = await browser(house, ALICE)
        client = await signed_in(house, ALICE)
        await set_up(house, client)
        assert (await client.get("/v1/auth/me")).status_code == 200
        assert (await client.post("/v1/auth/refresh")).status_code == 200
        assert (await other.get("/v1/auth/me")).status_code == 401
        assert (await other.post("/v1/auth/refresh")).status_code == 401
        assert (await page.get("/v1/auth/me")).status_code == 401
        (letter,) = await written(house)
        assert letter.recipient == ALICE
        assert letter.text.startswith("Two-factor authentication was turned on for your account.\n")
        assert "By: your own account from 192.0.2.10" in letter.text

    async def test_a_browser_goes_on_under_another_token(self, house: Stage) -> None:
        page, other = await browser(house, ALICE), await browser(house, ALICE)
        before = page.cookies["np_session"]
        proof = {"current_password": PASSWORD}
        begun = await page.post("/v1/auth/2fa/setup", json=proof)
        assert page.cookies["np_session"] == before
        body = {"code": code(house, 0, begun.json()["data"]["secret"])}
        assert (await page.post("/v1/auth/2fa/verify", json=body)).status_code == 200
        assert page.cookies["np_session"] != before
        assert (await page.get("/v1/auth/me")).status_code == 200
        stale = house.client(cookies={"np_session": before})
        assert (await stale.get("/v1/auth/me")).status_code == 401
        assert (await other.get("/v1/auth/me")).status_code == 401

    async def test_what_is_stored_and_noted(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret, recovery = await set_up(house, client)
        await login(house.client(), ALICE, totp_code=recovery[0])
        rows = await house.house.db.read(
            lambda conn: (
                conn.all("SELECT * FROM users"),
                conn.all("SELECT * FROM recovery_codes"),
                conn.all("SELECT * FROM audit_logs"),
            )
        )
        everything = repr(rows)
        assert secret not in everything
        for each in recovery:
            assert each not in everything
            assert each.replace("-", "") not in everything
        assert PASSWORD not in everything
        stored = await house.house.db.read(second_factors.secret, house.cast.alice.id)
        assert stored == secret
        assert await house.actions(house.cast.acme.id) == [
            "auth.logged_in",
            "auth.second_factor_begun",
            "auth.second_factor_on",
            "auth.recovery_code_used",
            "auth.logged_in",
        ]


class TestCodes:
    async def test_each_works_once(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        text = code(house)
        assert (await login(house.client(), ALICE, totp_code=text)).status_code == 200
        again = await login(house.client(), ALICE, totp_code=text)
        assert error(again) == (401, "LOGIN_FAILED")
        assert again.json()["error"]["message"] == (
            "This code is wrong, or was used before; wait for the next one"
        )
        earlier = await login(house.client(), ALICE, totp_code=code(house, -1))
        assert error(earlier) == (401, "LOGIN_FAILED"), "one of before that was not used"
        assert (await login(house.client(), ALICE, totp_code=code(house, 1))).status_code == 200

    @pytest.mark.parametrize(
        ("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)]
    )
    async def test_a_step_early_or_late(self, house: Stage, steps: int, status: int) -> None:
        await arm(house, house.cast.alice)
        answer = await login(house.client(), ALICE, totp_code=code(house, steps))
        assert answer.status_code == status

    async def test_of_twenty_at_once_one_gets_in(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        text = code(house)

        async def one(number: int) -> int:
            client = house.client(ip=f"198.51.100.{number}")
            return (await login(client, ALICE, totp_code=text)).status_code

        statuses = await asyncio.gather(*(one(number) for number in range(20)))
        # The others were wrong, until five of them closed the door.
        assert sorted(statuses) == [200] + [401] * 5 + [429] * 14
        held = await house.house.db.read(lambda conn: conn.all("SELECT id FROM refresh_families"))
        assert len(held) == 3 + 1, "the cast's own, and one more"

    async def test_of_twenty_at_once_one_recovery_code_gets_in(self, house: Stage) -> None:
        await arm(house, house.cast.alice)

        async def one(number: int) -> int:
            client = house.client(ip=f"198.51.100.{number}")
            return (await login(client, ALICE, totp_code=RECOVERY[3])).status_code

        statuses = await asyncio.gather(*(one(number) for number in range(20)))
        assert sorted(statuses) == [200] + [401] * 19
        left = await house.house.db.read(second_factors.codes_left, house.cast.alice.id)
        assert left == 9

    async def test_a_recovery_code_ends_the_other_sessions(self, house: Stage) -> None:
        with_mail(house)
        page = await browser(house, ALICE)
        await arm(house, house.cast.alice)
        typed = RECOVERY[0].upper().replace("-", " ")
        client = house.client(ip="203.0.113.77")
        answer = await login(client, ALICE, totp_code=typed)
        assert answer.status_code == 200
        assert (await page.get("/v1/auth/me")).status_code == 401
        headers = {"Authorization": f"Bearer {answer.json()['data']['access_token']}"}
        me = (await client.get("/v1/auth/me", headers=headers)).json()["data"]["user"]
        assert me["recovery_codes_left"] == 9
        letter, from_elsewhere = sorted(await written(house), key=lambda each: each.text)
        assert "an address that it had not been used from before" in from_elsewhere.text
        assert letter.text.startswith(
            "A recovery code of your account was used; 9 of them are left.\n"
        )
        assert "By: your own account from 203.0.113.77" in letter.text
        again = await login(house.client(), ALICE, totp_code=typed)
        assert error(again) == (401, "LOGIN_FAILED")

    async def test_without_a_second_factor_a_code_is_not_looked_at(self, house: Stage) -> None:
        answer = await login(house.client(), ALICE, totp_code="nonsense")
        assert answer.status_code == 200

    async def test_an_empty_code_is_none(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        for text in ("", None):
            answer = await login(house.client(), ALICE, totp_code=text)
            assert error(answer) == (401, "TOTP_REQUIRED")
        long = await login(house.client(), ALICE, totp_code="1" * 201)
        assert problems(long)[0][0] == "$.totp_code"

    async def test_a_wrong_password_says_nothing_of_the_code(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        answers = [
            await login(house.client(ip="192.0.2.1"), ALICE, "not the password"),
            await login(
                house.client(ip="192.0.2.2"), ALICE, "not the password", totp_code=code(house)
            ),
            await login(
                house.client(ip="192.0.2.3"), ALICE, "not the password", totp_code=wrong(house)
            ),
            await login(house.client(ip="192.0.2.4"), "nobody@acme.example", totp_code=code(house)),
        ]
        assert {error(answer) for answer in answers} == {(401, "LOGIN_FAILED")}
        assert len({answer.content for answer in answers}) == 1
        # And the code was not used up by it.
        assert (await login(house.client(), ALICE, totp_code=code(house))).status_code == 200

    async def test_a_damaged_secret(self, house: Stage, caplog: pytest.LogCaptureFixture) -> None:
        await arm(house, house.cast.alice)
        await house.house.db.write(
            lambda conn: conn.execute(
                "UPDATE users SET totp_secret = substr(totp_secret, 1, 40) WHERE id = ?",
                (house.cast.alice.id,),
            )
        )
        with caplog.at_level(logging.ERROR):
            answer = await login(house.client(), ALICE, totp_code="123456")
        assert error(answer) == (503, "UNAVAILABLE")
        assert answer.json()["error"]["message"] == (
            "The stored secret of your one-time codes is damaged; use a recovery code, or have "
            "your second factor reset by an administrator or with netpulse user reset-2fa"
        )
        assert "one-time codes cannot be checked" in caplog.text
        assert (await login(house.client(), ALICE, totp_code=RECOVERY[0])).status_code == 200


class TestLimit:
    async def fail(self, house: Stage, times: int, network: str = "198.51.100") -> None:
        for number in range(times):
            client = house.client(ip=f"{network}.{number}")
            answer = await login(client, ALICE, totp_code=wrong(house))
            assert error(answer) == (401, "LOGIN_FAILED")

    async def test_five_wrong_codes_across_a_restart(self, open_stage: Opener) -> None:
        stage = await open_stage()
        with_mail(stage)
        await arm(stage, stage.cast.alice)
        clock = clock_of(stage)
        await self.fail(stage, 5)
        clock.advance(60)
        blocked = await login(stage.client(), ALICE, totp_code=code(stage))
        assert error(blocked) == (429, "TOO_MANY_REQUESTS")
        assert blocked.headers["retry-after"] == str(14 * 60)
        assert blocked.json()["error"]["message"] == (
            "Too many wrong codes for your account; wait as long as Retry-After says, or use a "
            "recovery code"
        )
        # A right password resets nothing, and whoever lacks it learns nothing.
        assert error(await login(stage.client(), ALICE)) == (401, "TOTP_REQUIRED")
        unknown = await login(stage.client(), ALICE, "not the password", totp_code=code(stage))
        assert error(unknown) == (401, "LOGIN_FAILED")
        (letter,) = await written(stage)
        assert letter.text.startswith(
            "Wrong one-time codes were entered for your account, after the right password.\n"
        )
        assert "By: somebody who was not signed in from 198.51.100.4" in letter.text

        await stage.house.db.close()
        later = await open_stage(data=stage.data, clock=clock)
        answer = await login(later.client(), ALICE, totp_code=code(later))
        assert error(answer) == (429, "TOO_MANY_REQUESTS")
        # A recovery code cannot be guessed, and opens all the same.
        assert (await login(later.client(), ALICE, totp_code=RECOVERY[0])).status_code == 200
        clock.advance(14 * 60)
        assert (await login(later.client(), ALICE, totp_code=code(later))).status_code == 200

    async def test_a_burst_is_counted_one_by_one(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        text = wrong(house)
        answers = await asyncio.gather(
            *(
                login(house.client(ip=f"198.51.100.{number}"), ALICE, totp_code=text)
                for number in range(20)
            )
        )
        assert sorted(each.status_code for each in answers) == [401] * 5 + [429] * 15

    async def test_it_is_the_accounts_own(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        await arm(house, house.cast.bob)
        await self.fail(house, 5)
        answer = await login(house.client(), "bob@acme.example", totp_code=code(house))
        assert answer.status_code == 200

    async def test_wrong_codes_count_for_their_address_too(self, house: Stage) -> None:
        await arm(house, house.cast.alice)
        client = house.client(ip="203.0.113.9")
        for text in (wrong(house), "nonsense", "zzzzz-zzzzz-zzzzz-zzzzz-zzzzz", "0", wrong(house)):
            assert error(await login(client, ALICE, totp_code=text)) == (401, "LOGIN_FAILED")
        assert (await login(client, "charlie@globex.example")).status_code == 429
        other = house.client(ip="203.0.113.10")
        assert (await login(other, "charlie@globex.example")).status_code == 200
        # TOTP_REQUIRED is no failure.
        third = house.client(ip="203.0.113.11")
        for _ in range(10):
            assert error(await login(third, ALICE)) == (401, "TOTP_REQUIRED")

    async def test_a_session_that_guesses(self, house: Stage) -> None:
        client = await signed_in(house, ALICE)
        secret, recovery = await set_up(house, client)
        for _ in range(5):
            answer = await client.post(
                "/v1/auth/2fa/disable", json={"password": PASSWORD, "code": wrong(house)}
            )
            assert problems(answer) == [("$.code", "this code is wrong, or was used before")]
        body = {"password": PASSWORD, "code": code(house, 0, secret)}
        answer = await client.post("/v1/auth/2fa/disable", json=body)
        assert error(answer) == (429, "TOO_MANY_REQUESTS")
        answer = await login(house.client(), ALICE, totp_code=code(house, 0, secret))
        assert error(answer) == (429, "TOO_MANY_REQUESTS"), "the count is one"
        body = {"password": PASSWORD, "code": recovery[0]}
        assert (await client.post("/v1/auth/2fa/disable", json=body)).status_code == 200


class TestTurningOff:
    async def test_with_password_and_code(self, house: Stage) -> None:
        with_mail(house)
        client = await signed_in(house, ALICE)
        secret, recovery = await set_up(house, client)
        other = await signed_in(house, ALICE, totp_code=recovery[0])
        # (A recovery code ends the other sessions.)
        client = other
        for body, problem in (
            (
                {"password": "not the password", "code": code(house, 0, secret)},
                ("$.password", "this is not your password"),
            ),
            (
                {"password": PASSWORD, "code": code(house, -3, secret)},
                ("$.code", "this code is wrong, or was used before"),
            ),
            (
                {"password": PASSWORD, "code": recovery[0]},
                ("$.code", "this code is wrong, or was used before"),
            ),
            ({"password": PASSWORD}, ("$.code", "this field is required")),
        ):
            assert problems(await client.post("/v1/auth/2fa/disable", json=body)) == [problem]
        body = {"password": PASSWORD, "code": code(house, 0, secret)}
        answer = await client.post("/v1/auth/2fa/disable", json=body)
        assert (answer.status_code, answer.json()["data"]) == (200, None)
        assert (await login(house.client(), ALICE)).status_code == 200
        user = await user_of(house, house.cast.alice)
        assert not user.totp_enabled
        assert await house.house.db.read(second_factors.secret, user.id) is None
        assert await house.house.db.read(second_factors.codes_left, user.id) == 0
        again = await client.post("/v1/auth/2fa/disable", json=body)
        assert error(again) == (409, "TOTP_NOT_ENABLED")
        assert "Two-factor authentication was turned off for your account." in await told(house)
        actions = await house.actions(house.cast.acme.id)
        assert actions.count("auth.proof_refused") == 3
        assert actions[-2:] == ["auth.second_factor_off", "auth.logged_in"]

    async def test_new_recovery_codes(self, house: Stage) -> None:
        with_mail(house)
        client = await signed_in(house, ALICE)
        off = await client.post(
            "/v1/auth/2fa/recovery-codes", json={"password": PASSWORD, "code": "123456"}
        )
        assert error(off) == (409, "TOTP_NOT_ENABLED")
        secret, old = await set_up(house, client)
        body = {"password": PASSWORD, "code": code(house, 0, secret)}
        answer = await client.post("/v1/auth/2fa/recovery-codes", json=body)
        new = answer.json()["data"]["recovery_codes"]
        assert len(set(new) - set(old)) == 10
        assert error(await login(house.client(), ALICE, totp_code=old[0])) == (401, "LOGIN_FAILED")
        assert (await login(house.client(), ALICE, totp_code=new[0])).status_code == 200
        assert await told(house) == {
            "Two-factor authentication was turned on for your account.",
            "New recovery codes were made for your account; the old ones work no more.",
            "A recovery code of your account was used; 9 of them are left.",
        }

    async def test_it_is_on_disk_before_it_is_said(self, open_stage: Opener) -> None:
        """What was used is used after a restart too."""
        stage = await open_stage()
        await arm(stage, stage.cast.alice)
        text = code(stage)
        assert (await login(stage.client(), ALICE, totp_code=text)).status_code == 200
        assert (await login(stage.client(), ALICE, totp_code=RECOVERY[0])).status_code == 200
        await stage.house.db.close()
        later = await open_stage(data=stage.data, clock=stage.house.clock)
        for used in (text, RECOVERY[0]):
            answer = await login(later.client(), ALICE, totp_code=used)
            assert error(answer) == (401, "LOGIN_FAILED")


async def test_the_answers_hold_no_more_than_they_should(house: Stage) -> None:
    """The secret is in one answer, the recovery codes are in another, and neither in any else."""
    client = await signed_in(house, ALICE)
    secret, recovery = await set_up(house, client)
    texts = [
        (await client.get("/v1/auth/me")).text,
        (await client.get("/v1/auth/sessions")).text,
        (await client.get("/v1/org/members")).text,
        json.dumps(await house.payloads(house.cast.acme.id)),
    ]
    for text in texts:
        assert secret not in text
        assert not any(each in text for each in recovery)


async def test_no_secret_is_logged(house: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, with everything that goes right and wrong."""
    with caplog.at_level(logging.DEBUG):
        client = await signed_in(house, ALICE)
        secret, recovery = await set_up(house, client)
        typed = code(house, 0, secret)
        bad = "a guess at a password"
        await login(house.client(ip="192.0.2.1"), ALICE, bad)
        await login(house.client(ip="192.0.2.2"), "nobody@acme.example", bad)
        await login(house.client(ip="192.0.2.3"), ALICE, totp_code=wrong(house))
        await login(house.client(ip="192.0.2.4"), ALICE, totp_code=typed)
        await login(house.client(ip="192.0.2.5"), ALICE, totp_code=recovery[0])
        page = house.client(ip="192.0.2.6")
        asked = await page.post("/login", data={"email": ALICE, "password": PASSWORD})
        ticket = asked.text.partition('name="ticket" value="')[2].partition('"')[0]
        form = {"ticket": ticket, "code": code(house, 1, secret)}
        assert (await page.post("/login", data=form)).status_code == 303
        change = {"current_password": PASSWORD, "new_password": "eleven brave walruses"}
        assert (await page.post("/v1/auth/password", json=change)).status_code == 200
        await page.post("/v1/auth/password", json={"current_password": bad, "new_password": "x"})
    kept = caplog.text + repr([record.__dict__ for record in caplog.records])
    token = client.headers["Authorization"].removeprefix("Bearer ")
    for each in (PASSWORD, bad, secret, *recovery, ticket, token, "walruses"):
        assert each not in kept
    assert page.cookies["np_session"] not in kept


def test_limits_are_what_the_handbook_says() -> None:
    from netpulse.storage import account_failures, login_attempts

    assert (account_failures.LIMIT, account_failures.WINDOW) == (5, 15 * MINUTE)
    assert (login_attempts.LIMIT, login_attempts.WINDOW) == (5, 10 * MINUTE)
    assert (login_attempts.PRESSURE, login_attempts.CALM) == (20, 15 * MINUTE)
