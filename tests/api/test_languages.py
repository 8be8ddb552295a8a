"""The language of a page: what a browser asks for, what somebody chose, and what stays English."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.web import figures, languages, phrases
from tests.api.test_monitors import fail
from tests.api.test_status_pages import make, monitor, of
from tests.clock import START
from tests.conftest import Opener, Stage

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.mark.parametrize(
    ("accepted", "chosen", "code"),
    [
        ("", "", "en"),
        ("de", "", "de"),
        ("de-CH", "", "de"),
        ("DE_at, de", "", "de"),
        ("fr, it;q=0.9", "", "en"),
        ("fr, de;q=0.1", "", "de"),
        ("en, de", "", "en"),
        ("de, en", "", "de"),
        ("en;q=0.4, de;q=0.5", "", "de"),
        ("de;q=0", "", "en"),
        ("de;q=2, en;q=0.1", "", "en"),
        ("de;q=0,5", "", "en"),
        ("*", "", "en"),
        (";;,,=,q", "", "en"),
        ("x" * 600 + ", de", "", "en"),
        ("de", "en", "en"),
        ("", "de", "de"),
        ("de", "tlh", "de"),
    ],
)
def test_which_language(accepted: str, chosen: str, code: str) -> None:
    assert languages.of_request(accepted, chosen) == code


def test_figures() -> None:
    assert figures.duration(90_061) == "1 d 1 h"
    assert figures.percent(99.9996) == "99.99%"
    assert figures.percent(None) == "\N{EN DASH}"
    assert figures.ms(12.5) == "12.5 ms"
    assert figures.many(1_234_567) == "1,234,567"
    assert figures.within("Maintenance") == "maintenance"
    assert figures.outages(0) == ""
    assert figures.outages(1) == " (1 outage)"
    assert figures.outages(2) == " (2 outages)"
    assert figures.listed(["a", "b"], 3) == "a, b and 3 more"
    assert figures.listed(["a", "b"], 0) == "a, b"
    with languages.using("de"):
        assert figures.duration(90_061) == "1 d 1 h"
        assert figures.percent(99.9996) == "99,99 %"
        assert figures.percent(100) == "100 %"
        assert figures.ms(12.5) == "12,5 ms"
        assert figures.many(1_234_567) == "1.234.567"
        assert figures.within("Wartung") == "Wartung"
        assert figures.outages(1) == " (1 Ausfall)"
        assert figures.outages(2) == " (2 Ausfälle)"
        assert figures.listed(["a", "b"], 3) == "a, b und 3 weitere"
    assert figures.percent(100) == "100%"


class TestPhrases:
    """What the API says, as a page in another language repeats it."""

    def test_each_is_found_again(self) -> None:
        """With anything in its places: that stays as it is."""
        for text in phrases.PHRASES:
            values = {name: f"<{name}> 50%" for name in re.findall(r"%\((\w+)\)s", text)}
            said = text % values if values else text
            assert phrases.phrase(said) == said
            with languages.using("de"):
                wanted = languages.say(text, **values) if values else languages.say(text)
                assert phrases.phrase(said) == wanted != said

    def test_what_is_not_known_stays(self) -> None:
        with languages.using("de"):
            assert phrases.phrase("nobody has said this yet") == "nobody has said this yet"
            assert phrases.phrase("must be at least ") == "must be at least "
            assert phrases.phrase("") == ""


class TestPages:
    async def test_what_the_browser_asks_for(self, house: Stage) -> None:
        english = await house.client().get("/login")
        assert '<html lang="en"' in english.text
        assert "Forgot" in english.text
        assert "np-words" not in english.text
        german = await house.client().get("/login", headers=GERMAN)
        assert '<html lang="de"' in german.text
        assert '<h1 class="h2">Anmelden</h1>' in german.text
        found = re.search(
            r'<script type="application/json" id="np-words">(.*?)</script>', german.text
        )
        assert found is not None
        words = json.loads(found[1])
        assert words["just now"] == "gerade eben"
        assert "" not in words

    async def test_what_somebody_chose(self, house: Stage) -> None:
        """It lasts in the browser, and stands above what the browser asks for."""
        client = house.client(headers=GERMAN)
        cast = house.cast.alice
        page = await house.client(headers=cast.headers | GERMAN).get("/profile")
        assert "Die Seiten sprechen" in page.text
        answer = await house.client(headers=cast.headers).post(
            "/profile/language", data={"language": "en"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/profile?told=saved")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("np_language=en; ")
        for part in ("HttpOnly", "Path=/", "SameSite=lax", "Max-Age=34560000"):
            assert part in cookie
        chosen = await client.get("/login", headers={"Cookie": "a=b; np_language=en"})
        assert '<html lang="en"' in chosen.text
        assert chosen.text == (await house.client().get("/login")).text

    async def test_over_tls_it_is_for_this_host_alone(self, open_stage: Opener) -> None:
        stage = await open_stage(config=Config(server=Server(trusted_proxies=("192.0.2.0/24",))))
        secure = {"X-Forwarded-Proto": "https"}
        client = stage.client(headers=stage.cast.alice.headers | secure)
        answer = await client.post("/profile/language", data={"language": "de"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-np_language=de; ")
        assert "; Secure" in cookie
        for name, code in (("__Host-np_language", "de"), ("np_language", "en")):
            page = await stage.client(headers=secure).get(
                "/login", headers={"Cookie": f"{name}=de"}
            )
            assert f'<html lang="{code}"' in page.text, name

    @pytest.mark.parametrize("sent", ["", "tlh", "de;x", "en\r\nx: y"])
    async def test_none_is_chosen(self, house: Stage, sent: str) -> None:
        client = house.client(headers=house.cast.alice.headers)
        answer = await client.post("/profile/language", data={"language": sent})
        assert answer.status_code == 303
        assert re.match(r'np_language=(""|); .*Max-Age=0', answer.headers["set-cookie"])

    @pytest.mark.parametrize(
        "cookie", ["np_language=tlh", "np_language=", "xnp_language=de", "np_language=de1"]
    )
    async def test_what_nobody_can_have_chosen(self, house: Stage, cookie: str) -> None:
        page = await house.client().get("/login", headers={"Cookie": cookie})
        assert '<html lang="en"' in page.text

    async def test_two_at_once(self, house: Stage) -> None:
        """Requests that wait in between speak their own language still."""
        client = house.client(headers=house.cast.alice.headers)
        asked = [GERMAN if n % 2 else {"Accept-Language": "en"} for n in range(12)]
        pages = await asyncio.gather(*(client.get("/dashboard", headers=one) for one in asked))
        for sent, page in zip(asked, pages, strict=True):
            assert ("Übersicht" in page.text) is (sent is GERMAN)
            assert ("Dashboard" in page.text) is (sent is not GERMAN)

    async def test_a_refused_form(self, house: Stage) -> None:
        client = house.client(headers=house.cast.alice.headers | GERMAN)
        form = {
            "type": "https",
            "name": "",
            "target": "https://shop.example/",
            "interval_seconds": "5",
        }
        page = await client.post("/monitors/new", data=form)
        assert page.status_code == 400
        assert "Noch ist nichts gespeichert. Bitte sehen Sie nach:" in page.text
        assert "Name: " in page.text
        assert "Prüfen alle: muss mindestens 10 sein." in page.text

    async def test_what_is_said_beside_the_data(self, house: Stage) -> None:
        """Texts that are made where the database is read, in another thread."""
        client = house.client(headers=house.cast.alice.headers | GERMAN)
        channel = {"name": "Hook", "type": "webhook", "config": {"url": "https://hook.example/"}}
        made = (await client.post("/v1/alert-channels", json=channel)).json()["data"]
        page = await client.get(f"/alerts/channels/{made['id']}/delete")
        assert "Benachrichtigungen, die noch auf ihn warten, werden nicht gesendet." in page.text

    async def test_an_error(self, house: Stage) -> None:
        page = await house.client().get("/nothing", headers=GERMAN | {"Accept": "text/html"})
        assert page.status_code == 404
        assert '<html lang="de"' in page.text
        assert "<h1>Nicht gefunden</h1>" in page.text

    async def test_programs_are_answered_in_english(self, house: Stage) -> None:
        plain = await house.client().get("/v1/monitors")
        german = await house.client().get("/v1/monitors", headers=GERMAN)
        assert german.status_code == plain.status_code == 401
        assert german.json() == plain.json()


class TestStatusPages:
    async def make(self, alice: httpx.AsyncClient) -> None:
        answer = await alice.post("/v1/status-pages", json={"slug": "acme", "title": "Acme"})
        assert answer.status_code == 201, answer.text

    async def test_kept_by_language(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await self.make(alice)
        readers = [
            await house.client().get("/status/acme", headers=headers)
            for headers in (GERMAN, {}, GERMAN, {"Accept-Language": "fr"})
        ]
        for page in readers:
            assert page.headers["vary"] == "Accept-Encoding, Accept-Language"
        german, english, again, french = readers
        assert "Noch keine Dienste" in german.text
        assert '<html lang="de"' in german.text
        assert "No services yet" in english.text
        assert again.text == german.text
        assert french.text == english.text
        assert german.headers["etag"] != english.headers["etag"]
        known = {"If-None-Match": german.headers["etag"]}
        assert (await house.client().get("/status/acme", headers=known)).status_code == 200
        assert (await house.client().get("/status/acme", headers=known | GERMAN)).status_code == 304

    async def test_a_choice_for_netpulse_is_no_matter_of_it(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """Caches go by what Vary names, and that is no cookie."""
        await self.make(alice)
        page = await house.client().get("/status/acme", headers={"Cookie": "np_language=de"})
        assert "No services yet" in page.text

    async def test_one_language_for_everybody(self, house: Stage, alice: httpx.AsyncClient) -> None:
        body = {"slug": "acme", "title": "Acme", "language": "de"}
        made = await alice.post("/v1/status-pages", json=body)
        assert made.json()["data"]["language"] == "de"
        url = f"/v1/status-pages/{made.json()['data']['id']}"
        german, english = [
            await house.client().get("/status/acme", headers=headers) for headers in (GERMAN, {})
        ]
        assert "Noch keine Dienste" in english.text
        assert english.text == german.text
        assert english.headers["vary"] == "Accept-Encoding"
        for path in ("/history", "/subscribe"):
            assert '<html lang="de"' in (await house.client().get(f"/status/acme{path}")).text
        wrong = await alice.put(url, json=body | {"language": "fr"})
        assert wrong.json()["error"]["details"]["errors"] == [
            {"path": "$.language", "message": "is none of en, de, or null"}
        ]
        assert (await alice.put(url, json=body | {"language": None})).status_code == 200
        assert "No services yet" in (await house.client().get("/status/acme")).text
        # Nor does a preview in one language show up in another.
        preview = f"/status-pages/{made.json()['data']['id']}/preview"
        assert "Noch keine Dienste" in (await alice.get(preview, headers=GERMAN)).text
        assert "No services yet" in (await alice.get(preview)).text

    async def test_own_words_of_incidents_and_nobody_elses(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        """What people wrote stays as it is, though NetPulse might have said the same."""
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await fail(house, shop, START)
        body = {"title": "Outage of everything", "message": "Shop works again."}
        manual = await alice.post("/v1/incidents", json=body | {"monitor_ids": [shop]})
        assert manual.status_code == 201
        page = (await house.client().get("/status/acme", headers=GERMAN)).text
        assert "Ausfall: Shop" in page
        assert "Shop funktioniert nicht, wie es soll." in page
        assert "Outage of everything" in page
        assert "Shop works again." in page
        english = (await house.client().get("/status/acme")).text
        assert "Outage of Shop" in english

    async def test_feeds_say_the_same_to_everybody(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await self.make(alice)
        for name in ("feed.atom", "feed.rss", "badge.svg"):
            plain = await house.client().get(f"/status/acme/{name}")
            german = await house.client().get(f"/status/acme/{name}", headers=GERMAN)
            assert german.text == plain.text
            assert german.headers["vary"] == "Accept-Encoding"
