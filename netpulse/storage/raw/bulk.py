"""The thread `bulk`: it alone appends checks to the hot files, many at a time.

Each second's checks are on disk when it is over: five hundred and more in the hot files at once, a
thousand sooner, fewer in the spool, until half a minute of them is written together. While the disk
takes nothing, the newest checks wait in memory; when it does again, they are written. The process
may be killed at any moment: what had waited for over a second is on disk. The power may go at any
moment, too: each half minute the hot files are flushed.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice

import apsw

from netpulse.model.check import Check
from netpulse.model.time import HOUR, Millis
from netpulse.storage.raw.files import DamagedFile, NewerFile
from netpulse.storage.raw.hot_files import HotFiles, Keyed
from netpulse.storage.raw.names import hour_of
from netpulse.storage.raw.row import Row, to_check, to_row
from netpulse.storage.raw.spool import Spool

log = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
COMMIT_ROWS = 500
"""So many, and more, are not worth a stay in the spool."""
HOLD_SECONDS = 30.0
"""How long checks lie in the spool at most, where fewer than COMMIT_ROWS come together; and how
long at most a power failure may take what is in the hot files."""
RETRY_SECONDS = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
MOST_AT_ONCE = 1_000
"""A longer transaction would be felt on the event loop. So many do not wait for the second."""


Waiting = tuple[int, Check]
"""A monitor's key, and a check of it that is not on disk yet."""


