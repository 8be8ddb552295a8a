"""A faulty disk that also holds plain files and names: all that lies below a data directory."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from tests.faulty_disk import FaultyDisk

Names = list[tuple[str, str | None]]
"""What one demand does to names: which of them means which file from now on, or none."""


def _nothing() -> None:
    """Take no notice."""


class WholeDisk(FaultyDisk):
    """Besides what goes through SQLite it counts, and fails, what plain files and directories are
    asked: writing, flushing, renaming, unlinking.

    A name outlives the power once its directory was flushed; before that, names are done in the
    order they were asked for, up to any one of them, as in the journal of a file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, str] = {}
        self.kept_names: dict[str, str] = {}
        self.pending_names: list[Names] = []
        self.seen: Callable[[], None] = _nothing
        """Is called for each demand, before it is done."""
        self._made = 0
        super().__init__()

    def file(self, name: str) -> str:
        """Return which file a name means, one made for it where it means none yet."""
        if name not in self.names:
            self._made += 1
            made = f"{self._made} {Path(name).name}"
            path = Path(name)
            if path.exists() and path.stat().st_size:
                self.flushed[made] = bytearray(path.read_bytes())
                self.kept_names[name] = made
            else:
                self.flushed[made] = bytearray()
                self.pending_names.append([(name, made)])
            self.names[name] = made
        return self.names[name]

    def flush(self, file: str) -> None:
        """Have all of a file that was written outlive the power; of a log the name, too, since
        SQLite flushes its directory with it."""
        super().flush(file)
        for name, meant in self.names.items():
            if meant == file and name.endswith("-wal"):
                self.flush_names(str(Path(name).parent))
                return

    def flush_names(self, directory: str) -> None:
        """Have the names in a directory outlive the power."""
        later = []
        for names in self.pending_names:
            if all(str(Path(name).parent) == directory for name, _ in names):
                self._apply(self.kept_names, names)
            else:
                later.append(names)
        self.pending_names = later

    def note(self, kind: str) -> None:
        """As FaultyDisk does."""
        super().note(kind)
        self.seen()

    def asked(self, kind: str) -> None:
        """Count a demand that does not come from SQLite; fail it if its turn has come."""
        self.count += 1
        self.kinds.append(kind)
        if self.fail_from <= self.count < self.fail_until:
            raise OSError(errno.EIO, f"injected at {self.count}: {kind}")
        self.seen()

    def renamed(self, changes: Names) -> None:
        """Note what was renamed or unlinked."""
        self._apply(self.names, changes)
        self.pending_names.append(changes)

    def cut(self, place: Path, chance: random.Random) -> None:
        """As FaultyDisk does, into the directories below `place`."""
        names = dict(self.kept_names)
        for changes in self.pending_names[: chance.randint(0, len(self.pending_names))]:
            self._apply(names, changes)
        for name, file in names.items():
            target = place / Path(name).relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.left(file, chance))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's name
        super().xDelete(filename, syncdir)
        if filename in self.names:
            self.renamed([(filename, None)])

    @staticmethod
    def _apply(names: dict[str, str], changes: Names) -> None:
        for name, file in changes:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file


class _Connection(apsw.Connection):
    """SQLite says nothing of what it meets while it closes a file, and nothing depends on it; what
    a VFS of apsw raises then comes out all the same."""

    def close(self, force: bool = False) -> None:
        with suppress(apsw.IOError):
            super().close(force)


@contextmanager
def mounted(root: Path) -> Iterator[WholeDisk]:
    """Send all that is asked of files below `root` from now on through a faulty disk."""
    disk = WholeDisk(root)
    real: dict[str, Callable[..., Any]] = {
        name: getattr(os, name) for name in ("pwrite", "fsync", "fdatasync", "rename", "unlink")
    }
    connection = apsw.Connection
    inside = f"{root}{os.sep}"

    def of(descriptor: int) -> str:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        return name if name.startswith(inside) else ""

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        if name := of(descriptor):
            disk.asked("plain write")
            if disk.is_power_watched:
                disk.pending[disk.file(name)].append((at, bytes(data)))
        return int(real["pwrite"](descriptor, data, at))

    def flush(descriptor: int) -> None:
        # Not passed on, as what SQLite asks for.
        if name := of(descriptor):
            is_directory = Path(name).is_dir()
            disk.asked("directory sync" if is_directory else "plain sync")
            if is_directory:
                disk.flush_names(name)
            elif disk.is_power_watched:
                FaultyDisk.flush(disk, disk.file(name))

    def rename(source: str | Path, target: str | Path) -> None:
        old, new = str(source), str(target)
        if new.startswith(inside):
            disk.asked("rename")
        real["rename"](source, target)
        if old in disk.names:
            disk.renamed([(new, disk.names[old]), (old, None)])

    def unlink(path: str | Path, **options: Any) -> None:
        if (name := str(path)).startswith(inside) and Path(name).exists():
            disk.asked("unlink")
        real["unlink"](path, **options)
        if name in disk.names:
            disk.renamed([(name, None)])

    faulty = {
        "pwrite": pwrite,
        "fsync": flush,
        "fdatasync": flush,
        "rename": rename,
        "unlink": unlink,
    }
    try:
        for name, function in faulty.items():
            setattr(os, name, function)
        apsw.Connection = _Connection  # type: ignore[misc]
        yield disk
    finally:
        apsw.Connection = connection  # type: ignore[misc]
        for name, function in real.items():
            setattr(os, name, function)
        disk.unregister()
