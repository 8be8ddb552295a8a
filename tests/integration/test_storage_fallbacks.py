"""Fallback channels, and channels that are switched off because they refuse for good."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from netpulse.model.alert import Cause, Event, NoticeStatus, Rule, Suppressed
from netpulse.model.channel import Channel
from netpulse.model.check import Result
from netpulse.model.edge import Edge
from netpulse.model.time import Millis
from netpulse.rules import incidents as incident_rules
from netpulse.storage import (
    alert_rules,
    audit,
    channels,
    claims,
    edges,
    incident_story,
    keyless,
    notices,
    watches,
)
from netpulse.storage.conn import Conn
from tests.outbox import BAD, OK, Outbox
from tests.store import MINUTE, NOW, SECOND, add_channel, add_rule, check, play


class Safe(Outbox):
    """An outbox whose rule has a fallback channel."""

    def __init__(self, conn: Conn) -> None:
        super().__init__(conn)
        self.spare = add_channel(conn, self.org.id, "Spare")
        rule = add_rule(conn, self.org.id, self.channel.id)
        self.rule: Rule = alert_rules.replace(
            conn, replace(rule, fallback_channel_id=self.spare.id), now=NOW
        )

    def told(self, event: Event = Event.MONITOR_DOWN, **about: object) -> str:
        """Write a notice of the rule, with the fallback that its writer gives it."""
        due = about.get("due", about.get("at", NOW))
        assert isinstance(due, int)
        return self.add(
            self.shop,
            event=event,
            rule_id=self.rule.id,
            fallback_at=due + 5 * MINUTE,
            **about,  # type: ignore[arg-type]
        )


def shown(conn: Conn, outbox: Outbox, channel: Channel) -> Channel:
    found = channels.get(conn, outbox.org.id, channel.id)
    assert found is not None
    return found


async def test_after_five_minutes_another_channel_is_told(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        incident = outbox.incident(outbox.shop)
        down = outbox.told(incident_id=incident.id, transition_id="t")
        outbox.refuse(now=NOW, again_at=NOW + 15 * MINUTE)
        assert notices.next_due(conn, NOW) == NOW + 5 * MINUTE
        assert outbox.claim(now=NOW + 5 * MINUTE - 1) == []
        ((spare,),) = outbox.take(now=NOW + 5 * MINUTE)
        told = outbox.get(spare)
        assert (told.channel_id, told.cause, told.fallback_of) == (
            outbox.spare.id,
            Cause.FALLBACK,
            down,
        )
        assert msgspec.json.decode(told.payload)["id"] == spare
        assert outbox.take(now=NOW + 15 * MINUTE) == [[down]], "and nobody is told twice"
        assert len(outbox.of(outbox.spare)) == 1
        assert [line.message for line in incident_story.timeline(conn, incident.id)] == [
            "Told Spare in place of Ops: Shop is down",
            "Told Ops: Shop is down (delayed 15 min)",
        ]

    await play(tmp_path, act)


async def test_who_could_not_be_tried_without_the_key_has_five_minutes_from_its_return(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        later = NOW + 60 * MINUTE
        down = outbox.told()
        keyless.end(conn, later)
        assert outbox.take(now=later) == [[down]]
        assert outbox.of(outbox.spare) == []
        # One that was tried before the key was lost, and is not taken, has had its time.
        outbox.told(at=later)
        outbox.refuse(now=later, again_at=later + 90 * MINUTE)
        keyless.end(conn, later + 60 * MINUTE)
        assert len(outbox.take(now=later + 60 * MINUTE)) == 1
        assert len(outbox.of(outbox.spare)) == 1

    await play(tmp_path, act)


async def test_what_was_delivered_or_suppressed_needs_no_other_channel(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        outbox.told()
        outbox.take()
        notices.suppress(conn, outbox.told(at=NOW + 1), Suppressed.MAINTENANCE)
        assert notices.next_due(conn, NOW) is None
        assert outbox.claim(now=NOW + 60 * MINUTE) == []
        assert outbox.of(outbox.spare) == []

    await play(tmp_path, act)


async def test_refused_for_good_it_is_told_at_once(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        down = outbox.told()
        up = outbox.told(Event.MONITOR_UP, at=NOW + 1)
        outbox.claim()
        notices.failed(conn, down, BAD, "HTTP 400")
        assert outbox.get(up).reason is Suppressed.COLLAPSED, "who heard nothing hears no end"
        assert [(one.event, one.fallback_of) for one in outbox.of(outbox.spare)] == [
            (Event.MONITOR_DOWN, down),
            (Event.MONITOR_UP, up),
        ]

    await play(tmp_path, act)


async def test_a_held_notice_counts_from_its_release(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        held = outbox.told(held_for=Suppressed.QUIET_HOURS, due=NOW + 60 * MINUTE)
        conn.execute("UPDATE alert_events SET fallback_at = ?", (NOW + 5 * MINUTE,))
        assert notices.next_due(conn, NOW) == NOW + 60 * MINUTE
        assert outbox.claim(now=NOW + 10 * MINUTE) == []
        free = NOW + 60 * MINUTE
        conn.execute(
            "UPDATE alert_events SET held_for = NULL, due_at = ?1, next_attempt_at = ?1", (free,)
        )
        assert outbox.refuse(now=free, again_at=free + 15 * MINUTE) == [[held]]
        assert notices.next_due(conn, free) == free + 5 * MINUTE
        assert len(outbox.take(now=free + 5 * MINUTE)) == 1

    await play(tmp_path, act)


async def test_a_channel_that_was_told_already_is_told_no_second_time(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        outbox.told(transition_id="t")
        own = outbox.add(outbox.shop, channel=outbox.spare, transition_id="t")
        outbox.refuse(now=NOW, again_at=NOW + MINUTE)
        outbox.claim(now=NOW + 5 * MINUTE)
        first, second = outbox.of(outbox.spare)
        assert first.id == own
        assert second.reason is Suppressed.DUPLICATE

    await play(tmp_path, act)


async def test_a_fallback_that_is_switched_off_is_recorded(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        channels.replace(conn, replace(outbox.spare, is_active=False), now=NOW)
        down = outbox.told()
        outbox.claim()
        notices.failed(conn, down, BAD, "HTTP 400")
        (one,) = outbox.of(outbox.spare)
        assert one.reason is Suppressed.CHANNEL_INACTIVE

    await play(tmp_path, act)


async def test_a_damaged_channel_has_its_fallback_told_at_once(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        conn.execute("UPDATE alert_channels SET config = x'00' WHERE id = ?", (outbox.channel.id,))
        down = outbox.told()
        outbox.claim()
        (one,) = outbox.of(outbox.spare)
        assert one.fallback_of == down
        assert outbox.get(down).status is NoticeStatus.PENDING

    await play(tmp_path, act)


async def test_a_refusal_of_the_channel_itself_switches_it_off(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        add_rule(conn, outbox.org.id, outbox.channel.id, "system")
        first = outbox.told()
        others = [outbox.add(monitor) for monitor in outbox.fleet(3)]
        second = outbox.told(at=NOW + 1)
        outbox.claim()
        notices.failed(conn, first, BAD, "HTTP 410")
        assert notices.refused(conn, outbox.channel.id, "HTTP 410", NOW, disables=True)
        channel = shown(conn, outbox, outbox.channel)
        assert (channel.is_active, channel.disabled_at, channel.disabled_reason) == (
            False,
            NOW,
            "HTTP 410",
        )
        assert channel.version == outbox.channel.version + 1
        for one in (*others, second):
            assert outbox.get(one).reason is Suppressed.CHANNEL_INACTIVE
        # The rules' fallback channel gets what would be lost, and the word that it was.
        told = outbox.of(outbox.spare)
        assert [one.fallback_of for one in told] == [first, second, None]
        assert told[2].event is Event.CHANNEL_DISABLED
        assert told[2].cause is Cause.SYSTEM
        said = msgspec.json.decode(told[2].payload)["reason"]
        assert said == "The channel Ops was switched off: HTTP 410"
        (row,) = audit.page(conn, outbox.org.id).rows
        assert (row.action, row.actor_kind, row.resource_id) == (
            "alert_channel.disabled",
            "system",
            outbox.channel.id,
        )
        assert not notices.refused(conn, outbox.channel.id, "HTTP 410", NOW, disables=True)
        # What was on its way when it happened may still have arrived.
        notices.sent(conn, others[0], OK, NOW)
        assert outbox.get(others[0]).status is NoticeStatus.SENT
        again = channels.replace(conn, replace(channel, is_active=True), now=NOW + 1)
        assert (again.disabled_at, again.disabled_reason) == (None, None)
        assert shown(conn, outbox, outbox.channel) == again

    await play(tmp_path, act)


async def test_five_refusals_in_a_row_switch_a_channel_off(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        system = add_channel(conn, outbox.org.id, "System")
        add_channel(conn, outbox.org.id, "Another")
        add_rule(conn, outbox.org.id, system.id, "system")

        def refusals(count: int) -> list[bool]:
            return [
                notices.refused(conn, outbox.channel.id, "HTTP 400", NOW, disables=False)
                for _ in range(count)
            ]

        assert refusals(4) == [False] * 4
        outbox.add(outbox.shop)
        outbox.take()
        assert refusals(5) == [False] * 4 + [True]
        assert shown(conn, outbox, outbox.channel).disabled_reason == (
            "5 notices in a row were refused, the last one: HTTP 400"
        )
        disabled = [
            one.channel_id
            for one in notices.recent(conn, outbox.org.id)
            if one.event is Event.CHANNEL_DISABLED
        ]
        assert disabled == [system.id]

    await play(tmp_path, act)


async def test_without_rule_or_fallback_the_oldest_other_channel_hears_of_it(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        outbox = Outbox(conn)
        notices.refused(conn, outbox.channel.id, "HTTP 410", NOW, disables=True)
        assert notices.recent(conn, outbox.org.id) == [], "there is nobody to tell"
        channels.replace(conn, replace(outbox.channel, is_active=True), now=NOW)
        add_channel(conn, outbox.org.id, "Off", is_active=False)
        first, second = (add_channel(conn, outbox.org.id, name) for name in ("B", "A"))
        conn.execute(
            "UPDATE alert_channels SET created_at = ? WHERE id = ?", (NOW - SECOND, second.id)
        )
        notices.refused(conn, outbox.channel.id, "HTTP 410", NOW, disables=True)
        (one,) = notices.recent(conn, outbox.org.id)
        assert one.channel_id == second.id != first.id

    await play(tmp_path, act)


async def test_a_clock_that_was_set_back_delays_no_fallback(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        outbox.told()
        outbox.refuse(now=NOW, again_at=NOW + 15 * MINUTE)
        hour = 60 * MINUTE
        claims.turn_back(conn, hour)
        assert notices.next_due(conn, NOW - hour) == NOW - hour + 5 * MINUTE
        assert len(outbox.take(now=NOW - hour + 5 * MINUTE)) == 1

    await play(tmp_path, act)


async def test_while_a_channel_is_switched_off_its_rules_speak_through_their_fallback(
    tmp_path: Path,
) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        assert notices.refused(conn, outbox.channel.id, "HTTP 410", NOW, disables=True)
        assert not shown(conn, outbox, outbox.channel).is_active
        before = len(outbox.of(outbox.spare))
        flip(conn, outbox, Result.UP, NOW + MINUTE)
        flip(conn, outbox, Result.DOWN, NOW + 2 * MINUTE)
        # Somebody mends it in the middle: whoever heard of the problem hears of its end.
        channel = shown(conn, outbox, outbox.channel)
        channels.replace(conn, replace(channel, is_active=True), now=NOW + 3 * MINUTE)
        flip(conn, outbox, Result.UP, NOW + 20 * MINUTE)
        told = outbox.of(outbox.spare)[before:]
        assert [(one.event, one.status) for one in told] == [
            (Event.MONITOR_DOWN, NoticeStatus.PENDING),
            (Event.MONITOR_UP, NoticeStatus.PENDING),
        ]

    await play(tmp_path, act)


async def test_whoever_switches_a_channel_off_wants_silence(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        outbox = Safe(conn)
        channels.replace(conn, replace(outbox.channel, is_active=False), now=NOW)
        flip(conn, outbox, Result.UP, NOW + MINUTE)
        flip(conn, outbox, Result.DOWN, NOW + 2 * MINUTE)
        assert outbox.of(outbox.spare) == []
        (told,) = outbox.of(outbox.channel)
        assert told.reason is Suppressed.CHANNEL_INACTIVE

    await play(tmp_path, act)


def flip(conn: Conn, outbox: Outbox, result: Result, at: Millis) -> None:
    """Let checks of the shop confirm a state."""
    monitor = outbox.shop
    for number in range(monitor.spec.confirmations):
        watch = watches.get(conn, monitor.id)
        assert watch is not None
        found = check(result, at + number * SECOND)
        after, flipped = incident_rules.step(monitor.spec, watch, found, now=found.started_at)
        edges.record(conn, Edge(monitor=monitor, watch=after, flip=flipped))
