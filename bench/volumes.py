"""The chapters of docs/measured.md about the disk, reads, starts and endurance."""

from __future__ import annotations

from bench.kept import FIGURES, Kept, Page, amount, several

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
    "year_raw_gb": 3,
    "year_rollups_gb": 0.4,
}
DISK_RATES = ((1_000, 60), (1_000, 10), (10_000, 10))
"""Monitors, and seconds between their checks."""
DISK_DAYS = (60, 10)
"""Seconds between checks."""
DAY_SECONDS = 86_400
READ_MONITORS, START_MONITORS, SOAK_MONITORS = 1_000, 10_000, 2_000
"""What targets are for: what was measured with fewer is not held against them."""
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

    rates = [found.row("rates", monitors=m, interval_seconds=i) for m, i in DISK_RATES]
    days = [found.row("days", interval_seconds=interval) for interval in DISK_DAYS]
    names = [f"{monitors:,} at {interval} s" for monitors, interval in DISK_RATES]
    stored = [
        page.line(f"{name}: current hour", each.number("hot_bytes"), goal("hot_bytes"))
        for name, each in zip(names, rates, strict=True)
    ]
    for interval, each in zip(DISK_DAYS, days, strict=True):
        name, whole = f"every {interval} s", each.number("file_bytes")
        stored += [
            page.line(f"{name}: packed by hour", each.number("hour_bytes"), goal("hour_bytes")),
            page.line(f"{name}: packed by day", each.number("day_bytes"), goal("day_bytes")),
            page.line(f"{name}: by day, with the file's pages", whole, goal("day_bytes")),
            page.truth(f"{name}: read back exactly as written", each.truth("same_as_written")),
        ]
    page.table(("stored", *FIGURES[1:]), stored)
    wrote = []
    for name, each in zip(names, rates, strict=True):
        parts = ("append", "seal", "merge", "rollup")
        wrote.append(
            (
                name,
                *(amount(each.number(f"{part}_written_bytes")) for part in parts),
                page.held(f"{name}, written", each.number("written_bytes"), goal("written_bytes")),
            )
        )
    head = ("written", "appending", "sealing", "merging", "sums", "all told")
    page.table(head, wrote)
    page.text(
        f"The target of all that is written is {amount(goal('written_bytes'))} bytes a check. What",
        "merging and sums take is measured at one rate, and taken for the others.",
    )
    year = found.at("year")
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
    for interval, each in zip(DISK_DAYS, days, strict=True):
        size = f"{DAY_SECONDS // interval:,} checks"
        reads += [
            page.line(
                f"{size}: {words}, p99",
                each.number(key, "ms_p99"),
                goal("day_read_ms_p99"),
                "ms",
            )
            for key, words in DAY_READS
        ]
        whole = each.number("day_list", "ms_p99")
        reads.append((f"{size}: all of them as a list, p99", amount(whole, "ms"), ""))
    page.table(("a packed day of one monitor", *FIGURES[1:]), reads)
    page.text(
        "A list of a whole day has no target: pages and the API take a hundred checks of it at a",
        "time, and only who turns pages by number has all before them read.",
    )


def reads(page: Page, found: Kept) -> None:
    """Reads over a quarter."""
    page.chapter(
        "Reads over 90 days",
        "A quarter of 1,000 monitors at one check a minute, read as the API and the pages read it,",
        "while a hundred checks and ten commits a second are written.",
        command="python bench/reads.py",
    )
    found = found.of(monitors=READ_MONITORS)
    rows = []
    for name, words in READS.items():
        row = found.at("reads", name)
        rows += [
            (f"{words}: median", amount(row.number("ms_median"), "ms"), ""),
            page.figure(f"{words}: p99", row, "ms_p99", "ms", READS_MS[name]),
        ]
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
            row = found.of(monitors=START_MONITORS).at("cases", case)
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
    found = found.of(monitors=SOAK_MONITORS)
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
    lag = [found.number(f"lag_ms_{part}") for part in ("median", "p99", "max")]
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
                found.target("steady_checks_missed", 0),
            ),
            ("their lag: median, p99, most", several("ms", *lag), ""),
            (
                "times that the machine did not let it run for over 2 s",
                amount(found.number("breaks_of_our_own")),
                "",
            ),
            ("load of the machine meanwhile: median, most", several("", *load), ""),
        ],
    )
