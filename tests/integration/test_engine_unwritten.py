"""While the disk takes nothing: who is to be told is told from memory, once, and it is written when
the disk is back, under the same ids. Nobody restarts anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from netpulse.engine import dispatcher, unwritten
from netpulse.engine.composing import FROM_MEMORY
from netpulse.engine.roster import Watched
from netpulse.model.alert import Event, Notice, NoticeStatus, Suppressed
from netpulse.model.channel import SlackConfig
from netpulse.model.check import Check, Failure, Result
from netpulse.model.time import HOUR, SECOND
from netpulse.model.watch import Status
from netpulse.storage import db as db_module
from netpulse.storage import edges, imagined, incident_story, meta, monitors, notices, troubles
from netpulse.storage.claims import Claimed
from netpulse.storage.conn import Conn
from netpulse.storage.db import StorageTrouble, TroubleKind
from netpulse.storage.imagined import Imagined
from tests.clock import ShiftedClock
from tests.faulty_disk import FaultyDisk, mounted
from tests.home import Home, home, spec
from tests.receiver import Delivery, Receiver

FOR_EVER = 1_000_000_000
DISK = "NetPulse cannot write its data: the disk reports errors: it is tried again every minute"


class Broken:
    """A home on a disk that a test breaks and mends; checks are handed to the runner."""

    def __init__(self, at: Home, clock: ShiftedClock, disk: FaultyDisk) -> None:
        self.at = at
        self.clock = clock
        self.disk = disk

    async def on_duty(self, name: str = "Shop") -> Watched:
        """Return a new monitor that is up, and that one failing check takes down."""
        monitor = await self.at.monitor(spec("http://shop.example/", name=name, confirmations=1))
        loaded = await self.at.db.read(monitors.load_one, monitor.id)
        assert loaded is not None
        watched = Watched(*loaded, self.clock.monotonic())
        self.at.engine.roster.add(watched)
        await self.check(watched, Result.UP)
        return watched

    async def check(self, watched: Watched, result: Result, *, after: float = 10) -> None:
        """Let a check of a monitor come, so many seconds later."""
        self.clock.ahead_ms += round(after * SECOND)
        at = self.clock.now()
        down = result is Result.DOWN
        made = Check(
            due_at=at,
            started_at=at,
            result=result,
            failure=Failure.REFUSED if down else None,
            message="the connection was refused" if down else None,
        )
        await self.at.engine.runner.take(watched, made)

    async def breaks(self) -> None:
        """Let the disk report errors from now on, which the sign of life meets."""
        self.disk.fail_once(1, FOR_EVER)
        with pytest.raises(StorageTrouble) as trouble:
            await self.at.db.write(meta.put, "sign of life", 1)
        assert trouble.value.kind is TroubleKind.IO

    def mends(self) -> None:
        """Let the disk work again."""
        self.disk.fail_from = self.disk.fail_until = 0

    async def outbox(self) -> list[Notice]:
        """Return what is on disk of the notices, the oldest first."""
        return (await self.at.db.read(notices.recent, self.at.org.id))[::-1]

    async def until_calm(self) -> None:
        """Wait until nothing waits, neither for the disk nor to be told."""

        async def look() -> bool:
            sending = self.at.engine.dispatcher._sending
            return not sending and not await self.at.db.read(notices.pending_count)

        await self.at.until(look, "nothing waits")


@pytest.fixture
async def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broken]:
    monkeypatch.setattr(db_module, "REOPEN_SECONDS", 0.0)
    monkeypatch.setattr(dispatcher, "MEMORY_SECONDS", 0.05)
    monkeypatch.setattr(dispatcher, "TROUBLE_SECONDS", 0.05)
    clock = ShiftedClock(0)
    with mounted() as disk:
        async with home(tmp_path / "data", clock=clock, start=False) as at:
            made = Broken(at, clock, disk)
            yield made
            made.mends()
            await at.engine.dispatcher.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


def events(receiver: Receiver) -> list[str]:
    return [one.payload["event"] for one in receiver.taken]


def text(delivery: Delivery) -> str:
    return delivery.body.decode()


async def told(broken: Broken, receiver: Receiver, number: int) -> None:
    """Wait until so many deliveries were answered, and what came of each is known."""
    await receiver.wait_for(number)

    async def is_over() -> bool:
        return not any(one.under_way for one in broken.at.engine.dispatcher._sending.values())

    await broken.at.until(is_over, "the far side has answered")


async def rounds(broken: Broken, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Wait until what is owed was looked through so many times more."""
    memory = broken.at.engine.dispatcher._unwritten
    assert memory is not None
    looks, look = count(1), memory.claim
    all_were = asyncio.Event()

    async def next_look(*args: Any, **kwargs: Any) -> list[Imagined]:
        found = await look(*args, **kwargs)
        if next(looks) == number:
            all_were.set()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(memory, "claim", next_look)
        await asyncio.wait_for(all_were.wait(), 20)


