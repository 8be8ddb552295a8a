"""kill -9 in an alert storm: no notice is lost, none overtakes another, none is told wrongly.

Forty monitors of one target go down and up together, told to a webhook and to a channel that
people read; both receivers fail now and then. Each life of the process begins some (faked) time
after the last one ended, so that singles, digests and flapping all happen in a short while. At
the end all is up, and half an hour later everything must have been told that was to be told.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from netpulse.model.alert import Event, Notice, NoticeStatus
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.storage import monitors, notices
from netpulse.storage.db import Conn
from tests.crash.test_kill import check_files
from tests.home import home
from tests.receiver import Delivery, Receiver

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("NETPULSE_KILLS", "8"))
MONITORS = 40
BETWEEN_LIVES: Millis = 20 * SECOND
CALM: Millis = 31 * MINUTE
"""Longer than flapping lasts after the last change."""

NOT_UP = "SELECT count(*) FROM watches WHERE status <> 'up'"
HELD = "SELECT count(*) FROM alert_events WHERE status = 'pending' AND held_for IS NOT NULL"
PENDING = "SELECT count(*) FROM alert_events WHERE status = 'pending'"

DOWN = Event.MONITOR_DOWN
UP = Event.MONITOR_UP
FLAPPING = Event.MONITOR_FLAPPING


class Target:
    """The one thing that all monitors watch; it goes down and comes back."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.is_down = False

    def answer(self, _: Delivery) -> int:
        return 500 if self.is_down else 200

    async def flip_forever(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(1.0, 2.5))
            self.is_down = not self.is_down


async def start(
    data: Path, target: Receiver, webhook: Receiver, people: Receiver, ahead: Millis
) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.storm_child",
        str(data),
        target.url,
        webhook.url,
        people.url,
        str(MONITORS),
        str(ahead),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout is not None
    async with asyncio.timeout(60):
        assert await child.stdout.readline() == b"ready\n"
    return child


async def until_none(data: Path, query: str) -> None:
    """Wait until the running child's file has nothing that `query` counts, for a while."""
    connection = apsw.Connection(str(data / "netpulse.db"), flags=apsw.SQLITE_OPEN_READONLY)
    deadline = time.monotonic() + 120
    none_since = time.monotonic()
    while time.monotonic() - none_since < 1.5:
        assert time.monotonic() < deadline, connection.execute(
            "SELECT (SELECT count(*) FROM watches WHERE status <> 'up'), c.name, e.event,"
            " e.held_for, e.attempt_count, e.next_attempt_at, e.claimed_until, count(*)"
            " FROM alert_channels c LEFT JOIN alert_events e ON e.channel_id = c.id"
            " AND e.status = 'pending' GROUP BY 2, 3, 4, 5"
        ).fetchall()
        await asyncio.sleep(0.1)
        if connection.execute(query).get:
            none_since = time.monotonic()
    connection.close()


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * KILLS)
async def test_killed_in_an_alert_storm_nothing_is_lost_or_told_wrongly(tmp_path: Path) -> None:
    seed = int(os.environ.get("NETPULSE_SEED", "0")) or random.randrange(1 << 32)
    print(f"seed {seed}: NETPULSE_SEED={seed} repeats the moments")
    chance = random.Random(seed)
    data = tmp_path / "data"
    flips = Target(chance)
    ahead = 0
    async with (
        Receiver(answer=flips.answer) as target,
        Receiver(answer=lambda _: 503 if chance.random() < 0.1 else 200) as webhook,
        Receiver(answer=lambda _: 503 if chance.random() < 0.2 else 200) as people,
    ):
        flipping = asyncio.create_task(flips.flip_forever())
        for _ in range(KILLS):
            child = await start(data, target, webhook, people, ahead)
            await asyncio.sleep(chance.uniform(0.3, 4.5))
            os.kill(child.pid, signal.SIGKILL)
            assert await child.wait() == -signal.SIGKILL
            check_files(data)
            ahead += BETWEEN_LIVES
        flipping.cancel()
        flips.is_down = False
        webhook.answer = people.answer = lambda _: 200
        # All is up; then it has been so for long; then what was gathered is told.
        for later, query in ((BETWEEN_LIVES, NOT_UP), (CALM, HELD), (MINUTE, PENDING)):
            ahead += later
            heard = len(people.taken)
            child = await start(data, target, webhook, people, ahead)
            await until_none(data, query)
            child.terminate()
            assert await child.wait() == 0
        told_last = [str(delivery.payload) for delivery in people.taken[heard:]]
        assert not [text for text in told_last if "Down:" in text], "all has long been up"
        check_files(data)
        async with home(data, start=False) as at:
            loaded = await at.db.read(monitors.load_all)
            org_id = loaded[0][0].org_id
            written = (await at.db.read(notices.recent, org_id, 1_000_000))[::-1]
            names = dict(await at.db.read(_channels))
            told: dict[str, list[Notice]] = defaultdict(list)
            for notice in written:
                told[names[notice.channel_id]].append(notice)
            watched = [monitor.id for monitor, _ in loaded]
            for name in ("Hook", "Chat"):
                print(name, Counter((one.event.value, one.status.value, one.reason)
                                    for one in told[name]))  # fmt: skip
            check_webhook(told["Hook"], webhook, watched)
            check_people(told["Chat"], people, watched)
            await at.db.read(_check_tables)


