"""A disk that fails at one moment, or that loses what was not flushed when the power goes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

Write = tuple[int, bytes] | tuple[int, None]
"""Offset and bytes, or a new length and None."""


class FaultyDisk(apsw.VFS):
    """Every file of SQLite goes through it while it is mounted (`mounted`).

    It counts what is asked of it (writing, cutting off, flushing); `fails` says which of these
    fail. What was flushed and what was only written is kept apart, so that `cut` can tell what a
    disk may hold after the power went.
    """

    def __init__(self) -> None:
        self.count = 0
        self.kinds: list[str] = []
        self.fail_from = self.fail_until = 0
        """The numbers (from 1) of what fails: from the first to before the second."""
        self.flushed: dict[str, bytearray] = {}
        self.pending: dict[str, list[Write]] = defaultdict(list)
        self.is_power_watched = False
        super().__init__("faulty", "unix", makedefault=True)

    def note(self, kind: str) -> None:
        """Count one demand; fail it if its turn has come."""
        self.count += 1
        self.kinds.append(kind)
        if self.fail_from <= self.count < self.fail_until:
            raise apsw.IOError(f"injected at {self.count}: {kind}")

    def fail_once(self, number: int, times: int = 1) -> None:
        """Let the `number`-th demand from now on fail, and those after it, `times` in all."""
        self.fail_from = self.count + number
        self.fail_until = self.fail_from + times

    def cut(self, place: Path, chance: random.Random) -> None:
        """Write into `place` what may be found after the power went just now: all that was
        flushed, and of the rest some or none, in any order."""
        for name in self.flushed:
            (place / Path(name).name).write_bytes(self.left(name, chance))

    def left(self, file: str, chance: random.Random) -> bytes:
        """Return what may be found in a file after the power went."""
        held = bytearray(self.flushed[file])
        for offset, data in self.pending.get(file, ()):
            if chance.random() < 0.5:
                continue
            if data is None:
                del held[offset:]
                continue
            held.extend(bytes(max(0, offset - len(held))))
            # A sector may be torn: the file system promises 512 bytes at best.
            size = chance.choice((len(data), len(data) // 512 * 512))
            held[offset : offset + size] = data[:size]
        return bytes(held)

    def file(self, name: str) -> str:
        """Return by which word a file is kept here: the name under which SQLite opens it."""
        if name not in self.flushed:
            held = b""
            with suppress(FileNotFoundError):
                held = Path(name).read_bytes()
            self.flushed[name] = bytearray(held)
        return name

    def flush(self, file: str) -> None:
        """Have all of a file that was written outlive the power."""
        held = self.flushed[file]
        for offset, data in self.pending.pop(file, ()):
            if data is None:
                del held[offset:]
            else:
                held.extend(bytes(max(0, offset - len(held))))
                held[offset : offset + len(data)] = data

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's name
        self.flushed.pop(filename, None)
        self.pending.pop(filename, None)
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        opened = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.is_kept = bool(flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL))
        self.file = disk.file(opened) if self.is_kept and disk.is_power_watched else ""
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._note("write", offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        self._note("truncate", newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        # Not passed on: no power will really go, and it takes its time.
        del flags
        if self.is_kept:
            self.disk.note("sync")
        if self.file:
            self.disk.flush(self.file)

    def _note(self, kind: str, offset: int, data: bytes | None) -> None:
        if not self.is_kept:
            return
        self.disk.note(kind)
        if self.file:
            self.disk.pending[self.file].append((offset, data))  # type: ignore[arg-type]


@contextmanager
def mounted() -> Iterator[FaultyDisk]:
    """Send all files that SQLite opens from now on through a faulty disk."""
    disk = FaultyDisk()
    try:
        yield disk
    finally:
        disk.unregister()
