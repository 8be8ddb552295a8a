"""The data becomes read-only under our hands, as a file system does that found an error."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instance import Instance, Sink, Site, eventually, shop

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, see ioctl_iflags(2)."""
_IMMUTABLE = 0x10
SHOPS = 6
"""Each has a moment of its own in the ten seconds: the first is soon."""


def freeze(data: Path, *, frozen: bool) -> None:
    """Have every file and directory refuse to be written, open as they are, or take it back.

    For root rights mean nothing, and a file system is not remounted while files are open for
    writing. The attribute has the same effect on ext4 and others: no write, no new file.
    """
    for path in (data, *data.rglob("*")):
        if path.is_file() or path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                (flags,) = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))
                flags = flags | _IMMUTABLE if frozen else flags & ~_IMMUTABLE
                fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags))
            finally:
                os.close(handle)


IMPATIENT = """
import sys
from netpulse.cli import main
from netpulse.storage import db
db.MOST_REOPEN_SECONDS = db.REOPEN_SECONDS
sys.exit(main())
"""
"""The program, which tries the disk again every two seconds, and never more rarely."""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory that can be frozen, where there is one."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root of Linux can take writing away from itself: run as root")
    trial = made / "trial"
    with trial.open("wb", buffering=0) as file:
        try:
            freeze(made, frozen=True)
            file.write(b"x")
        except PermissionError:
            stops = True
        except OSError:
            stops = False
        else:
            stops = False
        finally:
            with suppress(OSError):
                freeze(made, frozen=False)
    if not stops:
        pytest.skip("this file system lets open files be written: run with --basetemp on ext4")
    trial.unlink()
    yield made
    freeze(made, frozen=False)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_data_that_turns_read_only_stops_nobody_from_being_told(data: Path) -> None:
    instance, site, sink = (
        Instance(data, command=[sys.executable, "-c", IMPATIENT]),
        Site().up(),
        Sink(),
    )
    try:
        instance.start()
        instance.register()
        instance.tell(sink.url, condition="down or system")
        for number in range(SHOPS):
            instance.watch(site.url, f"Shop {number}")

        def statuses() -> set[str]:
            return {one["status"] for one in instance.ok("GET", "/v1/monitors")}

        eventually("all are up", lambda: statuses() == {"up"})
        freeze(data, frozen=True)
        site.down()

        def kinds() -> set[str]:
            return {one["event"] for one in sink.events()}

        eventually("the first is told", lambda: kinds() >= {"monitor.down", "system.isolated"}, 40)
        # Pages and lists are there, and say what is wrong; what people do is refused in a sentence.
        assert instance.call("GET", "/v1/monitors")[0] == 200
        status, _, said = instance.call("POST", "/v1/monitors", shop(site.url, "Other"))
        assert (status, said["error"]["code"]) == (503, "STORAGE_TROUBLE")

        def is_called_so() -> bool:
            status, _, said = instance.call("GET", "/readyz")
            assert status == 503
            reason = "the database has become read-only: check the disk and its rights"
            return str(said["database"]).startswith(reason)

        eventually("it is called by its name when the file is opened again", is_called_so)
        eventually("all the others are told", lambda: len(sink.distinct()) == SHOPS + 1, 30)
        freeze(data, frozen=False)
        eventually("all is written", lambda: statuses() == {"down"}, 70)
        eventually("and told", lambda: "system.recovered" in kinds(), 30)
        eventually("all are told", lambda: len(sink.received) == SHOPS + 2, 20)
        incidents = {one["id"] for one in instance.ok("GET", "/v1/incidents")}
        told = [one["incident"]["id"] for one in sink.events() if one["event"] == "monitor.down"]
        assert sorted(told) == sorted(incidents), "each once, under the id that was told"
        assert instance.call("GET", "/readyz")[0] == 200
        assert instance.stop() == 0
    finally:
        freeze(data, frozen=False)
        instance.close()
        site.down()
        sink.close()
