"""Pages of other sites that may use the API (`server.cors_origins`), and how they are told so.

Such a page brings a token of its own in a header. It never gets to use anybody's cookies: the
answer does not allow credentials, a cookie beside an unsafe request refuses it, and beside a safe
one it is not looked at (`web.border`). Signing in is not open to it either; what it needs is an API
key. Nothing but /v1 takes part: pages, event streams and files are for our own pages alone.

The Fetch standard, section 3.3: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.types import Send

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_ASKING = b"Authorization, Content-Type, If-Match, If-None-Match, X-API-Key, X-Org-Id"
_EXPOSED = (
    b"ETag, Location, Retry-After, RateLimit, RateLimit-Policy, RateLimit-Limit, "
    b"RateLimit-Remaining, RateLimit-Reset, X-Request-Id"
)
_REMEMBERED_SECONDS = b"600"
"""How long a browser may go without asking again: a site that is taken off the list has that long
left to send requests, whose answers it does not get to see."""


def applies(path: str) -> bool:
    """Tell whether `path` belongs to the API."""
    return path == "/v1" or path.startswith("/v1/")


def headers(other: str | None) -> list[tuple[bytes, bytes]]:
    """Return what goes on an answer of the API; `other` is the origin that was let in, if any."""
    # Without an origin too: a cache must not give the one answer to the other.
    found = [(b"vary", b"Origin")]
    if other is not None:
        found += [
            (b"access-control-allow-origin", other.encode()),
            (b"access-control-expose-headers", _EXPOSED),
        ]
    return found


def is_preflight(method: str, other: str | None, found: Mapping[bytes, str]) -> bool:
    """Tell whether a browser asks, for a page that was let in, what that page may send."""
    return method == "OPTIONS" and other is not None and b"access-control-request-method" in found


async def answer_preflight(send: Send) -> None:
    """Say what such a page may send."""
    allowed = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _ASKING),
        (b"access-control-max-age", _REMEMBERED_SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": allowed})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
