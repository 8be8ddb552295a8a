"""Page webhooks: asks the owners of webhooks whether they want the news of a status page, and
sends the news to those who do.

Strangers chose where these lead, so they go to public addresses only, whatever the organization of
the page may reach itself. At least once: a message is sent and only then marked so, under an id
that is the same at every attempt.

Nor do strangers hold up others by answering slowly: one host has a few attempts at the same time,
and all that are asked for the first time, fail, or took long the last time share half of the room.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from netpulse.channels import Carrier, DeliveryError
from netpulse.channels.posting import post
from netpulse.channels.webhook import PREFIX, signature
from netpulse.crypto.links import Links
from netpulse.engine.attempts import Attempts
from netpulse.engine.clock import Clock
from netpulse.engine.rounds import Rounds
from netpulse.model.ids import Id
from netpulse.model.subscriber import CONFIRM_WITHIN, FORGIVEN, Subscriber
from netpulse.model.time import SECOND, Millis
from netpulse.model.user import Actor
from netpulse.rules import page_letters as words
from netpulse.rules.addresses import AddressPolicy
from netpulse.rules.outbox import Backoff
from netpulse.storage import page_news, subscribers
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Messages under way at the same time; each takes `channels.base.SEND_SECONDS` at most."""
HOST_AT_ONCE = 2
"""Of those to the same host."""
SLOW_AT_ONCE = 4
"""Of those to whoever may be slow."""
SLOW_SECONDS = 2.0
"""A host that took so long for its last answer is slow."""
MOST_SLOW = 10_000
"""Slow hosts that are remembered; who is forgotten has to be slow once more."""
WINDOW = 200
"""Due ones that are looked at in one piece."""
POLL_SECONDS = 30.0
TROUBLE_SECONDS = 1.0
DAYS_ATTEMPTS = 100
"""About as many as a day's waits leave room for."""
GONE = 410
"""The answer that ends a subscription."""
WEBHOOK = Actor(kind="system", label="a subscriber's webhook")


