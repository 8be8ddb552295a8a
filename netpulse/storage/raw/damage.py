"""Files found damaged: put aside under another name, told of, never made anew in silence."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from netpulse.model.time import Millis, rfc3339
from netpulse.storage.raw.files import DamagedFile, move_aside
from netpulse.storage.raw.names import Places

log = logging.getLogger(__name__)

_ASIDE = re.compile(r"(.+\.db)\.damaged-(\d{8}T\d{6}Z)(\.\d+)?")


class Damage(Struct, frozen=True, kw_only=True):
    """A file, or one blob in it, that could not be read."""

    name: str
    """The file it was: 2026-11.db (a month) or 2026112320.db (an hour)."""
    kept_as: str | None
    """The name it was given; null where it stays (one blob of it is damaged)."""
    reason: str
    """What SQLite, or the unpacking, said."""


class Infirmary:
    """Takes damaged files out of use."""

    def __init__(self, places: Places, now: Callable[[], Millis]) -> None:
        """Take the directories and the clock; what an earlier process put aside is found again."""
        self._now = now
        self._lock = threading.Lock()
        self._condemned: set[Path] = set()
        self.found: list[Damage] = []
        for directory in (places.checks, places.hot):
            for entry in sorted(directory.iterdir()):
                match = _ASIDE.fullmatch(entry.name)
                if match:
                    self.found.append(
                        Damage(
                            name=match[1], kept_as=entry.name, reason="found by an earlier start"
                        )
                    )

    def is_condemned(self, path: Path) -> bool:
        """Tell whether `path` waits to be put aside: it must not be read or written."""
        return path in self._condemned

    def condemn(self, damaged: DamagedFile) -> bool:
        """Note that a file is damaged; False where that is known already."""
        with self._lock:
            if damaged.path in self._condemned:
                return False
            self._condemned.add(damaged.path)
        return True

    def put_aside(self, damaged: DamagedFile) -> None:
        """Rename a damaged file; the caller sees to it that nobody has it open."""
        path = damaged.path
        stamp = re.sub(r"[-:]|\.\d+", "", rfc3339(self._now()))
        name = f"{path.name}.damaged-{stamp}"
        count = 1
        while path.with_name(name).exists():
            count += 1
            name = f"{path.name}.damaged-{stamp}.{count}"
        if path.exists():
            move_aside(path, name)
            log.error(
                "%s is damaged (%s) and kept as %s; what was in it is not shown",
                path.name,
                damaged.why,
                name,
            )
            self.found.append(Damage(name=path.name, kept_as=name, reason=damaged.why))
        with self._lock:
            self._condemned.discard(path)

    def note(self, path: Path, reason: str) -> None:
        """Note what cannot be read of a file that stays in use; once for each."""
        damage = Damage(name=path.name, kept_as=None, reason=reason)
        with self._lock:
            if damage in self.found:
                return
            self.found.append(damage)
        log.error("%s: %s", path.name, reason)

    def drop_before(self, month: str, places: Places) -> None:
        """Unlink what was put aside of months before `month` (``2026-11``)."""
        for directory in (places.checks, places.hot):
            for entry in list(directory.iterdir()):
                match = _ASIDE.fullmatch(entry.name.removesuffix("-wal"))
                if match and match[1].replace("-", "")[:6] < month.replace("-", ""):
                    entry.unlink(missing_ok=True)
                    self.found = [damage for damage in self.found if damage.kept_as != entry.name]
