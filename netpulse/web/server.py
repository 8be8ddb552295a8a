"""The application, and the server that runs inside this process's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any, cast

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from netpulse.web import routes
from netpulse.web.border import Border
from netpulse.web.endpoint import SMALL_BODY, guard
from netpulse.web.failures import ErrorPage, Failures, plain_page
from netpulse.web.house import House
from netpulse.web.status.door import Door

log = logging.getLogger(__name__)

HEADER_READ_MS = 10_000
"""How long the head of a request may take, and how long a connection may stay open unused."""
MAX_HEAD = 32 * 1024
"""How much of a head is kept for a connection (bytes). A larger one is answered 431; granian's own
figure is 13 times as much, which for all connections at once would be 1.7 GB."""
MAX_CONNECTIONS = 4096
"""granian's `backpressure` counts connections: at its default of 128, as many open event streams
lock everybody out."""
BACKLOG = 1024
STOP_SECONDS = 3.0
"""How long answers under way may take when the process stops."""


class PortTaken(Exception):
    """Another program listens there; the text is one line for the operator."""


class CannotListen(Exception):
    """The address cannot be listened on; the text is one line for the operator."""


def build_app(house: House, error_page: ErrorPage = plain_page) -> ASGIApp:
    """Return the whole application: Litestar's routes behind the border.

    `error_page` renders errors outside /v1.
    """
    failures = Failures(error_page)
    inner = Litestar(
        routes.ROUTES,
        guards=[guard],
        exception_handlers={Exception: failures.handle},
        state=State({"house": house}),
        # Each route of ours says its own.
        request_max_body_size=SMALL_BODY,
        # Litestar would reconfigure the root logger, render its own document, and print
        # tracebacks to clients.
        logging_config=None,
        openapi_config=None,
        debug=False,
    )
    return cast(
        ASGIApp,
        Border(
            Door(cast(ASGIApp, inner), house),
            failures,
            house,
        ),
    )


def probe_port(host: str, port: int) -> str:
    """Return the numeric address of `host` after making sure that nobody listens there.

    granian sets SO_REUSEPORT: a second instance would start silently and share the traffic.

    Raises:
        PortTaken: somebody listens on it.
        CannotListen: the address is not ours, or the port not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(f"cannot listen on {host}: {error.strerror}") from None
    family, kind, proto, _, address = found[0]
    with contextlib.closing(socket.socket(family, kind, proto)) as probe:
        # As granian does; without it a port in TIME_WAIT would look taken after a restart.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except PermissionError:
            raise CannotListen(
                f"port {port} needs privileges; use a port above 1023 or a reverse proxy"
            ) from None
        except OSError as error:
            if error.errno == 98:
                raise PortTaken(
                    f"port {port} on {host} is in use by another program; "
                    "stop that or choose another with --port"
                ) from None
            raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return str(address[0])


async def serve_embedded(app: ASGIApp, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve `app` until `stop` is set (the house's `stopping`, so that streams end by themselves).

    Raises:
        PortTaken, CannotListen: nothing was started.
    """
    address = probe_port(host, port)
    server = Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGINL,
        # No browser speaks HTTP/2 on a plain connection, and granian, looking for it, waits without
        # end for somebody who says nothing: 4,096 silent connections would lock everybody out.
        http=HTTPModes.http1,
        backlog=BACKLOG,
        backpressure=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS, max_buffer_size=MAX_HEAD),
        websockets=False,
        log_enabled=False,
        log_level=LogLevels.warning,
    )
    serving = asyncio.create_task(_serve(server), name="web")
    stopping = asyncio.create_task(stop.wait(), name="web-stop")
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not serving.done():
            server.stop()
            # Whoever has begun to read a large answer and does not go on must not keep the process.
            await asyncio.wait({serving}, timeout=STOP_SECONDS)
            if not serving.done():
                log.info("the web server still had answers that nobody reads; they are broken off")
                serving.cancel()
                await asyncio.wait({serving})
        if not serving.cancelled():
            await serving


async def _serve(server: Any) -> None:
    await server.serve()
