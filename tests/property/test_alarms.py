"""The laws of alerts over whole lives of monitors: a file, a clock by hand, and anything at all.

I1 at most one open incident a monitor; I2 one notice a transition, channel and event, each with
its reason where it is not told; I3 nothing waits for ever; I4 what a channel hears of a monitor
comes in the order in which it happened, and makes sense to who reads it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netpulse.model.alert import PROBLEMS, Cause, Event, Notice, NoticeStatus, QuietHours
from netpulse.model.ids import new_id
from netpulse.model.maintenance import Coverage, Maintenance, Schedule
from netpulse.model.monitor import Monitor
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND
from netpulse.storage import edges, incidents, maintenances
from netpulse.storage import monitors as stored
from netpulse.storage.conn import Conn
from tests.alarms import DOWN, SLOW, UP, Alarms, play, with_parent

NAMES = ("Router", "Shop", "Cart")

rules = st.lists(
    st.fixed_dictionaries(
        {
            "channel": st.sampled_from(["Chat", "Mail", "Hook"]),
            "condition": st.sampled_from(["down", "down or degraded", "degraded", "down or up"]),
            "cooldown_seconds": st.sampled_from([0, 300, 3_600]),
            "notify_recovery": st.sampled_from([True, True, False]),
            "escalation_minutes": st.sampled_from([None, None, None, 10]),
            "reminder_minutes": st.sampled_from([None, None, 30]),
            "quiet_hours": st.sampled_from([None, None, QuietHours(start="12:00", end="16:00")]),
            "is_active": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=1,
    max_size=4,
)
steps = st.lists(
    st.tuples(
        st.sampled_from(
            [*[UP, DOWN] * 4, SLOW, "lapse", "acknowledge", "maintenance", "pause", "hear"]
        ),
        st.sampled_from(NAMES),
        st.sampled_from([5 * SECOND, MINUTE, MINUTE, 4 * MINUTE, 40 * MINUTE, 3 * HOUR]),
    ),
    max_size=40,
)


def act_on(alarms: Alarms, monitors: dict[str, Monitor], act: Any, name: str) -> None:
    conn, monitor = alarms.conn, monitors[name]
    if act in (UP, DOWN, SLOW):
        alarms.saw(monitor, act, 0)
    elif act == "lapse":
        alarms.lapse(monitor)
    elif act == "hear":
        alarms.heard(monitor, own_check_at=alarms.at)
    elif act == "acknowledge" and incidents.open_of(conn, monitor.id) is not None:
        alarms.acknowledge(monitor)
    elif act == "maintenance":
        maintenances.insert(
            conn,
            Maintenance(
                id=new_id(alarms.at),
                org_id=alarms.org.id,
                title="Move",
                schedule=Schedule(starts_at=alarms.at, ends_at=alarms.at + 20 * MINUTE),
                coverage=Coverage(monitor_ids=(monitor.id,)),
                created_at=alarms.at,
            ),
            alarms.at,
        )
    elif act == "pause":
        edges.pause(conn, alarms.org.id, monitor.id, alarms.at)
        edges.resume(conn, alarms.org.id, monitor.id, alarms.at)
        found = stored.get(conn, alarms.org.id, monitor.id)
        assert found is not None
        monitors[name] = found
    alarms.deliver()


def check_laws(alarms: Alarms) -> None:
    conn = alarms.conn
    assert (
        conn.all(
            "SELECT monitor_id FROM incidents WHERE resolved_at IS NULL"
            " GROUP BY monitor_id HAVING count(*) > 1"
        )
        == []
    )  # I1
    told = Counter(
        conn.all(
            "SELECT transition_id, channel_id, event FROM alert_events"
            " WHERE status <> 'suppressed' AND transition_id IS NOT NULL"
        )
    )
    assert all(count == 1 for count in told.values())  # I2
    for one in alarms.all():
        if one.status is NoticeStatus.SUPPRESSED:
            assert one.reason is not None
        if one.status is NoticeStatus.PENDING:  # I3: it is held, and looked at again
            assert one.held_for is not None
            assert one.next_attempt_at is not None
            assert alarms.at < one.next_attempt_at <= alarms.at + DAY


def heard(alarms: Alarms, channel: str, monitor: Monitor) -> list[Notice]:
    """Return what a channel heard of a monitor, in that order."""
    rows = alarms.conn.all("SELECT notice_id FROM alert_attempts WHERE ok ORDER BY id")
    by_id = {notice.id: notice for notice in alarms.all()}
    found = [by_id[row[0]] for row in rows]
    return [
        one
        for one in found
        if alarms.channels[one.channel_id] == channel and one.monitor_id == monitor.id
    ]


def check_order(alarms: Alarms, monitor: Monitor, channel: str, asks_up: bool) -> None:
    """I4: moments never go back, and nobody hears of the end of what they never heard of."""
    open_problems = 0
    last_change = 0
    for notice in heard(alarms, channel, monitor):
        if notice.cause is Cause.CHANGE:
            (row,) = alarms.conn.all("SELECT seq FROM alert_events WHERE id = ?", (notice.id,))
            assert row[0] > last_change
            last_change = row[0]
        if notice.event in PROBLEMS or notice.event is Event.MONITOR_FLAPPING:
            open_problems += 1
        elif notice.event is Event.MONITOR_UP:
            assert open_problems or asks_up
            # Down may end in degraded, which has an end of its own.
            open_problems = max(0, open_problems - 1)


@settings(max_examples=60, derandomize=True)
@given(rules, steps)
def test_the_laws_hold_whatever_happens(
    wanted: list[dict[str, Any]], story: list[tuple[Any, str, int]]
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        monitors = {name: alarms.monitor(name) for name in NAMES}
        monitors["Shop"] = with_parent(conn, monitors["Shop"], monitors["Router"], alarms.at)
        monitors["Cart"] = with_parent(conn, monitors["Cart"], monitors["Shop"], alarms.at)
        channels = {
            "Chat": alarms.people("Chat"),
            "Mail": alarms.people("Mail"),
            "Hook": alarms.machine("Hook"),
        }
        for fields in wanted:
            more = {key: value for key, value in fields.items() if key != "channel"}
            alarms.rule(channels[fields["channel"]], **more)
        for what, name, milliseconds in story:
            alarms.wait(milliseconds, 5 * MINUTE)
            act_on(alarms, monitors, what, name)
            check_laws(alarms)
        for monitor in monitors.values():
            alarms.saw(monitor, UP, SECOND)
        alarms.wait(DAY, HOUR)
        check_laws(alarms)
        # I3: all is well for a day, and nothing waits any more.
        assert [one for one in alarms.all() if one.status is NoticeStatus.PENDING] == []
        assert conn.all("SELECT * FROM alert_timers") == []
        for name in channels:
            asks_up = any("up" in one["condition"] for one in wanted if one["channel"] == name)
            for monitor in monitors.values():
                check_order(alarms, monitor, name, asks_up)
                check_end(alarms, monitor, name, wanted)

    with tempfile.TemporaryDirectory() as data:
        asyncio.run(play(Path(data), act))


def check_end(alarms: Alarms, monitor: Monitor, channel: str, wanted: list[dict[str, Any]]) -> None:
    """The final state is always delivered: who heard of a problem last heard that it is over."""
    mine = [one for one in wanted if one["channel"] == channel and one["is_active"]]
    if not all(one["notify_recovery"] and "down or" in one["condition"] for one in mine):
        return
    paused = alarms.conn.one(
        "SELECT 1 FROM transitions WHERE monitor_id = ? AND after = 'paused'", (monitor.id,)
    )
    told = [
        one
        for one in heard(alarms, channel, monitor)
        if one.event in PROBLEMS or one.event is Event.MONITOR_UP
    ]
    if told and paused is None and "degraded" in {w for o in mine for w in o["condition"].split()}:
        assert told[-1].event is Event.MONITOR_UP
