"""The sockets: where we listen, in the clear or over TLS, and how a certificate is changed while
everything runs.

The server below reads its certificate once. For another one, a second listener is put on the same
port, and the kernel is told that whoever comes from then on is that one's. The first goes on with
the connections it has: each ends with its next answer or, unused, as it would at any time. Then the
listener ends. So nobody is refused, and no request under way is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from litestar.types import ASGIApp, Receive, Scope, Send

from netpulse.engine import limits
from netpulse.model.time import Millis, rfc3339
from netpulse.web.certificate import Pair
from netpulse.web.crowd import Asking, Crowd, can_watch
from netpulse.web.tls import LOOK_SECONDS, Tls

log = logging.getLogger(__name__)

HEADER_READ_MS = 10_000
"""How long the head of a request may take, and how long a connection may stay open unused."""
MAX_HEAD = 32 * 1024
"""How much of a head is kept for a connection (bytes). A larger one is answered 431; granian's own
figure is 13 times as much, which for all connections at once would be 1.7 GB."""
MAX_CONNECTIONS = 4096
"""granian's `backpressure` counts connections: at its default of 128, as many open event streams
lock everybody out. Where descriptors are few it is fewer (`limits.connections_at_once`): strangers
who take them all would leave none to the checks and the database."""
BACKLOG = 1024
LEAVE_MS = HEADER_READ_MS + 2_000
"""How long a listener goes on after another one took its place: unused connections have ended by
then, and others with an answer."""
UNHEARD_MS = 60_000
"""How long what we sent may stay unread before the connection is given up: a laptop that was closed
would keep its event streams for a quarter of an hour otherwise, and who reads nothing for ever."""
STOP_SECONDS = 3.0
"""How long answers under way may take when the process stops."""
LINGER_SECONDS = 60.0
"""How much longer a request under way may keep the next change of the certificate waiting."""

_STEER = 51
"""SO_ATTACH_REUSEPORT_CBPF, which Python's socket module does not name."""
_RETURN = 0x06
"""BPF_RET | BPF_K, see linux/bpf_common.h."""


class PortTaken(Exception):
    """Another program listens there; the text is one line for the operator."""


class CannotListen(Exception):
    """The address cannot be listened on; the text is one line for the operator."""


