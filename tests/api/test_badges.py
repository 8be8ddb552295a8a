"""A monitor's own badges: who switches them on, what strangers see, and how they end."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from netpulse.config import Config, Limits, Server
from netpulse.model.time import DAY, MINUTE, rfc3339
from netpulse.storage import badges, closing
from netpulse.web.failures import without_token
from tests.api.test_monitors import SPEC, errors, fail, sent
from tests.api.test_public_status import INSIDE, POLYGLOT, recover
from tests.api.test_status_pages import make, monitor, of
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("status", "uptime-24h", "uptime-7d", "uptime-30d", "uptime-90d", "response-time")


@pytest.fixture
def clock(house: Stage) -> FakeClock:
    found = house.house.clock
    assert isinstance(found, FakeClock)
    return found


def texts(response: httpx.Response) -> list[str | None]:
    assert response.status_code == 200, response.text
    root = ElementTree.fromstring(response.content)  # noqa: S314 - our own text
    return [each.text for each in root.iter(f"{SVG}text")]


async def switched_on(client: httpx.AsyncClient, monitor_id: str, **spec: Any) -> dict[str, str]:
    """Switch a monitor's badges on and return their paths."""
    made = sent(await client.put(f"/v1/monitors/{monitor_id}/badges", json=spec))
    found: dict[str, str] = made["paths"]
    return found


def test_the_log_has_no_address() -> None:
    for path in ("/badge/secret/status.svg", "/v1/public/badges/secret"):
        assert "secret" not in without_token(path)


async def test_on_and_off(house: Stage, alice: httpx.AsyncClient) -> None:
    shop = await monitor(alice)
    url = f"/v1/monitors/{shop}/badges"
    off = await alice.get(url)
    assert off.status_code == 404
    assert off.json()["error"]["code"] == "BADGES_NOT_FOUND"
    assert off.json()["error"]["message"] == (
        "The badges of this monitor are off; PUT switches them on"
    )
    made = sent(await alice.put(url))
    token = made["paths"]["json"].rpartition("/")[2]
    assert len(token) == 24
    assert shop not in str(made["paths"])
    assert made == {
        "monitor_id": shop,
        "label": None,
        "paths": {name: f"/badge/{token}/{name}.svg" for name in NAMES}
        | {"json": f"/v1/public/badges/{token}"},
        "created_at": rfc3339(START),
    }
    labelled = sent(await alice.put(url, json={"label": " Our shop "}))
    assert labelled == made | {"label": "Our shop"}
    assert sent(await alice.get(url)) == labelled
    assert sent(await alice.delete(url)) is None
    assert (await alice.delete(url)).status_code == 404
    assert (await house.client().get(made["paths"]["status"])).status_code == 404
    actions = await house.actions(house.cast.acme.id)
    assert actions == ["monitor.created", "badges.on", "badges.changed", "badges.off"]
    assert token not in str(await house.payloads(house.cast.acme.id))


async def test_what_strangers_see(house: Stage, alice: httpx.AsyncClient, clock: FakeClock) -> None:
    shop = await monitor(alice, name="shop-1", target=f"https://{INSIDE}/")
    await recover(house, shop, house.cast.acme.id, START)
    paths = await switched_on(alice, shop, label="Shop")
    clock.advance(100 * 60)
    await fail(house, shop, clock.now() - 60_000)
    stranger = house.client()
    told = sent(await stranger.get(paths["json"]))
    assert told == {
        "label": "Shop",
        "status": "outage",
        "since": rfc3339(clock.now() - 60_000),
        "uptime_percent": {"24h": 99.0, "7d": 99.0, "30d": 99.0, "90d": 99.0},
        "response_time_ms": None,
        "updated_at": rfc3339(clock.now()),
    }
    words = {
        "status": ["Shop", "outage"],
        "uptime-24h": ["Shop 24 h", "99.00%"],
        "uptime-90d": ["Shop 90 d", "99.00%"],
        "response-time": ["Shop", "no data"],
    }
    for name, said in words.items():
        response = await stranger.get(paths[name])
        assert texts(response) == said
        headers = response.headers
        assert headers["content-type"].startswith("image/svg+xml")
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'none'; sandbox"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cache-control"] == "public, max-age=4"
        assert headers["x-robots-tag"] == "noindex"
        for secret in (INSIDE, shop, house.cast.acme.id, "shop-1", "refused"):
            assert secret not in response.text
        same = await stranger.get(paths[name], headers={"If-None-Match": headers["etag"]})
        assert same.status_code == 304
        assert same.content == b""


