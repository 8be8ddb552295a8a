"""Faults on the way to people and machines, by a clock moved by hand: what is told, when, how often.

The receivers are real. Hours of waiting are not: time passes in steps, and after each the
dispatcher does all that is due.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import AsyncMessage
from aiosmtpd.smtp import SMTP

from netpulse.channels import Carrier, posting
from netpulse.crypto.links import Links
from netpulse.engine.dispatcher import Dispatcher
from netpulse.engine.figures import Figures
from netpulse.engine.live import Hub
from netpulse.model.alert import Event, Notice, NoticeStatus, Suppressed
from netpulse.model.channel import Channel, EmailConfig, SlackConfig, Smtp
from netpulse.model.check import Result
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor
from netpulse.model.time import HOUR, SECOND, Millis
from netpulse.model.watch import Status
from netpulse.rules.outbox import Backoff
from netpulse.storage import channels, notices
from netpulse.storage.db import Conn
from tests.clock import FakeClock
from tests.home import Home, home, now, spec
from tests.post import write_edges
from tests.receiver import Delivery, Receiver
from tests.servers import HttpServer, answer, free_port, redirect
from tests.world import Story, World

LONGEST_WAIT = 900 * 1.2
"""Seconds between two attempts at most: the longest wait and its jitter."""


class Office:
    """A home whose outbox is worked off by a clock that a test moves."""

    def __init__(self, at: Home, clock: FakeClock, backoff: Backoff | None = None) -> None:
        self.home = at
        self.clock = clock
        self.dispatcher = Dispatcher(
            db=at.db,
            carrier=lambda _: Carrier(egress=at.egress),
            links=Links(bytes(32), "https://netpulse.example"),
            clock=clock,
            hub=Hub(),
            figures=Figures(clock),
            worker="test",
            on_accepted=lambda _: None,
            backoff=backoff,
            chance=lambda: 0.5,
        )

    async def monitors(self, count: int, name: str = "Shop") -> list[Monitor]:
        """Return monitors that are up."""
        found = [
            await self.home.monitor(
                spec(
                    f"http://shop.example/{number}",
                    name=f"{name} {number:03}",
                    confirmations=1,
                    interval_seconds=60,
                )
            )
            for number in range(count)
        ]
        await self.edges(found, Result.UP)
        return found

    async def edges(self, changed: Sequence[Monitor], result: Result) -> None:
        """Write the edge that one check with this result makes, of each of these."""
        await write_edges(self.home, changed, result, self.clock.now())

    async def work(self, seconds: float = 60) -> None:
        """Have the dispatcher do all that is due now; at most `seconds` of real time."""
        deadline = time.monotonic() + seconds
        self.dispatcher.wake()
        while not await self.home.db.read(_is_idle, self.clock.now()):
            assert time.monotonic() < deadline, "what is due is not done"
            await asyncio.sleep(0.01)
            self.dispatcher.wake()

    async def pass_time(self, seconds: float, step: float = 30) -> None:
        """Let time pass, and have what falls due done at each step."""
        left = seconds
        while left > 0:
            self.clock.advance(min(step, left))
            left -= step
            await self.work()

    async def move_clock(self, by: Millis) -> None:
        """Set the wall clock, and let the dispatcher notice as it would within its next look."""
        self.clock.set_wall(by)

        async def has_noticed() -> bool:
            self.dispatcher.wake()
            due = await self.home.db.read(notices.next_due, self.clock.now())
            return due is not None and due - self.clock.now() <= LONGEST_WAIT * SECOND

        await self.home.until(has_noticed, "nothing waits for longer than it may", 30)

    async def of(self, channel: Channel) -> list[Notice]:
        """Return a channel's notices, the oldest first."""
        found = await self.home.db.read(notices.recent, self.home.org.id, 100_000)
        return [one for one in reversed(found) if one.channel_id == channel.id]

    async def attempted_at(self, notice: Notice) -> list[Millis]:
        found = await self.home.db.read(notices.attempts, notice.id)
        return [attempt.at for attempt in found]

    async def slack(self, receiver: Receiver) -> Channel:
        config = SlackConfig(webhook_url=receiver.url)
        return await self.home.channel(receiver.url, name="Chat", type="slack", config=config)


