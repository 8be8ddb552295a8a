"""How long the pages take at 10,000 monitors with 90 days behind them.

    python bench/pages.py --monitors 10000 --out bench/results

A server process of its own on a generated data directory; every address is fetched again and again
over one connection, by somebody who is signed in. Measured from outside: from the request to the
end of the answer, and the CPU time of the process by the operating system's count, which other work
on the machine disturbs less. Everything stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import crowd  # noqa: E402  # the checkout, not an installed copy
from bench.measure import TIED, beside, cpu_seconds, end, free_port, keep, percentile  # noqa: E402

RESTING = 86_400
"""Seconds between the checks of a monitor: while pages are measured, hardly any is made."""
PAGE_MS = 50
"""Server time of each page."""
WARM = 3


def addresses(monitor_id: str) -> dict[str, str]:
    """Return what is measured, by name."""
    one = f"/monitors/{monitor_id}"
    return {
        "dashboard": "/dashboard",
        "dashboard: what is wrong": "/dashboard?part=problems",
        "dashboard: figures": "/dashboard?part=figures",
        "monitors": "/monitors",
        "monitors: by name, page 400": "/monitors?sort=name&page=400",
        "monitors: search": "/monitors?q=office+09",
        "monitors: search without a find": "/monitors?q=nowhere",
        "monitors: status, type, tag and group": "/monitors?"
        "status=up&type=http&tag=prod&group=Customer+03",
        "monitors: slowest first": "/monitors?sort=-response_time_ms",
        "monitors: worst uptime first": "/monitors?sort=uptime_24h",
        "monitors: last change first": "/monitors?sort=-status_since",
        "monitor": one,
        "monitor: chart of 1 h": f"{one}/chart.json?period=1h",
        "monitor: chart of 24 h": f"{one}/chart.json?period=24h",
        "monitor: chart of 90 days": f"{one}/chart.json?period=90d",
        "monitor: all checks": f"{one}/checks",
        "incidents": "/incidents",
        "alerts": "/alerts",
        "new monitor": "/monitors/new",
        "incidents: search": "/incidents?q=customer",
        "maintenance": "/maintenance",
        "status pages": "/status-pages",
        "clients": "/clients",
        "settings: organization": "/settings/organization",
        "settings: members": "/settings/members",
        "settings: clients": "/settings/clients",
        "settings: security": "/settings/security",
        "settings: API keys": "/settings/api-keys",
        "settings: audit log": "/settings/audit",
        "settings: retention": "/settings/retention",
        "settings: about": "/settings/about",
        "profile": "/profile",
        "profile: sessions": "/profile/sessions",
    }


@contextmanager
def serving(data: Path, port: int) -> Iterator[int]:
    """Run the server; yields its process id."""
    server = subprocess.Popen(
        [
            *(*TIED, sys.executable, "-m", "netpulse"),
            *("serve", "--data", str(data), "--port", str(port)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"NETPULSE_LIMITS_REQUESTS_PER_MINUTE": "0"},
    )
    try:
        yield server.pid
    finally:
        end(server)


def connect(port: int) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """Wait for the server, sign in, and return a connection with what a browser would send."""
    form = urlencode({"email": crowd.EMAIL, "password": crowd.PASSWORD})
    deadline = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(
                "POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"}
            )
            answer = connection.getresponse()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            continue
        answer.read()
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        if answer.status != 303 or not cookie:
            raise SystemExit(f"nobody is let in: {answer.status}")
        return connection, {"Cookie": cookie}


def fetch(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> int:
    """Fetch an address and return the bytes of its body."""
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}: {body[:300]!r}")
    return len(body)


def measure(
    connection: http.client.HTTPConnection,
    path: str,
    headers: dict[str, str],
    rounds: int,
    pid: int,
) -> dict[str, Any]:
    """Return the figures of one address."""
    began = time.perf_counter()
    size = fetch(connection, path, headers)
    first = (time.perf_counter() - began) * 1000
    for _ in range(WARM):
        fetch(connection, path, headers)
    took = []
    cpu = cpu_seconds(pid)
    for _ in range(rounds):
        began = time.perf_counter()
        fetch(connection, path, headers)
        took.append((time.perf_counter() - began) * 1000)
    used = (cpu_seconds(pid) - cpu) * 1000 / rounds
    figures = {
        "path": path,
        "first_ms": round(first, 1),
        "ms_median": round(statistics.median(took), 1),
        "ms_p95": round(percentile(took, 0.95), 1),
        "cpu_ms": round(used, 1),
        "bytes": size,
    }
    return beside(figures, {"ms_p95": PAGE_MS})


def run(count: int, rounds: int, data: Path, names: list[str]) -> dict[str, Any]:
    """Measure every page at `count` monitors. A data directory that is filled is taken as it is."""
    ledger = data.with_name(data.name + ".id")
    if not ledger.exists():
        began = time.perf_counter()
        ledger.write_text(asyncio.run(crowd.build(data, count, port=free_port(), interval=RESTING)))
        sys.stdout.write(f"{count} monitors made in {time.perf_counter() - began:.0f} s\n")
    port = free_port()
    rows = {}
    with serving(data, port) as pid:
        connection, headers = connect(port)
        # What was loaded at the start is checked once, and the months are looked over.
        time.sleep(5)
        for name, path in addresses(ledger.read_text()).items():
            if names and not any(each in name for each in names):
                continue
            row = rows[name] = measure(connection, path, headers, rounds, pid)
            sys.stdout.write(
                f"{name:<40} median {row['ms_median']:>7} ms, p95 {row['ms_p95']:>7} ms "
                f"(target {PAGE_MS}), "
                f"CPU {row['cpu_ms']:>6} ms, first {row['first_ms']:>7} ms, {row['bytes']} bytes\n"
            )
            sys.stdout.flush()
    return {"monitors": count, "rounds": rounds, "pages": rows}


def main() -> None:
    """Measure, print a table, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--only", nargs="*", default=[], help="pages with these words in the name")
    options.add_argument("--data", type=Path, help="keep what was generated here, and use it again")
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = chosen.data or Path(name) / "data"
        found = run(chosen.monitors, chosen.rounds, data, chosen.only)
    keep(chosen.out, "pages", found, data=chosen.data)


if __name__ == "__main__":
    main()
