"""The sign of life: until when the process watches, in a file of its own between two commits.

A commit to the main file for nothing but that moment writes two pages, and waits for the disk. The
file is one line, written over itself: kill -9 takes none of it, a power failure the last half
minute. It counts only beside the very row of `runs` that it was written beside: not after a
restore, and not when the clock was set back since.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from netpulse.model.time import Millis

NAME = "alive"
_LINE = re.compile(rb"run (\d{1,18}) noted (\d{1,18}) seen (\d{1,18})\n *")
_WIDTH = 96


class Sign(Struct, frozen=True):
    """What the file says."""

    run_id: int
    noted_at: Millis
    """`seen_at` of the run's row when the sign was given."""
    seen_at: Millis


def give(data: Path, sign: Sign) -> None:
    """Write the sign to the file below the data directory.

    Raises:
        OSError: the disk did not take it.
    """
    line = f"run {sign.run_id} noted {sign.noted_at} seen {sign.seen_at}\n"
    descriptor = os.open(data / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Of one length: what is written over it leaves nothing of it.
        os.pwrite(descriptor, line.encode().ljust(_WIDTH), 0)
    finally:
        os.close(descriptor)


def last(data: Path) -> Sign | None:
    """Return the sign that was given last; None where there is none that can be read."""
    try:
        found = _LINE.fullmatch((data / NAME).read_bytes())
    except OSError:
        return None
    return None if found is None else Sign(*map(int, found.groups()))


def moment(data: Path) -> float | None:
    """Return when a sign was given last (Unix seconds, by the file system's clock); None where
    there is none."""
    try:
        return (data / NAME).stat().st_mtime
    except OSError:
        return None


def take_back(data: Path) -> None:
    """Remove the sign: the process ends in order, and its row says so."""
    (data / NAME).unlink(missing_ok=True)
