"""Invitations: made, sent, renewed, withdrawn, accepted once; and what they must not tell."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pyotp
import pytest
from msgspec.structs import replace

from netpulse.channels import Carrier, Mail
from netpulse.config import Config, Server
from netpulse.crypto import passwords
from netpulse.model.letter import Letter
from netpulse.model.org import Quotas
from netpulse.model.time import DAY, MINUTE, SECOND, rfc3339
from netpulse.model.user import Actor, Role
from netpulse.storage import letters, orgs, second_factors, sessions, users
from netpulse.storage.db import Conn
from netpulse.web import joining
from tests import people
from tests.api.test_members import refused
from tests.api.test_monitors import SPEC, errors, sent
from tests.cast import PASSWORD, Person
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.sign_ins import browser

DORA = "dora@initech.example"
FRESH = "nine quiet pelicans"
GONE = (
    "This invitation is not complete, was used or withdrawn, or has expired: it lasts 7 days. Ask "
    "for another"
)
RANDOM = "019b0000-0000-7000-8000-00000000dead"


async def invite(client: httpx.AsyncClient, email: str = DORA, **more: Any) -> Any:
    return sent(await client.post("/v1/org/members/invite", json={"email": email, **more}), 201)


def token_of(made: Any) -> str:
    return str(made["url"].rpartition("/")[2])


async def accept(
    client: httpx.AsyncClient, token: str, password: str | None = FRESH, **more: Any
) -> httpx.Response:
    body = {"token": token, **more} | ({} if password is None else {"password": password})
    return await client.post("/v1/auth/invitations/accept", json=body)


def later(house: Stage, seconds: float) -> None:
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(seconds)


async def mailing(open_stage: Opener) -> Stage:
    """Open a house that knows its address and has a mail server."""
    stage = await open_stage(config=Config(server=Server(public_url="https://netpulse.example/")))
    mail = Mail(host="127.0.0.1", port=1, sender="netpulse@acme.example", security="none")
    stage.house.carrier = Carrier(egress=stage.house.egress, mail=mail)
    return stage


async def waiting(house: Stage) -> list[Letter]:
    return await house.house.db.read(letters.due, house.house.clock.now(), 100)


def admin(house: Stage) -> httpx.AsyncClient:
    return house.client(headers=house.cast.alice.headers)


class TestInvite:
    async def test_without_mail(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await invite(alice, "  Dora@Initech.example ", role="admin")
        assert re.fullmatch(r"/invitations/[A-Za-z0-9_-]{43}", made["url"])
        assert made == {
            "id": made["id"],
            "email": DORA,
            "role": "admin",
            "invited_by": house.cast.alice.email,
            "created_at": rfc3339(START),
            "expires_at": rfc3339(START + 7 * DAY),
            "mailed": False,
            "mail_news": None,
            "version": 1,
            "url": made["url"],
        }
        (listed,) = sent(await alice.get("/v1/org/invitations"))
        assert listed == {name: value for name, value in made.items() if name != "url"}
        assert await house.audit(house.cast.acme.id) == [
            ("invitation.created", house.cast.alice.id, house.cast.alice.email)
        ]
        assert await house.payloads(house.cast.acme.id) == [
            {
                "before": None,
                "after": {
                    "email": DORA,
                    "role": "admin",
                    "expires_at": rfc3339(START + 7 * DAY),
                },
            }
        ]
        stored = await house.house.db.read(lambda conn: conn.all("SELECT * FROM invitations"))
        assert token_of(made) not in str(stored)
        assert await waiting(house) == []

    async def test_with_mail(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        made = await invite(alice)
        assert made["url"].startswith("https://netpulse.example/invitations/")
        assert (made["mailed"], made["mail_news"], made["role"]) == (True, "on its way", "viewer")
        (letter,) = await waiting(house)
        assert letter.recipient == DORA
        assert letter.subject == "alice@acme.example invites you to Acme on NetPulse"
        assert letter.text == (
            "alice@acme.example invites you to watch over Acme with NetPulse, as a viewer.\n\n"
            f"Accept within 7 days, here:\n\n{made['url']}\n\n"
            "If you do not know what this is about, do nothing: without you nothing happens.\n"
        )
        assert letter.expires_at == START + 7 * DAY
        await house.house.db.write(letters.failed, letter.id, "550 no such user", None)
        (listed,) = sent(await alice.get("/v1/org/invitations"))
        assert (listed["mailed"], listed["mail_news"]) == (
            True,
            "could not be sent: 550 no such user",
        )

    async def test_the_letter_went_out(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        await invite(alice)
        (letter,) = await waiting(house)
        await house.house.db.write(letters.sent, letter.id, START)
        (listed,) = sent(await alice.get("/v1/org/invitations"))
        assert (listed["mailed"], listed["mail_news"]) == (True, None)

    async def test_again_is_another_link(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        first = await invite(alice)
        later(house, 600)
        second = await invite(alice, DORA.upper(), role="admin")
        assert (second["id"], second["role"], second["version"]) == (first["id"], "admin", 2)
        assert second["expires_at"] == rfc3339(START + 10 * MINUTE + 7 * DAY)
        assert refused(await accept(house.client(), token_of(first)), 404, "INVITATION_NOT_FOUND")
        # The letter with the dead link does not go out after all.
        (letter,) = await waiting(house)
        assert token_of(second) in letter.text
        assert await house.actions(house.cast.acme.id) == [
            "invitation.created",
            "invitation.renewed",
        ]
        assert (await house.payloads(house.cast.acme.id))[1]["before"]["role"] == "viewer"
        assert (await accept(house.client(), token_of(second))).status_code == 201

    async def test_resend(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        first = await invite(alice, role="admin")
        later(house, 8 * DAY / SECOND)
        alice = await fresh_client(house)
        second = sent(await alice.post(f"/v1/org/invitations/{first['id']}/resend"))
        assert (second["id"], second["role"], second["version"]) == (first["id"], "admin", 2)
        assert second["url"] != first["url"]
        assert (await accept(house.client(), token_of(second))).status_code == 201
        gone = await alice.post(f"/v1/org/invitations/{first['id']}/resend")
        refused(gone, 404, "INVITATION_NOT_FOUND")

    async def test_who_is_a_member_already(self, house: Stage, alice: httpx.AsyncClient) -> None:
        bob = house.cast.bob
        asked = {"email": bob.email.upper()}
        said = "This person is a member of this organization already"
        assert (
            refused(await alice.post("/v1/org/members/invite", json=asked), 409, "ALREADY_MEMBER")
            == said
        )
        # A disabled one too: inviting them is no way around that.
        sent(await alice.patch(f"/v1/org/members/{bob.id}", json={"is_active": False}))
        answer = await alice.post("/v1/org/members/invite", json=asked)
        assert refused(answer, 409, "ALREADY_MEMBER") == said
        client_org = await people.add_org(house, "Initech", parent=house.cast.acme)
        dan = await people.add(house, "dan", Role.ADMIN, client_org)
        await people.join(house, house.cast.alice, client_org, Role.ADMIN, is_grant=True)
        answer = await people.client(house, dan).post(
            "/v1/org/members/invite", json={"email": house.cast.alice.email}
        )
        assert refused(answer, 409, "ALREADY_MEMBER") == (
            "This person has rights in this organization already, from your provider"
        )

    async def test_an_account_elsewhere_does_not_show(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """In no answer, no count and no work that is done for it."""
        known = await alice.post("/v1/org/members/invite", json={"email": house.cast.charlie.email})
        unknown = await alice.post(
            "/v1/org/members/invite", json={"email": "chester@globex.example"}
        )
        varying = {"id", "email", "url"}
        one, other = sent(known, 201), sent(unknown, 201)
        assert {k: v for k, v in one.items() if k not in varying} == {
            k: v for k, v in other.items() if k not in varying
        }
        assert len(one["url"]) == len(other["url"])
        assert sent(await alice.get("/v1/org"))["usage"]["users"] == 4
        # Nor on the page behind the link, nor in what it says to a wrong password.
        pages = []
        for made in (one, other):
            client = house.client(ip=f"192.0.2.{len(pages) + 50}")
            shown = await client.get(made["url"])
            said = await client.post(made["url"], data={"password": "short"})
            api = await accept(client, token_of(made), "short")
            assert errors(api) == [("$.password", "the password needs at least 12 characters")]
            text = (shown.text + said.text + api.text).replace(made["email"], "E")
            pages.append(text.replace(token_of(made), "T"))
        assert pages[0] == pages[1]

    async def test_fifty_an_hour(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for number in range(50):
            await invite(alice, f"dora{number}@initech.example")
        answer = await alice.post("/v1/org/members/invite", json={"email": DORA})
        said = refused(answer, 429, "TOO_MANY_REQUESTS")
        assert said == (
            "Your organization has sent 50 invitations within the hour; wait as long as "
            "Retry-After says"
        )
        (row, *_) = sent(await alice.get("/v1/org/invitations"))
        again = await alice.post(f"/v1/org/invitations/{row['id']}/resend")
        assert again.status_code == 429
        wait = int(answer.headers["retry-after"])
        # An hour that slides by five minutes.
        assert 0 < wait <= 3900
        charlie = house.client(headers=house.cast.charlie.headers)
        await invite(charlie)
        later(house, wait)
        await invite(await fresh_client(house))

    @pytest.mark.parametrize(
        ("body", "path", "said"),
        [
            ({"email": "nobody"}, "$.email", "this is no email address"),
            ({"email": "a@b.example\nBcc: x@y.example"}, "$.email", "this is no email address"),
            ({"email": "<a@b.example>"}, "$.email", "this is no email address"),
            ({"email": "x" * 250 + "@y.example"}, "$.email", "must have at most 254 characters"),
            ({}, "$.email", "this field is required"),
            (
                {"email": DORA, "role": "super_admin"},
                "$.role",
                "'super_admin' is none of viewer, admin",
            ),
            ({"email": DORA, "org_id": RANDOM}, "$.org_id", "there is no such field here"),
            ({"email": DORA, "invited_by": RANDOM}, "$.invited_by", "there is no such field here"),
        ],
    )
    async def test_problems(
        self, house: Stage, alice: httpx.AsyncClient, body: Any, path: str, said: str
    ) -> None:
        assert errors(await alice.post("/v1/org/members/invite", json=body)) == [(path, said)]
        assert await house.actions(house.cast.acme.id) == []

    async def test_viewers_neither_invite_nor_see(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await invite(alice)
        for answer in (
            await bob.post("/v1/org/members/invite", json={"email": "x@y.example"}),
            await bob.get("/v1/org/invitations"),
            await bob.post(f"/v1/org/invitations/{made['id']}/resend"),
            await bob.delete(f"/v1/org/invitations/{made['id']}"),
        ):
            refused(answer)

    async def test_a_key_invites_as_its_maker(self, house: Stage, alice: httpx.AsyncClient) -> None:
        body = {"name": "Ops", "scopes": ["org:write"]}
        key = sent(await alice.post("/v1/api-keys", json=body), 201)["key"]
        made = await invite(house.client(headers={"X-API-Key": key}))
        assert made["invited_by"] == house.cast.alice.email
        row = (await house.audit(house.cast.acme.id))[-1]
        assert row[:2] == ("invitation.created", house.cast.alice.id)
        assert row[2].startswith("Ops (np_")


async def fresh_client(house: Stage) -> httpx.AsyncClient:
    """Sign Alice in again: days have gone by."""
    credentials = {"email": house.cast.alice.email, "password": PASSWORD}
    client = house.client(ip="192.0.2.77")
    answer = await client.post("/v1/auth/login", json=credentials)
    return house.client(headers={"Authorization": f"Bearer {sent(answer)['access_token']}"})


class TestWithdraw:
    async def test_its_link_is_dead(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        made = await invite(alice)
        charlie = house.client(headers=house.cast.charlie.headers)
        place = f"/v1/org/invitations/{made['id']}"
        refused(await charlie.delete(place), 404, "INVITATION_NOT_FOUND")
        assert sent(await alice.delete(place)) is None
        refused(await alice.delete(place), 404, "INVITATION_NOT_FOUND")
        answer = await accept(house.client(), token_of(made))
        assert refused(answer, 404, "INVITATION_NOT_FOUND") == GONE
        assert await waiting(house) == []
        assert await house.actions(house.cast.acme.id) == [
            "invitation.created",
            "invitation.revoked",
        ]
        assert sent(await alice.get("/v1/org/invitations")) == []


class TestQuota:
    async def limited(self, house: Stage, most: int) -> None:
        def limit(conn: Conn) -> None:
            org = orgs.get(conn, house.cast.acme.id)
            assert org is not None
            orgs.replace(conn, replace(org, quotas=Quotas(users=most)), None, START)

        await house.house.db.write(limit)

    async def test_members_and_open_invitations_count(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await self.limited(house, 3)
        made = await invite(alice)
        answer = await alice.post("/v1/org/members/invite", json={"email": "x@y.example"})
        refused(answer, 409, "QUOTA_REACHED")
        assert answer.json()["error"]["details"] == {"quota": "users", "limit": 3, "used": 3}
        # Renewing takes no other place, and neither does accepting.
        renewed = await invite(alice)
        assert renewed["id"] == made["id"]
        assert (await accept(house.client(), token_of(renewed))).status_code == 201
        refused(
            await alice.post("/v1/org/members/invite", json={"email": "x@y.example"}),
            409,
            "QUOTA_REACHED",
        )
        assert (await house.actions(house.cast.acme.id)) == [
            "invitation.created",
            "invitation.renewed",
            "invitation.accepted",
        ]

    async def test_an_expired_one_takes_a_place_again(self, house: Stage) -> None:
        await self.limited(house, 3)
        made = await invite(admin(house))
        later(house, 7 * DAY / SECOND)
        alice = await fresh_client(house)
        await invite(alice, "x@y.example")
        again = await alice.post(f"/v1/org/invitations/{made['id']}/resend")
        refused(again, 409, "QUOTA_REACHED")

    async def test_twenty_at_once_get_what_there_is(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await self.limited(house, 5)
        answers = await asyncio.gather(
            *(
                alice.post("/v1/org/members/invite", json={"email": f"x{n}@y.example"})
                for n in range(20)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 17


class TestAccept:
    async def test_somebody_new(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await invite(alice, role="admin")
        client = house.client()
        answer = await accept(client, token_of(made))
        found = sent(answer, 201)
        assert set(found) == {"user", "organization"}
        assert (found["user"]["email"], found["user"]["role"]) == (DORA, "admin")
        assert found["organization"]["name"] == "Acme"
        assert "set-cookie" not in answer.headers
        user = await house.house.db.read(users.by_email, DORA)
        assert user is not None
        assert (user.id, user.home_org_id) == (found["user"]["id"], house.cast.acme.id)
        assert (await house.audit(house.cast.acme.id))[1:] == [
            ("invitation.accepted", user.id, DORA)
        ]
        assert (await house.payloads(house.cast.acme.id))[1] == {
            "before": None,
            "after": {"email": DORA, "role": "admin"},
        }
        signed_in = await client.post("/v1/auth/login", json={"email": DORA, "password": FRESH})
        dora = house.client(headers={"Authorization": f"Bearer {sent(signed_in)['access_token']}"})
        assert (await dora.post("/v1/monitors", json=SPEC)).status_code == 201
        assert sent(await alice.get("/v1/org/invitations")) == []
        refused(await accept(client, token_of(made)), 404, "INVITATION_NOT_FOUND")

    async def test_somebody_with_an_account(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        charlie = house.cast.charlie
        made = await invite(admin(house), charlie.email)
        client = house.client()
        wrong = await accept(client, token_of(made), "not the password at all")
        assert refused(wrong, 401, "LOGIN_FAILED") == "The email address or the password is wrong"
        found = sent(await accept(client, token_of(made), PASSWORD), 201)
        assert (found["user"]["id"], found["user"]["role"]) == (charlie.id, "viewer")
        assert await people.memberships(house, charlie.id) == {
            house.cast.globex.id: ("admin", True),
            house.cast.acme.id: ("viewer", True),
        }
        kept = await house.house.db.read(users.get, charlie.id)
        assert kept is not None
        assert kept.home_org_id == house.cast.globex.id
        (row, *_) = [
            row for row in await house.audit(house.cast.acme.id) if row[0] != "invitation.created"
        ]
        assert row == ("invitation.accepted", charlie.id, charlie.email)
        # The letter with the link, which is used up, does not go out after all.
        (told,) = await waiting(house)
        assert (told.recipient, told.subject) == (charlie.email, "NetPulse: you have joined Acme")
        there = people.client(house, charlie, **{"X-Org-Id": house.cast.acme.id})
        assert (await there.get("/v1/monitors")).status_code == 200
        assert (await there.post("/v1/monitors", json=SPEC)).status_code == 403

    async def test_wrong_passwords_count_as_failed_sign_ins(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await invite(alice, house.cast.charlie.email)
        client = house.client(ip="203.0.113.9")
        for _ in range(5):
            answer = await accept(client, token_of(made), "not the password at all")
            assert answer.status_code == 401
        blocked = await accept(client, token_of(made), PASSWORD)
        refused(blocked, 429, "TOO_MANY_REQUESTS")
        assert int(blocked.headers["retry-after"]) > 0
        credentials = {"email": house.cast.charlie.email, "password": PASSWORD}
        assert (await client.post("/v1/auth/login", json=credentials)).status_code == 429
        other = house.client(ip="203.0.113.10")
        assert (await accept(other, token_of(made), PASSWORD)).status_code == 201

    async def test_withdrawn_while_a_wrong_password_is_looked_at(
        self, house: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The inviter, who has the link, must not learn by it whether the address has an account."""
        charlie = house.client(headers=house.cast.charlie.headers)
        hash_password, verify_password = passwords.hash_password, passwords.verify_password
        made: dict[str, Any] = {}

        async def withdraw() -> None:
            answer = await charlie.delete(f"/v1/org/invitations/{made['id']}")
            assert answer.status_code == 200

        async def hashed(password: str) -> str:
            await withdraw()
            return await hash_password(password)

        async def verified(stored: str | None, password: str) -> bool:
            await withdraw()
            return await verify_password(stored, password)

        monkeypatch.setattr(passwords, "hash_password", hashed)
        monkeypatch.setattr(passwords, "verify_password", verified)
        answers = []
        for email in ("alice@acme.example", "nobody@acme.example"):
            made = await invite(charlie, email)
            answers.append(await accept(house.client(), token_of(made), "not the password"))
            refused(answers[-1], 404, "INVITATION_NOT_FOUND")
        first, second = answers
        assert first.content == second.content
        different = {"x-request-id", "ratelimit-remaining", "ratelimit"}
        assert {k: v for k, v in first.headers.items() if k not in different} == {
            k: v for k, v in second.headers.items() if k not in different
        }

    async def test_with_a_second_factor(self, house: Stage, alice: httpx.AsyncClient) -> None:
        charlie = house.cast.charlie
        secret = "JBSWY3DPEHPK3PXP" * 2

        def on(conn: Conn) -> None:
            second_factors.begin(conn, charlie.id, secret, START)
            assert second_factors.turn_on(conn, charlie.id, 1, START)

        await house.house.db.write(on)
        made = await invite(alice, charlie.email)
        client = house.client(ip="203.0.113.40")
        assert refused(await accept(client, token_of(made), PASSWORD), 401, "TOTP_REQUIRED")
        wrong = await accept(client, token_of(made), PASSWORD, totp_code="000000")
        refused(wrong, 401, "LOGIN_FAILED")
        page = await client.post(made["url"], data={"password": PASSWORD})
        assert page.status_code == 401
        assert "this account needs one too, from your app" in page.text
        code = pyotp.TOTP(secret).at(START // SECOND)
        done = await client.post(made["url"], data={"password": PASSWORD, "totp_code": code})
        assert (done.status_code, done.headers["location"]) == (303, "/dashboard?told=joined")
        again = await invite(house.client(headers=charlie.headers), "erin@x.example")
        assert again["url"]
        # A code works once, for a sign-in too.
        body = {"email": charlie.email, "password": PASSWORD, "totp_code": code}
        assert (await client.post("/v1/auth/login", json=body)).status_code == 401

    async def test_a_password_that_changes_meanwhile(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """Who proved the old one does not join by it."""
        charlie = house.cast.charlie
        made = await invite(alice, charlie.email)
        known = await house.house.db.read(users.get, charlie.id)
        await house.house.db.write(users.set_password, charlie.id, "another", START)
        who = Actor(kind="user", ip="192.0.2.10")

        def join(conn: Conn) -> None:
            joining._join(conn, house.house, who, token_of(made), known, "", START)

        with pytest.raises(joining._Changed):
            await house.house.db.write(join)
        assert house.cast.acme.id not in await people.memberships(house, charlie.id)

    async def test_who_is_disabled_where_they_were(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        """Disabled is disabled there: another organization may still take them in."""
        dan = await people.add(house, "dan", Role.VIEWER, house.cast.globex)
        sent(await charlie.patch(f"/v1/org/members/{dan.id}", json={"is_active": False}))
        body = {"email": dan.email, "password": PASSWORD}
        assert (await house.client().post("/v1/auth/login", json=body)).status_code == 401
        made = await invite(alice, dan.email)
        assert (await accept(house.client(), token_of(made), PASSWORD)).status_code == 201
        signed_in = await house.client().post("/v1/auth/login", json=body)
        there = house.client(headers={"Authorization": f"Bearer {sent(signed_in)['access_token']}"})
        assert sent(await there.get("/v1/org"))["id"] == house.cast.acme.id

    async def test_signed_in_already(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        made = await invite(alice, house.cast.charlie.email)
        # Somebody else's sign-in proves nothing.
        for client in (alice, house.client(headers={"Authorization": "Bearer nonsense"})):
            answer = await accept(client, token_of(made), None)
            assert errors(answer) == [("$.password", "this field is required")]
        found = sent(await accept(charlie, token_of(made), None), 201)
        assert found["user"]["id"] == house.cast.charlie.id

    async def test_somebody_elses_sign_in_does_not_matter(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await invite(alice)
        found = sent(await accept(alice, token_of(made)), 201)
        assert found["user"]["email"] == DORA

    async def test_a_key_is_nobody(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        made = await invite(alice, house.cast.charlie.email)
        body = {"name": "Ops", "scopes": ["org:write"]}
        key = sent(await charlie.post("/v1/api-keys", json=body), 201)["key"]
        keyed = house.client(headers={"X-API-Key": key})
        answer = await accept(keyed, token_of(made), None)
        assert errors(answer) == [("$.password", "this field is required")]

    @pytest.mark.parametrize(
        ("password", "said"),
        [
            ("short", "the password needs at least 12 characters"),
            ("password1234", "this password is among the most common ones; choose another"),
            (DORA, "the password must not be the email address"),
            ("x" * 2000, "the password is longer than 1024 bytes"),
        ],
    )
    async def test_a_password_that_cannot_be_one(
        self, house: Stage, alice: httpx.AsyncClient, password: str, said: str
    ) -> None:
        made = await invite(alice)
        answer = await accept(house.client(), token_of(made), password)
        assert errors(answer) == [("$.password", said)]
        assert await house.house.db.read(users.by_email, DORA) is None
        assert (await accept(house.client(), token_of(made))).status_code == 201

    async def test_twenty_at_once_let_one_in(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for email, password in ((DORA, FRESH), (house.cast.charlie.email, PASSWORD)):
            made = await invite(alice, email)
            answers = await asyncio.gather(
                *(
                    accept(house.client(ip=f"198.51.100.{n}"), token_of(made), password)
                    for n in range(20)
                )
            )
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses[0] == 201
            # The others find the link used up, before or after they were let in.
            assert set(statuses[1:]) <= {401, 404}, statuses
            user = await house.house.db.read(users.by_email, email)
            assert user is not None
            actions = [
                row
                for row in await house.audit(house.cast.acme.id)
                if row[0] == "invitation.accepted" and row[1] == user.id
            ]
            assert len(actions) == 1

    async def test_two_invitations_of_one_new_address_at_once(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        """Both organizations take the person in; there is one account."""
        first, second = await invite(alice), await invite(charlie)
        answers = await asyncio.gather(
            accept(house.client(), token_of(first)), accept(house.client(), token_of(second))
        )
        assert [answer.status_code for answer in answers] == [201, 201]
        ids = {sent(answer, 201)["user"]["id"] for answer in answers}
        assert len(ids) == 1
        assert set(await people.memberships(house, ids.pop())) == {
            house.cast.acme.id,
            house.cast.globex.id,
        }

    async def test_two_passwords_for_one_new_address_at_once(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        """Who comes second must know the password that the first one chose."""
        first, second = await invite(alice), await invite(charlie)
        answers = await asyncio.gather(
            accept(house.client(), token_of(first)),
            accept(house.client(ip="192.0.2.99"), token_of(second), "another long passphrase"),
        )
        assert sorted(answer.status_code for answer in answers) == [201, 401]

    async def test_it_expires(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await invite(alice)
        later(house, 7 * DAY / SECOND - 1)
        assert (await house.client().get(made["url"])).status_code == 200
        later(house, 1)
        refused(await accept(house.client(), token_of(made)), 404, "INVITATION_NOT_FOUND")
        (row,) = sent(await (await fresh_client(house)).get("/v1/org/invitations"))
        assert row["expires_at"] == rfc3339(START + 7 * DAY)

    async def test_links_that_are_not_ours(self, house: Stage) -> None:
        client = house.client(ip="203.0.113.30")
        for token in ("x", "x" * 43, "ü" * 43, "x" * 200):
            answer = await accept(client, token)
            assert refused(answer, 404, "INVITATION_NOT_FOUND") == GONE
        assert errors(await accept(client, "x" * 201)) == [
            ("$.token", "must have at most 200 characters")
        ]
        answers = [await accept(client, "x" * 43) for _ in range(60)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0

    async def test_an_inviter_who_may_no_longer(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """However the inviter lost the right, what they had opened is closed."""
        dora = await people.add(house, "dora", Role.ADMIN)
        client = people.client(house, dora)
        as_admin = await invite(client, "mole@x.example", role="admin")
        await house.house.db.write(
            lambda conn: conn.execute("UPDATE users SET is_active = 0 WHERE id = ?", (dora.id,))
        )
        answer = await accept(house.client(), token_of(as_admin))
        assert refused(answer, 404, "INVITATION_NOT_FOUND") == GONE

    async def test_who_became_a_member_meanwhile(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        charlie = house.cast.charlie
        made = await invite(alice, charlie.email, role="admin")
        await people.join(house, charlie, house.cast.acme, Role.VIEWER)
        sent(await alice.patch(f"/v1/org/members/{charlie.id}", json={"is_active": False}))
        answer = await accept(house.client(), token_of(made), PASSWORD)
        refused(answer, 409, "ALREADY_MEMBER")
        assert (await people.memberships(house, charlie.id))[house.cast.acme.id] == (
            "viewer",
            False,
        )


class TestPage:
    async def test_somebody_new_is_in(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await invite(alice, role="admin")
        browser = house.client()
        page = await browser.get(made["url"])
        assert page.status_code == 200
        assert "alice@acme.example" in page.text
        assert "as an administrator" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "strict-origin"
        assert page.headers["x-robots-tag"] == "noindex"
        # Looking at it, as a mail server's scanner does, uses nothing up.
        assert await house.actions(house.cast.acme.id) == ["invitation.created"]
        wrong = await browser.post(made["url"], data={"password": "short"})
        assert wrong.status_code == 400
        assert "Password: the password needs at least 12 characters." in wrong.text
        joined = await browser.post(made["url"], data={"password": FRESH})
        assert (joined.status_code, joined.headers["location"]) == (303, "/dashboard?told=joined")
        dashboard = await browser.get("/dashboard?told=joined")
        assert dashboard.status_code == 200
        assert "You are in. Welcome." in dashboard.text
        assert DORA in dashboard.text
        again = await browser.get(made["url"])
        assert again.status_code == 404
        assert "was used or withdrawn" in again.text

    async def test_with_a_sign_in_one_click(self, house: Stage, alice: httpx.AsyncClient) -> None:
        charlie = house.cast.charlie
        made = await invite(alice, charlie.email)
        browser = house.client()
        form = {"email": charlie.email, "password": PASSWORD}
        assert (await browser.post("/login", data=form)).status_code == 303
        page = await browser.get(made["url"])
        assert "You are signed in as charlie@globex.example" in page.text
        assert 'name="password"' not in page.text
        assert (await browser.post(made["url"], data={"x": "y"})).status_code == 303
        assert f'data-org="{house.cast.acme.id}"' in (await browser.get("/monitors")).text
        assert len(await sessions_of(house, charlie)) == 1

    async def test_with_somebody_elses_sign_in(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        charlie = house.cast.charlie
        made = await invite(alice, charlie.email)
        browser = house.client()
        form = {"email": house.cast.bob.email, "password": PASSWORD}
        assert (await browser.post("/login", data=form)).status_code == 303
        page = await browser.get(made["url"])
        assert "bob@acme.example is signed in" in page.text
        assert (await browser.post(made["url"], data={"password": ""})).status_code == 400
        assert (await browser.post(made["url"], data={"password": PASSWORD})).status_code == 303
        page = await browser.get("/monitors")
        assert charlie.email in page.text
        assert f'data-org="{house.cast.acme.id}"' in page.text

    async def test_an_access_token_makes_no_session(self, house: Stage) -> None:
        """Of a program's sign-in a browser's would otherwise be made, which lasts for 30 days."""
        made = await invite(house.client(headers=house.cast.charlie.headers), "alice@acme.example")
        url = f"/invitations/{token_of(made)}"
        thief = house.client(headers=house.cast.alice.headers)
        shown = await thief.get(url)
        assert 'name="password"' in shown.text
        for data in ({"x": "y"}, {"password": "not the password"}):
            answer = await thief.post(url, data=data)
            assert answer.status_code in (400, 401)
            assert "set-cookie" not in answer.headers
        joined = await people.memberships(house, house.cast.alice.id)
        assert list(joined) == [house.cast.acme.id]
        # With the password it is what it would be without the token.
        answer = await thief.post(url, data={"password": PASSWORD})
        assert answer.status_code == 303
        assert "np_session" in thief.cookies

    async def test_a_session_that_ends_meanwhile_joins_nobody(
        self, house: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await invite(house.client(headers=house.cast.charlie.headers), "alice@acme.example")
        client = await browser(house, "alice@acme.example")
        accepted = joining.accept

        async def late(*args: Any) -> Any:
            now = house.house.clock.now()
            await house.house.db.write(sessions.end_all, house.cast.alice.id, now)
            return await accepted(*args)

        monkeypatch.setattr(joining, "accept", late)
        answer = await client.post(f"/invitations/{token_of(made)}", data={"x": "y"})
        assert answer.status_code == 401
        joined = await people.memberships(house, house.cast.alice.id)
        assert list(joined) == [house.cast.acme.id]

    async def test_another_sites_page_joins_nobody(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await invite(alice, house.cast.charlie.email)
        browser = house.client(headers={"Origin": "https://evil.example"})
        form = {"email": house.cast.charlie.email, "password": PASSWORD}
        assert (await browser.post("/login", data=form)).status_code == 403
        assert (await browser.post(made["url"], data={"password": PASSWORD})).status_code == 403

    async def test_the_token_is_in_no_log(
        self, house: Stage, alice: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        made = await invite(alice)
        browser = house.client()
        await browser.get(made["url"])
        await house.house.db.write(lambda conn: conn.execute("DROP TABLE invitations"))
        assert (await browser.get(made["url"])).status_code == 500
        assert "unexpected error" in caplog.text
        ours = [record for record in caplog.records if record.name.startswith("netpulse")]
        assert ours
        for record in ours:
            assert token_of(made) not in str(record.__dict__)


async def sessions_of(house: Stage, person: Person) -> list[Any]:
    return await house.house.db.read(
        lambda conn: conn.all("SELECT * FROM sessions WHERE user_id = ?", (person.id,))
    )