def _is_idle(conn: Conn, at: Millis) -> bool:
    if conn.one("SELECT 1 FROM alert_events WHERE claimed_until IS NOT NULL LIMIT 1"):
        return False
    due = notices.next_due(conn, at)
    return due is None or due > at


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = FakeClock(now=now())
    async with home(tmp_path / "data", clock=clock, start=False) as at:
        opened = Office(at, clock)
        await opened.dispatcher.start()
        yield opened
        await opened.dispatcher.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


class Mails(AsyncMessage):
    """Keeps what an SMTP server took."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[EmailMessage] = []

    async def handle_message(self, message: Any) -> None:
        self.taken.append(
            email.message_from_bytes(message.as_bytes(), policy=email.policy.default)  # type: ignore[arg-type]
        )

    def text(self, number: int) -> str:
        body = self.taken[number].get_body(("plain",))
        assert body is not None
        return " ".join(str(body.get_content()).split())


async def test_a_mail_server_that_is_away_for_an_hour(office: Office) -> None:
    """Told once when it is back, and that it is late; what is over by then is told as over."""
    port = free_port()
    server = Smtp(host="127.0.0.1", port=port, security="none", sender="netpulse@acme.example")
    mail = await office.home.channel(
        "-", name="Mail", type="email", config=EmailConfig(to=("ops@acme.example",), smtp=server)
    )
    await office.home.rule(mail)
    lasting, short = await office.monitors(2)
    office.clock.advance(60)
    await office.edges([lasting], Result.DOWN)
    await office.edges([short], Result.DOWN)
    await office.pass_time(12 * 60)
    await office.edges([short], Result.UP)
    await office.pass_time(48 * 60)
    told = await office.of(mail)
    assert [one.status for one in told if one.monitor_id == lasting.id] == [NoticeStatus.PENDING]
    tried = await office.attempted_at(told[0])
    assert len(tried) >= 5
    assert all(two - one <= LONGEST_WAIT * SECOND for one, two in pairwise(tried))
    mails = Mails()
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mails, enable_SMTPUTF8=True), "127.0.0.1", port
    )
    async with listening:
        await office.pass_time(LONGEST_WAIT + 60)
        subjects = sorted(str(one["Subject"]) for one in mails.taken)
        assert len(subjects) == 2
        assert "Shop 000" in subjects[0]
        assert subjects[0].startswith("Down")
        assert "was down for 12 min" in subjects[1]
        for number in range(2):
            text = mails.text(number)
            if "Shop 000" in text:
                assert "delayed 1 h" in text
        assert len({str(one["Message-ID"]) for one in mails.taken}) == 2
        told = await office.of(mail)
        assert Counter((one.status, one.reason) for one in told) == {
            (NoticeStatus.SENT, None): 2,
            (NoticeStatus.SUPPRESSED, Suppressed.COLLAPSED): 1,
        }
        # Nobody hears of it again.
        await office.pass_time(3600, step=300)
        assert len(mails.taken) == 2


async def test_what_a_webhook_may_answer(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trouble and nonsense are tried again, a redirect is final; another channel hears at once."""
    monkeypatch.setattr(posting, "SEND_SECONDS", 2.0)
    faulty = {"/500": answer(500), "/hang": _hang, "/garbage": b"\x00\xff this is no HTTP\r\n\r\n"}
    async with HttpServer(
        {**faulty, "/redirect": redirect("/elsewhere"), "/elsewhere": answer(200)}
    ) as server:
        made = {
            path: await office.home.channel(server.url(path), name=path)
            for path in (*faulty, "/redirect")
        }
        for channel in made.values():
            await office.home.rule(channel)
        good = await office.home.channel(receiver.url, name="Good")
        await office.home.rule(good, condition="down or system")
        (shop,) = await office.monitors(1)
        await office.edges([shop], Result.DOWN)
        await office.work()
        for path in faulty:
            (notice,) = await office.of(made[path])
            assert (notice.status, notice.attempt_count) == (NoticeStatus.PENDING, 1), path
            assert notice.error, path
            assert notice.next_attempt_at is not None
            assert notice.next_attempt_at - office.clock.now() == 10 * SECOND, path
        (refused,) = await office.of(made["/redirect"])
        assert (refused.status, refused.attempt_count) == (NoticeStatus.FAILED, 1)
        assert "/elsewhere" not in [one.path for one in server.requests], "it is not followed"
        events = [one.payload["event"] for one in receiver.taken]
        assert sorted(events) == ["channel.disabled", "monitor.down"]
        found = await office.home.db.read(channels.get, office.home.org.id, made["/redirect"].id)
        assert found is not None
        assert not found.is_active
        # They come to their senses: each hears it once more, under the same id, and no more.
        monkeypatch.undo()
        server.requests.clear()
        for path in faulty:
            server.scripts[path] = answer(204)
        await office.pass_time(60, step=5)
        again = [(one.path, one.headers["webhook-id"]) for one in server.requests]
        expected = [(path, (await office.of(made[path]))[0].id) for path in faulty]
        assert sorted(again) == sorted(expected)
        for path in faulty:
            (notice,) = await office.of(made[path])
            assert (notice.status, notice.attempt_count) == (NoticeStatus.SENT, 2)
        # The recovery: to all but the one that is switched off.
        await office.edges([shop], Result.UP)
        await office.work()
        assert [one.payload["event"] for one in receiver.taken][2:] == ["monitor.up"]
        assert sorted(one.path for one in server.requests[3:]) == sorted(faulty)