def shops_in(delivery: Delivery) -> list[str]:
    """Return the numbers of the shops that a message tells of."""
    return sorted(set(re.findall(r"Shop (\d\d)", text(delivery))))


async def people(broken: Broken, receiver: Receiver) -> None:
    """Let a channel that people read be told of everything."""
    config = SlackConfig(webhook_url=f"{receiver.url}/people")
    made = await broken.at.channel(receiver.url, name="People", type="slack", config=config)
    await broken.at.rule(made)


async def storm_that_is_refused(
    broken: Broken, receiver: Receiver, shops: Sequence[Watched]
) -> None:
    """Break the disk, let five shops go down, which people are told, then the rest, refused."""
    await broken.at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops[:5]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    receiver.answer = lambda _: 503
    for shop in shops[5:]:
        await broken.check(shop, Result.DOWN, after=0)


async def each_is_told(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Wait until people were told of each shop."""
    async with asyncio.timeout(20):
        while len({shop for one in receiver.taken for shop in shops_in(one)}) < number:
            broken.clock.ahead_ms += 31 * SECOND
            await rounds(broken, monkeypatch, 2)
            await told(broken, receiver, 0)


async def test_an_outage_on_a_broken_disk_is_told_and_written_later(
    broken: Broken, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url), condition="down or system")
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    await broken.breaks()
    await broken.check(shop, Result.DOWN)
    assert shop.watch.status is Status.UP, "what people see is what is on disk"
    system, down = sorted(
        await receiver.wait_for(2), key=lambda one: one.payload["event"], reverse=True
    )
    assert (system.payload["event"], down.payload["event"]) == ("system.isolated", "monitor.down")
    assert system.payload["reason"].startswith(DISK)
    assert down.payload["monitor"]["id"] == shop.id
    assert down.payload["id"] == down.id
    assert await broken.outbox() == []
    # It is told once, however often its checks fail.
    for _ in range(3):
        await broken.check(shop, Result.DOWN)
    await asyncio.sleep(0.3)
    assert len(receiver.ledger) == 2
    # It comes back while the disk is still broken, and that is told too.
    await broken.check(shop, Result.UP)
    await receiver.wait_for(3)
    assert events(receiver)[2:] == ["monitor.up"]
    assert receiver.taken[2].payload["incident"]["id"] == down.payload["incident"]["id"]
    broken.mends()
    await broken.check(shop, Result.UP)
    await broken.until_calm()
    told = await broken.outbox()
    assert {one.event: one.status for one in told} == dict.fromkeys(
        (
            Event.SYSTEM_ISOLATED,
            Event.MONITOR_DOWN,
            Event.MONITOR_UP,
            Event.SYSTEM_RECOVERED,
        ),
        NoticeStatus.SENT,
    )
    assert len(told) == 4
    assert [one.id for one in receiver.ledger if one.id not in {each.id for each in told}] == []
    assert len(receiver.ledger) == 4, [one.payload for one in receiver.ledger]
    bodies = {one.id: bytes(one.payload) for one in told}
    assert all(bodies[one.id] == one.body for one in receiver.ledger)
    story = await at.db.read(incident_story.timeline, down.payload["incident"]["id"])
    lines = [line.message for line in story]
    assert "Told from memory Hook: Shop is down" in lines
    assert "Told from memory Hook: Shop is up again" in lines
    (trouble,) = await at.db.read(troubles.recent)
    assert (trouble.kind, trouble.ended_at is not None) == ("unwritten", True)
    assert trouble.detail.startswith(DISK)
    assert at.engine.trouble is None
    said = [one.getMessage() for one in caplog.records if one.name.endswith("unwritten")]
    assert said == ["alerts are sent from memory until the database can be written"]


async def test_a_receiver_that_fails_is_tried_again_from_memory(
    broken: Broken, receiver: Receiver
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url))
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    await broken.breaks()
    receiver.answer = lambda _: 503 if len(receiver.ledger) < 2 else 200
    await broken.check(shop, Result.DOWN)
    async with asyncio.timeout(10):
        while not receiver.taken:
            # Ten seconds of waiting pass quickly.
            broken.clock.ahead_ms += SECOND
            await asyncio.sleep(0.02)
    assert [one.status for one in receiver.ledger] == [503, 503, 200]
    broken.mends()
    await broken.check(shop, Result.DOWN)
    await broken.until_calm()
    (notice,) = await broken.outbox()
    assert (notice.status, notice.attempt_count) == (NoticeStatus.SENT, 3)
    assert {one.id for one in receiver.ledger} == {notice.id}
    tried = await at.db.read(notices.attempts, notice.id)
    assert [one.ok for one in tried] == [False, False, True]
    assert len(receiver.ledger) == 3


async def test_what_waited_before_the_disk_broke_is_told_too(
    broken: Broken, receiver: Receiver
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url))
    shop = await broken.on_duty()
    await broken.check(shop, Result.DOWN)
    (waiting,) = await broken.outbox()
    await at.engine.dispatcher.start()
    await receiver.wait_for(1)
    await broken.until_calm()
    receiver.answer = lambda _: 503
    await broken.check(shop, Result.UP)

    async def is_tried() -> bool:
        return len(receiver.ledger) == 2 and not at.engine.dispatcher._sending

    await at.until(is_tried, "the recovery was not taken")
    await broken.breaks()
    receiver.answer = lambda _: 200
    async with asyncio.timeout(10):
        while len(receiver.taken) < 2:
            broken.clock.ahead_ms += SECOND
            await asyncio.sleep(0.02)
    assert receiver.taken[0].id == waiting.id
    assert events(receiver) == ["monitor.down", "monitor.up"]
    broken.mends()
    await broken.check(shop, Result.UP)
    await broken.until_calm()
    assert {one.status for one in await broken.outbox()} == {NoticeStatus.SENT}


async def test_a_storm_on_a_broken_disk_keeps_to_its_pace(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People get five messages singly and then digests, as ever; each says where it comes from."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 12)
    at = broken.at
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(15)]
    await at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    async with asyncio.timeout(20):
        while len(receiver.taken) < 6:
            broken.clock.ahead_ms += 2 * SECOND
            await asyncio.sleep(0.05)
    singles = [text(one) for one in receiver.taken if "Shop 00" in text(one)]
    assert len(singles) == 1
    assert all(FROM_MEMORY in text(one) for one in receiver.taken)
    heard = len(receiver.taken)
    assert heard <= 7, "the rest in digests"
    broken.mends()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    async with asyncio.timeout(20):
        while any(one.status is NoticeStatus.PENDING for one in await broken.outbox()):
            broken.clock.ahead_ms += 2 * SECOND
            at.engine.dispatcher.wake()
            await asyncio.sleep(0.05)
    told = await broken.outbox()
    assert {one.status for one in told} == {NoticeStatus.SENT}
    assert len(told) == 15
    # Every shop was told of exactly once.
    everything = "\n".join(text(one) for one in receiver.taken)
    assert all(everything.count(f"Shop {number:02}") >= 1 for number in range(15))
    assert len(receiver.taken) == len(receiver.ledger)


async def test_what_was_said_singly_counts_whoever_has_the_turn(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three messages, then a storm of more monitors than are tried out at a time: two more, and the
    others together, each of them once."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(13)]
    await broken.at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops[:3]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 3)
    for shop in shops[3:]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    await rounds(broken, monkeypatch, 12)
    await told(broken, receiver, 5)
    assert [len(shops_in(one)) for one in receiver.taken] == [1] * 5
    await each_is_told(broken, receiver, monkeypatch, len(shops))
    each = [shop for one in receiver.taken for shop in shops_in(one)]
    assert sorted(each) == [f"{number:02}" for number in range(13)], "each of them once"
    assert len(receiver.taken) <= 5 + 4, "of each group at most one message"


async def test_a_digest_that_is_not_taken_stays_as_it_is_whoever_has_the_turn(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts under one id would be taken for the same message, and dropped."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(14)]
    await storm_that_is_refused(broken, receiver, shops)
    async with asyncio.timeout(20):
        while len(receiver.ledger) < 14:
            broken.clock.ahead_ms += 31 * SECOND
            await rounds(broken, monkeypatch, 2)
    receiver.answer = lambda _: 200
    await each_is_told(broken, receiver, monkeypatch, len(shops))
    tried = {tuple(shops_in(one)) for one in receiver.ledger}
    assert any(len(one) > 1 for one in tried)
    each = [shop for one in tried for shop in one]
    assert len(each) == len(set(each)), "no message was torn apart"
    each = [shop for one in receiver.taken for shop in shops_in(one)]
    assert sorted(each) == [f"{number:02}" for number in range(14)], "each of them once"


async def test_a_parent_that_only_comes_along_takes_its_digest_nowhere(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a child may say is tried out with its parents, whose messages have their own turn."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(9)]
    router, child = shops[5], shops[8]
    under = replace(child.monitor.spec, parent_id=router.id)
    child.monitor = replace(child.monitor, spec=under)
    await storm_that_is_refused(broken, receiver, shops)
    async with asyncio.timeout(20):
        while len(receiver.ledger) < 12:
            # Later than any attempt waits; the group that is first then is another one each time.
            broken.clock.ahead_ms += 2 * HOUR
            await rounds(broken, monkeypatch, 2)
            await told(broken, receiver, 5)
    tried = {tuple(shops_in(one)) for one in receiver.ledger[5:]}
    assert tried == {("05", "06", "07"), ("08",)}, "the digest is whole each time"


async def test_children_of_each_others_groups_are_told(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group has a parent of the other one along, which must not keep it from speaking."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(12)]
    for child, parent in ((5, 8), (9, 6)):
        one = shops[child]
        under = replace(one.monitor.spec, parent_id=shops[parent].id)
        one.monitor = replace(one.monitor, spec=under)
    await broken.at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    await each_is_told(broken, receiver, monkeypatch, len(shops))


async def test_a_digest_from_before_the_disk_broke_belongs_to_no_group(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its monitors come to be in several, and whoever has the turn, all of it is in the file."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    at = broken.at
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(11)]
    await at.engine.dispatcher.start()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    receiver.answer = lambda _: 503

    async def is_refused() -> bool:
        broken.clock.ahead_ms += 2 * SECOND
        at.engine.dispatcher.wake()
        return len(receiver.ledger) > 5 and not at.engine.dispatcher._sending

    await at.until(is_refused, "the digest is not taken", 20)
    assert len(shops_in(receiver.ledger[-1])) == 6
    receiver.ledger.clear()
    await broken.breaks()
    # Those that stay down owe nothing: what is told of them is in the file.
    for shop in shops[:9]:
        await broken.check(shop, Result.UP, after=0)
    receiver.answer = lambda _: 200
    await each_is_told(broken, receiver, monkeypatch, len(shops))


async def test_who_recovered_meanwhile_is_not_called_down(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Problems that wait in the file are left to the turn of their monitors, which know better."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 4)
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(13)]
    await broken.at.engine.dispatcher.start()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)

    async def are_settled() -> bool:
        return not broken.at.engine.dispatcher._sending

    await broken.at.until(are_settled, "the five are settled")
    receiver.ledger.clear()
    await broken.breaks()
    for shop in shops:
        await broken.check(shop, Result.UP, after=0)
    await each_is_told(broken, receiver, monkeypatch, len(shops))
    for _ in range(4):
        broken.clock.ahead_ms += 31 * SECOND
        await rounds(broken, monkeypatch, 4)
    broken.mends()
    for shop in shops:
        await broken.check(shop, Result.UP, after=0)

    async def is_calm() -> bool:
        broken.clock.ahead_ms += 2 * SECOND
        broken.at.engine.dispatcher.wake()
        return await are_settled() and not await broken.at.db.read(notices.pending_count)

    await broken.at.until(is_calm, "nothing waits", 20)
    headings = [one.payload["text"] for one in receiver.taken]
    assert [one for one in headings if not re.match(r"Up again: |\d+ up again$", one)] == []


@pytest.mark.parametrize(
    ("now", "until", "then"),
    [
        (None, 30 * SECOND, 30 * SECOND),
        (10 * SECOND, 30 * SECOND, 30 * SECOND),
        (60 * SECOND, 30 * SECOND, 60 * SECOND),
        (HOUR, 30 * SECOND, 30 * SECOND),
        (60 * SECOND, HOUR, 60 * SECOND),
        (60 * SECOND, None, 60 * SECOND),
        (60 * SECOND, -HOUR, 60 * SECOND),
    ],
)
async def test_a_channel_gathers_until_the_later_moment_that_can_be(
    broken: Broken, now: int | None, until: int | None, then: int
) -> None:
    """Outcomes are written in no certain order; an hour ahead is from before the clock was set."""
    at, moment = broken.at, broken.clock.now()
    made = await at.channel("http://127.0.0.1:9/hook")
    message = cast(Imagined, SimpleNamespace(claim=SimpleNamespace(notices=(), channel=made)))
    message.gathering_until = None if until is None else moment + until

    def begin(conn: Conn) -> int:
        ends = None if now is None else moment + now
        conn.execute("UPDATE alert_channels SET gathering_until = ?", (ends,))
        imagined.begun(conn, message, lambda: moment)
        row = conn.one("SELECT gathering_until FROM alert_channels")
        assert row is not None
        return int(row[0])

    assert await at.db.write(begin) == moment + then


async def test_who_waits_longer_than_a_window_is_not_overtaken_by_the_next_group(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that ends with others waiting has not ended the storm."""
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 8)
    memory = broken.at.engine.dispatcher._unwritten
    assert memory is not None
    memory._turns._shuffle = lambda groups: None  # the newest group is the first
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(24)]
    await broken.at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops[:8]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    broken.clock.ahead_ms += 31 * SECOND
    for shop in shops[8:]:
        await broken.check(shop, Result.DOWN, after=0)
    await rounds(broken, monkeypatch, 6)
    await told(broken, receiver, 6)
    assert len(receiver.taken) == 6
    assert len(shops_in(receiver.taken[5])) >= 3, "one message, of all whose turn it was"


