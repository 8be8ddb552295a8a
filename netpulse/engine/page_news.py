"""Page news: finds what is new on status pages with subscribers, and writes it to them.

It looks when something of an organization has changed, and once a minute at everything, for a
maintenance may come within sight by the mere passing of time. What it finds is written down as one
issue, and from there brought to each subscriber at least once: letters by the postman, a few
hundred at a time so that no other letter waits long behind them; webhooks by `page_webhooks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from netpulse.channels import Carrier
from netpulse.crypto.links import Links
from netpulse.engine.clock import Clock
from netpulse.engine.rounds import Rounds
from netpulse.model.ids import Id
from netpulse.model.letter import LetterKind
from netpulse.model.page_news import NewsItem
from netpulse.model.subscriber import Subscriber
from netpulse.model.time import SECOND, Millis
from netpulse.rules import page_letters as words
from netpulse.rules import page_news as rules
from netpulse.rules.letters import Draft
from netpulse.storage import letters, page_news
from netpulse.storage.db import Database
from netpulse.storage.page_news import About, Found

log = logging.getLogger(__name__)

ALL_SECONDS = 60.0
"""How often every page is looked at."""
PAUSE_SECONDS = 1.0
"""Between two looks, however much changes."""
BLOCKED_SECONDS = 5.0
MOST_WAITING = 200
"""News that wait for the postman; what comes after them is not written yet."""
AT_ONCE = 200
"""Subscribers of one transaction."""


class PageNews:
    """Runs as a task; `stirred` makes it look. Tests call `turn` instead."""

    def __init__(
        self,
        *,
        db: Database,
        carrier: Carrier,
        links: Links,
        clock: Clock,
        on_letters: Callable[[], None],
        on_webhooks: Callable[[], None],
    ) -> None:
        """Take the parts; `on_letters` and `on_webhooks` are called when some were written."""
        self._db = db
        self._carrier = carrier
        self._links = links
        self._clock = clock
        self._on_letters = on_letters
        self._on_webhooks = on_webhooks
        self._rounds = Rounds(self.turn, name="news of status pages", pause_seconds=PAUSE_SECONDS)
        self._changed: set[Id] = set()
        """Organizations."""
        self._waiting: dict[Id, Millis] = {}
        """Pages with news that are still gathered, and since when."""
        self._all_at = float("-inf")

    def stirred(self, org_id: Id) -> None:
        """Look at an organization's pages: something of it has changed."""
        self._changed.add(org_id)
        self._rounds.wake()

    async def start(self) -> None:
        """Begin."""
        self._rounds.start()

    async def stop(self) -> None:
        """End; what is new by then is found after the next start."""
        await self._rounds.stop()

    async def turn(self) -> float:
        """Tell what may be told now; return the seconds until there may be more.

        Raises:
            StorageTrouble: the main file cannot be read or written; nothing is lost.
        """
        wait = await self._look()
        return min(wait, await self._write())

    async def _look(self) -> float:
        now = self._clock.now()
        changed, self._changed = self._changed, set()
        try:
            found = await self._found(changed, now)
        except BaseException:
            self._changed |= changed
            raise
        quiet = [one for one in found if not one.items]
        for one in quiet:
            self._waiting.pop(one.page_id, None)
        passed = [one for one in quiet if one.seq > one.seen_seq]
        if passed:
            await self._db.write(page_news.seen, passed)
        wait = ALL_SECONDS
        for one in found:
            if one.items:
                opens = self._opens_at(one, now)
                if opens > now:
                    wait = min(wait, (opens - now) / SECOND)
                elif await self._db.write(page_news.issue, one.page_id, now):
                    self._waiting.pop(one.page_id, None)
        return wait

    async def _found(self, changed: set[Id], now: Millis) -> Sequence[Found]:
        monotonic = self._clock.monotonic()
        if monotonic >= self._all_at:
            wanted = await self._db.read(page_news.pages)
            # Those that have no subscribers any more, too.
            known = set(wanted)
            self._waiting = {one: at for one, at in self._waiting.items() if one in known}
            self._all_at = monotonic + ALL_SECONDS
        else:
            wanted = await self._db.read(page_news.pages, sorted(changed)) if changed else []
            known = set(wanted)
            wanted += [one for one in self._waiting if one not in known]
        return await self._db.read(page_news.look, wanted, now) if wanted else ()

    def _opens_at(self, found: Found, now: Millis) -> Millis:
        seen_at = self._waiting.setdefault(found.page_id, now)
        if seen_at > now:  # the clock was set back
            seen_at = self._waiting[found.page_id] = now
        by_people = any(item.by_people for item in found.items)
        return rules.opens_at(seen_at, found.told_at, found.row_length, by_people=by_people)

    async def _write(self) -> float:
        """Bring the issues on their way; return the seconds until it is worth another try."""
        while await self._db.write(page_news.wake_webhooks, self._clock.now(), AT_ONCE):
            self._on_webhooks()
        while True:
            if await self._db.read(letters.waiting_count, LetterKind.STATUS_NEWS) >= MOST_WAITING:
                return BLOCKED_SECONDS
            now = self._clock.now()
            if not await self._db.write(page_news.write_letters, self._letter, now, AT_ONCE):
                return ALL_SECONDS
            self._on_letters()

    def _letter(
        self, about: About, items: Sequence[NewsItem], subscriber: Subscriber
    ) -> Draft | None:
        page_url = self._links.page(f"/status/{about.page.slug}")
        end_url = self._links.subscription(subscriber.id, "unsubscribe")
        if page_url is None or end_url is None or self._carrier.mail is None:
            return None
        return words.news(about.page.title, items, about.zone, page_url, end_url)