async def test_without_a_label_they_carry_the_name_whatever_it_is(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    shop = await monitor(alice, name=POLYGLOT)
    paths = await switched_on(alice, shop)
    response = await house.client().get(paths["uptime-7d"])
    label, value = texts(response)
    assert value == "no data"
    assert label is not None
    assert label.endswith("… 7 d")
    assert POLYGLOT.startswith(label.removesuffix("… 7 d"))
    assert "<script" not in response.text
    page = (await alice.get(f"/monitors/{shop}/badges")).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    # What is copied out of the page is sound HTML, and Markdown that is a picture alone.
    assert "&amp;lt;script&amp;gt;alert(1)" in page
    assert "\\&lt;script\\&gt;alert(1)" in page


async def test_five_seconds(house: Stage, alice: httpx.AsyncClient, clock: FakeClock) -> None:
    """Read once a second at most, shown for four more: never older than five."""
    shop = await monitor(alice, name="Shop")
    await recover(house, shop, house.cast.acme.id, START)
    paths = await switched_on(alice, shop)
    stranger = house.client()
    before = house.house.rack.reads
    for name in NAMES:
        await stranger.get(paths[name])
    assert house.house.rack.reads == before + 1
    await fail(house, shop, clock.now())
    assert texts(await stranger.get(paths["status"])) == ["Shop", "operational"]
    clock.advance(1)
    assert texts(await stranger.get(paths["status"])) == ["Shop", "outage"]
    assert house.house.rack.reads == before + 2


async def test_another_address_ends_the_old_one_at_once(
    house: Stage, alice: httpx.AsyncClient, clock: FakeClock
) -> None:
    shop = await monitor(alice, name="Shop")
    old = await switched_on(alice, shop, label="Ours")
    stranger = house.client()
    assert (await stranger.get(old["status"])).status_code == 200
    clock.advance(60)
    moved = sent(await alice.post(f"/v1/monitors/{shop}/badges/rotate"))
    assert moved["label"] == "Ours"
    assert moved["created_at"] == rfc3339(START + MINUTE)
    for path in old.values():
        assert (await stranger.get(path)).status_code == 404
    assert texts(await stranger.get(moved["paths"]["status"])) == ["Ours", "unknown"]
    labelled = await switched_on(alice, shop, label="Other")
    assert labelled == moved["paths"]
    assert texts(await stranger.get(moved["paths"]["status"])) == ["Other", "unknown"]
    assert "badges.rotated" in await house.actions(house.cast.acme.id)


@pytest.mark.parametrize(
    "path",
    [
        "/badge/nonsense/status.svg",
        "/badge/AAAAAAAAAAAAAAAAAAAAAAAA/status.svg",
        "/badge/{token}/status",
        "/badge/{token}/status.svg.svg",
        "/badge/{token}/uptime-1y.svg",
        "/badge/{token}/",
        "/badge/{monitor}/status.svg",
        "/v1/public/badges/{monitor}",
        "/v1/public/badges/AAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
async def test_what_is_not_there(house: Stage, alice: httpx.AsyncClient, path: str) -> None:
    shop = await monitor(alice)
    token = (await switched_on(alice, shop))["json"].rpartition("/")[2]
    url = path.format(token=token, monitor=shop)
    assert (await house.client().get(url)).status_code == 404


async def test_they_end_with_the_monitor_and_the_organization(
    house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient, clock: FakeClock
) -> None:
    gone, closed = await monitor(alice), await monitor(charlie)
    first, second = await switched_on(alice, gone), await switched_on(charlie, closed)
    await alice.delete(f"/v1/monitors/{gone}")
    await house.house.db.write(closing.close, house.cast.globex.id, clock.now())
    for paths, monitor_id in ((first, gone), (second, closed)):
        assert await house.house.db.read(badges.get, monitor_id) is None
        assert (await house.client().get(paths["status"])).status_code == 404


async def test_who_may(house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    shop = await monitor(alice, name="Shop")
    url = f"/v1/monitors/{shop}/badges"
    assert (await bob.put(url)).status_code == 403
    assert (
        "An administrator can switch them on." in (await bob.get(f"/monitors/{shop}/badges")).text
    )
    made = sent(await alice.put(url))
    assert sent(await bob.get(url)) == made
    assert (await bob.post(f"{url}/rotate")).status_code == 403
    assert (await bob.delete(url)).status_code == 403
    page = (await bob.get(f"/monitors/{shop}/badges")).text
    assert made["paths"]["status"] in page
    assert "Switch off" not in page
    assert (await bob.get(f"/monitors/{shop}/badges/rotate")).status_code == 403


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"label": "x" * 61}, "$.label", "must have at most 60 characters"),
        ({"label": "two\nlines"}, "$.label", "has a line break or another control character"),
        ({"label": 7}, "$.label", "must be text or null, not a whole number"),
        ({"token": "mine"}, "$.token", "there is no such field here"),
    ],
)
async def test_mistakes(
    alice: httpx.AsyncClient, body: dict[str, Any], path: str, message: str
) -> None:
    shop = await monitor(alice)
    response = await alice.put(f"/v1/monitors/{shop}/badges", json=body)
    assert errors(response) == [(path, message)]


