"""The chapters of docs/measured.md about what people look at: pages, and public status pages."""

from __future__ import annotations

from bench.kept import FIGURES, Kept, Page, amount, several

MONITORS, STATUS_MONITORS = 10_000, 1_000
"""What targets are for: what was measured with fewer is not held against them."""
PAGE_MS, LOAD_MS = 50, 1_000
STATUS = {"lag_ms_p99": 50, "checks_missed": 0, "said_ms_max": 5_000}
LOADED = ("login", "dashboard", "monitors", "monitor")


def pages(page: Page, found: Kept, first: Kept) -> None:
    """How long pages take."""
    page.chapter(
        "Pages",
        "10,000 monitors with 90 days behind them; the time from a request to the end of its",
        "answer, over one connection of somebody who is signed in.",
        command="python bench/pages.py",
    )
    found, first = found.of(monitors=MONITORS), first.of(monitors=MONITORS)
    rows: list[tuple[str, ...]] = [
        (
            name,
            amount(row.number("first_ms"), "ms"),
            amount(row.number("ms_median"), "ms"),
            page.held(f"{name}, p95", row.number("ms_p95"), row.target("ms_p95", PAGE_MS), "ms"),
            amount(row.number("bytes")),
        )
        for name, row in found.items("pages")
    ]
    head = ("", "first time", "median", "p95", "bytes")
    if not rows:
        rows = [("", "", "", page.held("every page, p95", None, PAGE_MS, "ms"), "")]
    page.table(head, rows)
    page.text(f"The target is {amount(PAGE_MS, 'ms')} (p95).")
    page.text(
        "In a browser with an empty cache, while 10,000 monitors are checked every minute (`python",
        "bench/first_load.py`):",
    )
    rows = []
    for name in LOADED:
        row = first.at("pages", name)
        loaded = page.figure(f"{name}, loaded", row, "load_ms", "ms", LOAD_MS)
        rows.append(
            (
                name,
                amount(row.number("paint_ms"), "ms"),
                *loaded[1:],
                amount(row.number("load_ms_max"), "ms"),
                amount(row.number("wire_kb"), "kB"),
            )
        )
    page.table(("", "first paint", "loaded", "target", "slowest", "fetched"), rows)


def status_page(page: Page, found: Kept) -> None:
    """Readers of a public status page."""
    found = found.of(monitors=STATUS_MONITORS)
    asked = amount(found.number("readers", "requests_per_second")) if found else "1,000"
    page.chapter(
        "Readers of a status page",
        f"A public page with 50 services is asked for {asked} times a second, while 1,000",
        "monitors are checked every 10 s.",
        command="python bench/status.py",
    )
    quiet, busy = found.at("without_readers"), found.at("with_readers")
    readers = found.at("readers")
    page.table(
        FIGURES,
        [
            ("processor time a request", amount(found.number("cpu_ms_per_request"), "ms"), ""),
            (
                "an answer: median, p99, most",
                several(
                    "ms",
                    *(readers.number(f"answer_ms_{part}") for part in ("median", "p99", "max")),
                ),
                "",
            ),
            *(
                page.figure(words, row, key, unit, STATUS[key])
                for words, row, key, unit in (
                    ("checks late without readers, p99", quiet, "lag_ms_p99", "ms"),
                    ("checks late with readers, p99", busy, "lag_ms_p99", "ms"),
                    ("checks missed without readers", quiet, "checks_missed", ""),
                    ("checks missed with readers", busy, "checks_missed", ""),
                    ("until the page says what changed, most", busy, "said_ms_max", "ms"),
                )
            ),
        ],
    )
