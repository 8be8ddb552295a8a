"""A change of the master key in a process of its own, which kills itself at a given moment.

    python -m tests.rotation_child DATA MOMENT

Moments are the calls of functions, and the returns from them, in the modules that change the key, on
any thread: file operations, transactions, and the middle of transactions. MOMENT 0 counts them and
prints how many there are; any other number is the one at which the process ends itself with SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import Vault
from netpulse.model.user import Actor
from netpulse.storage import directory, rotation
from netpulse.storage.opening import open_database
from tests.store import NOW

WATCHED = ("crypto/keys.py", "storage/rotation.py", "storage/kept_keys.py", "storage/audit.py")
"""The modules whose calls are moments; of `os` and `pathlib` those that are made from keys.py."""


class Moments:
    """Counts, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self.seen = 0
        self._last = last

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take an event of the interpreter (sys.setprofile)."""
        del arg
        if not frame.f_code.co_filename.endswith(WATCHED):
            return
        if event.startswith("c_") and not frame.f_code.co_filename.endswith("keys.py"):
            return
        self.seen += 1
        if self.seen == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


async def _change(data: Path, moments: Moments) -> None:
    masters = Masters(None, data / directory.KEY)
    threading.setprofile(moments)  # type: ignore[arg-type]  # a callable like any other
    sys.setprofile(moments)  # type: ignore[arg-type]  # as above
    db = await open_database(data, Vault(*masters.load(has_data=True), again=masters.again))
    await rotation.rotate(
        db, masters, given=None, actor=Actor(kind="cli", label="key rotate"), now=lambda: NOW
    )
    await db.close()
    sys.setprofile(None)


def main() -> None:
    """Change the key of DATA."""
    moments = Moments(int(sys.argv[2]))
    asyncio.run(_change(Path(sys.argv[1]), moments))
    sys.stdout.write(f"{moments.seen}\n")


if __name__ == "__main__":
    main()
