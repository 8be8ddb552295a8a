"""Status pages as strangers read them: what is told, what is not, how fresh, and to whom."""

from __future__ import annotations

import asyncio
import re
from xml.etree import ElementTree

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.model.ids import is_id
from netpulse.model.time import DAY, HOUR, SECOND, rfc3339
from netpulse.model.watch import Span, Status, Watch
from netpulse.storage import spans, watches
from netpulse.storage.db import Conn
from netpulse.storage.errors import StorageTrouble, TroubleKind
from tests.api.test_monitors import fail, sent
from tests.api.test_status_pages import PAGE, data_url, make, monitor, of
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.pictures import png

PUBLIC = "/v1/public/status/acme"
ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"

INSIDE = "db01.internal.example"
"""Of a target: never to be seen."""
POLYGLOT = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}${7*7}</textarea>]]>"


async def recover(stage: Stage, monitor_id: str, org_id: str, at: int) -> None:
    """Let a monitor be up from `at` on, in its memory and its spans."""

    def up(conn: Conn) -> None:
        watches.save(conn, org_id, monitor_id, Watch(status=Status.UP, since=at, settled=Status.UP))
        spans.put(conn, monitor_id, Span(at=at, status=Status.UP))

    await stage.house.db.write(up)
    stage.house.engine.live.stir(org_id)


