"""The targets and receivers of bench/soak.py: they fail in every way, by a seed.

    python bench/restless.py SEED LEDGER STEADY FAULTY

Monitor `n` asks for `/n`. The first STEADY numbers are served by ports that always answer; the
FAULTY part of the others fails in any half minute (an error, silence, a reset, a slow or a short
answer), and their ports are closed and opened again now and then, as by a restart. `POST /hook/0`
is a receiver that fails now and then, `/hook/1` one that is away for a while every few minutes.

Prints its ports as JSON, the steady ones first. A line "calm" on standard input ends all faults;
when standard input closes, what came is written to LEDGER.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import uvloop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
BROKEN = b"HTTP/1.1 503 Broken\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\nConnection: close\r\n\r\nok\n"
GARBAGE = b"220 mail.example ESMTP\r\n"

PORTS = 10
"""Of each kind."""
EPOCH_SECONDS = 30
FAULTS = ("broken", "silent", "reset", "slow", "short", "garbage")
CLOSED_SECONDS = (8.0, 20.0)
BETWEEN_RESTARTS = 40.0
AWAY_EVERY, AWAY_FOR = 180, 25


class Ledger:
    """What came, and how things are now."""

    def __init__(self, seed: str, steady: int, faulty: float) -> None:
        self.seed = seed
        self.steady = steady
        self.faulty = faulty
        self.quiet = asyncio.Event()
        """Set when all faults are to end."""
        self.arrivals: list[tuple[str, float]] = []
        """Path and Unix seconds, of the steady targets."""
        self.asked = 0
        self.taken: list[tuple[int, str, str]] = []
        """Receiver, webhook-id and body of what was answered with 200."""
        self.refused = 0
        self.given = dict.fromkeys(FAULTS, 0)
        self.restarts = 0

    async def quiet_within(self, seconds: float) -> bool:
        """Wait until all faults are to end, `seconds` at most; tell whether they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.quiet.wait()
        return self.quiet.is_set()

    def fault(self, number: int, at: float) -> str | None:
        """Return what is wrong with a target at a moment, or None."""
        if self.quiet.is_set() or number < self.steady:
            return None
        return _fault(self.seed, self.faulty, number, int(at) // EPOCH_SECONDS)

    def refuses(self, receiver: int, at: float) -> bool:
        """Tell whether a receiver refuses what comes at a moment."""
        if self.quiet.is_set():
            return False
        if receiver == 1:
            return at % AWAY_EVERY < AWAY_FOR
        return random.random() < 0.05


@lru_cache(maxsize=20_000)
def _fault(seed: str, faulty: float, number: int, epoch: int) -> str | None:
    chance = random.Random(f"{seed} {number} {epoch}")
    return chance.choice(FAULTS) if chance.random() < faulty else None


class Answer(asyncio.Protocol):
    """One connection, one request, one answer, or what comes instead of it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.seen = b""
        self.done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.arrived = time.time()

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, ended, body = self.seen.partition(b"\r\n\r\n")
        if not ended or self.done:
            return
        path = head.split(b" ", 2)[1].decode("latin-1")
        if not path.startswith("/hook/"):
            self.done = True
            self._be_asked(path)
            return
        headers = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if len(body) >= int(headers.get("content-length", "0")):
            self.done = True
            self._be_told(int(path[6:]), headers.get("webhook-id", ""), body.decode())

    def _be_told(self, receiver: int, webhook_id: str, body: str) -> None:
        if self.ledger.refuses(receiver, self.arrived):
            self.ledger.refused += 1
            self._give(BROKEN)
        else:
            self.ledger.taken.append((receiver, webhook_id, body))
            self._give(OK)

    def _be_asked(self, path: str) -> None:
        ledger, number = self.ledger, int(path[1:])
        ledger.asked += 1
        if number < ledger.steady:
            ledger.arrivals.append((path, self.arrived))
        fault = ledger.fault(number, self.arrived)
        if fault is None:
            self._give(OK)
            return
        ledger.given[fault] += 1
        if fault == "broken":
            self._give(BROKEN)
        elif fault == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.transport.abort()
        elif fault == "slow":
            asyncio.get_running_loop().call_later(2.0, self._give, OK)
        elif fault == "short":
            self._give(SHORT)
        elif fault == "garbage":
            self._give(GARBAGE)
        # "silent": until whoever asked gives up.

    def _give(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


class Port:
    """A port that can be closed and opened again."""

    def __init__(self, make: Callable[[], Answer]) -> None:
        self._make = make
        self._server: asyncio.Server | None = None
        self.number = 0

    async def open(self) -> None:
        """Listen, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._make, "127.0.0.1", self.number, backlog=4096, reuse_address=True
        )
        self.number = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse connections; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None


async def restart_forever(ports: list[Port], ledger: Ledger) -> None:
    """Close one port for a while, open it, wait, and so on, until all is to be calm."""
    chance = random.Random(ledger.seed)
    while not await ledger.quiet_within(BETWEEN_RESTARTS * chance.uniform(0.1, 1.0)):
        port = chance.choice(ports)
        port.close()
        ledger.restarts += 1
        await ledger.quiet_within(chance.uniform(*CLOSED_SECONDS))
        await port.open()


async def main() -> None:
    """Serve until standard input closes."""
    seed, name, steady = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    ledger = Ledger(seed, steady, float(sys.argv[4]))
    ports = [Port(partial(Answer, ledger)) for _ in range(2 * PORTS)]
    for port in ports:
        await port.open()
    sys.stdout.write(json.dumps([port.number for port in ports]) + "\n")
    sys.stdout.flush()
    restarting = asyncio.create_task(restart_forever(ports[PORTS:], ledger))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line == "calm\n":
            ledger.quiet.set()
    ledger.quiet.set()
    await restarting
    for port in ports:
        port.close()
    found = {
        "arrivals": ledger.arrivals,
        "asked": ledger.asked,
        "taken": ledger.taken,
        "refused": ledger.refused,
        "given": ledger.given,
        "restarts": ledger.restarts,
    }
    name.write_text(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main())
