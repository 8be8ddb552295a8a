"""A process that may have little: 256 descriptors and 256 MiB, and a disk that is full.

What we lack ourselves is never the targets' fault, and nobody restarts anything. The memory is limited
by `ulimit -d`, which counts what is allocated (a control group would count what is used, but takes
rights that a test may not have), with threads' stacks of 1 MiB, which it counts whole.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpulse.model.monitor import HttpSpec
from tests.far_target import FarTarget
from tests.home import spec
from tests.instance import ROOT, SOURCE, Instance, Sink, Site, eventually, shop
from tests.store import enter

DESCRIPTORS = 256
MEMORY_KIB = 256 * 1024
MONITORS = 2_000
INTERVAL = 20
BOMBS = 4
"""Of those that tests.hostile has, the first."""
STRANGERS = 500
AT_ONCE = (DESCRIPTORS - 64) // 2
SLOW_SECONDS = 1.0
"""So many at once and no more, a second each: just below what the interval asks for."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def statuses(instance: Instance) -> dict[str, int]:
    """Return how many monitors are in each state."""
    found = {}
    for status in ("pending", "up", "down", "degraded", "unknown"):
        answer = instance.call("GET", f"/v1/monitors?status={status}&limit=1")[2]
        found[status] = answer["meta"]["total"]
    return found


