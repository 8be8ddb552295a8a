"""CPU per check by type, each beside the Prometheus blackbox exporter, in one run.

    python bench/probes.py --checks 2000 --out bench/results

Both check the same local servers, each check on a connection of its own, and their CPU time is
counted by the operating system: for NetPulse that of a process that does nothing but checks (the
probe and its verdict, on uvloop), for the exporter that of its own process, whose checks are asked
for over HTTP because it has no other way. What the asking alone costs it is measured too, with a
target that it refuses before dialling, and taken off in the second figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measure import TIED, cpu_seconds, free_port, keep  # noqa: E402  # the checkout, not an installed copy
from netpulse.egress.connect import Egress  # noqa: E402
from netpulse.model.monitor import TYPES  # noqa: E402
from netpulse.probes import PROBES  # noqa: E402
from netpulse.rules.verdict import judge  # noqa: E402

EXPORTER = "prometheus-blackbox-exporter"
AT_ONCE = 8


@dataclass(frozen=True)
class Kind:
    """One type of check: our monitor and the exporter's module."""

    name: str
    type: str
    target: str
    fields: dict[str, Any] = field(default_factory=dict)
    module: dict[str, Any] | None = None
    exporter_target: str | None = None


def kinds(host: dict[str, Any]) -> list[Kind]:
    """Return what is measured against the host that bench/host.py prints."""
    pem = {"ca_certificate": Path(host["pem"]).read_text()}
    four = {"preferred_ip_protocol": "ip4"}
    tls = {"ca_file": host["pem"]}
    found = [
        Kind(
            "http",
            "http",
            f"http://127.0.0.1:{host['http']}/",
            module={"prober": "http", "http": four},
        ),
        Kind(
            "https",
            "https",
            f"https://localhost:{host['https']}/",
            pem,
            {"prober": "http", "http": {**four, "tls_config": tls}},
        ),
        Kind("tcp", "tcp", f"127.0.0.1:{host['http']}", module={"prober": "tcp", "tcp": four}),
    ]
    # A type that this version has is measured too, where the host can serve it.
    if "ssl" in TYPES:
        module = {"prober": "tcp", "tcp": {**four, "tls": True, "tls_config": tls}}
        place = {**pem, "port": host["https"]}
        found.append(Kind("ssl", "ssl", "localhost", place, module, f"localhost:{host['https']}"))
    if "icmp" in TYPES:
        module = {"prober": "icmp", "icmp": four}
        found.append(Kind("icmp", "icmp", "127.0.0.1", {"packets": 1}, module))
    if "dns" in TYPES:
        place = {"record_type": "A", "nameserver": f"127.0.0.1:{host['dns']}"}
        query = {"query_name": "shop.example", "query_type": "A", **four}
        module = {"prober": "dns", "dns": query}
        found.append(Kind("dns", "dns", "shop.example", place, module, f"127.0.0.1:{host['dns']}"))
    return found


