"""NetPulse as it is, with a thread beside it that notes what only the inside knows.

    python bench/sampled.py SAMPLES EVERY [--trace] serve --data DIR …

One line of JSON every EVERY seconds: tasks, blocks of Python's allocator, SQLite's memory, what the
C library has handed out and what it keeps. `--trace` (bench/soak.py --trace) follows every
allocation, which costs a multiple of the CPU, and at the end adds what grew most since the middle.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import apsw  # noqa: E402  # the checkout, not an installed copy

from netpulse import app  # noqa: E402
from netpulse.cli import main  # noqa: E402


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        )
    ]


def _heap() -> dict[str, float]:
    """Return what the C library's allocator has handed out and keeps, in megabytes."""
    try:
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Mallinfo
        found = library.mallinfo2()
    except (OSError, AttributeError):
        return {}
    return {
        "malloc_used_mb": round((found.uordblks + found.hblkhd) / 1e6, 2),
        "malloc_kept_mb": round(found.fordblks / 1e6, 2),
    }


class Sampler:
    """The thread, and the loop that it counts the tasks of."""

    def __init__(self, samples: Path, every: float) -> None:
        self.samples = samples
        self.every = every
        self.loop: asyncio.AbstractEventLoop | None = None
        self.middle: tracemalloc.Snapshot | None = None

    def run(self) -> None:
        """Note how things are, until the process ends."""
        with self.samples.open("a", buffering=1) as file:
            while True:
                time.sleep(self.every)
                file.write(json.dumps(self.sample()) + "\n")

    def sample(self) -> dict[str, Any]:
        """Return how things are now."""
        return {
            "at": time.time(),
            "tasks": 0 if self.loop is None else len(asyncio.all_tasks(self.loop)),
            "blocks": sys.getallocatedblocks(),
            "collections": gc.get_stats()[2]["collections"],
            "sqlite_mb": round(apsw.memory_used() / 1e6, 2),
            **_heap(),
        }

    def trace(self) -> None:
        """Compare what is allocated at every tenth sample with the first such."""
        while True:
            time.sleep(self.every * 10)
            snapshot = tracemalloc.take_snapshot()
            if self.middle is None:
                self.middle = snapshot
                continue
            grown = snapshot.compare_to(self.middle, "traceback")[:25]
            with self.samples.with_suffix(".trace").open("w") as file:
                for one in grown:
                    file.write(f"{one}\n" + "\n".join(one.traceback.format()) + "\n\n")


def run() -> int:
    """Start the sampler and the program."""
    samples, every, *rest = sys.argv[1:]
    sampler = Sampler(Path(samples), float(every))
    if rest[0] == "--trace":
        rest = rest[1:]
        tracemalloc.start(8)
        threading.Thread(target=sampler.trace, daemon=True).start()
    make = app._loop_factory()

    def remembered() -> asyncio.AbstractEventLoop:
        sampler.loop = make() if make is not None else asyncio.new_event_loop()
        return sampler.loop

    app._loop_factory = lambda: remembered
    threading.Thread(target=sampler.run, name="sampler", daemon=True).start()
    sys.argv = ["netpulse", *rest]
    return int(main() or 0)


if __name__ == "__main__":
    raise SystemExit(run())
