"""Lists of notices: each filter says what it should, and reads no more than it must."""

from __future__ import annotations

import itertools
from pathlib import Path

from netpulse.model.alert import Event, Notice, NoticeStatus, Suppressed
from netpulse.model.ids import new_id
from netpulse.storage import delivery_log, notice_list, notices
from netpulse.storage.conn import Conn
from netpulse.storage.migrations import m0018_notices_of_years
from netpulse.storage.notice_list import NoticeFilter
from tests.outbox import OK, Outbox
from tests.plans import Planned
from tests.store import NOW, add_channel, add_org, add_rule, play

TALLIED = (
    "SELECT channel_id, status, event, reason, notices FROM alert_tallies"
    " WHERE notices > 0 ORDER BY 1, 2, 3, 4"
)
COUNTED = (
    "SELECT channel_id, status, event, coalesce(reason, ''), count(*) FROM alert_events"
    " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
)


class Log(Outbox):
    """Notices of every kind, of two channels and two monitors, and one of another organization."""

    def __init__(self, conn: Conn) -> None:
        super().__init__(conn)
        self.chat = self.people()
        self.rule = add_rule(conn, self.org.id, self.channel.id, "down")
        self.trouble = self.incident(self.shop)
        kinds = itertools.product(
            (self.channel, self.chat),
            (self.shop, self.mail, None),
            (Event.MONITOR_DOWN, Event.MONITOR_UP),
        )
        for number, (channel, monitor, event) in enumerate(kinds):
            ids = [
                self.add(
                    monitor,
                    channel=channel,
                    event=event,
                    at=NOW + number,
                    incident_id=self.trouble.id if monitor is self.shop else None,
                    rule_id=self.rule.id if number % 2 else None,
                )
                for _ in range(4)
            ]
            notices.sent(conn, ids[0], OK, NOW)
            notices.failed(conn, ids[1], OK, "oops")
            reason = Suppressed.COOLDOWN if number % 3 else Suppressed.DUPLICATE
            notices.suppress(conn, ids[2], reason)
        other = add_org(conn, "Other")
        self.org, ours = other, self.org
        self.add(channel=add_channel(conn, other.id))
        self.org = ours
        rows = notices.recent(conn, ours.id, 1_000)
        assert len(rows) == 48
        self.rows: list[Notice] = rows

    def filters(self) -> list[NoticeFilter]:
        """Return every combination of what can be asked for."""
        return [
            NoticeFilter(
                status=status,
                event=event,
                reason=reason,
                rule_id=rule_id,
                channel_id=channel_id,
                monitor_id=monitor_id,
                incident_id=incident_id,
            )
            for status, event, reason, rule_id, channel_id, monitor_id, incident_id in (
                itertools.product(
                    (None, NoticeStatus.PENDING, NoticeStatus.SUPPRESSED),
                    (None, Event.MONITOR_UP, Event.TEST),
                    (None, Suppressed.COOLDOWN),
                    (None, self.rule.id),
                    (None, self.chat.id),
                    (None, self.shop.id),
                    (None, self.trouble.id),
                )
            )
        ]


def fits(notice: Notice, wanted: NoticeFilter) -> bool:
    return all(
        getattr(wanted, name) in {None, getattr(notice, name)} for name in wanted.__struct_fields__
    )


async def test_every_filter_gives_what_fits_the_newest_first(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)
        for wanted in log.filters():
            fitting = [notice for notice in log.rows if fits(notice, wanted)]
            for offset, limit in ((0, 100), (0, 3), (2, 5), (47, 20), (48, 20)):
                page = notice_list.page(conn, log.org.id, wanted, offset=offset, limit=limit)
                assert page.total == len(fitting), wanted
                assert page.rows == fitting[offset : offset + limit], (wanted, offset, limit)
            logged = delivery_log.page(conn, log.org.id, wanted, 1, 4)
            assert [one.notice for one in logged.rows] == fitting[1:5]
            assert logged.total == len(fitting)

    await play(tmp_path, act)


