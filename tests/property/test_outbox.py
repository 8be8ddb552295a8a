"""The outbox under random outcomes: every notice is settled once, in the order it happened, and
whatever dies in between (I2 to I4 of the invariants)."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from netpulse.model.alert import Event, NoticeStatus, Suppressed
from netpulse.model.ids import Id
from netpulse.model.time import SECOND, Millis
from netpulse.storage import notices
from netpulse.storage.conn import Conn
from netpulse.storage.notices import Claimed
from tests.outbox import BAD, OK, Outbox
from tests.store import NOW, opened

MONITORS = 6
STEPS = 250


class Story:
    """A channel of either kind, monitors that fail and recover, and a far side of moods."""

    def __init__(self, conn: Conn, chance: random.Random, *, for_people: bool) -> None:
        self.conn = conn
        self.chance = chance
        self.outbox = Outbox(conn)
        if for_people:
            self.outbox.channel = self.outbox.people()
        self.monitors = self.outbox.fleet(MONITORS)
        self.is_down = [False] * MONITORS
        self.now: Millis = NOW
        self.written: list[Id] = []
        self.on_their_way: list[Claimed] = []
        self.taken: list[tuple[Id, list[Id]]] = []
        """By message: what it told, in the order in which they were accepted."""
        self.digests: dict[Id, set[Id]] = {}

    def step(self) -> None:
        self.now += round(self.chance.expovariate(1 / 4) * SECOND)
        deed = self.chance.random()
        if deed < 0.4:
            self.flip()
        elif deed < 0.75:
            self.claim()
        elif deed < 0.98:
            self.answer()
        else:
            self.die()

    def flip(self) -> None:
        one = self.chance.randrange(MONITORS)
        self.is_down[one] = not self.is_down[one]
        event = Event.MONITOR_DOWN if self.is_down[one] else Event.MONITOR_UP
        self.written.append(self.outbox.add(self.monitors[one], event=event, at=self.now))

    def claim(self) -> None:
        busy = set().union(*(one.lanes for one in self.on_their_way))
        for claimed in self.outbox.claims(now=self.now, busy=busy):
            lanes = [lane for one in self.on_their_way for lane in one.lanes]
            assert not claimed.lanes & set(lanes), "one at a time per channel and monitor"
            if len(claimed.notices) > 1:
                ids = {notice.id for notice in claimed.notices}
                assert ids <= self.digests.setdefault(claimed.id, ids), "a digest only shrinks"
            self.on_their_way.append(claimed)
        assert len(self.on_their_way) <= notices.PER_CHANNEL

    def answer(self) -> None:
        if not self.on_their_way:
            return
        claimed = self.on_their_way.pop(self.chance.randrange(len(self.on_their_way)))
        mood = self.chance.random()
        for notice in claimed.notices:
            if mood < 0.5:
                notices.sent(self.conn, notice.id, replace(OK, at=self.now), self.now)
            elif mood < 0.95:
                wait = self.chance.choice([10, 20, 900]) * SECOND
                notices.retry(self.conn, notice.id, BAD, self.now + wait, "oops")
            else:
                notices.failed(self.conn, notice.id, BAD, "no")
        if mood < 0.5:
            self.taken.append((claimed.id, [notice.id for notice in claimed.notices]))

    def die(self) -> None:
        """The process is killed: what was on its way may have arrived, nobody knows."""
        for claimed in self.on_their_way:
            if self.chance.random() < 0.5:
                self.taken.append((claimed.id, [notice.id for notice in claimed.notices]))
        self.on_their_way.clear()
        notices.release_claims(self.conn, None)

    def end(self) -> None:
        """The far side takes everything from now on."""
        self.die()
        for _ in range(2_000):
            due = notices.next_due(self.conn, self.now)
            if due is None:
                return
            self.now = due
            for claimed in self.outbox.claims(now=self.now):
                for notice in claimed.notices:
                    notices.sent(self.conn, notice.id, OK, self.now)
                self.taken.append((claimed.id, [notice.id for notice in claimed.notices]))
        raise AssertionError("it never ends")

    def agrees(self, *, for_people: bool) -> None:
        place = {one: number for number, one in enumerate(self.written)}
        heard: dict[Id, list[int]] = defaultdict(list)
        sent = {one for _, told in self.taken for one in told}
        for _, told in self.taken:
            for one in told:
                monitor_id = self.outbox.get(one).monitor_id
                assert monitor_id is not None
                # What arrived unknown to us before it was taken back is no news of the order.
                if place[one] not in heard[monitor_id]:
                    heard[monitor_id].append(place[one])
        for places in heard.values():
            assert places == sorted(places), "told in the order in which it happened"
        for one in self.written:
            notice = self.outbox.get(one)
            assert notice.status is not NoticeStatus.PENDING
            if notice.status is NoticeStatus.SENT:
                assert one in sent
            if notice.status is NoticeStatus.SUPPRESSED:
                assert notice.reason is Suppressed.COLLAPSED
                assert for_people or notice.event is Event.MONITOR_UP, "machines get every edge"
        if not for_people:
            assert all(len(told) == 1 for _, told in self.taken)


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), for_people=st.booleans())
def test_all_is_told_in_order_whatever_happens(seed: int, for_people: bool) -> None:
    def act(conn: Conn) -> None:
        story = Story(conn, random.Random(seed), for_people=for_people)
        for _ in range(STEPS):
            story.step()
        story.end()
        story.agrees(for_people=for_people)

    async def play() -> None:
        with TemporaryDirectory() as data:
            async with opened(Path(data)) as db:
                await db.write(act)

    asyncio.run(play())
