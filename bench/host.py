"""The servers that bench/probes.py checks: http, https and a name server, in one process.

Prints their ports as JSON, with the path of the authority's certificate, and serves until standard
input closes. The directory for the certificate is named on the command line.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import sys
from pathlib import Path

import trustme
import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class Answer(asyncio.Protocol):
    """One connection, one request, one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)  # type: ignore[attr-defined]  # a Transport here
        self.transport.close()


class Names(asyncio.DatagramProtocol):
    """Every name is 127.0.0.1."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = 12
        while data[end]:
            end += 1 + data[end]
        question = data[12 : end + 5]
        kind = struct.unpack("!H", question[-4:-2])[0]
        found = kind == 1
        record = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, bytes((127, 0, 0, 1)))
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, int(found), 0, 0)
        answer = header + question + (record if found else b"")
        self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


async def main(folder: Path) -> None:
    """Serve until standard input closes."""
    authority = trustme.CA()
    pem = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Answer, "127.0.0.1", 0, backlog=4096)
    secure = await loop.create_server(Answer, "127.0.0.1", 0, backlog=4096, ssl=tls)
    names, _ = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    ports = {
        "http": plain.sockets[0].getsockname()[1],
        "https": secure.sockets[0].getsockname()[1],
        "dns": names.get_extra_info("sockname")[1],
        "pem": str(pem),
    }
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