class Bulk:
    """The queue of checks that are not in the hot files yet, and the thread that empties it."""

    def __init__(
        self,
        hot: HotFiles,
        spool: Spool,
        keep: int,
        on_damage: Callable[[DamagedFile], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread; at most `keep` checks wait in memory. What lies in the spool of a
        process that ended waits first."""
        self._monotonic = monotonic
        self._hot = hot
        self._spool = spool
        self._keep = keep
        self._on_damage = on_damage
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Waiting] = deque()
        self._writing: Sequence[Waiting] = ()
        self._spooled = 0
        """So many of the first that wait are in the spool."""
        self._hold_until = 0.0
        """Monotonic moment from which on what is in the spool is to be written, and flushed."""
        self._unvouched = False
        """The disk did not vouch for what was flushed last, which was told."""
        self._flushes: list[Future[bool]] = []
        self._keeps: list[Future[bool]] = []
        self._closing = False
        self._idle = False
        """The thread waits for a first check, and has to be told of it. While checks keep coming it
        looks by itself each second: to be woken is a hundred times what a check is to it."""
        self._dropping = False
        self.dropped = 0
        """Checks that were lost: the oldest when too many waited, and what no check can be."""
        self.trouble: str | None = None
        """Why checks wait in memory, as a sentence; null while all goes well."""
        self._waiting.extend(_left(spool))
        self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Waiting]) -> None:
        """Queue checks with their monitors' keys. It neither waits nor fails for the disk.

        Raises:
            RuntimeError: the store is closed.
        """
        if not rows:
            return
        with self._lock:
            if self._closing:
                raise RuntimeError("the raw results are closed")
            was = len(self._waiting)
            self._waiting.extend(rows)
            if was >= self._keep - len(rows):
                self._drop_oldest()
            if self._idle or was < MOST_AT_ONCE <= len(self._waiting):
                self._idle = False
                self._changed.notify_all()

    def add(self, key: int, check: Check) -> None:
        """Queue one check, as `append` does.

        Raises:
            RuntimeError: the store is closed.
        """
        with self._lock:
            if self._closing:
                raise RuntimeError("the raw results are closed")
            self._waiting.append((key, check))
            count = len(self._waiting)
            if count > self._keep:
                self._drop_oldest()
            if self._idle or count == MOST_AT_ONCE:
                self._idle = False
                self._changed.notify_all()

    def _drop_oldest(self) -> None:
        excess = len(self._waiting) - self._keep
        if excess <= 0:
            return
        for _ in range(excess):
            self._waiting.popleft()
        self._spooled = max(0, self._spooled - excess)
        if not self._dropping:
            self._dropping = True
            log.error(
                "checks are dropped, the oldest first: %s", self.trouble or "the disk is slow"
            )
        self.dropped += excess

    @property
    def waiting(self) -> int:
        """How many checks are not on disk yet."""
        return len(self._writing) + len(self._waiting) - self._spooled

    def rows(self, key: int) -> list[Row]:
        """Return the rows of one monitor that are in no hot file yet, in the order they came."""
        with self._changed:
            everything = [*self._writing, *self._waiting]
        return [row for _, row in _rows((k, check) for k, check in everything if k == key)]

    def newest(self) -> dict[int, Row]:
        """Return the counted row that is due last of each monitor, of those in no hot file yet."""
        with self._changed:
            everything = [*self._writing, *self._waiting]
        newest: dict[int, Row] = {}
        for key, row in _rows((k, check) for k, check in everything if check.counted):
            if key not in newest or row[0] >= newest[key][0]:
                newest[key] = row
        return newest

    def flush(self) -> Future[bool]:
        """Ask for everything queued until now to be written to the hot files at once.

        The future says whether it is there now; it is not while the disk is in trouble.
        """
        return self._ask(self._flushes)

    def keep(self) -> Future[bool]:
        """Ask for what is done at the end of a second to be done at once: what was queued until now
        is in the hot files, or in the spool, as the future says."""
        return self._ask(self._keeps)

    def _ask(self, asked: list[Future[bool]]) -> Future[bool]:
        future: Future[bool] = Future()
        with self._changed:
            if self._closing:
                future.set_result(not self.waiting)
            else:
                asked.append(future)
                self._changed.notify_all()
        return future

    def close(self) -> None:
        """Write what is queued, if the disk takes it, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._hot.close()
        self._spool.close()
        if self.waiting:
            log.error(
                "%d checks are lost with the end of the process: %s", self.waiting, self.trouble
            )

    def _run(self) -> None:
        came = False
        while True:
            with self._changed:
                if not came:
                    self._idle = True
                    self._changed.wait_for(self._something, self._rest())
                    self._idle = False
                if self.trouble is None:
                    self._changed.wait_for(self._at_once, COMMIT_SECONDS)
                else:
                    self._changed.wait_for(self._asked, RETRY_SECONDS)
                flushes, self._flushes[:] = [*self._flushes], ()
                keeps, self._keeps[:] = [*self._keeps], ()
                closing = self._closing
                came = len(self._waiting) > self._spooled
                may_wait = not flushes and not closing and self._may_wait()
            kept = may_wait and self._to_spool()
            written = kept or self._drain()
            for future in (*flushes, *keeps):
                # Who asked may not wait any more: that must not end the thread.
                if future.set_running_or_notify_cancel():
                    future.set_result(written)
            if closing:
                return

    def _something(self) -> bool:
        return len(self._waiting) > self._spooled or self._asked()

    def _rest(self) -> float | None:
        """Return for how many seconds nothing has to be done about what the power may take."""
        if not self._spooled and not self._hot.is_loose:
            return None
        return max(0.0, self._hold_until - self._monotonic())

    def _at_once(self) -> bool:
        return len(self._waiting) >= MOST_AT_ONCE or self._asked() or self._rest() == 0.0

    def _asked(self) -> bool:
        return bool(self._flushes or self._keeps) or self._closing

    def _may_wait(self) -> bool:
        return (
            self.trouble is None
            and len(self._waiting) < COMMIT_ROWS
            and self._monotonic() < self._hold_until
        )

    def _to_spool(self) -> bool:
        """Keep what waits in the spool; False where that did not work."""
        with self._changed:
            until, dropped = len(self._waiting), self.dropped
            fresh = list(islice(self._waiting, self._spooled, until))
        try:
            rows = list(_rows(fresh))
            if rows:
                self._spool.append(rows)
        except OSError as error:
            # Then the hot files are to take it, and if they cannot either, that is told.
            log.warning("checks cannot wait on disk, they are written at once: %s", error)
            return False
        except Exception:
            log.exception("checks cannot wait on disk, they are written at once")
            return False
        with self._changed:
            # Meanwhile the oldest may have been dropped: more came than can be kept.
            self._spooled = max(0, until - (self.dropped - dropped))
        return True

    def _drain(self) -> bool:
        """Write until nothing waits; False where the disk did not take it."""
        with self._changed:
            self._spooled = 0
        while True:
            with self._changed:
                batch = [
                    self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))
                ]
                self._writing = batch
            if not batch:
                return self._forget_spool()
            try:
                self._write(batch)
            except DamagedFile as error:
                self._put_back(f"{error}; it is put aside")
                self._on_damage(error)
                return False
            except (apsw.Error, NewerFile, OSError) as error:
                full = isinstance(error, apsw.FullError) or getattr(error, "errno", 0) in _FULL
                self._put_back(
                    "the disk is full: free some space" if full else f"writing fails: {error}"
                )
                return False
            except Exception:
                # A mistake of ours must not end the thread: the checks wait, and it is told.
                log.exception("checks could not be written")
                self._put_back("checks cannot be written: a mistake of NetPulse, see its log")
                return False
            if self.trouble is not None:
                log.info("checks are written again (was: %s)", self.trouble)
            with self._changed:
                self._writing = ()
                self._dropping = False
                self.trouble = None

    def _forget_spool(self) -> bool:
        """All is in the hot files: what lies in the spool is not needed any more."""
        if self._monotonic() >= self._hold_until:
            self._sync()
            self._hold_until = self._monotonic() + HOLD_SECONDS
        try:
            self._spool.clear()
        except OSError as error:
            # At the next start it is read again, and each of its checks is there once all the same.
            log.warning("%s cannot be emptied: %s", self._spool.path.name, error)
        return True

    def _sync(self) -> None:
        try:
            self._hot.sync()
        except OSError as error:
            if not self._unvouched:
                log.error("checks of the last minute may not survive a power failure: %s", error)  # noqa: TRY400 -- the sentence says it
            self._unvouched = True
        else:
            if self._unvouched:
                log.info("checks survive a power failure again")
            self._unvouched = False

    def _write(self, batch: list[Waiting]) -> None:
        by_hour: dict[Millis, tuple[list[Waiting], list[Keyed]]] = {}
        entries: list[Waiting] = []
        rows: list[Keyed] = []
        hour: Millis = -HOUR
        for entry in batch:
            key, check = entry
            try:
                row = to_row(check)
            except (ValueError, OverflowError) as error:
                log.error("a check of monitor %d is dropped: %s", key, error)  # noqa: TRY400 -- the sentence says it
                with self._changed:
                    self.dropped += 1
                continue
            if not hour <= row[0] < hour + HOUR:
                hour = hour_of(row[0])
                entries, rows = by_hour.setdefault(hour, ([], []))
            entries.append(entry)
            rows.append((key, row))
        while by_hour:
            # What is not written yet; the order within an hour stays: what came last counts.
            self._writing = [entry for entries, _ in by_hour.values() for entry in entries]
            hour = next(iter(by_hour))
            self._hot.append(hour, by_hour[hour][1])
            del by_hour[hour]

    def _put_back(self, trouble: str) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(self._writing))
            self._writing = ()
            if self.trouble != trouble:
                log.error("checks wait in memory: %s", trouble)
            self.trouble = trouble
            self._drop_oldest()


def _left(spool: Spool) -> Iterator[Waiting]:
    """Yield what a process that ended left in the spool, as far as it can be read."""
    try:
        found = spool.read()
    except OSError as error:
        log.error("%s cannot be read: %s", spool.path.name, error)  # noqa: TRY400 -- the sentence says it
        return
    for key, row in found:
        try:
            check = to_check(row)
        except (ValueError, IndexError) as error:
            # A newer version may have known words that this one does not.
            log.warning("%s: a check of monitor %d is left out: %s", spool.path.name, key, error)
        else:
            yield key, check


def _rows(checks: Iterable[Waiting]) -> Iterator[Keyed]:
    for key, check in checks:
        with suppress(ValueError, OverflowError):  # told when it should have been written
            yield key, to_row(check)
