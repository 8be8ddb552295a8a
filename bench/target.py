"""The benchmark's target: answers every request at once and notes when it came.

Prints its port, serves until standard input closes, then writes the arrivals (path, Unix seconds)
to the file named on the command line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
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


async def main(ledger: Path) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    ledger.write_text(json.dumps(arrivals))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
