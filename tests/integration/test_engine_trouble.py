"""Our own troubles: none of them may say a word about a target, and all of them end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from netpulse.engine.roster import Watched
from netpulse.model.alert import Event
from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.model.ids import new_id
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, SECOND, Millis
from netpulse.model.watch import Status, UnknownReason
from netpulse.storage import alive, monitors, notices, rollups, runs, spans, troubles
from netpulse.storage.conn import Conn
from netpulse.storage.raw.names import month_of
from tests.clock import FakeClock
from tests.home import Home, home, now, spec
from tests.receiver import Receiver


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


async def child(data: Path, *words: str) -> asyncio.subprocess.Process:
    """Start tests.engine_child and wait until it watches."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.engine_child",
        str(data),
        *words,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert started.stdout is not None
    async with asyncio.timeout(30):
        assert await started.stdout.readline() == b"ready\n"
    return started


@pytest.mark.slow
async def test_a_stopped_process_calls_nobody_down(tmp_path: Path, target: Receiver) -> None:
    """A naive program sees 20 of 20 healthy targets time out when it is stopped for 6 s.

    The first stop is as long as the probes' deadline (2 s), the second longer than ours above it.
    """
    # Long enough that checks are always under way, and far from late where this process, which is
    # the target, is held up itself.
    target.delay = 0.3
    data = tmp_path / "data"
    process = await child(data, target.url, "-", "20", "--hurry")
    for seconds in (3.0, 6.0):
        await asyncio.sleep(2.5)
        seen = len(target.ledger)
        assert seen >= 20
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)
    await asyncio.sleep(4)
    process.terminate()
    assert await process.wait() == 0
    assert len(target.ledger) > seen + 20
    async with home(data, start=False) as at:
        for monitor, watch in await at.db.read(monitors.load_all):
            written = await at.db.read(spans.between, monitor.id, 0, now())
            assert {span.status for span in written} <= {Status.PENDING, Status.UP}
            assert watch.status is Status.UP
            checks = await at.raw.range(monitor.key, 0, now())
            assert Result.DOWN not in {check.result for check in checks}
            assert Failure.INTERNAL not in {check.failure for check in checks}
        gaps = await at.db.read(runs.gaps, 0, now())
        assert {gap.reason for gap in gaps} == {UnknownReason.STARVED}
        # A busy machine may add stretches of its own.
        longest, next_longest, *_ = sorted((gap.end - gap.start for gap in gaps), reverse=True)
        assert longest > 5_500
        assert next_longest > 2_500


class Ward:
    """A home with a clock moved by hand; checks are handed to the runner, not probed."""

    def __init__(self, at: Home, clock: FakeClock) -> None:
        self.at = at
        self.clock = clock

    def pass_time(self, seconds: int) -> None:
        """Let time pass on a healthy loop, which ticks."""
        for _ in range(seconds * 10):
            self.clock.advance(0.1)
            self.at.engine.lag.tick()

    async def on_duty(self, **changes: object) -> Watched:
        """Return a new monitor on duty that is up."""
        monitor = await self.at.monitor(spec("http://shop.example/", **changes))
        loaded = await self.at.db.read(monitors.load_one, monitor.id)
        assert loaded is not None
        watched = Watched(*loaded, self.clock.monotonic())
        self.at.engine.roster.add(watched)
        self.at.engine.scheduler.put(watched.id, watched.interval_ms, watched.phase)
        await self.check(watched, Result.UP)
        return watched

    async def check(
        self, watched: Watched, result: Result, failure: Failure | None = None
    ) -> Check:
        at = self.clock.now()
        made = Check(due_at=at, started_at=at, result=result, failure=failure, message="because")
        await self.at.engine.runner.take(watched, made)
        return made

    async def impatient(self) -> None:
        """Let writes fail at once while somebody else holds the file, and time pass."""
        await self.at.db.write(lambda conn: conn.execute("PRAGMA busy_timeout = 20"))
        self.clock.advance(5)

    async def spans(self, watched: Watched) -> list[tuple[Status, UnknownReason | None, Millis]]:
        found = await self.at.db.read(spans.between, watched.id, 0, self.clock.now() + DAY)
        return [(span.status, span.reason, span.at) for span in found]


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    clock = FakeClock(now=now(), monotonic=time.monotonic())
    async with home(tmp_path / "data", clock=clock, start=False) as at:
        yield Ward(at, clock)