class TestWhatIsTold:
    async def test_the_whole_answer(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, target=f"https://{INSIDE}/health", name="shop-prod-1")
        await recover(house, shop, house.cast.acme.id, START - 10 * DAY)
        groups = [{"name": "Web", "monitors": [{"monitor_id": shop, "public_name": "Shop"}]}]
        await make(alice, groups=groups, text="We sell.")
        response = await house.client().get(PUBLIC)
        told = sent(response)
        (service,) = told["services"]
        days = service.pop("days")
        assert is_id(service["id"])
        assert service["id"] != shop
        assert told == {
            "title": "Acme",
            "text": "We sell.",
            "status": "operational",
            "services": [
                {
                    "id": service["id"],
                    "name": "Shop",
                    "group": "Web",
                    "status": "operational",
                    "since": rfc3339(START - 10 * DAY),
                    "uptime_percent_90d": 100.0,
                    "response_time_ms": None,
                }
            ],
            "incidents": [],
            "maintenance": [],
            "announcements": [],
            "updated_at": rfc3339(START),
        }
        assert len(days) == 90
        assert days[-1] == {"date": "2025-12-17", "status": "operational", "down_seconds": 0}
        assert [day["status"] for day in days] == ["unknown"] * 79 + ["operational"] * 11
        assert response.headers["cache-control"] == "public, max-age=5"
        assert response.headers["access-control-allow-origin"] == "*"
        assert "set-cookie" not in response.headers
        for leak in (INSIDE, "shop-prod", shop, house.cast.acme.id, "alice"):
            assert leak not in response.text

    async def test_an_outage(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, target=f"https://{INSIDE}/")
        store = await monitor(alice, name="Store")
        await recover(house, store, house.cast.acme.id, START - DAY)
        await make(alice, groups=of(shop, store))
        await fail(house, shop, START)
        house.house.engine.live.stir(house.cast.acme.id)
        told = sent(await house.client().get(PUBLIC))
        assert told["status"] == "outage"
        assert [one["status"] for one in told["services"]] == ["outage", "operational"]
        (incident,) = told["incidents"]
        assert incident == {
            "id": incident["id"],
            "title": "Outage of Shop",
            "status": "investigating",
            "impact": "major",
            "started_at": rfc3339(START),
            "resolved_at": None,
            "service_ids": [told["services"][0]["id"]],
            "updates": [
                {
                    "at": rfc3339(START),
                    "status": "investigating",
                    "message": "Shop does not work as it should.",
                }
            ],
        }
        page = (await house.client().get("/status/acme")).text
        assert "Outage: 1 of 2 services" in page
        assert "Shop does not work as it should." in page
        for text in (page, (await house.client().get(PUBLIC)).text):
            for leak in (INSIDE, "connection refused", shop, store):
                assert leak not in text

    async def test_only_the_pages_own_incidents(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        shop, other = await monitor(alice), await monitor(alice, name="Other")
        await make(alice, groups=of(shop))
        await make(alice, slug="empty")
        await fail(house, other, START)
        await charlie.post("/v1/incidents", json={"title": "Theirs"})
        await alice.post("/v1/incidents", json={"title": "Of nothing shown"})
        await alice.post(
            "/v1/incidents",
            json={"title": "Of both", "monitor_ids": [other, shop], "impact": "none"},
        )
        for slug, titles in (("acme", ["Of both"]), ("empty", [])):
            told = await house.client().get(f"/v1/public/status/{slug}/incidents")
            assert [one["title"] for one in sent(told)] == titles
        (incident,) = sent(await house.client().get(PUBLIC))["incidents"]
        assert len(incident["service_ids"]) == 1

    async def test_updates_for_the_public(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        await fail(house, shop, START)
        (incident,) = sent(await alice.get("/v1/incidents"))
        url = f"/v1/incidents/{incident['id']}/updates"
        await alice.post(url, json={"message": "db01 is full"})
        update = {"message": "We have found it.", "status": "identified", "is_public": True}
        entry = sent(await alice.post(url, json=update), 201)
        assert entry["is_public"] is True
        (told,) = sent(await house.client().get(PUBLIC))["incidents"]
        assert (told["status"], [one["message"] for one in told["updates"]]) == (
            "identified",
            ["Shop does not work as it should.", "We have found it."],
        )

    async def test_history_ends_after_90_days(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        page = await make(alice)
        body = {"title": "Old fire", "status_page_ids": [page["id"]], "status": "resolved"}
        await alice.post("/v1/incidents", json=body)
        stranger = stage.client()
        for days, count in ((0, 1), (89, 1), (2, 0)):
            clock.advance(days * 86_400)
            told = (await stranger.get(f"{PUBLIC}/incidents")).json()
            assert len(told["data"]) == count
            assert told["meta"] == {"page": 1, "limit": 20, "total": count}
        assert "No incidents" in (await stranger.get("/status/acme/history")).text

    async def test_incidents_are_paged(self, house: Stage, alice: httpx.AsyncClient) -> None:
        page = await make(alice)
        for number in range(25):
            body = {"title": f"Fire {number}", "status_page_ids": [page["id"]]}
            await alice.post("/v1/incidents", json=body)
        stranger = house.client()
        first = (await stranger.get(f"{PUBLIC}/incidents")).json()
        assert len(first["data"]) == 20
        assert first["meta"] == {"page": 1, "limit": 20, "total": 25}
        second = (await stranger.get(f"{PUBLIC}/incidents?page=2")).json()
        assert len(second["data"]) == 5
        titles = {one["title"] for one in first["data"] + second["data"]}
        assert len(titles) == 25
        wrong = await stranger.get(f"{PUBLIC}/incidents?limit=101&x=1")
        assert wrong.status_code == 400

    async def test_maintenance(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice, tags=["web"])
        await make(alice, groups=of(shop))
        plan = {
            "title": "Move",
            "description": "We move.",
            "starts_at": rfc3339(START + HOUR),
            "ends_at": rfc3339(START + 2 * HOUR),
        }
        for more in (
            {"tags": ["web"], "is_public": True},
            {"tags": ["other"], "is_public": True},
            {"all": True, "is_public": False},
            {
                "all": True,
                "is_public": True,
                "starts_at": rfc3339(START + 31 * DAY),
                "ends_at": rfc3339(START + 32 * DAY),
            },
        ):
            sent(await alice.post("/v1/maintenance", json=plan | more), 201)
        told = sent(await house.client().get(PUBLIC))
        (planned,) = told["maintenance"]
        assert planned == {
            "id": planned["id"],
            "title": "Move",
            "description": "We move.",
            "starts_at": rfc3339(START + HOUR),
            "ends_at": rfc3339(START + 2 * HOUR),
            "is_active": False,
            "service_ids": [told["services"][0]["id"]],
        }
        assert "We move." in (await house.client().get("/status/acme")).text

    async def test_an_outage_inside_of_maintenance_is_no_incident(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        plan = {"title": "Move", "all": True, "starts_at": rfc3339(START), "is_public": True}
        plan["ends_at"] = rfc3339(START + HOUR)
        sent(await alice.post("/v1/maintenance", json=plan), 201)
        await fail(house, shop, START)
        house.house.engine.live.stir(house.cast.acme.id)
        told = sent(await house.client().get(PUBLIC))
        assert (told["status"], told["services"][0]["status"]) == ("maintenance", "maintenance")
        assert told["incidents"] == []
        assert told["maintenance"][0]["is_active"] is True
        assert sent(await house.client().get(f"{PUBLIC}/incidents")) == []

    async def test_announcements_end_in_time(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        page = await make(alice)
        url = f"/v1/status-pages/{page['id']}/announcements"
        ends_at = rfc3339(START + 30 * SECOND)
        await alice.post(url, json={"title": "Sale", "text": "Now.", "ends_at": ends_at})
        stranger = stage.client()
        (told,) = sent(await stranger.get(PUBLIC))["announcements"]
        assert (told["title"], told["text"], told["at"]) == ("Sale", "Now.", rfc3339(START))
        clock.advance(29.9)
        assert "Sale" in (await stranger.get("/status/acme")).text
        clock.advance(0.1)
        assert "Sale" not in (await stranger.get("/status/acme")).text
        assert sent(await stranger.get(PUBLIC))["announcements"] == []

    async def test_the_figures_that_are_not_shown(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop), figures={"uptime": False})
        (service,) = sent(await house.client().get(PUBLIC))["services"]
        assert (service["uptime_percent_90d"], service["days"]) == (None, [])
        page = (await house.client().get("/status/acme")).text
        assert "data-days" not in page
        badge = f"/status/acme/badge/{service['id']}/uptime.svg"
        assert (await house.client().get(badge)).status_code == 404

    async def test_nobody_and_nothing(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice)
        told = sent(await house.client().get(PUBLIC))
        assert (told["status"], told["services"]) == ("unknown", [])
        assert "Nothing is shown here yet" in (await house.client().get("/status/acme")).text
        for path in ("/v1/public/status/nobody", "/v1/public/status/UPPER", f"{PUBLIC}/secrets"):
            assert (await house.client().get(path)).status_code == 404
        unknown = (await house.client().get("/v1/public/status/nobody")).json()
        assert unknown["error"] == {
            "code": "STATUS_PAGE_NOT_FOUND",
            "message": "There is no status page at this address",
            "details": {},
        }
        assert (await house.client().get("/status/nobody")).status_code == 404

    async def test_the_page_of_a_deleted_organization_is_gone(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice)

        def end(conn: Conn) -> None:
            conn.execute("UPDATE organizations SET deleted_at = ?", (START,))

        await house.house.db.write(end)
        assert (await house.client().get(PUBLIC)).status_code == 404


class TestHostileText:
    async def test_it_stays_text_everywhere(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        groups = [{"name": POLYGLOT, "monitors": [{"monitor_id": shop, "public_name": POLYGLOT}]}]
        page = await make(alice, title=POLYGLOT, text=POLYGLOT, groups=groups)
        await alice.post(
            "/v1/incidents",
            json={"title": POLYGLOT, "message": POLYGLOT, "monitor_ids": [shop]},
        )
        await alice.post(
            f"/v1/status-pages/{page['id']}/announcements",
            json={"title": POLYGLOT, "text": POLYGLOT},
        )
        await alice.post(
            "/v1/maintenance",
            json={
                "title": POLYGLOT,
                "description": POLYGLOT,
                "all": True,
                "is_public": True,
                "starts_at": rfc3339(START + HOUR),
                "ends_at": rfc3339(START + 2 * HOUR),
            },
        )
        stranger = house.client()
        told = sent(await stranger.get(PUBLIC))
        service = told["services"][0]
        assert service["name"] == told["title"] == POLYGLOT
        for path in ("/status/acme", "/status/acme/history"):
            html = (await stranger.get(path)).text
            for bad in ("<script>alert", "<img src=x", "onerror=alert(2)>", "</textarea>"):
                assert bad not in html, (path, bad)
            assert "{{7*7}}" in html
        for path in ("feed.atom", "feed.rss"):
            root = ElementTree.fromstring((await stranger.get(f"/status/acme/{path}")).content)  # noqa: S314 - our own text
            assert POLYGLOT in [each.text for each in root.iter()]
            assert "script" not in {each.tag for each in root.iter()}
        for path in ("badge.svg", f"badge/{service['id']}/status.svg"):
            root = ElementTree.fromstring((await stranger.get(f"/status/acme/{path}")).content)  # noqa: S314 - our own text
            assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
                "svg",
                "title",
                "clipPath",
                "rect",
                "g",
                "text",
            }

    async def test_no_page_has_an_inline_script_or_style(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await fail(house, shop, START)
        colors = {"accent": "#ffee00", "header": "#123456"}
        await make(alice, groups=of(shop), branding={"colors": colors, "logo": data_url(png())})
        for path in ("/status/acme", "/status/acme/history"):
            html = (await house.client().get(path)).text
            assert not re.search(r"<[^>]+\sstyle=", html)
            assert not re.search(r"<[^>]+\son\w+=", html)
            assert "<style" not in html
            assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []


class TestFreshness:
    async def test_readers_cost_nothing_while_nothing_changes(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice, groups=of(await monitor(alice)))
        await stage.house.engine.settled()
        stranger = stage.client()
        shelf = stage.house.shelf
        first = await stranger.get(PUBLIC)
        reads = shelf.reads
        for _ in range(20):
            again = await stranger.get(PUBLIC, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            await stranger.get("/status/acme")
            clock.advance(2.9)
        assert shelf.reads == reads
        clock.advance(2.1)
        await stranger.get(PUBLIC)
        assert shelf.reads == reads + 1

    async def test_many_at_once_are_one_reading(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice, groups=of(await monitor(alice)))
        stranger = house.client()
        answers = await asyncio.gather(*(stranger.get(PUBLIC) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.headers["etag"] for answer in answers}) == 1
        assert house.house.shelf.reads == 1

    async def test_what_people_change_counts_at_the_next_request(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        page = await make(alice)
        stranger = house.client()
        etag = (await stranger.get("/status/acme")).headers["etag"]
        url = f"/v1/status-pages/{page['id']}"
        for number in range(5):
            sent(await alice.put(url, json=PAGE | {"title": f"Title {number}"}))
            now = await stranger.get("/status/acme", headers={"If-None-Match": etag})
            assert now.status_code == 200
            assert f"Title {number}" in now.text
            assert now.headers["etag"] != etag
            etag = now.headers["etag"]
        body = {"title": "Fire", "status_page_ids": [page["id"]]}
        incident = sent(await alice.post("/v1/incidents", json=body), 201)
        assert "Fire" in (await stranger.get("/status/acme")).text
        url = f"/v1/incidents/{incident['id']}/updates"
        await alice.post(url, json={"message": "It is out."})
        assert "It is out." in (await stranger.get("/status/acme")).text

    async def test_what_the_engine_sees_counts_within_a_second(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        shop = await monitor(alice)
        await recover(stage, shop, stage.cast.acme.id, START - DAY)
        await make(alice, groups=of(shop))
        await stage.house.engine.settled()
        stranger = stage.client()
        assert sent(await stranger.get(PUBLIC))["status"] == "operational"
        reads = stage.house.shelf.reads
        # A storm: everything changes all the time, and the page is read once a second.
        await fail(stage, shop, START)
        for _ in range(10):
            stage.house.engine.live.stir(stage.cast.acme.id)
            clock.advance(0.25)
            told = sent(await stranger.get(PUBLIC))
        assert told["status"] == "outage"
        assert reads < stage.house.shelf.reads <= reads + 3
        # Another organization's storm is none of ours.
        reads = stage.house.shelf.reads
        clock.advance(2)
        sent(await stranger.get(PUBLIC))
        reads = stage.house.shelf.reads
        stage.house.engine.live.stir(stage.cast.globex.id)
        clock.advance(2)
        sent(await stranger.get(PUBLIC))
        assert stage.house.shelf.reads == reads

    async def test_a_change_during_the_reading_is_not_missed(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        page = await make(alice)
        stranger = house.client()
        url = f"/v1/status-pages/{page['id']}"
        for number in range(10):
            _, changed, after = await asyncio.gather(
                stranger.get("/status/acme"),
                alice.put(url, json=PAGE | {"title": f"Title {number}"}),
                stranger.get("/status/acme"),
            )
            assert (changed.status_code, after.status_code) == (200, 200)
            assert f"Title {number}" in (await stranger.get("/status/acme")).text

    async def test_updated_at_is_when_it_began_to_say_so(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        page = await make(alice)
        stranger = stage.client()
        for _ in range(3):
            clock.advance(100)
            told = sent(await stranger.get(PUBLIC))
        assert told["updated_at"] == rfc3339(START + 100 * SECOND)
        await alice.post(f"/v1/status-pages/{page['id']}/announcements", json={"title": "News"})
        assert sent(await stranger.get(PUBLIC))["updated_at"] == rfc3339(START + 300 * SECOND)

    async def test_midnight(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        shop = await monitor(alice)
        await recover(stage, shop, stage.cast.acme.id, START - 10 * DAY)
        await make(alice, groups=of(shop))
        stranger = stage.client()
        clock.set_wall(DAY - START % DAY - 1)
        before = sent(await stranger.get(PUBLIC))["services"][0]["days"]
        assert before[-1]["date"] == "2025-12-17"
        clock.set_wall(1)
        days = sent(await stranger.get(PUBLIC))["services"][0]["days"]
        assert (len(days), days[0]["date"], days[-1]["date"]) == (90, "2025-09-20", "2025-12-18")
        assert days[:-1] == before[1:]

    async def test_finished_days_are_read_again_when_they_change(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        shop = await monitor(alice)
        await recover(stage, shop, stage.cast.acme.id, START - 10 * DAY)
        await make(alice, groups=of(shop))
        stranger = stage.client()
        assert sent(await stranger.get(PUBLIC))["services"][0]["uptime_percent_90d"] == 100.0
        # A verdict that was two days in coming is back-dated over two midnights.
        await fail(stage, shop, START - 2 * DAY)
        stage.house.engine.live.stir(stage.cast.acme.id)
        clock.advance(1)
        (service,) = sent(await stranger.get(PUBLIC))["services"]
        assert [day["status"] for day in service["days"][-4:]] == ["operational"] + ["outage"] * 3
        assert service["days"][-2]["down_seconds"] == 86_400
        assert service["uptime_percent_90d"] < 90

    async def test_only_so_much_is_kept(
        self, house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from netpulse.web.status import shelf as module

        monkeypatch.setattr(module, "MOST_PAGES", 3)
        for number in range(5):
            await make(alice, slug=f"page-{number}")
            assert (await house.client().get(f"/status/page-{number}")).status_code == 200
        shelf = house.house.shelf
        assert list(shelf._pages) == ["page-2", "page-3", "page-4"]
        reads = shelf.reads
        assert (await house.client().get("/status/page-0")).status_code == 200
        assert shelf.reads == reads + 1


class TestPacked:
    async def test_gzip(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice, groups=of(await monitor(alice)))
        for accepted, packed in (
            ("gzip, br", True),
            ("br;q=1, gzip;q=0.5", True),
            ("gzip;q=0", False),
            ("identity", False),
            ("", False),
        ):
            response = await house.client().get(PUBLIC, headers={"Accept-Encoding": accepted})
            assert ("content-encoding" in response.headers) is packed, accepted
            assert response.headers["vary"] == "Accept-Encoding"
            assert response.json()["success"] is True


class TestPassword:
    async def test_nothing_is_told_without_it(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        groups = [{"name": "Web", "monitors": [{"monitor_id": shop, "public_name": "Secret shop"}]}]
        await make(alice, password="open sesame", text="Secret text", groups=groups)
        stranger = house.client()
        response = await stranger.get(PUBLIC)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "PASSWORD_REQUIRED"
        assert response.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in response.headers
        for path in (
            PUBLIC,
            f"{PUBLIC}/incidents",
            "/status/acme",
            "/status/acme/history",
            "/status/acme/feed.atom",
            "/status/acme/feed.rss",
            "/status/acme/badge.svg",
            "/status/acme/badge/x/status.svg",
            "/status/acme/badge/x/uptime.svg",
        ):
            response = await stranger.get(path)
            assert response.status_code == 401, path
            assert "Secret" not in response.text
            assert "location" not in response.headers

    async def test_with_it_everything_is_there(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        page = await make(alice, password="open sesame", text="Secret text")
        stranger = house.client()
        asked = await stranger.get("/status/acme")
        assert "This page has a password" in asked.text
        wrong = await stranger.post("/status/acme", data={"password": "open barley"})
        assert wrong.status_code == 401
        assert "This is not the password." in wrong.text
        assert "set-cookie" not in wrong.headers
        right = await stranger.post("/status/acme", data={"password": "open sesame"})
        assert (right.status_code, right.headers["location"]) == (303, "/status/acme")
        cookie = right.headers["set-cookie"]
        assert re.match(r"np_page_[0-9a-f]{12}=[0-9]+\.[0-9a-f]{64}; ", cookie)
        for part in ("HttpOnly", "Path=/", "SameSite=lax", "Max-Age=43200"):
            assert part in cookie
        assert "Secure" not in cookie
        shown = await stranger.get("/status/acme")
        assert "Secret text" in shown.text
        assert shown.headers["cache-control"] == "private, max-age=5"
        assert shown.headers["vary"] == "Accept-Encoding, Cookie, Accept-Language"
        assert shown.headers["x-robots-tag"] == "noindex"
        api = await stranger.get(PUBLIC)
        assert sent(api)["text"] == "Secret text"
        assert api.headers["cache-control"] == "private, max-age=5"
        assert "access-control-allow-origin" not in api.headers
        # It is no sign-in, and another password ends it.
        assert (await stranger.get("/v1/status-pages")).status_code == 401
        url = f"/v1/status-pages/{page['id']}"
        await alice.put(url, json=PAGE | {"password": "another one"})
        assert (await stranger.get(PUBLIC)).status_code == 401

    async def test_the_cookie_ends_and_cannot_be_made(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice, password="open sesame")
        await make(alice, slug="other", password="open sesame")
        stranger = stage.client()
        answer = await stranger.post("/status/acme", data={"password": "open sesame"})
        name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
        assert (await stranger.get("/v1/public/status/other")).status_code == 401
        until, _, tag = value.partition(".")
        for forged in (
            "",
            "x",
            f"{int(until) + 1}.{tag}",
            f"{until}.{tag[:-1]}0" if tag[-1] != "0" else f"{until}.{tag[:-1]}1",
            f"{until}.",
            f"{until}.\u00e9",
            f".{tag}",
            f"{'9' * 400}.{tag}",
        ):
            client = stage.client(headers={"Cookie": f"{name}={forged}".encode()})
            assert (await client.get(PUBLIC)).status_code == 401, forged
        clock.advance(12 * 3600 - 1)
        assert (await stranger.get(PUBLIC)).status_code == 200
        clock.advance(1)
        fresh = stage.client(headers={"Cookie": f"{name}={value}"})
        assert (await fresh.get(PUBLIC)).status_code == 401

    async def test_over_tls_it_is_for_this_host_alone(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice, password="open sesame")
        stranger = house.client(base="https://netpulse.example")
        answer = await stranger.post("/status/acme", data={"password": "open sesame"})
        assert answer.headers["set-cookie"].startswith("__Host-np_page_")
        assert "Secure" in answer.headers["set-cookie"]
        assert (await stranger.get(PUBLIC)).status_code == 200

    async def test_guessing_is_slowed_down(self, open_stage: Opener) -> None:
        clock = FakeClock()
        stage = await open_stage(clock=clock)
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice, password="open sesame")
        stranger = stage.client(ip="192.0.2.66")
        for _ in range(10):
            answer = await stranger.post("/status/acme", data={"password": "x"})
            assert answer.status_code == 401
        answer = await stranger.post("/status/acme", data={"password": "open sesame"})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) <= 65
        assert "Too many attempts" in answer.text
        other = stage.client(ip="192.0.2.67")
        answer = await other.post("/status/acme", data={"password": "open sesame"})
        assert answer.status_code == 303
        clock.advance(65)
        answer = await stranger.post("/status/acme", data={"password": "open sesame"})
        assert answer.status_code == 303

    async def test_a_page_without_one_takes_any(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice)
        answer = await house.client().post("/status/acme", data={"password": "x"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (303, False)

    async def test_another_sites_form_is_refused(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice, password="open sesame")
        headers = {"Origin": "https://evil.example"}
        answer = await house.client().post(
            "/status/acme", data={"password": "open sesame"}, headers=headers
        )
        assert answer.status_code == 403


class TestIndexing:
    async def test_a_page_that_is_not_to_be_listed_says_so(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice, is_indexed=False)
        response = await house.client().get("/status/acme")
        assert response.headers["x-robots-tag"] == "noindex"
        assert '<meta name="robots" content="noindex">' in response.text
        assert (await house.client().get(PUBLIC)).headers["x-robots-tag"] == "noindex"

    async def test_one_that_may_be_listed_does_not(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice)
        response = await house.client().get("/status/acme")
        assert "x-robots-tag" not in response.headers
        assert "noindex" not in response.text


class TestFeeds:
    async def test_both(self, house: Stage, alice: httpx.AsyncClient) -> None:
        page = await make(alice)
        body = {"title": "Fire", "message": "It burns.", "status_page_ids": [page["id"]]}
        await alice.post("/v1/incidents", json=body)
        stranger = house.client()
        atom = await stranger.get("/status/acme/feed.atom")
        assert atom.headers["content-type"] == "application/atom+xml"
        assert atom.headers["cache-control"] == "public, max-age=5"
        root = ElementTree.fromstring(atom.content)  # noqa: S314 - our own text
        (entry,) = root.findall(f"{ATOM}entry")
        assert entry.findtext(f"{ATOM}title") == "Investigating: Fire"
        (link,) = entry.findall(f"{ATOM}link")
        assert (link.get("href") or "").startswith("http://netpulse.example/status/acme/history#e-")
        rss = await stranger.get("/status/acme/feed.rss")
        assert rss.headers["content-type"] == "application/rss+xml"
        root = ElementTree.fromstring(rss.content)  # noqa: S314 - our own text
        assert root.findtext("channel/item/title") == "Investigating: Fire"

    async def test_addresses_come_from_the_configuration(self, open_stage: Opener) -> None:
        config = Config(server=Server(public_url="https://netpulse.example"))
        stage = await open_stage(config=config)
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice)
        atom = await stage.client(base="http://127.0.0.1:8080").get("/status/acme/feed.atom")
        assert 'href="https://netpulse.example/status/acme"' in atom.text
        assert "127.0.0.1" not in atom.text

    async def test_an_odd_host_is_not_repeated(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice)
        answer = await house.client().get(
            "/status/acme/feed.atom", headers={"Host": "evil.example/x?<>"}
        )
        assert "evil" not in answer.text


class TestBadges:
    async def test_they_are_for_pages_of_others(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice, name="shop-1", target=f"https://{INSIDE}/")
        await recover(house, shop, house.cast.acme.id, START - DAY)
        groups = [{"monitors": [{"monitor_id": shop, "public_name": "Shop"}]}]
        await make(alice, groups=groups)
        (service,) = sent(await house.client().get(PUBLIC))["services"]
        for path, words in (
            ("badge.svg", ["Acme", "operational"]),
            (f"badge/{service['id']}/status.svg", ["Shop", "operational"]),
            (f"badge/{service['id']}/uptime.svg", ["Shop 90 d", "100%"]),
        ):
            response = await house.client().get(f"/status/acme/{path}")
            assert response.headers["content-type"].startswith("image/svg+xml")
            assert response.headers["cross-origin-resource-policy"] == "cross-origin"
            assert response.headers["access-control-allow-origin"] == "*"
            root = ElementTree.fromstring(response.content)  # noqa: S314 - our own text
            assert [each.text for each in root.iter(f"{SVG}text")] == words
            assert INSIDE not in response.text

    async def test_a_monitors_own_id_is_none(self, house: Stage, alice: httpx.AsyncClient) -> None:
        shop = await monitor(alice)
        await make(alice, groups=of(shop))
        for unknown in (shop, "nonsense", "019b0000-0000-7000-8000-00000000dead"):
            for kind in ("status", "uptime"):
                url = f"/status/acme/badge/{unknown}/{kind}.svg"
                assert (await house.client().get(url)).status_code == 404


class TestColours:
    async def test_they_come_as_a_style_sheet(self, house: Stage, alice: httpx.AsyncClient) -> None:
        colors = {"accent": "#ffee00", "header": "#ffcc00"}
        made = await make(alice, branding={"colors": colors, "theme": "dark"})
        page = (await house.client().get("/status/acme")).text
        assert 'data-bs-theme="dark"' in page
        address = "/status/acme/style/ffee00-ffcc00.css"
        assert f'href="{address}"' in page
        sheet = await house.client().get(address)
        assert sheet.headers["content-type"].startswith("text/css")
        assert sheet.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "--np-page-header: #ffcc00; --np-page-header-ink: #000000;" in sheet.text
        assert re.fullmatch(r"[-:#;{}(),.\[\]\s\w]*", sheet.text)
        etag = sheet.headers["etag"]
        again = await house.client().get(address, headers={"If-None-Match": f'"x", {etag}'})
        assert again.status_code == 304
        old = await house.client().get("/status/acme/style/own-own.css")
        assert (old.text, old.headers["cache-control"]) == (sheet.text, "no-cache")
        await alice.put(f"/v1/status-pages/{made['id']}", json=PAGE)
        page = (await house.client().get("/status/acme")).text
        assert "/status/acme/style/own-own.css" in page
        assert "data-bs-theme" not in page.partition("<head>")[0]


class TestDomains:
    DOMAIN = "status.acme.example"

    async def test_trying_again_leads_back(
        self, house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await make(alice, custom_domain=self.DOMAIN)
        await self.prove(house)

        async def full(*_: object) -> None:
            raise StorageTrouble(TroubleKind.FULL)

        stranger = house.client(base=f"https://{self.DOMAIN}")
        assert (await stranger.get("/feed.atom")).status_code == 200
        monkeypatch.setattr(house.house.shelf, "look", full)
        for path in ("/", "/history"):
            answer = await stranger.get(path)
            assert answer.status_code == 503
            assert f'href="{path}">Try again' in answer.text

    async def prove(self, stage: Stage, slug: str = "acme") -> None:
        def verify(conn: Conn) -> None:
            conn.execute("UPDATE status_pages SET domain_verified_at = 1 WHERE slug = ?", (slug,))

        await stage.house.db.write(verify)
        stage.house.shelf.domains_edited()

    async def test_it_leads_to_the_page_and_nothing_else(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        shop = await monitor(alice)
        await make(
            alice, custom_domain=self.DOMAIN, groups=of(shop), branding={"logo": data_url(png())}
        )
        stranger = house.client(base=f"https://{self.DOMAIN}")
        # A claim alone changes nothing, or anybody could take NetPulse's own name away.
        answer = await stranger.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
        await self.prove(house)
        answer = await stranger.get("/")
        assert answer.status_code == 200
        assert "<title>Acme</title>" in answer.text
        assert "/status/acme" not in answer.text
        assert "set-cookie" not in answer.headers
        # Everything that the page names is there.
        for address in re.findall(r'(?:href|src)="(/[^"#]*)', answer.text):
            assert (await stranger.get(address)).status_code == 200, address
        for path in (
            "/login",
            "/setup",
            "/dashboard",
            "/docs",
            "/status/acme",
            "/status-pages",
            "/v1/monitors",
            "/v1/public/status/acme",
            "/v1/auth/me",
            "/v1/openapi.json",
            "/metrics",
            "/live",
            "/ping/x",
            "/acme",
            "/../login",
        ):
            answer = await stranger.get(path, headers=house.cast.alice.headers)
            assert answer.status_code == 404, path
            assert "location" not in answer.headers
            assert "/dashboard" not in answer.text
            assert "/login" not in answer.text
        for path in ("/v1/auth/login", "/login", "/logout", "/v1/monitors"):
            answer = await stranger.post(path, json={}, headers=house.cast.alice.headers)
            assert answer.status_code in {404, 405}, path
            assert "set-cookie" not in answer.headers

    async def test_whatever_port_and_case(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice, custom_domain=self.DOMAIN)
        await self.prove(house)
        for host in (f"{self.DOMAIN}:8443", self.DOMAIN.upper(), f"{self.DOMAIN}."):
            answer = await house.client().get("/", headers={"Host": host})
            assert "<title>Acme</title>" in answer.text, host
        for host in (f"x.{self.DOMAIN}", f"{self.DOMAIN}.evil.example", "acme.example"):
            answer = await house.client().get("/", headers={"Host": host})
            assert "<title>Acme</title>" not in answer.text, host

    async def test_feeds_and_links_stay_there(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice, custom_domain=self.DOMAIN)
        await self.prove(house)
        stranger = house.client(base=f"https://{self.DOMAIN}")
        atom = await stranger.get("/feed.atom")
        assert f'href="https://{self.DOMAIN}/feed.atom"' in atom.text
        assert "netpulse.example" not in atom.text
        # And on the instance's own host the instance's own addresses.
        assert "/status/acme/feed.atom" in (await house.client().get("/status/acme")).text

    async def test_a_password_works_there(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await make(alice, custom_domain=self.DOMAIN, password="open sesame", text="Secret text")
        await self.prove(house)
        stranger = house.client(base=f"https://{self.DOMAIN}")
        asked = await stranger.get("/")
        assert (asked.status_code, 'action="/"' in asked.text) == (401, True)
        answer = await stranger.post("/", data={"password": "open sesame"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Secret text" in (await stranger.get("/")).text

    async def test_another_slug_and_the_end(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice, custom_domain=self.DOMAIN)
        await self.prove(house)
        stranger = house.client(base=f"https://{self.DOMAIN}")
        url = f"/v1/status-pages/{made['id']}"
        body = PAGE | {"slug": "moved", "custom_domain": self.DOMAIN}
        assert sent(await alice.put(url, json=body))["domain"]["is_active"] is True
        assert (await stranger.get("/")).status_code == 200
        await alice.delete(url)
        assert "<title>Acme" not in (await stranger.get("/")).text

    async def test_an_unknown_host_is_told_nothing(self, open_stage: Opener) -> None:
        config = Config(server=Server(public_url="https://netpulse.example"))
        stage = await open_stage(config=config)
        alice = stage.client(headers=stage.cast.alice.headers)
        await make(alice)
        for host in ("evil.example", "netpulse.example.evil.example", "evil.example:80", "x.evil"):
            for path in ("/", "/login", "/status/acme", PUBLIC, "/v1/monitors", "/static/app.css"):
                answer = await stage.client().get(
                    path, headers={"Host": host} | stage.cast.alice.headers
                )
                assert (answer.status_code, answer.text) == (
                    421,
                    "Nothing is served under this name.\n",
                ), (host, path)
                assert answer.headers["x-content-type-options"] == "nosniff"
        for host in (
            "netpulse.example",
            "NETPULSE.example:8443",
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "netpulse",
            "netpulse.internal",
            "netpulse.lan",
        ):
            answer = await stage.client().get(PUBLIC, headers={"Host": host})
            assert answer.status_code == 200, host
        # Machines that look whether we live come by whatever name they have for us.
        assert (
            await stage.client().get("/healthz", headers={"Host": "evil.example"})
        ).status_code == 200

    async def test_a_storm_of_names_is_no_storm_of_reads(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await make(alice, custom_domain=self.DOMAIN)
        await house.client().get("/healthz")
        reads = house.house.shelf.reads
        for number in range(20):
            await house.client().get("/login", headers={"Host": f"{number}.example"})
        assert house.house.shelf.reads == reads
