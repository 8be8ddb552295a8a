"""What benches have in common: figures beside their targets, and who used the processors; and what
single ones count."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.alerts import Storm, figures, others_meanwhile, read_meanwhile
from bench.checks import DASHBOARD
from bench.disk import BEGIN, Store, same
from bench.measure import (
    ROOT,
    beside,
    command,
    cpu_seconds,
    end,
    family,
    file_system,
    hold,
    machine,
    percentile,
    report,
)
from bench.months import Target
from bench.peak import DONE, Job, Sampled, seen, stretches
from bench.processors import Moment, moment, used
from bench.samples import slope
from bench.ticks import ticks
from netpulse.model.time import DAY, HOUR
from netpulse.rules.schedule import phase_ms


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


def test_a_file_of_results_says_what_was_measured_and_how() -> None:
    head = report()
    assert head["program"]["version"]
    assert len(head["program"]["sources"]) == 8
    script = str(ROOT / "bench" / "start.py")
    assert command([script, "--out", "/elsewhere"]) == "python bench/start.py"
    words = [script, "--monitors", "10", "--binary", "/some/where/netpulse", "--out=results"]
    assert command(words) == "python bench/start.py --monitors 10 --binary netpulse"


def test_no_process_is_left_that_does_not_want_to_end() -> None:
    deaf = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    with process.stdout, pytest.raises(subprocess.TimeoutExpired):
        end(process, 0.1)
    assert process.returncode == -9
    # It is killed by now; the system may need a moment until it is gone.
    until = time.monotonic() + 5
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_a_child_that_has_ended_has_used_what_it_used() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass"
    parent = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]]);"
        "print('it ended', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "it ended\n"
        assert family(process.pid) == [process.pid]
        assert cpu_seconds(process.pid) >= 0.3


def test_a_loop_that_is_held_is_late_as_often_as_it_should_have_come() -> None:
    assert ticks(7.0, 0.0004) == [(7.0, 0.4)]
    assert ticks(7.0, 0.0254) == [(7.0, 25.4), (7.0, 15.4), (7.0, 5.4)]
    # Held for a tenth of two seconds: were that one tick, the p99 would say nothing of it.
    quiet = [0.0] * 190
    assert percentile([100.0, *quiet], 0.99) == 0.0
    assert percentile([*(each for _, each in ticks(0.0, 0.1)), *quiet], 0.99) == 80.0


def test_a_slope_takes_two_values() -> None:
    assert slope([{"at": 0.0, "rss_mb": 1.0}], "rss_mb") is None
    assert slope([{"at": 0.0, "rss_mb": 1.0}, {"at": 1_800.0, "rss_mb": 2.0}], "rss_mb") == 2.0


def test_of_a_storm_counts_what_was_read_and_checked_while_it_lasted() -> None:
    took = [(10.0, "/v1/monitors", 40.0), (11.0, DASHBOARD, 50.0)]
    peace = [(20.0 + each, "/v1/monitors", 1.0) for each in range(300)]
    row = read_meanwhile([*took, *peace, (21.0, DASHBOARD, 900.0)], (9.0, 20.0))
    assert (row["api_requests"], row["api_ms_p99"], row["dashboard_ms_max"]) == (1, 40.0, 50.0)
    phase = phase_ms("a", 10_000) / 1000
    grid = [100.0 + phase, 110.0 + phase, 120.0 + phase]
    arrivals = [("/1", grid[0] + 0.3), ("/1", grid[1] + 0.001), ("/1", grid[2] + 0.001)]
    row = others_meanwhile({"/1": "a"}, arrivals, (grid[0] - 1, grid[0] + 0.5))
    assert (row["checks_due"], row["lag_ms_max"]) == (1, 300.0)


def _jobs(*parts: str) -> list[Job]:
    return [Job(what, 200.0 + at, 200.5 + at, 0.1) for at, what in enumerate(parts)]


def test_housekeeping_that_was_not_done_costs_nothing_and_is_no_result() -> None:
    found = stretches(100.0, 300.0, _jobs(*DONE))
    assert [each.what for each in found] == ["quiet before", *DONE, "quiet after"]
    with pytest.raises(SystemExit, match="it was due and was not done: merge, fold"):
        stretches(100.0, 300.0, _jobs(*DONE[:-2]))


def test_what_was_due_just_before_housekeeping_began_is_its_own(tmp_path: Path) -> None:
    ledger = tmp_path / "ticks.json"
    due = 200.0 + phase_ms("a", 10_000) / 1000
    job = Job("merge", due + 0.1, due + 0.2, 0.0)
    ledger.write_text(f'{{"ticks": [[{due}, 0.5]], "stacks": [], "threads": []}}')
    sampled = Sampled([(due, 100.0)], [])
    row = seen(job, {"/1": "a"}, [("/1", due + 0.9)], sampled, ledger)
    assert (row["checks_due"], row["lag_ms_max"]) == (1, 900.0)


async def test_what_is_read_back_is_held_against_what_was_written(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    try:
        target = Target(0, 600)
        for hour in range(BEGIN, BEGIN + DAY, HOUR):
            checks = [(1, check) for check in target.checks(hour, hour + HOUR)]
            await store.live(checks, hour, hour + HOUR, 600)
            await store.seal(hour)
        assert await same(store, 1, 600, 1)
        # A second monitor was never written.
        assert not await same(store, 2, 600, 1)
    finally:
        await store.close()


def test_who_is_told_before_it_is_certain_is_not_told_at_once() -> None:
    storm = Storm("down", 2)
    body = '{"event": "monitor.down", "monitor": {"name": "1"}}'
    answers = [["/t/1", False, 10.0], ["/t/1", False, 11.0]]
    storm.take({"answered": answers, "told": [["/hook/0", "a", body, 11.25]]})
    assert figures(storm, 1, 1)["confirming_answer_to_wire_ms_max"] == 250.0
    storm.take({"answered": [], "told": [["/hook/0", "b", body, 10.5]]})
    with pytest.raises(SystemExit, match="somebody was told 500 ms before it was certain"):
        figures(storm, 1, 1)
