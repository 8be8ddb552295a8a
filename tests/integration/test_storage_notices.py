"""The outbox: claims, order, holds, settling."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from netpulse.model.alert import Event, NoticeStatus, Suppressed
from netpulse.model.ids import Id, new_id
from netpulse.model.watch import Status, Watch
from netpulse.storage import channels, incident_story, incidents, notice_list, notices, watches
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing, UniqueConflict
from netpulse.storage.notice_list import NoticeFilter
from tests.outbox import BAD, LEASE, OK, Outbox
from tests.store import MINUTE, NOW, SECOND, add_channel, add_monitor, add_org, add_rule, play


async def test_a_claim_carries_notice_and_opened_channel(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        notice_id = outbox.add(outbox.shop)
        (claim,) = notices.claim(conn, "one", NOW, limit=10, lease_ms=LEASE)
        assert claim.notice == outbox.get(notice_id)
        assert claim.notice.first_attempt_at == NOW
        assert claim.channel == outbox.channel
        assert outbox.claim("two") == []
        assert outbox.claim("two", now=NOW + LEASE - 1) == []
        assert outbox.claim("two", now=NOW + LEASE) == [notice_id], "the claim has run out"

    await play(tmp_path, act)


async def test_order_is_kept_for_each_monitor(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        shop = [outbox.add(outbox.shop, at=NOW + n) for n in range(3)]
        mail = [outbox.add(outbox.mail, at=NOW + 10 + n) for n in range(2)]
        ours = outbox.add(None, at=NOW + 20, event=Event.SYSTEM_ISOLATED)
        second = outbox.add(None, at=NOW + 21, event=Event.SYSTEM_RECOVERED)
        now = NOW + MINUTE
        assert outbox.claim(now=now) == [shop[0], mail[0], ours]
        assert outbox.claim(now=now) == []
        notices.retry(conn, shop[0], BAD, now + 30 * SECOND, "oops")
        assert outbox.claim(now=now) == [], "a retry holds back what is behind it"
        notices.sent(conn, mail[0], OK, now)
        notices.failed(conn, ours, BAD, "gone")
        assert outbox.claim(now=now) == [mail[1], second]
        assert outbox.claim(now=now + 30 * SECOND) == [shop[0]]

    await play(tmp_path, act)


async def test_sixteen_at_once_for_a_channel(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        other = add_channel(conn, outbox.org.id, "Other")
        fleet = [add_monitor(conn, outbox.org.id) for _ in range(20)]
        for monitor in fleet:
            outbox.add(monitor)
        elsewhere = [outbox.add(monitor, channel=other) for monitor in fleet[:3]]
        first = outbox.claim()
        assert len(first) == 16 + 3
        assert set(elsewhere) <= set(first)
        assert outbox.claim() == []
        ours = next(one for one in first if one not in elsewhere)
        notices.sent(conn, ours, OK, NOW)
        assert len(outbox.claim("two")) == 1

    await play(tmp_path, act)


async def test_slow_channels_do_not_take_every_place(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        other = add_channel(conn, outbox.org.id, "Other")
        slow, quick = sorted((outbox.channel, other), key=lambda channel: channel.id)
        shops = [add_monitor(conn, outbox.org.id) for _ in range(8)]
        for shop in shops:
            outbox.add(shop, channel=slow)
        assert len(outbox.claim(limit=4)) == 4, "on their way, and not answered"
        news = outbox.add(outbox.shop, channel=quick)
        assert outbox.claim(limit=1) == [news]

    await play(tmp_path, act)


async def test_limit_and_what_the_worker_is_busy_with(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        shop, mail = outbox.add(outbox.shop), outbox.add(outbox.mail)
        ours = outbox.add(None, event=Event.SYSTEM_ISOLATED)
        busy: set[tuple[Id, Id | None]] = {
            (outbox.channel.id, outbox.shop.id),
            (outbox.channel.id, None),
        }
        assert outbox.claim(busy=busy) == [mail]
        assert outbox.claim(limit=1) == [shop]
        assert outbox.claim(limit=0) == []
        assert outbox.claim() == [ours]

    await play(tmp_path, act)


async def test_settling_keeps_attempts_and_tells_the_story(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        incident = outbox.incident(outbox.shop)
        told = outbox.add(outbox.shop, incident_id=incident.id)
        outbox.claim()
        notices.retry(conn, told, BAD, NOW + 10 * SECOND, "HTTP 500")
        waiting = outbox.get(told)
        assert (waiting.status, waiting.attempt_count, waiting.error, waiting.next_attempt_at) == (
            NoticeStatus.PENDING,
            1,
            "HTTP 500",
            NOW + 10 * SECOND,
        )
        assert outbox.claim(now=NOW + 10 * SECOND) == [told]
        notices.sent(conn, told, OK, NOW + 11 * SECOND)
        done = outbox.get(told)
        assert (done.status, done.attempt_count, done.error, done.next_attempt_at) == (
            NoticeStatus.SENT,
            2,
            None,
            None,
        )
        assert done.sent_at == NOW + 11 * SECOND
        assert notices.attempts(conn, told) == [BAD, OK]
        notices.sent(conn, told, OK, NOW + 12 * SECOND)
        notices.failed(conn, told, BAD, "late")
        notices.retry(conn, told, BAD, NOW, "late")
        assert outbox.get(told) == done, "what is settled stays settled"
        untold = outbox.add(outbox.shop, incident_id=incident.id)
        notices.failed(conn, untold, BAD, "HTTP 404")
        assert outbox.get(untold).status is NoticeStatus.FAILED
        assert [line.message for line in incident_story.timeline(conn, incident.id)] == [
            "Could not tell Ops: Shop is down (HTTP 404)",
            "Told Ops: Shop is down",
        ]
        assert notices.pending_count(conn) == 0
        assert notices.next_due(conn, NOW) is None
        assert len(notices.for_incident(conn, incident.id)) == 2

    await play(tmp_path, act)


async def test_release_at_start(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        notice_id = outbox.add(outbox.shop)
        outbox.claim("dead")
        assert notices.next_due(conn, NOW) == NOW + LEASE
        assert notices.release_claims(conn, "other") == 0
        assert notices.release_claims(conn, None) == 1
        assert notices.next_due(conn, NOW + 5) == NOW + 5
        assert outbox.claim("new") == [notice_id]
        assert notices.release_claims(conn, "new") == 1

    await play(tmp_path, act)


async def test_next_due(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        assert notices.next_due(conn, NOW) is None
        outbox.add(outbox.shop, due=NOW + MINUTE)
        outbox.add(outbox.mail, due=NOW + 2 * MINUTE, held_for=Suppressed.COOLDOWN)
        assert notices.next_due(conn, NOW) == NOW + MINUTE
        assert outbox.claim() == []
        assert notices.next_due(conn, NOW + 3 * MINUTE) == NOW + 3 * MINUTE
        assert notices.pending_count(conn) == 2

    await play(tmp_path, act)


@pytest.mark.parametrize("still_open", [True, False])
async def test_a_held_problem_is_resolved_at_its_time(tmp_path: Path, still_open: bool) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        incident = outbox.incident(outbox.shop)
        held = outbox.add(
            outbox.shop,
            due=NOW + MINUTE,
            held_for=Suppressed.COOLDOWN,
            incident_id=incident.id,
        )
        behind = outbox.add(outbox.shop, at=NOW + 1)
        assert outbox.claim(now=NOW + SECOND) == [behind], "a held one holds nobody else back"
        notices.sent(conn, behind, OK, NOW + SECOND)
        if not still_open:
            incidents.close(conn, incident, NOW + 2 * SECOND, "recovered", NOW + 2 * SECOND)
        assert outbox.claim(now=NOW + MINUTE) == ([held] if still_open else [])
        settled = outbox.get(held)
        assert settled.held_for is None
        if still_open:
            assert settled.status is NoticeStatus.PENDING
        else:
            assert settled.status is NoticeStatus.SUPPRESSED
            assert settled.reason is Suppressed.COOLDOWN

    await play(tmp_path, act)


@pytest.mark.parametrize(
    ("status", "settled", "told"),
    [
        (Status.DEGRADED, Status.DEGRADED, True),
        (Status.UNKNOWN, Status.DEGRADED, True),
        (Status.UP, Status.UP, False),
        (Status.DOWN, Status.DOWN, False),
        (Status.PAUSED, Status.PENDING, False),
    ],
)
async def test_a_held_degraded_is_told_while_it_lasts(
    tmp_path: Path, status: Status, settled: Status, told: bool
) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        held = outbox.add(outbox.shop, held_for=Suppressed.COOLDOWN, event=Event.MONITOR_DEGRADED)
        watch = Watch(status=status, since=NOW, settled=settled)
        watches.save(conn, outbox.org.id, outbox.shop.id, watch)
        assert outbox.claim() == ([held] if told else [])

    await play(tmp_path, act)


async def test_a_broken_seal_costs_only_its_channel(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        other = add_channel(conn, outbox.org.id, "Other")
        (row,) = conn.all("SELECT config FROM alert_channels WHERE id = ?", (outbox.channel.id,))
        broken = bytearray(row[0])
        broken[-1] ^= 1
        conn.execute(
            "UPDATE alert_channels SET config = ? WHERE id = ?",
            (bytes(broken), outbox.channel.id),
        )
        stuck, fine = outbox.add(outbox.shop), outbox.add(outbox.shop, channel=other)
        assert outbox.claim() == [fine]
        waiting = outbox.get(stuck)
        assert waiting.status is NoticeStatus.PENDING
        assert waiting.attempt_count == 1
        assert waiting.error is not None
        assert waiting.error.startswith("its configuration does not open; enter it again (")
        notices.sent(conn, fine, OK, NOW)
        assert notices.next_due(conn, NOW) == NOW + 15 * MINUTE
        shown = channels.get(conn, outbox.org.id, outbox.channel.id)
        assert shown is not None
        assert shown.damage == waiting.error
        channels.replace(conn, outbox.channel, now=NOW)
        assert outbox.claim(now=NOW + 15 * MINUTE) == [stuck]

    await play(tmp_path, act)


async def test_one_notice_for_a_transition_and_channel(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        first = outbox.get(outbox.add(outbox.shop))
        twin = replace(first, id=new_id(NOW))
        notices.write(conn, twin, transition_id="t")
        with pytest.raises(UniqueConflict):
            notices.write(conn, replace(first, id=new_id(NOW)), transition_id="t")
        spare = replace(
            first,
            id=new_id(NOW),
            status=NoticeStatus.SUPPRESSED,
            reason=Suppressed.DUPLICATE,
            next_attempt_at=None,
        )
        notices.write(conn, spare, transition_id="t")

    await play(tmp_path, act)


async def test_news_about_ourselves_goes_to_who_asked(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        add_rule(conn, outbox.org.id, outbox.channel.id, "system")
        add_rule(conn, outbox.org.id, outbox.channel.id, "down or system", at=NOW + 1)
        other = add_org(conn, "Other")
        add_rule(conn, other.id, add_channel(conn, other.id).id, "down")
        third = add_org(conn, "Third")
        add_rule(conn, third.id, add_channel(conn, third.id, is_active=False).id, "system")
        text = "12 of 12 monitors have no result that can be trusted"
        (notice_id,) = notices.add_system(conn, Event.SYSTEM_ISOLATED, text, NOW)
        payload = msgspec.json.decode(outbox.get(notice_id).payload)
        assert payload["reason"] == text
        assert payload["monitor"] is None
        assert payload["incident"] is None
        assert payload["org"]["id"] == outbox.org.id
        statuses = [row.status for row in notices.recent(conn, outbox.org.id)]
        assert statuses == [NoticeStatus.SUPPRESSED, NoticeStatus.PENDING]
        assert notices.recent(conn, other.id) == []
        (silent,) = notices.recent(conn, third.id)
        assert silent.reason is Suppressed.CHANNEL_INACTIVE

    await play(tmp_path, act)


async def test_lists_and_other_organizations(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        other = add_org(conn, "Other")
        ids = [outbox.add(outbox.shop, at=NOW + n) for n in range(5)]
        notices.sent(conn, ids[0], OK, NOW)
        assert notices.get(conn, other.id, ids[0]) is None
        assert notice_list.page(conn, other.id).total == 0
        page = notice_list.page(conn, outbox.org.id, offset=1, limit=2)
        assert ([row.id for row in page.rows], page.total) == ([ids[3], ids[2]], 5)
        sent = notice_list.page(conn, outbox.org.id, NoticeFilter(status=NoticeStatus.SENT))
        assert [row.id for row in sent.rows] == [ids[0]]
        assert (
            notice_list.page(conn, outbox.org.id, NoticeFilter(monitor_id=outbox.mail.id)).total
            == 0
        )
        assert (
            notice_list.page(conn, outbox.org.id, NoticeFilter(channel_id=outbox.channel.id)).total
            == 5
        )
        assert len(notices.recent(conn, outbox.org.id, 3)) == 3

    await play(tmp_path, act)


async def test_what_stands_behind_another_or_has_no_place_is_not_looked_for(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        first = outbox.add(outbox.shop)
        outbox.add(outbox.shop, at=NOW + 1)
        assert outbox.claim() == [first]
        assert notices.next_due(conn, NOW + 5) == NOW + LEASE
        notices.retry(conn, first, BAD, NOW + MINUTE, "oops")
        assert notices.next_due(conn, NOW + 5) == NOW + MINUTE
        for monitor in outbox.fleet(20):
            outbox.add(monitor)
        assert notices.next_due(conn, NOW) == NOW
        assert len(outbox.claim()) == 16
        assert notices.next_due(conn, NOW) == NOW + LEASE

    await play(tmp_path, act)


async def test_a_damaged_channel_is_given_up_in_the_end(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        conn.execute("UPDATE alert_channels SET config = x'00', retry_for_seconds = 3000")
        stuck = outbox.add(outbox.shop)
        for quarter in range(4):
            assert outbox.claim(now=NOW + quarter * 15 * MINUTE) == []
        assert outbox.get(stuck).status is NoticeStatus.FAILED
        assert outbox.get(stuck).attempt_count == len(notices.attempts(conn, stuck)) == 4
        assert (outbox.get(stuck).error or "").endswith("given up after 3000 s and 4 attempts")

    await play(tmp_path, act)


@pytest.mark.parametrize("how", ["sent", "failed", "cooldown", "duplicate", "held"])
async def test_a_notice_is_sent_again_under_its_id(tmp_path: Path, how: str) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        held_for = Suppressed.COOLDOWN if how == "held" else None
        one = outbox.add(
            outbox.shop, held_for=held_for, due=NOW + MINUTE if held_for else NOW, transition_id="t"
        )
        if how in {"sent", "failed"}:
            assert outbox.claim() == [one]
        if how == "sent":
            notices.sent(conn, one, OK, NOW)
        elif how == "failed":
            notices.failed(conn, one, BAD, "HTTP 404")
        elif how in {"cooldown", "duplicate"}:
            notices.suppress(conn, one, Suppressed(how))
        if how == "duplicate":
            notices.sent(conn, outbox.add(outbox.shop, transition_id="t"), OK, NOW)
        later = NOW + 50 * 3600 * SECOND
        again = notices.resend(conn, outbox.org.id, one, later)
        assert (again.id, again.status, again.reason) == (one, NoticeStatus.PENDING, None)
        assert (again.held_for, again.due_at, again.error) == (None, later, None)
        assert outbox.claim(now=later) == [one]
        notices.sent(conn, one, OK, later)
        assert outbox.get(one).attempt_count == (2 if how in {"sent", "failed"} else 1)
        assert len(notices.attempts(conn, one)) == outbox.get(one).attempt_count
        with pytest.raises(Missing):
            notices.resend(conn, add_org(conn, "Other").id, one, later)

    await play(tmp_path, act)


async def test_a_thousand_notices_cost_what_they_must(tmp_path: Path) -> None:
    """The cost of a claim does not grow with what waits: ten times as much may take at most
    thirty times as long, which leaves a noisy machine its share."""

    def drain(conn: Conn, count: int) -> float:
        outbox = Outbox(conn)
        for monitor in outbox.fleet(count):
            outbox.add(monitor)
        began = time.thread_time()
        told = 0
        while notices.next_due(conn, NOW) is not None:
            told += len(outbox.take())
        assert told == count
        return time.thread_time() - began

    def act(conn: Conn) -> None:
        drain(conn, 10)
        few = min(drain(conn, 100), drain(conn, 100))
        assert drain(conn, 1_000) < 30 * few

    await play(tmp_path, act)
