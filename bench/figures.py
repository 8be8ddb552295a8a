"""Write docs/measured.md: every figure that benches have kept, beside its target.

    python bench/figures.py

Nothing is measured: the page is made of bench/results alone, and the same results give the same
page.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import costs, screens, storms, strains, volumes  # noqa: E402  # the checkout, not an installed copy
from bench.kept import MET, MISSED, NOT_MEASURED, Kept, Page, amount, linked, wrapped  # noqa: E402

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "measured.md"
FILES = (
    "checks",
    "checks-binary",
    "probes",
    "alerts",
    "overload",
    "disk",
    "peak",
    "reads",
    "pages",
    "first_load",
    "status",
    "bombs",
    "start",
    "start-binary",
    "soak",
)
TERMS = (
    (
        "CPU, processor time",
        "user and system time of the whole process by the operating system's count",
    ),
    ("µs, ms", "a millionth and a thousandth of a second"),
    (
        "RSS",
        "resident memory: what the process has of the machine's, shared libraries included",
    ),
    ("median, p95, p99", "of all values, half, 95 % and 99 % are not above it"),
    ("lag", "how much later than planned a check arrived at its target"),
    ("event loop", "the one thread in which checks begin and end, and requests are answered"),
    ("of a core", "100 % is one processor core, all the time"),
    ("MB, GB", "1,000,000 and 1,000,000,000 bytes"),
    (MET, "within its target"),
    (f"**{MISSED}**", "outside of its target"),
    (NOT_MEASURED, "no bench has kept it"),
)


def machines(page: Page, kept: dict[str, Kept]) -> None:
    """Say what the figures were measured on, and when."""
    page.chapter(
        "The machine",
        "Each bench keeps what it ran on, and of what: digits behind the version that differ are",
        "those of programs that do. The load is that of the minute before it began. Of the first",
        "bench of a run it is the work of others, and figures of time say less where it is much",
        "above 0; of a later one the bench before is in it.",
    )
    of = {_program(each) for each in kept.values() if each}
    if len(of) > 1 or "" in of:
        page.text("Not all of it is known to be of one program: compare within one file.")
    rows = []
    for name in FILES:
        found, on = kept[name], kept[name].at("machine")
        load = on.at("load_before").all()
        rows.append(
            (
                f"`{name}.json`",
                found.text("measured_at").replace("T", " ").removesuffix("Z") or NOT_MEASURED,
                f"`{found.text('command')}`" if found else "",
                f"{amount(on.number('cores'))} x {on.text('processor')}" if on else "",
                amount(on.number("memory_mb"), "MB") if on.number("memory_mb") else "",
                " ".join(
                    each
                    for each in (on.text("system"), on.text("kernel"), on.text("file_system"))
                    if each
                ),
                on.text("python"),
                _program(found),
                amount(load[0].number()) if load else "",
            )
        )
    head = (
        "",
        "measured (UTC)",
        "by",
        "processor",
        "memory",
        "system",
        "Python",
        "NetPulse",
        "load",
    )
    page.table(head, rows)


def _program(found: Kept) -> str:
    """Return what was measured, as far as it was kept."""
    return f"{found.text('program', 'version')} {found.text('program', 'sources')}".strip()


def made(results: Path = RESULTS) -> str:
    """Return the page that is made of a directory of results."""
    kept = {name: Kept.read(results / f"{name}.json") for name in FILES}
    page = Page()
    costs.cost(page, kept["checks"])
    costs.lateness(page, kept["checks"])
    costs.meanwhile(page, kept["checks"])
    costs.peers(page, kept["checks"], kept["disk"])
    costs.probes(page, kept["probes"])
    strains.second_core(page, kept["checks"])
    storms.alerts(page, kept["alerts"])
    strains.overload(page, kept["overload"])
    volumes.disk(page, kept["disk"])
    strains.peak(page, kept["peak"])
    volumes.reads(page, kept["reads"])
    screens.pages(page, kept["pages"], kept["first_load"])
    screens.status_page(page, kept["status"])
    strains.bombs(page, kept["bombs"])
    volumes.start(page, kept["start"], kept["start-binary"])
    strains.executable(page, kept["checks-binary"])
    volumes.soak(page, kept["soak"])
    machines(page, kept)
    return "\n".join([*head(page), *page.lines]).rstrip("\n") + "\n"


def head(page: Page) -> list[str]:
    """Return the page's beginning: what it is, its terms, and how figures and targets compare."""
    lines = [
        "# What was measured",
        "",
        "<!-- Written by `make figures` from bench/results: change bench/figures.py, not this. -->",
        "",
        *wrapped(
            "Every figure that `make bench` and `make soak` have kept in `bench/results`, beside",
            "its target. `make figures` writes this page anew, as both do at their end.",
            "[Benchmarks](../bench/README.md) says how each is measured,",
            "[Performance](performance.md) why it is so.",
        ),
        "",
        " ·\n".join(linked(each) for each in page.chapters),
        "",
        f"Of {page.met + len(page.missed)} figures with a target, {page.met} are within it.",
    ]
    for words, some in (("These miss it:", page.missed), ("These are not measured:", page.missing)):
        if some:
            lines += ["", words, "", *(f"- {each}" for each in some)]
    lines += ["", "| word | what it means here |", "|---|---|"]
    lines += [f"| {word} | {meaning} |" for word, meaning in TERMS]
    return [*lines, ""]


def main() -> None:
    """Write the page, and say what is on it."""
    text = made()
    PAGE.write_text(text, "utf-8")
    summary = next(line for line in text.splitlines() if line.startswith("Of "))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {summary}\n")


if __name__ == "__main__":
    main()
