"""How large a body may be: each route says so, and its refusal names it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from netpulse.web.endpoint import MAX_BODY, PUBLIC, SMALL_BODY
from netpulse.web.errors import too_large
from netpulse.web.routes import ROUTES
from tests.conftest import Stage

WRITING = [route for route in ROUTES if route.http_methods & {"POST", "PUT", "PATCH", "DELETE"}]
OTHER_SIZES: dict[str, int] = {}
"""Routes whose body may be larger than any other's, with that size."""


def address(route: HTTPRouteHandler) -> str:
    (path,) = route.paths
    return path


def test_sizes_in_words() -> None:
    assert too_large(64 * 1024).message == "The request's body is larger than 64 KiB; send less"
    assert too_large(1024 * 1024).message == "The request's body is larger than 1 MiB; send less"
    assert too_large(8 << 20).message == "The request's body is larger than 8 MiB; send less"


def test_every_route_says_how_much_it_takes() -> None:
    assert len(WRITING) > 40
    for route in ROUTES:
        size = route.opt["max_body"]
        assert size == route.request_max_body_size
        assert size % 1024 == 0
        usual = {MAX_BODY, SMALL_BODY, OTHER_SIZES.get(address(route), SMALL_BODY)}
        assert size in usual, f"{address(route)}: name it in OTHER_SIZES"


def test_strangers_and_those_who_sign_in_send_little() -> None:
    small = [route for route in WRITING if route.opt["access"] is PUBLIC]
    small += [route for route in WRITING if address(route).startswith("/v1/auth/")]
    assert {"/v1/auth/login", "/login", "/setup", "/ping/{token:str}"} <= set(map(address, small))
    assert {address(route): route.opt["max_body"] for route in small} == dict.fromkeys(
        map(address, small), SMALL_BODY
    )


@pytest.mark.parametrize(
    ("path", "size", "media"),
    [
        ("/v1/auth/login", "64 KiB", "application/json"),
        ("/v1/auth/register", "64 KiB", "application/json"),
        ("/login", "64 KiB", "application/x-www-form-urlencoded"),
        ("/v1/monitors", "1 MiB", "application/json"),
        ("/v1/monitors/test", "1 MiB", "application/json"),
        ("/monitors/new", "1 MiB", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_larger_is_refused_with_the_routes_own_size(
    house: Stage, alice: httpx.AsyncClient, path: str, size: str, media: str
) -> None:
    limit = {"64 KiB": SMALL_BODY, "1 MiB": MAX_BODY}[size]
    headers = {"Content-Type": media}
    for content in (b"a" * (limit + 1), chunks(limit)):
        answer = await alice.post(path, content=content, headers=headers)
        assert answer.status_code == 413
        assert f"The request&#39;s body is larger than {size}; send less" in answer.text.replace(
            "'", "&#39;"
        )
    fits = await alice.post(path, content=b"a" * limit, headers=headers)
    assert fits.status_code != 413


async def chunks(limit: int) -> AsyncIterator[bytes]:
    """Yield one byte more than `limit`, whose length nobody is told."""
    for _ in range(limit // 16_384):
        yield b"a" * 16_384
    yield b"a"


async def test_nobody_without_a_sign_in_has_a_large_body_read(house: Stage) -> None:
    answer = await house.client().post(
        "/v1/monitors", content=b"a" * (MAX_BODY + 1), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 401
