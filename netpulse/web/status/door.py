"""The door: by which Host a request comes, and what it may reach.

A page's own domain leads to that page and to nothing else: no sign-in, no API, no other page. A
Host that is neither ours nor a proved domain is told nothing (421, RFC 9110, 15.5.20).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from netpulse.rules import status_pages as rules
from netpulse.storage.errors import StorageTrouble
from netpulse.web.house import House

ANY_HOST = ("/healthz", "/readyz")
"""Asked by machines, which come by whatever name they have for us; they tell no stranger more."""
_SHARED = "/static/"


class Door:
    """An ASGI application in front of the one that has the routes, behind the border."""

    def __init__(self, inner: ASGIApp, house: House) -> None:
        """Take what is served, and the house."""
        self._inner = inner
        self._shelf = house.shelf
        self._public_name = urlsplit(house.config.server.public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == ScopeType.HTTP and scope["path"] not in ANY_HOST:
            state = scope["state"]
            name = rules.hostname(state["origin"].host)
            try:
                found = await self._shelf.domain(name)
            except StorageTrouble:
                # Whose name it is cannot be known; where it may be ours, the route says what is up.
                found = None
            if found is not None and found[1]:
                path = scope["path"]
                state["page_domain"] = name
                if not path.startswith(_SHARED):
                    inside = f"/status/{found[0]}{'' if path == '/' else path}"
                    scope["path"], scope["raw_path"] = inside, inside.encode()
            elif not rules.is_ours(name, self._public_name):
                # A claim alone changes nothing: it may be of the very name by which we are reached.
                await _neutral(send, 421, "Nothing is served under this name.")
                return
        await self._inner(scope, receive, send)


async def _neutral(send: Send, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-robots-tag", b"noindex"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
