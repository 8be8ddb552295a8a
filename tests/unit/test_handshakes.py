"""The threads that shake hands, where what is around them fails."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest

from netpulse.egress.tls import TlsOptions, make_context
from netpulse.probes.handshakes import PER_THREAD, Handshakes

NO_MORE = """
import threading
from netpulse.probes.handshakes import Handshakes
start, started = threading.Thread.start, []
def first_alone(thread):
    if started:
        raise RuntimeError("can't start new thread")
    started.append(thread)
    start(thread)
threading.Thread.start = first_alone
Handshakes(3).start()
"""


def begun() -> ssl.SSLObject:
    """Return a side of TLS that has said its first words, once it goes on."""
    context = make_context(TlsOptions())
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")


def test_where_the_system_starts_no_more_threads_the_process_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NO_MORE], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith("RuntimeError: can't start new thread\n")


async def test_a_thread_that_broke_loses_nothing_that_is_handed_over_after_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    helpers = Handshakes(1)
    helpers.start()
    loop = asyncio.get_running_loop()
    call = loop.call_soon_threadsafe
    asked: list[Callable[..., object]] = []
    lain: list[float] = []

    def once_without_memory(told: Callable[..., object], *more: object) -> object:
        asked.append(told)
        if len(asked) == 1:
            raise MemoryError
        return call(told, *more)

    first = asyncio.create_task(helpers.step(begun(), lain.append))
    monkeypatch.setattr(loop, "call_soon_threadsafe", once_without_memory)
    await asyncio.sleep(0)
    # There is one thread: it has this when it has done with the other.
    helpers._made().submit(lambda: None).result(5)
    assert not first.done()
    async with asyncio.timeout(5):
        assert await helpers.step(begun(), lain.append) is False
        assert await first is False
    assert len(asked) == 2
    assert helpers.free == PER_THREAD
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert said == ["a thread that shakes hands broke"]
