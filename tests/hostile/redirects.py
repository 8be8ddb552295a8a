"""Where redirects lead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.hostile.rows import Chapter, Row, Serve, http
from tests.hostile.streams import BOMB
from tests.servers import Exchange, HttpServer, Request, answer, free_port, redirect


def to(location: str, status: int = 302) -> Serve:
    """Return how to serve a redirect to `location`."""
    return http(redirect(location, status))


def further(request: Request) -> bytes:
    """Always one further."""
    return redirect(f"{request.path}x")


def far(count: int) -> dict[str, bytes]:
    """Return `count` redirects, and then an answer."""
    hops: dict[str, bytes] = {f"/{n}": redirect(f"/{n + 1}") for n in range(1, count)}
    return {"/": redirect("/1"), **hops, f"/{count}": answer(200)}


async def slow_hop(exchange: Exchange) -> None:
    """Half a second a hop."""
    await asyncio.sleep(0.4)
    await exchange.send(redirect(f"{exchange.request.path}x"))


async def endless_redirect(exchange: Exchange) -> None:
    """A redirect with a body that never ends."""
    if exchange.request.path == "/in":
        await exchange.send(answer(200))
        return
    await exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /in\r\n\r\n")
    while True:
        await exchange.send(b"a" * 65_536)


def cookie_gate(request: Request) -> bytes:
    """Lets in who brings the cookie back."""
    if "seen=1" in request.headers.get("cookie", ""):
        return answer(200, body=b"in")
    return answer(302, {"Location": "/", "Set-Cookie": "seen=1; Path=/"})


@contextlib.asynccontextmanager
async def to_nobody() -> AsyncIterator[str]:
    """A redirect to a port on which nothing listens."""
    async with HttpServer(redirect(f"http://127.0.0.1:{free_port()}/")) as server:
        yield server.url()


_LOST = "down redirect"
_BAD = "bad_location"
_BLOCKED = "down blocked"

CHAPTERS = (
    Chapter(
        "Redirects",
        "At most `max_redirects` (10) are followed; every hop is read and its address checked"
        " anew. Without a place to go, the redirect's own status is judged.",
        (
            Row("relative", http({"/": redirect("in?a=b#c"), "/in?a=b": answer(200)}), "up"),
            Row("only a query", http({"/": redirect("?a"), "/?a": answer(200)}), "up"),
            Row("ten of them", http(far(10)), "up"),
            Row("eleven of them", http(far(11)), _LOST, "too_many"),
            Row("for ever", http(further), _LOST, "too_many"),
            Row(
                "in a circle",
                http({"/": redirect("/b"), "/b": redirect("/")}),
                _LOST,
                "loop",
                words="the redirects go in a circle: http://{at}/ comes again",
            ),
            Row("to itself", to("/"), _LOST, "loop"),
            Row(
                "to itself with a cookie",
                http(cookie_gate),
                "up",
                why="as browsers have it: a cookie set on the way goes back to its host",
                curl="is down: it keeps no cookies unless told to (`-b ''`)",
            ),
            Row(
                "each slow, all too slow",
                http(slow_hop),
                "down timeout",
                "first_byte",
                fields={"timeout_seconds": 1},
            ),
            Row("with an endless body", http(endless_redirect), "up"),
            Row(
                "with a bomb",
                http(
                    {
                        "/": answer(302, {"Location": "/in", "Content-Encoding": "gzip"}, BOMB),
                        "/in": answer(200),
                    }
                ),
                "up",
            ),
            Row("without Location", http(answer(302)), "down status"),
            Row("with an empty Location", http(answer(302, {"Location": ""})), "down status"),
            Row(
                "to ftp",
                to("ftp://files.example/"),
                _LOST,
                "scheme",
                words="redirected to ftp://files.example/, which is not",
            ),
            Row(
                "to javascript",
                to("javascript:alert(1)"),
                _LOST,
                "scheme",
                words="redirected to javascript:alert(1), which is not",
            ),
            Row(
                "to a file",
                to("file:///etc/passwd"),
                _LOST,
                "scheme",
                words="which is not http or https",
            ),
            Row("to gopher", to("gopher://127.0.0.1:25/_HELO"), _LOST, "scheme"),
            Row(
                "to port 99999",
                to("http://127.0.0.1:99999/"),
                _LOST,
                _BAD,
                words="redirected to http://127.0.0.1:99999/: ",
            ),
            Row(
                "to port 0",
                to("http://127.0.0.1:0/"),
                _LOST,
                _BAD,
                words="port 0 cannot be connected to",
            ),
            Row(
                "to a port in letters",
                to("http://127.0.0.1:x/"),
                _LOST,
                _BAD,
                words="redirected to http://127.0.0.1:x/: ",
            ),
            Row(
                "to a short address",
                to("http://127.1/"),
                _LOST,
                _BAD,
                words="write four decimal numbers",
            ),
            Row(
                "to a hexadecimal address",
                to("http://0x7f000001/"),
                _LOST,
                _BAD,
                words="write four decimal numbers",
            ),
            Row(
                "to half an address",
                to("http://[::1"),
                _LOST,
                _BAD,
                words="redirected to http://[::1: ",
            ),
            Row(
                "to a host with a space",
                to("http://a b/"),
                _LOST,
                _BAD,
                words="redirected to http://a b/: ",
            ),
            Row("to a zone id", to("http://[fe80::1%25eth0]/"), _LOST, _BAD, words="redirected to"),
            Row(
                "to a port without anybody",
                to_nobody,
                "down refused",
                words="(after a redirect, at http://127.0.0.1:",
            ),
            Row(
                "to cloud metadata",
                to("http://169.254.169.254/latest/"),
                _BLOCKED,
                words="(after a redirect, at http://",
            ),
            Row(
                "to metadata, mapped",
                to("http://[::ffff:169.254.169.254]/"),
                _BLOCKED,
                words="(after a redirect, at http://",
            ),
            Row("to metadata, NAT64", to("http://[64:ff9b::a9fe:a9fe]/"), _BLOCKED),
            Row(
                "to a link-local address",
                to("http://[fe80::1]/"),
                _BLOCKED,
                words="(after a redirect, at http://",
            ),
            Row("to 0.0.0.0", to("http://0.0.0.0/"), _BLOCKED),
            Row("to multicast", to("http://224.0.0.1/"), _BLOCKED),
        ),
    ),
)