async def test_a_clock_set_back_does_not_end_the_gathering(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number:02}") for number in range(24)]
    await broken.at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops[:5]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 5)
    broken.clock.ahead_ms -= HOUR
    for shop in shops[5:]:
        await broken.check(shop, Result.DOWN, after=0)
    await told(broken, receiver, 10)
    await rounds(broken, monkeypatch, 6)
    await told(broken, receiver, 10)
    assert len(receiver.taken) == 10, "five as of a day without a storm, and no more singly"
    broken.clock.ahead_ms += 31 * SECOND
    await receiver.wait_for(11)
    assert len(shops_in(receiver.taken[10])) == 14


async def test_only_what_people_were_told_first_counts_for_their_pace(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = broken.at
    await people(broken, receiver)
    await at.rule(await at.channel(receiver.url, name="Machine"))
    memory = at.engine.dispatcher._unwritten
    assert memory is not None
    receiver.answer = lambda _: 503
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    await broken.breaks()
    await broken.check(shop, Result.DOWN, after=0)
    async with asyncio.timeout(20):
        while len(receiver.ledger) < 6:
            broken.clock.ahead_ms += 31 * SECOND
            await rounds(broken, monkeypatch, 2)
    (begun,) = memory._begun.values()
    assert len(begun) == 1
    receiver.answer = lambda _: 200
    await broken.check(shop, Result.UP, after=3_600)
    await told(broken, receiver, 2)
    await rounds(broken, monkeypatch, 1)
    (begun,) = memory._begun.values()
    assert len(begun) == 1, "what is longer ago than a window is forgotten"


async def test_where_more_monitors_owe_than_are_tried_out_at_a_time_they_take_turns(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 1)
    at = broken.at
    await at.rule(await at.channel(receiver.url))
    shops = [await broken.on_duty(f"Shop {number}") for number in range(4)]
    await at.engine.dispatcher.start()
    await broken.breaks()
    receiver.answer = lambda _: 503 if len(receiver.ledger) < 2 else 200
    for shop in shops:
        await broken.check(shop, Result.DOWN)
    async with asyncio.timeout(10):
        while len(receiver.taken) < 4:
            broken.clock.ahead_ms += SECOND
            await asyncio.sleep(0.02)
    broken.mends()
    for shop in shops:
        await broken.check(shop, Result.DOWN)
    await broken.until_calm()
    assert [one.status for one in await broken.outbox()] == [NoticeStatus.SENT] * 4
    assert len(receiver.taken) == 4, "each of them once"


async def test_a_disk_that_comes_and_goes_is_told_of_once_until_it_stays_away(
    broken: Broken, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url), condition="down or system")
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    memory = at.engine.dispatcher._unwritten
    assert memory is not None
    signs = count(2)

    async def is_open() -> bool:
        at.engine.dispatcher.wake()
        return memory.is_open

    async def is_over() -> bool:
        with suppress(StorageTrouble):
            await at.db.write(meta.put, "sign of life", next(signs))
        return not await is_open()

    for _ in range(4):
        await broken.breaks()
        await at.until(is_open, "the trouble is seen")
        broken.mends()
        await at.until(is_over, "the trouble is over")
    await broken.until_calm()
    assert events(receiver) == ["system.isolated", "system.recovered"]
    # Alerts are sent at once all the same; and what stays broken is told of again.
    await broken.breaks()
    await broken.check(shop, Result.DOWN)
    await receiver.wait_for(3)
    assert events(receiver)[2:] == ["monitor.down"]
    broken.clock.ahead_ms += unwritten.STEADY
    await receiver.wait_for(4)
    assert events(receiver)[3:] == ["system.isolated"]
    broken.mends()
    await broken.check(shop, Result.DOWN)
    await broken.until_calm()
    assert events(receiver)[4:] == ["system.recovered"]
    assert [one.ended_at is not None for one in await at.db.read(troubles.recent)] == [True] * 5


