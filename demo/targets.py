"""What the demo's monitors look at: servers on loopback that do as their moods are.

Web servers share a port and are told apart by their names; whoever can be away, or speaks TLS, has
a port of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import random
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from demo.postbox import PostBox
from demo.rhythm import Mood

HERE = "127.0.0.1"
TICK = 0.25
"""Seconds between two looks at who is away."""
SLOW = (0.9, 1.4)
"""Seconds that a slow answer takes."""
SILENCE = 30.0
_LONGEST_HEAD = 16_384
_LONGEST_BODY = 1024 * 1024
_KEPT = 200
"""Deliveries in the sink's folder; the oldest go."""
_REASONS = {200: "OK", 204: "No Content", 401: "Unauthorized", 404: "Not Found", 503: "Unavailable"}

Moods = Callable[[str], Mood]
"""What a target, by its name, does just now."""


def may_ping() -> bool:
    """Tell whether this system lets us ping at all."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP):
            return True
    return False


class Page(Struct, frozen=True, kw_only=True):
    """What a web server says."""

    body: str = "<h1>Welcome</h1>\n"
    wrong: str = "<h1>Down for maintenance</h1>\n"
    """In the mood WRONG."""
    broken: int = 503
    """The status in the mood BROKEN."""
    usual_ms: float = 40.0


class Targets:
    """All of them. What is posted to the sink lies in a folder afterwards."""

    def __init__(
        self,
        pages: dict[str, Page],
        moods: Moods,
        records: dict[str, list[str]],
        notices: Path,
    ) -> None:
        """Take what the web servers say, by the first label of their names; `records` are those of
        the name server: {"shop.example A": [value, ...]}; `notices` is the sink's folder, made
        with the first of them."""
        self._pages = pages
        self._moods = moods
        self._records = records
        self._servers: list[asyncio.Server] = []
        self._closing: list[asyncio.BaseTransport] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._notices = notices
        self._received = 0

    async def web(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Answer as web servers on `port`."""
        server = await asyncio.start_server(self._talk, HERE, port, ssl=tls)
        self._servers.append(server)

    async def port(self, name: str, port: int, banner: str, tls: ssl.SSLContext | None) -> None:
        """Greet on `port` as the target `name`, and close the port while it is away."""

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                if self._moods(name) is Mood.SILENT:
                    await asyncio.sleep(SILENCE)
                if self._moods(name) is Mood.SLOW:
                    await asyncio.sleep(random.uniform(*SLOW))
                writer.write(banner.encode())
                await writer.drain()
                # The one who asked hangs up first, or is asked to.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 2)
                writer.close()

        async def keep() -> None:
            server: asyncio.Server | None = None
            try:
                while True:
                    away = self._moods(name) is Mood.AWAY
                    if away and server is not None:
                        server.close()
                        server = None
                    elif not away and server is None:
                        server = await asyncio.start_server(greet, HERE, port, ssl=tls)
                    await asyncio.sleep(TICK)
            finally:
                if server is not None:
                    server.close()

        self._tasks.add(asyncio.create_task(keep(), name=name))

    async def post(self, port: int, folder: Path) -> None:
        """Take mail on `port`, and lay it into `folder`."""
        self._servers.append(await asyncio.start_server(PostBox(folder).talk, HERE, port))

    async def names(self, port: int) -> None:
        """Answer as a name server on `port`."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Names(self._records, self._moods), local_addr=(HERE, port)
        )
        self._closing.append(transport)

    async def close(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        for transport in self._closing:
            transport.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n"))[:_LONGEST_HEAD].decode("latin-1")
            request, *lines = head.split("\r\n")
            method, path, _ = (request + "  ").split(" ", 2)
            headers = {
                key.strip().lower(): value.strip()
                for key, _, value in (line.partition(":") for line in lines)
            }
            length = headers.get("content-length", "0")
            sent = b""
            if length.isdigit() and int(length) <= _LONGEST_BODY:
                sent = await reader.readexactly(int(length))
            host = headers.get("host", "").partition(":")[0].partition(".")[0]
            status, body = await self._answer(host, path, sent)
            if status is None:
                await asyncio.sleep(SILENCE)
                return
            kind = "application/json" if body.startswith("{") else "text/html; charset=utf-8"
            writer.write(
                f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n".encode()
            )
            if method != "HEAD":
                writer.write(body.encode())
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def _answer(self, host: str, path: str, sent: bytes) -> tuple[int | None, str]:
        if host == "sink":
            return self._take(path, sent)
        page = self._pages.get(host)
        if page is None:
            return 404, "nobody of this name lives here\n"
        mood = self._moods(host)
        took = page.usual_ms / 1000 * random.lognormvariate(0, 0.15)
        await asyncio.sleep(random.uniform(*SLOW) if mood is Mood.SLOW else took)
        if mood is Mood.SILENT:
            return None, ""
        if mood is Mood.BROKEN:
            return page.broken, "something is wrong in here\n"
        return 200, page.wrong if mood is Mood.WRONG else page.body

    def _take(self, path: str, sent: bytes) -> tuple[int, str]:
        """Take what a channel delivers; the pager does not take everything."""
        if self._moods("sink") is not Mood.WELL and path.startswith("/pager"):
            return 503, "the pager is busy\n"
        self._received += 1
        self._notices.mkdir(mode=0o700, exist_ok=True)
        to = path.strip("/").partition("/")[0].partition("?")[0]
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{self._received:04}-{Path(to).name}.json"
        (self._notices / name).write_bytes(sent)
        for old in sorted(self._notices.iterdir())[:-_KEPT]:
            old.unlink()
        return 200, json.dumps({"ok": True, "id": "demo"}) + "\n"


class _Names(asyncio.DatagramProtocol):
    """A name server of a few records (RFC 1035)."""

    def __init__(self, records: dict[str, list[str]], moods: Moods) -> None:
        self._records = records
        self._moods = moods
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's and asyncio's own have no common class but the base.
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            question = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        mood = self._moods("names")
        if mood is Mood.SILENT or self._transport is None or not question.question:
            return
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        found = self._records.get(f"{name} {dns.rdatatype.to_text(asked.rdtype)}")
        if mood is Mood.BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            values = ["192.0.2.66"] if mood is Mood.WRONG and asked.rdtype == 1 else found
            answer.answer.append(dns.rrset.from_text(asked.name, 300, "IN", asked.rdtype, *values))
        self._transport.sendto(answer.to_wire(), address)


class Authority:
    """An issuer of certificates whose own is kept, so that monitors may go on trusting it."""

    def __init__(self, folder: Path) -> None:
        """Take the issuer kept in `folder`, or make one."""
        kept = folder / "authority.pem"
        if kept.exists():
            pem = kept.read_bytes()
            key = serialization.load_pem_private_key(pem, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey), "it was made below"
            self._key = key
            self._root = x509.load_pem_x509_certificate(pem)
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _named("Example Works", "Example Works Root")
        self._root = _certificate(name, name, self._key, self._key, 3650, ca=True)
        kept.touch(0o600)
        kept.write_bytes(_key_pem(self._key) + _pem(self._root))

    @property
    def pem(self) -> str:
        """The root, for a monitor's `ca_certificate`."""
        return _pem(self._root).decode()

    def serving(self, name: str, days: int) -> ssl.SSLContext:
        """Return what serves a fresh certificate for `name` that ends in `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = _certificate(
            _named("Example Works", name), self._root.subject, key, self._key, days, host=name
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(_key_pem(key) + _pem(issued) + _pem(self._root))
            file.flush()
            context.load_cert_chain(file.name)
        return context


def _named(organization: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
    *,
    ca: bool = False,
    host: str | None = None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    # A little later than asked for: "in 9 days" is to be read, not "in 8".
    ends = now + datetime.timedelta(days=days, hours=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3650 if ca else 81))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if host is not None:
        names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(HERE))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
