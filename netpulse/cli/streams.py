"""The three standard streams, as a command finds them."""

from __future__ import annotations

import os
import sys


def complete() -> None:
    """Open what is missing of the three on nothing.

    Else the next files that are opened would be them, the data's own among them, and what a library
    writes to standard error would be written into these.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # the lowest free one each time
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    # Python has none for those that it found closed.
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
