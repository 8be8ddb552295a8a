"""The thread that ends a process whose event loop is frozen."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

from netpulse.engine.frozen import FrozenLoop

FREEZE = """
import time
from netpulse.engine.frozen import FrozenLoop

def hangs_forever():
    time.sleep(30)

FrozenLoop(lambda: 0, after=0.3, look=0.05).start()
hangs_forever()
"""


def test_a_frozen_process_says_where_and_exits_70() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREEZE], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 70
    assert "the event loop is frozen" in done.stderr
    assert "hangs_forever" in done.stderr


def test_a_frozen_process_ends_though_nobody_takes_what_it_says() -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        hurried = f"from netpulse.engine import frozen\nfrozen._LAST_WORDS_SECONDS = 0.2{FREEZE}"
        done = subprocess.run(
            [sys.executable, "-c", hurried], stderr=writer, timeout=20, check=False
        )
        assert done.returncode == 70
        os.close(reader)
        reader = -1
        done = subprocess.run(
            [sys.executable, "-c", FREEZE], stderr=writer, timeout=20, check=False
        )
        assert done.returncode == 70
    finally:
        os.close(writer)
        if reader >= 0:
            os.close(reader)


def test_a_frozen_process_ends_though_its_stacks_are_too_long_for_who_reads() -> None:
    """A pipe that takes the first line, and of the stacks a part."""
    reader, writer = os.pipe()
    crowd = """
import threading, time

def deep(calls):
    deep(calls - 1) if calls else time.sleep(30)

for _ in range(40):
    threading.Thread(target=deep, args=(40,), daemon=True).start()
"""
    hurried = f"from netpulse.engine import frozen\nfrozen._LAST_WORDS_SECONDS = 0.2{crowd}{FREEZE}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", hurried], stderr=writer, timeout=20, check=False
        )
        assert done.returncode == 70
        said = os.read(reader, 1 << 20)
        assert b"the event loop is frozen" in said
        assert b"in deep" in said
    finally:
        os.close(reader)
        os.close(writer)


def test_a_beating_loop_is_left_alone() -> None:
    died = threading.Event()
    beats = iter(range(10_000))
    watching = FrozenLoop(lambda: next(beats), after=0.05, look=0.01, die=lambda _: died.set())
    watching.start()
    time.sleep(0.3)
    watching.stop()
    assert not died.is_set()


def test_it_stops_at_once() -> None:
    died = threading.Event()
    watching = FrozenLoop(lambda: 0, after=0.1, look=0.05, die=lambda _: died.set())
    watching.start()
    watching.stop()
    time.sleep(0.2)
    assert not died.is_set()