async def test_what_a_channel_took_speaks_of_the_network_at_once(
    broken: Broken, receiver: Receiver
) -> None:
    """Not when the disk is back: hours later it would end an outage of our own network."""
    at = broken.at
    heard: list[str | None] = []
    at.engine.dispatcher._on_accepted = heard.append
    await at.rule(await at.channel(receiver.url))
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    await broken.breaks()
    await broken.check(shop, Result.DOWN)

    async def is_heard() -> bool:
        return bool(heard)

    await at.until(is_heard, "the network is heard of", 3)
    assert at.db.trouble is not None
    assert await broken.outbox() == []
    broken.mends()
    await broken.check(shop, Result.DOWN)
    await broken.until_calm()
    assert len(heard) == 1


async def test_a_child_is_tried_out_with_what_its_parents_owe(
    broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "MOST_MONITORS", 1)
    router, shop = await broken.on_duty("Router"), await broken.on_duty("Shop")
    under = replace(shop.monitor.spec, parent_id=router.id)
    shop.monitor = replace(shop.monitor, spec=under)
    await broken.breaks()
    for one in (router, shop):
        await broken.check(one, Result.DOWN)
    found = broken.at.engine.dispatcher._unwritten
    assert found is not None
    found._turns._shuffle = lambda groups: None
    turns = [found._owed() for _ in range(3)]
    tried = [[edges[0].monitor.id for edges in owed] for owed, _ in turns]
    assert tried == [[shop.id, router.id], [router.id], [shop.id, router.id]]
    assert [set(others) for _, others in turns] == [{router.id}, {shop.id}, {router.id}]


