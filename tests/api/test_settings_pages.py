"""The pages of an organization, its people and its keys: what they show to whom, and what they do."""

from __future__ import annotations

import re

import httpx
import pytest

from netpulse.crypto.links import Links
from netpulse.model.time import DAY, rfc3339
from netpulse.model.user import Role
from netpulse.storage import letters, second_factors, users
from netpulse.storage.db import Conn
from tests import people
from tests.api.test_invitations import DORA, admin, invite, later, mailing, waiting
from tests.api.test_members import GRANT, LAST, SELF
from tests.api.test_monitors import make, sent
from tests.api.test_pages import RANDOM, led_to, problems, text_of
from tests.clock import START
from tests.conftest import Opener, Stage

MEMBERS = "/settings/members"
KEYS = "/settings/api-keys"


def link_in(page: str) -> str:
    found = re.search(r'id="link" [^>]*value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def key_in(page: str) -> str:
    found = re.search(r'id="key" [^>]*value="(np_[^"]+)"', page)
    assert found is not None, page
    return found[1]


class TestOrganization:
    async def test_an_administrator_changes_it(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        page = text_of(await alice.get("/settings/organization"))
        assert 'value="Acme"' in page
        assert 'aria-current="page">Organization</a>' in page
        form = {"name": "Acme & Sons", "timezone": "Europe/Berlin", "version": "1"}
        where = led_to(await alice.post("/settings/organization", data=form))
        assert where == "/settings/organization?told=saved"
        page = text_of(await alice.get(where))
        assert "<small>Acme & Sons</small>" in page
        stale = await alice.post("/settings/organization", data=form | {"name": "Mine"})
        assert problems(stale, 412) == [
            "This was changed since you read it; read it again and repeat your change."
        ]
        wrong = form | {"name": " ", "timezone": "Mars", "version": "2"}
        assert problems(await alice.post("/settings/organization", data=wrong)) == [
            "Name: must not be empty.",
        ]
        wrong |= {"name": "a \x07"}
        assert problems(await alice.post("/settings/organization", data=wrong)) == [
            "Name: has a line break or another control character.",
            "Time zone: Mars is no time zone; write an IANA name such as Europe/Berlin.",
        ]
        assert await house.actions(house.cast.acme.id) == ["org.updated"]

    async def test_a_viewer_looks(self, house: Stage, bob: httpx.AsyncClient) -> None:
        page = text_of(await bob.get("/settings/organization"))
        assert "Acme" in page
        assert "<form" not in page.replace('<form method="post" action="/logout">', "")
        assert "/settings/api-keys" not in page
        form = {"name": "Bobs", "timezone": "UTC"}
        text_of(await bob.post("/settings/organization", data=form), 403)
        assert await house.actions(house.cast.acme.id) == []

    async def test_a_client_sees_who_set_its_limits(self, house: Stage) -> None:
        client_org = await people.add_org(house, "Initech", parent=house.cast.acme)
        dora = await people.add(house, "dora", Role.VIEWER, client_org)
        page = text_of(await people.client(house, dora).get("/settings/organization"))
        assert "Acme <span" in page
        assert "sets the limits" in page


class TestMembers:
    async def test_what_a_viewer_sees(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        await invite(alice)
        page = text_of(await bob.get(MEMBERS))
        assert house.cast.alice.email in page
        assert DORA not in page
        for word in ("Invite", "Change", "Remove", "Second factor", "Last sign-in"):
            assert word not in page
        for path in ("/invite", f"/{house.cast.alice.id}", f"/{house.cast.alice.id}/delete"):
            text_of(await bob.get(MEMBERS + path), 403)
            text_of(await bob.post(MEMBERS + path, data={"x": "y"}), 403)

    async def test_inviting_by_hand(self, house: Stage, alice: httpx.AsyncClient) -> None:
        page = text_of(await alice.get(MEMBERS))
        assert "Invitations not accepted yet" not in page
        form = {"email": DORA, "role": "admin"}
        page = text_of(await alice.post(f"{MEMBERS}/invite", data=form))
        link = link_in(page)
        assert re.fullmatch(r"http://netpulse\.example/invitations/[\w-]{43}", link)
        assert "no mail server is configured" in page
        assert "No mail was sent: the link was passed on by hand." in page
        # It is shown this once.
        again = text_of(await alice.get(led_to(await alice.get(f"{MEMBERS}/invite"))))
        assert DORA in again
        assert link not in again
        assert text_of(await house.client().get(link)).count("as an administrator") == 1
        assert problems(await alice.post(f"{MEMBERS}/invite", data=form | {"email": "x"})) == [
            "Email address: this is no email address."
        ]
        taken = await alice.post(f"{MEMBERS}/invite", data={"email": "bob@acme.example"})
        assert problems(taken, 400) == [
            "Role: '' is none of viewer, admin.",
        ]
        form = {"email": house.cast.bob.email, "role": "viewer"}
        taken = await alice.post(f"{MEMBERS}/invite", data=form)
        assert problems(taken, 409) == ["This person is a member of this organization already."]
        assert 'value="bob@acme.example"' in taken.text

    async def test_inviting_by_mail(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        alice = admin(house)
        form = {"email": DORA, "role": "viewer"}
        page = text_of(await alice.post(f"{MEMBERS}/invite", data=form))
        assert link_in(page).startswith("https://netpulse.example/invitations/")
        assert "A mail with this link is on its way." in page
        assert "The mail is on its way." in page
        (letter,) = await waiting(house)
        await house.house.db.write(letters.failed, letter.id, "550 no such user", None)
        page = text_of(await alice.get(MEMBERS))
        assert "The mail could not be sent: 550 no such user." in page
        (row,) = sent(await alice.get("/v1/org/invitations"))
        place = f"/settings/invitations/{row['id']}"
        page = text_of(await alice.post(f"{place}/resend"))
        assert link_in(page) != letter.text
        assert led_to(await alice.get(f"{place}/resend")) == MEMBERS
        assert f"Withdraw the invitation of {DORA}?" in text_of(await alice.get(f"{place}/delete"))
        assert led_to(await alice.post(f"{place}/delete")) == f"{MEMBERS}?told=withdrawn"
        text_of(await alice.get(f"{place}/delete"), 404)
        text_of(await alice.post(f"{place}/resend"), 404)
        assert await waiting(house) == []

    async def test_mail_without_an_address(self, open_stage: Opener) -> None:
        house = await mailing(open_stage)
        house.house.links = Links(bytes(32), "")
        form = {"email": DORA, "role": "viewer"}
        page = text_of(await admin(house).post(f"{MEMBERS}/invite", data=form))
        assert "NetPulse does not know its own address" in page
        assert await waiting(house) == []

    async def test_too_many(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for number in range(50):
            await invite(alice, f"x{number}@y.example")
        answer = await alice.post(f"{MEMBERS}/invite", data={"email": DORA, "role": "viewer"})
        (said,) = problems(answer, 429)
        assert said.startswith("Your organization has sent 50 invitations within the hour; ")
        assert int(answer.headers["retry-after"]) > 0

    async def test_an_expired_one_is_marked(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await invite(alice)
        assert ">expired<" not in text_of(await alice.get(MEMBERS))
        root = await people.add(house, "root", Role.ADMIN)
        later(house, 7 * DAY // 1000)
        browser = house.client()
        form = {"email": root.email, "password": "seven wandering otters"}
        led_to(await browser.post("/login", data=form))
        assert ">expired<" in text_of(await browser.get(MEMBERS))

    async def test_changing_somebody(self, house: Stage, alice: httpx.AsyncClient) -> None:
        place = f"{MEMBERS}/{house.cast.bob.id}"
        page = text_of(await alice.get(place))
        assert house.cast.bob.email in page
        assert '<option value="viewer" selected>' in page
        assert "super_admin" not in page
        form = {"role": "admin", "is_active": "true"}
        assert led_to(await alice.post(place, data=form)) == f"{MEMBERS}?told=saved"
        led_to(await alice.post(place, data={"role": "admin"}))
        assert ">disabled<" in text_of(await alice.get(MEMBERS))
        assert await people.memberships(house, house.cast.bob.id) == {
            house.cast.acme.id: ("admin", False)
        }
        assert problems(await alice.post(place, data={"role": "owner"})) == [
            "Role: 'owner' is none of viewer, admin, super_admin."
        ]
        high = await alice.post(place, data={"role": "super_admin"})
        assert problems(high, 403) == [
            "Nobody can give more than their own role; yours here is admin."
        ]

    async def test_what_is_refused_is_not_shown(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """Oneself, those above, and the provider's people."""
        root = await people.add(house, "root", Role.SUPER_ADMIN)
        msp = await people.add(house, "msp", Role.ADMIN, house.cast.globex)
        await people.join(house, msp, house.cast.acme, Role.ADMIN, is_grant=True)
        page = text_of(await alice.get(MEMBERS))
        assert f"{MEMBERS}/{house.cast.bob.id}" in page
        assert "from your provider" in page
        said = "Only a super administrator may change or remove a super administrator"
        for who, why in ((house.cast.alice, SELF), (root, said), (msp, GRANT)):
            assert f"{MEMBERS}/{who.id}" not in page
            shown = text_of(await alice.get(f"{MEMBERS}/{who.id}"))
            assert why in shown
            assert "data-form" not in shown
            for act in ("delete", "reset-2fa"):
                assert why in text_of(await alice.get(f"{MEMBERS}/{who.id}/{act}"), 403)
                assert why in text_of(await alice.post(f"{MEMBERS}/{who.id}/{act}"), 403) or (
                    who is house.cast.alice
                )
        assert await house.actions(house.cast.acme.id) == []

    async def test_the_last_administrator(self, house: Stage) -> None:
        root = await people.add(house, "root", Role.SUPER_ADMIN, house.cast.globex)
        client = people.client(house, root, **{"X-Org-Id": house.cast.acme.id})
        place = f"{MEMBERS}/{house.cast.alice.id}"
        answer = await client.post(place, data={"role": "viewer", "is_active": "true"})
        assert problems(answer, 409) == [LAST + "."]
        assert LAST in text_of(await client.post(f"{place}/delete"), 409)

    async def test_removing_names_what_goes(self, house: Stage, alice: httpx.AsyncClient) -> None:
        dora = await people.add(house, "dora", Role.ADMIN)
        client = people.client(house, dora)
        for number in range(6):
            body = {"name": f"Key {number}", "scopes": ["monitors:read"]}
            sent(await client.post("/v1/api-keys", json=body), 201)
            await invite(client, f"x{number}@y.example")
        place = f"{MEMBERS}/{dora.id}/delete"
        page = text_of(await alice.get(place))
        assert "Remove dora@acme.example from the organization?" in page
        assert (
            "6 API keys that they made are revoked: Key 0, Key 1, Key 2, Key 3, Key 4 and 1 more."
        ) in page
        assert "Invitations that they made are withdrawn: " in page
        assert led_to(await alice.post(place)) == f"{MEMBERS}?told=removed"
        assert "Removed. They are out at once." in text_of(
            await alice.get(f"{MEMBERS}?told=removed")
        )
        assert await house.house.db.read(users.get, dora.id) is None

    async def test_resetting_a_second_factor(self, house: Stage, alice: httpx.AsyncClient) -> None:
        bob = house.cast.bob
        place = f"{MEMBERS}/{bob.id}"
        assert "They have none" in text_of(await alice.get(place))

        def on(conn: Conn) -> None:
            second_factors.begin(conn, bob.id, "JBSWY3DPEHPK3PXP", START)
            assert second_factors.turn_on(conn, bob.id, 1, START)

        await house.house.db.write(on)
        assert f"{place}/reset-2fa" in text_of(await alice.get(place))
        page = text_of(await alice.get(f"{place}/reset-2fa"))
        assert "Make sure that it is really they who ask" in page
        where = led_to(await alice.post(f"{place}/reset-2fa"))
        assert where == f"{MEMBERS}?told=second-factor-reset"
        assert "They have none" in text_of(await alice.get(place))
        # Where somebody is a guest there is no button.
        charlie = house.cast.charlie
        await people.join(house, charlie, house.cast.acme, Role.VIEWER)

        def guest(conn: Conn) -> None:
            second_factors.begin(conn, charlie.id, "JBSWY3DPEHPK3PXP", START)
            assert second_factors.turn_on(conn, charlie.id, 1, START)

        await house.house.db.write(guest)
        page = text_of(await alice.get(f"{MEMBERS}/{charlie.id}"))
        assert "at home in another organization" in page
        assert "/reset-2fa" not in page

    async def test_pages_of_members(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for number in range(55):
            await people.add(house, f"m{number:02}", Role.VIEWER)
        page = text_of(await alice.get(MEMBERS))
        assert "1 to 50 of 57 members" in page
        assert "m54@acme.example" in text_of(await alice.get(f"{MEMBERS}?page=2"))
        for odd in ("0", "-1", "x", "99999999999", "2'"):
            text_of(await alice.get(MEMBERS, params={"page": odd}))

    @pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=1>'])
    async def test_names_are_only_text(
        self, house: Stage, alice: httpx.AsyncClient, name: str
    ) -> None:
        sent(await alice.put("/v1/org", json={"name": name}))
        made = await invite(alice)
        for path in ("/settings/organization", MEMBERS, made["url"]):
            assert name not in (await alice.get(path)).text
            assert name not in (await house.client().get(path)).text


class TestKeys:
    async def test_make_use_rotate_revoke(self, house: Stage, alice: httpx.AsyncClient) -> None:
        assert "No key yet" in text_of(await alice.get(KEYS))
        page = text_of(await alice.get(f"{KEYS}/new"))
        for scope in ("monitors:read", "org:write", "metrics:read"):
            assert f'value="{scope}"' in page
        # What no route of this version asks for is not offered.
        assert 'value="agents:read"' not in page
        form = {"name": "Deploy", "scopes": ["monitors:write", "org:read"], "expires_in": "30"}
        page = text_of(await alice.post(f"{KEYS}/new", data=form))
        first = key_in(page)
        assert f"curl -H 'X-API-Key: {first}' http://netpulse.example/v1/monitors" in page
        (key,) = sent(await alice.get("/v1/api-keys"))
        assert (key["name"], key["scopes"]) == ("Deploy", ["monitors:write", "org:read"])
        assert key["expires_at"] == rfc3339(START + 30 * DAY)
        listed = text_of(await alice.get(KEYS))
        assert first not in listed
        assert key["prefix"] in listed
        assert "never" in listed
        assert (await house.client(headers={"X-API-Key": first}).get("/v1/org")).status_code == 200
        place = f"{KEYS}/{key['id']}"
        assert "Give the key Deploy another secret?" in text_of(await alice.get(f"{place}/rotate"))
        second = key_in(text_of(await alice.post(f"{place}/rotate")))
        assert second != first
        assert (await house.client(headers={"X-API-Key": first}).get("/v1/org")).status_code == 401
        assert (await house.client(headers={"X-API-Key": second}).get("/v1/org")).status_code == 200
        assert "Revoke the key Deploy?" in text_of(await alice.get(f"{place}/delete"))
        assert led_to(await alice.post(f"{place}/delete")) == f"{KEYS}?told=revoked"
        assert (await house.client(headers={"X-API-Key": second}).get("/v1/org")).status_code == 401
        assert await house.actions(house.cast.acme.id) == [
            "api_key.created",
            "api_key.rotated",
            "api_key.revoked",
        ]

    async def test_a_refused_form(self, house: Stage, alice: httpx.AsyncClient) -> None:
        answer = await alice.post(f"{KEYS}/new", data={"name": "", "expires_in": "never"})
        assert problems(answer) == [
            "Name: must not be empty.",
            "What it may do: choose at least one.",
        ]
        form = {"name": "x", "scopes": "monitors:eat", "expires_in": "never"}
        (said,) = problems(await alice.post(f"{KEYS}/new", data=form))
        assert said.startswith("What it may do: 'monitors:eat' is none of ")
        form = {"name": "x", "scopes": "monitors:read", "expires_in": "99999999"}
        answer = await alice.post(f"{KEYS}/new", data=form)
        assert problems(answer) == ["Expires: choose one of the list."]
        assert 'value="monitors:read" checked' in answer.text
        assert await house.actions(house.cast.acme.id) == []

    async def test_one_that_never_expires_and_one_that_has(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        form = {"name": "Ever", "scopes": "monitors:read", "expires_in": "never"}
        text_of(await alice.post(f"{KEYS}/new", data=form))
        assert sent(await alice.get("/v1/api-keys"))[0]["expires_at"] is None
        body = {"name": "Soon", "scopes": ["monitors:read"]}
        body |= {"expires_at": rfc3339(START + 60_000)}
        soon = sent(await alice.post("/v1/api-keys", json=body), 201)
        later(house, 60)
        page = text_of(await alice.get(KEYS))
        assert ">expired<" in page
        assert f"{KEYS}/{soon['id']}/rotate" not in page
        page = text_of(await alice.post(f"{KEYS}/{soon['id']}/rotate"), 409)
        assert "This API key has expired; make another." in page

    async def test_others_keys(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        for path in (KEYS, f"{KEYS}/new", f"{KEYS}/{RANDOM}/rotate", f"{KEYS}/{RANDOM}/delete"):
            text_of(await bob.get(path), 403)
        for path in (f"{KEYS}/{RANDOM}/rotate", f"{KEYS}/{RANDOM}/delete"):
            text_of(await alice.get(path), 404)
            text_of(await alice.post(path), 404)
        await make(alice)


class TestSecurity:
    async def test_what_lets_somebody_in(self, house: Stage, alice: httpx.AsyncClient) -> None:
        page = text_of(await alice.get("/settings/security"))
        assert "This page came unencrypted" in page
        assert "2 people may sign in here." in page
        assert "The password alone opens the accounts of 2 of them:" in page
        assert f'href="/settings/members/{house.cast.bob.id}">bob@acme.example</a>' in page
        assert "None. After five from one address within ten minutes it has to wait." in page
        assert "No API key" in page
        assert "No status page. No badges of monitors." in page

        wrong = {"email": house.cast.bob.email, "password": "not it at all"}
        await house.client("203.0.113.9").post("/v1/auth/login", json=wrong)
        assert "203.0.113.9 · wrong password<" in text_of(await alice.get("/settings/security"))
        german = await alice.get("/settings/security", headers={"Accept-Language": "de"})
        assert "203.0.113.9 · falsches Passwort<" in german.text
        key = {"name": "Deploy", "scopes": ["monitors:read"]}
        sent(await alice.post("/v1/api-keys", json=key), 201)
        sent(await alice.post("/v1/org/members/invite", json={"email": "d@acme.example"}), 201)
        for slug, password in (("one", None), ("two", "open sesame")):
            body = {"slug": slug, "title": slug, "password": password}
            sent(await alice.post("/v1/status-pages", json=body), 201)
        body = {"type": "tcp", "name": "Port", "target": "db.example:5432"}
        monitor = sent(await alice.post("/v1/monitors", json=body), 201)
        sent(await alice.put(f"/v1/monitors/{monitor['id']}/badges"))

        def two_factors(conn: Conn) -> None:
            conn.execute("UPDATE users SET totp_enabled = 1 WHERE email LIKE 'alice%'")
            conn.execute("UPDATE api_keys SET created_at = 0")

        await house.house.db.write(two_factors)
        page = text_of(await alice.get("/settings/security"))
        assert "The password alone opens the account of 1 of them:" in page
        assert "1 invitation is open." in page
        assert "1 API key works. 1 never expires. 1 was not used for 90 days" in page
        assert "2 status pages, 1 of them without a password." in page
        assert "The badges of 1 monitor, for whoever knows their address." in page
        assert "203.0.113.9" in page
        assert "wrong password" in page

    async def test_of_everybody_with_a_second_factor(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        def two_factors(conn: Conn) -> None:
            conn.execute("UPDATE users SET totp_enabled = 1 WHERE email LIKE '%@acme.example'")

        await house.house.db.write(two_factors)
        page = text_of(await alice.get("/settings/security"))
        assert "All of them sign in with a second factor." in page
        assert "charlie" not in page
        page = text_of(await charlie.get("/settings/security"))
        assert "The password alone opens the account of 1 of them:" in page


class TestRetentionAndAbout:
    async def test_what_is_kept(self, house: Stage, bob: httpx.AsyncClient) -> None:
        page = text_of(await bob.get("/settings/retention"))
        assert "90 days" in page
        assert "a month goes when all of it is older" in page
        assert "Free on the disk" not in page

        def shorter(conn: Conn) -> None:
            conn.execute("UPDATE organizations SET retention_days = 30")

        await house.house.db.write(shorter)
        page = text_of(await bob.get("/settings/retention"))
        assert "this organization sees those of the last 30 days" in page

    async def test_only_who_runs_it_sees_the_machine(self, open_stage: Opener) -> None:
        stage = await open_stage()

        def crown(conn: Conn) -> None:
            conn.execute(
                "UPDATE memberships SET role = 'super_admin' WHERE user_id = ?",
                (stage.cast.alice.id,),
            )

        await stage.house.db.write(crown)
        alice, bob = stage.client(), stage.client()
        alice.headers.update(stage.cast.alice.headers)
        bob.headers.update(stage.cast.bob.headers)
        page = text_of(await alice.get("/settings/retention"))
        assert str(stage.data) in page
        assert re.search(r"All data</dt><dd>[0-9.]+ [KM]iB<", page)
        page = text_of(await alice.get("/settings/about"))
        assert "NetPulse UpGuardX 0.0.test" in page
        assert "SQLite 3." in page
        assert "not said: set <code>public_url</code>" in page
        page = text_of(await bob.get("/settings/about"))
        assert "SQLite" not in page
        assert "99 of 100 checks begin within 0 ms" in page
