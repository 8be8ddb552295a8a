"""The builder of status pages as a person uses it: forms, searches, uploads, and what they refuse."""

from __future__ import annotations

import re

import httpx
import pytest

from netpulse.model.ids import new_id
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.time import rfc3339
from netpulse.storage import monitors
from netpulse.storage.db import Conn
from tests.api.test_monitors import sent
from tests.api.test_pages import led_to, problems, text_of
from tests.api.test_status_pages import PATH, make, monitor, of
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import Stage
from tests.pictures import SECRET, chunk, png

FORM = {
    "title": "Acme status",
    "branding.theme": "auto",
    "is_indexed": "true",
    "figures.uptime": "true",
}


@pytest.fixture
async def browser(house: Stage) -> httpx.AsyncClient:
    """Alice's browser, signed in."""
    client = house.client()
    form = {"email": house.cast.alice.email, "password": PASSWORD}
    led_to(await client.post("/login", data=form))
    return client


async def test_from_nothing_to_a_page(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    assert "No status page yet" in text_of(await browser.get("/status-pages"))
    assert led_to(await browser.get("/status")) == "/status-pages"
    text_of(await browser.get("/status-pages/new"))
    place = led_to(await browser.post("/status-pages/new", data=FORM))
    page_id = place.split("/")[2]
    assert place == f"/status-pages/{page_id}/services?told=page-made"
    assert "There is no monitor yet" in text_of(await browser.get(place))
    shop, store = await monitor(alice), await monitor(alice, name="Store")
    for ids, group in (([shop], "Web"), ([store], "Offices")):
        add = f"/status-pages/{page_id}/services/add"
        data = {"monitor_id": ids, "group": group}
        assert led_to(await browser.post(add, data=data)) == (
            f"/status-pages/{page_id}/services?told=saved"
        )
    arranged = {
        f"name-{shop}": "Our shop",
        f"group-{shop}": "Sales",
        f"place-{shop}": "30",
        f"name-{store}": "",
        f"group-{store}": "Sales",
        f"place-{store}": "20",
    }
    led_to(await browser.post(f"/status-pages/{page_id}/services", data=arranged))
    page = sent(await alice.get(f"{PATH}/{page_id}"))
    assert page["slug"] == "acme-status"
    assert page["groups"] == [
        {
            "name": "Sales",
            "monitors": [
                {"monitor_id": store, "public_name": "Store"},
                {"monitor_id": shop, "public_name": "Our shop"},
            ],
        }
    ]
    assert "Our shop" in (await house.client().get("/status/acme-status")).text
    listed = text_of(await browser.get("/status-pages"))
    assert "2 services" in listed
    assert "/status/acme-status" in listed
    led_to(await browser.post(f"/status-pages/{page_id}/services", data={f"remove-{shop}": "true"}))
    page = sent(await alice.get(f"{PATH}/{page_id}"))
    assert [one["monitor_id"] for one in page["groups"][0]["monitors"]] == [store]
    assert led_to(await browser.post(f"/status-pages/{page_id}/delete")) == (
        "/status-pages?told=deleted"
    )
    assert (await house.client().get("/status/acme-status")).status_code == 404


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Café Müller & Söhne", "cafe-mueller-soehne"),
        ("Straße 7", "strasse-7"),
        ("Łódź, Żoliborz", "lodz-zoliborz"),
    ],
)
async def test_the_address_that_a_title_suggests(
    browser: httpx.AsyncClient, alice: httpx.AsyncClient, title: str, slug: str
) -> None:
    led_to(await browser.post("/status-pages/new", data=FORM | {"title": title}))
    (page,) = sent(await alice.get(PATH))
    assert page["slug"] == slug


