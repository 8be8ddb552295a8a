"""kill -9 at random moments, in a loop: nothing acknowledged is gone, every edge is told.

The child watches three targets that flip all the time; a receiver, which fails now and then, keeps
a ledger. After each kill the same data is started again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from netpulse.model.alert import Event, NoticeStatus
from netpulse.storage import monitors, notices, runs
from netpulse.storage.db import Conn
from tests.beats import still_seconds
from tests.engine_child import beats_of
from tests.home import home, now
from tests.receiver import Delivery, Receiver

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("NETPULSE_KILLS", "10"))
MONITORS = 3
SOAKED = 100
"""So many kills are asked for by `make soak` alone."""
LONGEST_START = 5.0


class Flipping:
    """Answers for three targets; each is up or down as it was last told."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._down = [False] * MONITORS
        self.hits: list[int] = []

    def answer(self, delivery: Delivery) -> int:
        self.hits.append(now())
        return 500 if self._down[int(delivery.path[-1])] else 200

    async def flip_forever(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))
            one = self._chance.randrange(MONITORS)
            self._down[one] = not self._down[one]

    def all_up(self) -> None:
        self._down = [False] * MONITORS


async def start(
    data: Path, target: Receiver, receiver: Receiver, took: list[float]
) -> asyncio.subprocess.Process:
    """Start a child; `took` is told how long it was until it watched."""
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.engine_child",
        str(data),
        target.url,
        receiver.url,
        str(MONITORS),
        "--hurry",
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        assert await child.stdout.readline() == b"ready\n"
    took.append(time.monotonic() - began)
    return child


def started_in_time(took: list[float]) -> None:
    """Say how long the starts took; in a soak, where nothing else is at work, hold them to it."""
    usual, most = statistics.median(took), max(took)
    print(f"{len(took)} starts: {usual:.2f} s usually, {most:.2f} s at most")
    assert usual < LONGEST_START
    assert most < (LONGEST_START if KILLS >= SOAKED else 4 * LONGEST_START)


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * KILLS)
async def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    seed = int(os.environ.get("NETPULSE_SEED", "0")) or random.randrange(1 << 32)
    print(f"seed {seed}: NETPULSE_SEED={seed} repeats the moments")
    chance = random.Random(seed)
    data = tmp_path / "data"
    flipping = Flipping(chance)
    lives: list[tuple[int, int]] = []
    took: list[float] = []
    async with Receiver(answer=flipping.answer) as target, Receiver() as receiver:
        receiver.answer = lambda _: 503 if chance.random() < 0.1 else 200
        flips = asyncio.create_task(flipping.flip_forever())
        for _ in range(KILLS):
            child = await start(data, target, receiver, took)
            born = now()
            await asyncio.sleep(chance.uniform(0.05, 4.0))
            moment, died = time.monotonic(), now()
            os.kill(child.pid, signal.SIGKILL)
            still = still_seconds(beats_of(data), moment)
            lives.append((born, died - 2_500 - round(still * 1000)))
            assert await child.wait() == -signal.SIGKILL
            check_files(data)
        flips.cancel()
        flipping.all_up()
        receiver.answer = lambda _: 200
        child = await start(data, target, receiver, took)
        await nothing_pending(data, receiver)
        child.terminate()
        assert await child.wait() == 0
        check_files(data)
        await check_story(data, receiver, lives, flipping.hits)
    started_in_time(took)


def check_files(data: Path) -> None:
    """Every file is whole, as a reader in another process finds it."""
    for path in [data / "netpulse.db", *data.glob("hot/*.db"), *data.glob("checks/*.db")]:
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        connection.close()


async def nothing_pending(data: Path, receiver: Receiver) -> None:
    """Wait until the running child has told everything and all monitors are up."""
    connection = apsw.Connection(str(data / "netpulse.db"), flags=apsw.SQLITE_OPEN_READONLY)
    deadline = time.monotonic() + 30
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1.5:
        assert time.monotonic() < deadline, "notices are still pending"
        await asyncio.sleep(0.1)
        pending = connection.execute(
            "SELECT (SELECT count(*) FROM alert_events WHERE status = 'pending')"
            " + (SELECT count(*) FROM watches WHERE status <> 'up')"
        ).get
        if pending:
            quiet_since = time.monotonic()
    connection.close()