def probe_port(host: str, port: int) -> str:
    """Return the numeric address of `host` after making sure that nobody listens there.

    Over TLS we share our port with ourselves (SO_REUSEPORT), and a second instance would start
    silently and take a part of the traffic.

    Raises:
        PortTaken: somebody listens on it.
        CannotListen: the address is not ours, or the port not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(f"cannot listen on {host}: {error.strerror}") from None
    address = str(found[0][4][0])
    with contextlib.closing(_bound(address, port, share=False)) as probe:
        probe.listen(1)
    return address


def _bound(address: str, port: int, *, share: bool) -> socket.socket:
    """Return a socket that is bound and does not listen yet."""
    is_ipv6 = ipaddress.ip_address(address.partition("%")[0]).version == 6
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it a port in TIME_WAIT would look taken after a restart.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
        sock.setblocking(False)
        sock.bind((address, port))
    except PermissionError:
        sock.close()
        raise CannotListen(
            f"port {port} needs privileges; use a port above 1023 or a reverse proxy"
        ) from None
    except OSError as error:
        sock.close()
        if error.errno == 98:
            raise PortTaken(
                f"port {port} on {address} is in use by another program; "
                "stop that or choose another with --port"
            ) from None
        raise CannotListen(f"cannot listen on {address}:{port}: {error.strerror}") from None
    return sock


class _Granian(Server):
    """The server below, with a socket and a certificate that were made ready for it."""

    def __init__(self, app: ASGIApp, sock: socket.socket, **options: Any) -> None:
        # The copy is the server's own, and closed by it.
        self._ready = SocketHolder(os.dup(sock.fileno()), False, BACKLOG)  # type: ignore[call-arg]  # its stub is of another system
        super().__init__(app, backlog=BACKLOG, **options)

    def _init_shared_socket(self) -> None:
        self._shd: Any = self._ready

    def build_ssl_context(
        self,
        cert: Path | None,
        key: Path | None,
        password: str | None,
        proto: SSLProtocols,
        ca: Path | None,
        crl: list[Path],
        client_verify: bool,
    ) -> None:
        """Take the paths as they are: those of files without a name would not survive more."""
        del password, ca, crl, client_verify
        paths = (None, None) if cert is None or key is None else (str(cert), str(key))
        self.ssl_ctx: Any = (cert is not None, *paths, None, str(proto), None, [], False)


class Listener:
    """One listening socket with its connections; an ASGI application in front of ours."""

    def __init__(
        self,
        app: ASGIApp,
        address: str,
        port: int,
        pair: Pair | None = None,
        minimum: str = "1.3",
        asking: Asking | None = None,
    ) -> None:
        """Take what is served, where (the address numeric), and over TLS with which pair, if any,
        and from which version on. `asking` is that of the listener whose place it takes."""
        self._app = app
        self._address = address
        self._port = port
        self._pair = pair
        self._minimum = SSLProtocols.tls12 if minimum == "1.2" else SSLProtocols.tls13
        self._server: Any = None
        self.serving: asyncio.Task[None]
        """Ends with the listener and its last connection."""
        self.leaving = asyncio.Event()
        """Set when its connections are to end with their next answer, and streams by themselves."""
        self.asking = Asking() if asking is None else asking
        """From which ports people ask, of all listeners on our port."""
        self._door: socket.socket | None = None
        """The listening socket, watched by `_crowd`."""
        self._crowd: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        scope.setdefault("state", {})["leaving"] = self.leaving
        client = scope.get("client")
        port = int(client[1]) if client else 0  # granian has it as text
        self.asking.begin(port)
        try:
            await self._app(scope, receive, send)
        finally:
            self.asking.end(port)

    async def start(self, *, instead: bool = False) -> None:
        """Begin to listen; `instead` of whoever listens there now, who gets no new connections.

        Raises:
            PortTaken, CannotListen: nothing was started.
        """
        places = limits.connections_at_once(limits.raise_file_limit())
        sock = _bound(self._address, self._port, share=self._pair is not None)
        with contextlib.closing(sock), _lent(self._pair) as (chain, key):
            self._server = _Granian(
                self,
                sock,
                address=self._address,
                port=self._port,
                interface=Interfaces.ASGINL,
                # No browser speaks HTTP/2 in the clear, and granian, looking for it, waits without
                # end for somebody who says nothing, over TLS too: 4,096 silent connections would
                # lock everybody out.
                http=HTTPModes.http1,
                backpressure=min(MAX_CONNECTIONS, places),
                http1_settings=HTTP1Settings(
                    header_read_timeout=HEADER_READ_MS, max_buffer_size=MAX_HEAD
                ),
                websockets=False,
                log_enabled=False,
                log_level=LogLevels.warning,
                ssl_cert=chain,
                ssl_key=key,
                ssl_protocol_min=self._minimum,
            )
            self.serving = asyncio.create_task(self._server.serve(), name="web")
            # It listens after it has read the certificate.
            while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                if self.serving.done():
                    await self.serving
                    raise CannotListen(f"cannot listen on {self._address}:{self._port}")
                await asyncio.sleep(0.002)
            if instead:
                _steer(sock)
            if can_watch():
                self._door = sock.dup()
                crowd = Crowd(self._door, self.asking)
                self._crowd = asyncio.create_task(crowd.watch(), name="crowd")

    async def end(self, seconds: float | None = None) -> None:
        """Take no more connections, finish the requests under way, and end; after so many seconds
        break off what is left. May be called again, with less patience."""
        self.leaving.set()
        if self._crowd is not None:
            self._crowd.cancel()
            await asyncio.wait({self._crowd})
        if self._door is not None:
            # As long as it is open, the kernel lets people in whom nobody serves.
            self._door.close()
        if not self.serving.done():
            self._server.stop()
            # Whoever has begun to read a large answer and does not go on must not keep the process.
            await asyncio.wait({self.serving}, timeout=seconds)
            if not self.serving.done():
                log.info("the web server still had answers that nobody reads; they are broken off")
                self.serving.cancel()
                await asyncio.wait({self.serving})
        if not self.serving.cancelled():
            await self.serving


def _steer(newest: socket.socket) -> None:
    """Have the kernel give new connections to the newest of two listeners on one port.

    The program, attached to the group of both sockets, says "number 1", which is the one that
    began later. When it is alone again there is no number 1, and the kernel takes it anyway.
    """
    line = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 1))
    program = struct.pack("HP", 1, ctypes.addressof(line))
    try:
        newest.setsockopt(socket.SOL_SOCKET, _STEER, program)
    except OSError as error:
        # Both listen then, until the older one ends.
        log.warning("new connections may meet the old certificate a little longer: %s", error)


@contextlib.contextmanager
def _lent(pair: Pair | None) -> Iterator[tuple[Path | None, Path | None]]:
    """Lend the pair out as two files that are nowhere on a disk."""
    if pair is None:
        yield None, None
        return
    with contextlib.ExitStack() as stack:
        paths = []
        for name, held in (("certificate", pair.chain), ("key", pair.key)):
            handle = os.memfd_create(name, os.MFD_CLOEXEC)
            stack.callback(os.close, handle)
            with open(handle, "wb", closefd=False) as file:
                file.write(held)
            paths.append(Path(f"/proc/self/fd/{handle}"))
        yield paths[0], paths[1]


async def serve_embedded(
    app: ASGIApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    tls: Tls | None = None,
    now: Callable[[], Millis] = lambda: 0,
) -> None:
    """Serve `app` until `stop` is set (the house's `stopping`, so that streams end by themselves).

    With `tls` over TLS alone; its files are looked at now and then (`now` is the wall clock), and
    another pair is served as soon as it is there.

    Raises:
        PortTaken, CannotListen: nothing was started.
    """
    address = probe_port(host, port)
    listener = Listener(app, address, port, *((tls.pair, tls.minimum) if tls else ()))
    await listener.start()
    leaving: dict[Listener, asyncio.Task[None]] = {}
    try:
        if tls is None:
            await _first(None, stop, listener.serving)
        while tls is not None and not stop.is_set() and not listener.serving.done():
            following = await _successor(app, address, port, tls, now(), listener.asking)
            if following is None:
                await _first(LOOK_SECONDS, stop, listener.serving, tls.again)
                continue
            old, listener = listener, following
            old.leaving.set()
            await _first(LEAVE_MS / 1000, stop)
            leaving[old] = asyncio.create_task(old.end(), name="web-old")
            await _first(LINGER_SECONDS, stop, leaving[old])
            leaving = {one: ending for one, ending in leaving.items() if not ending.done()}
    finally:
        await asyncio.gather(*(one.end(STOP_SECONDS) for one in (listener, *leaving)))


async def _successor(
    app: ASGIApp, address: str, port: int, tls: Tls, now: Millis, asking: Asking
) -> Listener | None:
    """Return a listener that has taken over with the pair that the files hold by now; None where
    there is no other pair, or none that can be served."""
    tls.mention(now)
    pair = await asyncio.to_thread(tls.changed, now)
    if pair is None:
        return None
    listener = Listener(app, address, port, pair, tls.minimum, asking)
    try:
        await listener.start(instead=True)
    except (PortTaken, CannotListen, OSError) as problem:
        tls.complain(str(problem))
        return None
    tls.pair = pair
    until = rfc3339(pair.not_after)
    log.info("another certificate is served: %s, until %s", ", ".join(pair.names), until)
    return listener


async def _first(seconds: float | None, *things: asyncio.Event | asyncio.Task[None]) -> None:
    """Wait for the first of these, or for so many seconds."""
    waits = [
        asyncio.create_task(thing.wait()) for thing in things if isinstance(thing, asyncio.Event)
    ]
    tasks = [thing for thing in things if isinstance(thing, asyncio.Task)]
    try:
        await asyncio.wait([*waits, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
