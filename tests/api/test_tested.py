"""A test of a configuration: all that was seen, in the API and on the form."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from netpulse.engine.clock import Clock
from tests.api.test_monitors import fresh, sent
from tests.api.test_page_forms import HTTP_FORM
from tests.conftest import Opener, Stage
from tests.servers import Exchange, HttpServer, TcpServer, answer

SECRET = "s3cr3t-that-nobody-reads"


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    """A house on the real clock: tests are dialled."""
    return await open_stage(clock=Clock(), start=True)


@pytest.fixture
async def alice(stage: Stage) -> httpx.AsyncClient:
    return stage.client(headers=await fresh(stage))


def shown(page: str) -> str:
    """Return the excerpt on the page as a reader has it."""
    found = re.search(r"<pre[^>]*data-body>(.*?)(?:<span[^>]*>…</span>)?</pre>", page, re.DOTALL)
    assert found is not None, page
    assert "<" not in found[1]
    return unescape(found[1])


async def test_the_body(alice: httpx.AsyncClient) -> None:
    hostile = b"<script>alert(1)</script>\x1b[31m\r\n\xe2\x80\xaeend"
    text = "<script>alert(1)</script>\\x1b[31m\n\\u202eend"
    long = b"0123456789" * 1000
    async with HttpServer({"/": answer(503, body=hostile), "/long": answer(200, body=long)}) as at:
        spec = {"type": "http", "name": "Shop", "target": at.url()}
        tried = sent(await alice.post("/v1/monitors/test", json=spec))
        assert (tried["status"], tried["addresses"]) == ("down", ["127.0.0.1"])
        assert tried["body"] == {
            "text": text,
            "shown_bytes": len(hostile),
            "total_bytes": len(hostile),
            "is_cut": False,
        }
        page = await alice.post(
            "/monitors/new", data=HTTP_FORM | {"target": at.url(), "action": "test"}
        )
        assert shown(page.text) == text
        assert f"Body: all {len(hostile)} bytes" in page.text
        assert re.search(r"127\.0\.0\.1</span> <span class=\"np-tag\">dialled", page.text)

        tried = sent(await alice.post("/v1/monitors/test", json=spec | {"target": at.url("/long")}))
        body = tried["body"]
        assert (body["text"], body["shown_bytes"]) == (long[:4096].decode(), 4096)
        assert (body["total_bytes"], body["is_cut"]) == (10_000, True)
        page = await alice.post(
            "/monitors/new", data=HTTP_FORM | {"target": at.url("/long"), "action": "test"}
        )
        assert shown(page.text) == long[:1024].decode()
        assert "Body: the first 1,024 of 10,000 bytes" in page.text


async def test_a_body_that_breaks_off_is_shown_as_far_as_it_came(
    alice: httpx.AsyncClient,
) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe beginning")

    async with HttpServer(broken) as at:
        spec = {"type": "http", "name": "Shop", "target": at.url()}
        tried = sent(await alice.post("/v1/monitors/test", json=spec))
    assert (tried["status"], tried["failure"]) == ("down", "closed")
    assert tried["body"] == {
        "text": "the beginning",
        "shown_bytes": 13,
        "total_bytes": None,
        "is_cut": True,
    }


async def test_stored_secrets_do_not_come_back(alice: httpx.AsyncClient) -> None:
    def echo(request: object) -> bytes:
        return answer(200, body=str(getattr(request, "headers", "")).encode())

    async with HttpServer(echo) as at:
        form = HTTP_FORM | {
            "target": at.url(),
            "headers": f"X-Api-Key: {SECRET}",
            "auth.type": "basic",
            "auth.username": "ann",
            "auth.password": SECRET,
            "is_paused": "true",
        }
        made = await alice.post("/monitors/new", data=form)
        where = made.headers["location"].partition("?")[0]
        again = form | {
            "headers": "X-Api-Key:",
            "auth.password": "",
            "action": "test",
            "version": "1",
        }
        page = await alice.post(f"{where}/edit", data=again)
        text = shown(page.text)
        assert "'authorization': 'Basic •••'" in text
        assert "'x-api-key': '•••'" in text
        assert SECRET not in page.text


async def test_other_types(alice: httpx.AsyncClient) -> None:
    async with TcpServer(b"220 mail.example ready\r\n") as server:
        where = f"127.0.0.1:{server.port}"
        spec = {"type": "tcp", "name": "Mail", "target": where}
        tried = sent(await alice.post("/v1/monitors/test", json=spec))
        assert (tried["status"], tried["body"]) == ("up", None)
        tried = sent(await alice.post("/v1/monitors/test", json=spec | {"expect": "220"}))
        assert tried["body"]["text"] == "220 mail.example ready\n"
        assert tried["addresses"] == ["127.0.0.1"]
    tried = sent(await alice.post("/v1/monitors/test", json=spec))
    assert (tried["status"], tried["failure"], tried["body"]) == ("down", "refused", None)