async def test_they_are_counted(open_stage: Opener) -> None:
    stage = await open_stage(config=Config(limits=Limits(anonymous_per_minute=3)))
    alice = stage.client()
    alice.headers.update(stage.cast.alice.headers)
    shop = await monitor(alice)
    paths = await switched_on(alice, shop)
    stranger = stage.client("198.51.100.7")
    answers = [(await stranger.get(paths["status"])).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    assert (await stage.client("198.51.100.8").get(paths["json"])).status_code == 200


async def test_status_page_badges_can_do_nothing_either(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    await make(alice, groups=of(await monitor(alice)))
    response = await house.client().get("/status/acme/badge.svg")
    assert response.headers["content-security-policy"].endswith("sandbox")


class TestPages:
    async def test_the_whole_way(self, open_stage: Opener) -> None:
        config = Config(server=Server(public_url="https://watch.example"))
        stage = await open_stage(config=config)
        alice = stage.client(base="https://watch.example")
        alice.headers.update(stage.cast.alice.headers)
        shop = sent(await alice.post("/v1/monitors", json=SPEC | {"name": "Shop"}), 201)["id"]
        await recover(stage, shop, stage.cast.acme.id, START - DAY)
        here = f"/monitors/{shop}/badges"
        assert "They are off." in (await alice.get(f"/monitors/{shop}")).text
        assert "The badges are off" in (await alice.get(here)).text
        form = {"np_org": stage.cast.acme.id}
        answer = await alice.post(here, data=form | {"label": "x" * 61})
        assert answer.status_code == 400
        assert "Label: must have at most 60 characters." in answer.text
        answer = await alice.post(here, data=form | {"label": "A [fine] shop"})
        assert answer.headers["location"] == f"{here}?told=badges-on"
        paths = sent(await alice.get(f"/v1{here}"))["paths"]
        page = (await alice.get(here)).text
        url = f"https://watch.example{paths['status']}"
        assert f"![A \\[fine\\] shop: State]({url})" in page
        assert f"&lt;img src=&#34;{url}&#34; alt=&#34;A [fine] shop: State&#34;&gt;" in page
        assert f'<img src="{paths["uptime-30d"]}"' in page
        assert f"https://watch.example{paths['json']}" in page
        assert paths["status"] in (await alice.get(f"/monitors/{shop}")).text
        asked = (await alice.get(f"{here}/rotate")).text
        assert "Give the badges of Shop another address?" in asked
        answer = await alice.post(f"{here}/rotate", data=form)
        assert answer.headers["location"] == f"{here}?told=badges-moved"
        assert "Switch off the badges of Shop?" in (await alice.get(f"{here}/delete")).text
        answer = await alice.post(f"{here}/delete", data=form)
        assert answer.headers["location"] == f"{here}?told=badges-off"
        assert (await alice.get(f"{here}/delete")).status_code == 404


async def test_the_document_takes_no_token_for_an_id(house: Stage) -> None:
    document = (await house.client().get("/v1/openapi.json")).json()
    for path in ("/v1/public/badges/{token}", "/v1/public/status/{slug}"):
        (parameter,) = document["paths"][path]["get"]["parameters"]
        assert parameter["schema"] == {"type": "string"}
    (parameter, *_) = document["paths"]["/v1/monitors/{id}/badges"]["get"]["parameters"]
    assert parameter["schema"] == {"type": "string", "format": "uuid"}
