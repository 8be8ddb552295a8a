"""Standard output and error that nobody takes: NetPulse goes on, and ends with 0 when it is told to."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import EMAIL, PASSWORD, SOURCE, Instance, Site, eventually

ADMIN = {"NETPULSE_ADMIN_EMAIL": EMAIL, "NETPULSE_ADMIN_PASSWORD": PASSWORD}
PIPE_BYTES = 8192
LINE = "SIGHUP: without a certificate of our own there is nothing to read again"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def redirected(instance: Instance, where: str) -> None:
    """Have a shell put the streams elsewhere before it becomes NetPulse."""
    instance.command = ["sh", "-c", f'exec "$@" {where}', "sh", *SOURCE]


def hang_up(instance: Instance, times: int) -> None:
    """Have it write about so many lines: signals that come together are one."""
    assert instance.process is not None
    for _ in range(times):
        instance.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)


def answers(instance: Instance) -> bool:
    """Tell whether it answers, and at once."""
    began = time.monotonic()
    return instance.call("GET", "/healthz")[0] == 200 and time.monotonic() - began < 3


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's: run on Linux")
@pytest.mark.parametrize("where", [">/dev/full 2>&1", "<&- >&- 2>&-"], ids=["full", "closed"])
def test_streams_that_take_nothing(instance: Instance, where: str) -> None:
    redirected(instance, where)
    instance.start(environ=ADMIN)
    instance.login()
    hang_up(instance, 20)
    assert answers(instance)
    assert instance.stop() == 0
    # None of our files was opened as one of the three streams, and written to as such.
    card = (instance.data / "netpulse.lock").read_text()
    assert card.count("\n") == 1
    assert card.split()[0].isdigit()
    instance.command = SOURCE
    instance.start()
    instance.login()


@pytest.mark.skipif(
    sys.platform != "linux", reason="a pipe's size is set on Linux only: run on Linux"
)
def test_a_reader_that_sleeps_and_one_that_goes_away(instance: Instance, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    site = Site().up()
    try:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        redirected(instance, f">{pipe} 2>&1")
        instance.start(environ=ADMIN)
        instance.login()
        path = instance.watch(site.url)
        eventually("the shop is up", lambda: instance.ok("GET", path)["status"] == "up", 10)
        # Nobody reads, and the pipe is full after some forty lines.
        hang_up(instance, 200)
        assert answers(instance)
        taken = os.read(reader, 1 << 20).decode()
        assert LINE in taken
        # Somebody reads again: the next line is preceded by how many are missing.
        hang_up(instance, 1)

        def rest() -> str:
            try:
                return os.read(reader, 1 << 20).decode()
            except BlockingIOError:
                return ""

        said = eventually("a word about those that are missing", rest, 10)
        assert "WARNING log: nobody took what was written here; lines lost: " in said
        assert LINE in said
        # Nobody is there any more.
        os.close(reader)
        reader = -1
        hang_up(instance, 20)
        assert answers(instance)
        site.down()
        eventually("the shop is down", lambda: instance.ok("GET", path)["status"] == "down", 20)
        assert instance.stop() == 0
    finally:
        site.down()
        if reader >= 0:
            os.close(reader)