async def test_a_monitor_nobody_checks_is_found_and_told_once(ward: Ward) -> None:
    at, watchdog = ward.at, ward.at.engine.watchdog
    channel = await at.channel("http://127.0.0.1:1/")
    await at.rule(channel, condition="system")
    lost, kept = await ward.on_duty(name="Lost"), await ward.on_duty(name="Kept")
    vouched = lost.vouched.vouched_until
    assert vouched is not None
    at.engine.scheduler.remove(lost.id)
    await watchdog.scan()
    assert lost.id in at.engine.scheduler
    assert watchdog.restored == 1

    ward.pass_time(22)
    await ward.check(kept, Result.UP)
    await watchdog.scan()
    assert (await ward.spans(lost))[-1] == (Status.UNKNOWN, UnknownReason.STALE, vouched)
    assert (kept.watch.status, lost.watch.status) == (Status.UP, Status.UNKNOWN)
    assert at.engine.stale_count() == 1
    await watchdog.scan()
    (notice,) = await at.db.read(notices.recent, at.org.id, 10)
    assert notice.event is Event.SYSTEM_ISOLATED
    assert notice.monitor_id is None
    assert b"1 of 2 monitors have no result that can be trusted" in bytes(notice.payload)
    (trouble,) = await at.db.read(troubles.open)
    assert trouble.monitor_count == 1

    await ward.check(lost, Result.UP)
    await watchdog.scan()
    assert lost.watch.status is Status.UP
    assert at.engine.stale_count() == 0
    assert await at.db.read(troubles.open) == []
    events = [one.event for one in await at.db.read(notices.recent, at.org.id, 10)]
    assert events == [Event.SYSTEM_RECOVERED, Event.SYSTEM_ISOLATED]


async def test_a_monitor_whose_check_finds_no_place_is_starved(ward: Ward) -> None:
    """A turn begins so many checks and no more, and there are too few turns for all of them."""
    engine = ward.at.engine
    few, late = await ward.on_duty(name="Few"), await ward.on_duty(name="Late")
    vouched = late.vouched.vouched_until
    for _ in range(500):  # before it in the line, of which sixteen begin in a turn
        engine.scheduler.put(new_id(now()), 10 * SECOND, 0, within=0.0)
    for _ in range(22):
        ward.pass_time(1)
        await ward.check(few, Result.UP)
        engine.scheduler.turn()
    assert engine.scheduler.overdue(late.id)
    await engine.watchdog.scan()
    assert (await ward.spans(late))[-1] == (Status.UNKNOWN, UnknownReason.STARVED, vouched)
    assert few.watch.status is Status.UP


async def test_a_trouble_that_was_open_is_not_over_by_a_restart(ward: Ward) -> None:
    at, watchdog = ward.at, ward.at.engine.watchdog
    channel = await at.channel("http://127.0.0.1:1/")
    await at.rule(channel, condition="system")
    lost = await ward.on_duty(interval_seconds=60)
    ward.pass_time(140)
    await watchdog.scan()
    assert lost.watch.status is Status.UNKNOWN
    at.engine.roster.remove(lost.id)
    # A process that starts knows of it what is on disk.
    loaded = await at.db.read(monitors.load_one, lost.id)
    assert loaded is not None
    again = Watched(*loaded, ward.clock.monotonic())
    at.engine.roster.add(again)
    at.engine.scheduler.put(again.id, again.interval_ms, again.phase)
    await watchdog.start()
    await watchdog.stop()
    assert at.engine.stale_count() == 1
    ward.pass_time(12)
    await watchdog.scan()
    (trouble,) = await at.db.read(troubles.open)
    assert trouble.monitor_count == 1
    (notice,) = await at.db.read(notices.recent, at.org.id, 10)
    assert notice.event is Event.SYSTEM_ISOLATED

    await ward.check(again, Result.UP)
    await watchdog.scan()
    assert await at.db.read(troubles.open) == []
    events = [one.event for one in await at.db.read(notices.recent, at.org.id, 10)]
    assert events == [Event.SYSTEM_RECOVERED, Event.SYSTEM_ISOLATED]


