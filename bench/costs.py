"""The chapters of docs/measured.md about checks: what they cost, and how late they are."""

from __future__ import annotations

from bench.kept import FIGURES, NOT_MEASURED, Kept, Page, amount, bar
from bench.peers import OF_OTHER_KINDS, PEERS, READING

KINDS = ("http", "https", "tcp", "dns", "icmp")
COST_US = {"http": 250, "https": 1300, "tcp": 100, "dns": 120, "icmp": 50}
"""Microseconds of processor time a check, from BUSY checks a second on."""
BUSY = {"http": 10_000, "https": 5_000, "tcp": 10_000, "dns": 10_000, "icmp": 10_000}
"""Monitors at 10 s."""
RSS_MB = {1_000: 100, 10_000: 200}
"""Resident memory by the number of monitors, from source."""
PROMISED = (1_000, 10_000, 30_000)
"""http monitors at 10 s of which is said how late they may be."""
LAG_MS, API_MS, DASHBOARD_MS, LOOP_MS = 50, 50, 300, 5


def _size(row: Kept) -> str:
    monitors, interval = row.number("monitors"), row.number("interval_seconds")
    return f"{row.text('type')}, {amount(monitors)} at {amount(interval)} s"


def cost(page: Page, checks: Kept) -> None:
    """What a check costs, by type and rate."""
    page.chapter(
        "What a check costs",
        "Processor time of the whole process (user and system: scheduling, the check, its verdict,",
        "storing it, and all that goes on beside), over the checks that arrived at the target.",
        "Every check is on a connection of its own. The fewer checks a second, the more each",
        "costs: it wakes the process alone, and finds its memory out of the processor's caches.",
        command="python bench/checks.py",
    )
    rows = []
    for kind in KINDS:
        few = checks.row("rows", type=kind, monitors=100, interval_seconds=10)
        some = checks.row("rows", type=kind, monitors=1_000, interval_seconds=10)
        busy = checks.row("rows", type=kind, monitors=BUSY[kind], interval_seconds=10)
        goal = busy.target("cpu_us_per_check", COST_US[kind])
        pace = BUSY[kind] // 10
        held = page.held(f"{kind}, {pace:,} a second", busy.number("cpu_us_per_check"), goal, "µs")
        rows.append(
            (
                kind,
                amount(few.number("cpu_us_per_check"), "µs"),
                amount(some.number("cpu_us_per_check"), "µs"),
                held,
                amount(goal, "µs"),
            )
        )
    busiest = "1,000 a second (https 500)"
    page.table(("", "10 a second", "100 a second", busiest, "target"), rows)
    slow = checks.row("rows", type="http", monitors=100, interval_seconds=60)
    many = checks.row("rows", type="http", monitors=30_000, interval_seconds=10)
    share = "cpu_percent_of_a_core"
    page.table(
        FIGURES,
        [
            page.line("100 http monitors at 60 s, of a core", slow.number(share), 1, "%"),
            page.line("30,000 http monitors at 10 s, of a core", many.number(share), 100, "%"),
            page.line(
                "30,000 http monitors at 10 s, a check", many.number("cpu_us_per_check"), 250, "µs"
            ),
        ],
    )


def lateness(page: Page, checks: Kept) -> None:
    """How late each check is, and what it takes in memory."""
    page.chapter(
        "How late checks are, and the memory",
        "Lag is the arrival at the target after the slot of a grid that never moves: scheduling,",
        "connecting, TLS and sending together. Due are the slots of all monitors in the time that",
        "was measured; missed are those without a check in their interval. The target of the lag",
        "is 50 ms at the 99th percentile, that of the memory 100 MB with 1,000 monitors and 200 MB",
        "with 10,000.",
        command="python bench/checks.py",
    )
    rows = []
    measured = checks.all("rows")
    for row in measured:
        name, monitors = _size(row), row.number("monitors") or 0
        due, done = row.number("checks_due"), row.number("checks_done")
        gone = None if due is None or done is None else due - done
        # What a bench keeps no target for has none; before they were kept, all had this one.
        goal = row.target("lag_ms_p99", None if row.at("targets") else LAG_MS)
        memory = row.target("rss_mb", RSS_MB.get(int(monitors)))
        rows.append(
            (
                name,
                amount(due),
                page.held(f"{name}, missed", gone, 0),
                amount(row.number("lag_ms_median"), "ms"),
                page.held(f"{name}, lag p99", row.number("lag_ms_p99"), goal, "ms"),
                amount(row.number("lag_ms_max"), "ms"),
                page.held(f"{name}, RSS", row.number("rss_mb"), memory, "MB"),
            )
        )
    there = {_size(row) for row in measured}
    for monitors in PROMISED:
        name = f"http, {monitors:,} at 10 s"
        if name not in there:
            memory = RSS_MB.get(monitors)
            missed = page.held(f"{name}, missed", None, 0)
            lag = page.held(f"{name}, lag p99", None, LAG_MS, "ms")
            rss = page.held(f"{name}, RSS", None, memory, "MB") if memory else ""
            rows.append((name, "", missed, "", lag, "", rss))
    page.table(("", "due", "missed", "lag, median", "p99", "most", "RSS"), rows)