async def check_story(
    data: Path, receiver: Receiver, lives: list[tuple[int, int]], hits: list[int]
) -> None:
    """Compare what is stored with what was seen. `lives` are from when on a process watched, and
    until when what it measured is to be there."""
    ledger: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in receiver.ledger:
        ledger[delivery.id].append(delivery)
    async with home(data, start=False) as at:
        (org_id,) = {(await at.db.read(monitors.load_all))[0][0].org_id}
        told = (await at.db.read(notices.recent, org_id, 100_000))[::-1]
        assert len(told) > KILLS, "too few edges for this test to mean anything"
        assert {notice.status for notice in told} == {NoticeStatus.SENT}
        print(f"{len(told)} edges, {len(receiver.ledger)} attempts, {len(hits)} checks")
        # Every edge was told, and nothing was told that is not on disk.
        taken = {one.id for one in receiver.taken}
        assert taken == {notice.id for notice in told}
        assert set(ledger) == taken
        # The same id is the same message, at each attempt.
        for deliveries in ledger.values():
            assert len({one.body for one in deliveries}) == 1
        # Told in the order in which it happened.
        place = {one: number for number, one in enumerate(dict.fromkeys(
            delivery.id for delivery in receiver.taken))}  # fmt: skip
        for monitor, _ in await at.db.read(monitors.load_all):
            own = [notice for notice in told if notice.monitor_id == monitor.id]
            places = [place[notice.id] for notice in own]
            assert places == sorted(places)
            # That it flaps is said beside the edges, which a webhook gets all the same.
            events = [n.event.value for n in own if n.event is not Event.MONITOR_FLAPPING]
            assert events == ["monitor.down", "monitor.up"] * (len(events) // 2)
        await at.db.read(check_tables)
        # Checks: at most two seconds of them are lost with the process. At both ends of a life each
        # monitor may have one under way that our target was slow to take or to answer.
        rows: list[int] = []
        for monitor, _ in await at.db.read(monitors.load_all):
            stored = await at.raw.range(monitor.key, 0, now() + 60_000)
            rows += [check.started_at for check in stored]
        for born, safe in lives:
            if safe > born:
                probed = sum(born <= hit <= safe for hit in hits)
                kept = sum(born - 100 <= row <= safe for row in rows)
                assert kept >= probed - 2 * MONITORS
        # Between two lives nobody watched, and the record says so.
        gaps = await at.db.read(runs.gaps, 0, now())
        assert sum(gap.reason.value == "stopped" for gap in gaps) >= KILLS


def check_tables(conn: Conn) -> None:
    """What must agree does: transitions, spans, incidents and notices are of one piece."""
    orphans = conn.all(
        "SELECT t.id FROM transitions t WHERE t.after = 'down' AND t.before <> 'unknown'"
        " AND NOT EXISTS (SELECT 1 FROM alert_events e WHERE e.transition_id = t.id)"
    )
    assert orphans == []
    assert (
        conn.all(
            "SELECT monitor_id FROM incidents WHERE resolved_at IS NULL GROUP BY monitor_id"
            " HAVING count(*) > 1"
        )
        == []
    )
    downs = conn.one("SELECT count(*) FROM alert_events WHERE event = 'monitor.down'")
    opened = conn.one("SELECT count(*) FROM incidents")
    assert downs == opened
    rows = conn.all("SELECT monitor_id, before, after FROM transitions ORDER BY monitor_id, seq")
    for one, two in pairwise(rows):
        if one[0] == two[0]:
            assert one[2] == two[1], "a flip starts where the one before it ended"
            assert two[1] != two[2]
    spans = conn.all(
        "SELECT w.monitor_id FROM watches w WHERE w.status <> (SELECT s.status FROM spans s"
        " WHERE s.monitor_id = w.monitor_id ORDER BY s.from_ms DESC LIMIT 1)"
    )
    assert spans == []
