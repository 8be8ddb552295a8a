"""A target for benches that notes what comes and when: http, tcp, dns or icmp.

    python bench/target.py LEDGER [KIND]

Prints its port, serves until standard input closes, then writes the arrivals to the ledger as JSON:
(key, Unix seconds). A key is what tells the monitors apart: the path of an http request, the name
of a question, the address that was dialled (all of 127.0.0.0/8 is this host) for tcp and icmp.
Pings are answered by the kernel and only watched here, which takes a raw socket.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from pathlib import Path

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
LOOK_SECONDS = 0.05
_ECHO_REQUEST = 8
_SO_TIMESTAMPNS = 35
_SOL_RAW, _ICMP_FILTER = 255, 1
arrivals: list[tuple[str, float]] = []


class Answer(asyncio.Protocol):
    """One connection, one request, one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.arrived = time.time()
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if b"\r\n\r\n" in self.seen:
            path = self.seen.split(b" ", 2)[1].decode("latin-1")
            arrivals.append((path, self.arrived))
            self.transport.write(ANSWER)  # type: ignore[attr-defined]  # a Transport here
            self.transport.close()


class Listener(asyncio.Protocol):
    """One connection, noted by the address that it was made to; it ends when the far side ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        arrivals.append((transport.get_extra_info("sockname")[0], time.time()))


class Names(asyncio.DatagramProtocol):
    """Every name is 127.0.0.1."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, end = [], 12
        while data[end]:
            labels.append(data[end + 1 : end + 1 + data[end]].decode())
            end += 1 + data[end]
        arrivals.append((".".join(labels), time.time()))
        header = data[:2] + struct.pack("!HHHHH", 0x8580, 1, 1, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, bytes((127, 0, 0, 1)))
        self.transport.sendto(header + data[12 : end + 5] + record, addr)  # type: ignore[attr-defined]


class Pings:
    """The echo requests that this host receives, by the kernel's own stamp of each.

    Packets are read some fifty at a time: a watcher that woke for each of them would take the
    processor from the program under test a thousand times a second, and count as its cost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        others = 0xFFFF_FFFF & ~(1 << _ECHO_REQUEST)
        self.sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", others))
        self.sock.setblocking(False)
        self.look()

    def look(self) -> None:
        """Read what came, now and again soon."""
        self.timer = self.loop.call_later(LOOK_SECONDS, self.look)
        while True:
            try:
                packet, told, _, _ = self.sock.recvmsg(256, 64)
            except BlockingIOError:
                return
            if not told:
                continue  # it came before the stamps were asked for
            seconds, nanoseconds = struct.unpack("@ll", told[0][2])
            arrivals.append((socket.inet_ntoa(packet[16:20]), seconds + nanoseconds / 1e9))

    def close(self) -> None:
        """Read the last, and watch no more."""
        self.timer.cancel()
        self.look()
        self.timer.cancel()
        self.sock.close()


async def main(ledger: Path, kind: str) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    watched: Pings | None = None
    if kind == "icmp":
        watched, port = Pings(loop), 0
    elif kind == "dns":
        transport, _ = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
    else:
        made, where = (Answer, "127.0.0.1") if kind == "http" else (Listener, "0.0.0.0")  # noqa: S104  # 127.*.*.* each is a monitor's target
        server = await loop.create_server(made, where, 0, backlog=4096)
        port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    if watched is not None:
        watched.close()
    ledger.write_text(json.dumps(arrivals))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "http"))
