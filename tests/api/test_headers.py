"""What every answer carries, whichever route gave it and whether it went well."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from netpulse.web import border
from netpulse.web.routes import ROUTES
from tests.conftest import Opener, Stage

RANDOM = "019b0000-0000-7000-8000-00000000dead"
ALWAYS = {
    "content-security-policy": border.CSP,
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": border.PERMISSIONS,
    "server": "netpulse",
}
REFERRERS = {"same-origin", "no-referrer", "strict-origin"}
SHARED = {"/v1/openapi.json", "/static/{path:path}"}
"""What is everybody's and may be kept; the rest is for the one who asked."""
ENDLESS = {"/live"}
LEAVING = {"/logout", "/v1/auth/logout"}
"""After these the walk would go on as a stranger's."""


def filled(path: str) -> str:
    """Return an address of a route, with an id that nobody has."""
    return re.sub(r"\{\w+:\w+\}", RANDOM, path)


def check(answer: httpx.Response, what: str) -> None:
    headers = answer.headers
    for name, value in ALWAYS.items():
        assert headers.get_list(name) == [value], (what, name)
    assert headers["referrer-policy"] in REFERRERS, what
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"]), what
    assert "x-powered-by" not in headers
    assert "access-control-allow-origin" not in headers
    assert "access-control-allow-credentials" not in headers
    # The format of Prometheus has a version, which is none of ours.
    told = str(headers).replace("text/plain; version=0.0.4; charset=utf-8", "").lower()
    assert not re.search(r"litestar|granian|uvicorn|python|\d+\.\d+\.\d+", told), what


async def test_every_route_whoever_asks(house: Stage) -> None:
    askers = {"a stranger": {}, "bob": house.cast.bob.headers, "alice": house.cast.alice.headers}
    statuses: set[int] = set()
    for who, headers in askers.items():
        client = house.client(headers=headers)
        for route in ROUTES:
            (path,), (method,) = route.paths, route.http_methods
            if path in ENDLESS | LEAVING and who != "a stranger":
                continue
            for sent in ({}, {"content": b"{"}, {"json": {"colour": "red"}}):
                if method == "GET" and sent:
                    continue
                answer = await client.request(str(method), filled(path), **sent)  # type: ignore[arg-type]
                what = f"{method} {path} as {who}: {answer.status_code}"
                check(answer, what)
                statuses.add(answer.status_code)
                assert answer.status_code != 500, what
                if path not in SHARED or answer.status_code != 200:
                    assert answer.headers["cache-control"] == "no-store", what
    assert {200, 303, 400, 401, 403, 404, 415} <= statuses


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "GE\x7fT"])
@pytest.mark.parametrize(
    "path", ["/v1/monitors", "/dashboard", "/live", "/static/app.css", "/ping/x", "/nowhere"]
)
async def test_methods_that_nobody_takes(house: Stage, method: str, path: str) -> None:
    client = house.client(headers=house.cast.alice.headers)
    answer = await client.request(method, path, headers={"X-Mirror": "reflected"})
    check(answer, f"{method} {path}")
    assert answer.status_code == (404 if path == "/nowhere" else 405)
    assert "reflected" not in answer.text
    if answer.status_code == 405:
        allowed = answer.headers["allow"].split(", ")
        assert {"GET", "POST"} & set(allowed)
        assert "TRACE" not in allowed


async def test_errors_before_any_route(house: Stage) -> None:
    client = house.client()
    for method, path, headers in (
        ("GET", "/nowhere", {}),
        ("GET", "/v1/nowhere", {}),
        ("POST", "/login", {"Origin": "https://evil.example"}),
        ("OPTIONS", "/v1/monitors", {"Origin": "https://evil.example"}),
        ("GET", "/v1/monitors/%00", {}),
        ("GET", "/%ff%fe", {}),
        ("GET", "/../../etc/passwd", {}),
        ("GET", "/static/../app.py", {}),
    ):
        answer = await client.request(method, path, headers=headers)
        check(answer, path)
        assert answer.status_code in (403, 404, 405, 401)
        assert answer.headers["cache-control"] == "no-store"


async def test_our_own_mistakes_carry_them_too(
    house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(house.house.db, "read", broken)
    for path in ("/v1/monitors", "/dashboard", "/readyz"):
        answer = await alice.get(path)
        check(answer, path)
        assert "inside" not in answer.text
    assert answer.status_code in (200, 500)


async def test_no_page_says_more_than_the_name_of_the_product(house: Stage) -> None:
    """The version is for those who are signed in."""
    for path in ("/login", "/setup", "/nowhere", "/v1/nowhere", "/healthz", "/readyz"):
        text = (await house.client().get(path)).text
        assert house.house.version not in text, path


async def test_over_tls_browsers_are_told_to_stay_there(open_stage: Opener) -> None:
    stage = await open_stage()
    encrypted = stage.client(base="https://netpulse.example")
    for path in ("/login", "/v1/monitors", "/nowhere", "/static/app.css"):
        answer = await encrypted.get(path)
        check(answer, path)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        plain = await stage.client().get(path)
        assert "strict-transport-security" not in plain.headers
