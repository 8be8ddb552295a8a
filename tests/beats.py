"""The pulse of a process that is going to be killed: for how long it, or its disk, stood still.

What a kill may cost is a matter of seconds, and a machine that stands still for one of them has
made a product of it that writes later. The pulse is a thread that does what writing results takes.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from itertools import pairwise
from pathlib import Path

EVERY_SECONDS = 0.1
STILL_SECONDS = 0.3
"""Less between two beats is what any machine needs for them."""
LOOK_BACK_SECONDS = 5.0
_BEAT = struct.Struct("=d")


def begin(path: Path) -> None:
    """Beat until this process ends; `path` is begun anew."""
    threading.Thread(target=_run, args=(path,), name="beats", daemon=True).start()


def _run(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(_BEAT.pack(time.monotonic()))
            os.fdatasync(file.fileno())
            time.sleep(EVERY_SECONDS)


def still_seconds(path: Path, until: float) -> float:
    """Return for how long in all the process stood still in the last seconds before a moment of the
    monotonic clock."""
    data = path.read_bytes()
    beats = [one for (one,) in _BEAT.iter_unpack(data[: len(data) // _BEAT.size * _BEAT.size])]
    moments = [max(one, until - LOOK_BACK_SECONDS) for one in beats if one < until]
    gaps = (later - earlier for earlier, later in pairwise([*moments, until]))
    return sum(gap for gap in gaps if gap > STILL_SECONDS)
