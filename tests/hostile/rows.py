"""A row of the evidence table: one behaviour of a hostile host, and what a check of it says."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from netpulse.egress.connect import Egress
from tests.servers import HttpServer, Script, TcpServer


@dataclass(frozen=True)
class Place:
    """Where a host is up."""

    target: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the monitor has to say beside its target: the name server."""
    egress: Egress | None = None
    """The way out of a check that has name servers of its own; None: the usual one."""

    @property
    def at(self) -> str:
        """The address and port that sentences name."""
        address = str(self.fields.get("nameserver", ""))
        return address or self.target.partition("://")[2].partition("/")[0] or self.target


Serve = Callable[[], AbstractAsyncContextManager[str | Place]]
"""Brings the host up and gives the target to be checked, or more."""


def nothing_missing() -> str | None:
    """Return why a row cannot be tried here: most can be anywhere."""
    return None


@dataclass(frozen=True)
class Row:
    """One behaviour, with its verdict."""

    name: str
    serve: Serve
    said: str
    """Result and failure word: "up", "down protocol"."""
    detail: str | None = None
    kind: str = "http"
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the monitor, beside its target."""
    words: str = ""
    """A part of the sentence; {at} stands for the address and port of the host."""
    shows_certificate: bool = False
    """The certificate is told, even where it does not verify."""
    seconds: float | None = None
    """A deadline shorter than the timeout, which is whole seconds."""
    missing: Callable[[], str | None] = nothing_missing
    """Gives why this cannot be tried here, or None."""
    why: str = ""
    """Why the verdict is what it is, where one may doubt it."""
    curl: str = ""
    """Why curl decides otherwise; empty where it decides as we do."""
    blackbox: str = ""
    """Why the Prometheus blackbox exporter decides otherwise."""
    dig: str = ""
    """Why dig decides otherwise."""
    ping: str = ""
    """Why ping decides otherwise."""

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Place]:
        """Bring the host up."""
        async with self.serve() as found:
            yield Place(found) if isinstance(found, str) else found

    @property
    def verdict(self) -> str:
        """The result: up, degraded, down or inconclusive."""
        return self.said.partition(" ")[0]

    @property
    def failure(self) -> str:
        """The failure word, or nothing."""
        return self.said.partition(" ")[2]


@dataclass(frozen=True)
class Chapter:
    """Rows of one class."""

    title: str
    about: str
    rows: tuple[Row, ...]


def http(script: Script | Mapping[str, Script], path: str = "/") -> Serve:
    """Return how to serve `script` over http."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with HttpServer(script) as server:
            yield server.url(path)

    return serve


def https(context: Callable[[], ssl.SSLContext], script: Script) -> Serve:
    """Return how to serve `script` over https at localhost, with the certificate of `context`."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with HttpServer(script, tls=context(), name="localhost") as server:
            yield server.url()

    return serve


def tcp(script: Any = None, scheme: str = "", host: str = "127.0.0.1") -> Serve:
    """Return how to run `script` on each connection; with a `scheme`, as the host of a URL."""

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with TcpServer(script) as server:
            yield f"{scheme}://{host}:{server.port}/" if scheme else f"{host}:{server.port}"

    return serve


def fixed(target: str) -> Serve:
    """Return a target for which nothing is brought up."""
    return functools.partial(contextlib.nullcontext, target)  # type: ignore[return-value]
