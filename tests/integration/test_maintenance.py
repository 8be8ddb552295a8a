"""Windows of maintenance in virtual time: they begin and end, monitors come and go, processes die."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace as changed

from netpulse.model.ids import Id, new_id
from netpulse.model.maintenance import Coverage, Maintenance, Schedule, State, Window
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Status
from netpulse.rules.uptime import Account, account
from netpulse.storage import (
    edges,
    held,
    incident_story,
    incidents,
    maintenance_spans,
    maintenances,
    monitor_list,
    monitors,
    rollups,
    runs,
    spans,
)
from netpulse.storage.conn import Conn
from netpulse.storage.maintenances import MaintenanceFilter
from netpulse.storage.monitor_list import MonitorFilter
from tests.clock import START, FakeClock
from tests.home import spec
from tests.store import status_counts
from tests.world import Opener, Story

BEGIN = START - START % DAY + DAY
SHOP = "203.0.113.7"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=BEGIN, monotonic=time.monotonic())


async def watched(story: Story, name: str = "Shop", **changes: object) -> Monitor:
    """Put a monitor on duty, made now by the test's clock."""
    what = spec(f"http://{SHOP}/", name=name, interval_seconds=60, timeout_seconds=10, **changes)
    at = story.clock.now()
    draft = Monitor(id=new_id(at), key=0, org_id=story.at.org.id, spec=what, created_at=at)
    stored = await story.at.db.write(monitors.insert, draft)
    story.engine.changed(stored.id)
    await story.engine.settled()
    return stored


async def planned(story: Story, start: Millis, **fields: object) -> Maintenance:
    """Plan maintenance of every monitor for ten minutes, or as `fields` say."""
    at = story.clock.now()
    given: dict[str, object] = {
        "id": new_id(at),
        "org_id": story.at.org.id,
        "title": "Move",
        "schedule": Schedule(starts_at=start, ends_at=start + 10 * MINUTE),
        "coverage": Coverage(all=True),
        "created_at": at,
    }
    item = Maintenance(**(given | fields))  # type: ignore[arg-type]
    return await story.at.db.write(maintenances.insert, item, at)


async def stored(story: Story, item: Maintenance) -> Maintenance:
    found = await story.at.db.read(maintenances.get, item.org_id, item.id)
    assert found is not None
    return found


async def stretches(story: Story, monitor: Monitor) -> list[Window]:
    return await story.at.db.read(maintenance_spans.between, monitor.id, 0, BEGIN + 9 * DAY)


async def status(story: Story, monitor: Monitor) -> Status:
    """Return what people see; list, filter, counts, roster and watch agree about it."""
    org_id = story.at.org.id
    row = await story.at.db.read(monitors.get_row, org_id, monitor.id)
    assert row is not None
    seen = row.shown.status
    wanted = MonitorFilter(status=seen, sort="status")
    listed = await story.at.db.read(monitor_list.page, org_id, wanted)
    assert monitor.id in [one.monitor.id for one in listed.rows]
    counts = await story.at.db.read(status_counts, org_id)
    assert counts == {key: n for key, n in story.engine.roster.counts(org_id).items() if n}
    assert listed.total == counts[seen]
    on_duty = story.engine.roster.get(monitor.id)
    assert on_duty is not None
    assert on_duty.shown.status is seen
    return seen


async def accounted(story: Story, monitor: Monitor) -> Account:
    def read(conn: Conn) -> Account:
        now = story.clock.now()
        return account(
            monitor.created_at,
            now,
            spans.between(conn, monitor.id, 0, now),
            runs.gaps(conn, 0, now),
            now,
            maintenance_spans.between(conn, monitor.id, 0, now),
        )

    return await story.at.db.read(read)


