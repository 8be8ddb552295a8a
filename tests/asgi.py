"""The shortest way to an application: one request over ASGI, its answer in bytes.

A stream is read as far as its first piece and then left, as a browser that is closed does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from netpulse.web.border import Border

HOST = "netpulse.example"
CHANGING = frozenset({"x-request-id", "date"})
"""Headers that differ from one answer to the next."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """`data` of an answer that must be a success."""
        assert self.status in {200, 201}, f"{self.status}: {self.text[:500]}"
        return self.json["data"]

    def header(self, name: str) -> str | None:
        """Return a header's last value."""
        found = [value for key, value in self.headers if key == name]
        return found[-1] if found else None

    def without(self, *texts: str) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Return everything that must not depend on who owns what.

        Headers that count or name a request are left out, and of the rest what was sent in
        (`texts`) and comes back.
        """
        request = self.header("x-request-id") or "\0"
        body = self.text.replace(request, "REQUEST")
        headers = [
            (key, value)
            for key, value in self.headers
            if key not in CHANGING and not key.startswith("ratelimit")
        ]
        for sent in texts:
            body = body.replace(sent, "SENT").replace(quote(sent, safe=""), "SENT")
            headers = [(key, value.replace(sent, "SENT")) for key, value in headers]
        return self.status, tuple(sorted(headers)), body.encode()


Fields = Mapping[str, str] | Iterable[Iterable[str]]
"""Names with their values, as a mapping or in pairs."""


async def ask(
    app: Border,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    json_body: Any = None,
    form: Fields | None = None,
    query: Fields | None = None,
    ip: str = "192.0.2.77",
    on_stream: Callable[[], None] = lambda: None,
    pieces: int = 1,
) -> Answer:
    """Make one request. `on_stream` is called when a stream has begun, `pieces` are read of it."""
    sent = {"host": HOST, **{key.lower(): value for key, value in (headers or {}).items()}}
    body = b""
    if json_body is not None:
        body = json.dumps(json_body).encode()
        sent.setdefault("content-type", "application/json")
    elif form is not None:
        body = urlencode(_pairs(form)).encode()
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    if method not in {"GET", "HEAD"}:
        sent.setdefault("content-length", str(len(body)))
    plain, _, given = path.partition("?")
    if query is not None:
        given = urlencode(_pairs(query))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": given.encode(),
        "root_path": "",
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in sent.items()],
        "client": (ip, 40_000),
        "server": (HOST, 80),
        "state": {},
    }
    left = asyncio.Event()
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    started: dict[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            return
        if not message.get("more_body", False):
            # As a server does once an answer is out.
            left.set()
        if message.get("body"):
            parts.append(message["body"])
            if _is_stream(started):
                if len(parts) == 1:
                    on_stream()
                if len(parts) >= pieces:
                    left.set()

    async with asyncio.timeout(20):
        await app(scope, receive, send)  # type: ignore[arg-type]  # the same protocol
    found = tuple(
        (bytes(key).decode().lower(), bytes(value).decode("latin-1"))
        for key, value in started["headers"]
    )
    return Answer(started["status"], found, b"".join(parts))


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    if isinstance(fields, Mapping):
        return list(fields.items())
    return [(name, value) for name, value in fields]


def _is_stream(started: Mapping[str, Any]) -> bool:
    return any(
        bytes(key).lower() == b"content-type" and bytes(value).startswith(b"text/event-stream")
        for key, value in started["headers"]
    )
