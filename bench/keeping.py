"""NetPulse that notes when its housekeeping does what, and begins with some of it later.

    python bench/keeping.py TICKS JOBS '{"retain": 90, "seal": 100}' serve --data DIR --port PORT

The third argument says how many seconds after the start a job is done for the first time, which is
all that differs from the product. JOBS gets a line of JSON for each job and each part of one when
it is over: what it was, when it began and ended (Unix seconds), and the seconds of processor time
that the whole process used meanwhile. TICKS is the ledger of `ticking.py`, which does the rest.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import ticking  # noqa: E402  # the checkout, not an installed copy
from netpulse.engine.housekeeping import Housekeeping  # noqa: E402
from netpulse.storage.raw.seal import Sealer  # noqa: E402

PARTS: tuple[tuple[type, str, str], ...] = (
    (Sealer, "pack_hour", "seal"),
    (Housekeeping, "_on_hour", "rollups"),
    (Sealer, "finish", "unlink"),
    (Sealer, "_merge", "merge"),
    (Housekeeping, "_fold", "fold"),
    (Sealer, "drop_before", "retention"),
)
"""Class, method, and what it is called in the ledger."""


class Ledger:
    """Where the jobs are written down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def noted(self, what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, plain or asynchronous, that writes down when it was done."""
        if inspect.iscoroutinefunction(work):

            @functools.wraps(work)
            async def slowly(*args: Any, **kwargs: Any) -> Any:
                began, cpu = time.time(), time.process_time()
                done = await work(*args, **kwargs)
                self._write(what, began, cpu)
                return done

            return slowly

        @functools.wraps(work)
        def at_once(*args: Any, **kwargs: Any) -> Any:
            began, cpu = time.time(), time.process_time()
            done = work(*args, **kwargs)
            self._write(what, began, cpu)
            return done

        return at_once

    def _write(self, what: str, began: float, cpu: float) -> None:
        job = {"what": what, "began": began, "ended": time.time(), "cpu": time.process_time() - cpu}
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(job) + "\n")


def watch(ledger: Ledger, first_seconds: dict[str, float]) -> None:
    """Have the jobs and their parts written down, and begun when it is said."""
    for owner, method, what in PARTS:
        setattr(owner, method, ledger.noted(what, getattr(owner, method)))
    plain = Housekeeping._repeat

    async def repeat(
        self: Housekeeping,
        name: str,
        job: Callable[[], Awaitable[None]],
        every: float,
        first: float,
    ) -> None:
        noted = ledger.noted(f"job {name}", job)
        await plain(self, name, noted, every, first_seconds.get(name, first))

    Housekeeping._repeat = repeat  # type: ignore[method-assign]


def main() -> int:
    """Run the command line with all that."""
    first_seconds = json.loads(sys.argv.pop(3))
    watch(Ledger(Path(sys.argv.pop(2))), first_seconds)
    return ticking.main()


if __name__ == "__main__":
    sys.exit(main())
