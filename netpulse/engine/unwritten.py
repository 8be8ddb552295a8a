"""What waits for the disk while it takes nothing, and what can be told all the same.

Edges wait with their monitors (`Watched.owed`), what attempts came to waits here. Both are tried
out in a transaction that is taken back, so that every rule speaks as it would; what that claims is
sent from memory, marked as such, under the ids that it has when it is written at last. Only what
time alone would bring (escalations, reminders, fallback channels after five minutes) waits for the
disk. If the process ends meanwhile, what was told so is forgotten and told again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Set
from functools import partial
from typing import TypeVar

from netpulse.engine.clock import Clock
from netpulse.engine.roster import Roster, Watched
from netpulse.engine.turns import Turns
from netpulse.model.alert import Event, Notice
from netpulse.model.edge import Edge
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.rules import outbox
from netpulse.storage import imagined, notices, troubles
from netpulse.storage.claims import Claimed, Unseen
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import TroubleKind
from netpulse.storage.imagined import Imagined, Write

log = logging.getLogger(__name__)

T = TypeVar("T")

KIND = "unwritten"
"""The word of this trouble in the table of troubles."""
LASTING = frozenset(
    {
        TroubleKind.FULL,
        TroubleKind.IO,
        TroubleKind.CORRUPT,
        TroubleKind.READ_ONLY,
        TroubleKind.LIMIT,
    }
)
"""Troubles that a person has to end. Another process that holds the lock ends it by itself."""
MOST_MONITORS = outbox.DIGEST_MOST
"""Monitors whose edges are tried out at a time, so that a digest is as long as ever: about 0.6 s of
the writer's thread. Where more owe some, they take turns."""
MOST_WRITES = 2_000
"""Outcomes that wait for the disk; with more of them nothing is told from memory any more."""
MOST_AN_HOUR = 60
"""Messages to one channel from memory: should it ever go round in circles, it does so slowly."""

STEADY = 5 * MINUTE
"""A trouble that begins sooner after the last one is told of when it has lasted that long: a disk
that comes and goes would be news all the time."""


