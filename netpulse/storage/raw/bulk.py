"""The thread `bulk`: it alone appends checks to the hot files, a second's worth at a time.

While the disk takes nothing, the newest checks wait in memory; when it does again, they are
written. The process may be killed at any moment: what had waited for over a second is on disk.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress

import apsw

from netpulse.model.check import Check
from netpulse.model.time import Millis
from netpulse.storage.raw.files import DamagedFile, NewerFile
from netpulse.storage.raw.hot_files import HotFiles, Keyed
from netpulse.storage.raw.names import hour_of
from netpulse.storage.raw.row import Row, to_row

log = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
COMMIT_ROWS = 500
RETRY_SECONDS = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOST_AT_ONCE = 1_000
"""A longer transaction would be felt on the event loop."""


Waiting = tuple[int, Check]
"""A monitor's key, and a check of it that is not on disk yet."""


class Bulk:
    """The queue of checks that are not on disk yet, and the thread that empties it."""

    def __init__(self, hot: HotFiles, keep: int, on_damage: Callable[[DamagedFile], None]) -> None:
        """Start the thread; at most `keep` checks wait in memory."""
        self._hot = hot
        self._keep = keep
        self._on_damage = on_damage
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._writing: Sequence[Waiting] = ()
        self._flushes: list[Future[bool]] = []
        self._closing = False
        self._dropping = False
        self.dropped = 0
        """Checks that were lost: the oldest when too many waited, and what no check can be."""
        self.trouble: str | None = None
        """Why checks wait in memory, as a sentence; null while all goes well."""
        self._thread = threading.Thread(target=self._run, name="bulk", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Waiting]) -> None:
        """Queue checks with their monitors' keys. It neither waits nor fails for the disk.

        Raises:
            RuntimeError: the store is closed.
        """
        if not rows:
            return
        with self._changed:
            if self._closing:
                raise RuntimeError("the raw results are closed")
            was = len(self._waiting)
            self._waiting.extend(rows)
            self._drop_oldest()
            if not was or was < COMMIT_ROWS <= len(self._waiting):
                self._changed.notify_all()

    def _drop_oldest(self) -> None:
        excess = len(self._waiting) - self._keep
        if excess <= 0:
            return
        for _ in range(excess):
            self._waiting.popleft()
        if not self._dropping:
            self._dropping = True
            log.error(
                "checks are dropped, the oldest first: %s", self.trouble or "the disk is slow"
            )
        self.dropped += excess

    @property
    def waiting(self) -> int:
        """How many checks are not on disk yet."""
        return len(self._writing) + len(self._waiting)

    def rows(self, key: int) -> list[Row]:
        """Return the rows of one monitor that are not on disk yet, in the order they came."""
        with self._changed:
            everything = [*self._writing, *self._waiting]
        return [row for _, row in _rows((k, check) for k, check in everything if k == key)]

    def newest(self) -> dict[int, Row]:
        """Return the counted row that is due last of each monitor, of those not on disk yet."""
        with self._changed:
            everything = [*self._writing, *self._waiting]
        newest: dict[int, Row] = {}
        for key, row in _rows((k, check) for k, check in everything if check.counted):
            if key not in newest or row[0] >= newest[key][0]:
                newest[key] = row
        return newest

    def flush(self) -> Future[bool]:
        """Ask for everything queued until now to be written at once.

        The future says whether it is on disk now; it is not while the disk is in trouble.
        """
        future: Future[bool] = Future()
        with self._changed:
            if self._closing:
                future.set_result(not self.waiting)
            else:
                self._flushes.append(future)
                self._changed.notify_all()
        return future

    def close(self) -> None:
        """Write what is queued, if the disk takes it, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._hot.close()
        if self.waiting:
            log.error(
                "%d checks are lost with the end of the process: %s", self.waiting, self.trouble
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._something)
                if self.trouble is None:
                    self._changed.wait_for(self._at_once, COMMIT_SECONDS)
                else:
                    self._changed.wait_for(self._asked, RETRY_SECONDS)
                flushes, self._flushes = self._flushes, []
                closing = self._closing
            written = self._drain()
            for future in flushes:
                future.set_result(written)
            if closing:
                return

    def _something(self) -> bool:
        return bool(self._waiting) or self._asked()

    def _at_once(self) -> bool:
        return len(self._waiting) >= COMMIT_ROWS or self._asked()

    def _asked(self) -> bool:
        return bool(self._flushes) or self._closing

    def _drain(self) -> bool:
        """Write until nothing waits; False where the disk did not take it."""
        while True:
            with self._changed:
                batch = [
                    self._waiting.popleft() for _ in range(min(_MOST_AT_ONCE, len(self._waiting)))
                ]
                self._writing = batch
            if not batch:
                return True
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

    def _write(self, batch: list[Waiting]) -> None:
        by_hour: dict[Millis, tuple[list[Waiting], list[Keyed]]] = {}
        for entry in batch:
            key, check = entry
            try:
                row = to_row(check)
            except (ValueError, OverflowError) as error:
                log.error("a check of monitor %d is dropped: %s", key, error)  # noqa: TRY400 -- the sentence says it
                with self._changed:
                    self.dropped += 1
                continue
            entries, rows = by_hour.setdefault(hour_of(row[0]), ([], []))
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


def _rows(checks: Iterable[Waiting]) -> Iterator[Keyed]:
    for key, check in checks:
        with suppress(ValueError, OverflowError):  # told when it should have been written
            yield key, to_row(check)
