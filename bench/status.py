"""A thousand readers a second on a status page, beside a thousand monitors: what they cost checks.

    python bench/status.py --monitors 1000 --rate 1000 --seconds 30 --out bench/results

The same monitors are measured first without readers, then with them. Meanwhile a service of the
page fails and recovers every two seconds, so that the page is not only read but made anew. Measured
from outside: the arrivals at the target against each monitor's grid (lag, missed), how long after
the failure the page says it, the answers that readers got, and the CPU time of the whole process;
what it used more with readers, over their requests, is what a request costs. Readers keep their
connections, as browsers and proxies do, and take the page packed; one in five has it as it was at
the beginning. All of it stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measure import (  # noqa: E402  # the checkout, not an installed copy
    EMAIL,
    INTERVAL,
    PASSWORD,
    TIED,
    beside,
    cpu_seconds,
    end,
    fill,
    free_port,
    judge,
    keep,
    percentile,
    sign_in,
    wait_ready,
)
from netpulse.rules.schedule import STEP_MS  # noqa: E402

SERVICES = 50
CONNECTIONS = 50
SLUG = "bench"
CHANGE_SECONDS = 2.0
"""How often a service fails or recovers."""
LOOK_SECONDS = 0.05
"""How often it is looked whether the page says so."""
LATEST_SECONDS = 30.0
TARGETS = {"said_ms_max": 5_000, "checks_missed": 0, "lag_ms_p99": 50}
"""With readers and without: they delay no check."""


class Reader(asyncio.Protocol):
    """One connection that asks again and again; answers are counted, not kept."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[int] | None = None
        self._head = b""
        self._left = 0
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a Transport here

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._status = int(head[9:12])
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            self._head = b""
            self._left = (0 if self._status == 304 else length) - len(body)
        else:
            self._left -= len(data)
        if self._left <= 0 and self.answered is not None:
            self._left = 0
            self.answered.set_result(self._status)

    async def ask(self, request: bytes) -> int:
        """Ask once; return the answer's status."""
        assert self.transport is not None
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answered