async def test_of_a_digest_what_is_in_the_outbox_is_settled(
    broken: Broken, receiver: Receiver
) -> None:
    """A monitor that was paused before its outage was written takes nobody else's with it."""
    at = broken.at
    await people(broken, receiver)
    shops = [await broken.on_duty(f"Shop {number}") for number in range(8)]
    await at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    async with asyncio.timeout(20):
        while not all(
            any(shop.monitor.spec.name in text(d) for d in receiver.taken) for shop in shops
        ):
            broken.clock.ahead_ms += 2 * SECOND
            await asyncio.sleep(0.05)
    last = text(receiver.taken[-1])
    digest = [shop for shop in shops if shop.monitor.spec.name in last]
    assert len(digest) > 1, "the last ones came together"
    heard = len(receiver.taken)
    broken.mends()
    await at.db.write(edges.pause, at.org.id, digest[0].id, broken.clock.now())
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    async with asyncio.timeout(20):
        while at.engine.dispatcher._sending or any(
            one.status is NoticeStatus.PENDING for one in await broken.outbox()
        ):
            broken.clock.ahead_ms += 2 * SECOND
            at.engine.dispatcher.wake()
            await asyncio.sleep(0.05)
    told = await broken.outbox()
    assert [one.status for one in told] == [NoticeStatus.SENT] * 7
    assert len(receiver.taken) == heard, "nobody is told again"


