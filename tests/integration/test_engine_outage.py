"""A whole outage, from the first failing check to the signed message, and what disturbs it."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from netpulse.model.alert import NoticeStatus
from netpulse.model.check import Failure, Result
from netpulse.model.ids import new_id
from netpulse.model.incident import IncidentStatus
from netpulse.model.monitor import TcpSpec
from netpulse.model.org import Org, Quotas
from netpulse.model.time import HOUR
from netpulse.model.watch import Status
from netpulse.storage import edges, incidents, monitors, notices, orgs, runs, spans
from netpulse.storage.db import Conn
from tests.clock import ShiftedClock
from tests.home import SECRET, Home, home, now, spec
from tests.receiver import Receiver


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path / "data") as opened:
        yield opened


async def test_an_outage_from_check_to_message(
    at: Home, target: Receiver, receiver: Receiver
) -> None:
    await at.rule(await at.channel(receiver.url))
    stream = at.engine.live.subscribe(at.org.id)
    # It is checked at once, and a failure confirmed a second later: the grid is an hour's.
    monitor = await at.monitor(spec(target.url, interval_seconds=3_600))
    await at.until_status(monitor.id, Status.UP)

    target.answer = lambda _: 500
    failing_from = now()
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DOWN)
    (told,) = await receiver.wait_for(1)
    body = Webhook(SECRET).verify(told.body, told.headers)
    assert body["event"] == "monitor.down"
    assert "500" in body["reason"]

    watch = at.engine.watch(monitor.id)
    assert watch is not None
    assert watch.incident_id == body["incident"]["id"]
    assert failing_from <= watch.since <= now()
    incident = await at.db.read(incidents.get, at.org.id, watch.incident_id)
    assert incident is not None
    assert incident.status is IncidentStatus.INVESTIGATING
    assert incident.started_at == watch.since

    # An outage of a whole second at least, so that its length says something.
    await asyncio.sleep(max(0, watch.since + 1_100 - now()) / 1000)
    target.answer = lambda _: 200
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.UP)
    _, told = await receiver.wait_for(2)
    body = Webhook(SECRET).verify(told.body, told.headers)
    assert body["event"] == "monitor.up"
    incident = await at.db.read(incidents.get, at.org.id, incident.id)
    assert incident is not None
    assert incident.status is IncidentStatus.RESOLVED
    assert incident.resolved_at is not None
    lasted = (incident.resolved_at - incident.started_at) // 1000
    assert body["incident"]["duration_seconds"] == lasted >= 1

    await at.raw.flush()
    checks = await at.raw.range(monitor.key, 0, now() + 1_000, newest_first=False)
    downs = [check for check in checks if check.result is Result.DOWN]
    assert len(downs) >= 2
    assert downs[0].started_at == incident.started_at
    assert at.engine.figures.checks[Result.DOWN] == len(downs)

    at.engine.live.close()
    names = [event.name async for event in stream.events()]
    assert names == []  # ended at once: what was queued is not sent any more


async def test_browsers_hear_of_the_outage(at: Home, target: Receiver) -> None:
    monitor = await at.monitor(spec(target.url, confirmations=1))
    await at.until_status(monitor.id, Status.UP)
    stream = at.engine.live.subscribe(at.org.id)
    target.answer = lambda _: 503
    at.nudge(monitor)
    await at.until_status(monitor.id, Status.DOWN)
    got: dict[str, list[dict[str, object]]] = {}
    async for event in stream.events():
        got.setdefault(event.name, []).append(json.loads(event.data))
        if {"incident", "counts", "monitor"} <= set(got):
            break
    down = [body for body in got["monitor"] if body["status"] == "down"]
    assert down
    assert str(down[0]["status_text"]).startswith("Down: ")
    assert got["incident"][0]["monitor_id"] == monitor.id
    assert got["counts"][0]["down"] == 1


async def test_one_failure_is_not_an_outage(at: Home, target: Receiver) -> None:
    monitor = await at.monitor(spec(target.url, confirmations=3))
    await at.until_status(monitor.id, Status.UP)
    target.answer = lambda _: 500 if len(target.ledger) == 2 else 200
    at.nudge(monitor)
    await target.wait_for(2)
    at.nudge(monitor)
    await target.wait_for(3)  # a second later: the check that was to confirm it
    written = await at.db.read(spans.between, monitor.id, 0, now())
    assert [span.status for span in written] == [Status.PENDING, Status.UP]


async def test_pause_resume_and_delete_take_effect_at_once(at: Home, target: Receiver) -> None:
    monitor = await at.monitor(spec(target.url))
    await at.until_status(monitor.id, Status.UP)
    await at.db.write(edges.pause, at.org.id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.engine.settled()
    seen = len(target.ledger)
    at.nudge(monitor)
    await asyncio.sleep(0.3)
    assert len(target.ledger) == seen
    assert monitor.id not in at.engine.scheduler
    watch = at.engine.watch(monitor.id)
    assert watch is not None
    assert watch.status is Status.PAUSED

    await at.db.write(edges.resume, at.org.id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.until_status(monitor.id, Status.UP)

    await at.db.write(edges.retire, at.org.id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.engine.settled()
    seen = len(target.ledger)
    at.nudge(monitor)
    await asyncio.sleep(0.3)
    assert len(target.ledger) == seen
    assert at.engine.watch(monitor.id) is None


async def test_a_changed_monitor_is_checked_as_it_is_now(
    at: Home, target: Receiver, receiver: Receiver
) -> None:
    monitor = await at.monitor(spec(target.url, interval_seconds=3_600))
    await at.until_status(monitor.id, Status.UP)
    changed = spec(receiver.url, interval_seconds=3_600)
    await at.db.write(edges.replace, at.org.id, monitor.id, changed, None, now())
    at.engine.changed(monitor.id)
    await receiver.wait_for(1, 30)  # its grid is an hour's


async def test_many_changes_at_once_end_with_the_last(at: Home, target: Receiver) -> None:
    monitor = await at.monitor(spec(target.url))
    for turn in range(20):
        change = edges.pause if turn % 2 == 0 else edges.resume
        await at.db.write(change, at.org.id, monitor.id, now())
        at.engine.changed(monitor.id)
    await at.db.write(edges.pause, at.org.id, monitor.id, now())
    at.engine.changed(monitor.id)
    await at.engine.settled()
    watch = at.engine.watch(monitor.id)
    assert watch is not None
    assert watch.status is Status.PAUSED
    assert monitor.id not in at.engine.scheduler


async def test_a_check_by_hand_counts_nowhere(at: Home, target: Receiver) -> None:
    monitor = await at.monitor(spec(target.url, interval_seconds=3_600, confirmations=1))
    await at.until_status(monitor.id, Status.UP)
    target.answer = lambda _: 500
    check = await at.engine.check_now(at.org.id, monitor)
    assert check.result is Result.DOWN
    assert check.counted is False
    watch = at.engine.watch(monitor.id)
    assert watch is not None
    assert watch.status is Status.UP
    await at.raw.flush()
    stored = await at.raw.range(monitor.key, 0, now() + 1_000)
    assert [one.counted for one in stored] == [False, True]
    counts = await at.raw.counts(monitor.key, 0, now() + 1_000)
    assert (counts.checks, counts.downs) == (1, 0)
    with pytest.raises(ValueError, match="another organization"):
        await at.engine.check_now("somebody else", monitor)


async def test_an_unsaved_configuration_is_run_under_the_organizations_policy(
    at: Home, target: Receiver
) -> None:
    reading, verdict, check = await at.engine.test(at.org.id, spec(target.url))
    assert (verdict.result, reading.status_code, check.counted) == (Result.UP, 200, False)
    client = Org(
        id=new_id(now()),
        name="Client",
        slug="client",
        quotas=Quotas(private_targets=False),
        created_at=now(),
    )
    await at.db.write(orgs.insert, client)
    at.engine.org_changed(client.id, private_targets=False)
    _, verdict, _ = await at.engine.test(client.id, spec(target.url))
    assert (verdict.result, verdict.failure) == (Result.DOWN, Failure.BLOCKED)


async def test_no_descriptors_left_is_our_own_trouble(at: Home, target: Receiver) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name.name) for name in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    held = []
    try:
        with pytest.raises(OSError, match="Too many open files"):  # noqa: PT012 -- until it is full
            while True:
                held.append(Path("/dev/null").open("rb"))  # noqa: SIM115, ASYNC230
        _, verdict, _ = await at.engine.test(at.org.id, spec(target.url))
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (verdict.result, verdict.failure) == (Result.INCONCLUSIVE, Failure.OWN_LIMIT)
    _, verdict, _ = await at.engine.test(at.org.id, spec(target.url))
    assert verdict.result is Result.UP


async def test_a_poisoned_monitor_harms_only_itself(
    at: Home, target: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    # The API refuses both; a row from elsewhere may hold them.
    poisoned = await at.monitor(spec("http://[broken", name="Poisoned", interval_seconds=3_600))
    whole = await at.monitor(TcpSpec(name="Whole", target="127.0.0.1", port=target.port))
    await at.until_status(whole.id, Status.UP)

    async def is_tried_again() -> bool:
        return len(await at.raw.range(poisoned.key, 0, now() + 1_000)) > 1

    await at.until(is_tried_again, "another check off the grid", 30)  # and it is told only once
    watch = at.engine.watch(poisoned.id)
    assert watch is not None
    assert watch.status is Status.PENDING
    last = at.engine.last_check(poisoned.id)
    assert last is not None
    assert last.result is Result.INCONCLUSIVE
    assert last.failure is Failure.INTERNAL
    broken = [one for one in caplog.records if "a mistake of ours" in one.getMessage()]
    assert len(broken) == 1
    assert broken[0].__dict__["monitor_id"] == poisoned.id


async def test_secrets_that_do_not_open_are_not_checked_without(at: Home, target: Receiver) -> None:
    from netpulse.model.monitor import BearerAuth

    monitor = await at.monitor(spec(target.url, auth=BearerAuth(token="t0ken")))
    await at.until_status(monitor.id, Status.UP)

    def damage(conn: Conn) -> None:
        conn.execute("UPDATE monitors SET secrets = x'00' WHERE id = ?", (monitor.id,))

    await at.db.write(damage)
    at.engine.changed(monitor.id)
    await at.engine.settled()
    seen = len(target.ledger)

    async def told() -> bool:
        last = at.engine.last_check(monitor.id)
        return last is not None and last.failure is Failure.INTERNAL

    await at.until(told, "the damage is told")
    assert len(target.ledger) == seen
    last = at.engine.last_check(monitor.id)
    assert last is not None
    assert last.failure is Failure.INTERNAL
    assert "secrets do not open" in (last.message or "")


async def test_a_restart_keeps_what_still_vouches_and_the_grid(
    tmp_path: Path, target: Receiver
) -> None:
    async with home(tmp_path / "data") as first:
        monitor = await first.monitor(spec(target.url, interval_seconds=30, timeout_seconds=10))
        await first.until_status(monitor.id, Status.UP)
        slot = first.engine.scheduler.next_due(monitor.id)
    async with home(tmp_path / "data") as second:
        watch = second.engine.watch(monitor.id)
        assert watch is not None
        assert watch.status is Status.UP
        again = second.engine.scheduler.next_due(monitor.id)
        assert again is not None
        assert slot is not None
        assert (again - slot) % 30_000 == 0
        gaps = await second.db.read(runs.gaps, 0, now())
        assert [gap.reason.value for gap in gaps] == ["stopped"]


async def test_a_restart_after_a_long_pause_is_unknown_until_checked(
    tmp_path: Path, target: Receiver
) -> None:
    async with home(tmp_path / "data") as first:
        monitor = await first.monitor(spec(target.url))
        await first.until_status(monitor.id, Status.UP)
    async with home(tmp_path / "data", clock=ShiftedClock(HOUR)) as second:
        await second.until_status(monitor.id, Status.UP)
        written = await second.db.read(spans.between, monitor.id, 0, now() + HOUR)
        told = [(span.status.value, span.reason and span.reason.value) for span in written]
        assert told == [
            ("pending", None),
            ("up", None),
            ("unknown", "stopped"),
            ("up", None),
        ]
        assert written[2].at == second.engine.started_at


async def test_a_restart_in_the_middle_of_an_outage_tells_it_once(
    tmp_path: Path, target: Receiver, receiver: Receiver
) -> None:
    async with home(tmp_path / "data") as first:
        await first.rule(await first.channel(receiver.url))
        monitor = await first.monitor(spec(target.url, confirmations=1))
        await first.until_status(monitor.id, Status.UP)
        target.answer = lambda _: 500
        first.nudge(monitor)
        await first.until_status(monitor.id, Status.DOWN)
        await receiver.wait_for(1)
        watch = first.engine.watch(monitor.id)
        assert watch is not None
        incident_id = watch.incident_id
    async with home(tmp_path / "data", clock=ShiftedClock(HOUR)) as second:
        await second.until_status(monitor.id, Status.DOWN)
        watch = second.engine.watch(monitor.id)
        assert watch is not None
        assert watch.incident_id == incident_id
        target.answer = lambda _: 200
        second.nudge(monitor)
        await second.until_status(monitor.id, Status.UP)
        await receiver.wait_for(2)
        events = [one.payload["event"] for one in receiver.taken]
        assert events == ["monitor.down", "monitor.up"]


async def test_a_clock_set_back_while_we_were_off_keeps_nothing_waiting(
    tmp_path: Path, target: Receiver, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 503
    async with home(tmp_path / "data", clock=ShiftedClock(HOUR)) as first:
        await first.rule(await first.channel(receiver.url))
        monitor = await first.monitor(spec(target.url, confirmations=1))
        await first.until_status(monitor.id, Status.UP)
        target.answer = lambda _: 500
        first.nudge(monitor)
        await first.until_status(monitor.id, Status.DOWN)

        async def is_tried() -> bool:
            (notice,) = await first.db.read(notices.recent, first.org.id)
            return notice.attempt_count > 0

        await first.until(is_tried, "an attempt was made")
    receiver.answer = lambda _: 200
    async with home(tmp_path / "data") as second:
        (delivery,) = await receiver.wait_for(1)
        assert delivery.payload["event"] == "monitor.down"

        async def is_sent() -> bool:
            (notice,) = await second.db.read(notices.recent, second.org.id)
            return notice.status is NoticeStatus.SENT

        await second.until(is_sent, "it is settled")


async def test_a_clock_set_back_while_we_ran_is_no_matter_of_the_next_start(
    tmp_path: Path,
) -> None:
    """What waits was brought nearer already: once more, and it would be given up, or ring early."""
    place, clock = tmp_path / "data", ShiftedClock(2 * HOUR)
    async with home(place, clock=clock) as at:
        channel = await at.channel("http://127.0.0.1:9/hook")
        clock.ahead_ms = 0
        offset = at.engine.dispatcher._clock_offset

        async def is_noticed() -> bool:
            at.engine.dispatcher.wake()
            return at.engine.dispatcher._clock_offset < offset - HOUR

        await at.until(is_noticed, "the clock was set back")
        until = now() + HOUR
        await at.db.write(gather, channel.id, until)
    async with home(place, clock=clock) as at:
        row = await at.db.read(gathering_until, channel.id)
        assert row == until


def gather(conn: Conn, channel_id: str, until: int) -> None:
    conn.execute("UPDATE alert_channels SET gathering_until = ? WHERE id = ?", (until, channel_id))


def gathering_until(conn: Conn, channel_id: str) -> int:
    row = conn.one("SELECT gathering_until FROM alert_channels WHERE id = ?", (channel_id,))
    assert row is not None
    return int(row[0])


async def test_it_stops_within_five_seconds_with_probes_in_flight(
    tmp_path: Path, target: Receiver
) -> None:
    target.delay = 60
    async with home(tmp_path / "data") as opened:
        for number in range(50):
            await opened.monitor(
                spec(target.url, name=f"Slow {number}", timeout_seconds=50, interval_seconds=60)
            )

        async def all_run() -> bool:
            return opened.engine.scheduler.running == 50

        await opened.until(all_run, "fifty probes are in flight", 30)
        began = time.monotonic()
        await opened.engine.stop()
        assert time.monotonic() - began < 5
        assert opened.engine.scheduler.running == 0
        target.delay = 0
        assert await opened.db.read(monitors.count, opened.org.id) == 50


async def test_many_monitors_are_all_checked_and_the_lag_is_small(
    at: Home, target: Receiver
) -> None:
    port = target.port

    def insert(conn: Conn) -> None:
        from netpulse.model.ids import new_id
        from netpulse.model.monitor import Monitor

        for number in range(300):
            what = TcpSpec(
                name=f"Port {number}", target="127.0.0.1", port=port, interval_seconds=10
            )
            monitor = Monitor(
                id=new_id(now()), key=0, org_id=at.org.id, spec=what, created_at=now()
            )
            stored = monitors.insert(conn, monitor)
            ids.append(stored.id)

    ids: list[str] = []
    await at.db.write(insert)
    for one in ids:
        at.engine.changed(one)

    async def all_are_up() -> bool:
        return at.engine.roster.counts(at.org.id)[Status.UP] == 300

    await at.until(all_are_up, "all are up", 30)
    # Again and again, so that what comes between one time is not what half of them meet.
    for _ in range(6):
        made = sum(at.engine.figures.checks.values())
        for one in ids:
            at.engine.scheduler.soon(one, 0.0)

        async def all_are_checked(made: int = made) -> bool:
            return sum(at.engine.figures.checks.values()) >= made + 300

        await at.until(all_are_checked, "all are checked", 30)
    assert await all_are_up()
    stats = at.engine.lag_stats()
    assert stats.count >= 2_000
    assert at.engine.stale_count() == 0
    assert stats.p50_ms < 500


async def test_a_second_stop_waits_for_the_first(at: Home, target: Receiver) -> None:
    """Whoever closes the files after its own stop must find nobody at work on them."""
    await at.monitor(spec(target.url))
    first = asyncio.create_task(at.engine.stop())
    await asyncio.sleep(0)
    await at.engine.stop()
    assert first.done()
