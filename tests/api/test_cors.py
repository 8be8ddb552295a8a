"""Pages of other sites: what one that was let in may do, and that nobody else may do anything."""

from __future__ import annotations

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.crypto.tokens import new_token
from netpulse.storage import sessions
from netpulse.web import tokens
from tests.api.test_monitors import SPEC, sent
from tests.clock import START
from tests.conftest import Opener, Stage

FRIEND = "https://dashboards.example"
ELSEWHERE = "https://evil.example"
REFUSED = "This request came from a page of another site; open NetPulse itself and try again"


@pytest.fixture
async def open_house(open_stage: Opener) -> Stage:
    """A house that lets one other site in."""
    return await open_stage(config=Config(server=Server(cors_origins=(FRIEND,))))


async def cookie_of_alice(stage: Stage) -> str:
    token, alice = new_token(), stage.cast.alice
    digest = stage.house.digester.digest(token)
    await stage.house.db.write(
        sessions.create,
        digest,
        alice.id,
        alice.org.id,
        START,
        START + tokens.SESSION_MS,
        None,
        None,
    )
    return f"np_session={token}"


async def key_of_alice(stage: Stage) -> dict[str, str]:
    alice = stage.client(headers=stage.cast.alice.headers)
    body = {"name": "Board", "scopes": ["monitors:write"]}
    return {"X-API-Key": sent(await alice.post("/v1/api-keys", json=body), 201)["key"]}


def grants(answer: httpx.Response) -> dict[str, str]:
    """Return what an answer lets another site do."""
    found = answer.headers.items()
    return {name: value for name, value in found if name.startswith("access-control-")}


EXPOSED = (
    "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, RateLimit-Limit, "
    "RateLimit-Remaining, RateLimit-Reset, X-Request-Id"
)
SEEN = {"access-control-allow-origin": FRIEND, "access-control-expose-headers": EXPOSED}


async def preflight(
    client: httpx.AsyncClient, path: str, origin: str, method: str = "POST"
) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
    }
    return await client.options(path, headers=headers)


async def test_asking_first(open_house: Stage) -> None:
    client = open_house.client()
    for path in ("/v1/monitors", "/v1/monitors/019b0000-0000-7000-8000-00000000dead", "/v1"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await preflight(client, path, FRIEND, method)
            assert (answer.status_code, answer.content) == (204, b"")
            assert grants(answer) == SEEN | {
                "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
                "access-control-allow-headers": (
                    "Authorization, Content-Type, If-Match, If-None-Match, X-API-Key, X-Org-Id"
                ),
                "access-control-max-age": "600",
            }
            assert answer.headers["vary"] == "Origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "ratelimit" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        ELSEWHERE,
        "null",
        "http://dashboards.example",
        "https://dashboards.example:8443",
        "https://dashboards.example.evil.example",
        "https://evil-dashboards.example",
        "https://sub.dashboards.example",
        "https://DASHBOARDS.example",
        "https://dashboards.example/",
        "*",
    ],
)
async def test_nobody_else_is_told_anything(open_house: Stage, origin: str) -> None:
    client = open_house.client(headers=await key_of_alice(open_house))
    asked = await preflight(client, "/v1/monitors", origin)
    assert (asked.status_code, asked.headers["allow"], grants(asked)) == (405, "GET, POST", {})
    assert asked.headers["vary"] == "Origin"
    read = await client.get("/v1/monitors", headers={"Origin": origin})
    assert grants(read) == {}
    written = await client.post("/v1/monitors", json=SPEC, headers={"Origin": origin})
    assert (written.status_code, written.json()["error"]["message"]) == (403, REFUSED)
    assert grants(written) == {}


@pytest.mark.parametrize("path", ["/dashboard", "/login", "/live", "/healthz", "/static/app.css"])
async def test_only_the_api_takes_part(open_house: Stage, path: str) -> None:
    client = open_house.client()
    asked = await preflight(client, path, FRIEND)
    assert (asked.status_code, grants(asked)) == (405, {})
    answer = await client.get(path, headers={"Origin": FRIEND})
    assert grants(answer) == {}
    sent_ = await client.post(path, headers={"Origin": FRIEND, "Authorization": "Bearer x"})
    assert (sent_.status_code, grants(sent_)) == (403, {})


