"""Escalations and reminders: timers of incidents, through the same holds as everything else."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from netpulse.model.alert import QuietHours
from netpulse.model.time import HOUR, parse_rfc3339
from netpulse.storage import alert_rules, claims, edges, timers
from netpulse.storage.conn import Conn
from tests.alarms import DOWN, MINUTE, SLOW, UP, Alarms, play, with_parent

EVENING = parse_rfc3339("2026-11-24T21:00:00Z")


def left(conn: Conn) -> int:
    return len(conn.all("SELECT 1 FROM alert_timers"))


async def test_an_escalation_speaks_when_nobody_takes_it_on(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people("Team"))
        alarms.rule(alarms.people("Boss"), escalation_minutes=10)
        alarms.rule(alarms.people("Owner"), escalation_minutes=30)
        alarms.saw(shop, DOWN)
        began = alarms.at
        assert timers.next_due(conn) == began + 10 * MINUTE
        alarms.wait(9 * MINUTE)
        assert alarms.told() == ["Team: monitor.down"]
        alarms.wait(MINUTE)
        assert alarms.told()[1:] == ["Boss: monitor.down (escalation)"]
        said = alarms.reasons()[1]
        assert said == (
            "nobody has acknowledged this for 10 min: connection refused by 192.0.2.7:443"
        )
        assert timers.next_due(conn) == began + 30 * MINUTE
        # Who was told hears that it is over; who was not does not.
        alarms.saw(shop, UP)
        assert alarms.told()[2:] == ["Team: monitor.up", "Boss: monitor.up"]
        alarms.wait(HOUR)
        assert len(alarms.told()) == 4
        assert timers.next_due(conn) is None

    await play(tmp_path, act)


async def test_who_is_not_told_because_somebody_took_it_on_is_recorded(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people("Team"), reminder_minutes=5)
        alarms.rule(alarms.people("Boss"), escalation_minutes=10)
        alarms.saw(shop, DOWN)
        alarms.acknowledge(shop)
        assert left(conn) == 0
        alarms.wait(HOUR)
        alarms.saw(shop, UP)

        assert alarms.told() == [
            "Team: monitor.down",
            "Team: incident.acknowledged (acknowledgement)",
            "Team: monitor.up",
        ]
        assert alarms.untold() == [
            "Boss: monitor.down (escalation) not acknowledged",
            "Boss: monitor.up not acknowledged",
        ]

    await play(tmp_path, act)


async def test_an_escalation_to_a_channel_that_was_told_is_a_duplicate(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        chat = alarms.people()
        alarms.rule(chat)
        alarms.rule(chat, escalation_minutes=10)
        alarms.saw(shop, DOWN)
        alarms.wait(20 * MINUTE)

        assert alarms.told() == ["Chat: monitor.down"]
        assert alarms.untold() == ["Chat: monitor.down (escalation) not duplicate"]

    await play(tmp_path, act)


async def test_an_escalation_speaks_for_a_rule_that_is_held(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        chat = alarms.people()
        alarms.rule(chat, quiet_hours=QuietHours(start="20:00", end="07:00"))
        alarms.rule(chat, escalation_minutes=10)
        alarms.saw(shop, DOWN)
        alarms.wait(20 * MINUTE)

        assert alarms.told() == ["Chat: monitor.down (escalation)"]
        assert alarms.untold() == ["Chat: monitor.down not duplicate"]

    await play(tmp_path, act)


async def test_an_escalation_in_quiet_hours_waits_and_hears_of_an_acknowledgement(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop, mail = alarms.monitor("Shop"), alarms.monitor("Mail")
        night = QuietHours(start="20:00", end="07:00")
        alarms.rule(alarms.people(), escalation_minutes=10, quiet_hours=night)
        alarms.saw(shop, DOWN)
        alarms.saw(mail, DOWN)
        alarms.wait(HOUR)
        assert alarms.untold() == ["Chat: monitor.down (escalation) held quiet_hours"] * 2
        alarms.acknowledge(shop)
        alarms.wait(12 * HOUR)

        assert alarms.told() == ["Chat: monitor.down (escalation)"]
        assert alarms.untold() == ["Chat: monitor.down (escalation) not acknowledged"]

    await play(tmp_path, act)


async def test_an_escalation_is_silent_about_what_opens_no_incident(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), escalation_minutes=10, condition="down or degraded or up")
        alarms.saw(shop, SLOW)
        alarms.saw(shop, DOWN)
        alarms.saw(shop, UP)
        alarms.wait(HOUR)

        assert alarms.told() == []
        assert alarms.untold() == []

    await play(tmp_path, act)


async def test_reminders_come_until_it_is_over(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), reminder_minutes=60, cooldown_seconds=86_400)
        alarms.saw(shop, DOWN)
        alarms.wait(130 * MINUTE)
        assert alarms.told() == ["Chat: monitor.down", *["Chat: monitor.down (reminder)"] * 2]
        assert alarms.reasons()[1:] == [
            "still down for 1 h: connection refused by 192.0.2.7:443",
            "still down for 2 h: connection refused by 192.0.2.7:443",
        ]
        alarms.saw(shop, UP)
        alarms.wait(3 * HOUR)
        assert alarms.told()[3:] == ["Chat: monitor.up"]
        assert left(conn) == 0

    await play(tmp_path, act)


async def test_reminders_count_from_when_the_problem_was_told(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        night = QuietHours(start="20:00", end="07:00")
        alarms.rule(alarms.people(), reminder_minutes=60, quiet_hours=night)
        alarms.rule(alarms.people("Boss"), reminder_minutes=60, escalation_minutes=10)
        alarms.saw(shop, DOWN)
        began = alarms.at
        alarms.wait(12 * HOUR)
        at = {
            name: [one.sent_at for one in alarms.all() if alarms.channels[one.channel_id] == name]
            for name in ("Chat", "Boss")
        }

        morning = parse_rfc3339("2026-11-25T07:00:00Z")
        assert at["Chat"] == [morning, morning + HOUR, morning + 2 * HOUR]
        assert at["Boss"][:3] == [began + 10 * MINUTE + hours * HOUR for hours in range(3)]

    await play(tmp_path, act)


async def test_reminders_do_not_pile_up_behind_one_that_waits(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        night = QuietHours(start="22:00", end="07:00")
        alarms.rule(alarms.people(), reminder_minutes=60, quiet_hours=night)
        alarms.wait((EVENING - alarms.at) % (24 * HOUR), HOUR)
        alarms.saw(shop, DOWN)
        alarms.wait(9 * HOUR)

        assert alarms.told() == ["Chat: monitor.down"]
        assert alarms.untold() == ["Chat: monitor.down (reminder) held quiet_hours"]

    await play(tmp_path, act)


async def test_timers_of_what_is_gone_do_nothing(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        first, second, third = (alarms.monitor(name) for name in ("A", "B", "C"))
        rules = [
            alarms.rule(alarms.people(name), escalation_minutes=10, monitor_id=monitor.id)
            for name, monitor in (("A", first), ("B", second), ("C", third))
        ]
        for monitor in (first, second, third):
            alarms.saw(monitor, DOWN)
        assert left(conn) == 3
        edges.pause(conn, alarms.org.id, first.id, alarms.at)
        edges.retire(conn, alarms.org.id, second.id, alarms.at)
        assert left(conn) == 1
        alert_rules.delete(conn, alarms.org.id, rules[2].id)
        alarms.wait(HOUR)

        assert alarms.told() == []
        assert left(conn) == 0

    await play(tmp_path, act)


async def test_a_monitor_that_is_unknown_is_escalated_all_the_same(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), escalation_minutes=10)
        alarms.saw(shop, DOWN)
        alarms.lapse(shop)
        alarms.wait(HOUR)

        assert alarms.told() == ["Chat: monitor.down (escalation)"]

    await play(tmp_path, act)


async def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop, mail = alarms.monitor("Shop"), alarms.monitor("Mail")
        alarms.rule(alarms.people("Boss"), escalation_minutes=10, monitor_id=shop.id)
        alarms.rule(alarms.people("Team"), cooldown_seconds=600, monitor_id=mail.id)
        alarms.saw(mail, DOWN)
        alarms.saw(mail, UP)
        alarms.saw(mail, DOWN)
        alarms.saw(shop, DOWN)
        assert alarms.untold() == ["Team: monitor.down held cooldown"]
        alarms.at -= HOUR
        claims.turn_back(conn, HOUR)
        alarms.wait(11 * MINUTE)

        assert sorted(alarms.told()[2:]) == [
            "Boss: monitor.down (escalation)",
            "Team: monitor.down",
        ]

    await play(tmp_path, act)


async def test_an_escalation_of_a_child_does_not_wait_for_a_parent_that_is_well(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        router, shop = alarms.monitor("Router"), alarms.monitor("Shop")
        shop = with_parent(conn, shop, router, alarms.at)
        alarms.rule(alarms.people(), escalation_minutes=10)
        alarms.saw(shop, DOWN)
        alarms.wait(10 * MINUTE)

        assert alarms.told() == ["Chat: monitor.down (escalation)"]

    await play(tmp_path, act)


async def test_timers_of_a_rule_that_covers_the_monitor_no_more_end(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop, mail = alarms.monitor("Shop"), alarms.monitor("Mail")
        rule = alarms.rule(alarms.people(), reminder_minutes=5, monitor_id=shop.id)
        alarms.saw(shop, DOWN)
        alert_rules.replace(conn, replace(rule, monitor_id=mail.id), now=alarms.at)
        alarms.wait(HOUR)

        assert alarms.told() == ["Chat: monitor.down"]
        assert left(conn) == 0

    await play(tmp_path, act)


async def test_a_rule_that_cannot_be_read_stops_no_other_timer(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        broken = alarms.rule(alarms.people("Boss"), escalation_minutes=5)
        alarms.rule(alarms.people("Owner"), escalation_minutes=6)
        alarms.saw(shop, DOWN)
        conn.execute("UPDATE alert_rules SET condition = 'down or' WHERE id = ?", (broken.id,))
        alarms.wait(10 * MINUTE)

        assert alarms.told() == ["Owner: monitor.down (escalation)"]

    await play(tmp_path, act)


async def test_a_channel_that_heard_many_reminders_is_owed_one_recovery(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        rule = alarms.rule(alarms.people("Chat"), reminder_minutes=1)
        alarms.saw(shop, DOWN)
        alarms.wait(HOUR)
        alert_rules.replace(conn, replace(rule, channel_id=alarms.people("Boss").id), now=alarms.at)
        alarms.saw(shop, UP)

        assert alarms.told()[-1] == "Chat: monitor.up"
        assert alarms.untold() == []

    await play(tmp_path, act)
