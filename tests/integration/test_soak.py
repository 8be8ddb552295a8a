"""The soak of bench/soak.py in its short form: everything in trouble, and nothing is wrong at the
end. What takes half an hour to see (memory) is for `make soak`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_short_soak(tmp_path: Path) -> None:
    options = "--monitors 60 --warm-up 0.2 --minutes 0.2 --faulty 0.5 --seed 2".split()
    soak = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "bench" / "soak.py"),
        *options,
        "--out",
        str(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )
    said, _ = await soak.communicate()
    assert soak.returncode == 0, said.decode()
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["wrong"] == []
    assert found["steady_checks_due"] >= 30
    # Where the machine did not let it run for seconds, checks are missed, and that is said.
    assert found["steady_checks_missed"] == 0 or found["breaks_of_our_own"] > 0
    assert sum(found["faults_given"].values()) >= 10, "too few faults to mean anything"
    assert found["notices_taken"] >= 10
    assert {"rss_mb", "descriptors", "tasks", "threads"} <= set(found["after_warm_up"])
