"""One process per data directory."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from netpulse.storage import alive
from netpulse.storage.errors import StartRefused

FILE = "netpulse.lock"
"""Held by the server."""
ROTATION = "rotation.lock"
"""Held while the master key is being changed, copied or exchanged."""
RECENT_SECONDS = 30.0
"""How old a sign of life may be to be listened for another one; clocks of two machines differ."""
LISTEN_SECONDS = 6.5
"""A sign of life is given every five seconds."""


class DataLock:
    """The lock on a file of the data directory, held until `release` or the end of the process.

    flock(2) belongs to the open file, so that it ends with the process however it dies; the text
    in the file (pid, start in Unix milliseconds, host name) only tells others who holds it.
    """

    def __init__(self, handle: int) -> None:
        """Take the locked file descriptor; use `acquire`."""
        self._handle = handle

    @classmethod
    def acquire(cls, data: Path, file: str = FILE) -> DataLock:
        """Take the lock of the directory `data`, or another one of it.

        Raises:
            StartRefused: another process holds it (it is named), or the file cannot be written.
        """
        path = data / file
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartRefused(
                f"cannot write {path}: {error.strerror} (uid {os.getuid()}); change its owner, "
                "or choose another --data"
            ) from None
        try:
            if os.geteuid() == 0:
                # What root made must not shut out the user that the server runs as.
                owner = data.stat()
                os.fchown(handle, owner.st_uid, owner.st_gid)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file == FILE:
                _refuse_rival(data, os.pread(handle, 400, 0).decode("utf-8", "replace"))
            os.ftruncate(handle, 0)
            os.pwrite(handle, _card().encode(), 0)
        except BlockingIOError:
            by = _holder(os.pread(handle, 400, 0).decode("utf-8", "replace"))
            os.close(handle)
            if file == ROTATION:
                raise StartRefused(
                    f"another command ({by}) is at the key of {data}; let that finish"
                ) from None
            raise StartRefused(
                f"another NetPulse ({by}) already uses {data}; stop it or choose another --data"
            ) from None
        except StartRefused:
            os.close(handle)
            raise
        except OSError as error:
            os.close(handle)
            raise StartRefused(
                f"cannot lock {path}: {error.strerror}; choose a --data on a local disk"
            ) from None
        return cls(handle)

    def release(self) -> None:
        """Give the lock up; again is harmless. The file stays: removing it would race."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> DataLock:
        """Hold the lock for a `with` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock up."""
        self.release()


def holder(data: Path) -> str | None:
    """Return which process holds the lock of `data`, in words, or None if none does; changes
    nothing, where `other_holder` would write into the file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        handle = os.open(data / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.pread(handle, 400, 0).decode("utf-8", "replace"))
    finally:
        os.close(handle)
    return None


def other_holder(data: Path) -> str | None:
    """Return which other process holds the lock of `data`, in words, or None if none does."""
    try:
        card = (data / FILE).read_text()
    except OSError:
        return None
    if card.split()[:1] == [str(os.getpid())]:
        return None
    try:
        DataLock.acquire(data).release()
    except StartRefused:
        return _holder(card)
    return None


def _refuse_rival(data: Path, card: str) -> None:
    """Refuse where another machine's process is at work that our lock does not meet.

    Some file systems keep locks on each machine for itself, and a lock on a file that was deleted
    meets nobody. So where the last holder, as the file's text names it, was not on this machine,
    and a sign of life was given lately, we listen whether there comes another one. That costs time
    only after a crash: who ends in order takes the sign back.

    Raises:
        StartRefused: there is another NetPulse.
    """
    parts = card.split()
    if len(parts) > 2 and parts[2] == socket.gethostname():
        return
    sign = alive.moment(data)
    if sign is None or abs(time.time() - sign) > RECENT_SECONDS:
        return
    until = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < until:
        time.sleep(0.1)
        if alive.moment(data) not in (sign, None):
            raise StartRefused(
                f"another NetPulse ({_holder(card)}) is at work on {data}, though its lock is not "
                "seen from here: stop it, or choose a --data on a local disk"
            )


def _card() -> str:
    return f"{os.getpid()} {time.time_ns() // 1_000_000} {socket.gethostname()}\n"


def _holder(card: str) -> str:
    """Return who wrote `card`, in words."""
    parts = card.split()
    if not parts or not parts[0].isdigit():
        return "process unknown"
    host = parts[2] if len(parts) > 2 else ""
    elsewhere = f" on {host}" if host and host != socket.gethostname() else ""
    return f"process {parts[0]}{elsewhere}"
