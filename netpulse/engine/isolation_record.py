"""What is on disk of the times when our own network was away: the gap, and the notices of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from netpulse.model.alert import Event
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Gap, UnknownReason
from netpulse.storage import notices, runs, troubles
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database

KIND = "isolated"
"""The word of this trouble in the table of troubles, and of its checks."""


class _Ended(Struct, frozen=True):
    """An isolation that is over."""

    gap: Gap
    unsaid: str | None
    """Its reason, where not even its beginning is on disk."""
    failing: int
    sentence: str


class Record:
    """The isolation that lasts, if one does, and those whose end is not written yet."""

    def __init__(self, db: Database, on_notices: Callable[[], None]) -> None:
        """Take the database; `on_notices` is called when a notice was written."""
        self._db = db
        self._on_notices = on_notices
        self.since: Millis | None = None
        """Since when our own network counts as away, or None."""
        self._reason = ""
        self._failing = 0
        self._told = False
        """That it began is on disk, and the notice of it."""
        self._owed: list[_Ended] = []
        """Isolations that are over and whose end is not on disk yet."""

    @property
    def is_open(self) -> bool:
        """Tell whether there is anything to write, now or soon."""
        return self.since is not None or bool(self._owed)

    async def take_over(self) -> None:
        """Go on with an isolation that lasted when the process ended."""
        for trouble in await self._db.read(troubles.open):
            if trouble.kind == KIND:
                self.since, self._reason, self._told = trouble.since, trouble.detail, True
                self._failing = trouble.monitor_count or 0

    def begin(self, since: Millis, reason: str, failing: int) -> None:
        """Note that it began; the next `keep` writes it."""
        self.since, self._reason, self._failing = since, reason, failing
        self._told = False

    def end(self, until: Millis, why: str) -> str:
        """Note that it is over; `write_ends` writes it. Returns the sentence that tells it."""
        assert self.since is not None
        gap = Gap(self.since, max(until, self.since), UnknownReason.ISOLATED)
        sentence = f"our own network is there again after {_lasting(gap)}: {why}"
        unsaid = None if self._told else self._reason
        self._owed.append(_Ended(gap, unsaid, self._failing, sentence))
        self.since = None
        return sentence

    async def keep(self, now: Millis) -> bool:
        """Write that it lasts until `now`; return False if it is over meanwhile.

        Raises:
            StorageTrouble: it could not be written.
        """
        since = self.since
        assert since is not None
        gap = Gap(since, now, UnknownReason.ISOLATED)
        unsaid = None if self._told else self._reason
        if await self._db.write(_keep, gap, unsaid, self._failing):
            self._on_notices()
        if self.since != since:
            return False
        self._told = True
        return True

    async def write_ends(self, now: Millis) -> None:
        """Write the ends that are not written yet.

        Raises:
            StorageTrouble: one could not be written; it stays owed.
        """
        while self._owed:
            if await self._db.write(_finish, self._owed[0], now):
                self._on_notices()
            del self._owed[0]


def _keep(conn: Conn, gap: Gap, unsaid: str | None, failing: int) -> bool:
    """Write how long it lasts; with the reason, that it began, and the notice of it."""
    runs.stretch_gap(conn, gap)
    if unsaid is None or not troubles.begin(conn, KIND, unsaid, gap.start, monitor_count=failing):
        return False
    return bool(notices.add_system(conn, Event.SYSTEM_ISOLATED, unsaid, gap.end))


def _finish(conn: Conn, ended: _Ended, now: Millis) -> bool:
    """Write that it is over and the notice of that; what could not be delivered is due at once."""
    _keep(conn, ended.gap, ended.unsaid, ended.failing)
    troubles.end(conn, KIND, ended.gap.end)
    hurried = notices.hurry(conn, now) > 0
    told = notices.add_system(conn, Event.SYSTEM_RECOVERED, ended.sentence, now)
    return hurried or bool(told)


def _lasting(gap: Gap) -> str:
    seconds = (gap.end - gap.start) // SECOND
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