async def test_what_is_not_written_before_the_end_is_said_once(
    broken: Broken, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url))
    shops = [await broken.on_duty(f"Shop {number}") for number in range(3)]
    await at.engine.dispatcher.start()
    await broken.breaks()
    for shop in shops:
        await broken.check(shop, Result.DOWN, after=0)
    await receiver.wait_for(3)
    with pytest.raises(StorageTrouble):
        await at.engine.dispatcher.stop()
    said = [one.getMessage() for one in caplog.records if "engine" in one.name]
    assert [one for one in said if "broke" in one] == []
    (end,) = (one for one in said if "the end came first" in one)
    assert end.startswith(
        "the outbox: what came of 3 may not be noted, since the end came first (the disk"
    )


async def test_what_waits_for_its_monitors_outage_at_the_end_is_said_too(
    broken: Broken, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is back, but nobody has checked the monitor since: its outage is not written."""
    at = broken.at
    await at.rule(await at.channel(receiver.url))
    shop = await broken.on_duty()
    await at.engine.dispatcher.start()
    await broken.breaks()
    await broken.check(shop, Result.DOWN)
    await told(broken, receiver, 1)
    broken.mends()
    await at.db.write(meta.put, "sign of life", 2)
    await at.engine.dispatcher.stop()
    (end,) = (
        one.getMessage() for one in caplog.records if "the end came first" in one.getMessage()
    )
    assert "what came of 1 may not be noted, since the end came first (they took too long)" in end


async def test_many_outcomes_that_wait_are_not_compared_with_each_other(broken: Broken) -> None:
    """With two thousand of them that would take all of the loop's time."""
    at = broken.at
    made = await at.channel("http://127.0.0.1:9/hook")
    looked = 0

    class Waiting:
        channel = made

        def __init__(self, number: int) -> None:
            self.number = number

        @property
        def lanes(self) -> frozenset[tuple[str, str | None]]:
            nonlocal looked
            looked += 1
            return frozenset({(made.id, f"monitor {self.number % 100}")})

    sends = at.engine.dispatcher
    waiting = [dispatcher._Sending(number, cast(Claimed, Waiting(number))) for number in range(300)]
    for sending in waiting:
        sends._begin(sending)
    first = [sends._lanes.is_first(one.number, one.lanes) for one in waiting]
    assert first == [True] * 100 + [False] * 200
    assert looked == 300
    tasks = list(sends._attempts._tasks.values())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not sends._sending
    assert not sends._lanes.busy


async def test_what_a_rule_keeps_back_is_kept_back_from_memory_too(
    broken: Broken, receiver: Receiver
) -> None:
    at = broken.at
    await at.rule(await at.channel(receiver.url), cooldown_seconds=3600)
    shop, other = await broken.on_duty(), await broken.on_duty("Other")
    await at.engine.dispatcher.start()
    for result in (Result.DOWN, Result.UP):
        await broken.check(shop, result)
    await receiver.wait_for(2)
    await broken.until_calm()
    await broken.breaks()
    await broken.check(shop, Result.DOWN)
    await broken.check(other, Result.DOWN)
    await receiver.wait_for(3)
    await asyncio.sleep(0.3)
    assert [one.payload["monitor"]["name"] for one in receiver.ledger] == ["Shop", "Shop", "Other"]
    broken.mends()
    await broken.check(shop, Result.DOWN)
    await broken.check(other, Result.DOWN)

    async def written() -> bool:
        return len(await broken.outbox()) == 4 and not at.engine.dispatcher._sending

    await at.until(written, "both are written")
    last = {one.monitor_id: one for one in await broken.outbox()}
    assert last[shop.id].held_for is Suppressed.COOLDOWN
    assert last[other.id].status is NoticeStatus.SENT


async def test_a_disk_that_is_locked_by_another_process_is_waited_for(
    broken: Broken, receiver: Receiver
) -> None:
    at = broken.at
    assert not at.engine.dispatcher._unwritten.is_lasting  # type: ignore[union-attr]
    at.db._trouble = StorageTrouble(TroubleKind.BUSY)
    assert not at.engine.dispatcher._unwritten.is_lasting  # type: ignore[union-attr]
    at.db._trouble = StorageTrouble(TroubleKind.FULL)
    assert at.engine.dispatcher._unwritten.is_lasting  # type: ignore[union-attr]
    at.db._trouble = None
