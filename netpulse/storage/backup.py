"""Making a backup beside a running server: every file copied as SQLite copies, one after another.

The main file comes first, for all that must agree is in it. Hours come before months: an hour that
is sealed in between is then in both copies, and uniting the two is what sealing does anyway; the
other way round it could be in neither.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import apsw
from msgspec import Struct

from netpulse.model.backup import Manifest
from netpulse.model.time import Millis, rfc3339
from netpulse.storage import directory, rotation
from netpulse.storage.archive import BackupRefused, Packer, Progress
from netpulse.storage.errors import StartRefused
from netpulse.storage.lock import ROTATION, DataLock

_BUSY_MS = 10_000
KEY_CHANGES = (
    "the encryption key is being changed: let `netpulse key rotate` come to its end, then back up"
)


class Made(Struct, frozen=True):
    """A backup that was made."""

    manifest: Manifest
    size: int
    """Bytes of the file."""
    skipped: tuple[str, ...]
    """What could not be copied and why: damaged months, whose place is empty in the backup."""


def size_of(data: Path) -> int:
    """Return about how many bytes there are to copy."""
    return sum(path.stat().st_size for path in _sources(data) if path.exists())


def make(
    data: Path, target: Path, *, version: str, now: Millis, with_key: bool, progress: Progress
) -> Made:
    """Write a backup of the data directory to `target`, whole or not at all.

    Long work without an event loop: a command's, never the server's. `version` is the program's;
    `with_key` puts the encryption key in, whose holder then can read every secret in it.

    Raises:
        BackupRefused: there is nothing to back up, `target` is there already or cannot be written.
    """
    if not (data / directory.MAIN).exists():
        raise BackupRefused(f"there is no NetPulse data in {data}; name another --data")
    if target.exists():
        raise BackupRefused(f"{target} is there already; a backup is never written over another")
    key = data / directory.KEY
    if with_key and not key.exists():
        raise BackupRefused(
            f"{key} does not exist: the key is in the environment; leave --with-key out and keep "
            "ENCRYPTION_KEY somewhere safe"
        )
    draft = target.with_name(f".{target.name}.part")
    skipped: list[str] = []
    try:
        with _scratch(target) as scratch, _unchanging(data) if with_key else nullcontext():
            handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w+b") as file, Packer(file) as packer:
                layout = 0
                for path in _sources(data):
                    name = path.relative_to(data).as_posix()
                    copy = scratch / "copy.db"
                    try:
                        found = _copy(path, copy)
                    except apsw.CantOpenError:
                        if path.name == directory.MAIN or path.exists():
                            raise
                        continue  # sealed since it was listed: it is in its month
                    except (apsw.CorruptError, apsw.NotADBError) as error:
                        if path.name == directory.MAIN:
                            raise
                        skipped.append(f"{name}: {error}")
                        continue
                    if path.name == directory.MAIN:
                        layout = found
                        _refuse_two_keys(copy)
                    packer.add(name, copy, progress)
                    copy.unlink()
                if with_key:
                    packer.add(directory.KEY, key, progress)
                manifest = packer.close(version=version, layout=layout, made_at=rfc3339(now))
                file.flush()
                os.fsync(file.fileno())
        # link, not rename: never over a backup that came into being meanwhile.
        os.link(draft, target)
        _sync(target.parent)
    except FileExistsError:
        raise BackupRefused(f"{target} is there already; nothing was written over it") from None
    except OSError as error:
        raise BackupRefused(f"cannot write {target}: {error.strerror}") from None
    except apsw.Error as error:
        raise BackupRefused(f"cannot copy the data of {data}: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
    return Made(manifest, target.stat().st_size, tuple(skipped))


def _refuse_two_keys(copy: Path) -> None:
    """Refuse a main file in which some secrets are sealed with one key and some with another."""
    raw = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = raw.execute("SELECT 1 FROM meta WHERE key = ?", (rotation.RECORD,)).fetchall()
    finally:
        raw.close()
    if rows:
        raise BackupRefused(KEY_CHANGES)


def _sources(data: Path) -> Iterator[Path]:
    """Yield the files to copy, in the order that makes the copies fit together."""
    yield data / directory.MAIN
    for folder in ("hot", "checks"):
        if (data / folder).is_dir():
            yield from sorted((data / folder).glob("*.db"))


def _copy(source: Path, target: Path) -> int:
    """Copy a database in one step, so that no commit makes it begin anew; return its version."""
    target.unlink(missing_ok=True)
    reader = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        reader.set_busy_timeout(_BUSY_MS)
        writer = apsw.Connection(str(target))
        try:
            with writer.backup("main", reader, "main") as copying:
                while not copying.done:
                    copying.step(-1)
            version = writer.pragma("user_version")
            # Without a log of its own: one file is the whole database.
            writer.pragma("journal_mode", "delete")
        finally:
            writer.close()
    finally:
        reader.close()
    return int(str(version))


@contextmanager
def _unchanging(data: Path) -> Iterator[None]:
    """Keep the encryption key from being changed: the one that is packed last must open the main
    file that was copied first."""
    try:
        lock = DataLock.acquire(data, ROTATION)
    except StartRefused as refusal:
        raise BackupRefused(str(refusal)) from None
    with lock:
        if (data / directory.KEY).with_name(f"{directory.KEY}.next").exists():
            raise BackupRefused(KEY_CHANGES)
        yield


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give a directory beside the target for one copy at a time."""
    folder = target.with_name(f".{target.name}.copies")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
