"""A forgotten password: who gets a letter, what everybody is told, and what a link can do."""

from __future__ import annotations

import asyncio
import logging
import re
import statistics
import time
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from netpulse.config import Config, Smtp
from netpulse.model.letter import LetterKind
from netpulse.model.time import HOUR, MINUTE
from netpulse.storage import known_addresses, password_resets, sessions, users
from netpulse.storage.db import Conn
from netpulse.web import password_resets as web
from tests.cast import PASSWORD
from tests.clock import FakeClock
from tests.conftest import WITH_MAIL, Opener, Stage
from tests.sign_ins import RECOVERY, arm, browser, code, error, login, signed_in, wrong

NEW = "nine patient herons"
ALICE, BOB = "alice@acme.example", "bob@acme.example"
FORGOT, RESET = "/v1/auth/password/forgot", "/v1/auth/password/reset"
NOTHING = {"success": True, "data": None}


@pytest.fixture
async def stage(open_stage: Opener, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage with a mail server and an address to link to, which answers at once."""
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.0)
    return await open_stage(config=WITH_MAIL)


def clock_of(stage: Stage) -> FakeClock:
    clock = stage.house.clock
    assert isinstance(clock, FakeClock)
    return clock


async def forget(stage: Stage, email: str = ALICE, ip: str = "192.0.2.10") -> httpx.Response:
    return await stage.client(ip=ip).post(FORGOT, json={"email": email})


async def links(stage: Stage) -> list[str]:
    """Return the tokens in the letters that wait."""
    found = [
        re.findall(r"^https://netpulse\.example/reset/(\S+)$", letter.text, re.MULTILINE)
        for letter in await stage.letters()
        if letter.kind is LetterKind.PASSWORD_RESET
    ]
    assert all(len(one) == 1 for one in found)
    return [one[0] for one in found]


async def link(stage: Stage, email: str = ALICE, ip: str = "192.0.2.10") -> str:
    """Ask for a link and return its token."""
    clock_of(stage).advance(1)
    answer = await forget(stage, email, ip)
    assert (answer.status_code, answer.json()) == (200, NOTHING)
    (token,) = await links(stage)
    return token


async def use(
    stage: Stage, token: str, password: str = NEW, ip: str = "192.0.2.10", **more: Any
) -> httpx.Response:
    body = {"token": token, "password": password, **more}
    return await stage.client(ip=ip).post(RESET, json=body)


class TestAsking:
    async def test_the_letter(self, stage: Stage) -> None:
        answer = await forget(stage, "  Alice@ACME.example ")
        assert (answer.status_code, answer.json()) == (200, NOTHING)
        (letter,) = await stage.letters()
        assert letter.recipient == ALICE
        assert letter.subject == "Set a new password for NetPulse"
        assert letter.expires_at == stage.house.clock.now() + 30 * MINUTE
        (token,) = await links(stage)
        assert len(token) == 43, "256 bits"
        assert (
            "Somebody, from the address 192.0.2.10, asked for a new password for the NetPulse "
            "account alice@acme.example."
        ) in letter.text
        assert await stage.audit(stage.cast.acme.id) == [
            ("auth.password_reset_asked", None, "alice@acme.example")
        ]

    async def test_only_a_digest_of_the_link_is_stored(self, stage: Stage) -> None:
        token = await link(stage)
        rows = await stage.house.db.read(
            lambda conn: [
                conn.all("SELECT * FROM password_resets"),
                conn.all("SELECT * FROM letters"),
                conn.all("SELECT * FROM audit_logs"),
            ]
        )
        assert token not in repr(rows)
        assert stage.house.digester.digest(token) in repr(rows[0])
        for file in stage.data.glob("netpulse.db*"):
            assert token.encode() not in file.read_bytes()

    @pytest.mark.parametrize(
        "base", ["http://netpulse.example", "http://203.0.113.66", "http://evil.local"]
    )
    async def test_the_link_is_not_made_of_what_the_request_says(
        self, stage: Stage, base: str
    ) -> None:
        """Other names than the public one are answered too: addresses, those of a local network."""
        headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        client = stage.client(base=base, headers=headers)
        assert (await client.post(FORGOT, json={"email": ALICE})).status_code == 200
        (letter,) = await stage.letters()
        assert re.findall(r"https?://[^/\s]+", letter.text) == ["https://netpulse.example"]
        assert "evil" not in letter.text
        assert "203.0.113.66" not in letter.text

    async def test_everybody_is_told_the_same(self, stage: Stage) -> None:
        await stage.house.db.write(users.set_active, stage.cast.bob.id, False, 1)
        await stage.house.db.write(
            lambda conn: conn.execute(
                "UPDATE memberships SET is_active = 0 WHERE user_id = ?", (stage.cast.charlie.id,)
            )
        )
        asked = [
            ALICE,
            BOB,  # disabled
            "charlie@globex.example",  # nowhere to go
            "nobody@acme.example",
            "no address at all",
            "",
            "x" * 9_000,
            f"{ALICE}\r\nBcc: evil@example.com",
            "alice@acme.example, bob@acme.example",
        ]
        answers = [
            await forget(stage, email, ip=f"192.0.2.{number}") for number, email in enumerate(asked)
        ]
        # The limit of an account is nobody else's business either.
        answers += [await forget(stage, ALICE, ip=f"192.0.2.{100 + n}") for n in range(5)]
        answers += [await forget(stage, BOB, ip=f"192.0.2.{200 + n}") for n in range(5)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        kept = [
            {name: value for name, value in answer.headers.items() if name != "x-request-id"}
            for answer in answers
        ]
        assert all(one == kept[0] for one in kept)
        assert {letter.recipient for letter in await stage.letters()} == {ALICE}
        assert "auth.password_reset_asked" not in await stage.actions(stage.cast.globex.id)

    async def test_it_takes_the_same_time(self, open_stage: Opener) -> None:
        stage = await open_stage(config=WITH_MAIL)

        async def took(email: str, ip: str) -> float:
            began = time.perf_counter()
            assert (await forget(stage, email, ip)).status_code == 200
            return time.perf_counter() - began

        await took(ALICE, "198.51.100.1")
        known, unknown = [], []
        for number in range(8):
            clock_of(stage).advance(HOUR / 1000)
            known.append(await took(ALICE, f"203.0.113.{number}"))
            unknown.append(await took("nobody@acme.example", f"203.0.113.{100 + number}"))
        assert len(await stage.house.db.read(_all_resets)) == 9, "each of them wrote a letter"
        first, second = statistics.median(known), statistics.median(unknown)
        assert abs(first - second) < 0.1 * min(first, second)

    async def test_the_newest_link_alone_is_good(self, stage: Stage) -> None:
        first = await link(stage)
        second = await link(stage)
        assert first != second
        assert error(await use(stage, first)) == (400, "RESET_TOKEN_INVALID")
        # What still waited is not sent any more.
        rows = await stage.house.db.read(
            lambda conn: conn.all("SELECT error, body FROM letters WHERE next_attempt_at IS NULL")
        )
        assert rows == [("a newer one has taken its place", None)]
        assert (await use(stage, second)).status_code == 200

    async def test_three_letters_an_hour_and_always_one_that_works(self, stage: Stage) -> None:
        """Whoever asks in somebody's name all the time floods no mailbox, and takes no link."""
        clock, began = clock_of(stage), stage.house.clock.now()
        written: list[int] = []
        token = ""
        for minute in range(0, 300, 5):
            clock.set_wall(began + minute * MINUTE - clock.now())
            answer = await forget(stage, ALICE, ip=f"2001:db8:{minute:x}::1")
            assert answer.json() == NOTHING
            waiting = [one for one in await stage.letters() if one.created_at == clock.now()]
            if waiting:
                written.append(minute)
                (token,) = [
                    one for letter in waiting for one in re.findall(r"/reset/(\S+)", letter.text)
                ]
            digest = stage.house.digester.digest(token)
            assert await stage.house.db.read(password_resets.find, digest, clock.now()), minute
        assert written == [0, 5, 30, 60, 65, 90, 120, 125, 150, 180, 185, 210, 240, 245, 270]
        for minute in range(300):
            assert sum(minute < at <= minute + 60 for at in written) <= 3

    async def test_who_has_used_the_last_one_gets_another(self, stage: Stage) -> None:
        clock = clock_of(stage)
        await forget(stage, ip="203.0.113.66")
        token = await link(stage)
        assert (await use(stage, token)).status_code == 200
        clock.advance(60)
        page = await stage.client(ip="192.0.2.11").post("/forgot", data={"email": ALICE})
        assert (
            "If you asked before, look for the latest letter: there are at most three an hour."
        ) in page.text
        (other,) = await links(stage)
        assert other != token
        assert (await use(stage, other, PASSWORD)).status_code == 200
        # That was the third in this hour.
        clock.advance(60)
        await forget(stage)
        assert await links(stage) == [other]

    async def test_five_requests_in_ten_minutes_from_an_address(
        self, stage: Stage, open_stage: Opener
    ) -> None:
        clock = clock_of(stage)
        for _ in range(5):
            assert (await forget(stage, "nobody@acme.example", "203.0.113.9")).status_code == 200
            clock.advance(1)
        refused = await forget(stage, ALICE, "203.0.113.9")
        assert error(refused) == (429, "TOO_MANY_REQUESTS")
        assert refused.headers["retry-after"] == "595"
        assert await stage.letters() == []
        # It is no failed sign-in, and the other way round.
        assert (await login(stage.client(ip="203.0.113.9"), ALICE)).status_code == 200
        for _ in range(5):
            await login(stage.client(ip="203.0.113.10"), ALICE, "wrong wrong")
        assert (await forget(stage, ALICE, "203.0.113.10")).status_code == 200
        # A restart is no way around.
        await stage.house.db.close()
        later = await open_stage(config=WITH_MAIL, data=stage.data, clock=clock)
        assert (await forget(later, ALICE, "203.0.113.9")).status_code == 429
        clock.advance(595)
        assert (await forget(later, ALICE, "203.0.113.9")).status_code == 200

    @pytest.mark.parametrize(
        "config",
        [
            Config(),
            Config(smtp=WITH_MAIL.smtp),
            Config(server=WITH_MAIL.server, smtp=Smtp()),
        ],
        ids=["neither", "no address", "no mail"],
    )
    async def test_where_no_link_can_be_sent_everybody_hears_so(
        self, open_stage: Opener, config: Config
    ) -> None:
        stage = await open_stage(config=config)
        answers = [await forget(stage, email) for email in (ALICE, "nobody@acme.example", "x")]
        assert {answer.status_code for answer in answers} == {503}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].json()["error"] == {
            "code": "MAIL_NOT_CONFIGURED",
            "message": (
                "This NetPulse cannot send you a link. Ask one of its administrators: on its "
                "machine, netpulse user password sets a new password"
            ),
            "details": {},
        }
        assert await stage.letters() == []
        assert await stage.house.db.read(_all_resets) == []
        page = (await stage.client().get("/forgot")).text
        assert "This instance cannot send you a link." in page
        assert "<form" not in page.partition("<main")[2]
        login_page = (await stage.client().get("/login")).text
        assert 'href="/forgot"' not in login_page
        assert "netpulse user password" in login_page

    async def test_what_is_no_request(self, stage: Stage) -> None:
        client = stage.client()
        for body in ({}, {"email": 5}, {"email": None}, {"email": "a@b.example", "url": "x"}):
            assert error(await client.post(FORGOT, json=body)) == (400, "VALIDATION_FAILED")
        assert (await client.post(FORGOT, data={"email": ALICE})).status_code == 415
        foreign = await client.post(
            FORGOT, json={"email": ALICE}, headers={"Origin": "https://evil.example"}
        )
        assert foreign.status_code == 403
        assert await stage.letters() == []


