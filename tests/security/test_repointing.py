"""Whoever may change where something is sent must not so be given the secret that goes along."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from netpulse.engine.clock import Clock
from netpulse.web.api.channel_configs import KINDS
from tests.api.test_channel_types import HOSTS, SECRETS
from tests.api.test_monitors import errors, fresh, make, sent
from tests.conftest import Opener
from tests.servers import HttpServer, answer
from tests.tenancy import Page

AGAIN = "this is another server: enter the secret again"
HEADERS = {"Accept": "text/html", "X-Api-Key": "s3cret-header", "Cookie": "s3cret=cookie"}
AUTHS: dict[str, dict[str, Any]] = {
    "$.auth.password": {"type": "basic", "username": "al", "password": "s3cret-password"},
    "$.auth.token": {"type": "bearer", "token": "s3cret-token"},
}
MOVES = [
    "https://evil.example/",
    "http://shop.example/",
    "https://shop.example:8443/",
    "https://shop.example.evil.example/",
    "https://[2001:db8::1]/",
]


def test_every_type_of_channel_is_tried() -> None:
    """`TestEachType.test_another_host_gets_no_secret_of_the_first` tries those of HOSTS; of a
    chat's hook the address itself is the secret, and a webhook's are tried beside them."""
    whole = {word for word, paths in SECRETS.items() if paths == ["webhook_url"]}
    assert set(KINDS) == set(HOSTS) | whole | {"webhook"}


@pytest.mark.parametrize("target", MOVES)
@pytest.mark.parametrize("path", AUTHS)
async def test_another_target_gets_no_secret_of_the_first(
    alice: httpx.AsyncClient, path: str, target: str
) -> None:
    made = await make(
        alice, type="http", target="https://shop.example/a", auth=AUTHS[path], headers=HEADERS
    )
    url = f"/v1/monitors/{made['id']}"
    expected = [(path, AGAIN), ("$.headers.Cookie", AGAIN), ("$.headers.X-Api-Key", AGAIN)]
    refused = await alice.put(url, json={**made, "target": target})
    assert sorted(errors(refused)) == sorted(expected)
    assert sent(await alice.get(url))["target"] == "https://shop.example/a"
    # Elsewhere on the same server is no move; and with the secrets in hand all is possible.
    same = sent(await alice.put(url, json={**made, "target": "https://SHOP.example:443/b"}))
    assert same["headers_set"] == {"Cookie": True, "X-Api-Key": True}
    whole = {**made, "target": target, "auth": AUTHS[path], "headers": HEADERS}
    assert sent(await alice.put(url, json=whole))["target"] == target


async def test_a_move_without_the_secrets(alice: httpx.AsyncClient) -> None:
    auth = AUTHS["$.auth.password"]
    made = await make(alice, target="https://shop.example/", auth=auth, headers=HEADERS)
    url = f"/v1/monitors/{made['id']}"
    cleared = {"auth": {**auth, "password": ""}, "headers": {"Accept": "text/html"}}
    moved = sent(await alice.put(url, json={**made, "target": "https://x.example/", **cleared}))
    assert moved["auth"] == {**auth, "password": None, "password_set": False}
    # Back again: what was cleared does not come back.
    back = sent(await alice.put(url, json={**moved, "target": "https://shop.example/"}))
    assert back["auth"]["password_set"] is False


async def test_the_page_gives_no_secret_away_by_saving_or_trying(
    open_stage: Opener,
) -> None:
    stage = await open_stage(clock=Clock())
    alice = stage.client(headers=await fresh(stage))
    async with HttpServer({"*": answer(200)}) as evil:
        made = await make(
            alice,
            target="https://shop.example/",
            auth=AUTHS["$.auth.password"],
            headers=HEADERS,
            timeout_seconds=2,
        )
        url = f"/monitors/{made['id']}/edit"
        forms = Page((await alice.get(url)).text).forms
        (form,) = (each for each in forms if (urlsplit(each.action).path or url) == url)
        fields = dict(form.fields) | {"target": evil.url("/")}
        for action in ("save", "test"):
            refused = await alice.post(url, data=fields | {"action": action})
            assert refused.status_code == 400
            assert refused.text.count(AGAIN) >= 3, "at each field"
        assert evil.requests == []
        # What is typed in goes where it is typed in for.
        typed = fields | {
            "auth.password": "typed",
            "headers": "X-Api-Key: typed\nCookie: typed\nAccept: a",
        }
        tried = await alice.post(url, data=typed | {"action": "test"})
        assert tried.status_code == 200
        (request,) = evil.requests
        assert b"s3cret" not in request.head
        assert request.headers["x-api-key"] == "typed"
