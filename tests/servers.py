"""Real servers on loopback, port 0, that do what a script says, byte by byte if need be.

    async with HttpServer({"/": answer(body=b"hello")}) as server:
        ... server.url("/") ... server.requests

A script is bytes (sent, then the connection is closed), a function of the request that returns
such bytes, or a coroutine function that is given the `Exchange` and does as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Script = bytes | Callable[..., Any]


@dataclass
class Request:
    """What a client sent. Header names are lower case."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    head: bytes = b""
    at: float = 0.0
    """Unix seconds of its arrival."""


@dataclass
class Exchange:
    """One connection, for a script to play with."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: Request

    async def send(self, data: bytes) -> None:
        """Send now, and not together with what follows."""
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Send a byte at a time."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(pause)

    async def hang(self) -> None:
        """Say nothing until the client is gone."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()

    def reset(self) -> None:
        """Close with RST."""
        linger(self.writer)
        self.writer.transport.abort()


def linger(writer: asyncio.StreamWriter) -> None:
    """Make the closing of this connection a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answer(
    status: int | str = 200,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    length: bool = True,
) -> bytes:
    """Return a well-formed answer that closes the connection."""
    line = f"{status} OK" if isinstance(status, int) else status
    lines = [f"HTTP/1.1 {line}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """Return a redirect to `location`."""
    return answer(status, {"Location": location})


class Server:
    """A TCP server whose connections are handed to `serve`; use it as a context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.tls = tls
        self.host = host
        self.port = 0
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accepted, self.host, self.port, ssl=self.tls, backlog=1024, limit=1 << 20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the listening socket and everything that is under way."""
        # A connection that is being accepted while its server closes is left open by asyncio.
        for _ in range(5):
            await asyncio.sleep(0)
        self._server.close()
        # What was accepted just before still arrives in the loop's next turns, and aborted
        # transports are closed in them.
        for _ in range(10):
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def start_again(self) -> None:
        """Listen on the same port as before."""
        await self.__aenter__()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError, ssl.SSLError):
            # The client went, or the test is over: neither is the server's concern.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            if not writer.is_closing():
                writer.close()
            try:
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            except (TimeoutError, asyncio.CancelledError):
                # What the client did not take within a second, it never will. (A TLS transport that
                # is closed already trips over itself.)
                with contextlib.suppress(AttributeError):
                    writer.transport.abort()
            except (ConnectionError, ssl.SSLError):
                # The client is gone already.
                return

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk on one connection."""
        raise NotImplementedError


class TcpServer(Server):
    """Runs `script(reader, writer)` on each connection; without one it accepts and is silent."""

    def __init__(
        self,
        script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
        | bytes
        | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls, host)
        self.script = script
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do as the script says."""
        if isinstance(self.script, bytes):
            writer.write(self.script)
            await writer.drain()
        elif self.script is not None:
            await self.script(reader, writer)
            return
        while data := await reader.read(65_536):
            self.received += data


class HttpServer(Server):
    """Answers by path ("*" is for all others); keeps every request in `requests`."""

    def __init__(
        self,
        scripts: Mapping[str, Script] | Script,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        name: str | None = None,
    ) -> None:
        super().__init__(tls, host)
        self.scripts: dict[str, Script] = (
            dict(scripts) if isinstance(scripts, Mapping) else {"*": scripts}
        )
        self.name = name
        self.requests: list[Request] = []

    def url(self, path: str = "/") -> str:
        """Return the address of `path` here."""
        host = self.name or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        request = await read_request(reader)
        if request is None:
            return
        self.requests.append(request)
        script = self.scripts.get(request.path, self.scripts.get("*", answer(404)))
        exchange = Exchange(reader, writer, request)
        if isinstance(script, bytes):
            await exchange.send(script)
        elif inspect.iscoroutinefunction(script):
            await script(exchange)
        else:
            await exchange.send(script(request))


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read a request with its body; None when the client sent none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, head, time.time())


class Sink(HttpServer):
    """A webhook's receiver. Answers 200, or what `answers` has next; its ledger is `requests`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__({"*": self._next}, tls)
        self.answers: list[Script] = []
        self._arrival = asyncio.Event()

    async def _next(self, exchange: Exchange) -> None:
        self._arrival.set()
        script = self.answers.pop(0) if self.answers else answer(200, body=b"ok")
        if isinstance(script, bytes):
            await exchange.send(script)
        else:
            await script(exchange)

    async def wait_for(self, count: int, seconds: float = 10.0) -> list[Request]:
        """Return the ledger once it has `count` entries.

        Raises:
            TimeoutError: it has not within `seconds`.
        """
        async with asyncio.timeout(seconds):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests


class DnsServer(asyncio.DatagramProtocol):
    """A name server over UDP.

    `zone` maps a name to addresses, or to a word: nxdomain, servfail, refused, nodata, silent,
    malformed, wrong_id. Names it does not have are NXDOMAIN. `asked` lists (name, type).
    """

    RCODES: Mapping[str, int] = {"nodata": 0, "servfail": 2, "nxdomain": 3, "refused": 5}

    def __init__(self, zone: Mapping[str, str | list[str]], ttl: int = 1) -> None:
        self.zone = dict(zone)
        self.ttl = ttl
        self.default = "nxdomain"
        self.asked: list[tuple[str, int]] = []
        self.port = 0

    @property
    def address(self) -> str:
        """What a resolver is pointed at."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        labels, position = [], 12
        while data[position]:
            end = position + 1 + data[position]
            labels.append(data[position + 1 : end].decode())
            position = end
        kind = struct.unpack("!H", data[position + 1 : position + 3])[0]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        found = self.zone.get(name, self.default)
        question = data[12 : position + 5]
        if found == "silent":
            return
        if found == "malformed":
            self._transport.sendto(data[:2] + b"\x81\x80not a message", addr)
            return
        ident = data[:2]
        if found == "wrong_id":
            ident, found = bytes([data[0] ^ 0xFF, data[1]]), ["127.0.0.1"]
        code, records = self.RCODES.get(str(found), 0), b""
        count = 0
        for address in found if isinstance(found, list) else ():
            six = ":" in address
            if kind != (28 if six else 1):
                continue
            packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(packed)) + packed
            count += 1
        header = ident + struct.pack("!HHHHH", 0x8180 | code, 1, count, 0, 0)
        self._transport.sendto(header + question + records, addr)


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes no more connections: what asks for one waits."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


def free_port() -> int:
    """Return a port on which nothing listens (and hopefully nothing will for a moment)."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
