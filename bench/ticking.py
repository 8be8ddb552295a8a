"""NetPulse with a ticker on its event loop: how late the loop is, and what was on it then.

    python bench/ticking.py LEDGER serve --data DIR --port PORT

The command line after the ledger is `netpulse`'s own. From SIGUSR2 on a timer notes every 10 ms
how late it is, and how late it would have been each time that it could not come meanwhile
(`ticks.py`); a thread beside looks every 4 ms, and when the timer is overdue by more than 5 ms it
takes down what the loop's thread is doing. When the process ends, the ledger (JSON) gets (Unix
seconds, late milliseconds) of each tick, the stacks, most frequent first, and the names of the
threads by the system's ids. Until that signal this is the product as `make run` has it: what only
tests bring, and Litestar would load, is not there.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ONLY_TESTS_HAVE = ("pydantic",)
sys.modules.update(dict.fromkeys(ONLY_TESTS_HAVE))  # type: ignore[arg-type]  # None: not there

from bench.ticks import TICK, ticks  # noqa: E402  # the checkout, not an installed copy
from netpulse import app, cli  # noqa: E402

LOOK = 0.004
LATE = 0.005
DEEPEST = 6
LOOP = "the loop's"
"""What its thread is called."""


class Ticker:
    """The timer, and the thread that watches it."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = ledger
        self.ticks: list[tuple[float, float]] = []
        self.seen: Counter[str] = Counter()
        self._due = float("inf")
        self._told = 0.0
        self._thread = 0
        self._names: dict[int, str] = {}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tick on `loop` once the signal has come."""

        def begin() -> None:
            self._thread = threading.get_ident()
            self._look_at_threads()
            self._names[threading.get_native_id()] = LOOP
            self._due = time.perf_counter() + TICK
            loop.call_later(TICK, tick)
            threading.Thread(target=self._look, daemon=True).start()

        def tick() -> None:
            now = time.perf_counter()
            self.ticks += ticks(time.time(), now - self._due)
            self._due = now + TICK
            loop.call_later(TICK, tick)

        loop.call_soon(loop.add_signal_handler, signal.SIGUSR2, begin)

    def _look(self) -> None:
        while True:
            time.sleep(LOOK)
            due = self._due
            if time.perf_counter() - due > LATE and due != self._told:
                self._told = due
                frame = sys._current_frames().get(self._thread)
                if frame is not None:
                    self.seen[_stack(frame)] += 1

    def _look_at_threads(self) -> None:
        for thread in threading.enumerate():
            if thread.native_id is not None:
                self._names.setdefault(thread.native_id, thread.name)

    def write(self) -> None:
        """Leave what was seen in the ledger."""
        self._look_at_threads()
        told = {
            "ticks": self.ticks,
            "stacks": self.seen.most_common(20),
            "threads": list(self._names.items()),
        }
        self.ledger.write_text(json.dumps(told))


def _stack(frame: FrameType | None) -> str:
    """Return the innermost frames as words, the innermost first."""
    words: list[str] = []
    while frame is not None and len(words) < DEEPEST:
        code = frame.f_code
        words.append(f"{Path(code.co_filename).stem}.{code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(words)


def main() -> int:
    """Run the command line with the ticker on its loop."""
    ticker = Ticker(Path(sys.argv.pop(1)))
    made = app._loop_factory()

    def factory() -> Callable[[], asyncio.AbstractEventLoop]:
        def make() -> asyncio.AbstractEventLoop:
            loop = (made or asyncio.new_event_loop)()
            ticker.start(loop)
            return loop

        return make

    app._loop_factory = factory
    try:
        return cli.main()
    finally:
        ticker.write()


if __name__ == "__main__":
    sys.exit(main())
