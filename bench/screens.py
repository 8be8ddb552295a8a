"""The chapters of docs/measured.md about what people look at: pages, and public status pages."""

from __future__ import annotations

from bench.kept import FIGURES, NOT_MEASURED, Kept, Page, amount, several


def pages(page: Page, found: Kept, first: Kept) -> None:
    """How long pages take."""
    page.chapter(
        "Pages",
        "10,000 monitors with 90 days behind them; the time from a request to the end of its",
        "answer, over one connection of somebody who is signed in.",
        command="python bench/pages.py",
    )
    rows = [
        (
            name,
            amount(row.number("first_ms"), "ms"),
            amount(row.number("ms_median"), "ms"),
            page.held(f"{name}, p95", row.number("ms_p95"), row.target("ms_p95"), "ms"),
            amount(row.number("bytes")),
        )
        for name, row in found.items("pages")
    ]
    head = ("", "first time", "median", "p95", "bytes")
    page.table(head, rows or [(NOT_MEASURED, "", "", "", "")])
    goals = {row.target("ms_p95") for _, row in found.items("pages")} - {None}
    if goals:
        page.text(f"The target is {amount(max(goals), 'ms')} (p95).")
    page.text(
        "In a browser with an empty cache, while 10,000 monitors are checked every minute (`python",
        "bench/first_load.py`):",
    )
    rows = [
        (
            name,
            amount(row.number("paint_ms"), "ms"),
            *page.figure(f"{name}, loaded", row, "load_ms", "ms", first.number("target_load_ms"))[
                1:
            ],
            amount(row.number("load_ms_max"), "ms"),
            amount(row.number("wire_kb"), "kB"),
        )
        for name, row in first.items("pages")
    ]
    head = ("", "first paint", "loaded", "target", "slowest", "fetched")
    page.table(head, rows or [(NOT_MEASURED, "", "", "", "", "")])


def status_page(page: Page, found: Kept) -> None:
    """Readers of a public status page."""
    asked = amount(found.number("readers", "requests_per_second"))
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
            page.figure("checks late without readers, p99", quiet, "lag_ms_p99", "ms"),
            page.figure("checks late with readers, p99", busy, "lag_ms_p99", "ms"),
            page.figure("checks missed with readers", busy, "checks_missed"),
            page.figure("until the page says what changed, most", busy, "said_ms_max", "ms"),
        ],
    )