def of_process(instance: Instance, name: str) -> int:
    """Return a figure of /proc/PID/status."""
    assert instance.process is not None
    for line in Path(f"/proc/{instance.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(name)


@pytest.fixture
def bombs() -> Iterator[str]:
    """A process with targets that would fill any memory; gives its address."""
    host = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert host.stdout is not None
    yield f"http://127.0.0.1:{host.stdout.readline().split()[0]}"
    host.communicate(timeout=20)


def load(target: str, bombs: str) -> list[HttpSpec]:
    """Return the monitors."""
    often = {"interval_seconds": INTERVAL, "timeout_seconds": 8, "confirmations": 1}
    return [
        *(spec(f"{target}{n}", name=f"Shop {n}", **often) for n in range(MONITORS)),
        *(spec(f"{bombs}/{n}", name=f"Bomb {n}", **often) for n in range(BOMBS)),
    ]


class Strangers:
    """500 who connect, send half a head and wait, again and again when they are thrown out."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._held: list[socket.socket] = []

    def crowd(self) -> None:
        """Have 500 connections, new ones for those that were closed."""
        self._held = [one for one in self._held if not self._is_closed(one)]
        while len(self._held) < STRANGERS:
            one = socket.socket()
            one.settimeout(2.0)
            one.connect(self._address)
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
            one.setblocking(False)
            self._held.append(one)

    @staticmethod
    def _is_closed(one: socket.socket) -> bool:
        try:
            closed = one.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            closed = True
        if closed:
            one.close()
        return closed

    def close(self) -> None:
        """Go away."""
        for one in self._held:
            one.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    sys.platform != "linux", reason="the limits and /proc are Linux's: run on Linux"
)
def test_256_descriptors_and_256_mib_are_our_own_trouble(instance: Instance, bombs: str) -> None:
    instance.start()
    instance.register()
    assert instance.stop() == 0
    limits = f"ulimit -n {DESCRIPTORS}; ulimit -s 1024; ulimit -d {MEMORY_KIB}"
    instance.command = ["sh", "-c", f'{limits}; exec "$@"', "sh", *SOURCE]
    target = FarTarget(SLOW_SECONDS)
    try:
        asyncio.run(enter(instance.data, load(target.url, bombs)))
        instance.start()
        instance.login()
        assert instance.process is not None
        count = MONITORS + BOMBS
        eventually("all are up", lambda: statuses(instance)["up"] == count, 90)
        descriptors = Path(f"/proc/{instance.process.pid}/fd")
        strangers, most, waits = Strangers(instance.port), 0, []
        try:
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline:
                strangers.crowd()
                most = max(most, sum(1 for _ in descriptors.iterdir()))
                began = time.monotonic()
                assert instance.call("GET", "/healthz")[0] == 200
                waits.append(time.monotonic() - began)
                time.sleep(0.1)
        finally:
            strangers.close()
        # They cannot have the descriptors that checks and the database need.
        assert DESCRIPTORS // 2 < most < DESCRIPTORS - 8, most
        assert "Too many open files" not in instance.text
        assert max(waits) < 12, waits
        # They are let in and thrown out by turns, and everybody else's turn comes.
        assert "more connections come than there is room for" in instance.text
        eventually("all are up", lambda: statuses(instance)["up"] == count, 60)
        assert instance.ok("GET", "/v1/incidents") == []
        for number in (1, MONITORS // 2, MONITORS):
            monitor_id = instance.ok("GET", f"/v1/monitors?limit=1&page={number}")[0]["id"]
            account = instance.ok("GET", f"/v1/monitors/{monitor_id}/uptime?period=24h")
            assert account["down_seconds"] == 0
            checks = instance.ok("GET", f"/v1/monitors/{monitor_id}/checks?limit=100")
            assert {check["status"] for check in checks} <= {"up", "inconclusive"}
            assert not {check["failure"] for check in checks} & {"own_limit", "internal"}
        assert of_process(instance, "VmHWM") < MEMORY_KIB
        assert instance.stop() == 0
    finally:
        most_at_once = target.close()
    assert AT_ONCE // 2 <= most_at_once <= AT_ONCE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", str(place)]
    done = mount and subprocess.run(command, capture_output=True, check=False)
    if not done or done.returncode:
        pytest.skip("a small file system can be mounted by root only: run as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Take what is left of the file system."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@pytest.mark.slow
def test_a_full_disk_stops_nobody_from_being_told(small_disk: Path) -> None:
    """The outage of a full disk is told from memory, written when there is room, told once."""
    instance = Instance(small_disk / "data")
    site, sink, ballast = Site().up(), Sink(), small_disk / "ballast"
    try:
        instance.start()
        instance.register()
        instance.tell(sink.url, condition="down or system")
        path = instance.watch(site.url, retry_interval_seconds=1)
        eventually("the shop is up", lambda: instance.ok("GET", path)["status"] == "up", 10)

        def is_full() -> bool:
            fill(ballast)
            return "the disk is full" in str(instance.call("GET", "/readyz")[2])

        eventually("the reserve is used up too", is_full, 60)
        site.down()
        eventually("it is told", lambda: kinds(sink) >= {"monitor.down", "system.isolated"}, 30)
        # Pages and lists are there, and say what is wrong; what people do is refused in a sentence.
        status, _, said = instance.call("GET", "/v1/monitors")
        assert (status, said["meta"]["total"]) == (200, 1)
        page = instance.call("GET", "/dashboard")
        assert page[0] in (200, 303)
        status, _, said = instance.call("POST", "/v1/monitors", shop(site.url, "Other"))
        assert (status, said["error"]["code"]) == (503, "STORAGE_TROUBLE")
        ballast.unlink()
        eventually("it is written", lambda: instance.ok("GET", path)["status"] == "down", 30)
        eventually("and told", lambda: "system.recovered" in kinds(sink), 30)
        (incident,) = instance.ok("GET", "/v1/incidents")
        told = {one["event"]: one["incident"] for one in sink.distinct()}
        assert told["monitor.down"]["id"] == incident["id"]

        def all_are_sent() -> bool:
            events = instance.ok("GET", "/v1/alert-events")
            return {one["status"] for one in events} == {"sent"} and len(events) == 3

        eventually("all that was told is in the list", all_are_sent, 20)
        assert len(sink.received) == 3, "nobody was told twice"
        site.up()
        eventually("it is up again", lambda: instance.ok("GET", path)["status"] == "up", 30)
        assert instance.call("GET", "/readyz")[0] == 200
        assert instance.stop() == 0
        assert instance.start().stop() == 0
    finally:
        instance.close()
        site.down()
        sink.close()


def kinds(sink: Sink) -> set[str]:
    """Return the events that came."""
    return {one["event"] for one in sink.events()}
