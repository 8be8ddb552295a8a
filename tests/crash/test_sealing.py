"""kill -9 while checks are written, sealed and merged: what was acknowledged is there, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from netpulse.storage.raw.row import DUE
from netpulse.storage.raw.spool import Spool
from tests.beats import still_seconds
from tests.crash.sealing_child import (
    BEATS,
    HOUR,
    INTERVAL,
    KEYS,
    SLOTS_AN_HOUR,
    START,
    written_at,
)

ROOT = Path(__file__).parents[2]

STEPS = (
    "month made",
    "read",
    "stored",
    "committed",
    "verified",
    "told",
    "unlinked .db",
    "unlinked -wal",
    "unlinked -shm",
    "synced",
    "day stored",
    "day committed",
)
KILLS = int(os.environ.get("NETPULSE_KILLS", "64"))
SEED = 20_261_123


class Child:
    """The forking process, its orders and what its workers say."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.acked = 0
        self.told: dict[tuple[int, int], int] = {}
        self.wrong: list[str] = []
        self.reached: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "crash" / "sealing_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )

    def lines(self, **order: Any) -> Iterator[list[str]]:
        """Give an order; yield what the worker says, until it has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"data": str(self.data), "slot": self.acked, **order}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "ack":
                self.acked = int(rest)
            elif word == "told":
                hour, _, figures = rest.partition(" ")
                for key, checks in json.loads(figures).items():
                    self.told[int(hour), int(key)] = checks
            elif word == "wrong":
                self.wrong.append(rest)
            elif word == "crash":
                self.reached.append(rest)
            yield [word, rest]
            if word == "end":
                return

    def run(self, kill_after: float, **order: Any) -> str:
        """Run a worker; kill it so many seconds after it has verified. Return how it ended."""
        worker = 0
        timer: threading.Timer | None = None
        ended = ""
        verified = False
        for word, rest in self.lines(**order):
            if word == "pid":
                worker = int(rest)
            elif word == "verified":
                verified = True
            elif word == "end":
                ended = rest
            if verified and worker and timer is None and not ended:
                timer = threading.Timer(kill_after, os.kill, (worker, signal.SIGKILL))
                timer.start()
        if timer is not None:
            timer.cancel()
            timer.join()
        assert verified, "the worker did not get as far as to verify"
        return ended

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(120 + 5 * KILLS)
def test_every_acknowledged_check_is_there_once_after_each_kill(child: Child) -> None:
    rnd = random.Random(SEED)
    # A month is made, and a day is over, only now and then: once is enough for those.
    steps = [*STEPS, *(step for step in STEPS if not step.startswith(("month", "day")))]
    killed = spooled = 0
    for number in range(KILLS):
        # The first of all is the one that makes the month.
        if number % 2 == 0 and steps:
            step = steps.pop(0)
            time_ = rnd.randint(1, 3) if step in ("stored", "committed") else 1
            ended = child.run(30.0, do="fill", crash_at=step, time=time_)
        else:
            ended = child.run(rnd.uniform(0, 0.25), do="fill")
        killed += ended == str(int(signal.SIGKILL))
        spooled += bool(Spool(child.data / "hot" / "waiting").read())
        assert child.wrong == []
    assert killed == KILLS
    assert set(child.reached) == set(STEPS)
    assert spooled > 0, "some waited in the spool when the process was killed"
    finish(child)
    acknowledged = child.acked * len(KEYS)
    print(f"{killed} kills, {spooled} with checks in the spool, {acknowledged:,} acknowledged")


def finish(child: Child) -> None:
    """Let the last worker seal all there is, and look at everything."""
    acked = child.acked
    assert child.run(60.0, do="finish") == "0"
    assert child.wrong == []
    assert list((child.data / "hot").iterdir()) == []
    # The rollups that were written last are those of all rows; the worker has compared what the
    # main file says with what is stored, hour by hour.
    wanted: dict[tuple[int, int], int] = {}
    for key in KEYS:
        for slot in range(acked):
            if written_at(key, slot) < acked:
                hour = START + slot // SLOTS_AN_HOUR * HOUR
                wanted[hour, key] = wanted.get((hour, key), 0) + 1
    last_full_hour = START + (acked - 2 * SLOTS_AN_HOUR) * INTERVAL
    for (hour, key), checks in wanted.items():
        if hour < last_full_hour and key != 1:
            assert child.told[hour, key] == checks == SLOTS_AN_HOUR
        else:
            # What was written and not acknowledged before a kill may be among them.
            assert child.told[hour, key] >= checks
    for path in (child.data / "checks").glob("*.db"):
        connection = apsw.Connection(str(path))
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        connection.close()


def test_a_kill_costs_at_most_two_seconds_of_checks(child: Child) -> None:
    appended: dict[int, float] = {}
    safe_until = 0.0
    start = time.monotonic()
    worker = 0
    for word, rest in child.lines(do="trickle"):
        if word == "pid":
            worker = int(rest)
        elif word == "appended":
            slot, _, at = rest.partition(" ")
            appended[int(slot)] = float(at)
            now = time.monotonic()
            # On a busy machine it takes a while until enough of them are two seconds old; those in
            # which nothing moved do not count.
            two_ago = now - 2.0 - still_seconds(child.data / BEATS, now)
            old = sum(at < two_ago for at in appended.values())
            if not safe_until and now - start > 3.3 and old > 50:
                safe_until = two_ago
                os.kill(worker, signal.SIGKILL)
    safe = [slot for slot, at in appended.items() if at < safe_until]
    assert len(safe) > 50
    child.acked = max(safe) + 1
    stored = stored_slots(child.data)
    assert stored >= set(safe)


def stored_slots(data: Path) -> set[int]:
    found: set[int] = set()
    for path in (data / "hot").glob("*.db"):
        connection = apsw.Connection(str(path))
        hour = int(path.stem[-2:])
        found |= {
            hour * SLOTS_AN_HOUR + due // INTERVAL
            for (due,) in connection.execute("SELECT due FROM checks")
        }
        connection.close()
    spooled = Spool(data / "hot" / "waiting").read()
    return found | {(row[DUE] - START) // INTERVAL for _, row in spooled}
