"""How far a long work has come: a line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time

_TERMINAL_SECONDS = 0.1
_PLAIN_SECONDS = 10.0


class Progress:
    """Counts bytes of a whole and says so on standard error."""

    def __init__(self, doing: str, total: int) -> None:
        """Take a word for the work ("Backing up") and about how many bytes there are."""
        self._doing = doing
        self._total = max(total, 1)
        self._done = 0
        self._live = sys.stderr.isatty()
        self._last = time.monotonic()

    def __call__(self, name: str, count: int) -> None:
        """Count `count` bytes of the file `name`."""
        self._done += count
        now = time.monotonic()
        if now - self._last < (_TERMINAL_SECONDS if self._live else _PLAIN_SECONDS):
            return
        self._last = now
        share = min(99, self._done * 100 // self._total)
        line = f"{self._doing} {name}: {share} %, {self._done / 1e6:.0f} MB"
        sys.stderr.write(f"\r{line:<70}" if self._live else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._live:
            sys.stderr.write(f"\r{'':<70}\r")
            sys.stderr.flush()
