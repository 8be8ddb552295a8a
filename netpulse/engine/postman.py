"""The postman: sends the letters that NetPulse itself writes, until they were taken or are of no
use any more.

At least once: a letter is sent and only then marked sent, so that one that was on its way when the
process died goes out again, with the same Message-ID. A few go at once, over connections of their
own: alerts wait for none of them. While the server fails, one letter at a time asks whether it is
back; the first that gets through has the others sent at once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Literal

from msgspec import Struct

from netpulse.channels import Carrier
from netpulse.crypto.links import Links
from netpulse.egress import mail_form
from netpulse.egress.mail import MAIL_SECONDS, MailRefused, hand_over
from netpulse.egress.mail_form import ascii_domain
from netpulse.egress.trouble import DialError
from netpulse.engine.attempts import Attempts
from netpulse.engine.clock import Clock
from netpulse.engine.rounds import Rounds
from netpulse.model.ids import Id
from netpulse.model.letter import Letter, LetterKind
from netpulse.model.subscriber import FORGIVEN
from netpulse.model.time import SECOND, Millis
from netpulse.model.user import Actor
from netpulse.rules.outbox import Backoff
from netpulse.storage import letters, page_news, subscribers
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Letters under way at the same time."""
POLL_SECONDS = 5.0
"""The longest it sleeps: what another process wrote (`netpulse user …`) waits no longer."""
SUBSCRIBER = Actor(kind="system", label="a subscriber's mail server")


class _Failure(Struct, frozen=True):
    """Why an attempt failed."""

    sentence: str
    of: Literal["server", "letter", "us"] = "server"
    """What is wrong: the server or how we are set up to use it, so that other letters fare no
    better; this letter, while the server is there; or a mistake in here."""
    is_final: bool = False
    """Another attempt would fare no better."""


