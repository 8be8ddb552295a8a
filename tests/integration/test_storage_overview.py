"""What the dashboard says of a whole organization."""

from __future__ import annotations

from pathlib import Path

from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.monitor import HttpSpec
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.storage import edges, incidents, overview, runs, spans
from netpulse.storage.conn import Conn
from netpulse.storage.overview import Lately, Looked, Steps
from tests.store import NOW, add_channel, add_monitor, add_org, add_rule, opened


def spec(name: str, **more: object) -> HttpSpec:
    return HttpSpec(name=name, target="https://shop.example/", **more)  # type: ignore[arg-type]


def live(conn: Conn, monitor_id: Id, *life: tuple[Millis, Status]) -> None:
    """Give a monitor its spans, each (ago, status)."""
    for ago, status in life:
        reason = UnknownReason.PAUSED if status is Status.PAUSED else None
        spans.put(conn, monitor_id, Span(NOW - ago, status, reason))


def outage(conn: Conn, org_id: Id, monitor_id: Id, ago: Millis, ended: Millis | None) -> None:
    incident = Incident(
        id=new_id(NOW - ago),
        org_id=org_id,
        title="Shop is down",
        status=IncidentStatus.INVESTIGATING,
        origin=Origin.CHECK,
        monitor_ids=(monitor_id,),
        started_at=NOW - ago,
        created_at=NOW - ago,
    )
    incidents.insert(conn, incident, monitor_id)
    if ended is not None:
        incidents.close(conn, incident, NOW - ended, "recovered", NOW - ended)


async def test_an_empty_house(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org = add_org(conn)
        assert overview.looked(conn, org.id, NOW - DAY, NOW) == Looked(None, None)
        assert overview.lately(conn, org.id, NOW) == Lately(0, 0)
        assert overview.uptimes(conn, org.id, NOW - DAY, NOW) == {}
        assert overview.steps(conn, org.id) == Steps(monitor=False, channel=False, rule=False)
        assert overview.uncovered(conn, org.id, 3) == (0, [])
        assert overview.last_end(conn, org.id) is None

    async with opened(tmp_path / "data") as db:
        await db.write(look)


async def test_the_last_day_adds_all_monitors_up(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        long_ago = NOW - 10 * DAY
        shop = add_monitor(conn, org.id, spec("Shop", interval_seconds=30), long_ago)
        live(conn, shop.id, (5 * DAY, Status.UP), (6 * HOUR, Status.DOWN), (3 * HOUR, Status.UP))
        # Made an hour ago: its hour counts, not the 23 before it. Degraded is up.
        mail = add_monitor(conn, org.id, spec("Mail", interval_seconds=120), NOW - HOUR)
        live(conn, mail.id, (HOUR, Status.DEGRADED))
        theirs = add_monitor(conn, other.id, spec("Theirs"), long_ago)
        live(conn, theirs.id, (5 * DAY, Status.DOWN))
        gone = add_monitor(conn, org.id, spec("Gone"), long_ago)
        live(conn, gone.id, (5 * DAY, Status.DOWN))
        edges.retire(conn, org.id, gone.id, NOW)

        found = overview.looked(conn, org.id, NOW - DAY, NOW)

        # 24 h and 1 h, of which 3 h were down.
        assert found.uptime_percent == 88.0
        assert found.coverage_percent == 100.0
        assert overview.lately(conn, org.id, NOW).checks_per_minute == 2  # 2.5, to the even
        assert overview.looked(conn, other.id, NOW - DAY, NOW).uptime_percent == 0.0
        # Each on its own, and over a longer time.
        assert overview.uptimes(conn, org.id, NOW - DAY, NOW) == {shop.id: 87.5, mail.id: 100.0}
        week = overview.uptimes(conn, org.id, NOW - 4 * DAY, NOW)
        assert week == {shop.id: 96.875, mail.id: 100.0}

    async with opened(tmp_path / "data") as db:
        await db.write(look)


async def test_what_nobody_watched_counts_neither_way(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org = add_org(conn)
        shop = add_monitor(conn, org.id, spec("Shop"), NOW - 10 * DAY)
        live(conn, shop.id, (5 * DAY, Status.UP))
        runs.add_gap(conn, Gap(NOW - 12 * HOUR, NOW - 6 * HOUR, UnknownReason.STOPPED))
        half = overview.looked(conn, org.id, NOW - DAY, NOW)
        assert (half.uptime_percent, half.coverage_percent) == (100.0, 75.0)

        # A pause is wanted: it takes nothing from how well we looked, and runs no checks.
        wiki = add_monitor(conn, org.id, spec("Wiki"), NOW - 10 * DAY)
        live(conn, wiki.id, (5 * DAY, Status.UP))
        edges.pause(conn, org.id, wiki.id, NOW - 12 * HOUR)
        found = overview.looked(conn, org.id, NOW - DAY, NOW)
        # 18 h of 24 h, and all of the 12 h before the pause.
        assert (found.uptime_percent, found.coverage_percent) == (100.0, 83.3333)
        assert overview.lately(conn, org.id, NOW).checks_per_minute == 1

    async with opened(tmp_path / "data") as db:
        await db.write(look)


async def test_incidents_of_the_last_day(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        shop = add_monitor(conn, org.id, spec("Shop"))
        mail = add_monitor(conn, org.id, spec("Mail"))
        theirs = add_monitor(conn, other.id, spec("Theirs"))
        outage(conn, org.id, shop.id, 9 * DAY, 8 * DAY)
        outage(conn, org.id, shop.id, 2 * DAY, 23 * HOUR)
        outage(conn, org.id, shop.id, 2 * HOUR, HOUR + 5 * SECOND)
        outage(conn, org.id, mail.id, 5 * DAY, None)
        outage(conn, other.id, theirs.id, 2 * MINUTE, MINUTE)

        # One began before the day and ended in it, one is still open.
        assert overview.lately(conn, org.id, NOW).incidents == 3
        assert overview.last_end(conn, org.id) == NOW - HOUR - 5 * SECOND
        assert overview.last_end(conn, other.id) == NOW - MINUTE

    async with opened(tmp_path / "data") as db:
        await db.write(look)


async def test_steps_and_who_is_told(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        made = [add_monitor(conn, org.id, spec(name)) for name in ("C", "A", "B")]
        made.append(add_monitor(conn, org.id, spec("D", is_paused=True)))
        add_monitor(conn, org.id, spec("E", tags=("prod",)))
        assert overview.steps(conn, org.id) == Steps(monitor=True, channel=False, rule=False)
        assert overview.steps(conn, other.id) == Steps(monitor=False, channel=False, rule=False)
        count, first = overview.uncovered(conn, org.id, 2)
        assert (count, [name for _, name in first]) == (4, ["A", "B"])

        ops = add_channel(conn, org.id)
        assert overview.steps(conn, org.id) == Steps(monitor=True, channel=True, rule=False)
        add_rule(conn, org.id, ops.id, tag="prod")
        add_rule(conn, org.id, ops.id, monitor_id=made[1].id)
        add_rule(conn, org.id, ops.id, monitor_id=made[2].id, is_active=False)
        add_rule(conn, org.id, ops.id, "degraded", monitor_id=made[0].id)
        assert overview.steps(conn, org.id) == Steps(monitor=True, channel=True, rule=True)
        count, first = overview.uncovered(conn, org.id, 5)
        assert (count, [name for _, name in first]) == (2, ["B", "C"])

        add_rule(conn, org.id, ops.id)
        assert overview.uncovered(conn, org.id, 5) == (0, [])

    async with opened(tmp_path / "data") as db:
        await db.write(look)
