"""docs/measured.md is what was kept of the benches: all of it, and what misses its target marked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

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
