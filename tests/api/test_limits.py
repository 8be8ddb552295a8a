"""How many requests are taken: of whom, what they are told, and what never counts."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from netpulse.config import Config, Limits, Server
from netpulse.crypto import passwords
from netpulse.web.limits import headers as limit_headers
from netpulse.web.routes import ROUTES
from tests.api.test_monitors import SPEC, sent
from tests.api.test_page_forms import HTTP_FORM
from tests.clock import FakeClock
from tests.conftest import BASE, Opener, Stage

FEW = Limits(
    requests_per_minute=5, anonymous_per_minute=3, runs_per_minute=2, channel_tests_per_minute=2
)
REFUSED = "Too many requests; wait as long as Retry-After says"
STRANGER = (
    "Too many requests from your address without a sign-in that stands; wait as long as "
    "Retry-After says"
)


@pytest.fixture
async def few(open_stage: Opener) -> Stage:
    return await open_stage(config=Config(limits=FEW))


def advance(stage: Stage, seconds: float) -> None:
    assert isinstance(stage.house.clock, FakeClock)
    stage.house.clock.advance(seconds)


def told(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Return the status, and what is said of the limit."""
    return (
        answer.status_code,
        answer.headers.get("ratelimit-policy"),
        answer.headers.get("ratelimit"),
    )


async def test_a_sign_in_has_so_many_a_minute(few: Stage) -> None:
    client = few.client(headers=few.cast.alice.headers)
    answers = [await client.get("/v1/monitors") for _ in range(7)]
    assert [told(answer) for answer in answers] == [
        *((200, '"requests";q=5;w=60', f'"requests";r={left};t=65') for left in (4, 3, 2, 1, 0)),
        *[(429, '"requests";q=5;w=60', '"requests";r=0;t=65')] * 2,
    ]
    for answer, left in zip(answers, (4, 3, 2, 1, 0, 0, 0), strict=True):
        assert answer.headers["ratelimit-limit"] == "5"
        assert answer.headers["ratelimit-remaining"] == str(left)
        assert answer.headers["ratelimit-reset"] == "65"
        assert ("retry-after" in answer.headers) is (answer.status_code == 429)
    refused = answers[-1]
    assert refused.json()["error"] == {
        "code": "TOO_MANY_REQUESTS",
        "message": REFUSED,
        "details": {},
    }
    assert refused.headers["retry-after"] == "65"
    advance(few, 64)
    assert (await client.get("/v1/monitors")).headers["retry-after"] == "1"
    advance(few, 1)
    assert (await client.get("/v1/monitors")).status_code == 200


async def test_everybody_has_their_own(few: Stage) -> None:
    for person in (few.cast.alice, few.cast.bob, few.cast.charlie):
        client = few.client(headers=person.headers)
        codes = [(await client.get("/v1/monitors")).status_code for _ in range(6)]
        assert codes == [200] * 5 + [429], person.name


async def test_a_key_counts_by_itself_wherever_it_comes_from(few: Stage) -> None:
    alice = few.client(headers=few.cast.alice.headers)
    keys = [
        sent(await alice.post("/v1/api-keys", json={"name": "x", "scopes": ["monitors:read"]}), 201)
        for _ in range(2)
    ]
    codes = []
    for number in range(6):
        client = few.client(ip=f"192.0.2.{number}", headers={"X-API-Key": keys[0]["key"]})
        codes.append((await client.get("/v1/monitors")).status_code)
    assert codes == [200] * 5 + [429]
    other = few.client(headers={"X-API-Key": keys[1]["key"]})
    assert (await other.get("/v1/monitors")).status_code == 200


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
        {"X-API-Key": "np_abcdefgh_" + "x" * 43},
        {"Cookie": "np_session=made-up"},
    ],
)
async def test_a_credential_that_is_refused_counts_on_its_address(
    few: Stage, credential: dict[str, str]
) -> None:
    client = few.client(ip="198.51.100.7", headers=credential)
    answers = [await client.get("/v1/monitors") for _ in range(5)]
    assert [told(answer)[:2] for answer in answers] == [
        *[(401, '"address";q=3;w=60')] * 3,
        *[(429, '"address";q=3;w=60')] * 2,
    ]
    assert answers[-1].json()["error"]["message"] == STRANGER
    # Who is signed in there, or comes from elsewhere, does not suffer for it.
    signed = few.client(ip="198.51.100.7", headers=few.cast.alice.headers)
    assert (await signed.get("/v1/monitors")).status_code == 200
    assert (await few.client(ip="198.51.100.8").get("/v1/monitors")).status_code == 401


