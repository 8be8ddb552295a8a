"""How long a browser takes for a first load while 10,000 monitors are checked every minute.

    python bench/first_load.py --monitors 10000 --out bench/results

A NetPulse of its own checks a target beside it; headless Chromium opens each page with an empty
cache, as somebody does who has never been there. Everything stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser  # noqa: E402  # the checkout, not an installed copy

from bench import crowd  # noqa: E402
from bench.measure import beside, cpu_seconds, free_port, keep  # noqa: E402
from bench.pages import connect, serving  # noqa: E402
from tests.browser import chrome  # noqa: E402

INTERVAL = 60
TARGET_MS = 1000
SETTLING = 20
"""Seconds until what a start makes up for is behind it."""
PAGES = {"login": "/login", "dashboard": "/dashboard", "monitors": "/monitors", "monitor": ""}
_TIMES = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const parts = performance.getEntriesByType("resource");
    return {
        paint_ms: paint ? paint.startTime : null,
        load_ms: page.loadEventEnd,
        answer_ms: page.responseEnd,
        wire_kb: [page, ...parts].reduce((sum, one) => sum + one.transferSize, 0) / 1000,
    };
}"""


def look(browser: Browser, base: str, path: str, cookie: str) -> dict[str, float]:
    """Open an address with an empty cache and return what the browser measured, in milliseconds
    from the click, and the kilobytes that came."""
    name, _, value = cookie.partition("=")
    context = browser.new_context(viewport=chrome.DESK)  # type: ignore[arg-type]  # a mapping of two numbers
    try:
        if path != "/login":
            context.add_cookies([{"name": name, "value": value, "url": base}])
        page = context.new_page()
        page.goto(base + path, wait_until="load")
        page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        # A page may be whole before the first of it is drawn.
        page.wait_for_function("performance.getEntriesByType('paint').length > 1")
        found: dict[str, float] = page.evaluate(_TIMES)
        return found
    finally:
        context.close()


def run(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure each page `rounds` times, one after the other in turn."""
    data, ledger = folder / "data", folder / "arrivals.json"
    with subprocess.Popen(
        [sys.executable, str(ROOT / "bench" / "target.py"), str(ledger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as target:
        assert target.stdin is not None
        assert target.stdout is not None
        port = int(target.stdout.readline())
        one = asyncio.run(crowd.build(data, count, port=port, interval=INTERVAL))
        web = free_port()
        base = f"http://127.0.0.1:{web}"
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in PAGES}
        with serving(data, web) as pid, chrome.opened() as browser:
            connection, headers = connect(web)
            connection.close()
            time.sleep(SETTLING)
            began, cpu = time.monotonic(), cpu_seconds(pid)
            for _ in range(rounds):
                for name, path in PAGES.items():
                    where = path or f"/monitors/{one}"
                    taken[name].append(look(browser, base, where, headers["Cookie"]))
            seconds = time.monotonic() - began
            used = cpu_seconds(pid) - cpu
        target.stdin.close()
        target.wait(30)
    arrivals = len(json.loads(ledger.read_text()))
    rows = {
        name: beside(
            {kind: round(statistics.median(each[kind] for each in looks), 1) for kind in looks[0]}
            | {"load_ms_max": round(max(each["load_ms"] for each in looks), 1)},
            {"load_ms": TARGET_MS},
        )
        for name, looks in taken.items()
    }
    return {
        "monitors": count,
        "interval_seconds": INTERVAL,
        "rounds": rounds,
        "checks_arrived": arrivals,
        "cores_used_by_netpulse": round(used / seconds, 3),
        "pages": rows,
    }


def main() -> None:
    """Measure, print a table, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--monitors", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    if chrome.program() is None:
        raise SystemExit(chrome.HOW_TO_INSTALL)
    with tempfile.TemporaryDirectory() as name:
        found = run(chosen.monitors, chosen.rounds, Path(name))
    for name, row in found["pages"].items():
        sys.stdout.write(
            f"{name:<12} first paint {row['paint_ms']:>7} ms, loaded {row['load_ms']:>7} ms "
            f"(most {row['load_ms_max']}, target {TARGET_MS}), {row['wire_kb']} kB\n"
        )
    sys.stdout.write(
        f"{found['checks_arrived']} checks arrived, {found['cores_used_by_netpulse']} cores used\n"
    )
    keep(chosen.out, "first_load", found)


if __name__ == "__main__":
    main()
