"""The target and the receiver of bench/alerts.py, in one process.

`/t/<n>` answers 200, or 500 while the target is switched off; `POST /hook/<n>` is a webhook's
receiver, `POST /people/message` a Gotify server, whose messages people read. Prints its port; a
line "off" or "on" on standard input switches, "count" prints how many webhooks came since the last
report, "report" prints what came as one line of JSON and forgets it. Ends when standard input
closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

ANSWERS = {
    True: b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n",
    False: b"HTTP/1.1 500 Broken\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n",
}


class State:
    """What is switched, and what came."""

    up = True
    answered: list[tuple[str, bool, float]] = []  # noqa: RUF012 -- one a process
    """Path, whether it was a good answer, and Unix seconds at which it was given."""
    told: list[tuple[str, str, str, float]] = []  # noqa: RUF012 -- one a process
    """The receiver's path, webhook-id, body, and when it had come whole."""


class Answer(asyncio.Protocol):
    """One connection, one request, one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, ended, body = self.seen.partition(b"\r\n\r\n")
        if not ended:
            return
        lines = head.decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])
        }
        if len(body) < int(headers.get("content-length", "0")):
            return
        up = True
        if path.startswith(("/hook/", "/people/")):
            State.told.append((path, headers.get("webhook-id", ""), body.decode(), time.time()))
        else:
            up = State.up
            State.answered.append((path, up, time.time()))
        self.transport.write(ANSWERS[up])  # type: ignore[attr-defined]  # a Transport here
        self.transport.close()


async def main() -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, "127.0.0.1", 0, backlog=8192)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line == "count\n":
            webhooks = sum(path.startswith("/hook/") for path, *_ in State.told)
            sys.stdout.write(f"{webhooks}\n")
            sys.stdout.flush()
        elif line == "report\n":
            sys.stdout.write(json.dumps({"answered": State.answered, "told": State.told}) + "\n")
            sys.stdout.flush()
            State.answered.clear()
            State.told.clear()
        else:
            State.up = line == "on\n"
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
