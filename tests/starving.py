"""A process that hardly gets any processor time: 1 %, from a control group where one can be made
(as root), else by stopping it most of the time from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD_MS = 700
SHARE_MS = 7


@contextlib.contextmanager
def starved(pid: int) -> Iterator[str]:
    """Give a process 1 % of a processor; gives the way that was found."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_by_group(pid))
            way = "control group"
        except OSError:
            stack.enter_context(_by_signals(pid))
            way = "signals"
        yield way


@contextlib.contextmanager
def _by_group(pid: int) -> Iterator[None]:
    root = Path("/sys/fs/cgroup")
    is_second = (root / "cgroup.controllers").exists()
    parent = root if is_second else root / "cpu"
    group = parent / f"netpulse-test-{pid}"
    group.mkdir()
    try:
        # The period may be a second at most, and the share is a millisecond at least.
        period, share = PERIOD_MS * 1000, SHARE_MS * 1000
        if is_second:
            (group / "cpu.max").write_text(f"{share} {period}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(str(share))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            (parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


@contextlib.contextmanager
def _by_signals(pid: int) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGCONT)
            time.sleep(SHARE_MS / 1000)
            os.kill(pid, signal.SIGSTOP)
            over.wait((PERIOD_MS - SHARE_MS) / 1000)

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        os.kill(pid, signal.SIGCONT)
