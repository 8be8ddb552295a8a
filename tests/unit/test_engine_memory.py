"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the GNU C library is told, on Linux: run on Linux"
)

GROW = """
import psutil
from netpulse.engine import memory
assert memory.few_heaps(1)
held = [bytes(5_000 + n % 900) for n in range(20_000)]
kept = held[::50]
del held
before = psutil.Process().memory_info().rss
memory.give_back()
print(before - psutil.Process().memory_info().rss)
assert len(kept) == 400
"""

LARGE = """
import psutil
from netpulse.engine import memory
assert memory.few_heaps(1)
memory.give_back()
before = psutil.Process().memory_info().rss
for _ in range(3):
    held = bytearray(20_000_000)
    behind = [bytes(600) for _ in range(10)]
    del held
print(psutil.Process().memory_info().rss - before)
"""

BESIDE = """
import ctypes, threading
from concurrent.futures import ThreadPoolExecutor
from netpulse.engine import memory
from netpulse.probes.handshakes import Handshakes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def heap():
    # A heap of a thread begins at a multiple of 64 MB (HEAP_MAX_SIZE), the main one anywhere.
    return library.malloc(2_000) >> 26
pools = [ThreadPoolExecutor(1) for _ in range(7)]
assert memory.few_heaps(1)
handshakes = Handshakes(1)
handshakes.start()
others = {pool.submit(heap).result() for pool in pools}
theirs = handshakes._made().submit(heap).result()
assert handshakes._made().submit(heap).result() == theirs
assert heap() != theirs
print(len(others | {heap(), theirs}))
"""


def test_the_thread_that_shakes_hands_has_not_the_loops_heap() -> None:
    heaps = subprocess.run(
        [sys.executable, "-c", BESIDE], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(heaps.stdout) == 2


def test_what_is_free_between_things_that_live_on_is_given_back() -> None:
    grown = subprocess.run(
        [sys.executable, "-c", GROW], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(grown.stdout) > 50_000_000


def test_a_large_block_is_gone_when_it_is_freed_whatever_came_behind_it() -> None:
    kept = subprocess.run(
        [sys.executable, "-c", LARGE], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(kept.stdout) < 5_000_000