async def test_a_window_begins_and_ends_over_a_failure(story: Story) -> None:
    shop = await watched(story)
    await story.pass_time(60)
    item = await planned(story, BEGIN + 5 * MINUTE)
    assert item.state(story.clock.now()) is State.PLANNED
    await story.pass_time(239)
    assert await status(story, shop) is Status.UP
    await story.pass_time(1)
    assert await status(story, shop) is Status.MAINTENANCE
    assert story.status(shop.id) is Status.UP  # underneath

    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    assert await status(story, shop) is Status.MAINTENANCE
    opened = await story.at.db.read(incidents.open_of, shop.id)
    assert opened is not None

    left = (BEGIN + 15 * MINUTE - story.clock.now()) // SECOND
    await story.pass_time(left)
    assert await status(story, shop) is Status.DOWN
    told = await story.at.db.read(incident_story.timeline, opened.id)
    assert [one.message for one in told if one.kind == "maintenance"] == ["Maintenance is over"]
    await story.pass_time(60)
    account = await accounted(story, shop)
    assert account.maintenance_seconds == 600
    assert account.down_seconds == 60
    (outage,) = account.outages
    assert outage.duration_seconds == 60
    assert outage.incident_id == opened.id
    assert (await stored(story, item)).state(story.clock.now()) is State.OVER


async def test_an_outage_inside_a_window_is_none(story: Story) -> None:
    shop = await watched(story)
    await story.pass_time(60)
    await planned(story, BEGIN + 2 * MINUTE)
    await story.pass_time(120)
    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    story.world.fates[SHOP] = "up"
    await story.until(lambda: story.status(shop.id) is Status.UP)
    await story.pass_time(900)
    account = await accounted(story, shop)
    assert (account.down_seconds, account.maintenance_seconds) == (0, 600)
    assert account.outages == ()
    assert account.uptime_percent_time == 100.0


async def test_a_plan_does_not_reach_back(story: Story) -> None:
    shop = await watched(story)
    await story.pass_time(60)
    await planned(story, BEGIN)
    assert await stretches(story, shop) == [Window(BEGIN + MINUTE, BEGIN + 10 * MINUTE)]


async def test_monitors_join_and_leave_by_their_tags(story: Story) -> None:
    await planned(story, BEGIN, coverage=Coverage(tags=("web",)))
    shop = await watched(story, tags=("web", "shop"))
    other = await watched(story, "Other")
    await story.pass_time(60)
    assert await status(story, shop) is Status.MAINTENANCE
    assert await status(story, other) is Status.UP

    async def retag(monitor: Monitor, *tags: str) -> None:
        wanted = changed(monitor.spec, tags=tags)
        await story.at.db.write(
            edges.replace, story.at.org.id, monitor.id, wanted, None, story.clock.now()
        )
        story.engine.changed(monitor.id)
        await story.engine.settled()

    await retag(shop, "shop")
    await retag(other, "web")
    await story.pass_time(60)
    assert await status(story, shop) is Status.UP
    assert await status(story, other) is Status.MAINTENANCE
    assert await stretches(story, shop) == [Window(BEGIN, BEGIN + MINUTE)]
    assert await stretches(story, other) == [Window(BEGIN + MINUTE, BEGIN + 10 * MINUTE)]
    await story.at.db.write(edges.retire, story.at.org.id, other.id, story.clock.now())
    assert await stretches(story, other) == [Window(BEGIN + MINUTE, BEGIN + 2 * MINUTE)]


async def test_a_paused_monitor_is_paused(story: Story) -> None:
    shop = await watched(story)
    await story.at.db.write(edges.pause, story.at.org.id, shop.id, story.clock.now())
    story.engine.changed(shop.id)
    await story.engine.settled()
    await planned(story, BEGIN)
    await story.pass_time(60)
    assert await status(story, shop) is Status.PAUSED
    await story.at.db.write(edges.resume, story.at.org.id, shop.id, story.clock.now())
    story.engine.changed(shop.id)
    await story.engine.settled()
    await story.pass_time(1)
    assert await status(story, shop) is Status.MAINTENANCE


