"""Who used the processors: the threads of a process, and what the machine had left."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
LEAST_PERCENT = 0.5
"""Of a core: threads that use less are added up as the rest."""


class Moment(NamedTuple):
    """What had been used when it was taken, in seconds."""

    threads: dict[int, tuple[str, float]]
    """By thread: the system's name of it, and its user and system time."""
    idle: float
    """Of all cores together, waiting for a disk included."""
    passed: float
    """Of all cores together."""


def moment(pid: int) -> Moment:
    """Return what the threads of a process have used so far, and the machine."""
    threads = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            head, _, tail = (task / "stat").read_text().rpartition(")")
            fields = tail.split()
            name = head.partition("(")[2]
            threads[int(task.name)] = (name, (int(fields[11]) + int(fields[12])) / _TICK)
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    parts = [int(each) / _TICK for each in words]
    return Moment(threads, parts[3] + parts[4], sum(parts))


def used(before: Moment, after: Moment, seconds: float, names: Mapping[int, str]) -> dict[str, Any]:
    """Return what each thread used between two moments in percent of a core, the most first, and
    the machine's idle share.

    Args:
        before: the first moment.
        after: the second, `seconds` later.
        seconds: what lies between them.
        names: what the process itself calls its threads, by the system's ids.
    """
    percents: defaultdict[str, float] = defaultdict(float)
    for thread, (name, total) in after.threads.items():
        grown = total - before.threads.get(thread, ("", 0.0))[1]
        percents[names.get(thread, name)] += grown / seconds * 100
    shown = {name: each for name, each in percents.items() if each >= LEAST_PERCENT}
    told = {name: round(each, 1) for name, each in sorted(shown.items(), key=lambda one: -one[1])}
    rest = sum(percents.values()) - sum(shown.values())
    passed = max(1e-9, after.passed - before.passed)
    return {
        "threads_percent_of_a_core": told | {"all others": round(rest, 1)},
        "machine_idle_percent": round((after.idle - before.idle) / passed * 100, 1),
    }