class PageWebhooks:
    """Runs as a task; `wake()` makes it look at what is due. Tests call `turn` instead."""

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
        """Take the parts; the carrier's way out leads to what strangers may have us post to."""
        self._db = db
        self._carrier = carrier
        self._links = links
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._rounds = Rounds(self._round, name="webhooks of status pages")
        self._attempts: Attempts[Id] = Attempts(db, name="webhooks of status pages")
        self._under_way: dict[Id, tuple[str, bool]] = {}
        """Of each that is being sent: to which host, and whether that may be slow."""
        self._passed_over: tuple[Id, ...] = ()
        """Those that are due and wait for room; the end of an attempt makes some."""
        self._slow: set[str] = set()
        """Hosts that took long for their last answer."""

    @property
    def policy(self) -> AddressPolicy:
        """What may be reached."""
        return self._carrier.egress.policy

    def wake(self) -> None:
        """Look at once: something is due."""
        self._rounds.wake()

    async def start(self) -> None:
        """Begin."""
        self._rounds.start()

    async def stop(self) -> None:
        """Begin nothing more and give the running attempts 2 s; they are made again later."""
        await self._rounds.stop()
        await self._attempts.end()

    async def turn(self) -> None:
        """Make the attempts that are due now, and wait for them."""
        while await self._begin():
            await self._attempts.all_over()

    async def _begin(self) -> bool:
        """Begin as many attempts as there is room for; tell whether there was any."""
        passed_over: list[Id] = []
        begun = False
        while len(self._attempts) < AT_ONCE:
            now, busy = self._clock.now(), (*self._attempts.keys, *passed_over)
            due = await self._db.read(subscribers.due, now, WINDOW, busy)
            for one in due:
                host = _host(one)
                may_be_slow = (
                    one.confirmed_at is None or one.error is not None or host in self._slow
                )
                if self._has_room(host, may_be_slow):
                    self._send(one, host, may_be_slow)
                    begun = True
                else:
                    passed_over.append(one.id)
            if len(due) < WINDOW:
                break
        self._passed_over = tuple(passed_over)
        return begun

    def _has_room(self, host: str, may_be_slow: bool) -> bool:
        under_way = self._under_way.values()
        return (
            len(under_way) < AT_ONCE
            and sum(each == host for each, _ in under_way) < HOST_AT_ONCE
            and not (may_be_slow and sum(slow for _, slow in under_way) >= SLOW_AT_ONCE)
        )

    def _send(self, one: Subscriber, host: str, may_be_slow: bool) -> None:
        self._under_way[one.id] = host, may_be_slow
        self._attempts.begin(one.id, self._try(one), partial(self._ended, one))

    def _ended(self, subscriber: Subscriber, error: BaseException | None) -> None:
        del self._under_way[subscriber.id]
        self._rounds.wake()
        if error is not None:
            log.error("a webhook of a status page broke", exc_info=error, extra=_where(subscriber))

    async def _try(self, one: Subscriber) -> None:
        try:
            await self._deliver(one)
        except Exception:
            # It is due still: what breaks each time must not be tried without a pause.
            await asyncio.sleep(TROUBLE_SECONDS)
            raise

    async def _deliver(self, one: Subscriber) -> None:
        fields = await self._db.read(self._fields, one)
        if fields is None:
            # Nothing is left to tell, or nobody can be told how to end it.
            await self._attempts.record(lambda conn: subscribers.taken(conn, one))
            return
        now = self._clock.now()
        body = msgspec.json.encode(fields)
        message_id, timestamp = f"{one.id}.{one.news_to}", now // SECOND
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret(one), message_id, timestamp, body),
        }
        began = self._clock.monotonic()
        try:
            if one.damage is not None:
                raise DeliveryError(f"its address cannot be read: {one.damage}", permanent=True)
            await post(self._carrier, one.address, body, headers)
        except DeliveryError as error:
            self._took(one, began)
            await self._attempts.record(self._failure(one, error))
        else:
            self._took(one, began)
            await self._attempts.record(lambda conn: subscribers.taken(conn, one))

    def _took(self, one: Subscriber, began: float) -> None:
        """Remember whether a host was slow."""
        if self._clock.monotonic() - began < SLOW_SECONDS:
            self._slow.discard(_host(one))
            return
        if len(self._slow) >= MOST_SLOW:
            self._slow.clear()
        self._slow.add(_host(one))

    def _fields(self, conn: Conn, one: Subscriber) -> dict[str, Any] | None:
        """Return what is to be sent to a webhook, or None where there is nothing."""
        about = page_news.about_page(conn, one.page_id)
        confirm_url = self._links.subscription(one.id, "confirm")
        end_url = self._links.subscription(one.id, "unsubscribe")
        if about is None or confirm_url is None or end_url is None:
            return None
        page = about.page
        page_url = self._links.page(f"/status/{page.slug}") or ""
        if one.confirmed_at is None:
            until = one.asked_at + CONFIRM_WITHIN
            return words.question_fields(
                page.title, page_url, confirm_url, end_url, self._secret(one), until
            )
        items = page_news.items_of(conn, one.page_id, one.news_from, one.news_to)
        return words.news_fields(page.title, items, page_url, end_url) if items else None

    def _secret(self, one: Subscriber) -> str:
        return PREFIX + base64.b64encode(self._links.signing_key(one.id)).decode()

    def _failure(self, one: Subscriber, error: DeliveryError) -> Callable[[Conn], None]:
        """Return what writes down that an attempt has failed."""
        now = self._clock.now()
        wait = self._backoff.wait(one.attempt_count + 1, error.retry_after_seconds, self._chance())
        again_at: Millis | None = now + min(round(wait * SECOND), subscribers.LONGEST_WAIT)
        if error.permanent or again_at is None or again_at > (one.gives_up_at or 0):
            again_at = None
        has_ended = error.status_code == GONE or (
            # Where news follow on each other within a day, what is on its way is never given up.
            (again_at is None or one.attempt_count >= DAYS_ATTEMPTS)
            and one.failing_since is not None
            and now - one.failing_since >= FORGIVEN
        )

        def write(conn: Conn) -> None:
            if has_ended:
                page_news.lose(conn, one, str(error), WEBHOOK, now)
            else:
                subscribers.failed(conn, one, str(error), again_at, now)

        return write

    async def _round(self) -> float:
        return 0.0 if await self._begin() else await self._next()

    async def _next(self) -> float:
        """Return the seconds until something is due."""
        if len(self._attempts) >= AT_ONCE:
            return POLL_SECONDS  # the end of an attempt wakes us
        busy = (*self._attempts.keys, *self._passed_over)
        at = await self._db.read(subscribers.next_due, busy)
        wait = POLL_SECONDS if at is None else (at - self._clock.now()) / SECOND
        return min(max(wait, 0.001), POLL_SECONDS)


def _host(subscriber: Subscriber) -> str:
    """Return where a webhook leads; what cannot be read leads nowhere."""
    return urlsplit(subscriber.address).hostname or ""


def _where(subscriber: Subscriber) -> dict[str, str]:
    return {"subscriber_id": subscriber.id, "page_id": subscriber.page_id}