async def test_ending_editing_and_deleting_end_a_window_now(story: Story) -> None:
    shop = await watched(story)
    daily = Schedule(starts_at=BEGIN, rrule="FREQ=DAILY", duration_minutes=30)
    item = await planned(story, BEGIN, schedule=daily)
    await story.pass_time(60)
    item = await story.at.db.write(maintenances.end, item, story.clock.now())
    await story.pass_time(60)
    assert await status(story, shop) is Status.UP
    assert item.next == Window(BEGIN + DAY, BEGIN + DAY + 30 * MINUTE)

    later = Schedule(starts_at=BEGIN, rrule="FREQ=DAILY", duration_minutes=20)
    item = await story.at.db.write(
        lambda conn: maintenances.replace(
            conn, changed(item, schedule=later), now=story.clock.now()
        )
    )
    await story.pass_time(60)
    assert await status(story, shop) is Status.MAINTENANCE
    titled = await story.at.db.write(
        lambda conn: maintenances.replace(conn, changed(item, title="So"), now=story.clock.now())
    )
    assert titled.version == item.version + 1
    assert await stretches(story, shop) == [
        Window(BEGIN, BEGIN + MINUTE),
        Window(BEGIN + 2 * MINUTE, BEGIN + 20 * MINUTE),
    ]
    await story.at.db.write(maintenances.delete, titled, story.clock.now())
    await story.pass_time(1)
    assert await status(story, shop) is Status.UP
    assert (await stretches(story, shop))[-1].end == BEGIN + 3 * MINUTE
    assert await story.at.db.read(maintenances.next_due) is None


async def test_a_restart_changes_nothing(opened: Opener, clock: FakeClock) -> None:
    async with opened() as story:
        shop = await watched(story)
        daily = Schedule(starts_at=BEGIN + MINUTE, rrule="FREQ=DAILY", duration_minutes=30)
        await planned(story, BEGIN, schedule=daily)
        await story.pass_time(120)
        before = await stretches(story, shop)
    clock.advance(600)
    async with opened() as story:
        assert await stretches(story, shop) == before
        assert await status(story, shop) is Status.MAINTENANCE
    clock.advance(DAY / SECOND)
    async with opened() as story:
        # It began while nobody was there: it counts from its planned beginning.
        assert await stretches(story, shop) == [
            *before,
            Window(BEGIN + DAY + MINUTE, BEGIN + DAY + 31 * MINUTE),
        ]
        assert await status(story, shop) is Status.MAINTENANCE
    clock.advance(HOUR / SECOND)
    async with opened() as story:
        on_duty = story.engine.roster.get(shop.id)
        assert on_duty is not None
        assert on_duty.maintained is None


async def test_many_monitors_enter_and_leave_in_pieces(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_spans, "ROWS_AT_ONCE", 2)
    db, now = story.at.db, story.clock.now()
    made = [await watched(story, f"Monitor {number}") for number in range(7)]

    async def maintained() -> set[Id]:
        return set(await db.read(maintenance_spans.now_in))

    item = await planned(story, BEGIN)
    assert len(await maintained()) == 2  # in the transaction that planned it
    assert await db.write(maintenances.keep_up, now)
    assert len(await maintained()) == 4  # a process that dies here goes on here
    await story.engine.calendar.turn()
    assert len(await maintained()) == 7
    assert await stretches(story, made[6]) == [Window(BEGIN, BEGIN + 10 * MINUTE)]
    assert not await db.write(maintenances.keep_up, now)

    story.clock.advance(60)
    await db.write(maintenances.end, await stored(story, item), story.clock.now())
    assert len(await maintained()) == 5
    story.clock.advance(5)
    await story.engine.calendar.turn()
    assert not await maintained()
    ends = {(await stretches(story, one))[0].end for one in made}
    assert ends == {BEGIN + MINUTE}


async def test_held_notices_are_looked_at_when_a_window_ends_early(story: Story) -> None:
    shop = await watched(story)
    await story.at.rule(await story.at.channel("http://127.0.0.1:1/"))
    item = await planned(story, BEGIN)
    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    await story.at.db.write(
        lambda conn: conn.execute(
            "UPDATE alert_events SET held_for = 'maintenance', next_attempt_at = ?",
            (BEGIN + 10 * MINUTE,),
        )
    )
    at = story.clock.now()
    await story.at.db.write(maintenances.end, await stored(story, item), at)
    rows = await story.at.db.read(
        lambda conn: conn.all("SELECT held_for, next_attempt_at FROM alert_events")
    )
    assert rows == [("maintenance", at)]


