"""The data directory: made, checked, and told apart from a foreign or a damaged one."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from netpulse.storage.errors import StartRefused

MAIN = "netpulse.db"
KEY = "secret.key"
FRESH = ".first-start"
"""A marker that stands from the making of the directory until the main file is there: a first
start that was killed in between may go on, though a key is there already."""

_NETWORK = frozenset(
    """nfs nfs4 cifs smb smb2 smb3 smbfs ncpfs afs ceph lustre gfs gfs2 ocfs2 gpfs beegfs glusterfs
    davfs fuse.sshfs fuse.glusterfs fuse.cephfs fuse.s3fs fuse.rclone fuse.davfs2 fuse.smbnetfs
    fuse.goofys fuse.gcsfuse fuse.blobfuse fuse.blobfuse2""".split()
)


_OCTAL = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes a space, a tab, a line end and a backslash."""


def prepare(data: Path) -> None:
    """Make the data directory (mode 0700) if it is missing, and check that it can be used.

    Raises:
        StartRefused: it is no directory, not writable, or on a network file system, whose locks
            and shared memory SQLite's log cannot rely on.
    """
    try:
        made = not data.exists()
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if made:
            data.chmod(0o700)
        elif _is_ours(data):
            _tighten(data, 0o700)
    except FileExistsError:
        raise StartRefused(f"{data} is not a directory; choose another --data") from None
    except OSError as error:
        raise _unusable(data, error) from None
    system = network_file_system(data)
    if system is not None:
        raise StartRefused(
            f"{data} is on a network file system ({system}), where databases get damaged; "
            "choose a local directory with --data"
        )
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        raise StartRefused(
            f"{data} is not writable for uid {os.getuid()}: change its owner, or choose another "
            "--data"
        )
    try:
        if not _remains(data) and not (data / MAIN).exists() and not (data / KEY).exists():
            (data / FRESH).touch(mode=0o600)
    except OSError as error:
        raise _unusable(data, error) from None


def has_data(data: Path) -> bool:
    """Tell whether `data` holds anything that belongs to an earlier run: a key must not be new."""
    return (data / MAIN).exists() or _remains(data)


def may_create(data: Path) -> bool:
    """Tell whether a new main file may be made: nothing of an earlier run is there.

    A key alone is of an earlier run too, unless this very first start has made it.
    """
    if _remains(data):
        return False
    return (data / FRESH).exists() or not (data / KEY).exists()


def secure(path: Path) -> None:
    """Take the rights of group and others off a file of ours."""
    _tighten(path, 0o600)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of the network file system that `path` is on, or None.

    `mounts` is the text of /proc/self/mountinfo (proc(5)); where the system has none, nothing is
    known and None is returned.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return None
    real = os.path.realpath(path)
    longest, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 5 or not rest[0]:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]).rstrip("/")
        # The last mount of a point covers the earlier ones.
        if (real == point or real.startswith(point + "/")) and len(point) >= longest:
            longest, kind = len(point), rest[0]
    return kind if kind in _NETWORK else None


def _remains(data: Path) -> bool:
    """Tell whether raw results are there: months, or hours that are not sealed yet."""
    return any(
        next((data / folder).glob("*.db"), None) is not None
        for folder in ("checks", "hot")
        if (data / folder).is_dir()
    )


def _is_ours(data: Path) -> bool:
    """Tell whether the directory is for us alone: empty, or with our main file in it."""
    return (data / MAIN).exists() or next(data.iterdir(), None) is None


def _tighten(path: Path, mode: int) -> None:
    info = path.stat()
    if info.st_uid == os.getuid() and stat.S_IMODE(info.st_mode) & 0o077:
        path.chmod(mode)


def _unusable(data: Path, error: OSError) -> StartRefused:
    return StartRefused(
        f"cannot use {data} as data directory: {error.strerror} (uid {os.getuid()}); "
        "change its owner, or choose another --data"
    )
