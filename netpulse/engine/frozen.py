"""A thread that notices when the event loop itself is frozen, and ends the process.

A native call that never returns freezes everything on the loop, the watchdog task too. This plain
thread sees that the loop's tick stands still for a minute, writes all stacks to standard error and
exits with status 70 (EX_SOFTWARE), so that a supervisor starts the process again.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

FROZEN_SECONDS = 60.0
EXIT_STATUS = 70
_LOOK_SECONDS = 1.0
_LAST_WORDS_SECONDS = 5.0
"""How long a standard error that nobody reads may take."""


def _die(seconds: float) -> None:
    # Standard error may be what hangs, or be gone: the process ends all the same.
    last = threading.Timer(_LAST_WORDS_SECONDS, os._exit, (EXIT_STATUS,))
    last.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread can be made any more
        last.start()
    with contextlib.suppress(OSError, ValueError):
        # Straight to the descriptor: logging may be what hangs.
        os.write(2, f"netpulse: the event loop is frozen for {seconds:.0f} s; stacks:\n".encode())
        _tell_stacks()
    os._exit(EXIT_STATUS)


def _tell_stacks() -> None:
    """Write every thread's stack to standard error.

    They are taken while no other thread can run: straight into a pipe that is full, that would
    never end, and the thread that ends the process would wait as well.
    """
    if sys.platform != "linux":
        faulthandler.dump_traceback(file=2, all_threads=True)
        return
    kept = os.memfd_create("stacks", os.MFD_CLOEXEC)
    faulthandler.dump_traceback(file=kept, all_threads=True)
    left = os.pread(kept, os.fstat(kept).st_size, 0)
    while left:
        left = left[os.write(2, left) :]


class FrozenLoop:
    """Watches a counter that the loop increments; calls `die` when it stands still too long."""

    def __init__(
        self,
        beats: Callable[[], int],
        *,
        after: float = FROZEN_SECONDS,
        look: float = _LOOK_SECONDS,
        die: Callable[[float], object] = _die,
    ) -> None:
        """Take where the loop's ticks are read.

        Args:
            beats: the number of ticks so far.
            after: seconds of standing still.
            look: seconds between two looks.
            die: called once, with the seconds.
        """
        self._beats = beats
        self._after = after
        self._look = look
        self._die = die
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frozen-loop", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, at once."""
        self._stopping.set()

    def _run(self) -> None:
        seen = self._beats()
        still = 0.0
        looked = time.monotonic()
        while not self._stopping.wait(self._look):
            now, beats = time.monotonic(), self._beats()
            if beats != seen:
                seen, still = beats, 0.0
            else:
                # A process that was stopped as a whole did not sleep longer than it wanted: only
                # time in which this thread ran is held against the loop.
                still += min(now - looked, 2 * self._look)
            looked = now
            if still >= self._after:
                self._die(still)
                return
