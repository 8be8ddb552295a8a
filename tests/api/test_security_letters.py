"""Whoever's account is changed hears of it by mail: what each change says, and that it goes out."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace

from netpulse.config import Smtp
from netpulse.engine.clock import Clock
from netpulse.engine.postman import POLL_SECONDS
from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY
from netpulse.storage import users
from netpulse.storage.db import Conn
from tests.cast import PASSWORD
from tests.clock import FakeClock
from tests.conftest import WITH_MAIL, Opener, Stage
from tests.mailbox import Mailbox
from tests.sign_ins import browser, code, login, signed_in

ALICE = "alice@acme.example"
NEW = "nine patient herons"
ELSEWHERE = (
    "NetPulse: your account was signed in to from an address that it had not been used from before"
)


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    return await open_stage(config=WITH_MAIL)


async def subjects(stage: Stage) -> list[str]:
    found = await stage.letters()
    assert {letter.kind for letter in found} <= {LetterKind.SECURITY}
    return [letter.subject for letter in sorted(found, key=lambda one: one.created_at)]


def pass_time(stage: Stage, seconds: float = 30) -> None:
    assert isinstance(stage.house.clock, FakeClock)
    stage.house.clock.advance(seconds)


class TestFromElsewhere:
    async def test_the_first_sign_in_is_no_news(self, stage: Stage) -> None:
        assert (await login(stage.client(), ALICE)).status_code == 200
        assert await stage.letters() == []

    async def test_a_new_address_is(self, stage: Stage) -> None:
        await login(stage.client(ip="192.0.2.10"), ALICE)
        pass_time(stage)
        await login(stage.client(ip="192.0.2.10"), ALICE)
        assert await stage.letters() == []
        pass_time(stage)
        await login(stage.client(ip="203.0.113.9"), ALICE)
        (letter,) = await stage.letters()
        assert (letter.recipient, letter.subject) == (ALICE, ELSEWHERE)
        assert letter.text.startswith(
            "Your account was signed in to from an address that it had not been used from before."
            "\n\nWhen: 2025-12-17T19:34:20Z\nBy: your own account from 203.0.113.9\n\n"
        )
        # Once.
        pass_time(stage)
        await browser(stage, ALICE, ip="203.0.113.9")
        assert len(await stage.letters()) == 1

    async def test_the_page_tells_too(self, stage: Stage) -> None:
        await login(stage.client(ip="192.0.2.10"), ALICE)
        pass_time(stage)
        await browser(stage, ALICE, ip="203.0.113.9")
        assert await subjects(stage) == [ELSEWHERE]

    async def test_a_network_of_ipv6_is_one_address(self, stage: Stage) -> None:
        await login(stage.client(ip="2001:db8:1:2::1"), ALICE)
        await login(stage.client(ip="2001:db8:1:2:ffff::9"), ALICE)
        assert await stage.letters() == []
        await login(stage.client(ip="2001:db8:1:3::1"), ALICE)
        assert await subjects(stage) == [ELSEWHERE]

    async def test_a_failed_sign_in_is_none(self, stage: Stage) -> None:
        await login(stage.client(ip="192.0.2.10"), ALICE)
        await login(stage.client(ip="203.0.113.9"), ALICE, "wrong wrong")
        assert await stage.letters() == []
        await login(stage.client(ip="203.0.113.9"), ALICE)
        assert await subjects(stage) == [ELSEWHERE]

    async def test_after_a_long_time_every_address_is_new(self, stage: Stage) -> None:
        await login(stage.client(ip="192.0.2.10"), ALICE)
        pass_time(stage, 181 * DAY / 1000)
        await stage.house.engine.housekeeping.clean()
        await login(stage.client(ip="192.0.2.10"), ALICE)
        assert await subjects(stage) == [ELSEWHERE]

    async def test_without_a_mail_server_nothing_is_written(self, house: Stage) -> None:
        for ip in ("192.0.2.10", "203.0.113.9"):
            await login(house.client(ip=ip), ALICE)
        assert await house.letters() == []


async def test_every_change_of_an_account(stage: Stage) -> None:
    client = await signed_in(stage, ALICE)
    steps: list[tuple[str, str]] = []

    async def told(what: str) -> None:
        steps.append((what, (await subjects(stage))[-1]))
        pass_time(stage)

    proof = {"current_password": PASSWORD}
    secret = (await client.post("/v1/auth/2fa/setup", json=proof)).json()["data"]["secret"]
    verified = await client.post("/v1/auth/2fa/verify", json={"code": code(stage, 0, secret)})
    recovery = verified.json()["data"]["recovery_codes"]
    await told("on")
    body = {"password": PASSWORD, "code": code(stage, 0, secret)}
    fresh = await client.post("/v1/auth/2fa/recovery-codes", json=body)
    recovery = fresh.json()["data"]["recovery_codes"]
    await told("codes renewed")
    entered = await login(stage.client(), ALICE, totp_code=recovery[0])
    client.headers["Authorization"] = f"Bearer {entered.json()['data']['access_token']}"
    await told("recovery code used")
    body = {"ip_whitelist": ["192.0.2.0/24"], "current_password": PASSWORD}
    assert (await client.patch("/v1/auth/me", json=body)).status_code == 200
    await told("allowlist")
    body = {"password": PASSWORD, "code": code(stage, 0, secret)}
    assert (await client.post("/v1/auth/2fa/disable", json=body)).status_code == 200
    await told("off")
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await client.post("/v1/auth/password", json=body)).status_code == 200
    await told("password")
    key = {"name": "Deploy", "scopes": ["monitors:read"]}
    made = (await client.post("/v1/api-keys", json=key)).json()["data"]
    await told("key made")
    rotated = await client.post(f"/v1/api-keys/{made['id']}/rotate")
    assert rotated.status_code == 200
    await told("key rotated")
    assert [(what, said.removeprefix("NetPulse: ")) for what, said in steps] == [
        ("on", "two-factor authentication was turned on for your account"),
        ("codes renewed", "new recovery codes were made for your account; the old ones work no more"),
        ("recovery code used", "a recovery code of your account was used; 9 of them are left"),
        ("allowlist", "the addresses from which your account may be used were changed"),
        ("off", "two-factor authentication was turned off for your account"),
        ("password", "your password was changed"),
        ("key made", f"the API key Deploy ({made['prefix']}…) was made in your name"),
        ("key rotated", f"the API key Deploy ({made['prefix']}…) that was made in your name was given another secret"),
    ]  # fmt: skip
    texts = "".join(letter.text for letter in await stage.letters())
    secrets = [secret, *recovery, made["key"], rotated.json()["data"]["key"], PASSWORD, NEW]
    assert [each for each in secrets if each in texts] == []


async def test_they_go_out_at_once(open_stage: Opener) -> None:
    """What wakes the postman is the change itself, not its own look every few seconds."""
    async with Mailbox() as box:
        smtp = Smtp(host="127.0.0.1", port=box.port, sender="netpulse@example.com", security="none")
        stage = await open_stage(config=replace(WITH_MAIL, smtp=smtp), clock=Clock(), start=True)

        def long_ago(conn: Conn) -> None:
            users.touch_login(conn, stage.cast.alice.id, 1)

        await stage.house.db.write(long_ago)

        async def within(seconds: float, count: int) -> None:
            deadline = time.monotonic() + seconds
            while len(box.taken) < count:
                assert time.monotonic() < deadline, f"{count} letters"
                await asyncio.sleep(0.02)

        client = await signed_in(stage, ALICE)
        await within(POLL_SECONDS / 2, 1)
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert (await client.post("/v1/auth/password", json=body)).status_code == 200
        await within(POLL_SECONDS / 2, 2)
        key = {"name": "Deploy", "scopes": ["monitors:read"]}
        assert (await client.post("/v1/api-keys", json=key)).status_code == 201
        await within(POLL_SECONDS / 2, 3)
        forgot = await client.post("/v1/auth/password/forgot", json={"email": ALICE})
        assert forgot.status_code == 200
        await within(POLL_SECONDS / 2, 4)
    assert [envelope.rcpt_tos for envelope in box.taken] == [[ALICE]] * 4