async def test_lists_know_what_lasts_what_comes_and_what_is_over(story: Story) -> None:
    shop = await watched(story, tags=("web",))
    over = await planned(story, BEGIN)
    await story.pass_time(660)
    now = story.clock.now()
    next_one = await planned(story, now + HOUR, coverage=Coverage(tags=("web",)))
    lasting = await planned(story, now, coverage=Coverage(monitor_ids=("x",)))

    async def listed(**wanted: object) -> list[Id]:
        chosen = MaintenanceFilter(**wanted)  # type: ignore[arg-type]
        found = await story.at.db.read(maintenances.page, story.at.org.id, chosen)
        assert found.total == len(found.rows)
        return [one.id for one in found.rows]

    assert await listed() == [lasting.id, next_one.id, over.id]
    assert await listed(state=State.ACTIVE) == [lasting.id]
    assert await listed(state=State.PLANNED) == [next_one.id]
    assert await listed(state=State.OVER) == [over.id]
    assert await listed(monitor_id=shop.id) == [next_one.id, over.id]


async def test_checks_in_maintenance_are_in_no_count(story: Story) -> None:
    shop = await watched(story)
    await story.pass_time(300)
    await planned(story, BEGIN + 5 * MINUTE)
    story.world.fates[SHOP] = "refused"
    await story.pass_time(600)
    story.world.fates[SHOP] = "up"
    await story.pass_time(300)
    start, end = BEGIN - HOUR, BEGIN + HOUR
    inside = await story.at.raw.counts(shop.key, BEGIN + 5 * MINUTE, BEGIN + 15 * MINUTE)
    everything = await story.at.raw.counts(shop.key, start, end)
    without = await story.at.raw.counts(shop.key, start, end, await stretches(story, shop))
    assert inside.downs
    assert without.downs == everything.downs - inside.downs
    assert without.checks == everything.checks - inside.checks > 0

    await story.at.raw.flush()
    story.clock.advance(HOUR / SECOND + 600)
    await story.engine.housekeeping.seal()
    (hour,) = await story.at.db.read(rollups.hours, shop.id, start, end)
    assert (hour.checks, hour.downs) == (without.checks, without.downs)


async def looked_at(story: Story) -> list[tuple[str, str, str | None, str | None]]:
    """Have the outbox look at what is due, as the dispatcher does; return what stands in it."""
    now = story.clock.now()
    await story.at.db.write(held.resolve, now)
    rows = await story.at.db.read(
        lambda conn: conn.all(
            "SELECT event, status, reason, held_for FROM alert_events ORDER BY seq"
        )
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def test_a_failure_that_outlives_the_window_is_told_then(story: Story) -> None:
    shop = await watched(story)
    await story.at.rule(await story.at.channel("http://127.0.0.1:1/"))
    await story.pass_time(60)
    await planned(story, BEGIN + MINUTE)
    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    assert await looked_at(story) == [("monitor.down", "pending", None, "maintenance")]
    await story.pass_time((BEGIN + 11 * MINUTE - story.clock.now()) // SECOND)
    assert await looked_at(story) == [("monitor.down", "pending", None, None)]


async def test_a_failure_inside_the_window_is_never_told(story: Story) -> None:
    shop = await watched(story)
    await story.at.rule(await story.at.channel("http://127.0.0.1:1/"))
    await story.pass_time(60)
    await planned(story, BEGIN + MINUTE)
    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    story.world.fates[SHOP] = "up"
    await story.until(lambda: story.status(shop.id) is Status.UP)
    await story.pass_time(900)
    assert await looked_at(story) == [
        ("monitor.down", "suppressed", "maintenance", None),
        ("monitor.up", "suppressed", "maintenance", None),
    ]


async def test_a_recovery_of_what_was_told_before_is_told_inside(story: Story) -> None:
    shop = await watched(story)
    await story.at.rule(await story.at.channel("http://127.0.0.1:1/"))
    await story.pass_time(60)
    story.world.fates[SHOP] = "refused"
    await story.until(lambda: story.status(shop.id) is Status.DOWN)
    await planned(story, story.clock.now())
    story.world.fates[SHOP] = "up"
    await story.until(lambda: story.status(shop.id) is Status.UP)
    assert await status(story, shop) is Status.MAINTENANCE
    assert await looked_at(story) == [
        ("monitor.down", "pending", None, None),
        ("monitor.up", "pending", None, None),
    ]
