"""Life as a one-file executable.

The visible process unpacks itself into a temporary folder and runs the program proper as its
child. Killed with SIGKILL it can neither end the child nor remove the folder, so the child sees to
both: it asks the kernel for a SIGTERM when its parent dies, and removes what earlier ones left.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_IN_USE = ".netpulse-in-use"
"""Locked by the process that runs from the folder it lies in."""
_MARKER = "netpulse"
"""A folder of the package's own data: what tells our extraction folders from others'."""
_YOUNG_SECONDS = 60
"""A folder this young may belong to an executable that is just starting."""

_held: list[int] = []


def is_frozen() -> bool:
    """Tell whether this is the one-file executable."""
    return hasattr(sys, "_MEIPASS")


def settle() -> None:
    """Tie this process's life to its parent's and sweep up; nothing when not frozen."""
    if not is_frozen() or not sys.platform.startswith("linux"):
        return
    _follow_parent()
    here = Path(sys._MEIPASS)  # type: ignore[attr-defined]  # set by the bootloader
    _hold(here)
    sweep(here.parent, here)


def _follow_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        sys.stderr.write(
            f"netpulse: the kernel refused to tie this process to its parent "
            f"({os.strerror(error)}); after kill -9, end both processes\n"
        )
        return
    # The parent may have died before the call: then nobody will send the signal, and whoever is
    # the parent now has another name. (What it runs, /proc/<pid>/exe, is not always readable.)
    try:
        parent = Path(f"/proc/{os.getppid()}/comm").read_bytes()
    except OSError:
        parent = b""
    if parent != Path("/proc/self/comm").read_bytes():
        sys.exit("netpulse: the process that started this one has ended")


def _hold(folder: Path) -> None:
    """Mark `folder` as in use for as long as this process lives."""
    descriptor = os.open(folder / _IN_USE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held.append(descriptor)


def sweep(temporary: Path, ours: Path) -> list[Path]:
    """Remove the extraction folders below `temporary` that no process runs from any more.

    Only folders of this user that hold a NetPulse and are older than a minute are touched, and
    never `ours`. Returns what was removed.
    """
    removed = []
    for folder in temporary.glob("_MEI*"):
        if folder == ours or not _is_stale(folder):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _is_stale(folder: Path) -> bool:
    try:
        state = folder.lstat()
        if state.st_uid != os.getuid() or folder.is_symlink():
            return False
        if not (folder / _MARKER).is_dir() or time.time() - state.st_mtime < _YOUNG_SECONDS:
            return False
        descriptor = os.open(folder / _IN_USE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
