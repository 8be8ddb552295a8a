"""Held notices: quiet hours, maintenance, parents and flapping, from flip to what is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpulse.model.alert import QuietHours
from netpulse.model.ids import new_id
from netpulse.model.incident import IncidentStatus
from netpulse.model.maintenance import Coverage, Maintenance, Schedule
from netpulse.model.time import HOUR, Millis, parse_rfc3339
from netpulse.storage import claims, disabling, edges, held, incidents, maintenances, parents
from netpulse.storage.conn import Conn
from tests.alarms import DOWN, MINUTE, SECOND, SLOW, UP, Alarms, play, with_parent

NIGHT = QuietHours(start="22:00", end="07:00")
EVENING: Millis = parse_rfc3339("2026-11-24T21:00:00Z")


# Quiet hours


async def test_the_night_holds_problems_and_tells_what_is_still_so_in_the_morning(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop, mail = alarms.monitor("Shop"), alarms.monitor("Mail")
        alarms.rule(alarms.people(), quiet_hours=NIGHT)
        alarms.wait(2 * HOUR)
        alarms.saw(shop, DOWN)
        assert alarms.considered() == [("rule 1", "held", "quiet_hours")]
        alarms.saw(mail, DOWN)
        alarms.wait(HOUR)
        assert alarms.told() == []
        alarms.saw(mail, UP)  # its problem is over: nobody hears of it
        alarms.wait(12 * HOUR)

        assert alarms.told() == ["Chat: monitor.down"]
        assert alarms.untold() == [
            "Chat: monitor.down not quiet_hours",
            "Chat: monitor.up not quiet_hours",
        ]
        (sent,) = [one for one in alarms.all() if one.sent_at]
        assert sent.monitor_id == shop.id
        assert sent.sent_at == sent.due_at == parse_rfc3339("2026-11-25T07:00:00Z")

    await play(tmp_path, act)


async def test_a_recovery_in_the_night_is_told_in_the_morning(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), quiet_hours=NIGHT)
        alarms.saw(shop, DOWN)
        alarms.wait(2 * HOUR)
        alarms.saw(shop, UP)
        alarms.saw(shop, DOWN)
        alarms.saw(shop, UP)
        assert alarms.told() == ["Chat: monitor.down"]
        alarms.wait(12 * HOUR)

        assert alarms.told() == ["Chat: monitor.down", "Chat: monitor.up"]

    await play(tmp_path, act)


async def test_a_rule_that_nothing_holds_speaks_for_one_that_is_held(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        chat = alarms.people()
        alarms.rule(chat, quiet_hours=NIGHT)
        alarms.rule(chat)
        alarms.wait(3 * HOUR)
        alarms.saw(shop, DOWN)
        assert alarms.considered() == [
            ("rule 1", "suppressed", "duplicate"),
            ("rule 2", "told", None),
        ]
        alarms.saw(shop, UP)

        assert alarms.told() == ["Chat: monitor.down", "Chat: monitor.up"]

    await play(tmp_path, act)


async def test_a_recovery_is_not_told_after_a_later_problem(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        chat = alarms.people()
        alarms.rule(chat, quiet_hours=NIGHT)
        alarms.rule(chat, notify_recovery=False)
        alarms.wait(2 * HOUR)
        alarms.saw(shop, DOWN)
        alarms.saw(shop, UP)
        alarms.saw(shop, DOWN)
        alarms.wait(12 * HOUR)

        assert alarms.told() == ["Chat: monitor.down", "Chat: monitor.down"]

    await play(tmp_path, act)


# Maintenance


def planned(alarms: Alarms, start: Millis, end: Millis) -> Maintenance:
    return maintenances.insert(
        alarms.conn,
        Maintenance(
            id=new_id(alarms.at),
            org_id=alarms.org.id,
            title="Move",
            schedule=Schedule(starts_at=start, ends_at=end),
            coverage=Coverage(all=True),
            created_at=alarms.at,
        ),
        alarms.at,
    )


async def test_what_outlives_the_maintenance_is_told_and_says_so(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop, mail, news = (alarms.monitor(name) for name in ("Shop", "Mail", "News"))
        alarms.rule(alarms.machine())
        alarms.saw(news, DOWN)
        planned(alarms, alarms.at, alarms.at + HOUR)
        alarms.saw(shop, DOWN)
        assert alarms.considered() == [("rule 1", "held", "maintenance")]
        alarms.saw(mail, DOWN)
        alarms.saw(mail, UP)
        alarms.saw(news, UP)  # a recovery is never swallowed
        assert alarms.told() == ["Hook: monitor.down", "Hook: monitor.up"]
        alarms.wait(2 * HOUR)

        assert alarms.told()[2:] == ["Hook: monitor.down"]
        said = alarms.reasons()[2]
        assert said is not None
        assert "since 2026-11-24T21:02:00Z, through the maintenance" in said
        assert alarms.untold() == [
            "Hook: monitor.down not maintenance",
            "Hook: monitor.up not maintenance",
        ]

    await play(tmp_path, act)


async def test_a_maintenance_that_ends_early_lets_go_at_once(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        alarms.rule(alarms.machine())
        plan = planned(alarms, alarms.at, alarms.at + HOUR)
        alarms.saw(shop, DOWN)
        maintenances.end(conn, plan, alarms.at)
        alarms.deliver()

        assert alarms.told() == ["Hook: monitor.down"]

    await play(tmp_path, act)


# Flapping


async def test_flapping_is_told_once_and_then_how_it_ended(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people())
        alarms.rule(alarms.machine())
        for result in (DOWN, UP, DOWN, UP, DOWN, UP, DOWN, UP):
            alarms.saw(shop, result)
        chat = [line for line in alarms.told() if line.startswith("Chat")]
        assert chat == [
            "Chat: monitor.down",
            "Chat: monitor.up",
            "Chat: monitor.down",
            "Chat: monitor.up",
            "Chat: monitor.flapping",
        ]
        hook = [line for line in alarms.told() if line.startswith("Hook")]
        assert hook == [
            *["Hook: monitor.down", "Hook: monitor.up"] * 2,
            "Hook: monitor.flapping",
            "Hook: monitor.down",
            "Hook: monitor.up",
            "Hook: monitor.down",
            "Hook: monitor.up",
        ]
        alarms.wait(29 * MINUTE)
        assert len([line for line in alarms.told() if line.startswith("Chat")]) == 5
        alarms.wait(MINUTE)
        chat = [line for line in alarms.told() if line.startswith("Chat")]
        assert chat[5:] == ["Chat: monitor.up"]
        # Calm again: an outage is told as any other.
        alarms.saw(shop, DOWN, HOUR)
        assert alarms.told()[-2:] == ["Chat: monitor.down", "Hook: monitor.down"]

    await play(tmp_path, act)


async def test_a_monitor_that_stays_down_after_flapping_is_told_down(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), cooldown_seconds=300)
        for result in (DOWN, UP, DOWN, UP, DOWN, UP, DOWN):
            alarms.saw(shop, result)
        alarms.wait(31 * MINUTE)
        assert alarms.told()[-2:] == ["Chat: monitor.flapping", "Chat: monitor.down"]
        alarms.saw(shop, UP)
        assert alarms.told()[-1] == "Chat: monitor.up"

    await play(tmp_path, act)


async def test_pausing_ends_flapping(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.people())
        for result in (DOWN, UP, DOWN, UP, DOWN):
            alarms.saw(shop, result)
        edges.pause(conn, alarms.org.id, shop.id, alarms.at)
        alarms.wait(HOUR)

        assert alarms.told()[-1] == "Chat: monitor.flapping"
        assert conn.all("SELECT * FROM flaps") == []

    await play(tmp_path, act)


# Parents


class Family(Alarms):
    """A router, and a shop behind it."""

    def __init__(self, conn: Conn) -> None:
        super().__init__(conn)
        self.router = self.monitor("Router", confirmations=2)
        shop = self.monitor("Shop", confirmations=2)
        self.shop = with_parent(conn, shop, self.router, self.at)
        self.rule(self.machine("Hook"), monitor_id=self.shop.id)

    def down(self, *monitors: object) -> None:
        for one in monitors:
            self.saw(one, DOWN, 10 * SECOND)  # type: ignore[arg-type]


async def test_a_child_of_a_parent_that_is_down_waits_and_is_told_if_it_stays_down(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.router, home.shop, home.router, home.shop)
        assert home.considered() == [("rule 1", "held", "parent_down")]
        assert held.waiting_children(conn) == [home.shop.id]
        home.wait(3 * HOUR)
        assert home.told() == []
        home.saw(home.router, UP, 0)
        home.pass_time(SECOND)
        assert home.told() == []  # its own check comes first
        assert not home.heard(home.shop, own_check_at=home.at)
        assert home.told() == ["Hook: monitor.down"]

    await play(tmp_path, act)


async def test_a_child_that_recovers_with_its_parent_is_not_told(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.router, home.shop, home.router, home.shop)
        home.saw(home.router, UP)
        home.saw(home.shop, UP, SECOND)
        home.wait(HOUR)

        assert home.told() == []
        assert home.untold() == [
            "Hook: monitor.down not parent_down",
            "Hook: monitor.up not parent_down",
        ]

    await play(tmp_path, act)


async def test_a_child_whose_check_never_comes_is_told_at_the_deadline(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.router, home.shop, home.router, home.shop)
        home.saw(home.router, UP)
        back = home.at
        home.wait(2 * MINUTE, SECOND)

        assert home.told() == ["Hook: monitor.down"]
        assert home.all()[-1].sent_at == back + 75 * SECOND  # timeout, interval and 5 s

    await play(tmp_path, act)


async def test_a_good_verdict_of_the_parent_lets_the_child_speak(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.shop)
        asked = home.at + 1
        home.pass_time(10 * SECOND)
        home.saw(home.shop, DOWN, 0, parent_good_at=asked)
        assert home.told() == ["Hook: monitor.down"]

    await play(tmp_path, act)


async def test_an_older_good_verdict_does_not(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        before = home.at
        home.down(home.shop)
        home.saw(home.shop, DOWN, 10 * SECOND, parent_good_at=before)
        assert home.untold() == ["Hook: monitor.down held parent_down"]
        assert home.heard(home.shop, parent_good_at=before)
        assert not home.heard(home.shop, parent_good_at=home.at)
        assert home.told() == ["Hook: monitor.down"]

    await play(tmp_path, act)


async def test_without_a_verdict_the_deadline_lets_the_child_speak(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.shop, home.shop)
        certain = home.at
        home.wait(2 * MINUTE, SECOND)

        assert home.told() == ["Hook: monitor.down"]
        assert home.all()[-1].sent_at == certain + 35 * SECOND  # 10 s, 2 x 10 s and 5 s

    await play(tmp_path, act)


@pytest.mark.parametrize("ends", ["paused", "deleted", "another"])
async def test_a_parent_that_is_none_any_more_holds_nothing(tmp_path: Path, ends: str) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        home.down(home.router, home.shop, home.router, home.shop)
        home.wait(HOUR)
        if ends == "paused":
            edges.pause(conn, home.org.id, home.router.id, home.at)
        elif ends == "deleted":
            edges.retire(conn, home.org.id, home.router.id, home.at)
        else:
            other = home.monitor("Other")
            with_parent(conn, home.shop, other, home.at)
        home.wait(16 * MINUTE)

        assert home.told() == ["Hook: monitor.down"]

    await play(tmp_path, act)


async def test_a_chain_counts_to_its_end(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        cable = home.monitor("Cable")
        home.router = with_parent(conn, home.router, cable, home.at)
        home.saw(cable, DOWN)
        home.down(home.shop, home.shop)
        home.wait(HOUR)
        assert home.told() == []
        home.saw(cable, UP)
        home.heard(home.shop, own_check_at=home.at)
        assert home.told() == ["Hook: monitor.down"]
        assert [one.id for one in parents.ancestors(conn, home.shop.id)] == [
            home.router.id,
            cable.id,
        ]
        assert set(parents.descendants(conn, cable.id)) == {home.router.id, home.shop.id}

    await play(tmp_path, act)


async def test_a_loop_and_a_stranger_are_refused(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        home = Family(conn)
        org_id = home.org.id
        stranger = Alarms(conn).monitor("Theirs")
        assert parents.problem(conn, org_id, home.shop.id, home.router.id) is None
        assert parents.problem(conn, org_id, None, home.shop.id) is None
        for child, parent in (
            (home.shop, home.shop),
            (home.router, home.shop),
            (home.shop, stranger),
        ):
            assert parents.problem(conn, org_id, child.id, parent.id) is not None
        # Where the file holds a loop all the same, nobody runs in circles.
        conn.execute(
            "UPDATE monitors SET parent_id = ? WHERE id = ?", (home.shop.id, home.router.id)
        )
        home.down(home.shop, home.shop)
        assert parents.descendants(conn, home.shop.id) == [home.router.id]

    await play(tmp_path, act)


# Pausing and deleting


@pytest.mark.parametrize("ends", [edges.pause, edges.retire])
async def test_what_is_held_of_a_monitor_that_is_gone_is_not_told(
    tmp_path: Path, ends: object
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        alarms.rule(alarms.people(), quiet_hours=NIGHT, condition="down or degraded")
        alarms.wait(2 * HOUR)
        alarms.saw(shop, SLOW)
        alarms.saw(shop, DOWN)
        ends(conn, alarms.org.id, shop.id, alarms.at)  # type: ignore[operator]
        alarms.wait(12 * HOUR)

        assert alarms.told() == []
        assert {line.split(" not ")[1] for line in alarms.untold()} == {"quiet_hours"}

    await play(tmp_path, act)


async def test_every_rule_says_what_it_made_of_a_flip(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor(tags=("web",))
        chat, hook = alarms.people(), alarms.machine()
        alarms.rule(chat)
        alarms.rule(chat)
        alarms.rule(hook, is_active=False)
        alarms.rule(hook, condition="degraded", tag="web")
        alarms.rule(hook, escalation_minutes=5)
        alarms.rule(hook, tag="other")
        alarms.saw(shop, DOWN)

        assert alarms.considered() == [
            ("rule 1", "told", None),
            ("rule 2", "suppressed", "duplicate"),
            ("rule 3", "inactive", None),
            ("rule 4", "not_asked", None),
            ("rule 5", "later", None),
        ]

    await play(tmp_path, act)


# Rules and channels that break meanwhile


async def test_what_is_held_for_a_channel_that_is_switched_off_is_held_for_its_fallback(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        chat, boss = alarms.people("Chat"), alarms.people("Boss")
        alarms.rule(chat, fallback_channel_id=boss.id, cooldown_seconds=600)
        for seen in (DOWN, UP, DOWN):
            alarms.saw(shop, seen)
        assert alarms.untold() == ["Chat: monitor.down held cooldown"]
        disabling.refused(conn, chat.id, "it is gone", alarms.at, disables=True)
        assert alarms.untold()[1:] == [
            "Boss: monitor.down (fallback) held cooldown",
            "Boss: channel.disabled (system) not None",
        ]
        alarms.wait(10 * MINUTE)
        alarms.saw(shop, UP)

        assert alarms.told()[2:] == [
            "Boss: channel.disabled (system)",
            "Boss: monitor.down (fallback)",
            "Boss: monitor.up",
        ]
        assert alarms.untold() == ["Chat: monitor.down not channel_inactive"]

    await play(tmp_path, act)


async def test_a_rule_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn, EVENING)
        shop = alarms.monitor()
        told = alarms.rule(alarms.people(), quiet_hours=NIGHT, escalation_minutes=1)
        alarms.saw(shop, DOWN)
        alarms.wait(HOUR)
        alarms.saw(shop, UP)
        conn.execute("UPDATE alert_rules SET condition = 'down or' WHERE id = ?", (told.id,))
        alarms.wait(12 * HOUR)
        assert alarms.told() == ["Chat: monitor.down (escalation)", "Chat: monitor.up"]
        # Quiet hours that cannot be read silence nothing.
        rule = alarms.rule(alarms.people("Boss"), quiet_hours=NIGHT)
        conn.execute("UPDATE alert_rules SET quiet_hours = '{' WHERE id = ?", (rule.id,))
        alarms.saw(shop, DOWN)
        assert alarms.told()[2:] == ["Boss: monitor.down"]

    await play(tmp_path, act)


async def test_who_heard_of_a_problem_hears_its_end_though_it_was_resolved_by_hand(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        shop = alarms.monitor()
        alarms.rule(alarms.machine())
        alarms.saw(shop, DOWN)
        alarms.pass_time(MINUTE)
        alarms.lapse(shop)
        incident = alarms.incident(shop)
        resolved = IncidentStatus.RESOLVED
        incidents.patch(conn, alarms.org.id, incident.id, status=resolved, now=alarms.at)
        alarms.saw(shop, UP)
        alarms.lapse(shop)
        alarms.saw(shop, UP)

        assert alarms.told() == ["Hook: monitor.down", "Hook: monitor.up"]
        assert alarms.all()[1].incident_id == incident.id

    await play(tmp_path, act)


async def test_more_held_notices_than_one_transaction_looks_at_are_known_to_be_left(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        alarms = Alarms(conn)
        chat = alarms.people()
        alarms.rule(chat)
        shop = alarms.monitor()
        alarms.saw(shop, DOWN)
        conn.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO alert_events (id, org_id, event, channel_id, status, held_for, payload,"
            " created_at, due_at, next_attempt_at) SELECT 'held ' || i, ?, 'monitor.down', ?,"
            " 'pending', 'cooldown', '{}', 0, 0, 0 FROM n",
            (held.AT_ONCE + 1, alarms.org.id, chat.id),
        )
        claims.claim(conn, "one", alarms.at, limit=1, lease_ms=MINUTE)
        assert claims.is_undecided(conn, alarms.at)
        claims.claim(conn, "one", alarms.at, limit=1, lease_ms=MINUTE)
        assert not claims.is_undecided(conn, alarms.at)

    await play(tmp_path, act)