async def ours(kind: Kind, count: int) -> dict[str, Any]:
    """Run `count` checks here and return what one costs."""
    spec = TYPES[kind.type](name="bench", target=kind.target, **kind.fields)
    egress = Egress()
    loop = asyncio.get_running_loop()
    results: dict[str, int] = {}
    message = None

    async def some(number: int) -> None:
        nonlocal message
        for _ in range(number):
            reading = await PROBES[kind.type](spec, loop.time() + 10, egress)
            verdict = judge(spec, reading, now=int(time.time() * 1000))
            results[verdict.result] = results.get(verdict.result, 0) + 1
            message = verdict.message or message

    await some(20)
    results.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some(count // AT_ONCE) for _ in range(AT_ONCE)))
    used, took = time.process_time() - cpu, time.perf_counter() - began
    await egress.close()
    done = sum(results.values())
    return {
        "checks": done,
        "cpu_us_per_check": round(used / done * 1e6, 1),
        "checks_per_second": round(done / took),
        "results": {str(word): number for word, number in results.items()},
        "message": message,
    }


async def theirs(base: str, pid: int, module: str, target: str, count: int) -> dict[str, Any]:
    """Have the exporter run `count` checks and return what one costs it."""
    good = 0
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def some(number: int) -> None:
            nonlocal good
            for _ in range(number):
                query = {"module": module, "target": target}
                async with session.get(f"{base}/probe", params=query) as answer:
                    good += b"probe_success 1" in await answer.read()

        await some(20)
        good = 0
        cpu = cpu_seconds(pid)
        share = count // AT_ONCE
        await asyncio.gather(*(some(share) for _ in range(AT_ONCE)))
        used = cpu_seconds(pid) - cpu
    done = share * AT_ONCE
    return {
        "checks": done,
        "cpu_us_per_check": round(used / done * 1e6, 1),
        "results": {"up": good, "down": done - good},
    }


@contextlib.asynccontextmanager
async def exporter(measured: list[Kind], folder: Path) -> AsyncIterator[tuple[str, int] | None]:
    """Run the exporter; gives its address and process, or None where it is not installed."""
    program = shutil.which(EXPORTER)
    if program is None:
        yield None
        return
    modules = {kind.name: kind.module for kind in measured if kind.module is not None}
    # Fails before it dials: what is left is the asking.
    modules["asking"] = {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4"}}
    config = folder / "modules.json"
    config.write_text(json.dumps({"modules": modules}))
    port = free_port()
    running = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
        [
            *(*TIED, program),
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    await asyncio.sleep(1.5)
    try:
        yield f"http://127.0.0.1:{port}", running.pid
    finally:
        running.terminate()
        running.wait(10)


async def measure(count: int) -> list[dict[str, Any]]:
    """Measure every type and return the rows."""
    rows: list[dict[str, Any]] = []
    asked = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            [sys.executable, str(ROOT / "bench" / "host.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert host.stdout is not None
        assert host.stdin is not None
        try:
            measured = kinds(json.loads(host.stdout.readline()))
            async with exporter(measured, folder) as other:
                if other is not None:
                    asking = await theirs(*other, "asking", "127.0.0.1", count)
                    asked = asking["cpu_us_per_check"]
                for kind in measured:
                    row: dict[str, Any] = {"type": kind.name, "netpulse": await ours(kind, count)}
                    row["blackbox"] = None
                    if other is not None and kind.module is not None:
                        target = kind.exporter_target or kind.target
                        cost = await theirs(*other, kind.name, target, count)
                        less = round(cost["cpu_us_per_check"] - asked, 1)
                        row["blackbox"] = cost | {"cpu_us_less_asking": less}
                    rows.append(row)
                    _show(row)
        finally:
            host.stdin.close()
            host.wait(10)
    return rows


def _show(row: dict[str, Any]) -> None:
    mine, other = row["netpulse"], row["blackbox"]
    line = f"{row['type']:>8}: NetPulse {mine['cpu_us_per_check']:.0f} us CPU a check"
    if other is not None:
        line += (
            f", blackbox exporter {other['cpu_us_per_check']:.0f} us"
            f" ({other['cpu_us_less_asking']:.0f} without being asked)"
        )
    print(line)


def main() -> None:
    """Measure, print a line a type, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checks", type=int, default=2000)
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    rows = uvloop.run(measure(chosen.checks))
    wrong = [
        row["type"]
        for row in rows
        for who in ("netpulse", "blackbox")
        if row[who] and set(_bad(row[who])) - {"up"}
    ]
    if wrong:
        print(f"not all checks were up: {', '.join(wrong)}")
    keep(chosen.out, "probes", {"exporter": _version(), "rows": rows})


def _bad(side: dict[str, Any]) -> list[str]:
    return [word for word, number in side["results"].items() if number]


def _version() -> str | None:
    program = shutil.which(EXPORTER)
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0]


if __name__ == "__main__":
    main()
