"""The chapters of docs/measured.md about the disk, reads, pages, starts and endurance."""

from __future__ import annotations

from bench.kept import FIGURES, NOT_MEASURED, Kept, Page, amount, several

EXECUTABLE_MB = 45
START_SECONDS = {"start": 1.5, "start-binary": 2.5}
READS_MS = {"uptime": 5.0, "bars": 150.0, "last 100 checks": 2.0}
READS = {
    "uptime": "uptime of one monitor over 90 days",
    "bars": "the 90-day bars of all monitors",
    "last 100 checks": "the last 100 checks of one monitor",
}
DISK = {
    "hot_bytes": 45,
    "hour_bytes": 6,
    "day_bytes": 5,
    "written_bytes": 200,
    "day_read_ms_p99": 5,
    "loop_late_ms_max": 100,
    "year_raw_gb": 3,
    "year_rollups_gb": 0.4,
}
SOAK_MINUTES, SLOPE_MB, FLAT = 30, 1.0, 1.0
DAY_READS = (
    ("day_page", "a page of 100 checks"),
    ("day_chart", "a chart of 96 points"),
    ("day_counts", "its counts"),
)


def disk(page: Page, found: Kept) -> None:
    """What checks take on the disk, and what is written for them."""
    page.chapter(
        "Room on the disk",
        "Simulated checks of a steady status, whose times spread by a tenth, all phases kept,",
        "through the product's own store. They are appended to the current hour, packed when it is",
        "over (sealed), and packed again by day in the night (merged). Each figure is in bytes a",
        "check.",
        command="python bench/disk.py",
    )
    targets = found.at("targets")

    def goal(key: str) -> float | None:
        kept = targets.number(key)
        return DISK[key] if kept is None else kept

    stored = []
    for each in found.all("rates"):
        name = _rate(each)
        stored.append(
            page.line(f"{name}: current hour", each.number("hot_bytes"), goal("hot_bytes"))
        )
    for each in found.all("days"):
        name = f"every {amount(each.number('interval_seconds'))} s"
        whole = each.number("file_bytes")
        stored += [
            page.line(f"{name}: packed by hour", each.number("hour_bytes"), goal("hour_bytes")),
            page.line(f"{name}: packed by day", each.number("day_bytes"), goal("day_bytes")),
            page.line(f"{name}: by day, with the file's pages", whole, goal("day_bytes")),
        ]
    page.table(("stored", *FIGURES[1:]), stored or [("", NOT_MEASURED, "")])
    wrote = []
    for each in found.all("rates"):
        name = _rate(each)
        parts = ("append", "seal", "merge", "rollup")
        wrote.append(
            (
                name,
                *(amount(each.number(f"{part}_written_bytes")) for part in parts),
                page.held(f"{name}, written", each.number("written_bytes"), goal("written_bytes")),
            )
        )
    head = ("written", "appending", "sealing", "merging", "sums", "all told")
    page.table(head, wrote or [("", NOT_MEASURED, "", "", "", "")])
    page.text(
        f"The target of all that is written is {amount(goal('written_bytes'))} bytes a check."
    )
    year, days = found.at("year"), found.all("days")
    raw, sums = goal("year_raw_gb"), goal("year_rollups_gb")
    page.table(
        ("a year of 1,000 monitors at 60 s", *FIGURES[1:]),
        [
            page.line("raw results", year.number("raw_gb"), raw, "GB"),
            page.line("sums of hours and days", year.number("rollups_gb"), sums, "GB"),
        ],
    )
    if year:
        page.text(f"{year.text('of')}.")
    reads = []
    for each in days:
        checks, monitors = each.number("checks"), each.number("monitors")
        count = each.number("days")
        size = amount(checks // monitors // count) if checks and monitors and count else "?"
        reads += [
            page.line(
                f"{size} checks: {words}, p99",
                each.number(key, "ms_p99"),
                goal("day_read_ms_p99"),
                "ms",
            )
            for key, words in DAY_READS
        ]
    page.table(("a packed day of one monitor", *FIGURES[1:]), reads or [("", NOT_MEASURED, "")])


def _rate(each: Kept) -> str:
    monitors, interval = each.number("monitors"), each.number("interval_seconds")
    return f"{amount(monitors)} at {amount(interval)} s"


def reads(page: Page, found: Kept) -> None:
    """Reads over a quarter."""
    page.chapter(
        "Reads over 90 days",
        "A quarter of 1,000 monitors at one check a minute, read as the API and the pages read it,",
        "while a hundred checks and ten commits a second are written.",
        command="python bench/reads.py",
    )
    rows = []
    for name, words in READS.items():
        row = found.at("reads", name)
        rows += [
            (f"{words}: median", amount(row.number("ms_median"), "ms"), ""),
            page.figure(f"{words}: p99", row, "ms_p99", "ms", READS_MS[name]),
        ]
    page.table(FIGURES, rows)


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


def bombs(page: Page, found: Kept) -> None:
    """What hostile targets cost the others."""
    page.chapter(
        "Hostile targets",
        "20 monitors at endless bodies, bombs of gzip, deflate and brotli, and chunks of one byte,",
        "beside 20 healthy ones: by how much it is worse with them than without, at the 99th",
        "percentile.",
        command="python bench/bombs.py",
    )
    names = {
        "healthy_late_ms": "healthy checks begin later by",
        "healthy_took_ms": "they take longer by",
        "loop_late_ms": "the event loop is later by",
    }
    added = found.at("added")
    rows = []
    for key, words in names.items():
        value = added.number(f"{key}_p99")
        before, after = found.number("without", key, "p99"), found.number("with", key, "p99")
        if value is None and before is not None and after is not None:
            value = round(after - before, 2)
        rows.append(page.line(words, value, added.target(f"{key}_p99"), "ms"))
    rows.append(page.figure("memory grows by at most", found.at("with"), "rss_grown_mb", "MB"))
    page.table(FIGURES, rows)


def start(page: Page, source: Kept, binary: Kept) -> None:
    """From the start of the process to the first check."""
    page.chapter(
        "Start",
        "10,000 monitors, from the start of the process to the arrival of its first check at its",
        "target: restarted at once, and a day later, when no old verdict vouches for anything any",
        "more. The median of several starts.",
        command="python bench/start.py",
    )
    rows: list[tuple[str, str, str]] = []
    for name, words, found in (
        ("start", "from source", source),
        ("start-binary", "the executable", binary),
    ):
        for case in ("restarted at once", "after a day"):
            row = found.at("cases", case)
            goal = found.number("target_seconds") or START_SECONDS[name]
            rows += [
                page.figure(f"{words}, {case}", row, "seconds_median", "s", goal),
                (
                    f"{words}, {case}: fastest, slowest",
                    several("s", row.number("seconds_min"), row.number("seconds_max")),
                    "",
                ),
            ]
    rows.append(page.figure("size of the executable", binary, "executable_mb", "MB", EXECUTABLE_MB))
    page.table(FIGURES, rows)


def soak(page: Page, found: Kept) -> None:
    """Everything in trouble, for long."""
    page.chapter(
        "Endurance",
        "2,000 monitors, half of them at targets that fail in every way, receivers that refuse,",
        "readers and restarts; measured after a warm-up that ends when a full hour was packed. The",
        "slopes are by Theil and Sen: the median of the slopes between all pairs of samples.",
        command="make soak",
    )
    after = found.at("after_warm_up")
    slopes = [
        page.figure(f"{words}, growth an hour", after.at(key), "per_hour", unit, goal)
        for key, words, unit, goal in (
            ("rss_mb", "resident memory", "MB", SLOPE_MB),
            ("descriptors", "descriptors", "", FLAT),
            ("threads", "threads", "", FLAT),
            ("tasks", "tasks", "", FLAT),
            ("malloc_used_mb", "what the C library has handed out", "MB", None),
            ("without_sqlite_mb", "the same without SQLite's part", "MB", None),
        )
    ]
    due, missed = found.number("steady_checks_due"), found.number("steady_checks_missed")
    wrong = len(found.all("wrong")) if found.at("wrong") else None
    load = [after.number("machine_load", part) for part in ("median", "max")]
    page.table(
        FIGURES,
        [
            page.line("minutes measured", found.number("minutes"), SOAK_MINUTES, least=True),
            ("minutes of warm-up", amount(found.number("warm_up_minutes")), ""),
            (
                "resident memory: first, median, most",
                several(
                    "MB", *(after.number("rss_mb", part) for part in ("first", "median", "max"))
                ),
                "",
            ),
            *slopes,
            page.line("things that were wrong at the end", wrong, 0),
            ("checks due, of targets that always answer", amount(due), ""),
            page.line(
                "checks missed, of targets that always answer",
                missed,
                found.target("steady_checks_missed"),
            ),
            ("load of the machine meanwhile: median, most", several("", *load), ""),
        ],
    )