def _all_resets(conn: Conn) -> list[tuple[Any, ...]]:
    return conn.all("SELECT * FROM password_resets")


class TestSetting:
    async def test_a_new_password_ends_every_sign_in(self, stage: Stage) -> None:
        cookie = await browser(stage, ALICE)
        program = await signed_in(stage, ALICE)
        token = await link(stage)
        clock_of(stage).advance(1)
        answer = await use(stage, token, ip="198.51.100.7")
        assert (answer.status_code, answer.json()) == (200, NOTHING)
        assert "set-cookie" not in answer.headers, "nobody is signed in by it"
        assert (await cookie.get("/v1/monitors")).status_code == 401
        assert (await program.get("/v1/monitors")).status_code == 401
        assert (await program.post("/v1/auth/refresh")).status_code == 401
        assert error(await login(stage.client(), ALICE)) == (401, "LOGIN_FAILED")
        assert (await login(stage.client(), ALICE, NEW)).status_code == 200
        assert (await stage.audit(stage.cast.acme.id))[3] == (
            "auth.password_reset",
            stage.cast.alice.id,
            ALICE,
        )
        told = [one for one in await stage.letters() if one.kind is LetterKind.SECURITY]
        # The new sign-in was from nowhere known: with the password the addresses are forgotten.
        assert {one.subject for one in told} == {
            "NetPulse: your password was set anew, with a link that was sent to this address",
            (
                "NetPulse: your account was signed in to from an address that it had not been used "
                "from before"
            ),
        }
        (letter,) = [one for one in told if "set anew" in one.subject]
        assert "By: your own account from 198.51.100.7" in letter.text
        # Somebody else's sign-in goes on.
        bob = stage.client(headers=stage.cast.bob.headers)
        assert (await bob.get("/v1/monitors")).status_code == 200

    async def test_it_forgets_from_where_anybody_signed_in(self, stage: Stage) -> None:
        """Else whoever knew the old password would be let in unnoticed with a new one."""
        thief = "203.0.113.66"
        for ip in ("192.0.2.10", thief):
            await browser(stage, ALICE, ip=ip)
        clock_of(stage).advance(1)
        assert (await use(stage, await link(stage))).status_code == 200
        alice = stage.cast.alice.id
        for ip in ("192.0.2.10", thief):
            assert not await stage.house.db.read(known_addresses.is_known, alice, ip)

    async def test_a_link_works_once(self, stage: Stage) -> None:
        token = await link(stage)
        assert (await use(stage, token)).status_code == 200
        again = await use(stage, token, "another patient heron")
        assert again.status_code == 400
        assert again.json()["error"] == {
            "code": "RESET_TOKEN_INVALID",
            "message": (
                "This link is not complete, was used, or has expired: it lasts 30 minutes, works "
                "once, and only the newest one works. Ask for another"
            ),
            "details": {},
        }
        assert (await login(stage.client(), ALICE, NEW)).status_code == 200

    async def test_of_twenty_at_once_one_gets_through(self, stage: Stage) -> None:
        token = await link(stage)
        passwords = [f"{number} patient herons" for number in range(20)]
        answers = await asyncio.gather(
            *(
                use(stage, token, password, ip=f"203.0.113.{number}")
                for number, password in enumerate(passwords)
            )
        )
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) == [200] + [400] * 19
        won = passwords[statuses.index(200)]
        assert (await login(stage.client(), ALICE, won)).status_code == 200
        assert (await stage.actions(stage.cast.acme.id)).count("auth.password_reset") == 1

    async def test_thirty_minutes(self, stage: Stage) -> None:
        token = await link(stage)
        clock = clock_of(stage)
        clock.advance(30 * 60 - 1)
        assert (await stage.client().get(f"/reset/{token}")).status_code == 200
        clock.advance(1)
        assert error(await use(stage, token)) == (400, "RESET_TOKEN_INVALID")
        # Nor does a clock that is set back make it last longer.
        clock.set_wall(-HOUR)
        assert error(await use(stage, token)) == (400, "RESET_TOKEN_INVALID")

    @pytest.mark.parametrize("token", ["", "x", "a" * 43, "ä" * 43, "\ud800", "../../x", "0" * 200])
    async def test_what_is_no_link(self, stage: Stage, token: str) -> None:
        await link(stage)
        body = b'{"token": %s, "password": "nine patient herons"}' % _json(token)
        headers = {"Content-Type": "application/json"}
        answer = await stage.client().post(RESET, content=body, headers=headers)
        assert answer.status_code == 400
        assert (await login(stage.client(), ALICE)).status_code == 200

    async def test_unknown_links_are_limited(self, stage: Stage) -> None:
        statuses = [(await use(stage, f"{number:043}")).status_code for number in range(61)]
        assert statuses == [400] * 60 + [429]

    @pytest.mark.parametrize(
        ("password", "message"),
        [
            ("short", "the password needs at least 12 characters"),
            (ALICE, "the password must not be the email address"),
            ("password1234", "this password is among the most common ones; choose another"),
            ("ö" * 600, "the password is longer than 1024 bytes"),
        ],
    )
    async def test_the_passwords_are_those_of_a_registration(
        self, stage: Stage, password: str, message: str
    ) -> None:
        token = await link(stage)
        answer = await use(stage, token, password)
        assert answer.status_code == 400
        assert answer.json()["error"]["details"]["errors"] == [
            {"path": "$.password", "message": message}
        ]
        # Nothing is used up by that.
        assert (await use(stage, token)).status_code == 200

    async def test_another_change_of_the_password_ends_the_link(self, stage: Stage) -> None:
        token = await link(stage)
        clock_of(stage).advance(1)
        now = stage.house.clock.now()
        await stage.house.db.write(users.set_password, stage.cast.alice.id, "x", now)
        assert error(await use(stage, token)) == (400, "RESET_TOKEN_INVALID")

    async def test_after_the_clock_was_ahead(self, stage: Stage) -> None:
        """The password was set in what is the future now."""
        clock, year = clock_of(stage), 365 * 24 * HOUR
        clock.set_wall(year)
        alice = await signed_in(stage, ALICE)
        body = {"current_password": PASSWORD, "new_password": "eight patient herons"}
        assert (await alice.post("/v1/auth/password", json=body)).status_code == 200
        clock.set_wall(-year)
        assert (await use(stage, await link(stage))).status_code == 200

    async def test_a_clock_that_is_set_back_brings_none_back(self, stage: Stage) -> None:
        first = await link(stage)
        clock = clock_of(stage)
        await stage.house.db.write(lambda conn: conn.execute("DELETE FROM letters"))
        clock.advance(60)
        await link(stage)
        clock.set_wall(-30_000)
        assert error(await use(stage, first)) == (400, "RESET_TOKEN_INVALID")

    async def test_disabled_meanwhile(self, stage: Stage) -> None:
        token = await link(stage)
        await stage.house.db.write(users.set_active, stage.cast.alice.id, False, 1)
        assert error(await use(stage, token)) == (400, "RESET_TOKEN_INVALID")
        await stage.house.db.write(users.set_active, stage.cast.alice.id, True, 1)
        assert (await use(stage, token)).status_code == 200

    async def test_from_an_address_that_the_account_does_not_allow(self, stage: Stage) -> None:
        token = await link(stage)
        await stage.house.db.write(
            lambda conn: conn.execute(
                "UPDATE users SET ip_whitelist = ? WHERE id = ?",
                ('["198.51.100.0/24"]', stage.cast.alice.id),
            )
        )
        answer = await use(stage, token)
        assert error(answer) == (403, "FORBIDDEN")
        assert "You may not come from this address" in answer.json()["error"]["message"]
        assert (await use(stage, token, ip="198.51.100.7")).status_code == 200

    async def test_what_is_no_body(self, stage: Stage) -> None:
        client = stage.client()
        for body in (
            {},
            {"token": "x"},
            {"password": NEW},
            {"token": 5, "password": NEW},
            {"token": "x" * 201, "password": NEW},
            {"token": "x", "password": NEW, "email": ALICE},
            {"token": "x", "password": NEW, "user_id": stage.cast.alice.id},
        ):
            assert error(await client.post(RESET, json=body)) == (400, "VALIDATION_FAILED")