def meanwhile(page: Page, checks: Kept) -> None:
    """What the API, the dashboard and the event loop do while checks run."""
    page.chapter(
        "Pages and the event loop meanwhile",
        "Lists, single monitors, checks, uptime and the dashboard are read one after the other, a",
        "tenth of a second apart, while the checks go on. All checks and answers share one event",
        "loop; its lateness is that of a timer of 10 ms on it. Nothing is to hold it for over 5",
        "ms; what did is in `checks.json` (`on_the_loop_when_late`).",
        command="python bench/checks.py",
    )
    rows = []
    for monitors in (10_000, 30_000):
        row = checks.row("rows", type="http", monitors=monitors, interval_seconds=10)
        name = f"http, {monitors:,} at 10 s"
        first = monitors == 10_000
        api = row.target("api_ms_p99", API_MS if first else None)
        board = row.target("dashboard_ms_max", DASHBOARD_MS if first else None)
        p99, most = row.number("api_ms_p99"), row.number("dashboard_ms_max")
        rows += [
            (f"{name}: API, median", amount(row.number("api_ms_median"), "ms"), ""),
            page.line(f"{name}: API, p99", p99, api, "ms"),
            (f"{name}: dashboard, median", amount(row.number("dashboard_ms_median"), "ms"), ""),
            page.line(f"{name}: dashboard, slowest", most, board, "ms"),
        ]
    page.table(FIGURES, rows)
    ticked = [row for row in checks.all("rows") if row.number("loop_late_ms_p99") is not None]
    late = [
        (
            _size(row),
            page.held(
                f"{_size(row)}, loop late p99", row.number("loop_late_ms_p99"), LOOP_MS, "ms"
            ),
            amount(row.number("loop_late_ms_max"), "ms"),
        )
        for row in ticked
    ]
    name = "http, 10,000 at 10 s"
    if name not in {_size(row) for row in ticked}:
        late.append((name, page.held(f"{name}, loop late p99", None, LOOP_MS, "ms"), ""))
    page.table(("event loop late", "p99", "most"), late)


def peers(page: Page, checks: Kept, disk: Kept) -> None:
    """NetPulse beside others."""
    page.chapter(
        "Beside others",
        "A plain HTTP check on a connection of its own against nginx, everything that the program",
        "needs for it counted.",
        command="python bench/checks.py",
    )
    known = []
    for monitors in (10_000, 1_000):
        row = checks.row("rows", type="http", monitors=monitors, interval_seconds=10)
        known.append(("**NetPulse**", f"{monitors:,} at 10 s", row))
    for targets in (5_000, 1_000):
        row = checks.row("peers", monitors=targets) or checks.row("peers", targets=targets)
        known.append(("Prometheus and the blackbox exporter", f"{targets:,} at 10 s", row))
    most = max(peer.http_ms for peer in PEERS) * 1000
    hot = disk.row("rates", monitors=10_000, interval_seconds=10).number("hot_bytes")
    day = disk.row("days", interval_seconds=10).number("day_bytes")
    stored = f"{amount(hot)}, then {amount(day)}"
    rows = []
    for name, size, row in known:
        used = row.number("cpu_us_per_check")
        rows.append(
            (
                name,
                size,
                amount(used, "µs"),
                "" if used is None else bar(used, most),
                amount(row.number("rss_mb"), "MB"),
                amount(row.number("lag_ms_p99"), "ms"),
                stored if "NetPulse" in name else "",
            )
        )
    head = ("in the same run", "monitors", "a check", "", "RSS", "lag p99", "bytes a check")
    page.table(head, rows)
    said = [each.text() for each in checks.all("peers_versions")]
    if said:
        page.text("Versions: " + "; ".join(each.partition(" (")[0] for each in said) + ".")
    page.text("Measured once, on another machine of the same kind:")
    page.table(
        ("once", *head[1:]),
        [
            (
                peer.name,
                peer.size,
                amount(peer.http_ms * 1000, "µs"),
                bar(peer.http_ms * 1000, most),
                peer.rss,
                peer.lag,
                peer.stored,
            )
            for peer in PEERS
        ],
    )
    others: list[tuple[str, str, str]] = []
    for kind in KINDS[1:]:
        ours = checks.row("rows", type=kind, monitors=BUSY[kind], interval_seconds=10)
        size = f"**NetPulse**, {BUSY[kind]:,} at 10 s"
        others.append((kind, size, amount(ours.number("cpu_us_per_check"), "µs")))
        others += [
            (kind, name, amount(round(ms * 1000), "µs"))
            for of, name, ms in OF_OTHER_KINDS
            if of == kind
        ]
    page.table(("of other types", "", "a check"), others)
    page.text(*READING)


def probes(page: Page, found: Kept) -> None:
    """A check alone, beside the exporter's."""
    page.chapter(
        "A check alone, beside the blackbox exporter",
        "Only the check and its verdict, eight at once, against the same local servers in one run;",
        "the exporter is asked for each check over HTTP, which is how it is used. The last column",
        "leaves out what being asked costs it.",
        command="python bench/probes.py",
    )
    rows = [
        (
            row.text("type"),
            amount(row.number("netpulse", "cpu_us_per_check"), "µs"),
            amount(row.number("blackbox", "cpu_us_per_check"), "µs"),
            amount(row.number("blackbox", "cpu_us_less_asking"), "µs"),
        )
        for row in found.all("rows")
    ]
    head = ("", "NetPulse", "blackbox exporter", "less the asking")
    page.table(head, rows or [(NOT_MEASURED, "", "", "")])