async def test_an_address_is_a_whole_network_of_ipv6(few: Stage) -> None:
    codes = []
    for number in range(4):
        client = few.client(ip=f"2001:db8:1:2::{number:x}")
        codes.append((await client.get("/v1/openapi.json")).status_code)
    assert codes == [200, 200, 200, 429]
    assert (await few.client(ip="2001:db8:1:3::1").get("/v1/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/openapi.json", 200),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1", 404),
        ("DELETE", "/v1/monitors", 405),
        ("TRACE", "/v1/monitors", 405),
        ("OPTIONS", "/v1/monitors", 405),
        ("HEAD", "/v1/monitors", 401),
        ("POST", "/v1/auth/login", 415),
        ("POST", "/v1/auth/refresh", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/docs", 200),
        ("GET", "/dashboard", 303),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 401),
    ],
)
async def test_what_counts_on_an_address(few: Stage, method: str, path: str, status: int) -> None:
    client = few.client()
    codes = [(await client.request(method, path)).status_code for _ in range(4)]
    assert codes == [status] * 3 + [429]
    other_site = {"Origin": "https://evil.example"}
    refused = await client.post("/v1/monitors", json={}, headers=other_site)
    assert refused.status_code == 429, "nor is it told that it may not"


async def test_a_refusal_of_another_site_counts_too(few: Stage) -> None:
    client = few.client(headers={"Origin": "https://evil.example"})
    codes = [(await client.post("/v1/monitors", json={})).status_code for _ in range(4)]
    assert codes == [403, 403, 403, 429]


async def test_what_never_counts(few: Stage) -> None:
    client = few.client()
    for path in ("/healthz", "/static/app.css", "/static/nothing.css"):
        for _ in range(5):
            answer = await client.get(path)
            assert answer.status_code in (200, 404)
            assert "ratelimit" not in answer.headers
    # Pings have limits of their own.
    codes = [(await client.get("/ping/guess")).status_code for _ in range(61)]
    assert codes == [404] * 60 + [429]
    assert (await client.get("/v1/monitors")).status_code == 401, "and none of that counted"


def test_the_routes_that_do_not_count_are_these() -> None:
    found = sorted(
        {
            path
            for route in ROUTES
            for path in route.paths
            if not route.opt["counts"] and not path.startswith(("/ping/", "/api/"))
        }
    )
    status_pages = [path for path in found if re.match(r"/status/|/v1/public/status/", path)]
    assert len(status_pages) == 11
    assert sorted(set(found) - set(status_pages)) == [
        "/healthz",
        "/static/{path:path}",
        # Mail providers send these for all who read their mail there.
        "/subscriptions/{token:str}/unsubscribe",
    ]