async def _hang(exchange: Any) -> None:
    await exchange.hang()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_thousand_monitors_at_once(office: Office, receiver: Receiver) -> None:
    """People get five messages, then one each 30 s; a machine gets every one of them."""
    spoken: list[Millis] = []

    def hear(_: Delivery) -> int:
        spoken.append(office.clock.now())
        return 200

    async with Receiver(answer=hear) as people:
        hook = await office.home.channel(receiver.url)
        chat = await office.slack(people)
        for channel in (hook, chat):
            await office.home.rule(channel)
        all_of_them = await office.monitors(1_000)
        await office.edges(all_of_them, Result.DOWN)
        began = office.clock.now()
        await office.work()
        await office.pass_time(100, step=5)
        assert len(spoken) == 6
        assert spoken[:5] == [began] * 5
        assert "995 monitors down" in str(people.taken[-1].payload)
        # They come back in parts, and each part is a storm of its own.
        for part in range(4):
            await office.edges(all_of_them[part::4], Result.UP)
            await office.pass_time(10, step=5)
        await office.pass_time(300, step=5)
        for at in spoken:
            within = [one for one in spoken if at <= one < at + 30 * SECOND]
            assert len(within) <= 6, "five singly, and one for all that waits"
        assert len(spoken) <= 6 + 5 + 3
        # Everything that was said is true of everybody, in order.
        for channel in (hook, chat):
            told = await office.of(channel)
            assert Counter((one.event, one.status) for one in told) == {
                (Event.MONITOR_DOWN, NoticeStatus.SENT): 1_000,
                (Event.MONITOR_UP, NoticeStatus.SENT): 1_000,
            }
        assert len({one.id for one in receiver.taken}) == len(receiver.taken) == 2_000
        seen: dict[Id, list[str]] = {}
        for delivery in receiver.taken:
            told_of = seen.setdefault(delivery.payload["monitor"]["id"], [])
            told_of.append(delivery.payload["event"])
        assert len(seen) == 1_000
        assert set(map(tuple, seen.values())) == {("monitor.down", "monitor.up")}
        assert receiver.most_at_once <= 16


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_clock_is_moved_between_two_attempts(
    office: Office, receiver: Receiver, hours: int
) -> None:
    """Not lost, not told twice, and the next attempt comes within the longest wait."""
    hook = await office.home.channel(receiver.url)
    await office.home.rule(hook)
    shop, office_door = await office.monitors(2)
    office.clock.advance(60)
    receiver.answer = lambda _: 503
    await office.edges([shop], Result.DOWN)
    await office.work()
    await office.pass_time(30, step=5)
    before = len(receiver.ledger)
    assert before >= 2
    await office.move_clock(hours * HOUR)
    moved = office.clock.monotonic()
    while len(receiver.ledger) == before:
        assert office.clock.monotonic() - moved <= LONGEST_WAIT, "no attempt was made"
        await office.pass_time(5, step=5)
    # And back: a far side that is well again hears it once, and of what happens now at once.
    await office.move_clock(-hours * HOUR)
    receiver.answer = lambda _: 200
    await office.edges([office_door], Result.DOWN)
    await office.pass_time(5, step=5)
    assert office_door.id in [one.payload["monitor"]["id"] for one in receiver.taken]
    await office.pass_time(LONGEST_WAIT, step=30)
    assert len(receiver.taken) == 2
    await office.edges([shop, office_door], Result.UP)
    await office.pass_time(60, step=10)
    events = Counter(one.payload["event"] for one in receiver.taken)
    assert events == {"monitor.down": 2, "monitor.up": 2}
    assert {one.status for one in await office.of(hook)} == {NoticeStatus.SENT}
    assert len({one.id for one in receiver.ledger}) == 4