def _json(text: str) -> bytes:
    import json

    return json.dumps(text).encode()


class TestSecondFactor:
    async def test_the_code_is_asked_for_all_the_same(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        for _ in range(7):  # asking is no failure
            asked = await use(stage, token)
            assert error(asked) == (401, "TOTP_REQUIRED")
        bad = await use(stage, token, totp_code=wrong(stage))
        assert error(bad) == (401, "LOGIN_FAILED")
        assert error(await login(stage.client(), ALICE, NEW)) == (401, "LOGIN_FAILED")
        # Neither used the link up.
        good = code(stage)
        assert (await use(stage, token, totp_code=good)).status_code == 200
        # The code counts once, for a sign-in too.
        once = await login(stage.client(), ALICE, NEW, totp_code=good)
        assert error(once) == (401, "LOGIN_FAILED")
        clock_of(stage).advance(30)
        assert (await login(stage.client(), ALICE, NEW, totp_code=code(stage))).status_code == 200
        assert "auth.password_reset_refused" in await stage.actions(stage.cast.acme.id)

    async def test_a_recovery_code_does_too(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        assert (await use(stage, token, totp_code=RECOVERY[0])).status_code == 200
        other = await login(stage.client(), ALICE, NEW, totp_code=RECOVERY[0])
        assert error(other) == (401, "LOGIN_FAILED")

    async def test_a_flawed_password_costs_no_code(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        assert (await use(stage, token, "short", totp_code=code(stage))).status_code == 400
        assert (await use(stage, token, totp_code=code(stage))).status_code == 200

    async def test_codes_are_limited_by_link(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        for number in range(5):
            answer = await use(stage, token, totp_code=wrong(stage), ip=f"203.0.113.{number}")
            assert error(answer) == (401, "LOGIN_FAILED")
        held = await use(stage, token, totp_code=code(stage), ip="203.0.113.77")
        assert error(held) == (429, "TOO_MANY_REQUESTS")
        assert held.json()["error"]["message"] == (
            "Too many wrong codes with this link; use a recovery code, or ask for another link"
        )
        assert held.headers["retry-after"] == "1800"
        # A recovery code is looked at all the same.
        free = await use(stage, token, totp_code=RECOVERY[0], ip="203.0.113.77")
        assert free.status_code == 200

    async def test_they_hold_up_no_code_of_the_owner(self, stage: Stage) -> None:
        """Whoever reads the owner's mail knows no password; the owner does, and signs in."""
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        for number in range(5):
            await use(stage, token, totp_code=wrong(stage), ip=f"203.0.113.{number}")
        there = await login(stage.client(), ALICE, totp_code=code(stage))
        assert there.status_code == 200

    async def test_the_owner_hears_where_they_were_entered(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        for number in range(5):
            await use(stage, token, totp_code=wrong(stage), ip=f"203.0.113.{number}")
        (letter,) = [one for one in await stage.letters() if one.kind is LetterKind.SECURITY]
        assert letter.text.startswith(
            "Wrong one-time codes were entered for your account, with a link for a new password "
            "that was sent to this address.\n"
        )
        assert "By: somebody who was not signed in from 203.0.113.4\n" in letter.text
        rows = await stage.audit(stage.cast.acme.id)
        assert rows[-5:] == [("auth.password_reset_refused", None, ALICE)] * 5

    async def test_wrong_codes_close_the_address_too(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        for _ in range(5):
            await use(stage, token, totp_code=wrong(stage), ip="203.0.113.9")
        blocked = await login(stage.client(ip="203.0.113.9"), BOB)
        assert error(blocked) == (429, "TOO_MANY_REQUESTS")
        assert (await login(stage.client(ip="203.0.113.10"), BOB)).status_code == 200

    async def test_failed_sign_ins_close_it_only_where_a_code_is_asked_for(
        self, stage: Stage
    ) -> None:
        for _ in range(5):
            await login(stage.client(ip="203.0.113.9"), ALICE, "wrong wrong")
        assert (await use(stage, await link(stage), ip="203.0.113.9")).status_code == 200
        await arm(stage, stage.cast.bob)
        clock_of(stage).advance(1)
        await stage.house.db.write(lambda conn: conn.execute("DELETE FROM letters"))
        token = await link(stage, BOB)
        held = await use(stage, token, totp_code=code(stage), ip="203.0.113.9")
        assert error(held) == (429, "TOO_MANY_REQUESTS")

    async def test_one_code_of_twenty_uses(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token, good = await link(stage), code(stage)
        answers = await asyncio.gather(
            *(
                use(stage, token, f"{n} patient herons", ip=f"203.0.113.{n}", totp_code=good)
                for n in range(20)
            )
        )
        assert [answer.status_code for answer in answers].count(200) == 1


class TestPages:
    async def test_the_whole_way(self, stage: Stage) -> None:
        client = stage.client()
        assert '<a href="/forgot">Forgot your password?</a>' in (await client.get("/login")).text
        form = await client.get("/forgot")
        assert form.status_code == 200
        assert "This page is not encrypted: whoever is on the way to this server can read what" in (
            form.text
        )
        assert 'name="email"' in form.text
        sent = await client.post("/forgot", data={"email": ALICE})
        unknown = await stage.client().post("/forgot", data={"email": "nobody@acme.example"})
        assert (sent.status_code, unknown.status_code) == (200, 200)
        assert sent.text == unknown.text
        assert "If somebody has this address, a letter with a link is on its way to it." in (
            sent.text
        )
        (token,) = await links(stage)
        # Opening it, as link scanners do, changes nothing.
        for _ in range(2):
            page = await client.get(f"/reset/{token}")
            assert page.status_code == 200
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["referrer-policy"] == "strict-origin"
            assert page.headers["x-robots-tag"] == "noindex"
            assert 'value="alice@acme.example"' in page.text
            assert "totp_code" not in page.text
            assert token not in page.text, "the form posts to its own address"
        refused = await client.post(f"/reset/{token}", data={"password": "short"})
        assert refused.status_code == 400
        assert "New password: the password needs at least 12 characters." in refused.text
        done = await client.post(
            f"/reset/{token}", data={"password": NEW}, headers={"Origin": "http://netpulse.example"}
        )
        assert (done.status_code, done.headers["location"]) == (303, "/login?told=password-set")
        shown = await client.get(done.headers["location"])
        assert "Your new password is set, and all sign-ins have ended. Sign in." in shown.text
        for gone in (
            await client.get(f"/reset/{token}"),
            await client.post(f"/reset/{token}", data={"password": PASSWORD}),
        ):
            assert gone.status_code == 404
            assert "This link is not complete, was used, or has expired" in gone.text
            assert 'href="/forgot"' in gone.text
            assert "cache-control" in gone.headers
        entered = await client.post("/login", data={"email": ALICE, "password": NEW})
        assert entered.status_code == 303

    async def test_with_a_second_factor(self, stage: Stage) -> None:
        await arm(stage, stage.cast.alice)
        token = await link(stage)
        client = stage.client()
        assert 'name="totp_code"' in (await client.get(f"/reset/{token}")).text
        url = f"/reset/{token}"
        without = await client.post(url, data={"password": NEW, "totp_code": " "})
        assert without.status_code == 401
        assert "One-time code: enter the one that your app shows." in without.text
        bad = await client.post(url, data={"password": NEW, "totp_code": wrong(stage)})
        assert bad.status_code == 401
        assert "One-time code: This code is wrong, or was used before" in bad.text
        assert NEW not in bad.text
        done = await client.post(url, data={"password": NEW, "totp_code": code(stage)})
        assert done.status_code == 303

    async def test_the_address_is_told_to_nobody_with_tls(self, open_stage: Opener) -> None:
        server = replace(WITH_MAIL.server, trusted_proxies=("192.0.2.0/24",))
        stage = await open_stage(config=replace(WITH_MAIL, server=server))
        token = await link(stage)
        client = stage.client(headers={"X-Forwarded-Proto": "https"})
        for path in (f"/reset/{token}", "/reset/nonsense"):
            page = await client.get(path)
            assert page.headers["referrer-policy"] == "no-referrer"

    async def test_another_site_sets_nothing(self, stage: Stage) -> None:
        token = await link(stage)
        answer = await stage.client().post(
            f"/reset/{token}", data={"password": NEW}, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert (await login(stage.client(), ALICE)).status_code == 200

    async def test_too_many(self, stage: Stage) -> None:
        client = stage.client()
        for _ in range(5):
            await client.post("/forgot", data={"email": ALICE})
        page = await client.post("/forgot", data={"email": ALICE})
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) > 0
        assert "Too many requests from your address" in page.text
        assert 'value="alice@acme.example"' in page.text

    async def test_the_log_has_no_token_and_no_address(
        self, stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.DEBUG)
        token = await link(stage)
        await stage.client().get(f"/reset/{token}")

        def broken(*_: Any) -> None:
            raise RuntimeError("a mistake")

        monkeypatch.setattr(password_resets, "find", broken)
        answer = await stage.client().get(f"/reset/{token}")
        assert answer.status_code == 500
        # The client of the test has a log of its own.
        records = [record for record in caplog.records if record.name != "httpx"]
        said = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in records)
        assert "/reset/…" in said
        assert token not in said
        assert ALICE not in said


async def test_what_is_over_is_forgotten(stage: Stage) -> None:
    await link(stage)
    clock_of(stage).advance(25 * HOUR / 1000)
    await stage.house.engine.housekeeping.clean()
    assert await stage.house.db.read(_all_resets) == []


async def test_no_session_that_began_meanwhile_outlives_it(stage: Stage) -> None:
    """The end of all sign-ins and the new password are one transaction."""
    token = await link(stage)
    clock_of(stage).advance(1)

    async def opens() -> int:
        rows = await stage.house.db.read(
            lambda conn: conn.all(
                "SELECT id FROM refresh_families WHERE user_id = ? AND revoked_at IS NULL",
                (stage.cast.alice.id,),
            )
        )
        stands = [await stage.house.db.read(sessions.family_stands, row[0]) for row in rows]
        return sum(stands)

    assert await opens() >= 1
    assert (await use(stage, token)).status_code == 200
    assert await opens() == 0