async def test_settings_keep_what_has_its_own_page(
    browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    shop = await monitor(alice)
    made = await make(alice, groups=of(shop, name="Web"), password="open sesame")
    url = f"/status-pages/{made['id']}"
    shown = text_of(await browser.get(url))
    assert "It is set; leave this empty to keep it." in shown
    assert "sesame" not in shown
    data = FORM | {
        "slug": "moved",
        "version": "1",
        "branding.colors.accent": "#123456",
        "custom_domain": "status.acme.example",
    }
    assert led_to(await browser.post(url, data=data)) == f"{url}?told=saved"
    page = sent(await alice.get(f"{PATH}/{made['id']}"))
    assert page["groups"] == made["groups"]
    assert (page["slug"], page["password_set"], page["custom_domain"]) == (
        "moved",
        True,
        "status.acme.example",
    )
    assert page["branding"]["colors"] == {"accent": "#123456", "header": None}
    led_to(await browser.post(url, data=FORM | {"slug": "moved", "clear": "password"}))
    page = sent(await alice.get(f"{PATH}/{made['id']}"))
    assert (page["password_set"], page["custom_domain"]) == (False, None)


async def test_what_is_wrong_is_said_at_its_field(
    browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    await make(alice, custom_domain="status.acme.example")
    bad = FORM | {
        "title": "Other",
        "slug": "Übel",
        "branding.colors.header": "red",
        "password": "abc",
    }
    answer = await browser.post("/status-pages/new", data=bad)
    assert problems(answer) == [
        "Address: must be 2 to 64 characters, each a lower-case letter, a digit or -.",
        "Password: must have at least 4 characters.",
        "Behind the title: a colour is written #rrggbb, such as #1660b8.",
    ]
    assert 'value="abc"' not in answer.text
    for field, value, said in (
        ("slug", "acme", "Address: Another status page is at /status/acme already."),
        (
            "custom_domain",
            "status.acme.example",
            "Domain: Another status page has the domain status.acme.example already.",
        ),
    ):
        answer = await browser.post("/status-pages/new", data=FORM | {field: value})
        assert problems(answer, 409) == [said]
    made = await make(alice, slug="second")
    late = await browser.post(f"/status-pages/{made['id']}", data=FORM | {"version": "7"})
    assert problems(late, 412) == [
        "This was changed since you read it; read it again and repeat your change."
    ]


async def test_choosing_nothing(browser: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    made = await make(alice)
    await monitor(alice)
    url = f"/status-pages/{made['id']}/services/add"
    assert problems(await browser.post(url, data={"group": "x"})) == [
        "Monitors: choose at least one."
    ]
    assert problems(await browser.post(url, data={"monitor_id": new_id(START)})) == [
        "Services: there is no monitor with this id."
    ]


async def test_the_search_is_the_servers(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    made = await make(alice)

    def many(conn: Conn) -> None:
        for number in range(300):
            spec = HttpSpec(name=f"Host {number:04}", target=f"https://host{number}.example/")
            org_id = house.cast.acme.id
            row = Monitor(id=new_id(START), key=0, org_id=org_id, spec=spec, created_at=START)
            monitors.insert(conn, row)

    await house.house.db.write(many)
    url = f"/status-pages/{made['id']}/services"
    first = text_of(await browser.get(url))
    assert "1 to 20 of 300 monitors" in first
    assert "Host 0019" in first
    assert "Host 0020" not in first
    assert "Host 0020" in text_of(await browser.get(f"{url}?page=2"))
    found = text_of(await browser.get(f"{url}?q=host0299"))
    assert "No monitor fits" in found
    found = text_of(await browser.get(f"{url}?q=HOST 0299"))
    assert re.findall(r"Host \d{4}", found)[0] == "Host 0299"
    # All of a page's services are sent in one form, as many as a page may have.
    ids = [row["id"] for row in sent(await alice.get("/v1/monitors?limit=100"))]
    for page in (2, 3):
        ids += [row["id"] for row in sent(await alice.get(f"/v1/monitors?limit=100&page={page}"))]
    body = {"slug": "acme", "title": "Acme", "groups": of(*ids)}
    sent(await alice.put(f"{PATH}/{made['id']}", json=body))
    data: dict[str, str] = {}
    for number, one in enumerate(ids):
        data |= {f"name-{one}": f"N{number}", f"group-{one}": "All", f"place-{one}": f"{number}"}
    led_to(await browser.post(url, data=data))
    page_now = sent(await alice.get(f"{PATH}/{made['id']}"))
    assert [one["public_name"] for one in page_now["groups"][0]["monitors"]] == [
        f"N{number}" for number in range(300)
    ]


class TestLogo:
    async def test_a_file_is_taken_and_taken_away(
        self, house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
    ) -> None:
        made = await make(alice)
        url = f"/status-pages/{made['id']}/logo"
        picture = png(extra=chunk(b"tEXt", SECRET))
        files = {"logo": ("../../evil.html", picture, "text/html")}
        assert led_to(await browser.post(url, files=files)) == (
            f"/status-pages/{made['id']}?told=saved"
        )
        address = sent(await alice.get(f"{PATH}/{made['id']}"))["branding"]["logo"]
        served = await house.client().get(address)
        assert (served.content, served.headers["content-type"]) == (png(), "image/png")
        assert f'src="{address}"' in text_of(await browser.get(f"/status-pages/{made['id']}"))
        empty = {"logo": ("", b"", "application/octet-stream")}
        led_to(await browser.post(url, files=empty))
        assert sent(await alice.get(f"{PATH}/{made['id']}"))["branding"]["logo"] is None

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"<svg onload=alert(1)>", "Logo: is neither PNG, JPEG, GIF nor WebP."),
            (png() + bytes(256 * 1024), "Logo: is larger than 256 KiB."),
            (png()[:-1], "Logo: is cut short."),
        ],
    )
    async def test_what_is_no_picture_is_refused(
        self, browser: httpx.AsyncClient, alice: httpx.AsyncClient, body: bytes, why: str
    ) -> None:
        made = await make(alice)
        url = f"/status-pages/{made['id']}/logo"
        answer = await browser.post(url, files={"logo": ("x.png", body, "image/png")})
        assert problems(answer) == [why]
        assert sent(await alice.get(f"{PATH}/{made['id']}"))["version"] == 1

    async def test_another_kind_of_form_is_refused(
        self, browser: httpx.AsyncClient, alice: httpx.AsyncClient
    ) -> None:
        made = await make(alice)
        answer = await browser.post(f"/status-pages/{made['id']}/logo", data={"logo": "x"})
        assert answer.status_code == 415


async def test_news(house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    made = await make(alice)
    url = f"/status-pages/{made['id']}/news"
    assert "Nothing is announced." in text_of(await browser.get(url))
    bad = {"title": "", "ends_at": "2001-01-01T10:00"}
    assert problems(await browser.post(url, data=bad)) == [
        "Title: must not be empty.",
    ]
    bad = {"title": "Sale", "ends_at": "2001-01-01T10:00"}
    assert problems(await browser.post(url, data=bad)) == ["Shown until: must be in the future."]
    good = {"title": "Sale", "text": "All\r\nmust go", "ends_at": "2026-01-01T10:00"}
    assert led_to(await browser.post(url, data=good)) == f"{url}?told=page-announced"
    (told,) = sent(await alice.get(f"{PATH}/{made['id']}/announcements"))
    assert (told["text"], told["ends_at"]) == ("All\nmust go", "2026-01-01T10:00:00Z")
    page = text_of(await browser.get(url))
    assert "Sale" in page
    question = text_of(await browser.get(f"{url}/{told['id']}/delete"))
    assert "Delete the announcement Sale?" in question
    assert led_to(await browser.post(f"{url}/{told['id']}/delete")) == f"{url}?told=deleted"
    assert sent(await alice.get(f"{PATH}/{made['id']}/announcements")) == []
    for unknown in (told["id"], new_id(START), "nonsense"):
        assert (await browser.get(f"{url}/{unknown}/delete")).status_code == 404


async def test_posting_an_incident(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    made = await make(alice)
    form = text_of(await browser.get(f"/incidents/new?page_id={made['id']}"))
    assert re.search(rf'name="status_page_ids" value="{made["id"]}" checked', form)
    data = {
        "title": "Fire",
        "message": "It burns.",
        "status": "investigating",
        "impact": "minor",
        "status_page_ids": made["id"],
    }
    led_to(await browser.post("/incidents/new", data=data))
    told = sent(await house.client().get("/v1/public/status/acme"))
    assert (told["status"], told["incidents"][0]["title"]) == ("degraded", "Fire")
    news = text_of(await browser.get(f"/status-pages/{made['id']}/news"))
    assert "Fire" in news


async def test_an_update_for_the_public(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    from tests.api.test_monitors import fail

    shop = await monitor(alice)
    await make(alice, groups=of(shop))
    await fail(house, shop, START)
    (incident,) = sent(await alice.get("/v1/incidents"))
    url = f"/incidents/{incident['id']}"
    assert "Status pages may tell it" in text_of(await browser.get(url))
    for message, more in (
        ("The disk of db01 is full.", {}),
        ("We are on it.", {"is_public": "true"}),
    ):
        led_to(await browser.post(url, data={"message": message, "status": "investigating"} | more))
    page = (await house.client().get("/status/acme")).text
    assert "We are on it." in page
    assert "db01" not in page
    assert "told on status pages" in text_of(await browser.get(url))


async def test_the_preview_needs_no_password(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    made = await make(alice, password="open sesame", text="Secret text")
    url = f"/status-pages/{made['id']}/preview"
    answer = await browser.get(url)
    assert "Secret text" in text_of(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert led_to(await house.client().get(url)).startswith("/login")


async def test_the_domain_page(
    house: Stage, browser: httpx.AsyncClient, alice: httpx.AsyncClient
) -> None:
    made = await make(alice)
    url = f"/status-pages/{made['id']}/domain"
    assert "No domain of its own" in text_of(await browser.get(url))
    assert led_to(await browser.post(f"{url}/check")) == f"/status-pages/{made['id']}"
    body = {"slug": "acme", "title": "Acme", "custom_domain": "status.acme.example"}
    domain = sent(await alice.put(f"{PATH}/{made['id']}", json=body))["domain"]
    page = text_of(await browser.get(url))
    for part in (
        domain["record"],
        domain["value"],
        "status.acme.example is not proved yet",
        "CNAME",
        "proxy_set_header Host $host;",
        "reverse_proxy 127.0.0.1:8080",
    ):
        assert part in re.sub(r"</?strong[^>]*>", "", page), part
    assert "Take it as proved" not in page
    assert (await browser.post(f"{url}/vouch")).status_code == 403
    assert rfc3339(START)[:10] in page


async def test_viewers_see_no_control(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await make(alice, groups=of(await monitor(alice)))
    bob = house.client()
    form = {"email": house.cast.bob.email, "password": PASSWORD}
    led_to(await bob.post("/login", data=form))
    listed = text_of(await bob.get("/status-pages"))
    assert f"/status-pages/{made['id']}/preview" in listed
    for control in ("Make a page", "/delete", ">Edit", ">News", "<form"):
        assert control not in listed.partition("<main")[2], control
    text_of(await bob.get(f"/status-pages/{made['id']}/preview"))
    await alice.delete(f"{PATH}/{made['id']}")
    assert "An administrator can make one." in text_of(await bob.get("/status-pages"))