async def test_status_pages_are_for_as_many_as_come(few: Stage) -> None:
    alice = few.client(headers=few.cast.alice.headers)
    body = {"slug": "acme", "title": "Acme"}
    assert (await alice.post("/v1/status-pages", json=body)).status_code == 201
    client = few.client()
    for _ in range(10):
        for path in ("/status/acme", "/v1/public/status/acme"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "ratelimit-limit" not in answer.headers
    # Looking for pages that are not there is counted as everything is.
    codes = [(await client.get("/v1/public/status/guess")).status_code for _ in range(5)]
    assert codes[0] == 404
    assert codes[-1] == 429


async def test_every_answer_of_the_api_says_how_many_are_left(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    asked = [
        ("GET", "/v1/monitors", None),
        ("POST", "/v1/monitors", {**SPEC, "colour": "red"}),
        ("POST", "/v1/monitors", SPEC),
        ("GET", "/v1/monitors/nobody", None),
        ("PUT", "/v1/monitors", {}),
        ("GET", "/v1/nowhere", None),
        ("GET", "/v1/openapi.json", None),
        ("POST", "/v1/auth/login", {"email": "x", "password": "y"}),
    ]
    for client in (alice, house.client()):
        for method, path, body in asked:
            answer = await client.request(method, path, json=body)
            assert re.fullmatch(r'"\w+";r=\d+;t=\d+', answer.headers["ratelimit"]), path
            assert re.fullmatch(r'"\w+";q=\d+;w=60', answer.headers["ratelimit-policy"])
    assert "ratelimit" not in (await alice.get("/dashboard")).headers


async def test_the_defaults(house: Stage, alice: httpx.AsyncClient) -> None:
    assert told(await alice.get("/v1/monitors"))[1] == '"requests";q=6000;w=60'
    assert told(await house.client().get("/v1/monitors"))[1] == '"address";q=600;w=60'


@pytest.mark.parametrize("path", ["//evil.example/x", "/%5Cevil.example/x"])
async def test_trying_again_leads_nowhere_else(few: Stage, path: str) -> None:
    """Browsers take a path of two slashes, and a backslash for a slash, as another host's."""
    client = few.client()
    answers = [await client.get(f"{BASE}{path}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    again = re.search(r'href="([^"]*)">Try again', answers[-1].text)
    assert again is not None
    assert re.match(r"/[^/\\]", again[1]), again[1]


async def test_turned_off(open_stage: Opener) -> None:
    off = Limits(
        requests_per_minute=0, anonymous_per_minute=0, runs_per_minute=0, channel_tests_per_minute=0
    )
    stage = await open_stage(config=Config(limits=off))
    client = stage.client()
    for _ in range(700):
        answer = await client.get("/v1/nowhere")
        assert answer.status_code == 404
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_no_password_is_hashed_and_no_body_read_beyond_the_limit(
    few: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    verify = passwords.verify_password

    async def counted(known: str | None, password: str) -> bool:
        hashed.append(password)
        return await verify(known, password)

    monkeypatch.setattr(passwords, "verify_password", counted)
    body = {"email": "nobody@example.com", "password": "wrong"}
    for path, form in (("/v1/auth/login", False), ("/login", True)):
        client = few.client(ip=f"192.0.2.{len(path)}")
        for number in range(6):
            answer = await client.post(path, **{"data" if form else "json": body})  # type: ignore[arg-type]
            assert (answer.status_code == 429) is (number >= 3), path
    assert len(hashed) == 6
    messages: list[str] = []

    async def receive() -> dict[str, object]:
        messages.append("asked")
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent_: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent_.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/auth/login",
        "raw_path": b"/v1/auth/login",
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"content-type", b"application/json")],
        "client": ("192.0.2.14", 1),
        "server": ("x", 80),
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "root_path": "",
    }
    await few.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent_[0]["status"] == 429
    assert messages == []


async def test_a_spoofed_address_changes_nothing(few: Stage) -> None:
    client = few.client(ip="198.51.100.9")
    codes = []
    for number in range(5):
        headers = {
            "X-Forwarded-For": f"203.0.113.{number}",
            "Forwarded": f"for=203.0.113.{number}",
            "X-Real-IP": f"203.0.113.{number}",
            "X-Forwarded-Host": f"{number}.example",
        }
        codes.append((await client.get("/v1/monitors", headers=headers)).status_code)
    assert codes == [401, 401, 401, 429, 429]


async def test_behind_a_proxy_the_rightmost_stranger_counts(open_stage: Opener) -> None:
    server = Server(trusted_proxies=("10.0.0.0/8",))
    stage = await open_stage(config=Config(limits=FEW, server=server))
    proxy = stage.client(ip="10.0.0.1")

    async def ask(forwarded: str) -> int:
        answer = await proxy.get("/v1/monitors", headers={"X-Forwarded-For": forwarded})
        return answer.status_code

    # What the client itself wrote stands on the left, and differs each time.
    codes = [await ask(f"203.0.113.{number}, 198.51.100.1, 10.0.0.7") for number in range(4)]
    assert codes == [401, 401, 401, 429]
    assert await ask("198.51.100.2") == 401, "another client of the same proxy"


async def test_setting_the_clock_frees_and_locks_nobody(few: Stage) -> None:
    clock = few.house.clock
    assert isinstance(clock, FakeClock)
    client = few.client()
    for by_hours in (0, 1, -2, 24 * 365 * 10, -24 * 365 * 20):
        clock.set_wall(by_hours * 3_600_000)
        codes = [(await client.get("/v1/openapi.json")).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429], by_hours
        clock.set_wall(3_600_000)
        assert (await client.get("/v1/openapi.json")).status_code == 429
        clock.set_wall(-7_200_000)
        assert (await client.get("/v1/openapi.json")).status_code == 429
        clock.advance(65)


async def test_checks_by_hand_of_an_organization(open_stage: Opener) -> None:
    few = await open_stage(config=Config(limits=Limits(runs_per_minute=2)))
    alice = few.client(headers=few.cast.alice.headers)
    target = {**SPEC, "target": "http://127.0.0.1:9/"}
    made = sent(await alice.post("/v1/monitors", json=target), 201)
    assert (await alice.post("/v1/monitors/test", json=target)).status_code == 200
    assert (await alice.post(f"/v1/monitors/{made['id']}/check")).status_code == 200
    refused = await alice.post("/v1/monitors/test", json=target)
    assert refused.json()["error"]["message"] == (
        "Too many checks by hand in one minute for this organization; wait as long as "
        "Retry-After says"
    )
    assert told(refused) == (429, '"runs";q=2;w=60', '"runs";r=0;t=65')
    advance(few, 30)
    # The pages count with it, and say so in the form.
    page = few.client(headers=few.cast.alice.headers)
    answer = await page.post("/monitors/new", data=HTTP_FORM | {"action": "test"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "35")
    assert "Too many checks by hand in one minute for this organization; wait 35 s." in answer.text
    assert (await page.post(f"/monitors/{made['id']}/check")).status_code == 429
    advance(few, 35)
    assert (await page.post(f"/monitors/{made['id']}/check")).status_code == 303


async def test_limits_cost_next_to_nothing(few: Stage) -> None:
    rate = few.house.rates.strangers
    began = time.perf_counter()
    for number in range(20_000):
        rate.take(f"192.0.2.{number % 250}", 1000.0)
    assert (time.perf_counter() - began) / 20_000 < 50e-6
    assert limit_headers({"state": {}}) == []
