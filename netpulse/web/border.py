"""The outermost layer: every request and every answer passes here, errors and strangers included.

It settles who asks (proxies) and in which language (`web.languages`), refuses what another site's
page sends (cross-site request forgery) unless that site was let in (`web.cors`), counts what no
route counted, gives the request an id, bounds how long a body may take, answers HEAD as GET, and
puts the security headers on whatever is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from netpulse.web import cors, languages, limits
from netpulse.web.errors import ApiError, forbidden, of_status
from netpulse.web.failures import Failures
from netpulse.web.house import House
from netpulse.web.proxies import Origin, networks, origin_of

log = logging.getLogger(__name__)

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; manifest-src 'self'"
)
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
    )
)
"""Nothing here needs any of them."""
_ALWAYS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", PERMISSIONS.encode()),
    # Without it granian names itself.
    (b"server", b"netpulse"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")

OPEN = ("/ping/", "/api/push/", "/api/v1/endpoints/", "/subscriptions/")
"""Addresses that anything may send to: `web.pings`, and mail programs that end a subscription."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_SECONDS = 20.0
"""How long a request's body may take to arrive: granian has no such limit of its own."""
DRAIN_SECONDS = 2.0
DRAIN_BYTES = 8 * 1024 * 1024
"""How much of a body that is too large is read to the end before it is refused."""


class Border:
    """The ASGI application that is served: the inner one, guarded."""

    def __init__(
        self,
        inner: ASGIApp,
        failures: Failures,
        house: House,
    ) -> None:
        self._inner = inner
        self._failures = failures
        self._house = house
        self._trusted = networks(house.config.server.trusted_proxies)
        self._public_host = _host_of(house.config.server.public_url)
        self._others = frozenset(house.config.server.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.WEBSOCKET:
            # Nothing here speaks it; an unanswered upgrade would hold its connection.
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        headers = list(scope["headers"])
        client = scope.get("client")
        origin = origin_of(client[0] if client else "", scope["scheme"], headers, self._trusted)
        request_id = secrets.token_hex(8)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["origin"] = origin
        state["request_id"] = request_id
        scope["scheme"] = "https" if origin.is_https else "http"
        method = scope["method"]
        answer = _Answer(send, scope, bodiless=method == "HEAD")
        if method == "HEAD":
            scope["method"] = "GET"
        _speak(headers, encrypted=origin.is_https)
        try:
            _refuse_unclear(scope)
            # A body that somebody waits for must come, whatever the method: pings by GET have one.
            if method not in SAFE or _announces_body(headers):
                receive = answer.body = _Body(receive)
            found = {key: value.decode("latin-1") for key, value in headers if key in _ASKED}
            other = None
            if cors.applies(scope["path"]):
                other = found.get(b"origin") if found.get(b"origin") in self._others else None
                answer.extra = cors.headers(other) if self._others else []
            if method not in SAFE:
                # These carry their right in their address; a browser has nothing to lend them.
                if not scope["path"].startswith(OPEN) and self._is_foreign(found, origin):
                    _refuse_foreign(found, is_let_in=other is not None)
            elif cors.is_preflight(method, other, found):
                limits.does_not_count(scope)
                await cors.answer_preflight(answer)
                return
            elif cors.applies(scope["path"]) and self._is_foreign(found, origin):
                _take_cookies_off(scope, found)
            await self._inner(scope, receive, self._counting(scope, answer))
        except Exception as error:
            # The inner application answers its own errors; what arrives here is either ours or an
            # error after the answer had begun.
            if answer.started:
                log.exception("answer broken off", extra={"request_id": request_id})
                raise
            await self._failures.send(scope, error, self._counting(scope, answer))

    def _is_foreign(self, found: Mapping[bytes, str], origin: Origin) -> bool:
        """Tell whether a page of another site made a browser send the request.

        Browsers say where a request comes from (Sec-Fetch-Site, and Origin where that is not
        sent, on plain http); programs say neither and carry no cookies they did not ask for.
        """
        site = found.get(b"sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        sender = found.get(b"origin")
        if sender is None:
            return False
        own = _host_of(f"{'https' if origin.is_https else 'http'}://{origin.host}")
        # The public address counts too: a proxy may pass its own name as Host.
        return _host_of(sender) not in {own, self._public_host} - {""}

    def _counting(self, scope: Scope, answer: Send) -> Send:
        """Return `answer` with one thing more: what reached no route (an unknown address, a method
        that is not taken, a request refused above) counts on its address before it is answered."""
        refused = False

        async def send(message: Message) -> None:
            nonlocal refused
            if not limits.is_settled(scope) and message["type"] == "http.response.start":
                try:
                    limits.stranger_counts(self._house, scope)
                except ApiError as error:
                    refused = True
                    await self._failures.send(scope, error, answer)
            if not refused:
                await answer(message)

        return send


def _speak(headers: Sequence[tuple[bytes, bytes]], *, encrypted: bool) -> None:
    """Let pages speak what the reader has chosen in this browser, else what the browser asks."""
    accepted = chosen = ""
    for key, value in headers:
        if key == b"accept-language":
            accepted = value.decode("latin-1")
        elif key == b"cookie":
            found = (_LANGUAGE_TLS if encrypted else _LANGUAGE).search(value)
            chosen = found[1].decode() if found else chosen
    languages.use(languages.of_request(accepted, chosen))


_LANGUAGE = re.compile(rb"(?:^|;) *np_language=([a-z]{2})(?:;|$)")
_LANGUAGE_TLS = re.compile(rb"(?:^|;) *__Host-np_language=([a-z]{2})(?:;|$)")
"""`languages.cookie_name` among the cookies of a request."""


def _refuse_unclear(scope: Scope) -> None:
    """Refuse what a proxy in front of us may have understood otherwise (RFC 9112, sections 3.2 and
    6.1); the server below has refused the rest: it takes no two lengths, no folded lines, and of
    a length beside chunks the chunks alone, closing the connection after them."""
    # The router takes two slashes for one, and what is compared with a path before it does not.
    if "//" in scope["path"]:
        raise of_status(404)
    hosts = [value for key, value in scope["headers"] if key == b"host"]
    # HTTP/1.0 knows no Host, and the server below gives it an empty one.
    if scope["http_version"] in ("1", "1.0") and hosts in ([], [b""]):
        hosts = [b"none"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise _unclear("Send one Host field, with the name or the address that you ask")
    codings = [value for key, value in scope["headers"] if key == b"transfer-encoding"]
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        raise _unclear("Send a body with Content-Length, or in chunks without another coding")


def _announces_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(
        key == b"transfer-encoding" or (key == b"content-length" and value.strip() != b"0")
        for key, value in headers
    )


def _unclear(message: str) -> ApiError:
    return ApiError(400, "BAD_REQUEST", message, headers={"Connection": "close"})


_HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~%-]+)(:[0-9]{0,5})?")


def _refuse_foreign(found: Mapping[bytes, str], *, is_let_in: bool) -> None:
    """Refuse what a page of another site sends, but for the token of a site that was let in.

    A cookie beside it refuses it all the same: the browser added that, and such a site may not
    act with it.
    """
    has_token = b"x-api-key" in found or found.get(b"authorization", "").lower().startswith(
        "bearer "
    )
    if is_let_in and has_token and b"cookie" not in found:
        return
    raise forbidden(
        "This request came from a page of another site; open NetPulse itself and try again"
    )


def _take_cookies_off(scope: Scope, found: Mapping[bytes, str]) -> None:
    """Let a page of another site read nothing with the cookies of the person before it.

    It could not see the answer, but tell some answers apart. A link that somebody follows is
    none of its doing.
    """
    if found.get(b"sec-fetch-mode") != "navigate":
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]


