"""Putting a backup in the place of the data: looked through as a whole before anything is touched.

What was there is kept beside it. The exchange is a handful of renames with a note of what is to be
done, so that a restore that was killed is finished by the next start, whichever rename it had come
to; before the note stands, the data is as it was.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import apsw
import msgspec
from msgspec import Struct

from netpulse.crypto.vault import Vault
from netpulse.model.backup import Manifest
from netpulse.model.time import Millis
from netpulse.storage import directory
from netpulse.storage.archive import BackupRefused, Progress, Unpacker
from netpulse.storage.migrations import LATEST
from netpulse.storage.opening import quick_check

STAGE = ".restoring"
_NOTE = "exchange.json"
_SPARE = 64 * 1024 * 1024
"""Bytes that must stay free beside what is unpacked."""
_LOGS = (f"{directory.MAIN}-wal", f"{directory.MAIN}-shm")
_PARTS = (directory.MAIN, *_LOGS, "hot", "checks", directory.KEY)


class _Exchange(Struct, frozen=True):
    """What the renames are."""

    keep: str
    """The directory (below the data directory) that takes what was there."""
    old: tuple[str, ...]
    new: tuple[str, ...]


def unpack(data: Path, source: Path, progress: Progress) -> tuple[Manifest, Path]:
    """Unpack a backup into a directory below `data` and look it through; the caller holds the lock.

    Returns the manifest and that directory, which is laid out like a data directory.

    Raises:
        BackupRefused: it is no sound backup, or there is no room; nothing was changed.
    """
    stage = data / STAGE
    with Unpacker(source) as archive:
        manifest = archive.manifest
        if manifest.layout > LATEST:
            raise BackupRefused(
                f"{source} was made by NetPulse {manifest.version}, whose layout (version "
                f"{manifest.layout}) this program does not know: restore it with that version"
            )
        room = os.statvfs(data)
        if room.f_bavail * room.f_frsize < manifest.size + _SPARE:
            raise BackupRefused(
                f"there is no room in {data}: unpacked, the backup has "
                f"{manifest.size // 1_000_000 + 1} MB"
            )
        try:
            shutil.rmtree(stage, ignore_errors=True)
            for folder in (stage, stage / "hot", stage / "checks"):
                folder.mkdir(mode=0o700)
            for one in manifest.files:
                archive.unpack(one, stage / one.name, progress)
        except OSError as error:
            raise BackupRefused(f"cannot unpack into {data}: {error.strerror}") from None
    for one in manifest.files:
        if one.name.endswith(".db"):
            _look_through(stage / one.name, source, one.name)
    return manifest, stage


def lay_key(source: Path, target: Path) -> None:
    """Put the key file of the backup's time beside what was unpacked, in the place of any other.

    Raises:
        BackupRefused: it cannot be read or written.
    """
    try:
        content = source.read_bytes()
        target.unlink(missing_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BackupRefused(f"cannot use {source} as the key: {error.strerror}") from None


def refuse_wrong_key(stage: Path, source: Path, vault: Vault) -> None:
    """Refuse a backup whose secrets the key at hand does not open.

    Raises:
        BackupRefused: it needs the key of its own time.
    """
    raw = apsw.Connection(str(stage / directory.MAIN), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = raw.execute("SELECT value FROM meta WHERE key = 'vault_check'").fetchall()
    finally:
        raw.close()
    if not rows or not isinstance(rows[0][0], bytes) or not vault.accepts(rows[0][0]):
        raise BackupRefused(
            f"the encryption key at hand does not belong to {source}: name the key file of the "
            "backup's time with --key-file, or set ENCRYPTION_KEY to it; nothing was changed"
        )


def exchange(data: Path, stage: Path, now: Millis) -> Path:
    """Put what was unpacked (and made ready) in the place of the data; return where that is kept.

    Raises:
        OSError: a rename failed; `finish` goes on where this one stopped.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now // 1000))
    keep = f"before-restore-{stamp}"
    note = _Exchange(
        keep=keep,
        old=tuple(part for part in _PARTS if _replaced(data, stage, part)),
        new=tuple(part for part in _PARTS if (stage / part).exists() and part not in _LOGS),
    )
    (data / keep).mkdir(mode=0o700)
    draft = stage / f"{_NOTE}.part"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(note))
        file.flush()
        os.fsync(file.fileno())
    _sync(stage)
    draft.rename(stage / _NOTE)
    _sync(stage)
    finish(data)
    return data / keep


def is_under_way(data: Path) -> bool:
    """Tell whether an exchange was begun and waits to be finished."""
    return (data / STAGE / _NOTE).exists()


def finish(data: Path) -> bool:
    """Finish an exchange that was begun, if there is one; the caller holds the lock.

    Returns whether there was one. Without the note nothing was exchanged yet, and what was
    unpacked is only in the way: it is removed.
    """
    stage = data / STAGE
    if not stage.is_dir():
        return False
    try:
        note = msgspec.json.decode((stage / _NOTE).read_bytes(), type=_Exchange)
    except FileNotFoundError:
        shutil.rmtree(stage, ignore_errors=True)
        return False
    keep = data / note.keep
    keep.mkdir(mode=0o700, exist_ok=True)
    for part in (*_LOGS, *(one for one in _PARTS if one not in _LOGS)):
        fresh = stage / part
        # What has come into place already must not be taken for what was there before.
        waits = part not in note.new or fresh.exists()
        if part in note.old and waits and (data / part).exists() and not (keep / part).exists():
            (data / part).rename(keep / part)
        if part in note.new and fresh.exists():
            fresh.rename(data / part)
    for folder in (data, keep):
        _sync(folder)
    (stage / _NOTE).unlink()
    shutil.rmtree(stage, ignore_errors=True)
    return True


def _replaced(data: Path, stage: Path, part: str) -> bool:
    """Tell whether a part of the data makes room: the key only for another key."""
    if not (data / part).exists():
        return False
    return part != directory.KEY or (stage / part).exists()


def _look_through(path: Path, source: Path, name: str) -> None:
    try:
        raw = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            raw.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            problems = quick_check(raw, lambda: False)
        finally:
            raw.close()
    except apsw.Error as error:
        problems = [str(error)]
    if problems:
        raise BackupRefused(f"{source} is damaged ({name}: {problems[0]}); nothing was changed")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