async def test_no_list_reads_the_whole_table(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)
        org_id, covering = log.org.id, "SEARCH alert_events USING COVERING INDEX alert_events_"

        def plans(wanted: NoticeFilter) -> set[str]:
            """Return how numbers are found and counted; rows are then read one by one."""
            planned = Planned(conn)
            notice_list.page(planned, org_id, wanted)
            by_number = "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"
            assert {line for line in planned.plans if " e " in line} == {by_number}
            assert not [line for line in planned.plans if line.startswith("SCAN alert_")]
            return {line for line in planned.plans if " alert_events " in line}

        listed = f"{covering}listed (org_id=? AND channel_id=? AND status=?)"
        assert plans(notice_list.ANY) == {listed}
        assert plans(NoticeFilter(status=NoticeStatus.PENDING)) == {listed}
        assert plans(NoticeFilter(channel_id=log.chat.id)) == {listed}
        assert plans(NoticeFilter(event=Event.MONITOR_UP)) == {listed}
        assert plans(NoticeFilter(reason=Suppressed.COOLDOWN)) == {listed}
        assert plans(NoticeFilter(rule_id=log.rule.id)) == {listed}
        of_monitor = f"{covering}monitor (monitor_id=?)"
        assert plans(NoticeFilter(monitor_id=log.shop.id)) == {of_monitor}
        sent = NoticeFilter(
            monitor_id=log.shop.id, channel_id=log.channel.id, status=NoticeStatus.SENT
        )
        assert plans(sent) == {of_monitor}
        of_incident = "SEARCH alert_events USING INDEX alert_events_incident (incident_id=?)"
        assert plans(NoticeFilter(incident_id=log.trouble.id)) == {of_incident}

    await play(tmp_path, act)


async def test_a_total_is_known_without_counting(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)
        planned = Planned(conn)
        pending = NoticeFilter(status=NoticeStatus.PENDING)
        assert notice_list.page(planned, log.org.id, pending, offset=12).total == 12
        assert planned.plans == [
            "SEARCH alert_tallies USING PRIMARY KEY (org_id=?)",
        ]

    await play(tmp_path, act)


async def test_what_a_digest_told_is_found_by_its_index(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)
        conn.execute("UPDATE alert_events SET digest_id = 'd' WHERE status = 'sent'")
        planned = Planned(conn)
        assert delivery_log.in_digest(planned, log.org.id, "d") == 12
        (plan,) = planned.plans
        index = "COVERING INDEX alert_events_digest (digest_id=? AND org_id=?)"
        assert plan == f"SEARCH alert_events USING {index}"

    await play(tmp_path, act)


async def test_the_last_notice_that_a_channel_was_to_take(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)
        reached = (NoticeStatus.SENT, NoticeStatus.FAILED, NoticeStatus.PENDING)
        last = notice_list.last(conn, log.org.id, log.channel.id, reached)
        of_channel = NoticeFilter(channel_id=log.channel.id)
        fitting = [one for one in log.rows if fits(one, of_channel) and one.status in reached]
        assert last == fitting[0]
        notices.suppress(conn, fitting[0].id, Suppressed.COOLDOWN)
        assert notice_list.last(conn, log.org.id, log.channel.id, reached) == fitting[1]
        assert notice_list.last(conn, log.org.id, new_id(NOW), reached) is None

    await play(tmp_path, act)


async def test_tallies_follow_whatever_becomes_of_a_notice(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        log = Log(conn)

        def agree() -> None:
            assert conn.all(TALLIED) == conn.all(COUNTED)

        agree()
        notices.resend(conn, log.org.id, log.rows[0].id, NOW)
        log.take(now=NOW + 60_000)
        agree()
        conn.execute("UPDATE alert_events SET channel_id = ? WHERE seq % 3 = 0", (log.chat.id,))
        conn.execute("UPDATE alert_events SET event = 'test' WHERE seq % 5 = 0")
        agree()
        conn.execute("DELETE FROM alert_events WHERE seq % 2 = 0")
        agree()
        conn.execute("DELETE FROM alert_events")
        assert conn.all(TALLIED) == []

    await play(tmp_path, act)


async def test_the_step_counts_what_is_there(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        Log(conn)
        before = conn.all(TALLIED)
        (fill,) = (part for part in m0018_notices_of_years.SQL.split(";") if "GROUP BY" in part)
        conn.execute("DELETE FROM alert_tallies")
        conn.execute(fill)
        assert conn.all(TALLIED) == before

    await play(tmp_path, act)
