"""Channels that people read: storms become digests, and pairs nobody heard of one message."""

from __future__ import annotations

from pathlib import Path

from netpulse.model.alert import Event, NoticeStatus, Suppressed
from netpulse.model.channel import Channel
from netpulse.storage import incident_story, notices
from netpulse.storage.conn import Conn
from tests.outbox import BAD, OK, Outbox
from tests.store import MINUTE, NOW, SECOND, play

WINDOW = 30 * SECOND


def storm(outbox: Outbox, count: int) -> tuple[Channel, list[str]]:
    """Have so many monitors fail at once on a channel that people read."""
    chat = outbox.people()
    return chat, [outbox.add(monitor, channel=chat) for monitor in outbox.fleet(count)]


async def test_a_storm_is_five_messages_and_a_digest(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat, ids = storm(outbox, 1_000)
        assert outbox.take() == [[one] for one in ids[:5]]
        assert notices.next_due(conn, NOW) == NOW + WINDOW
        assert outbox.take(now=NOW + WINDOW - 1) == []
        late = outbox.add(outbox.shop, channel=chat, at=NOW + 20 * SECOND)
        assert outbox.take(now=NOW + WINDOW) == [[*ids[5:], late]]
        assert {outbox.get(one).digest_id for one in ids[5:]} == {ids[5]}
        assert {outbox.get(one).status for one in ids} == {NoticeStatus.SENT}
        # The window after it gathers too; one that ends with nothing in it ends the storm.
        more = outbox.add(outbox.shop, channel=chat, at=NOW + WINDOW + 1)
        other = outbox.add(outbox.mail, channel=chat, at=NOW + WINDOW + 2)
        assert notices.next_due(conn, NOW + WINDOW + 1) == NOW + 2 * WINDOW
        assert outbox.take(now=NOW + 2 * WINDOW - 1) == []
        assert outbox.take(now=NOW + 2 * WINDOW) == [[more, other]]
        quiet = NOW + 3 * WINDOW + 1
        calm = [outbox.add(m, channel=chat, at=quiet) for m in (outbox.shop, outbox.mail)]
        assert outbox.take(now=quiet) == [[one] for one in calm]

    await play(tmp_path, act)


async def test_machines_get_every_edge_singly(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        ids = [outbox.add(monitor) for monitor in outbox.fleet(12)]
        ids.append(outbox.add(outbox.shop))
        up = outbox.add(outbox.shop, event=Event.MONITOR_UP)
        assert outbox.take() == [[one] for one in ids]
        assert outbox.take() == [[up]]

    await play(tmp_path, act)


async def test_four_in_half_a_minute_are_no_storm(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat = outbox.people()
        for number, monitor in enumerate(outbox.fleet(30)):
            at = NOW + number * 8 * SECOND
            one = outbox.add(monitor, channel=chat, at=at)
            assert outbox.take(now=at) == [[one]]

    await play(tmp_path, act)


async def test_a_digest_stays_what_it_is_until_it_was_taken(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat, ids = storm(outbox, 12)
        outbox.take()
        at = NOW + WINDOW
        (claim,) = outbox.claims(now=at)
        assert claim.id == ids[5]
        assert len(claim.lanes) == 7
        # The process dies in the middle of it, and the next one claims the same.
        assert outbox.claims(now=at) == []
        notices.release_claims(conn, None)
        late = outbox.add(outbox.shop, channel=chat, at=at)
        behind = outbox.add(outbox.fleet(1)[0], channel=chat, at=at)
        (again,) = outbox.claims(now=at + SECOND)
        assert again.id == claim.id
        assert [one.id for one in again.notices] == ids[5:]
        for notice in again.notices:
            notices.retry(conn, notice.id, BAD, at + 10 * SECOND, "oops")
        assert notices.next_due(conn, at + 2 * SECOND) == at + 10 * SECOND
        assert outbox.take(now=at + 10 * SECOND) == [ids[5:]]
        assert outbox.take(now=at + WINDOW) == [[late, behind]]
        assert outbox.get(late).digest_id == late

    await play(tmp_path, act)


async def test_windows_grow_while_nothing_is_taken(tmp_path: Path) -> None:
    """An hour without the far side, with something new every second: a few messages, not 120."""

    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat = outbox.people()
        written = 0
        for second in range(0, 3_600, 5):
            now = NOW + second * SECOND
            for monitor in outbox.fleet(1):
                outbox.add(monitor, channel=chat, at=now)
                written += 1
            outbox.refuse(now=now, again_at=now + 15 * MINUTE)
        back = NOW + 75 * MINUTE
        messages = []
        for _ in range(3):
            messages += outbox.take(now=back)
            back += 15 * MINUTE
        assert sum(len(one) for one in messages) == written
        assert len(messages) < 5 + 10
        assert notices.next_due(conn, back) is None

    await play(tmp_path, act)


async def test_a_digest_waits_for_what_is_being_sent(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        _, ids = storm(outbox, 8)
        assert outbox.claim() == ids[:5]
        at = NOW + WINDOW
        busy = {(outbox.get(ids[6]).channel_id, outbox.get(ids[6]).monitor_id)}
        (claim,) = outbox.claims(now=at, busy=busy)
        assert [one.id for one in claim.notices] == [ids[5], ids[7]]

    await play(tmp_path, act)


async def test_a_pair_nobody_heard_of_is_one_message(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat = outbox.people()
        incident = outbox.incident(outbox.shop)
        about = {"channel": chat, "incident_id": incident.id}
        slow = outbox.add(outbox.shop, event=Event.MONITOR_DEGRADED, channel=chat)
        down = outbox.add(outbox.shop, **about)  # type: ignore[arg-type]
        assert outbox.refuse(now=NOW, again_at=NOW + MINUTE) == [[slow]]
        up = outbox.add(outbox.shop, event=Event.MONITOR_UP, **about)  # type: ignore[arg-type]
        assert outbox.take(now=NOW + MINUTE) == [[up]]
        for untold in (slow, down):
            assert outbox.get(untold).status is NoticeStatus.SUPPRESSED
            assert outbox.get(untold).reason is Suppressed.COLLAPSED
        assert [line.message for line in incident_story.timeline(conn, incident.id)] == [
            "Told Chat: Shop is up again (delayed 1 min)"
        ]

    await play(tmp_path, act)


async def test_what_is_on_its_way_is_not_taken_back(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat = outbox.people()
        down = outbox.add(outbox.shop, channel=chat)
        assert outbox.claim() == [down]
        up = outbox.add(outbox.shop, event=Event.MONITOR_UP, channel=chat)
        assert outbox.claim() == []
        notices.sent(conn, down, OK, NOW)
        assert outbox.claim() == [up]
        notices.sent(conn, up, OK, NOW)
        # Told once more, and undelivered: then they are a pair again.
        notices.resend(conn, outbox.org.id, down, NOW)
        notices.resend(conn, outbox.org.id, up, NOW)
        assert outbox.claim() == [up]

    await play(tmp_path, act)


async def test_a_digest_loses_what_is_over_and_its_recovery_says_so(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat = outbox.people()
        fleet = outbox.fleet(9)
        ids = [outbox.add(monitor, channel=chat) for monitor in fleet]
        outbox.take()
        at = NOW + WINDOW
        assert outbox.refuse(now=at, again_at=at + MINUTE) == [ids[5:]]
        up = outbox.add(fleet[6], channel=chat, event=Event.MONITOR_UP, at=at + SECOND)
        at += MINUTE
        assert outbox.take(now=at) == [[ids[5], *ids[7:]], [up]]

    await play(tmp_path, act)


async def test_the_story_says_what_was_told_in_a_digest(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat, _ = storm(outbox, 6)
        incident = outbox.incident(outbox.shop)
        outbox.add(outbox.shop, channel=chat, incident_id=incident.id)
        outbox.take()
        outbox.take(now=NOW + WINDOW)
        (line,) = incident_story.timeline(conn, incident.id)
        assert line.message == "Told Chat in a digest: Shop is down"

    await play(tmp_path, act)


async def test_a_clock_that_was_set_back_silences_nobody(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat, _ = storm(outbox, 8)
        outbox.take()
        earlier = NOW - 60 * MINUTE
        news = outbox.add(outbox.shop, channel=chat, at=earlier)
        assert notices.next_due(conn, earlier) == earlier
        assert outbox.take(now=earlier) == [[news]]

    await play(tmp_path, act)


async def test_a_digest_for_a_configuration_that_does_not_open_waits_like_the_rest(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        chat, ids = storm(outbox, 10)
        for at in (NOW, NOW + WINDOW):
            for claimed in notices.claim(conn, "one", at, limit=20, lease_ms=MINUTE):
                for one in claimed.notices:
                    notices.retry(conn, one.id, BAD, at + MINUTE, "no answer")
        assert len([one for one in ids if outbox.get(one).digest_id]) == 5
        conn.execute("UPDATE alert_channels SET config = x'00' WHERE id = ?", (chat.id,))
        later = NOW + 10 * MINUTE
        assert notices.claim(conn, "one", later, limit=20, lease_ms=MINUTE) == []
        due = notices.next_due(conn, later)
        assert due is not None
        assert due > later
        assert {outbox.get(one).attempt_count for one in ids} == {2}

    await play(tmp_path, act)
