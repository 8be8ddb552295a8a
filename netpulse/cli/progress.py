"""How far a long work has come: a line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time

_TERMINAL_SECONDS = 0.1
_PLAIN_SECONDS = 10.0


class _Line:
    """The line, on standard error: standard output is for the result."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether it is time to say something."""
        now = time.monotonic()
        if now - self._last < (_TERMINAL_SECONDS if self._live else _PLAIN_SECONDS):
            return False
        self._last = now
        return True

    def say(self, text: str) -> None:
        """Show `text`."""
        sys.stderr.write(f"\r{text:<70}" if self._live else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._live:
            sys.stderr.write(f"\r{'':<70}\r")
            sys.stderr.flush()


class Progress:
    """Counts bytes of a whole and says so."""

    def __init__(self, doing: str, total: int) -> None:
        """Take a word for the work ("Backing up") and about how many bytes there are."""
        self._doing = doing
        self._total = max(total, 1)
        self._done = 0
        self._line = _Line()

    def __call__(self, name: str, count: int) -> None:
        """Count `count` bytes of the file `name`."""
        self._done += count
        if self._line.is_due():
            share = min(99, self._done * 100 // self._total)
            self._line.say(f"{self._doing} {name}: {share} %, {self._done / 1e6:.0f} MB")

    def end(self) -> None:
        """Clear the line."""
        self._line.end()


class Steps:
    """Says how many of a number of things are done."""

    def __init__(self, doing: str) -> None:
        """Take a word for the work ("Encrypting anew")."""
        self._doing = doing
        self._line = _Line()

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` are done."""
        if self._line.is_due():
            self._line.say(f"{self._doing}: {done:,} of {total:,}")

    def end(self) -> None:
        """Clear the line."""
        self._line.end()
