"""Housekeeping: what has to be done now and then, and never on the event loop.

Sealing of finished hours with their rollups, days, retention, expired sessions, and the sign of
life from which the next start knows until when this process watched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from netpulse.engine import memory, systemd
from netpulse.engine.clock import Clock
from netpulse.model.invitation import KEPT as INVITATIONS_KEPT
from netpulse.model.time import DAY, HOUR, Millis
from netpulse.storage import (
    account_failures,
    alive,
    invitations,
    known_addresses,
    letters,
    login_attempts,
    maintenance_spans,
    page_news,
    password_resets,
    rollups,
    runs,
    sessions,
    subscribers,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.raw import HourFigures, Raw
from netpulse.storage.raw.names import month_of
from netpulse.storage.rollups import Rollup

log = logging.getLogger(__name__)

SEEN_SECONDS = 5.0
NOTED_SECONDS = 60.0
"""How often the sign of life is noted in the main file, which shows that it can be written."""
SEAL_SECONDS = 60.0
CLEAN_SECONDS = 600.0
RETENTION_SECONDS = 3_600.0
VERIFY_SECONDS = 86_400.0
MEMORY_SECONDS = 60.0
SETTLED_SECONDS = 12.0
"""By then what loading took is free, and every frequent monitor has had its first check."""
VERIFY_FOR_SECONDS = 30.0
FIRST_SECONDS = 2.0
"""Housekeeping waits until the first checks are on their way."""
ROWS_AT_ONCE = 1_000
FOLDED_AT_ONCE = ROWS_AT_ONCE // 24
"""Monitors whose day is summed up in one transaction: a row an hour of each is moved. Edges, whose
notices are waited for, come in between."""
FAILURES_KEPT = DAY


class Housekeeping:
    """A task per job, so that a slow one delays no other. Each may be called by hand in tests."""

    def __init__(self, *, db: Database, raw: Raw, clock: Clock, raw_days: int) -> None:
        """Take the parts; raw results are kept for `raw_days` days (0: for ever)."""
        self._db = db
        self._raw = raw
        self._clock = clock
        self._raw_days = raw_days
        self._run_id = 0
        self._alone = True
        self._noted_at: Millis | None = None
        """What the row of this run says was seen last."""
        self._note_at = 0.0
        """Monotonic moment from which on it is to be noted there again."""
        self._tasks: list[asyncio.Task[None]] = []
        self._failing: set[str] = set()

    def start(self, run_id: int) -> None:
        """Begin; `run_id` is the record of this run."""
        self._run_id = run_id
        for name, job, every, first in (
            ("seen", self.seen, SEEN_SECONDS, SEEN_SECONDS),
            ("seal", self.seal, SEAL_SECONDS, FIRST_SECONDS),
            ("clean", self.clean, CLEAN_SECONDS, FIRST_SECONDS),
            ("retain", self.retain, RETENTION_SECONDS, FIRST_SECONDS),
            ("verify", self.verify, VERIFY_SECONDS, CLEAN_SECONDS),
            ("memory", self.tidy_memory, MEMORY_SECONDS, SETTLED_SECONDS),
        ):
            repeating = self._repeat(name, job, every, first)
            self._tasks.append(asyncio.create_task(repeating, name=f"housekeeping {name}"))

        beat = systemd.watchdog_seconds()
        if beat is not None:
            self._tasks.append(
                asyncio.create_task(self._repeat("alive", self.alive, beat, 0.0), name="alive")
            )

    async def stop(self) -> None:
        """End all jobs; what is half done is done again after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _repeat(
        self, name: str, job: Callable[[], Awaitable[None]], every: float, first: float
    ) -> None:
        await asyncio.sleep(first)
        while True:
            try:
                await job()
            except StorageTrouble as trouble:
                if name not in self._failing:
                    log.warning("housekeeping (%s) waits: %s", name, trouble)
                self._failing.add(name)
            except Exception:
                log.exception("housekeeping (%s) stumbled; it goes on", name)
            else:
                self._failing.discard(name)
            await asyncio.sleep(every)

    async def alive(self) -> None:
        """Tell systemd that the loop turns."""
        systemd.notify("WATCHDOG=1")

    async def seen(self) -> None:
        """Note that this process still watches: a crash makes at most 5 s unknown."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if monotonic < self._note_at and await self._give_sign(now):
            return
        self._noted_at = await self._db.write(runs.seen, self._run_id, now)
        self._note_at = monotonic + NOTED_SECONDS
        alone = self._noted_at is not None
        if self._alone and not alone:
            log.error("another NetPulse has started on the same data: stop one of the two")
        self._alone = alone
        # Somebody who listens whether we are there hears us in these seconds too.
        await self._give_sign(now)

    async def _give_sign(self, now: Millis) -> bool:
        """Give the sign of life that spares a commit; False where only a commit will do."""
        noted_at = self._noted_at
        # A clock that was set back has taken the row with it; a disk in trouble is tried again.
        if noted_at is None or now < noted_at or self._db.trouble is not None:
            return False
        try:
            await asyncio.to_thread(
                alive.give, self._raw.data, alive.Sign(self._run_id, noted_at, now)
            )
        except OSError as error:
            log.debug("the sign of life cannot be written beside the database: %s", error)
            return False
        return True

    async def seal(self) -> None:
        """Seal the hours that are over, write their rollups, and sum finished days up."""
        await self._raw.seal_due(self._clock.now(), self._on_hour)
        await self._fold()

    async def clean(self) -> None:
        """Forget what is long over: failed sign-ins, sessions, letters, links, invitations; news of
        pages, and who was asked and never said that they want them."""
        now = self._clock.now()
        await self._db.write(login_attempts.forget_before, now - FAILURES_KEPT)
        await self._db.write(account_failures.forget_before, now - FAILURES_KEPT)
        await self._db.write(known_addresses.forget_before, now - known_addresses.KEPT)
        await self._db.write(sessions.forget_expired, now)
        await self._db.write(letters.forget_before, now - letters.KEPT)
        await self._db.write(password_resets.forget_before, now - password_resets.KEPT)
        await self._db.write(invitations.forget_before, now - INVITATIONS_KEPT)
        await self._db.write(subscribers.forget_unconfirmed, now)
        await self._db.write(page_news.forget_before, now)

    async def retain(self) -> None:
        """Delete the files of months that are wholly older than what is kept."""
        if self._raw_days:
            kept_from = self._clock.now() - self._raw_days * DAY
            for month in await self._raw.drop_before(month_of(kept_from)):
                log.info("raw results of %s are deleted: older than %d days", month, self._raw_days)

    async def verify(self) -> None:
        """Have the month files looked through for damage, for a bounded time."""
        await self._raw.verify(VERIFY_FOR_SECONDS)

    async def tidy_memory(self) -> None:
        """Give memory back that is free."""
        await asyncio.to_thread(memory.give_back)

    async def _on_hour(self, hour: Millis, figures: Mapping[int, HourFigures]) -> None:
        """Write the rollups of a sealed hour, a thousand monitors a transaction."""
        maintained = await self._db.read(maintenance_spans.by_key, hour, hour + HOUR)
        rows = []
        for key, of_hour in figures.items():
            rollup = _rollup(key, hour, of_hour)
            if key in maintained:
                # What was checked in maintenance is no part of how well it was up.
                counts = await self._raw.counts(key, hour, hour + HOUR, maintained[key])
                rollup = replace(
                    rollup,
                    checks=counts.checks,
                    ups=counts.ups,
                    degraded=counts.degraded,
                    downs=counts.downs,
                    inconclusive=counts.inconclusive,
                )
            rows.append(rollup)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            await self._db.write(rollups.put_hour, rows[start : start + ROWS_AT_ONCE])
        await self._db.write(_advance, hour)

    async def _fold(self) -> None:
        hours = await self._db.read(rollups.cursor, "hour")
        day = await self._db.read(rollups.cursor, "day")
        if hours is None or day is None:
            return
        while day + DAY <= hours:
            keys = await self._db.read(rollups.keys_of, day, day + DAY)
            for start in range(0, len(keys), FOLDED_AT_ONCE):
                await self._db.write(rollups.fold_days, day, keys[start : start + FOLDED_AT_ONCE])
            day += DAY
            await self._db.write(rollups.set_cursor, "day", day)


def _advance(conn: Conn, hour: Millis) -> None:
    """Move the cursors past a sealed hour; its day is summed up (again) if it was already."""
    hours, day = rollups.cursor(conn, "hour"), rollups.cursor(conn, "day")
    rollups.set_cursor(conn, "hour", max(hours or 0, hour + HOUR))
    own_day = hour - hour % DAY
    if day is None or own_day < day:
        rollups.set_cursor(conn, "day", own_day)


def _rollup(key: int, hour: Millis, of_hour: HourFigures) -> Rollup:
    return Rollup(
        key=key,
        from_ms=hour,
        checks=of_hour.checks,
        ups=of_hour.ups,
        degraded=of_hour.degraded,
        downs=of_hour.downs,
        inconclusive=of_hour.inconclusive,
        response_count=of_hour.response_count,
        response_sum=of_hour.response_sum,
        response_min=of_hour.response_min,
        response_max=of_hour.response_max,
    )
