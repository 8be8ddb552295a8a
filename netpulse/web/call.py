"""One request, as a handler sees it: who asks, what was sent, and what goes into the answer."""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

from litestar import Request, Response
from litestar.datastructures import Cookie
from msgspec import Struct

from netpulse.model.ids import Id, is_id
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.web import reading
from netpulse.web.envelope import One, encoded
from netpulse.web.errors import not_found, version_conflict
from netpulse.web.house import House
from netpulse.web.proxies import Origin
from netpulse.web.session import OrgSession

S = TypeVar("S", bound=Struct)

USER_AGENT_CHARS = 300
_VERSION_TAG = re.compile(r'"([0-9]{1,15})"')
"""The entity tag of a version; what is longer was never one of ours (and no integer of SQLite)."""


class Call:
    """One request and the answer in the making."""

    __slots__ = ("cookies", "headers", "house", "now", "request")

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self.request = request
        self.house: House = request.app.state.house
        self.now: Millis = self.house.clock.now()
        """The one moment of this request."""
        self.headers: dict[str, str] = {}
        """Headers of the answer."""
        self.cookies: list[Cookie] = []
        """Cookies of the answer."""

    @property
    def origin(self) -> Origin:
        """Where the request came from."""
        return cast(Origin, self.request.scope["state"]["origin"])

    @property
    def base(self) -> str:
        """Where people and programs reach us: as configured, and else as this request did."""
        here = f"{'https' if self.origin.is_https else 'http'}://{self.origin.host}"
        return self.house.config.server.public_url.rstrip("/") or here

    @property
    def session(self) -> OrgSession:
        """Who asks, in which organization. Only on routes that declare a role."""
        return cast(OrgSession, self.request.scope["state"]["session"])

    @property
    def stranger(self) -> Actor:
        """The actor of a request that nobody signed."""
        return actor_of(self.request)

    def id(self, name: str, noun: str) -> Id:
        """Return the id in the path; what is no id is answered as one that nobody has."""
        value = self.request.path_params[name]
        if not is_id(value):
            raise not_found(noun)
        return str(value)

    async def json(self) -> dict[str, Any]:
        """Return the body, a JSON object."""
        return await reading.json_object(self.request)

    async def body(self, kind: type[S]) -> S:
        """Return the body as a `kind`."""
        return reading.into(kind, await self.json())

    async def optional_body(self, kind: type[S]) -> S:
        """Return the body as a `kind`, all of whose fields may be missing; so may the body."""
        if not await self.request.body():
            return kind()
        return await self.body(kind)

    def query(self, kind: type[S]) -> S:
        """Return the query string as a `kind`."""
        return reading.query_into(kind, self.request.scope["query_string"])

    def expected_version(self) -> int | None:
        """Return the version named by If-Match, or None where any will do (RFC 9110, 13.1.1).

        Raises:
            ApiError: 412 for an entity tag that no version of ours ever had.
        """
        given = self.request.headers.get("if-match")
        if given is None or given.strip() == "*":
            return None
        tag = _VERSION_TAG.fullmatch(given.strip())
        if tag is None:
            raise version_conflict()
        return int(tag[1])

    def tag(self, version: int) -> None:
        """Name the version of what is answered (ETag)."""
        self.headers["ETag"] = f'"{version}"'

    def respond(self, result: Any, status: int) -> Response[Any]:
        """Return `result` (an envelope, or a whole Response) as the answer."""
        if not isinstance(result, Response):
            body = encoded(One.of(None) if result is None else result)
            return Response(
                body,
                status_code=status,
                media_type="application/json",
                headers=self.headers,
                cookies=self.cookies,
            )
        for name, value in self.headers.items():
            result.headers.setdefault(name, value)
        result.cookies.extend(self.cookies)
        return result


def actor_of(request: Any) -> Actor:
    """Return the unsigned actor of a connection: an address and a browser, no name."""
    origin = cast(Origin, request.scope["state"]["origin"])
    agent = request.headers.get("user-agent")
    return Actor(kind="user", ip=origin.ip, user_agent=agent[:USER_AGENT_CHARS] if agent else None)
