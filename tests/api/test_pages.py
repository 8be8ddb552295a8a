"""The pages over HTTP: who sees what, the ways in, and the lists."""

from __future__ import annotations

import re
import threading
from html import unescape
from typing import Any

import httpx
import pytest

from netpulse.model.time import DAY, HOUR, MINUTE
from netpulse.web import packing
from netpulse.web.pages import access, render, templates
from tests.api.test_monitors import fail, make, sent
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import Opener, Stage
from tests.makers import subscribe
from tests.sign_ins import code

RANDOM = "019b0000-0000-7000-8000-00000000dead"
MONITORS_AGAIN = "/login?next=/monitors%3Fq%3Da%2Bb&told=signed-out"


def text_of(response: httpx.Response, status: int = 200) -> str:
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"].startswith("text/html")
    return unescape(response.text)


def led_to(response: httpx.Response) -> str:
    assert response.status_code == 303, (response.status_code, response.text)
    return response.headers["location"]


def problems(response: httpx.Response, status: int = 400) -> list[str]:
    """Return what the sum of errors above a form says."""
    page = text_of(response, status)
    box = re.search(r'id="form-errors".*?</div></div>', page, re.DOTALL)
    assert box is not None, page
    lines = re.findall(r"<li><a [^>]*>(.*?)</a></li>", box[0])
    return lines or re.findall(r"<p>(.*?)</p>", box[0])


async def furnish(client: httpx.AsyncClient) -> dict[str, str]:
    """Make one of everything; return the ids."""
    monitor = (await make(client))["id"]
    config = {"url": "https://hooks.example/T0", "secret": "whsec_" + "c2VjcmV0" * 4}
    body = {"name": "Ops", "type": "webhook", "config": config}
    channel = sent(await client.post("/v1/alert-channels", json=body), 201)["id"]
    body = {"name": "Down", "channel_id": channel, "monitor_id": monitor}
    rule = sent(await client.post("/v1/alert-rules", json=body), 201)["id"]
    body = {"title": "Fire", "monitor_id": monitor, "message": "We look into it"}
    incident = sent(await client.post("/v1/incidents", json=body), 201)["id"]
    body = {"title": "Nights", "cron": "0 2 * * *", "duration_minutes": 60, "all": True}
    plan = sent(await client.post("/v1/maintenance", json=body), 201)["id"]
    body = {"name": "Deploy", "scopes": ["monitors:write"]}
    key = sent(await client.post("/v1/api-keys", json=body), 201)["id"]
    asked = sent(
        await client.post("/v1/org/members/invite", json={"email": "dora@initech.example"}), 201
    )
    service = {"monitor_id": monitor, "public_name": "Shop"}
    body = {"slug": "acme", "title": "Acme", "groups": [{"monitors": [service]}]}
    page = sent(await client.post("/v1/status-pages", json=body), 201)["id"]
    shop = sent(await client.post("/v1/org/clients", json={"name": "Corner Shop"}), 201)["id"]
    body = {"action": "resume", "monitor_ids": [monitor]}
    bulk = sent(await client.post("/v1/monitors/bulk", json=body))["id"]
    sent(await client.put(f"/v1/monitors/{monitor}/badges"))
    return {
        "bulk": bulk,
        "page": page,
        "key": key,
        "invitation": asked["id"],
        "link": asked["url"],
        "client": shop,
        "monitor": monitor,
        "channel": channel,
        "rule": rule,
        "incident": incident,
        "plan": plan,
    }


