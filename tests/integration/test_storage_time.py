"""Time in the main file: spans, runs and gaps, trouble, signs of life, sums by hour and day."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from netpulse.model.time import DAY, HOUR
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.storage import (
    alive,
    rollups,
    runs,
    spans,
    troubles,
)
from netpulse.storage.conn import Conn
from netpulse.storage.rollups import Rollup
from netpulse.storage.troubles import Trouble
from tests.store import (
    NOW,
    SECOND,
    add_monitor,
    add_org,
    play,
)


async def test_spans_with_the_one_in_force(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        kept = [
            Span(at=NOW, status=Status.PENDING),
            Span(at=NOW + 10, status=Status.UP),
            Span(at=NOW + 20, status=Status.UNKNOWN, reason=UnknownReason.STALE),
            Span(at=NOW + 30, status=Status.DOWN, incident_id="i"),
        ]
        for span in kept:
            spans.put(conn, "m", span)
        between = spans.between
        assert between(conn, "m", NOW, NOW + 100) == kept
        assert between(conn, "m", NOW + 15, NOW + 30) == kept[1:3]
        assert between(conn, "m", NOW + 20, NOW + 31) == kept[2:]
        assert between(conn, "m", NOW + 99, NOW + 100) == kept[3:]
        assert between(conn, "m", NOW - 9, NOW) == []
        assert between(conn, "other", NOW, NOW + 9) == []
        assert spans.last_start(conn, "m") == NOW + 30
        assert spans.last_start(conn, "other") is None
        spans.put(conn, "m", Span(at=NOW + 20, status=Status.UP))
        assert between(conn, "m", NOW + 15, NOW + 99) == [
            kept[1],
            Span(at=NOW + 20, status=Status.UP),
        ]

    await play(tmp_path, act)


async def test_runs_and_gaps(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        first, before = runs.begin(conn, NOW, "1.0")
        assert before is None
        assert runs.seen(conn, first, NOW + 5 * SECOND)
        assert runs.seen(conn, first, NOW + 1 * SECOND), "a clock set back forgets nothing"
        second, before = runs.begin(conn, NOW + 60 * SECOND, "1.0")
        assert before == NOW + 5 * SECOND
        assert not runs.seen(conn, first, NOW + 61 * SECOND)
        runs.finish(conn, second, NOW + 70 * SECOND)
        third, before = runs.begin(conn, NOW + 80 * SECOND, "1.1")
        assert before == NOW + 70 * SECOND
        assert runs.seen(conn, third, NOW + 81 * SECOND)
        _, before = runs.begin(conn, NOW, "1.1")
        assert before == NOW + 81 * SECOND
        runs.add_gap(conn, Gap(start=NOW, end=NOW, reason=UnknownReason.ISOLATED))
        suspended = Gap(start=NOW - 9, end=NOW - 2, reason=UnknownReason.STARVED)
        runs.add_gap(conn, suspended)
        stopped = [
            Gap(start=NOW + start * SECOND, end=NOW + end * SECOND, reason=UnknownReason.STOPPED)
            for start, end in ((5, 60), (70, 80))
        ]
        assert runs.gaps(conn, 0, NOW * 2) == [suspended, *stopped]
        assert runs.gaps(conn, NOW + 59 * SECOND, NOW + 70 * SECOND) == stopped[:1]
        assert runs.gaps(conn, NOW - 2, NOW + 5 * SECOND) == []
        assert conn.all("SELECT reason FROM runs ORDER BY id") == [
            ("killed",),
            ("stopped",),
            ("killed",),
            (None,),
        ]

    await play(tmp_path, act)


async def test_troubles(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        assert troubles.begin(conn, "stale", "2 of 9", NOW, monitor_count=2)
        assert not troubles.begin(conn, "stale", "3 of 9", NOW + 1)
        assert troubles.begin(conn, "isolated", "", NOW + 2)
        one, two = troubles.open(conn)
        assert one == Trouble(id=one.id, kind="stale", since=NOW, detail="2 of 9", monitor_count=2)
        assert two.kind == "isolated"
        assert troubles.end(conn, "stale", NOW + 9)
        assert not troubles.end(conn, "stale", NOW + 9)
        assert troubles.open(conn) == [two]
        assert troubles.recent(conn) == [two, replace(one, ended_at=NOW + 9)]
        assert troubles.begin(conn, "stale", "", NOW + 10)

    await play(tmp_path, act)


def test_a_sign_of_life_is_one_line_written_over_itself(tmp_path: Path) -> None:
    assert alive.last(tmp_path) is None
    for sign in (alive.Sign(12, NOW, NOW + 5 * SECOND), alive.Sign(3, 4, 5)):
        alive.give(tmp_path, sign)
        assert alive.last(tmp_path) == sign
    (tmp_path / alive.NAME).write_text("run 3 noted 4 seen 5")
    assert alive.last(tmp_path) is None, "cut off"


async def test_rollups(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        monitor, other = add_monitor(conn, org.id), add_monitor(conn, org.id)
        day = NOW - NOW % DAY

        def hour(number: int, key: int = monitor.key) -> Rollup:
            return Rollup(
                key=key,
                from_ms=day + number * HOUR,
                checks=60,
                ups=58,
                degraded=1,
                downs=1,
                inconclusive=2,
                response_count=59,
                response_sum=5900,
                response_min=10 + number,
                response_max=500 + number,
            )

        assert rollups.cursor(conn, "hour") is None
        rollups.put_hour(conn, [hour(0), hour(1), hour(24), hour(0, other.key)])
        rollups.put_hour(conn, [hour(1)], cursor=day + 2 * HOUR)
        assert rollups.cursor(conn, "hour") == day + 2 * HOUR
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), hour(1)]
        late = replace(hour(1), checks=61, ups=59)
        rollups.put_hour(conn, [late])
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        damaged = replace(hour(0), checks=12, ups=12, degraded=0, downs=0)
        rollups.put_hour(conn, [damaged, replace(late, checks=60, ups=58, inconclusive=3)])
        assert rollups.hours(conn, monitor.id, day, day + DAY)[0] == hour(0), "fewer checks"
        rollups.put_hour(conn, [replace(hour(1), inconclusive=3)])
        rollups.put_hour(conn, [replace(hour(3), region=far) for far in ("berlin", "tokyo")])
        assert set(rollups.keys_of(conn, day, day + DAY)) == {monitor.key, other.key}
        assert rollups.keys_of(conn, day - DAY, day) == []
        assert rollups.hours(conn, monitor.id, day + HOUR, day + HOUR) == []
        assert len(rollups.hours(conn, monitor.id, day, day + DAY, "berlin")) == 1
        assert rollups.hours(conn, monitor.id, day, day + DAY, "paris") == []
        rollups.fold_days(conn, day, [monitor.key, other.key], cursor=day + DAY)
        rollups.fold_days(conn, day, [monitor.key])
        assert rollups.days(conn, monitor.id, day, day + DAY) == [
            Rollup(
                key=monitor.key,
                from_ms=day,
                checks=120,
                ups=116,
                degraded=2,
                downs=2,
                inconclusive=5,
                response_count=118,
                response_sum=11_800,
                response_min=10,
                response_max=501,
            )
        ]
        assert conn.all("SELECT DISTINCT from_ms FROM rollups_recent") == [(day + DAY,)]
        assert [one.from_ms for one in rollups.hours(conn, monitor.id, day, day + 2 * DAY)] == [
            day,
            day + HOUR,
            day + DAY,
        ]
        # Late ones of a day that is summed up, and of one that is to be summed up once more.
        late = replace(hour(1), checks=70, ups=68)
        rollups.put_hour(conn, [hour(0), replace(late, checks=69, ups=67)])
        assert len(conn.all("SELECT * FROM rollups_recent")) == 1
        rollups.set_cursor(conn, "day", day)
        rollups.put_hour(conn, [late, damaged])
        assert len(conn.all("SELECT * FROM rollups_recent")) == 3
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        rollups.fold_days(conn, day, [monitor.key], cursor=day + DAY)
        assert rollups.hours(conn, monitor.id, day, day + DAY) == [hour(0), late]
        assert rollups.days(conn, monitor.id, day, day + DAY)[0].checks == 130
        assert len(rollups.days(conn, other.id, day, day + 1)) == 1
        assert len(rollups.days(conn, monitor.id, day, day + 1, "tokyo")) == 1
        assert rollups.cursor(conn, "day") == day + DAY

    await play(tmp_path, act)
