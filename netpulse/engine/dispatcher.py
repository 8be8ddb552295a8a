"""The dispatcher: sends what waits in the outbox, until it was taken or nobody wants it any more.

At least once: a notice is claimed, sent, and only then marked sent. What was claimed when the
process died is claimed again at the next start, with the same id. One slow receiver delays nobody
else: sends run side by side, up to 16 a channel, one at a time per channel and monitor so that a
recovery never overtakes its problem. A digest is one send, and has the lane of every monitor that
it tells of.

While the disk takes nothing, what would be written is told from memory (`engine.unwritten`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TypeVar

from netpulse import channels
from netpulse.channels import Answer, Carrier, DeliveryError
from netpulse.crypto.links import Links
from netpulse.engine import composing
from netpulse.engine.attempts import Attempts
from netpulse.engine.clock import Clock
from netpulse.engine.figures import Figures
from netpulse.engine.lanes import Lanes
from netpulse.engine.live import Hub
from netpulse.engine.rounds import Rounds
from netpulse.engine.unwritten import NotStored, Unwritten, of_stored
from netpulse.model.alert import Attempt, Notice, NoticeStatus
from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.rules import outbox
from netpulse.rules.outbox import Backoff
from netpulse.storage import imagined, notices, runs
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.notices import Claimed

log = logging.getLogger(__name__)

T = TypeVar("T")

IN_FLIGHT = 256
CLAIM_SECONDS = 120
"""How long a claim is ours without a word: far longer than an attempt may take."""
POLL_SECONDS = 30.0
"""The longest it sleeps: a wake-up that got lost costs no more."""
BLOCKED_SECONDS = 5.0
TROUBLE_SECONDS = 1.0
MEMORY_SECONDS = 2.0
"""How often what waits for the disk is looked through for something to tell."""
MEMORY_SHARE = 0.1
"""The part of the writer's thread that may take: the next look is put off where one was long."""
MEMORY_LONGEST_SECONDS = 60.0
JUMP_SECONDS = 2.0
"""The wall clock set back by more than this is noticed."""


class _Sending:
    """A message that is on its way, or whose outcome is not written yet."""

    def __init__(self, number: int, claim: Claimed, *, from_memory: bool = False) -> None:
        """Take the message; `number` tells it from its other attempts."""
        self.number = number
        self.claim = claim
        self.lanes = claim.lanes
        self.from_memory = from_memory
        self.under_way = True
        """The far side has not answered yet."""
        self.begun: Callable[[Conn], object] | None = None
        """What belongs into the outbox when it is sent from memory."""
        self.shares: dict[str, str] = {}
        """Those of several recipients who are settled."""


