"""Standard output and error that nobody takes: NetPulse goes on, and ends with 0 when it is told to."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
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
    """Tell whether it answers: one that waits for its streams never would."""
    return instance.call("GET", "/healthz")[0] == 200


def hang_up_until_full(instance: Instance, pipe: int) -> None:
    """Have it write lines until ten of them have found no room in the pipe.

    A signal that was sent before a question is heard before that is answered: so each is a line.
    """
    deadline = time.monotonic() + 60
    held, lost = 0, 0
    while lost < 10:
        assert time.monotonic() < deadline, "the pipe is never full"
        hang_up(instance, 1)
        assert answers(instance)
        before, held = held, inside(pipe)
        lost = lost + 1 if held == before else 0


def inside(pipe: int) -> int:
    """Return how many bytes nobody has taken yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


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
        eventually("the shop is up", lambda: instance.ok("GET", path)["status"] == "up")
        # Nobody reads, and the pipe is full after some seventy lines.
        hang_up_until_full(instance, reader)
        taken = os.read(reader, 1 << 20).decode()
        assert LINE in taken
        # Somebody reads again: the next line is preceded by how many are missing.
        hang_up(instance, 1)

        said = ""

        def is_said() -> bool:
            nonlocal said
            with suppress(BlockingIOError):
                said += os.read(reader, 1 << 20).decode()
            return LINE in said

        eventually("the next line", is_said)
        missing = re.search(
            r"WARNING log: nobody took what was written here; lines lost: (\d+)", said
        )
        assert missing is not None
        assert int(missing[1]) >= 10
        # Nobody is there any more.
        os.close(reader)
        reader = -1
        hang_up(instance, 20)
        assert answers(instance)
        site.down()
        eventually("the shop is down", lambda: instance.ok("GET", path)["status"] == "down", 40)
        assert instance.stop() == 0
    finally:
        site.down()
        if reader >= 0:
            os.close(reader)