_ASKED = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"cookie",
        b"origin",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"x-api-key",
    }
)


def _host_of(url: str) -> str:
    """Return host[:port] of an origin without the scheme's default port; "" for `null` and for
    what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2].lower()
    for scheme, port in (("http", ":80"), ("https", ":443")):
        if parts.scheme == scheme:
            host = host.removesuffix(port)
    return host


class _Body:
    """`receive`, with a deadline for the whole body; what comes after the body has none."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._complete = False

    async def __call__(self) -> Any:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise of_status(408, {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            # The client left, or what it sends are no chunks.
            raise _unclear("The request's body was cut short")
        self._complete = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read on for a little while what nobody wants: where a connection is closed on a client
        that still sends, the client may never see the answer."""
        left = DRAIN_BYTES
        with contextlib.suppress(TimeoutError, ApiError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._complete and left > 0:
                    left -= len((await self()).get("body", b""))


class _Answer:
    """`send`, with our headers on the start of the answer and no body for HEAD."""

    def __init__(self, send: Send, scope: Scope, *, bodiless: bool) -> None:
        self.body: _Body | None = None
        """The request's body, where it may have one."""
        self.extra: list[tuple[bytes, bytes]] = []
        """Headers for this answer alone."""
        self._send = send
        self._scope = scope
        self._bodiless = bodiless
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self.body is not None and message["status"] == 413:
                await self.body.drain()
            headers = [(bytes(key), bytes(value)) for key, value in message["headers"]]
            names = {key.lower() for key, _ in headers}
            headers.extend(pair for pair in _ALWAYS if pair[0] not in names)
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
            state = self._scope["state"]
            if state["origin"].is_https:
                headers.append(_HSTS)
            headers.append((b"x-request-id", state["request_id"].encode()))
            leaving = state.get("leaving")
            if leaving is not None and leaving.is_set() and b"connection" not in names:
                # Another listener has taken over; the next request of this client is for that one.
                headers.append((b"connection", b"close"))
            if cors.applies(self._scope["path"]):
                headers += limits.headers(self._scope)
            # What everybody may read, the sites that were let in may read too.
            headers += [pair for pair in self.extra if pair[0] not in names or pair[0] == b"vary"]
            message["headers"] = headers
        elif self._bodiless and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)