async def read(port: int, rate: int, seconds: float) -> dict[str, Any]:
    """Read the page `rate` times a second for `seconds`, over CONNECTIONS connections."""
    loop = asyncio.get_running_loop()
    path = f"/status/{SLUG}"
    plain = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as first,
    ):
        tag, size = first.headers["ETag"], len(await first.read())
    known = plain[:-2] + f"If-None-Match: {tag}\r\n\r\n".encode()
    statuses: dict[int, int] = {}
    took: list[float] = []
    began = loop.time()

    async def one(number: int) -> None:
        _, reader = await loop.create_connection(Reader, "127.0.0.1", port)
        asked = 0
        while True:
            due = began + (number + asked * CONNECTIONS) / rate
            if due > began + seconds:
                return
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            start = time.perf_counter()
            status = await reader.ask(known if asked % 5 == 4 else plain)
            took.append((time.perf_counter() - start) * 1000)
            statuses[status] = statuses.get(status, 0) + 1
            asked += 1

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    if not statuses.keys() <= {200, 304}:
        raise SystemExit(f"not every reader got the page: {statuses}")
    return {
        "requests": len(took),
        "requests_per_second": round(len(took) / (loop.time() - began), 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "page_bytes": size,
        "answer_ms_median": round(statistics.median(took), 2),
        "answer_ms_p99": round(percentile(took, 0.99), 2),
        "answer_ms_max": round(max(took), 2),
    }


async def change(session: aiohttp.ClientSession, base: str, ping: str, said: list[float]) -> None:
    """Have a service fail and recover, now and then; note after how many ms the page says so."""
    ends, word = ("", "/fail"), ("is-up", "is-down")
    is_out = False
    while True:
        is_out = not is_out
        began = time.perf_counter()
        async with session.post(ping + ends[is_out]) as answer:
            await answer.read()
        while True:
            async with session.get(f"{base}/status/{SLUG}") as answer:
                if f"np-overall {word[is_out]}" in await answer.text():
                    break
            if time.perf_counter() - began > LATEST_SECONDS:
                raise SystemExit(f"the page does not say that the service is {word[is_out]}")
            await asyncio.sleep(LOOK_SECONDS)
        said.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(max(0.0, began + CHANGE_SECONDS - time.perf_counter()))


async def run(count: int, rate: int, seconds: int) -> dict[str, Any]:
    """Measure without and with readers; return the figures."""
    with tempfile.TemporaryDirectory() as name:
        data, ledger = Path(name) / "data", Path(name) / "arrivals.json"
        target = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            [sys.executable, str(ROOT / "bench" / "target.py"), str(ledger)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert target.stdout is not None
        assert target.stdin is not None
        target_port = int(target.stdout.readline())
        port = free_port()
        server = subprocess.Popen(  # noqa: ASYNC220
            [
                *(*TIED, sys.executable, "-m", "netpulse"),
                *("serve", "--data", str(data), "--port", str(port)),
            ],
            env=os.environ
            | {"NETPULSE_ADMIN_EMAIL": EMAIL, "NETPULSE_ADMIN_PASSWORD": PASSWORD}
            | {"NETPULSE_LIMITS_REQUESTS_PER_MINUTE": "0"},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        base = f"http://127.0.0.1:{port}"
        stretches: list[tuple[float, float, float]] = []
        said: list[list[float]] = [[], []]
        try:
            async with aiohttp.ClientSession() as session:
                await wait_ready(session, base)
                await sign_in(session, base)
                ids = await fill(session, base, target_port, count)
                ping = await _page(session, base, list(ids.values())[: SERVICES - 1])
                await asyncio.sleep(INTERVAL + 5)
                readers: dict[str, Any] = {}
                for with_readers in (False, True):
                    changing = asyncio.create_task(change(session, base, ping, said[with_readers]))
                    began, cpu = time.time(), cpu_seconds(server.pid)
                    if with_readers:
                        readers = await _in_a_process(port, rate, seconds)
                    else:
                        await asyncio.sleep(seconds)
                    stretches.append((began, time.time(), cpu_seconds(server.pid) - cpu))
                    if changing.done():
                        await changing
                    changing.cancel()
                    await asyncio.gather(changing, return_exceptions=True)
        finally:
            try:
                end(server)
            finally:
                target.stdin.close()
                target.wait(60)
        arrivals = json.loads(ledger.read_text())
        quiet, busy = (
            beside(
                judge(ids, arrivals, began, ended, step=STEP_MS)
                | {
                    "cpu_seconds": round(used, 2),
                    "changes": len(late),
                    "said_ms_median": round(statistics.median(late)),
                    "said_ms_max": round(max(late)),
                },
                TARGETS,
            )
            for (began, ended, used), late in zip(stretches, said, strict=True)
        )
        (_, _, used_before), (_, _, used_after) = stretches
        return {
            "monitors": count,
            "services_on_the_page": SERVICES,
            "seconds": seconds,
            "without_readers": quiet,
            "with_readers": busy,
            "readers": readers,
            "cpu_ms_per_request": round(
                (used_after - used_before) * 1000 / max(1, readers["requests"]), 3
            ),
        }


async def _page(session: aiohttp.ClientSession, base: str, ids: list[str]) -> str:
    """Make the page, with one service more that waits for pings; return their address."""
    beat = {"type": "push", "name": "Beat", "interval_seconds": 3600, "confirmations": 1}
    async with session.post(f"{base}/v1/monitors", json=beat) as answer:
        made: dict[str, str] = (await answer.json())["data"]
    ids = [*ids, made["id"]]
    services = [{"monitor_id": one, "public_name": f"Service {n}"} for n, one in enumerate(ids)]
    spec = {"slug": SLUG, "title": "Bench", "groups": [{"name": "All", "monitors": services}]}
    async with session.post(f"{base}/v1/status-pages", json=spec) as answer:
        body = await answer.json()
        if answer.status != 201:
            raise SystemExit(f"the page was refused: {body}")
    path = urlsplit(made["ping_url"]).path
    async with session.post(base + path) as answer:
        await answer.read()
    return base + path


async def _in_a_process(port: int, rate: int, seconds: int) -> dict[str, Any]:
    """Let the readers be a process of their own, which takes one of the cores."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        "--read",
        str(port),
        "--rate",
        str(rate),
        "--seconds",
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("the readers ended before their time")
    found: dict[str, Any] = json.loads(out)
    return found


def main() -> None:
    """Measure, print what came out, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=1000)
    options.add_argument("--rate", type=int, default=1000, help="requests a second")
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument("--read", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    if chosen.read:
        import uvloop

        uvloop.install()
        print(json.dumps(asyncio.run(read(chosen.read, chosen.rate, chosen.seconds))))
        return
    found = asyncio.run(run(chosen.monitors, chosen.rate, chosen.seconds))
    for name in ("without_readers", "with_readers"):
        row = found[name]
        print(
            f"{name.replace('_', ' ')}: {row['checks_done']}/{row['checks_due']} checks, "
            f"lag median {row['lag_ms_median']} p99 {row['lag_ms_p99']} "
            f"max {row['lag_ms_max']} ms, {row['cpu_seconds']} s CPU; "
            f"{row['changes']} changes said after median {row['said_ms_median']} "
            f"max {row['said_ms_max']} ms"
        )
    readers = found["readers"]
    print(
        f"{readers['requests_per_second']} requests/s, answers median "
        f"{readers['answer_ms_median']} p99 {readers['answer_ms_p99']} ms, "
        f"{found['cpu_ms_per_request']} ms CPU a request, {readers['statuses']}"
    )
    keep(chosen.out, "status", {"interval_seconds": INTERVAL, **found})


if __name__ == "__main__":
    main()