async def test_a_monitor_that_was_changed_is_looked_at_by_its_new_interval(ward: Ward) -> None:
    engine, org_id = ward.at.engine, ward.at.org.id
    slow = await ward.on_duty(interval_seconds=86_400)
    await engine.watchdog.scan()
    faster = spec("http://shop.example/", interval_seconds=10, timeout_seconds=2)
    await ward.at.db.write(
        lambda conn: monitors.replace(conn, org_id, slow.id, faster, None, now=ward.clock.now())
    )
    engine.changed(slow.id)
    await engine.settled()
    fast = engine.roster.get(slow.id)
    assert fast is not None
    await ward.check(fast, Result.UP)
    for _ in range(12):
        ward.pass_time(2)
        await engine.watchdog.scan()
    assert fast.watch.status is Status.UNKNOWN
    assert engine.stale_count() == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure.OWN_NETWORK, UnknownReason.ISOLATED),
        (Failure.OWN_LAG, UnknownReason.STARVED),
        (Failure.OWN_LIMIT, UnknownReason.STARVED),
        (Failure.INTERNAL, UnknownReason.STALE),
        (Failure.OWN_PERMISSION, UnknownReason.STALE),
    ],
)
async def test_three_intervals_of_inconclusive_are_unknown(
    ward: Ward, failure: Failure, reason: UnknownReason
) -> None:
    watched = await ward.on_duty()
    vouched = watched.vouched.vouched_until
    for _ in range(3):
        ward.pass_time(10)
        await ward.check(watched, Result.INCONCLUSIVE, failure)
        await ward.at.engine.watchdog.scan()
        assert watched.watch.status is Status.UP
    for _ in range(2):
        ward.pass_time(10)
        await ward.check(watched, Result.INCONCLUSIVE, failure)
        await ward.at.engine.watchdog.scan()
    assert watched.watch.status is Status.UNKNOWN
    assert (await ward.spans(watched))[-1] == (Status.UNKNOWN, reason, vouched)


async def test_a_pause_of_our_own_does_not_age_results(ward: Ward) -> None:
    watched = await ward.on_duty()
    ward.clock.advance(600)
    ward.at.engine.roster.excuse(600)
    await ward.at.engine.watchdog.scan()
    assert watched.watch.status is Status.UP


async def test_the_clock_set_back_ten_years_blinds_nobody(ward: Ward) -> None:
    watched = await ward.on_duty()
    ward.clock.set_wall(-10 * 365 * DAY)
    ward.clock.advance(22)
    await ward.at.engine.watchdog.scan()
    assert watched.watch.status is Status.UNKNOWN
    await ward.check(watched, Result.UP)
    assert watched.watch.status is Status.UP