class Unwritten:
    """The outcomes that wait for the disk, by a number each, and the trouble that makes them."""

    def __init__(self, db: Database, clock: Clock, roster: Roster) -> None:
        """Take the parts."""
        self._db = db
        self._clock = clock
        self._roster = roster
        self._since: Millis | None = None
        self._detail = ""
        self._over_at: Millis | None = None
        """When the last trouble ended."""
        self._tells = False
        """This trouble is told to the rules that ask for `system`."""
        self._writes: dict[int, Write] = {}
        self._turns = Turns()
        self._told: dict[Id, deque[float]] = {}
        """By channel: when it was told something from memory."""
        self._begun: dict[Id, dict[Id, Millis]] = {}
        """By channel that people read: the messages of the last window, and when they began."""
        self._about: dict[Id, dict[Id, Id | None]] = {}
        """By message: the notices that it told at first, and their monitors."""

    @property
    def is_lasting(self) -> bool:
        """Tell whether the disk takes nothing now, and will not by itself."""
        trouble = self._db.trouble
        return trouble is not None and trouble.kind in LASTING

    @property
    def is_open(self) -> bool:
        """Tell whether a trouble was begun and its end is not written."""
        return self._since is not None

    def wait(self, number: int, write: Write) -> None:
        """Note an outcome that waits for the disk."""
        self._writes[number] = write

    def forget(self, number: int) -> None:
        """Drop an outcome that is written, or will never be."""
        self._writes.pop(number, None)
        if not self._writes:
            self._about.clear()

    def owes(self, told: Collection[Notice]) -> bool:
        """Tell whether the rows of notices may come yet: their edges wait for the disk."""
        for notice in told:
            if notice.monitor_id is None:
                return self.is_open
            watched = self._roster.get(notice.monitor_id)
            if watched is not None and watched.owed:
                return True
        return False

    async def claim(
        self, worker: str, *, limit: int, lease_ms: int, busy: Collection[tuple[Id, Id | None]]
    ) -> list[Imagined]:
        """Return what can be told from memory now.

        Raises:
            StorageTrouble: the file cannot even be read.
        """
        now = self._clock.now()
        if self._since is None:
            self._since, self._detail = now, f"NetPulse cannot write its data: {self._db.trouble}"
            log.error("alerts are sent from memory until the database can be written")
        is_again = self._over_at is not None and self._since < self._over_at + STEADY
        if not is_again or now >= self._since + STEADY:
            self._tells = True
        if len(self._writes) >= MOST_WRITES:
            return []
        owed, others = self._owed()
        claimed = await self._db.rehearse(
            imagined.claim,
            owed,
            [
                partial(_begin, detail=self._detail, at=self._since, tells=self._tells),
                *self._writes.values(),
            ],
            worker,
            now,
            limit=limit,
            lease_ms=lease_ms,
            busy=busy,
            unseen=Unseen(
                told=self._begun, others=others, waiting_since=self._since if others else None
            ),
        )
        found = [
            one
            for one in claimed
            if self._is_whole(one.claim, others) and self._may_speak(one.claim.channel.id)
        ]
        for one in found:
            self._remember(one.claim, now)
        return found

    def _owed(self) -> tuple[list[tuple[Edge, ...]], Set[Id]]:
        """Return what is to be tried out now, of each monitor in its order, and the monitors whose
        turn it is not."""
        owing = {one.id: one for one in self._roster if _owes_flip(one)}
        group = self._turns.next(owing, MOST_MONITORS)
        # What a child may say depends on its parents.
        with_parents: dict[Id, Watched] = {}
        for monitor_id in group:
            at: Id | None = monitor_id
            while at in owing and at not in with_parents:
                with_parents[at] = owing[at]
                at = owing[at].monitor.spec.parent_id
        return [tuple(one.owed) for one in with_parents.values()], owing.keys() - set(group)

    def _is_whole(self, claim: Claimed, others: Set[Id]) -> bool:
        """Tell whether a message lacks no notice only because it is not its monitor's turn."""
        present = {notice.id for notice in claim.notices}
        about = self._about.get(claim.id, {})
        return not any(about[missing] in others for missing in about.keys() - present)

    def _remember(self, claim: Claimed, now: Millis) -> None:
        about = {notice.id: notice.monitor_id for notice in claim.notices}
        self._about.setdefault(claim.id, about)
        is_first_attempt = claim.notice.first_attempt_at == now
        if is_first_attempt and outbox.is_read_by_people(claim.channel.type):
            begun = self._begun.get(claim.channel.id, {})
            recent = {one: at for one, at in begun.items() if at > now - outbox.WINDOW}
            self._begun[claim.channel.id] = recent | {claim.id: now}

    def _may_speak(self, channel_id: Id) -> bool:
        now = self._clock.monotonic()
        told = self._told.setdefault(channel_id, deque(maxlen=MOST_AN_HOUR))
        if len(told) == MOST_AN_HOUR and now - told[0] < 3600.0:
            return False
        told.append(now)
        return True

    async def end(self) -> bool:
        """Write that a trouble was there and is over; return whether anybody is told of it.

        Raises:
            StorageTrouble: it is not over.
        """
        if self._since is None:
            return False
        now = self._clock.now()
        told = await self._db.write(_end, self._detail, self._since, now, tells=self._tells)
        log.info("the database can be written again: what was told from memory is noted")
        self._since, self._over_at, self._tells = None, now, False
        return told


def _begin(conn: Conn, detail: str, at: Millis, *, tells: bool) -> bool:
    troubles.begin(conn, KIND, detail, at)
    return tells and bool(notices.add_system(conn, Event.SYSTEM_ISOLATED, detail, at))


def _end(conn: Conn, detail: str, since: Millis, now: Millis, *, tells: bool) -> bool:
    begun = _begin(conn, detail, since, tells=tells)
    troubles.end(conn, KIND, now)
    sentence = "NetPulse can write its data again"
    over = tells and bool(notices.add_system(conn, Event.SYSTEM_RECOVERED, sentence, now))
    return over or begun


def _owes_flip(watched: Watched) -> bool:
    return any(edge.flip is not None for edge in watched.owed)


class NotStored(Exception):
    """The rows that an outcome is of are not in the file yet."""


def of_stored(
    conn: Conn, told: Collection[Notice], write: Callable[[Conn], T], *, is_all: bool = True
) -> T:
    """Run `write`, which settles notices that were told from memory, once all (or any) are there.

    Raises:
        NotStored: they are not.
    """
    ids = [notice.id for notice in told]
    if is_all:
        found = notices.are_stored(conn, ids)
    else:
        found = any(notices.are_stored(conn, (one,)) for one in ids)
    if not found:
        raise NotStored
    return write(conn)