class Dispatcher:
    """Runs as a task; `wake()` makes it look at the outbox at once."""

    def __init__(
        self,
        *,
        db: Database,
        carrier: Callable[[Id], Carrier],
        links: Links,
        clock: Clock,
        hub: Hub,
        figures: Figures,
        worker: str,
        on_accepted: Callable[[str | None], None],
        unwritten: Unwritten | None = None,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts.

        `carrier` gives what an organization sends with at this moment; `links` makes the addresses
        that messages carry; `worker` names this process in its claims; `on_accepted` is called with
        the address that took a notice; `unwritten` knows what can be told while the disk takes
        nothing (None: nothing is).
        """
        self._db = db
        self._carrier = carrier
        self._links = links
        self._clock = clock
        self._hub = hub
        self._figures = figures
        self._worker = worker
        self._on_accepted = on_accepted
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._rounds = Rounds(self._round, name="the outbox")
        self._attempts: Attempts[int] = Attempts(db, name="the outbox")
        self._unwritten = unwritten
        self._look_at = 0.0
        """Monotonic moment before which nothing is looked for to tell from memory."""
        self._sending: dict[int, _Sending] = {}
        self._lanes = Lanes()
        self._count = count(1)
        self._failing: set[Id] = set()
        """Channels whose last attempt failed, which is in the log."""
        self._clock_offset = self._offset()

    def wake(self) -> None:
        """Look at the outbox at once: something was written."""
        self._rounds.wake()

    async def start(self) -> None:
        """Return every claim of a process that died, and begin."""
        await self._db.write(notices.release_claims, None)
        self._rounds.start()

    async def stop(self) -> None:
        """Claim nothing more, give the running attempts 2 s, and return unfinished claims.

        An attempt that is cut off may have arrived; it is made again with the same id.
        """
        await self._rounds.stop()
        await self._attempts.end()
        await self._db.write(notices.release_claims, self._worker)

    async def _round(self) -> float:
        """Claim what may be sent now and start sending; return seconds until the next look."""
        if self._unwritten is not None:
            if self._unwritten.is_lasting:
                return await self._round_from_memory(self._unwritten)
            if self._unwritten.is_open:
                await self._unwritten.end()
        await self._keep_time()
        room = IN_FLIGHT - len(self._sending)
        due = await self._db.read(notices.next_due, self._clock.now())
        if due is None:
            return POLL_SECONDS
        wait = (due - self._clock.now()) / SECOND
        if wait > 0 or room <= 0:
            return min(max(wait, 0.001), POLL_SECONDS) if room > 0 else POLL_SECONDS
        claimed = await self._db.write(
            notices.claim,
            self._worker,
            self._clock.now(),
            limit=room,
            lease_ms=CLAIM_SECONDS * SECOND,
            busy=self._lanes.busy,
        )
        for claim in claimed:
            self._begin(_Sending(next(self._count), claim))
        if claimed:
            return 0.0
        more = await self._db.read(notices.is_undecided, self._clock.now())
        # What is due and was not claimed waits for the end of an attempt, which wakes us.
        return 0.0 if more else BLOCKED_SECONDS

    async def _round_from_memory(self, unwritten: Unwritten) -> float:
        """Start sending what would be due if the disk took it; return seconds until the next look.

        Lanes are free again when the far side has answered: what came of it waits for the disk.
        """
        now = self._clock.monotonic()
        if now < self._look_at:
            return self._look_at - now
        self._look_at = now + MEMORY_SECONDS
        under_way = [one.lanes for one in self._sending.values() if one.under_way]
        found = await unwritten.claim(
            self._worker,
            limit=max(0, IN_FLIGHT - len(under_way)),
            lease_ms=CLAIM_SECONDS * SECOND,
            busy=frozenset().union(*under_way),
        )
        took = self._clock.monotonic() - now
        wait = min(max(MEMORY_SECONDS, took / MEMORY_SHARE), MEMORY_LONGEST_SECONDS)
        self._look_at = now + took + wait
        for message in found:
            sending = _Sending(next(self._count), message.claim, from_memory=True)
            sending.begun = partial(imagined.begun, message=message, clock=self._clock.now)
            unwritten.wait(sending.number, sending.begun)
            self._begin(sending)
        return wait

    async def _keep_time(self) -> None:
        """Let nothing wait longer because the wall clock was set back meanwhile."""
        offset = self._offset()
        back = self._clock_offset - offset
        if back > JUMP_SECONDS * SECOND:
            await self._db.write(_turn_back, back)
        # Read anew each time: slewing moves it slowly and is no jump.
        self._clock_offset = offset

    def _offset(self) -> Millis:
        """Return how far the wall clock is ahead of the one that is never set."""
        return self._clock.now() - round(self._clock.boottime() * SECOND)

    def _begin(self, sending: _Sending) -> None:
        self._sending[sending.number] = sending
        self._lanes.enter(sending.number, sending.lanes)
        self._attempts.begin(sending.number, self._deliver(sending), partial(self._ended, sending))

    def _ended(self, sending: _Sending, error: BaseException | None) -> None:
        del self._sending[sending.number]
        self._lanes.leave(sending.number, sending.lanes)
        if self._unwritten is not None:
            self._unwritten.forget(sending.number)
        self.wake()
        if error is not None:
            log.error("a delivery broke", exc_info=error, extra=_where(sending.claim))

    async def _deliver(self, sending: _Sending) -> None:
        """Make one attempt and record what came of it."""
        claim, attempted_at = sending.claim, self._clock.now()
        try:
            message = composing.compose(
                claim, self._links, attempted_at, from_memory=sending.from_memory
            )
            carrier = self._carrier(claim.channel.org_id)
            for notice in claim.notices:
                carrier.told.recall(claim.id, notice.shares)
            try:
                answer = await channels.deliver(claim.channel, message, carrier)
            finally:
                sending.shares = carrier.told.known(claim.id)
        except DeliveryError as error:
            await self._failed(sending, attempted_at, error)
        except Exception as error:
            log.exception("a channel broke", extra=_where(claim))
            own = DeliveryError(
                f"sending broke ({type(error).__name__}); this is a mistake in NetPulse",
                permanent=False,
            )
            await self._failed(sending, attempted_at, own)
        else:
            await self._sent(sending, attempted_at, answer)

    async def _sent(self, sending: _Sending, attempted_at: Millis, answer: Answer) -> None:
        claim, channel_id = sending.claim, sending.claim.channel.id
        # It speaks of the network as it is now, not as it is when this can be written.
        self._on_accepted(answer.address)
        attempt = Attempt(
            at=attempted_at,
            ok=True,
            status_code=answer.status_code,
            answer=answer.text or None,
            latency_ms=answer.latency_ms,
        )
        now = self._clock.now()
        is_back = channel_id in self._failing
        words = "Told from memory" if sending.from_memory else "Told"

        def settle(conn: Conn) -> None:
            for notice in claim.notices:
                notices.sent(conn, notice.id, attempt, now, words=words)
            if is_back:
                notices.hurry(conn, now, channel_id)

        await self._record(sending, settle)
        self._figures.notices_sent += len(claim.notices)
        if is_back:
            self._failing.discard(channel_id)
            log.info("the channel takes notices again", extra=_where(claim))
        for notice in claim.notices:
            self._tell(notice, NoticeStatus.SENT)

    async def _failed(self, sending: _Sending, attempted_at: Millis, error: DeliveryError) -> None:
        claim, channel = sending.claim, sending.claim.channel
        attempts = 1 + max(notice.attempt_count for notice in claim.notices)
        attempt = Attempt(
            at=attempted_at,
            ok=False,
            status_code=error.status_code,
            answer=error.answer or str(error),
            latency_ms=error.latency_ms,
        )
        self._figures.attempts_failed += 1
        wait = self._backoff.wait(attempts, error.retry_after_seconds, self._chance())
        now = self._clock.now()
        again_at = now + round(wait * SECOND)
        ends = {notice.id: _end(claim, notice, error, again_at) for notice in claim.notices}
        disables = outbox.disables(
            error.status_code, permanent=error.permanent, declared=error.disables
        )
        if channel.id not in self._failing:
            self._failing.add(channel.id)
            why = next((end for end in ends.values() if end is not None), str(error))
            log.warning("a notice was not taken: %s", why, extra=_where(claim))

        def settle(conn: Conn) -> bool:
            for notice_id, end in ends.items():
                if end is None:
                    notices.retry(conn, notice_id, attempt, again_at, str(error), sending.shares)
                else:
                    notices.failed(conn, notice_id, attempt, end)
            if not error.permanent:
                return False
            return notices.refused(conn, channel.id, str(error), now, disables=disables)

        if await self._record(sending, settle):
            log.error(
                "the channel %s was switched off: %s", channel.name, error, extra=_where(claim)
            )
        for notice in claim.notices:
            is_over = ends[notice.id] is not None
            self._figures.notices_failed += is_over
            self._tell(notice, NoticeStatus.FAILED if is_over else NoticeStatus.PENDING)
        asyncio.get_running_loop().call_later(wait, self.wake)

    async def _record(self, sending: _Sending, settle: Callable[[Conn], T]) -> T | None:
        """Write down what came of an attempt, however long that takes.

        What was sent and cannot be recorded must not be sent again while this process lives. None:
        what it was about is not in the outbox, and never will be. Where that is so of some notices
        of a digest (a monitor was changed meanwhile), it is written of the others.
        """
        begun, told = sending.begun, sending.claim.notices
        is_all = True

        def write(conn: Conn) -> T:
            if begun is not None:
                begun(conn)
            return settle(conn)

        if sending.from_memory:
            self._put_off(sending, write)
        with self._attempts.noting():
            while True:
                try:
                    if self._lanes.is_first(sending.number, sending.lanes):
                        return await self._db.write(of_stored, told, write, is_all=is_all)
                except StorageTrouble:
                    if self._attempts.are_ending:
                        raise
                except NotStored:
                    if self._unwritten is None or not self._unwritten.owes(told):
                        if not is_all or len(told) == 1:
                            return None
                        is_all = False
                        continue
                self._put_off(sending, write)
                await asyncio.sleep(TROUBLE_SECONDS)

    def _put_off(self, sending: _Sending, write: Callable[[Conn], object]) -> None:
        """Let an outcome wait for the disk: what is told from memory builds on it."""
        if self._unwritten is not None:
            self._unwritten.wait(sending.number, write)
        sending.under_way = False

    def _tell(self, notice: Notice, status: NoticeStatus) -> None:
        self._hub.tell(
            notice.org_id,
            "notice",
            {"incident_id": notice.incident_id, "id": notice.id, "status": status.value},
        )


def _turn_back(conn: Conn, by: Millis) -> None:
    notices.turn_back(conn, by)
    runs.turn_back(conn, by)


def _end(claim: Claimed, notice: Notice, error: DeliveryError, again_at: Millis) -> str | None:
    """Return why a notice will not be told, or None if another attempt is made at `again_at`."""
    if error.permanent:
        return str(error)
    why = outbox.gives_up(claim.channel, notice, notice.attempt_count + 1, next_attempt_at=again_at)
    return None if why is None else f"{error}; {why}"


def _where(claim: Claimed) -> dict[str, str | None]:
    return {
        "notice_id": claim.id,
        "channel_id": claim.channel.id,
        "monitor_id": claim.notice.monitor_id if len(claim.notices) == 1 else None,
    }
