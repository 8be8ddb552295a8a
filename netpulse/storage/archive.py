"""The file that a backup is: a ZIP of database files and a manifest, read with suspicion.

An archive may come from anywhere. What is in it is taken by name from a closed list, never by the
path it asks for; how much there is of it is known before anything is unpacked, and no more than
that is ever written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from netpulse.model.backup import FORMAT, BackedUp, Manifest

MANIFEST = "manifest.json"
MAX_FILES = 20_000
"""Months since 1970 and hours of a whole year's outage of the sealing: far more than there are."""
MAX_MANIFEST = 8 * 1024 * 1024
_CHUNK = 1024 * 1024
_EXPECTED = re.compile(
    r"netpulse\.db|secret\.key|hot/[0-9]{10}\.db|checks/[0-9]{4}-(0[1-9]|1[0-2])\.db"
)
# The end of a ZIP's central directory (APPNOTE 4.3.16) and its 64-bit locator and record.
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")

Progress = Callable[[str, int], None]
"""(name of the file, bytes just done)."""


class BackupRefused(Exception):
    """A backup cannot be made or restored; the text is one line for the operator."""


class Packer:
    """Writes an archive: file after file, the manifest last.

    Use it in a `with` block, which lets go of the file also where the archive is given up.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Take an empty file that can be written."""
        self._zip = zipfile.ZipFile(
            file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1
        )
        self._files: list[BackedUp] = []

    def __enter__(self) -> Packer:
        """Use it in a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file; what was given up is no archive, and whoever made it removes it."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()

    def add(self, name: str, path: Path, progress: Progress) -> None:
        """Add the file at `path` as `name`."""
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        with path.open("rb") as source, self._zip.open(info, "w", force_zip64=True) as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
                progress(name, len(chunk))
        self._files.append(BackedUp(name, size, digest.hexdigest()))

    def close(self, *, version: str, layout: int, made_at: str) -> Manifest:
        """Write the manifest and the ZIP's end, and return the manifest."""
        manifest = Manifest(
            format=FORMAT,
            version=version,
            layout=layout,
            made_at=made_at,
            files=tuple(self._files),
        )
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.close()
        return manifest


class Unpacker:
    """Reads an archive. Close it, or use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Open the archive at `path` and hold its list of contents against the manifest.

        Raises:
            BackupRefused: it is no backup, damaged, of a newer kind, or has something in it that
                no backup of ours has.
        """
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BackupRefused(f"cannot read {path}: {error.strerror}") from None
        try:
            refuse_crowd(self._file, path)
            self._zip = zipfile.ZipFile(self._file)
            self.manifest = self._read_manifest()
            self._refuse_strangers()
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
            self._file.close()
            raise BackupRefused(f"{path} is no backup of NetPulse, or damaged: {error}") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Unpacker:
        """Use it in a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._zip.close()
        self._file.close()

    def unpack(self, one: BackedUp, target: Path, progress: Progress) -> None:
        """Write a file of the manifest to `target`, which must not exist (mode 0600).

        Raises:
            BackupRefused: what comes out is not what the manifest says.
            OSError: it cannot be written.
        """
        digest, left = hashlib.sha256(), one.size
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            try:
                with self._zip.open(one.name) as source:
                    while chunk := source.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            break
                        digest.update(chunk)
                        file.write(chunk)
                        progress(one.name, len(chunk))
            except (zipfile.BadZipFile, EOFError, zlib.error) as error:
                raise self._damaged(one.name, str(error)) from None
            file.flush()
            os.fsync(file.fileno())
        if left or digest.hexdigest() != one.sha256:
            raise self._damaged(one.name, "it is not what the manifest says")

    def _read_manifest(self) -> Manifest:
        names = [info.filename for info in self._zip.infolist()]
        if names.count(MANIFEST) != 1:
            raise BackupRefused(f"{self._path} is no backup of NetPulse: it has no manifest")
        if self._zip.getinfo(MANIFEST).file_size > MAX_MANIFEST:
            raise BackupRefused(f"{self._path} is no backup of NetPulse: its manifest is too large")
        with self._zip.open(MANIFEST) as file:
            try:
                raw = file.read(MAX_MANIFEST + 1)
                found = msgspec.json.decode(raw)
                newer = isinstance(found, dict) and found.get("format", 0) > FORMAT
                manifest = None if newer else msgspec.json.decode(raw, type=Manifest)
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, zlib.error) as error:
                raise BackupRefused(f"{self._path}: the manifest is damaged: {error}") from None
        if manifest is None:
            raise BackupRefused(
                f"{self._path} was made by a newer NetPulse: restore it with that version"
            )
        return manifest

    def _refuse_strangers(self) -> None:
        listed = {one.name: one.size for one in self.manifest.files}
        if len(listed) != len(self.manifest.files) or "netpulse.db" not in listed:
            raise BackupRefused(f"{self._path}: the manifest is damaged")
        infos = [info for info in self._zip.infolist() if info.filename != MANIFEST]
        there = {info.filename: info.file_size for info in infos}
        strange = [
            info.filename
            for info in infos
            if not _EXPECTED.fullmatch(info.filename)
            or info.filename not in listed
            or info.is_dir()
            or (info.external_attr >> 28) not in (0, 0o10)
        ]
        if strange or len(there) != len(infos):
            what = repr(strange[0]) if strange else "the same name twice"
            raise BackupRefused(
                f"{self._path} has {what[:120]} in it, which no backup of NetPulse has; nothing "
                "was unpacked"
            )
        if there != listed:
            raise BackupRefused(f"{self._path} is incomplete: its manifest lists other files")

    def _damaged(self, name: str, why: str) -> BackupRefused:
        return BackupRefused(f"{self._path} is damaged ({name}: {why}); nothing was changed")


def refuse_crowd(file: BinaryIO, path: Path) -> None:
    """Look at the end of a ZIP before anybody reads its whole list of contents into memory.

    Raises:
        BackupRefused: it is no ZIP, or says that it holds more than MAX_FILES files.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - 0xFFFF - _LOCATOR.size)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise BackupRefused(f"{path} is no backup of NetPulse, or was cut short")
    _, _, _, _, count, length, _, _ = _END.unpack_from(tail, at)
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at].startswith(b"PK\x06\x07"):
        record = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
        file.seek(min(record, size))
        head = file.read(_END_64.size)
        if len(head) == _END_64.size:
            fields = _END_64.unpack(head)
            count, length = max(count, fields[7]), max(length, fields[8])
    if count > MAX_FILES or (length != 0xFFFFFFFF and length > MAX_FILES * 200):
        raise BackupRefused(
            f"{path} holds {count} files; a backup of NetPulse has at most {MAX_FILES}"
        )
