"""The chapters of docs/measured.md about much at once: handshakes, overload, the night."""

from __future__ import annotations

from bench.kept import FIGURES, Kept, Page, amount, several, written

OVERLOADED_API_MS = 200
OVERLOADING, HOUSEKEEPING = 24_000, 10_000
"""Monitors that targets are for: what was measured with fewer is not held against them."""
API_MS, FEWEST_ANSWERS = 50, 100
"""The API's p99 beside housekeeping, and of how many answers one is said."""
BOMBED = 50
"""Milliseconds by which bombs may delay others, and megabytes that they may take."""
MORE_LATE_MS = 100
"""By which keeping house may delay a check."""
MORE_RSS_MB = 30
"""By which the executable may take more than the source."""
SIZES = (1_000, 10_000)
JOBS = {
    "quiet before": "nothing, before",
    "retention": "old months are deleted",
    "seal": "an hour is packed",
    "rollups": "the sums of the hour",
    "unlink": "the hour's file is deleted",
    "merge": "a day is merged",
    "fold": "the sums of a day",
    "quiet after": "nothing, afterwards",
}


def second_core(page: Page, checks: Kept) -> None:
    """More handshakes than one core can do."""
    page.chapter(
        "More handshakes than one core can do",
        "An https check is a TLS handshake and little else. Past what the event loop can do alone,",
        "a thread shakes hands on the other core ([how](performance.md#tls)); the far side needs a",
        "share of it here. Checks begin a little late before it does.",
        command="python bench/checks.py",
    )
    rows = [row for row in checks.all("rows") if row.number("at_least", "cpu_percent_of_a_core")]
    row = rows[0] if rows else Kept()
    used = "cpu_percent_of_a_core"
    least = row.number("at_least", used) or 100
    table = [
        page.line("processor time, of a core", row.number(used), least, "%", least=True),
        ("processor time a check", amount(row.number("cpu_us_per_check"), "µs"), ""),
        ("the far side, of a core", amount(row.number("far_side_percent_of_a_core"), "%"), ""),
        ("the machine, idle", amount(row.number("machine_idle_percent"), "%"), ""),
        ("checks due", amount(row.number("checks_due")), ""),
        page.figure("checks missed", row, "checks_missed", "", 0),
        ("lag: median, p99, most", _lag(row), ""),
        ("RSS", amount(row.number("rss_mb"), "MB"), ""),
    ]
    if row:
        size = f"{amount(row.number('monitors'))} at {amount(row.number('interval_seconds'))} s"
        table.insert(0, ("https monitors", size, ""))
    page.table(FIGURES, table)
    threads = [
        f"{name} {written(share.number() or 0)} %"
        for name, share in row.items("threads_percent_of_a_core")
    ]
    if threads:
        page.text(f"By thread, of a core: {'; '.join(threads)}.")


def _lag(row: Kept) -> str:
    return several("ms", *(row.number(f"lag_ms_{part}") for part in ("median", "p99", "max")))


def overload(page: Page, found: Kept) -> None:
    """More than the process can do."""
    size = f"{amount(found.number('monitors'))} monitors" if found else "Monitors"
    page.chapter(
        "More than it can do",
        f"{size} fetch 256 KiB every 10 s and look for a word at the end, which is more than",
        "one core can do. A check is late by the time since it was due, as seen at its target.",
        "Nothing may be stacked (two checks of a monitor at once), and nobody called down for our",
        "own lateness.",
        command="python bench/overload.py",
    )
    found = found.of(monitors=OVERLOADING)
    failing = found.number("failing") or 20
    ready = [each.text("readyz_status") for each in found.all("said")]
    says_so = all(each == "not ready" for each in ready) if ready else None
    down = [each.number() or 0 for _, each in found.items("wrongly_down")]
    wrong = sum(down) if found.at("wrongly_down") else None
    after = [found.number(f"found_down_after_seconds_{part}") for part in ("median", "max")]
    parts = [each.number() or 0 for _, each in found.items("time_of_steady", "seconds")]
    unknown = found.number("time_of_steady", "seconds", "unknown")
    share = None if unknown is None or not sum(parts) else round(unknown / sum(parts) * 100, 1)
    times = [found.number(f"checks_of_a_monitor_{part}") for part in ("fewest", "median", "most")]
    late = [found.number(f"late_seconds_{part}") for part in ("median", "p99", "max")]
    means = [found.number(f"mean_late_seconds_of_a_monitor_{part}") for part in ("p10", "p90")]
    grown = [found.number(f"rss_mb_{part}") for part in ("first", "last")]
    board = [found.number(f"dashboard_ms_{part}") for part in ("median", "max")]
    page.table(
        FIGURES,
        [
            ("checks asked for a second", amount(found.number("asked_per_second")), ""),
            ("checks made a second", amount(found.number("done_per_second")), ""),
            ("processor time, of a core", amount(found.number("cpu_percent_of_a_core"), "%"), ""),
            ("late: median, p99, most", several("s", *late), ""),
            ("late, the mean of a monitor: p10, p90", several("s", *means), ""),
            ("checks of a monitor: fewest, median, most", several("", *times), ""),
            page.figure("monitors not checked at all", found, "monitors_not_checked", "", 0),
            page.figure("stacked", found, "stacked", "", 0),
            page.line(
                f"found down meanwhile, of {amount(failing)} that fail",
                found.number("found_down"),
                failing,
                least=True,
            ),
            page.truth("`/readyz` says not ready all the time", says_so),
            ("found after: median, most", several("s", *after), ""),
            page.line("called down though they answer", wrong, 0),
            ("time of those that answer that is unknown", amount(share, "%"), ""),
            page.line("called degraded though they answer", found.number("states", "degraded"), 0),
            page.figure(
                "accounts of time that do not add up",
                found.at("time_of_steady"),
                "do_not_add_up",
                "",
                0,
            ),
            page.figure("API, p99", found, "api_ms_p99", "ms", OVERLOADED_API_MS),
            ("dashboard: median, slowest", several("ms", *board), ""),
            ("RSS: first, last", several("MB", *grown), ""),
        ],
    )
    said = found.all("said")
    last = said[-1] if said else Kept()
    page.text("What the product says of its last minute, beside what came to the targets in it:")
    page.table(
        ("", "measured", "`/readyz`", "the dashboard"),
        [
            (
                "usually late by",
                amount(last.number("measured_p50_seconds"), "s"),
                amount(last.number("readyz_p50_seconds"), "s"),
                amount(last.number("page_usual_seconds"), "s"),
            ),
            (
                "99 % less than",
                amount(last.number("measured_p99_seconds"), "s"),
                amount(last.number("readyz_p99_seconds"), "s"),
                amount(last.number("page_most_seconds"), "s"),
            ),
            (
                "checks left out",
                amount(last.number("measured_left_out")),
                amount(last.number("readyz_left_out")),
                amount(last.number("page_left_out")),
            ),
        ],
    )