def found_in(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found is not None, pattern
    return found[1]


VIEWERS = [
    "/dashboard",
    "/dashboard?part=problems",
    "/dashboard?part=incidents",
    "/dashboard?part=figures",
    "/dashboard?part=moment",
    "/monitors",
    "/monitors?sort=uptime_24h&limit=50",
    "/monitors?sort=-response_time_ms",
    "/monitors/bulk/{bulk}?part=job",
    "/monitors?q=shop&status=pending&type=http&sort=name",
    "/monitors?q=nothing-like-it",
    "/monitors/{monitor}",
    "/monitors/{monitor}?period=30d",
    "/monitors/{monitor}?part=checks",
    "/monitors/{monitor}?part=incidents",
    "/monitors/{monitor}?part=figures",
    "/monitors/{monitor}?part=notices",
    "/monitors/{monitor}/checks",
    "/monitors/{monitor}/badges",
    "/monitors/{monitor}/checks?status=down&from=2026-01-01T00:00",
    "/incidents",
    "/incidents?status=open",
    "/incidents?status=resolved&part=list",
    "/incidents/{incident}",
    "/incidents/{incident}?part=story",
    "/alerts",
    "/alerts?part=deliveries",
    "/maintenance",
    "/maintenance?part=list",
    "/status-pages",
    "/status-pages/{page}/preview",
    "/reports",
    "/agents",
    "/profile",
    "/profile/password",
    "/profile/addresses",
    "/profile/two-factor",
    "/profile/sessions",
    "/profile/sessions?page=1",
    "/profile/sessions/delete",
    "/settings/organization",
    "/settings/retention",
    "/settings/about",
    "/settings/members",
    "/clients",
    "/clients?part=list",
    "/clients?q=nothing-like-it",
    "/switch",
    "/switch?q=corner",
]
ADMINS = [
    "/setup/alerts",
    "/monitors/new",
    "/monitors/new?copy={monitor}",
    "/monitors/add-many",
    "/monitors/{monitor}/edit",
    "/monitors/{monitor}/delete",
    "/monitors/{monitor}/badges/rotate",
    "/monitors/{monitor}/badges/delete",
    "/alerts/channels/new",
    "/alerts/channels/new?type=email",
    "/alerts/channels/{channel}",
    "/alerts/channels/{channel}/delete",
    "/alerts/rules/new",
    "/alerts/rules/new?monitor_id={monitor}",
    "/alerts/rules/{rule}",
    "/alerts/rules/{rule}/delete",
    "/incidents/new",
    "/maintenance/new",
    "/maintenance/{plan}",
    "/maintenance/{plan}/delete",
    "/status-pages/new",
    "/status-pages/{page}",
    "/status-pages/{page}/services",
    "/status-pages/{page}/services?q=shop",
    "/status-pages/{page}/news",
    "/status-pages/{page}/subscribers",
    "/status-pages/{page}/domain",
    "/status-pages/{page}/delete",
    "/settings/invitations/{invitation}/delete",
    "/settings/api-keys",
    "/settings/api-keys/new",
    "/settings/api-keys/{key}/rotate",
    "/settings/api-keys/{key}/delete",
    "/settings/clients",
    "/settings/clients?q=nothing-like-it",
    "/settings/clients/new",
    "/settings/clients/{client}",
    "/settings/clients/{client}/grants",
    "/settings/clients/{client}/delete",
    "/settings/audit",
    "/settings/security",
]


class TestWhoSeesWhat:
    async def test_everybody_sees_what_is_theirs(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        bob: httpx.AsyncClient,
        charlie: httpx.AsyncClient,
    ) -> None:
        ids = await furnish(alice)
        stranger = house.client()
        for path in (*VIEWERS, *ADMINS):
            place = path.format(**ids)
            assert "<html" in text_of(await alice.get(place)) or "part=" in path, path
            wanted = led_to(await stranger.get(place))
            assert wanted.startswith("/login?next=/"), path
            if "{" in path and "?" not in path:
                assert "<h1>Not found</h1>" in text_of(await charlie.get(place), 404), path
                lost = path.format(**dict.fromkeys(ids, RANDOM))
                text_of(await alice.get(lost), 404)
        for path in VIEWERS:
            text_of(await bob.get(path.format(**ids)))
        for path in ADMINS:
            page = text_of(await bob.get(path.format(**ids)), 403)
            assert "Your role here is viewer; this needs admin." in page
        # Every template there is has been shown by now, but for those of strangers and errors.
        text_of(await stranger.get("/login"))
        text_of(await stranger.get("/docs"))
        page = text_of(await bob.get("/docs"))
        assert 'href="/dashboard"' in page

    async def test_the_reference_does_not_hold_up_the_loop(
        self, house: Stage, bob: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is half a megabyte, which a stranger may ask for."""
        drawn_in: list[threading.Thread] = []
        marked = packing.takes_gzip

        def noted(accepted: str) -> bool:
            drawn_in.append(threading.current_thread())
            return marked(accepted)

        monkeypatch.setattr(packing, "takes_gzip", noted)
        for client in (house.client(), bob):
            text_of(await client.get("/docs"))
        assert len(drawn_in) == 2
        assert threading.current_thread() not in drawn_in
        page = await house.client(headers={"Accept-Language": "de"}).get("/docs")
        assert '<html lang="de"' in page.text

    async def test_the_event_loop_compiles_none(
        self, house: Stage, bob: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread does, with all that a template is made of; and once."""
        monkeypatch.setattr(templates, "FIRST_AFTER_SECONDS", 0.0)
        made = templates.environment()
        compiled_in: list[threading.Thread] = []
        really = made.compile

        def compile_(*args: Any, **named: Any) -> Any:
            compiled_in.append(threading.current_thread())
            return really(*args, **named)

        monkeypatch.setattr(made, "compile", compile_)
        assert made.cache is not None
        made.cache.clear()
        templates._READY.clear()
        text_of(await bob.get("/monitors"))
        assert len(compiled_in) > 3
        assert threading.current_thread() not in compiled_in
        count = len(compiled_in)
        await templates.warm(house.house.stopping)
        assert len(compiled_in) > count
        for path in ("/dashboard", "/monitors", "/incidents", "/nowhere"):
            assert (await bob.get(path)).status_code in {200, 404}
        text_of(await house.client().get("/login"))
        assert threading.current_thread() not in compiled_in

    async def test_every_template_is_shown(
        self, open_stage: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def nothing_early(_: str) -> None:
            """Only what is shown is read here."""

        monkeypatch.setattr(templates, "ready", nothing_early)
        stage = await open_stage(people=False)
        text_of(await stage.client().get("/setup"))
        cache = templates.environment().cache
        assert cache is not None
        cache.clear()
        await self._found(stage)
        client = stage.client()
        await client.post("/login", data={"email": "ann@example.com", "password": PASSWORD})
        text_of(await client.get("/monitors"))
        ids = await furnish(client)
        for path in (*VIEWERS, *ADMINS, "/docs"):
            text_of(await client.get(path.format(**ids)))
        tried = {
            "type": "tcp",
            "name": "Nobody's",
            "target": "169.254.169.254:80",
            "interval_seconds": "60",
            "timeout_seconds": "10",
            "confirmations": "2",
            "recoveries": "1",
            "action": "test",
        }
        # Whoever may enter several organizations says which one a form is of, as every page does.
        tried["np_org"] = sent(await client.get("/v1/auth/me"))["organization"]["id"]
        assert "always blocked" in text_of(await client.post("/monitors/new", data=tried))
        several = {"action": "delete", "all": "true", "np_org": tried["np_org"]}
        assert "<h1>Delete 1 monitor?</h1>" in text_of(
            await client.post("/monitors/bulk", data=several)
        )
        await fail(stage, ids["monitor"], START + MINUTE)
        (event,) = sent(await client.get("/v1/alert-events"))
        text_of(await client.get(f"/alerts/events/{event['id']}"))
        token = stage.house.links.token(event["incident_id"], ids["channel"], START + DAY)
        text_of(await stage.client().get(f"/acknowledge/{token}"))
        (me,) = sent(await client.get("/v1/org/members"))
        text_of(await client.get(f"/settings/members/{me['id']}"))
        text_of(await stage.client().get(ids["link"]))
        for path in ("/status/acme", "/status/acme/history", "/status/acme/subscribe"):
            text_of(await stage.client().get(path))
        reader = await stage.house.db.write(subscribe, ids["page"], "reader@mail.example", START)
        link = f"/subscriptions/{stage.house.links.subscription_token(reader)}/unsubscribe"
        for _ in range(2):  # the second time it is gone
            text_of(await stage.client().post(link))
        body = {"slug": "acme", "title": "Acme", "password": "open sesame"}
        sent(await client.put(f"/v1/status-pages/{ids['page']}", json=body))
        text_of(await stage.client().get("/status/acme"), 401)
        text_of(await client.get("/nothing"), 404)
        text_of(await stage.client().get("/login"))
        text_of(await stage.client().get("/forgot"))
        text_of(await stage.client().get("/reset/nothing"), 404)
        await self._second_step(stage, client)
        shown = {name for _, name in cache.keys()}  # noqa: SIM118 (it is no mapping)
        assert shown == set(templates.environment().list_templates(["html"]))

    async def _second_step(self, stage: Stage, client: httpx.AsyncClient) -> None:
        """Turn ann's second factor on, and come to the step that asks for it."""
        there = "/profile/two-factor"
        begun = text_of(await client.post(f"{there}/begin", data={"password": PASSWORD}))
        body = {"ticket": found_in(begun, r'name="ticket" value="([^"]+)"')}
        secret = found_in(begun, r"secret=([A-Z2-7]+)")
        body["code"] = code(stage, 0, secret)
        assert "Your recovery codes" in text_of(await client.post(f"{there}/verify", data=body))
        text_of(await client.get(f"{there}/off"))
        form = {"email": "ann@example.com", "password": PASSWORD}
        assert "One-time code" in text_of(await stage.client().post("/login", data=form))

    async def _found(self, stage: Stage) -> None:
        form = {
            "setup_token": "wrong",
            "org_name": "Acme",
            "email": "ann@example.com",
            "password": PASSWORD,
        }
        refused = await stage.client().post("/setup", data=form)
        assert problems(refused, 403) == [
            "The setup token is missing or wrong; the start of NetPulse printed it, and it is in the file setup-token of the data directory."
        ]
        assert PASSWORD not in refused.text
        assert 'value="ann@example.com"' in refused.text
        assert 'value="wrong"' not in refused.text
        form["setup_token"] = stage.house.setup_token.value or ""
        long = await stage.client().post("/setup", data=form | {"org_name": "x" * 60_000})
        assert problems(long, 400) == ["Organization: must have at most 200 characters."]
        # The right token need not be fetched again.
        assert f'value="{form["setup_token"]}"' in long.text
        client = stage.client()
        assert led_to(await client.post("/setup", data=form)) == "/setup/alerts"
        text_of(await client.get("/setup/alerts"))
        text_of(await client.get("/dashboard"))

    async def test_setting_up_is_done_once(self, open_stage: Opener) -> None:
        stage = await open_stage(people=False)
        client = stage.client()
        for path in ("/", "/login"):
            assert led_to(await client.get(path)) == "/setup"
        await self._found(stage)
        assert led_to(await client.get("/")) == "/dashboard"
        assert led_to(await client.get("/setup")) == "/login"
        assert led_to(await client.post("/setup", data={"email": "eve@example.com"})) == "/login"

    async def test_others_changes_are_refused(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        bob: httpx.AsyncClient,
        charlie: httpx.AsyncClient,
    ) -> None:
        ids = await furnish(alice)
        browser = house.client()
        form = {"email": house.cast.alice.email, "password": PASSWORD}
        led_to(await browser.post("/login", data=form))
        before = await house.actions(house.cast.acme.id)
        deeds = [
            "/monitors/{monitor}/check",
            "/monitors/{monitor}/pause",
            "/monitors/{monitor}/resume",
            "/monitors/{monitor}/edit",
            "/monitors/{monitor}/delete",
            "/alerts/channels/{channel}",
            "/alerts/channels/{channel}/test",
            "/alerts/channels/{channel}/delete",
            "/alerts/rules/{rule}",
            "/alerts/rules/{rule}/delete",
            "/incidents/{incident}",
            "/status-pages/{page}",
            "/status-pages/{page}/services",
            "/status-pages/{page}/services/add",
            "/status-pages/{page}/news",
            "/status-pages/{page}/domain/check",
            "/status-pages/{page}/logo",
            "/status-pages/{page}/delete",
        ]
        for path in (*deeds, "/monitors/new", "/alerts/channels/new", "/alerts/rules/new"):
            place = path.format(**ids)
            text_of(await bob.post(place, data={"name": "Mine"}), 403)
            # What was asked for by POST is not asked for again after signing in: the page of its
            # form is, where that is ours.
            stranger = house.client()
            here = str(stranger.base_url).rstrip("/")
            for page, led in (
                (None, "/login"),
                ("https://evil.example/monitors", "/login"),
                ("//[", "/login"),
                (f"{here}/monitors?q=a+b", MONITORS_AGAIN),
                # What only answers a form cannot be asked for; the page above it can.
                (f"{here}/monitors/bulk?q=a", "/login?next=/monitors&told=signed-out"),
                (f"{here}/nowhere/at/all", "/login"),
            ):
                sent_from = {"Referer": page} if page else {}
                sent = await stranger.post(place, data={"name": "Mine"}, headers=sent_from)
                assert led_to(sent) == led
        for path in deeds:
            text_of(await charlie.post(path.format(**ids), data={"name": "Mine"}), 404)
            for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                refused = await browser.post(
                    path.format(**ids), data={"name": "Mine"}, headers=foreign
                )
                text_of(refused, 403)
        assert await house.actions(house.cast.acme.id) == before

    async def test_what_a_viewer_is_not_offered(
        self, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        ids = await furnish(alice)
        for path in VIEWERS:
            page = text_of(await bob.get(path.format(**ids)))
            if path.startswith("/profile"):
                continue  # one's own account is everybody's own
            actions = re.findall(r'<form method="post"[^>]*action="([^"]*)"', page)
            assert set(actions) <= {"/logout", "/switch"}, path
            offered = re.findall(r'href="([^"]*(?:/new|/edit|/delete|/rules/|/channels/)[^"]*)"', page)  # fmt: skip
            assert offered == [], path

    async def test_nothing_yet_to_a_viewer(self, bob: httpx.AsyncClient) -> None:
        """Who may do nothing about it is told who may, not what to do."""
        for path, said in (
            ("/dashboard", ["An administrator of Acme can add a monitor."]),
            ("/monitors", ["An administrator of Acme can add one."]),
            ("/maintenance", ["Administrators of Acme plan it, and what is planned stands here."]),
            (
                "/alerts",
                [
                    "An administrator of Acme can add a rule.",
                    "An administrator of Acme can add a channel.",
                ],
            ),
        ):
            page = text_of(await bob.get(path))
            assert [text for text in said if text not in page] == [], path
            for order in ("Add the channel first", "Begin with mail", "Three steps until", "Before you restart"):  # fmt: skip
                assert order not in page, path

    async def test_errors_are_pages(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for path in ("/nothing", "/monitors/nonsense", "/alerts/rules/%00", "/static/"):
            page = text_of(await alice.get(path), 404)
            assert "Error 404" in page
        assert "Not like this" in text_of(await alice.post("/dashboard"), 405)
        for media in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
            headers = {"Content-Type": media}
            text_of(await alice.post("/monitors/new", content=b"x", headers=headers), 415)
        broken = {"Content-Type": "application/x-www-form-urlencoded"}
        for body in (b"name=%ff", b"name=\xff", b"&".join(b"a=1" for _ in range(600))):
            text_of(await alice.post("/monitors/new", content=body, headers=broken), 400)
        assert (await house.outbox()) == []


class TestSigningIn:
    async def test_in_and_out(self, house: Stage) -> None:
        client = house.client()
        where = led_to(await client.get("/monitors/new?a=b c&d=ä"))
        assert where.startswith("/login?next=/monitors/new%3F")
        page = text_of(await client.get(where))
        hidden = re.search(r'name="next" value="([^"]*)"', page)
        assert hidden is not None
        form = {"email": house.cast.alice.email, "password": "wrong " + PASSWORD}
        refused = await client.post("/login", data=form | {"next": hidden[1]})
        assert problems(refused, 401) == ["The email address or the password is wrong."]
        assert PASSWORD not in refused.text
        assert f'value="{house.cast.alice.email}"' in refused.text
        assert "www-authenticate" not in refused.headers
        done = await client.post("/login", data=form | {"password": PASSWORD, "next": hidden[1]})
        assert led_to(done) == hidden[1]
        assert led_to(await client.get("/login")) == "/dashboard"
        text_of(await client.get("/dashboard"))
        assert led_to(await client.post("/logout")) == "/login"
        assert led_to(await client.get("/dashboard")) == "/login?next=/dashboard"

    @pytest.mark.parametrize(
        "wanted",
        [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https:evil.example",
            "https://evil.example/",
            "\t//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/\u202egpj",
            "/" + "a" * 2000,
        ],
    )
    async def test_it_leads_to_no_other_house(self, house: Stage, wanted: str) -> None:
        assert access.local(wanted) == ""
        client = house.client()
        page = await client.get("/login", params={"next": wanted})
        assert 'name="next"' not in text_of(page)
        form = {"email": house.cast.alice.email, "password": PASSWORD, "next": wanted}
        assert led_to(await client.post("/login", data=form)) == "/dashboard"
        assert led_to(await client.get("/login", params={"next": wanted})) == "/dashboard"

    @pytest.mark.parametrize("wanted", ["/monitors", "/monitors?tag=a&q=//b", "/x#y", "/a:b"])
    def test_what_is_ours(self, wanted: str) -> None:
        assert access.local(wanted) == wanted

    async def test_too_many_attempts(self, house: Stage) -> None:
        client = house.client(ip="192.0.2.99")
        form = {"email": house.cast.alice.email, "password": "wrong"}
        for _ in range(5):
            text_of(await client.post("/login", data=form), 401)
        blocked = await client.post("/login", data=form | {"password": PASSWORD})
        assert blocked.status_code == 429
        assert int(blocked.headers["retry-after"]) > 0
        assert len(problems(blocked, 429)) == 1


class TestLists:
    async def test_thirty_monitors(self, alice: httpx.AsyncClient) -> None:
        for number in range(30):
            more = {"group": "Shop", "tags": ["even"]} if number % 2 == 0 else {"group": "Office"}
            await make(alice, name=f"Number {number:02}", is_paused=number < 3, **more)
        first = text_of(await alice.get("/monitors?sort=name"))
        assert "1 to 20 of 30 monitors" in first
        assert "Number 00" in first
        assert "Number 20" not in first
        following = re.search(r'rel="next" href="([^"]*)"', first)
        assert following is not None
        second = text_of(await alice.get(following[1]))
        assert "21 to 30 of 30 monitors" in second
        assert "Number 20" in second
        assert 'rel="prev"' in second
        filtered = text_of(await alice.get("/monitors?tag=even&group=Shop&status=paused"))
        assert re.findall(r"Number \d\d(?=</a>)", filtered) == ["Number 00", "Number 02"]
        assert 'href="/monitors">Clear' in filtered
        for nonsense in ("page=0", "page=-1", "page=x", "page=99999999999", "status=x", "sort=x", "page=²"):  # fmt: skip
            text_of(await alice.get(f"/monitors?{nonsense}"))
        # An old link to what is past the end leads to the last page.
        beyond = await alice.get("/monitors?sort=name&page=50")
        assert led_to(beyond) == "/monitors?sort=name&page=2"

    async def test_heads_of_columns_sort(self, alice: httpx.AsyncClient) -> None:
        for name in ("Archive", "Zoo"):
            await make(alice, name=name, is_paused=True)
        head = re.compile(r'<th scope="col"( aria-sort="[a-z]+")?><a class="np-sort" href="([^"]+)')
        for address, direction, after, first in (
            ("/monitors?q=zoo", "", "/monitors?q=zoo&sort=name", "Zoo"),
            ("/monitors?sort=name", ' aria-sort="ascending"', "/monitors?sort=-name", "Archive"),
            ("/monitors?sort=-name", ' aria-sort="descending"', "/monitors?sort=name", "Zoo"),
        ):
            page = text_of(await alice.get(address))
            assert head.findall(page)[1] == (direction, after)
            assert re.findall(r"(?:Archive|Zoo)(?=</a>)", page)[0] == first

    async def test_flash_texts_are_ours(self, alice: httpx.AsyncClient) -> None:
        for key, (kind, text) in render.FLASH.items():
            page = text_of(await alice.get(f"/dashboard?told={key}"))
            assert text in page
            assert f"np-note-{kind}" in page
        empty = text_of(await alice.get("/dashboard"))
        for key in ("You have won", "<b>", "Saved.", "SAVED"):
            page = text_of(await alice.get("/dashboard", params={"told": key}))
            assert key not in page or key in empty
            assert "np-note-success" not in page

    async def test_the_chart(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice, degraded_after_ms=700)
        for period, hours in (("1h", 1), ("24h", 24), ("30d", 720), ("nonsense", 24)):
            found = (await alice.get(f"/monitors/{made['id']}/chart.json?period={period}")).json()
            assert found["threshold_ms"] == 700
            assert found["to"] == house.house.clock.now() // 1000
            # A monitor made just now has no day behind it: the axis begins ten minutes ago.
            assert found["to"] - found["from"] == min(hours * HOUR // 1000, 600)
        text_of(await alice.get(f"/monitors/{RANDOM}/chart.json"), 404)