async def test_the_machine_sleeps_for_ten_minutes(tmp_path: Path, receiver: Receiver) -> None:
    """What was on its way to targets and receivers is made again; nobody is called down for it."""
    clock = FakeClock(now=now(), monotonic=time.monotonic())
    world = World()
    async with (
        world.server,
        home(tmp_path / "data", clock=clock, egress=world, start=False) as at,
    ):
        office, story = Office(at, clock), Story(at, clock, world)
        hook = await at.channel(receiver.url)
        await at.rule(hook)
        made = []
        for number, target in enumerate(("203.0.1.7", "203.0.2.7/shop", "203.0.3.7/shop")):
            fields = {"name": f"Shop {number}", "confirmations": 1, "interval_seconds": 60}
            made.append(await at.monitor(spec(f"http://{target}", timeout_seconds=30, **fields)))
            at.engine.changed(made[-1].id)
        await at.engine.settled()
        await story.pass_time(62)
        assert {story.status(one.id) for one in made} == {Status.UP}
        # One is down, and nobody can be told yet.
        world.fates["203.0.1.7"] = "refused"
        await receiver.close()
        await story.until(lambda: story.status(made[0].id) is Status.DOWN)
        await office.dispatcher.start()
        await office.work()
        (notice,) = await office.of(hook)
        assert (notice.status, notice.attempt_count) == (NoticeStatus.PENDING, 1)
        # The other two are being checked when it falls asleep.
        world.server.scripts["/shop"] = _hang
        world.server.requests.clear()
        for monitor in made[1:]:
            at.engine.scheduler.soon(monitor.id, 0.0)
        at.engine.scheduler.turn()

        async def are_asked() -> bool:
            return len(world.server.requests) == 2

        await at.until(are_asked, "both checks are on their way")
        clock.suspend(600)
        at.engine.lag.tick()
        world.server.scripts["/shop"] = answer(200)
        await story.pass_time(130)
        assert story.status(made[0].id) is Status.DOWN
        assert [story.status(one.id) for one in made[1:]] == [Status.UP] * 2
        assert await story.told() == ["monitor.down"]
        for monitor in made[1:]:
            assert {span.status for span in await story.spans(monitor.id)} <= {
                Status.PENDING,
                Status.UP,
            }
        assert at.engine.figures.breaks == 1
        # The receiver is back: it hears what it was to hear, once.
        await receiver.open()
        await office.pass_time(60, step=10)
        assert [one.id for one in receiver.ledger] == [notice.id]
        (notice,) = await office.of(hook)
        assert notice.status is NoticeStatus.SENT
        await office.dispatcher.stop()
