"""docs/measured.md is what was kept of the benches: all of it, and what misses its target marked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import (
    alerts,
    checks,
    costs,
    disk,
    pages,
    reads,
    screens,
    soak,
    start,
    status,
    storms,
    volumes,
)
from bench.figures import FILES, PAGE, RESULTS, made
from bench.kept import Kept, amount, bar

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_of_what_was_kept() -> None:
    assert PAGE.read_text("utf-8") == made(), "write it anew: make figures"


def test_every_file_of_results_is_on_it() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(FILES)


def test_what_was_kept_can_be_measured_again() -> None:
    named = set(re.findall(r"`python bench/(\w+)\.py", made()))
    assert len(named) > 8
    gone = [each for each in named if not (ROOT / "bench" / f"{each}.py").is_file()]
    assert [each for each in gone if (RESULTS / f"{each}.json").is_file()] == []


def test_what_misses_its_target_is_marked_and_told_at_the_top(tmp_path: Path) -> None:
    kept = json.loads((RESULTS / "checks.json").read_text("utf-8"))
    for row in kept["rows"]:
        row["cpu_us_per_check"] = 38
    (tmp_path / "checks.json").write_text(json.dumps(kept))
    assert "icmp | 38 µs | 38 µs | 38 µs ✓ | 50 µs |" in made(tmp_path)
    for row in kept["rows"]:
        row["cpu_us_per_check"] = 51
    (tmp_path / "checks.json").write_text(json.dumps(kept))
    page = made(tmp_path)
    assert "icmp | 51 µs | 51 µs | **51 µs, missed** | 50 µs |" in page
    told = (
        "- [What a check costs](#what-a-check-costs): icmp, 1,000 a second, 51 µs (at most 50 µs)"
    )
    assert told in page.partition("## ")[0].splitlines()


def test_what_is_not_there_is_said_not_to_be_measured(tmp_path: Path) -> None:
    page = made(tmp_path)
    assert "Of 0 figures with a target, 0 are within it." in page
    assert "| icmp | not measured | not measured | not measured | 50 µs |" in page
    first = page.partition("## ")[0].splitlines()
    assert "- [Start](#start): size of the executable (at most 45 MB)" in first
    assert "None" not in page
    assert "nan" not in page


def _chapters(page: str) -> dict[str, str]:
    return {
        title: text for title, _, text in (each.partition("\n") for each in page.split("\n## "))
    }


def test_no_chapter_with_targets_is_empty_in_silence(tmp_path: Path) -> None:
    held = {
        title
        for title, text in list(_chapters(made()).items())[1:]
        if re.search(r" ✓| missed[*]", text)
    }
    assert len(held) > 12
    first = made(tmp_path).partition("\n## ")[0]
    assert {title for title in held if f"- [{title}](#" not in first} == set()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("start", "from source, restarted at once (at most 1.5 s)"),
        ("reads", "the 90-day bars of all monitors: p99 (at most 150 ms)"),
        ("pages", "every page, p95 (at most 50 ms)"),
        ("first_load", "login, loaded (at most 1,000 ms)"),
        ("status", "checks late with readers, p99 (at most 50 ms)"),
        ("soak", "resident memory, growth an hour (at most 1 MB)"),
    ],
)
def test_what_was_tried_on_less_meets_no_target(name: str, says: str, tmp_path: Path) -> None:
    kept = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert says not in made()
    (tmp_path / f"{name}.json").write_text(json.dumps(kept | {"monitors": 10}))
    assert says in made(tmp_path).partition("\n## ")[0]


def test_a_small_storm_meets_no_target(tmp_path: Path) -> None:
    kept = json.loads((RESULTS / "alerts.json").read_text("utf-8"))
    for row in kept["rows"]:
        row["others"]["monitors"] = 100
    (tmp_path / "alerts.json").write_text(json.dumps(kept))
    first = made(tmp_path).partition("\n## ")[0]
    assert "- [Alerts](#alerts): 1,000 up, 1 receiver, the last notice (at most 1,000 ms)" in first


def test_the_page_and_the_benches_have_the_same_targets() -> None:
    assert (costs.COST_US, costs.RSS_MB) == (checks.TARGET_US, checks.RSS_MB)
    ours = (costs.LAG_MS, costs.API_MS, costs.DASHBOARD_MS)
    assert ours == (checks.LAG_P99_MS, checks.API_P99_MS, checks.DASHBOARD_MS)
    assert ours == (storms.LAG_MS, storms.API_MS, storms.DASHBOARD_MS)
    assert storms.WIRE_MS == alerts.WIRE_MS
    assert volumes.DISK == disk.TARGETS
    assert volumes.READS_MS == reads.TARGETS
    starts = {"start": start.TARGET_SOURCE, "start-binary": start.TARGET_BINARY}
    assert (starts, start.EXECUTABLE_MB) == (volumes.START_SECONDS, volumes.EXECUTABLE_MB)
    assert {name: each / 10 for name, each in costs.BUSY.items()} == checks.BUSY
    assert screens.STATUS == status.TARGETS
    assert (screens.PAGE_MS, volumes.SLOPE_MB) == (pages.PAGE_MS, soak.MOST_SLOPE)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_kept_is_held_against_what_is_promised_today(path: Path) -> None:
    """Targets are kept with figures: one that was softer then would be met for ever."""
    none = ("checks_missed", "repeated", "not_told", "stacked", "wrongly_down")
    none += ("monitors_not_checked", "steady_checks_missed")
    delays = ("healthy_late_ms_p99", "healthy_took_ms_p99", "loop_late_ms_p99")
    promised: dict[str, tuple[float, ...]] = dict.fromkeys(none, (0,))
    promised |= dict.fromkeys(delays, (50,))
    promised |= {name: (each,) for name, each in (disk.TARGETS | status.TARGETS).items()}
    promised |= {
        "cpu_us_per_check": tuple(checks.TARGET_US.values()),
        "cpu_percent_of_a_core": (1,),
        "api_ms_p99": (50, 200),
        "dashboard_ms_max": (300,),
        "confirming_answer_to_wire_ms_max": (1_000,),
        "first_message_ms": (1_000,),
        "rss_mb": (100, 200),
        "rss_grown_mb": (50,),
        "more_rss_mb": (30,),
        "more_late_ms_max": (100,),
        "ms_p95": (50,),
        "ms_p99": (5, 150, 2),
        "load_ms": (1_000,),
        "seconds_median": (1.5, 2.5),
        "executable_mb": (45,),
        "per_hour": (1,),
    }

    def walk(found: object) -> None:
        if isinstance(found, dict):
            for key, value in found.get("targets", {}).items():
                assert value in promised[key], key
            for each in found.values():
                walk(each)
        elif isinstance(found, list):
            for each in found:
                walk(each)

    walk(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("name", FILES)
def test_any_file_may_be_missing(name: str, tmp_path: Path) -> None:
    for path in RESULTS.glob("*.json"):
        if path.stem != name:
            shutil.copy(path, tmp_path)
    assert f"| `{name}.json` | not measured |" in made(tmp_path)


def test_values_that_say_nothing_are_none() -> None:
    kept = Kept(json.loads('{"late": NaN, "yes": true, "empty": null, "deep": {"text": "a"}}'))
    for key in ("late", "yes", "empty", "deep", "missing"):
        assert kept.number(key) is None
    assert kept.number("deep", "text", "further") is None
    assert kept.text("deep", "text") == "a"
    assert kept.target("late") is None


def test_figures_are_written_as_people_read_them() -> None:
    said = [
        amount(each, "ms") for each in (1234567, 1234.5, 123.45, 12.345, 0.398, 9.0, -4.64, None)
    ]
    assert said == [
        "1,234,567 ms",
        "1,234 ms",
        "123.5 ms",
        "12.345 ms",
        "0.398 ms",
        "9 ms",
        "-4.64 ms",
        "not measured",
    ]


def test_bars_are_as_long_as_what_they_show() -> None:
    assert [bar(each, 100, 4) for each in (100, 50, 53, 1)] == ["████", "██", "██▏", "▏"]


def test_round_figures_of_the_disk_agree_with_what_was_kept() -> None:
    text = (ROOT / "docs" / "operating.md").read_text("utf-8")
    disk = Kept.read(RESULTS / "disk.json")
    hours = [each.number("hour_bytes") or 0 for each in disk.all("days")]
    days = [each.number("day_bytes") or 0 for each in disk.all("days")]
    minutely = disk.row("days", interval_seconds=60)
    wrote = [each.number("written_bytes") or 0 for each in disk.all("rates")]
    said = (
        (r"in the current hour \| about ([\d.]+)", disk.all("rates")[-1].number("hot_bytes")),
        (r"by hour \| about ([\d.]+)", sum(hours) / len(hours)),
        (r"by day \| about ([\d.]+)", sum(days) / len(days)),
        (r"at one check a minute ([\d.]+) with the pages", minutely.number("file_bytes")),
        (r"every monitor ([\d.]+) bytes an hour", disk.number("rollups", "bytes_an_hour")),
        (r"about ([\d.]+) GB of raw results", disk.number("year", "raw_gb")),
        (r"and ([\d.]+) GB of sums", disk.number("year", "rollups_gb")),
        (r"written whole: about ([\d.]+) bytes", min(wrote)),
        (r"about ([\d.]+) where 1,000 monitors", max(wrote)),
    )
    flat = " ".join(text.split())
    for words, kept in said:
        found = re.search(words, flat)
        assert found is not None, words
        assert float(found[1]) == pytest.approx(kept, rel=0.15), words


def test_one_bench_that_cannot_be_measured_keeps_no_other_from_it(tmp_path: Path) -> None:
    said = tmp_path / "said"
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\necho "$*" >> {said}\ncase $1 in *alerts.py) exit 1; esac\n')
    (tmp_path / "make").write_text("#!/bin/sh\nexit 2\n")
    for program in (stub, tmp_path / "make"):
        program.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "packaging" / "bench.sh"), "--seconds", "5"],
        env=os.environ | {"BENCH_PYTHON": str(stub), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "Not measured: alerts.py executable\n")
    ran = said.read_text().splitlines()
    assert ran[0] == "bench/checks.py --seconds 5 --out bench/results"
    assert ran[-1] == "bench/figures.py"
    listed = re.findall(
        r"^\| `(\w+\.py)` \|", (ROOT / "bench/README.md").read_text("utf-8"), re.MULTILINE
    )
    assert {f"bench/{name}" for name in listed} - {line.split()[0] for line in ran} == {
        "bench/soak.py"
    }


def test_the_executable_is_measured_as_it_is_built_of_these_sources(tmp_path: Path) -> None:
    said = tmp_path / "said"
    for name in ("python", "make"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {said}\n')
        program.chmod(0o755)
    subprocess.run(
        ["sh", str(ROOT / "packaging" / "bench.sh")],
        env=os.environ
        | {"BENCH_PYTHON": str(tmp_path / "python"), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )
    assert said.read_text().splitlines()[-4:] == [
        "make --no-print-directory binary",
        "python bench/checks.py --binary dist/netpulse --out bench/results",
        "python bench/start.py --binary dist/netpulse --out bench/results",
        "python bench/figures.py",
    ]
