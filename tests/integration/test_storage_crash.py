"""kill -9 while it writes: what was acknowledged is there, and what belongs together agrees."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from netpulse.storage import meta
from netpulse.storage.conn import Conn
from tests.store import opened

ROOT = Path(__file__).resolve().parents[2]

_WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from netpulse.storage import meta
from tests.store import opened

def pair(conn, number):
    meta.put(conn, f"left {{number}}", number)
    meta.put(conn, f"right {{number}}", b"x" * 2000)

async def one(db, number):
    await db.write(pair, number)
    sys.stdout.write(f"{{number}}\\n")

async def main():
    async with opened(Path({data!r})) as db:
        number = {start}
        while True:
            await asyncio.gather(*(one(db, number + n) for n in range(20)))
            sys.stdout.flush()
            number += 20

asyncio.run(main())
"""


def write_until_killed(data: Path, start: int, seconds: float) -> set[int]:
    """Let a process write pairs from `start` on, kill it; returns what it had acknowledged."""
    code = _WRITER.format(root=str(ROOT), data=str(data), start=start)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        # The last line may be cut in the middle.
        return {first, *map(int, writer.stdout.read().split("\n")[:-1])}


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    acknowledged: set[int] = set()
    start = 0
    for _ in range(6):
        acknowledged |= write_until_killed(tmp_path, start, chance.uniform(0.0, 0.3))
        start = max(acknowledged) + 100
    async with opened(tmp_path) as db:

        def stored(conn: Conn, side: str) -> set[int]:
            rows = conn.all("SELECT key FROM meta WHERE key LIKE ?", (f"{side} %",))
            return {int(row[0].split()[1]) for row in rows}

        left, right = await db.read(stored, "left"), await db.read(stored, "right")
        assert await db.read(meta.quick_check) == []
    assert len(acknowledged) > 100
    assert acknowledged <= left
    assert left == right