class Postman:
    """Runs as a task; `wake()` makes it look at the letters at once."""

    def __init__(
        self,
        *,
        db: Database,
        carrier: Carrier,
        links: Links,
        clock: Clock,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts; letters go through the carrier's mail server."""
        self._db = db
        self._carrier = carrier
        self._links = links
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._rounds = Rounds(self._round, name="letters")
        self._attempts: Attempts[Id] = Attempts(db, name="letters")
        self._is_failing = False
        """The server's last word was no, which is in the log."""

    def wake(self) -> None:
        """Look at the letters at once: something was written."""
        self._rounds.wake()

    async def start(self) -> None:
        """Begin; what waited for another attempt is tried now, for the settings may be others."""
        await self._db.write(letters.hurry, self._clock.now())
        self._rounds.start()

    async def stop(self) -> None:
        """Begin nothing more and give the running attempts 2 s.

        What is cut off may have arrived; it is sent again at the next start.
        """
        await self._rounds.stop()
        await self._attempts.end()

    async def _round(self) -> float:
        """Begin what may be sent now; return seconds until the next look."""
        room = (1 if self._is_failing else AT_ONCE) - len(self._attempts)
        if room <= 0:
            return POLL_SECONDS  # the end of an attempt wakes us
        busy = tuple(self._attempts.keys)
        found = await self._db.read(letters.due, self._clock.now(), room, busy)
        for letter in found:
            self._begin(letter)
        if found:
            return 0.0
        at = await self._db.read(letters.next_due, busy)
        wait = POLL_SECONDS if at is None else (at - self._clock.now()) / SECOND
        return min(max(wait, 0.001), POLL_SECONDS)

    def _begin(self, letter: Letter) -> None:
        self._attempts.begin(letter.id, self._deliver(letter), partial(self._ended, letter))

    def _ended(self, letter: Letter, error: BaseException | None) -> None:
        self._rounds.wake()
        if error is not None:
            log.error("sending a letter broke", exc_info=error, extra=_where(letter))

    async def _deliver(self, letter: Letter) -> None:
        """Make one attempt, unless it is of no use, and record what came of it."""
        if letter.damage is not None:
            await self._give_up(letter, f"its text cannot be read: {letter.damage}")
        elif letter.expires_at <= self._clock.now():
            await self._give_up(letter, _in_vain(letter.error or "it was not tried in time"))
        else:
            failure = await self._attempt(letter)
            if failure is None:
                await self._sent(letter)
            else:
                await self._failed(letter, failure)

    async def _attempt(self, letter: Letter) -> _Failure | None:
        """Hand the letter to the server; return why it was not taken, or None."""
        server = self._carrier.mail
        if server is None:
            return _Failure("no mail server is set ([smtp] in the configuration)")
        end_url = None
        if letter.subscriber_id is not None:
            end_url = self._links.subscription(letter.subscriber_id, "unsubscribe")
        try:
            sender = mail_form.sender_of(server)
            raw = mail_form.compose(
                message_id=letter.id,
                sender=sender,
                recipients=(letter.recipient,),
                subject=letter.subject,
                text=letter.text.rstrip("\n"),
                at=self._clock.now(),
                end_url=end_url,
            )
            await hand_over(
                self._carrier.egress,
                server,
                ascii_domain(sender.addr_spec),
                (ascii_domain(letter.recipient),),
                raw,
                seconds=MAIL_SECONDS,
            )
        except MailRefused as error:
            # Only what was said of this letter can be final: the rest is said of us, and somebody
            # will put that right.
            if error.stage in {"recipients", "data"} and not error.refuses_credentials:
                return _Failure(error.sentence, "letter", error.is_final)
            return _Failure(error.sentence)
        except (DialError, mail_form.NoSender) as error:
            return _Failure(str(error))
        except Exception as error:
            log.exception("sending a letter broke", extra=_where(letter))
            said = f"sending broke ({type(error).__name__}); this is a mistake in NetPulse"
            return _Failure(said, "us")
        return None

    async def _sent(self, letter: Letter) -> None:
        await self._served(letter, partial(_taken, letter=letter, now=self._clock.now()))

    async def _failed(self, letter: Letter, failure: _Failure) -> None:
        if failure.of == "server" and not self._is_failing:
            self._is_failing = True
            log.warning("a letter could not be sent: %s", failure.sentence, extra=_where(letter))
        if failure.is_final:
            log.warning("a letter is given up: %s", failure.sentence, extra=_where(letter))
            now = self._clock.now()
            write = partial(_refused, letter=letter, why=failure.sentence, now=now)
        else:
            wait = self._backoff.wait(letter.attempt_count + 1, None, self._chance())
            again_at = self._clock.now() + round(wait * SECOND)
            write = partial(
                letters.failed, letter_id=letter.id, error=failure.sentence, again_at=again_at
            )
        if failure.of == "letter":
            await self._served(letter, write)
        else:
            await self._attempts.record(write)

    async def _served(self, letter: Letter, write: Callable[[Conn], object]) -> None:
        """Note what came of a letter that the server took, or looked at at least."""
        is_back, self._is_failing = self._is_failing, False
        if is_back:
            log.info("the mail server takes letters again", extra=_where(letter))

        def both(conn: Conn) -> None:
            write(conn)
            if is_back:
                letters.hurry(conn, self._clock.now())

        await self._attempts.record(both)

    async def _give_up(self, letter: Letter, why: str) -> None:
        log.warning("a letter is given up: %s", why, extra=_where(letter))
        await self._attempts.record(letters.failed, letter.id, why, None)


def _taken(conn: Conn, letter: Letter, now: Millis) -> None:
    """Note that a letter was sent."""
    letters.sent(conn, letter.id, now)
    if letter.subscriber_id is not None:
        subscribers.reached(conn, letter.subscriber_id)


def _refused(conn: Conn, letter: Letter, why: str, now: Millis) -> None:
    """Note that a letter was refused for good; a subscriber for whom that lasts is removed."""
    letters.failed(conn, letter.id, why, None)
    if letter.kind is not LetterKind.STATUS_NEWS or letter.subscriber_id is None:
        return
    one = subscribers.refused(conn, letter.subscriber_id, why, now)
    if one is not None and now - (one.failing_since or now) >= FORGIVEN:
        page_news.lose(conn, one, why, SUBSCRIBER, now)


def _in_vain(why: str) -> str:
    """Return why a letter is given up that is of no use any more: the reason it was not sent in
    time."""
    return f"{why}; later it would be of no use"


def _where(letter: Letter) -> dict[str, str]:
    return {"letter_id": letter.id, "kind": letter.kind.value}
