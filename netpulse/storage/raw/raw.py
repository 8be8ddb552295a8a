"""Raw results: every single check, in files of its own, apart from what must agree.

At most two seconds of checks are lost with the process. Nothing is decided by what lies here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import apsw

from netpulse.model.check import Check, Result
from netpulse.model.maintenance import Window
from netpulse.model.time import Millis
from netpulse.storage.errors import translated
from netpulse.storage.raw import hot, month
from netpulse.storage.raw.bulk import Bulk
from netpulse.storage.raw.chart import Bucket
from netpulse.storage.raw.damage import Damage, Infirmary
from netpulse.storage.raw.figures import Counts, HourFigures
from netpulse.storage.raw.files import (
    DamagedFile,
    NewerFile,
    Readers,
    open_file,
    remove_orphans,
    size_of,
)
from netpulse.storage.raw.hot_files import HotFiles
from netpulse.storage.raw.names import Places
from netpulse.storage.raw.read import Reader
from netpulse.storage.raw.seal import Sealer, Stopping
from netpulse.storage.raw.spool import Spool

log = logging.getLogger(__name__)

KEEP_ROWS = 50_000
"""Checks kept in memory while the disk takes none: about 30 MB."""
_READER_THREADS = 2
_SEAL_ATTEMPTS = 3

OnHour = Callable[[Millis, dict[int, HourFigures]], Awaitable[None]]
"""Is told the start of an hour and the figures of each monitor, by its key."""

P = ParamSpec("P")
T = TypeVar("T")


def _wall_clock() -> Millis:
    return int(time.time() * 1000)


def _passed(step: str) -> None:
    """Take no notice of a step."""


class Raw:
    """The store of raw results below a data directory."""

    def __init__(
        self,
        data: Path,
        *,
        keep_rows: int = KEEP_ROWS,
        now: Callable[[], Millis] = _wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        checkpoint: Callable[[str], None] = _passed,
    ) -> None:
        """Open the store, tidying up what a killed process left; damaged months are put aside.

        `now` names the files that are put aside, `monotonic` (seconds) tells how long checks have
        been in the spool, and `checkpoint` is told each step of sealing.

        Raises:
            OSError: the directories cannot be made or read.
        """
        self.data = data
        """The data directory."""
        places = self._places = Places(data)
        for directory in (places.hot, places.checks):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_orphans(directory)
        self._infirmary = Infirmary(places, now)
        self._stopping = threading.Event()
        self._files = HotFiles(places, self._stopping)
        self._hot = Readers(hot.VERSION, tidy=False)
        self._months = Readers(month.VERSION, tidy=True)
        self._checkpoint = checkpoint
        self._seal_trouble: str | None = None
        self._closed = False
        self._look_over()
        self._bulk = Bulk(self._files, Spool(places.spool), keep_rows, self._on_damage, monotonic)
        self.add = self._bulk.add
        """Queues one check with the key of its monitor, as `append` does."""
        self._reader = Reader(
            places,
            self._bulk,
            self._files,
            self._hot,
            self._months,
            self._infirmary,
            self._on_damage,
        )
        self._sealer = Sealer(
            places,
            self._files,
            self._hot,
            self._months,
            self._infirmary,
            self._stopping,
            checkpoint,
        )
        self._sealing = asyncio.Lock()
        self._read_threads = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="raw-read")
        self._seal_thread = ThreadPoolExecutor(1, thread_name_prefix="raw-seal")

    # -- writing

    def append(self, rows: Sequence[tuple[int, Check]]) -> None:
        """Queue checks with the keys of their monitors; on disk within about a second.

        Never waits. Raises RuntimeError when the store is closed.
        """
        self._bulk.append(rows)

    async def flush(self) -> bool:
        """Write what was queued until now to the hot files at once; False where the disk did not
        take it."""
        return await asyncio.wrap_future(self._bulk.flush())

    async def keep(self) -> bool:
        """Make what was queued until now survive the process, as happens after each second anyway;
        False where the disk did not take it."""
        return await asyncio.wrap_future(self._bulk.keep())

    # -- reading

    async def range(
        self,
        key: int,
        start: Millis,
        end: Millis,
        *,
        limit: int | None = None,
        newest_first: bool = True,
        result: Result | None = None,
    ) -> list[Check]:
        """Return the checks of a monitor due from `start` to before `end`, run by hand or not.

        Raises:
            StorageTrouble: the disk cannot be read.
        """
        return await self._read(self._reader.range, key, start, end, limit, newest_first, result)

    async def last(self, keys: Iterable[int], *, since: Millis = 0) -> dict[int, Check]:
        """Return the check of each monitor that was due last, those run by hand left out.

        One that was due before `since` is left out perhaps, which spares reading all of an hour.
        """
        return await self._read(self._reader.last, frozenset(keys), since)

    async def counts(
        self, key: int, start: Millis, end: Millis, without: Sequence[Window] = ()
    ) -> Counts:
        """Return what the checks due from `start` to before `end` came to, but for those in
        `without` (in the order of time, none over another)."""
        return await self._read(self._reader.counts, key, start, end, without)

    async def size(
        self, key: int, start: Millis, end: Millis, *, result: Result | None = None
    ) -> int:
        """Return how many checks `range` would return without a limit."""
        return await self._read(self._reader.size, key, start, end, result)

    async def series(self, key: int, start: Millis, end: Millis, points: int) -> list[Bucket]:
        """Return the stretch from `start` to `end` as at most `points` buckets, for a chart.

        Raises:
            ValueError: no points are asked for, or the stretch is empty.
        """
        return await self._read(self._reader.series, key, start, end, points)

    # -- keeping house

    async def seal_due(self, now: Millis, on_hour: OnHour) -> list[Millis]:
        """Seal the hours that ended five minutes ago or earlier; return those that are sealed.

        `on_hour` is awaited for each, before its hot file goes: after a crash it may be told of an
        hour once more, and when rows come late it is told of those monitors' hours anew. An hour
        for which it raises stays as it is, and the exception goes to the caller. When the disk is
        full the rest is left for the next time, and `trouble` says so.
        """
        sealed: list[Millis] = []
        async with self._sealing:
            try:
                for hour in self._sealer.due(now):
                    if await self._seal(hour, on_hour):
                        sealed.append(hour)  # noqa: PERF401 -- what an exception leaves is kept
                await self._guarded(self._sealer.merge_days, now)
                if self._seal_trouble is not None:
                    log.info("hours are sealed again (was: %s)", self._seal_trouble)
                self._seal_trouble = None
            except Stopping:
                log.info("sealing stops: the rest is done at the next start")
            except (apsw.Error, OSError) as error:
                what = str(translated(error) if isinstance(error, apsw.Error) else error)
                if self._seal_trouble is None:
                    log.exception("hours cannot be sealed: %s", what)
                self._seal_trouble = f"hours cannot be sealed: {what}"
        return sealed

    async def _seal(self, hour: Millis, on_hour: OnHour) -> bool:
        after = 0
        for _ in range(_SEAL_ATTEMPTS):
            packed = await self._guarded(self._sealer.pack_hour, hour, after)
            if packed is None:
                after = 0
                if not self._places.hot_path(hour).exists():
                    return False
                continue
            if packed.figures:
                await on_hour(hour, packed.figures)
            self._checkpoint("told")
            gone = await self._guarded(self._sealer.finish, hour, packed.last)
            if gone is not False:
                return gone is True
            after = packed.last
        return False

    async def drop_before(self, month: str) -> list[str]:
        """Unlink the files of the months before `month` (``2026-11``); return those months."""
        return await self._in(self._seal_thread, self._sealer.drop_before, month)

    async def verify(self, within_seconds: float) -> list[str]:
        """Let SQLite look through the month files, newest first, for as long as given at most.

        Damaged ones are put aside. Returns the months that were looked through and are sound.
        """
        return await self._read(self._reader.verify, within_seconds, self._stopping.is_set)

    def months(self) -> list[str]:
        """Return the months that have a file, oldest first."""
        return self._places.months()

    def bytes_on_disk(self) -> int:
        """Return the bytes of all files of the raw results."""
        return size_of(self._places.hot) + size_of(self._places.checks)

    @property
    def damaged(self) -> list[Damage]:
        """What could not be read, since the start and from earlier ones."""
        return list(self._infirmary.found)

    @property
    def trouble(self) -> str | None:
        """Why checks wait in memory or hours are not sealed, a sentence; null when all is well."""
        return self._bulk.trouble or self._seal_trouble

    @property
    def dropped(self) -> int:
        """How many checks were lost since the start because they could not be written."""
        return self._bulk.dropped

    @property
    def waiting(self) -> int:
        """How many checks are not on disk yet."""
        return self._bulk.waiting

    async def close(self) -> None:
        """Write what is queued, stop sealing where it is, and close all files."""
        if self._closed:
            return
        self._closed = True
        self._stopping.set()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._bulk.close()
        self._seal_thread.shutdown()
        self._read_threads.shutdown()
        self._hot.close_idle()
        self._months.close_idle()

    # -- inside

    def _look_over(self) -> None:
        """Put aside the months that cannot even be opened; nothing else uses the files yet."""
        for name in self._places.months():
            path = self._places.month_path(name)
            try:
                open_file(path, month.VERSION).close()
            except DamagedFile as damaged:
                self._infirmary.put_aside(damaged)
            except (NewerFile, apsw.Error) as error:
                self._infirmary.note(path, str(error))

    def _on_damage(self, damaged: DamagedFile) -> None:
        if not self._infirmary.condemn(damaged):
            return
        try:
            self._seal_thread.submit(self._put_aside, damaged)
        except RuntimeError:
            log.debug("closing: %s is left for the next start", damaged.path.name)

    def _put_aside(self, damaged: DamagedFile) -> None:
        path = damaged.path
        readers = self._hot if path.parent == self._places.hot else self._months
        with readers.retire(path), self._files.lock:
            self._files.forget_path(path)
            self._infirmary.put_aside(damaged)

    async def _guarded(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do `work` in the seal thread; None where it met a file that cannot be used."""
        if self._stopping.is_set():
            raise Stopping
        try:
            return await self._in(self._seal_thread, work, *args, **kwargs)
        except DamagedFile as damaged:
            self._infirmary.condemn(damaged)
            await self._in(self._seal_thread, self._put_aside, damaged)
        except NewerFile as newer:
            self._infirmary.note(newer.path, str(newer))
        return None

    async def _read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in(self._read_threads, work, *args, **kwargs)
        except apsw.Error as error:
            raise translated(error) from error

    async def _in(
        self,
        threads: ThreadPoolExecutor,
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, lambda: work(*args, **kwargs))