async def test_an_edge_that_cannot_be_written_moves_nothing(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watched = await ward.on_duty(confirmations=1)
    before = watched.watch
    await ward.impatient()
    other = apsw.Connection(str(ward.at.db.path))
    other.execute("BEGIN IMMEDIATE")
    try:
        first = await ward.check(watched, Result.DOWN)
        assert watched.watch == before
        assert ward.at.engine.trouble is not None
        ward.clock.advance(60)
    finally:
        other.execute("ROLLBACK")
        other.close()
    await ward.check(watched, Result.DOWN)
    assert watched.watch.status is Status.DOWN
    assert watched.watch.since == first.started_at, "the minute was down, and is not counted as up"
    assert ward.at.engine.trouble is None
    told = [one.getMessage() for one in caplog.records if "edges" in one.getMessage()]
    assert len(told) == 2
    assert told[0].startswith("edges cannot be written: the database is busy")
    assert told[1] == "edges are written again"


async def test_an_outage_that_began_and_ended_on_a_full_disk_is_written_when_there_is_room(
    ward: Ward,
) -> None:
    at = ward.at
    watched = await ward.on_duty(confirmations=2)
    await at.rule(await at.channel("http://127.0.0.1:1/"))
    await ward.impatient()
    other = apsw.Connection(str(at.db.path))
    other.execute("BEGIN IMMEDIATE")
    seen = []
    try:
        for result in (Result.DOWN, Result.DOWN, Result.UP):
            ward.clock.advance(10)
            seen.append(await ward.check(watched, result))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert watched.watch.status is Status.UP, "what people see is on disk"
    ward.clock.advance(10)
    await ward.check(watched, Result.UP)  # steady, and yet it is written now
    assert watched.owed == []
    assert (await ward.spans(watched))[-2:] == [
        (Status.DOWN, None, seen[0].started_at),
        (Status.UP, None, seen[2].started_at),
    ]
    told = await at.db.read(notices.recent, at.org.id)
    assert [notice.event for notice in told] == [Event.MONITOR_UP, Event.MONITOR_DOWN]
    at.engine.roster.remove(watched.id)


async def test_the_edges_of_one_monitor_keep_their_order(ward: Ward) -> None:
    watched = await ward.on_duty(confirmations=1)
    results = [Result.DOWN, Result.UP] * 20
    made = []
    for result in results:
        ward.clock.advance(1)
        at = ward.clock.now()
        made.append(Check(due_at=at, started_at=at, result=result))
    await asyncio.gather(*(ward.at.engine.runner.take(watched, check) for check in made))
    statuses = [status for status, _, _ in await ward.spans(watched)]
    assert statuses[-40:] == [Status.DOWN, Status.UP] * 20


def _made_at(conn: Conn, monitor_id: str, at: int) -> None:
    conn.execute("UPDATE monitors SET created_at = ? WHERE id = ?", (at, monitor_id))


async def test_hours_are_sealed_and_summed_up(ward: Ward) -> None:
    at, keeping = ward.at, ward.at.engine.housekeeping
    watched = await ward.on_duty()
    day = (ward.clock.now() // DAY - 2) * DAY
    await at.db.write(_made_at, watched.id, day)
    for minute in range(24 * 60):
        due = day + minute * 60_000
        result = Result.DOWN if minute % 60 == 30 else Result.UP
        check = Check(
            due_at=due,
            started_at=due,
            result=result,
            response_time_ms=20,
            timings=Timings(total_ms=20.0),
        )
        at.raw.append([(watched.monitor.key, check)])
    await at.raw.flush()
    await keeping.seal()
    hours = await at.db.read(rollups.hours, watched.id, day, day + DAY)
    assert len(hours) == 24
    assert {(row.checks, row.downs, row.ups) for row in hours} == {(60, 1, 59)}
    (whole,) = await at.db.read(rollups.days, watched.id, day, day + DAY)
    assert (whole.checks, whole.downs, whole.response_min) == (1_440, 24, 20)
    assert await at.db.read(rollups.cursor, "day") == day + DAY
    await keeping.seal()  # again: nothing doubles
    (whole,) = await at.db.read(rollups.days, watched.id, day, day + DAY)
    assert whole.checks == 1_440

    assert at.raw.months() == [month_of(day)]
    await keeping.retain()
    assert at.raw.months() == [month_of(day)]
    ward.clock.advance(130 * DAY / 1000)
    await keeping.retain()
    assert at.raw.months() == []
    rows = await at.db.read(rollups.hours, watched.id, day, day + DAY)
    assert len(rows) == 24


async def test_a_sign_of_life_is_given_every_five_seconds(ward: Ward) -> None:
    at, keeping, data = ward.at, ward.at.engine.housekeeping, ward.at.raw.data

    async def killed_and_begun_again() -> float:
        """Return how long ago the killed run was seen."""
        later = ward.clock.now() + HOUR
        run_id, previous = await at.db.write(runs.begin, later, "test", alive.last(data))
        assert previous is not None
        keeping.start(run_id)
        await keeping.stop()
        return (ward.clock.now() - previous) / SECOND

    run_id, previous = await at.db.write(runs.begin, ward.clock.now(), "test", None)
    assert previous is None
    keeping.start(run_id)
    await keeping.stop()
    ward.clock.advance(5)
    await keeping.seen()
    first = alive.last(data)
    assert first == alive.Sign(run_id, ward.clock.now(), ward.clock.now()), "noted in the main file"
    assert await killed_and_begun_again() == 0

    ward.clock.advance(HOUR / SECOND)
    await keeping.seen()
    noted = ward.clock.now()
    for _ in range(11):
        ward.clock.advance(5)
        await keeping.seen()
    sign = alive.last(data)
    assert sign is not None
    assert (sign.noted_at, sign.seen_at) == (noted, noted + 55 * SECOND)
    assert await killed_and_begun_again() == 0

    ward.clock.advance(HOUR / SECOND)
    await keeping.seen()
    ward.clock.advance(5)
    await keeping.seen()
    # Set back, or restored: it was given beside another row.
    await at.db.write(runs.turn_back, 60 * SECOND)
    assert await killed_and_begun_again() == 65


async def test_without_its_file_the_sign_of_life_is_noted(ward: Ward) -> None:
    at, keeping, data = ward.at, ward.at.engine.housekeeping, ward.at.raw.data
    run_id, _ = await at.db.write(runs.begin, ward.clock.now(), "test", None)
    keeping.start(run_id)
    await keeping.stop()
    (data / alive.NAME).mkdir()
    for _ in range(3):
        ward.clock.advance(5)
        await keeping.seen()
    assert alive.last(data) is None
    _, previous = await at.db.write(runs.begin, ward.clock.now() + HOUR, "test", None)
    assert previous == ward.clock.now()


def test_the_roster_counts_by_organization() -> None:
    from netpulse.engine.roster import Roster
    from netpulse.model.watch import Watch

    roster = Roster()
    one = Watched(
        Monitor(id="m", key=1, org_id="o", spec=spec("http://shop.example/"), created_at=0),
        Watch(since=0),
        0.0,
    )
    roster.add(one)
    assert roster.counts("o")[Status.PENDING] == 1
    roster.remember(one, Watch(since=0, status=Status.UP))
    assert roster.counts("o")[Status.PENDING] == 0
    assert roster.counts("o")[Status.UP] == 1
    roster.remove("m")
    assert set(roster.counts("o").values()) == {0}
    assert set(roster.counts("else").values()) == {0}