def check_webhook(told: Sequence[Notice], webhook: Receiver, watched: Sequence[Id]) -> None:
    """A machine gets every edge singly, in order, at least once under one id."""
    assert len(told) >= 2 * MONITORS, "too few edges for this test to mean anything"
    assert {notice.status for notice in told} == {NoticeStatus.SENT}
    taken = [one.id for one in webhook.taken]
    assert set(taken) == {notice.id for notice in told}
    assert {one.id for one in webhook.ledger} == set(taken)
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for delivery in webhook.ledger:
        bodies[delivery.id].add(delivery.body)
    assert {len(bodies[one]) for one in bodies} == {1}, "the same id is the same message"
    place = {one: number for number, one in enumerate(dict.fromkeys(taken))}
    for monitor_id in watched:
        own = [notice for notice in told if notice.monitor_id == monitor_id]
        places = [place[notice.id] for notice in own]
        assert places == sorted(places), "told in the order in which it happened"
        edges = [notice.event for notice in own if notice.event is not FLAPPING]
        assert edges == [DOWN, UP] * (len(edges) // 2)
        assert sum(notice.event is FLAPPING for notice in own) <= 1


def check_people(told: Sequence[Notice], people: Receiver, watched: Sequence[Id]) -> None:
    """People are told less, but never something that is not so, and why is kept of the rest."""
    by_status = Counter(notice.status for notice in told)
    assert NoticeStatus.PENDING not in by_status
    for notice in told:
        assert (notice.reason is not None) == (notice.status is NoticeStatus.SUPPRESSED)
        assert notice.held_for is None
    sent = [notice for notice in told if notice.status is NoticeStatus.SENT]
    digests = {notice.digest_id for notice in sent} - {None}
    singles = [notice for notice in sent if notice.digest_id is None]
    assert digests, "there was a storm"
    assert singles, "and a beginning of it"
    # Each message came at least once. A repetition after a crash is another request, a failed
    # attempt is none that was taken.
    assert len(people.taken) >= len(digests) + len(singles)
    assert len(people.taken) <= len(digests) + len(singles) + KILLS * 16
    for monitor_id in watched:
        own = [notice for notice in told if notice.monitor_id == monitor_id]
        heard = [notice.event for notice in own if notice.status is NoticeStatus.SENT]
        states = [event for event in heard if event is not FLAPPING]
        assert heard, "a monitor that went down was told of, were it at the end"
        assert states[-1] is UP, f"{monitor_id} is up, and the last that was told is {states[-1]}"
        assert heard.count(FLAPPING) <= 1
        if FLAPPING in heard:
            after = heard[heard.index(FLAPPING) + 1 :]
            # What was on its way when it began may come after it; then only how it ended.
            assert after[-1:] == [UP], "the last state is told once it is calm"


def _channels(conn: Conn) -> list[tuple[Id, str]]:
    return [(row[0], row[1]) for row in conn.all("SELECT id, name FROM alert_channels")]


def _check_tables(conn: Conn) -> None:
    """Nothing is claimed any more, and the times of what was told agree with its order."""
    (claimed,) = conn.one("SELECT count(*) FROM alert_events WHERE claimed_until IS NOT NULL") or (
        1,
    )
    assert claimed == 0
    late = conn.all(
        "SELECT e.id FROM alert_events e JOIN alert_events f ON f.channel_id = e.channel_id"
        " AND f.monitor_id = e.monitor_id AND f.seq > e.seq AND f.sent_at < e.sent_at LIMIT 5"
    )
    assert late == [], "no notice is sent before an older one of its channel and monitor"