def peak(page: Page, found: Kept) -> None:
    """Keeping house while checks run."""
    hour = amount(found.number("hour_checks")) if found else "3,600,000"
    pace = amount(found.number("checks_a_second")) if found else "1,000"
    found = found.of(monitors=HOUSEKEEPING)
    page.chapter(
        "Keeping house at peak",
        f"{pace} checks a second, while an hour of {hour} checks is packed, its sums are made,",
        "a finished day is merged and months older than what is kept are deleted. Compared is the",
        "latest check of the time in which any of it goes on with the latest of the quiet before",
        "and after.",
        command="python bench/peak.py",
    )
    page.table(
        FIGURES,
        [
            page.figure(
                "the latest check is later by", found, "more_late_ms_max", "ms", MORE_LATE_MS
            ),
            page.figure("99 % of checks are later by at most", found, "more_late_ms_p99", "ms"),
            page.figure("checks missed", found, "checks_missed", "", 0),
            ("RSS, most", amount(found.number("rss_mb_max"), "MB"), ""),
        ],
    )
    rows = []
    for what, name in JOBS.items():
        row = found.row("stretches", what=what)
        answers = row.number("api_requests")
        few = answers is not None and answers < FEWEST_ANSWERS
        api = page.held(f"{name}, API p99", row.number("api_ms_p99"), None if few else API_MS, "ms")
        rows.append(
            (
                name,
                amount(row.number("seconds"), "s"),
                amount(row.number("checks_due")),
                _lag(row),
                several("ms", row.number("loop_late_ms_p99"), row.number("loop_late_ms_max")),
                f"{api} (of {amount(answers)})" if few else api,
                amount(row.number("rss_mb"), "MB"),
            )
        )
    head = (
        "meanwhile",
        "took",
        "checks due",
        "lag: median, p99, most",
        "loop late: p99, most",
        "API p99",
        "RSS",
    )
    page.table(head, rows)
    page.text(
        f"The target of the API is {amount(API_MS, 'ms')}, where it gave {FEWEST_ANSWERS} answers",
        "at least.",
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
        rows.append(page.line(words, value, added.target(f"{key}_p99", BOMBED), "ms"))
    rows.append(
        page.figure("memory grows by at most", found.at("with"), "rss_grown_mb", "MB", BOMBED)
    )
    page.table(FIGURES, rows)


def executable(page: Page, found: Kept) -> None:
    """The executable beside the source."""
    page.chapter(
        "The executable beside the source",
        "The same monitors, one right after the other in one run. The executable is two processes:",
        "one unpacked the other.",
        command="python bench/checks.py --binary dist/netpulse",
    )
    rows: list[tuple[str, ...]] = []
    for monitors in SIZES:
        row = found.row("rows", type="http", monitors=monitors, interval_seconds=10)
        goal = row.target("more_rss_mb", MORE_RSS_MB)
        name = f"http, {monitors:,} at 10 s"
        rows.append(
            (
                name,
                amount(row.number("source", "rss_mb"), "MB"),
                amount(row.number("executable", "rss_mb"), "MB"),
                page.held(f"{name}, RSS more", row.number("more_rss_mb"), goal, "MB"),
                amount(goal, "MB"),
                amount(row.number("source", "cpu_us_per_check"), "µs"),
                amount(row.number("executable", "cpu_us_per_check"), "µs"),
            )
        )
    head = ("", "RSS, source", "executable", "more", "target", "a check, source", "executable")
    page.table(head, rows)