@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "cross-site"}])
async def test_with_a_token_of_its_own_it_may_do_what_that_may(
    open_house: Stage, site: dict[str, str]
) -> None:
    for token in (open_house.cast.alice.headers, await key_of_alice(open_house)):
        page = open_house.client(headers={"Origin": FRIEND, **site, **token})
        made = await page.post("/v1/monitors", json=SPEC)
        assert (made.status_code, grants(made)) == (201, SEEN)
        path = f"/v1/monitors/{made.json()['data']['id']}"
        read = await page.get(path)
        assert (read.status_code, grants(read)) == (200, SEEN)
        assert read.headers["etag"] == '"1"'
        assert (await page.put(path, json=SPEC)).status_code == 200
        assert (await page.delete(path)).status_code == 200
        missing = await page.get(path)
        assert (missing.status_code, grants(missing)) == (404, SEEN)
    for stranger in ({}, {"Authorization": "Bearer nonsense"}):
        page = open_house.client(headers={"Origin": FRIEND, **site, **stranger})
        answer = await page.get("/v1/monitors")
        assert (answer.status_code, grants(answer)) == (401, SEEN)


@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}])
async def test_a_cookie_is_of_no_use_to_it(open_house: Stage, site: dict[str, str]) -> None:
    """SameSite does not keep a cookie from the site next door, so we do."""
    cookie = await cookie_of_alice(open_house)
    page = open_house.client(headers={"Origin": FRIEND, "Cookie": cookie, **site})
    read = await page.get("/v1/monitors")
    assert (read.status_code, grants(read)) == (401, SEEN), "as somebody without the cookie"
    # What a page may send without asking first, and what it may not.
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        written = await page.post("/v1/monitors", content=b"{}", headers={"Content-Type": media})
        assert (written.status_code, written.json()["error"]["message"]) == (403, REFUSED)
    with_token = open_house.client(
        headers={"Origin": FRIEND, "Cookie": cookie, **site, **open_house.cast.bob.headers}
    )
    assert (await with_token.post("/v1/monitors", json=SPEC)).status_code == 403
    assert (await with_token.get("/v1/monitors")).status_code == 200, "the token is its own"
    for answer in (read, written):
        assert "access-control-allow-credentials" not in answer.headers
    # The person themselves may, with the same cookie.
    own = open_house.client(headers={"Cookie": cookie})
    assert (await own.get("/v1/monitors")).json()["meta"]["total"] == 0
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await own.get("/v1/monitors", headers=followed)).status_code == 200, "a link"


@pytest.mark.parametrize("origin", [FRIEND, ELSEWHERE])
@pytest.mark.parametrize(
    "token", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Digest x"}]
)
async def test_it_may_not_sign_anybody_in(
    open_house: Stage, origin: str, token: dict[str, str]
) -> None:
    """Nor with what a browser adds by itself where a proxy asks for a password."""
    body = {"email": open_house.cast.alice.email, "password": "whatever it is"}
    headers = {"Origin": origin, **token}
    client = open_house.client(headers=headers)
    for path in ("/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/register"):
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (403, REFUSED)
        assert "set-cookie" not in answer.headers
    assert (await client.post("/login", data=body)).status_code == 403


async def test_answers_to_nobody_in_particular_vary_too(open_house: Stage) -> None:
    """A cache must not give the answer without the grant to the page that has it."""
    for headers in ({}, {"Origin": ELSEWHERE}, {"Origin": FRIEND}):
        answer = await open_house.client(headers=headers).get("/v1/openapi.json")
        assert answer.headers["vary"] == "Origin"


async def test_closed_by_default(house: Stage, alice: httpx.AsyncClient) -> None:
    asked = await preflight(house.client(), "/v1/monitors", FRIEND)
    assert (asked.status_code, grants(asked)) == (405, {})
    answer = await alice.get("/v1/monitors", headers={"Origin": FRIEND})
    assert (answer.status_code, grants(answer), answer.headers.get("vary")) == (200, {}, None)
    refused = await alice.post("/v1/monitors", json=SPEC, headers={"Origin": FRIEND})
    assert refused.status_code == 403
