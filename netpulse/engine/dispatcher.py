"""The dispatcher: sends what waits in the outbox, until it was taken or nobody wants it any more.

At least once: a notice is claimed, sent, and only then marked sent. What was claimed when the
process died is claimed again at the next start, with the same id. One slow receiver delays nobody
else: sends run side by side, up to 16 a channel, one at a time per channel and monitor so that a
recovery never overtakes its problem.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from msgspec import Struct

from netpulse import channels
from netpulse.channels import Answer, DeliveryError, Message
from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.figures import Figures
from netpulse.engine.live import Hub
from netpulse.model.alert import Attempt, Notice, NoticeStatus
from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.storage import notices
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StorageTrouble
from netpulse.storage.notices import Claimed

log = logging.getLogger(__name__)

IN_FLIGHT = 256
CLAIM_SECONDS = 120
"""How long a claim is ours without a word: far longer than an attempt may take."""
LEAST_ATTEMPTS = 3
POLL_SECONDS = 30.0
"""The longest it sleeps: a wake-up that got lost costs no more."""
BLOCKED_SECONDS = 5.0
TROUBLE_SECONDS = 1.0
STOP_SECONDS = 2.0


class Backoff(Struct, frozen=True, kw_only=True):
    """How long to wait before the next attempt, in seconds."""

    first: float = 10.0
    longest: float = 900.0
    jitter: float = 0.2
    """Share by which a wait is made longer or shorter, so that receivers are not hit in step."""

    def wait(self, attempts: int, retry_after: float | None, chance: float) -> float:
        """Return the wait after `attempts` failed ones; `chance` in [0, 1) decides the jitter.

        A far side's Retry-After is honoured where it asks for more.
        """
        doubled = min(self.longest, self.first * 2.0 ** min(attempts - 1, 40))
        wait = doubled * (1 + self.jitter * (2 * chance - 1))
        return max(wait, retry_after or 0.0)


def gives_up(
    channel: Channel, notice: Notice, attempts: int, *, next_attempt_at: Millis
) -> str | None:
    """Return why there will be no further attempt after `attempts` failed ones, or None.

    At least three are made; then the channel's `max_attempts` and `retry_for_seconds` count.
    """
    if attempts < LEAST_ATTEMPTS:
        return None
    if channel.max_attempts is not None and attempts >= channel.max_attempts:
        return f"given up after {attempts} attempts"
    if next_attempt_at > notice.created_at + channel.retry_for_seconds * SECOND:
        return f"given up after {channel.retry_for_seconds} s and {attempts} attempts"
    return None


class Dispatcher:
    """Runs as a task; `wake()` makes it look at the outbox at once."""

    def __init__(
        self,
        *,
        db: Database,
        egress: Egress,
        clock: Clock,
        hub: Hub,
        figures: Figures,
        worker: str,
        on_accepted: Callable[[str | None], None],
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts.

        `worker` names this process in its claims; `on_accepted` is called with the address that
        took a notice.
        """
        self._db = db
        self._egress = egress
        self._clock = clock
        self._hub = hub
        self._figures = figures
        self._worker = worker
        self._on_accepted = on_accepted
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._wake = asyncio.Event()
        self._sending: dict[Id, tuple[Id, Id | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._failing: set[Id] = set()
        """Channels whose last attempt failed, which is in the log."""
        self._in_trouble = False

    def wake(self) -> None:
        """Look at the outbox at once: something was written."""
        self._wake.set()

    async def start(self) -> None:
        """Return every claim of a process that died, and begin."""
        await self._db.write(notices.release_claims, None)
        self._task = asyncio.create_task(self._run(), name="dispatcher")

    async def stop(self) -> None:
        """Claim nothing more, give the running attempts 2 s, and return unfinished claims.

        An attempt that is cut off may have arrived; it is made again with the same id.
        """
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=STOP_SECONDS)
        await self._db.write(notices.release_claims, self._worker)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                delay = await self._round()
                self._in_trouble = False
            except StorageTrouble as trouble:
                delay = TROUBLE_SECONDS
                if not self._in_trouble:
                    log.error("the outbox cannot be used: %s; trying on", trouble)  # noqa: TRY400 -- the machine, not a mistake
                self._in_trouble = True
            except Exception:
                log.exception("the dispatcher stumbled; it goes on")
                delay = TROUBLE_SECONDS
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Claim what may be sent now and start sending; return seconds until the next look."""
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
            busy=set(self._sending.values()),
        )
        for claim in claimed:
            self._begin(claim)
        # What is due and was not claimed stands behind an older notice of its channel and
        # monitor; the end of that one's attempt, or its next one, wakes us.
        return 0.0 if claimed else BLOCKED_SECONDS

    def _begin(self, claim: Claimed) -> None:
        notice = claim.notice
        self._sending[notice.id] = (notice.channel_id, notice.monitor_id)
        task = asyncio.get_running_loop().create_task(self._deliver(claim))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(notice, done))

    def _ended(self, notice: Notice, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._sending.pop(notice.id, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery broke", exc_info=error, extra={"notice_id": notice.id})

    async def _deliver(self, claim: Claimed) -> None:
        """Make one attempt and record what came of it."""
        notice, channel = claim.notice, claim.channel
        attempted_at = self._clock.now()
        message = Message(
            id=notice.id,
            event=notice.event.value,
            payload=bytes(notice.payload),
            created_at=notice.created_at,
            attempted_at=attempted_at,
        )
        try:
            answer = await channels.deliver(channel, message, self._egress)
        except DeliveryError as error:
            await self._failed(claim, attempted_at, error)
        except Exception as error:
            log.exception("a channel broke", extra=_where(notice))
            own = DeliveryError(
                f"sending broke ({type(error).__name__}); this is a mistake in NetPulse",
                permanent=False,
            )
            await self._failed(claim, attempted_at, own)
        else:
            await self._sent(claim, attempted_at, answer)

    async def _sent(self, claim: Claimed, attempted_at: Millis, answer: Answer) -> None:
        notice = claim.notice
        attempt = Attempt(
            at=attempted_at,
            ok=True,
            status_code=answer.status_code,
            answer=answer.text or None,
            latency_ms=answer.latency_ms,
        )
        now = self._clock.now()
        await self._record(lambda conn: notices.sent(conn, notice.id, attempt, now))
        self._figures.notices_sent += 1
        self._on_accepted(answer.address)
        if claim.channel.id in self._failing:
            self._failing.discard(claim.channel.id)
            log.info("the channel takes notices again", extra=_where(notice))
        self._tell(notice, NoticeStatus.SENT)

    async def _failed(self, claim: Claimed, attempted_at: Millis, error: DeliveryError) -> None:
        notice, channel = claim.notice, claim.channel
        attempts = notice.attempt_count + 1
        attempt = Attempt(
            at=attempted_at,
            ok=False,
            status_code=error.status_code,
            answer=error.answer or str(error),
            latency_ms=error.latency_ms,
        )
        self._figures.attempts_failed += 1
        wait = self._backoff.wait(attempts, error.retry_after_seconds, self._chance())
        next_attempt_at = self._clock.now() + round(wait * SECOND)
        why = None
        if not error.permanent:
            why = gives_up(channel, notice, attempts, next_attempt_at=next_attempt_at)
        text = str(error) if why is None else f"{error}; {why}"
        if channel.id not in self._failing:
            self._failing.add(channel.id)
            log.warning("a notice was not taken: %s", text, extra=_where(notice))
        if error.permanent or why is not None:
            await self._record(lambda conn: notices.failed(conn, notice.id, attempt, text))
            self._figures.notices_failed += 1
            self._tell(notice, NoticeStatus.FAILED)
        else:
            await self._record(
                lambda conn: notices.retry(conn, notice.id, attempt, next_attempt_at, text)
            )
            self._tell(notice, NoticeStatus.PENDING)
            asyncio.get_running_loop().call_later(wait, self.wake)

    async def _record(self, write: Callable[[Conn], object]) -> None:
        """Write down what came of an attempt, however long that takes.

        What was sent and cannot be recorded must not be sent again while this process lives.
        """
        while True:
            try:
                await self._db.write(write)
            except StorageTrouble:
                if self._stopping:
                    raise
                await asyncio.sleep(TROUBLE_SECONDS)
            else:
                return

    def _tell(self, notice: Notice, status: NoticeStatus) -> None:
        self._hub.tell(
            notice.org_id,
            "notice",
            {"incident_id": notice.incident_id, "id": notice.id, "status": status.value},
        )


def _where(notice: Notice) -> dict[str, str | None]:
    return {
        "notice_id": notice.id,
        "channel_id": notice.channel_id,
        "monitor_id": notice.monitor_id,
    }
