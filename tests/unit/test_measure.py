"""What benches have in common: figures beside their targets, and who used the processors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.measure import beside, file_system, hold, machine
from bench.processors import Moment, moment, used


def test_targets_stand_beside_their_figures() -> None:
    row = beside({"missed": 0, "share": 120}, {"missed": 0}, {"share": 100})
    assert row == {
        "missed": 0,
        "share": 120,
        "targets": {"missed": 0},
        "at_least": {"share": 100},
    }
    assert "at_least" not in beside({"missed": 0}, {"missed": 0})


def test_a_target_without_a_figure_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no figure for the target of p99, share"):
        beside({"p98": 1}, {"p99": 2}, {"share": 3})


def test_what_was_due_and_did_not_come_was_missed() -> None:
    found = hold({"/1": 1.0, "/2": 2.0}, [("/1", 11.25), ("/2", 2.5)], 5.0, 20.0, 10)
    assert (found["checks_due"], found["checks_done"], found["checks_missed"]) == (2, 1, 1)
    assert found["lag_ms_max"] == 250.0


def test_the_machine_is_described(tmp_path: Path) -> None:
    found = machine(tmp_path)
    assert found["kernel"] == os.uname().release
    assert found["memory_mb"] > 100
    assert len(found["load_before"]) == 3
    assert found["file_system"] == file_system(tmp_path) != ""
    assert file_system(Path("/proc/self")) == "proc"


def test_threads_are_told_apart_by_their_names() -> None:
    before = Moment({1: ("python", 1.0), 2: ("python", 1.0), 3: ("tokio", 0.0)}, 10.0, 100.0)
    after = Moment(
        {1: ("python", 9.0), 2: ("python", 4.0), 3: ("tokio", 0.02), 4: ("python", 1.0)},
        15.0,
        120.0,
    )
    found = used(before, after, 10.0, {1: "the loop's", 2: "handshake_0"})
    assert found == {
        "threads_percent_of_a_core": {
            "the loop's": 80.0,
            "handshake_0": 30.0,
            "python": 10.0,
            "all others": 0.2,
        },
        "machine_idle_percent": 25.0,
    }


def test_a_process_of_this_system_can_be_looked_at() -> None:
    found = moment(os.getpid())
    assert os.getpid() in found.threads
    assert 0 <= found.idle <= found.passed
