"""Edges: state, span, incident, story, transition and notices agree, whatever happened before."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from netpulse.model.alert import Attempt, Event, Notice, NoticeStatus, Suppressed
from netpulse.model.check import Check, Result
from netpulse.model.edge import Edge, Outcome
from netpulse.model.ids import new_id
from netpulse.model.incident import IncidentStatus, Origin
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.watch import Span, Status, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.storage import (
    alert_rules,
    channels,
    edges,
    incident_list,
    incident_story,
    incidents,
    monitors,
    notices,
    spans,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Missing
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.incidents import AlreadyOver, StillDown
from tests.store import (
    MINUTE,
    NOW,
    SECOND,
    add_channel,
    add_monitor,
    add_org,
    add_rule,
    check,
    open_incidents,
    opened,
    play,
    status_counts,
)

UP, DOWN, SLOW = Result.UP, Result.DOWN, Result.DEGRADED


class Scene:
    """One organization with one monitor, and the engine's part played by hand."""

    def __init__(self, conn: Conn, spec: HttpSpec | None = None) -> None:
        self.conn = conn
        self.org = add_org(conn)
        self.monitor = add_monitor(conn, self.org.id, spec)
        self.at = NOW

    def saw(self, result: Result, after: int = MINUTE) -> Outcome:
        """Let a check come `after` milliseconds later, and record its edge."""
        self.at += after
        seen = check(result, self.at)
        watch, flip = rules.step(self.monitor.spec, self.watch, seen, now=self.at + 50)
        return edges.record(self.conn, Edge(monitor=self.monitor, watch=watch, flip=flip))

    @property
    def watch(self) -> Watch:
        watch = watches.get(self.conn, self.monitor.id)
        assert watch is not None
        return watch

    def lapse(self, after: int = MINUTE) -> Outcome:
        self.at += after
        return edges.lapse(
            self.conn, self.org.id, self.monitor.id, self.at, UnknownReason.STALE, self.at
        )

    def reload(self) -> Monitor:
        found = monitors.get(self.conn, self.org.id, self.monitor.id)
        assert found is not None
        self.monitor = found
        return found

    def spans(self) -> list[tuple[int, Status, str | None]]:
        """Return (milliseconds since NOW, status, reason)."""
        found = spans.between(self.conn, self.monitor.id, NOW, self.at + 1)
        return [(span.at - NOW, span.status, span.reason) for span in found]

    def told(self) -> list[tuple[Event, NoticeStatus, Suppressed | None]]:
        rows = reversed(notices.recent(self.conn, self.org.id, 100))
        return [(row.event, row.status, row.reason or row.held_for) for row in rows]


async def test_an_outage_from_first_failure_to_recovery(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        rule = add_rule(conn, scene.org.id, channel.id)
        assert scene.saw(UP).notice_ids == ()
        first_down = scene.at + MINUTE
        pending = scene.saw(DOWN)
        assert pending.incident is None
        assert scene.watch.downs == 1
        assert scene.watch.first_down_at == first_down
        down = scene.saw(DOWN, 10 * SECOND)

        incident = down.incident
        assert incident is not None
        assert incident.title == "Shop is down: connection refused by 192.0.2.7:443"
        assert incident.status is IncidentStatus.INVESTIGATING
        assert incident.origin is Origin.CHECK
        assert incident.started_at == first_down
        assert incident.failure == "refused"
        assert incident.monitor_ids == (scene.monitor.id,)
        assert scene.watch == down.watch
        assert scene.watch.status is Status.DOWN
        assert scene.watch.since == first_down
        assert scene.watch.incident_id == incident.id
        assert open_incidents(conn, scene.org.id) == 1

        (notice_id,) = down.notice_ids
        notice = notices.get(conn, scene.org.id, notice_id)
        assert notice is not None
        assert (notice.rule_id, notice.channel_id) == (rule.id, channel.id)
        assert msgspec.json.decode(notice.payload) == {
            "id": notice_id,
            "event": "monitor.down",
            "monitor": {
                "id": scene.monitor.id,
                "name": "Shop",
                "type": "http",
                "target": "https://shop.example/",
            },
            "incident": {
                "id": incident.id,
                "started_at": "2026-09-21T14:15:20Z",
                "duration_seconds": 10,
            },
            "org": {"id": scene.org.id, "name": "Acme"},
            "reason": "connection refused by 192.0.2.7:443",
            "timestamp": "2026-09-21T14:15:30.050Z",
        }

        up = scene.saw(UP, 5 * SECOND)
        assert up.incident is not None
        assert up.incident.resolved_at == scene.at
        assert up.incident.resolution == "recovered"
        assert up.incident.version == 2
        assert scene.watch.incident_id is None
        assert open_incidents(conn, scene.org.id) == 0
        assert len(up.notice_ids) == 1
        recovery = notices.get(conn, scene.org.id, up.notice_ids[0])
        assert recovery is not None
        assert recovery.event is Event.MONITOR_UP
        assert msgspec.json.decode(recovery.payload)["incident"]["duration_seconds"] == 15
        assert [notice.event for notice in notices.for_incident(conn, incident.id)] == [
            Event.MONITOR_DOWN,
            Event.MONITOR_UP,
        ]
        assert scene.spans() == [
            (0, Status.PENDING, None),
            (60_000, Status.UP, None),
            (120_000, Status.DOWN, None),
            (135_000, Status.UP, None),
        ]
        story = [
            (line.at - NOW, line.kind, line.message)
            for line in incident_story.timeline(conn, incident.id)
        ]
        assert story == [
            (120_000, "opened", "The first failing check"),
            (
                130_050,
                "confirmed",
                "Confirmed by 2 failing checks in a row: connection refused by 192.0.2.7:443",
            ),
            (135_000, "resolved", "Recovered after 15 s"),
        ]

    await play(tmp_path, act)


async def test_the_transition_carries_check_version_and_region(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn, HttpSpec(name="Shop", target="https://shop.example/", confirmations=1))
        monitors.replace(conn, scene.org.id, scene.monitor.id, scene.monitor.spec, 1, now=scene.at)
        scene.reload()
        outcome = scene.saw(DOWN)
        assert outcome.incident is not None
        (row,) = conn.all(
            "SELECT before, after, at, decided_at, check_json, monitor_version, region,"
            " incident_id, org_id FROM transitions"
        )
        assert row[:4] == ("pending", "down", scene.at, scene.at + 50)
        assert msgspec.json.decode(row[4], type=Check) == check(DOWN, scene.at)
        assert row[5:] == (2, "local", outcome.incident.id, scene.org.id)

    await play(tmp_path, act)


async def test_an_edge_of_the_past_is_dropped(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        scene.saw(UP)
        stale = scene.monitor
        monitors.replace(conn, scene.org.id, stale.id, stale.spec, None, now=scene.at)
        assert scene.saw(DOWN).dropped
        scene.reload()
        assert not scene.saw(DOWN).dropped
        edges.pause(conn, scene.org.id, stale.id, scene.at)
        watch = scene.watch
        assert edges.record(
            conn, Edge(monitor=scene.monitor, watch=replace(watch, downs=1))
        ).dropped
        assert edges.record(conn, Edge(monitor=scene.reload(), watch=watch)).dropped, "paused"
        edges.retire(conn, scene.org.id, stale.id, scene.at)
        assert edges.record(conn, Edge(monitor=stale, watch=watch)).dropped
        made_up = replace(stale, id=new_id(NOW))
        assert edges.record(conn, Edge(monitor=made_up, watch=watch)).dropped
        assert watches.get(conn, stale.id) is None

    await play(tmp_path, act)


async def test_pause_ends_the_incident_and_tells_nobody(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id, "down or up")
        scene.saw(UP)
        scene.saw(DOWN)
        scene.saw(DOWN)
        paused = edges.pause(conn, scene.org.id, scene.monitor.id, scene.at + MINUTE)
        assert paused.incident is not None
        assert paused.incident.resolution == "paused"
        assert paused.incident.resolved_at == scene.at + MINUTE
        assert paused.notice_ids == ()
        assert [event for event, _, _ in scene.told()] == [Event.MONITOR_DOWN]
        assert scene.reload().spec.is_paused
        assert scene.monitor.version == 2
        assert status_counts(conn, scene.org.id) == {Status.PAUSED: 1}
        again = edges.pause(conn, scene.org.id, scene.monitor.id, scene.at + 2 * MINUTE)
        assert again.incident is None
        assert scene.reload().version == 2
        scene.at += 3 * MINUTE
        resumed = edges.resume(conn, scene.org.id, scene.monitor.id, scene.at)
        assert resumed.watch is not None
        assert resumed.watch.status is Status.PENDING
        assert not scene.reload().spec.is_paused
        edges.resume(conn, scene.org.id, scene.monitor.id, scene.at)
        assert scene.reload().version == 3
        assert scene.saw(UP).notice_ids == (), "pending to up is no news"
        assert [(status, reason) for _, status, reason in scene.spans()][-3:] == [
            (Status.PAUSED, UnknownReason.PAUSED),
            (Status.PENDING, None),
            (Status.UP, None),
        ]

    await play(tmp_path, act)


async def test_retiring_keeps_history_and_removes_the_rest(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        rule = add_rule(conn, scene.org.id, channel.id, monitor_id=scene.monitor.id)
        scene.saw(DOWN)
        scene.saw(DOWN)
        gone = edges.retire(conn, scene.org.id, scene.monitor.id, scene.at + SECOND)
        assert gone.incident is not None
        assert gone.incident.resolution == "deleted"
        assert monitors.get(conn, scene.org.id, scene.monitor.id) is None
        assert monitors.load_one(conn, scene.monitor.id) is None
        assert monitors.load_all(conn) == []
        assert status_counts(conn, scene.org.id) == {}
        assert alert_rules.get(conn, scene.org.id, rule.id) is None
        assert monitors.names(conn, scene.org.id, [scene.monitor.id]) == {scene.monitor.id: "Shop"}
        assert incident_list.page(conn, scene.org.id, IncidentFilter()).total == 1
        assert [event for event, _, _ in scene.told()] == [Event.MONITOR_DOWN]
        with pytest.raises(Missing):
            edges.retire(conn, scene.org.id, scene.monitor.id, scene.at)
        with pytest.raises(Missing):
            edges.pause(conn, scene.org.id, scene.monitor.id, scene.at)

    await play(tmp_path, act)


async def test_other_organizations_cannot_touch_it(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        other = add_org(conn, "Other")
        for deed in (edges.pause, edges.resume, edges.retire):
            with pytest.raises(Missing):
                deed(conn, other.id, scene.monitor.id, scene.at)
        with pytest.raises(Missing):
            edges.replace(conn, other.id, scene.monitor.id, scene.monitor.spec, None, scene.at)

    await play(tmp_path, act)


async def test_unknown_time_keeps_the_incident_open(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id)
        scene.saw(DOWN)
        incident = scene.saw(DOWN).incident
        assert incident is not None
        lapsed = scene.lapse()
        assert lapsed.incident is None
        assert scene.watch.status is Status.UNKNOWN
        assert scene.watch.incident_id == incident.id
        back = scene.saw(DOWN)
        assert back.notice_ids == ()
        assert scene.watch.status is Status.DOWN
        last = spans.between(conn, scene.monitor.id, scene.at, scene.at + 1)[-1]
        assert last.incident_id == incident.id
        assert incident_list.page(conn, scene.org.id, IncidentFilter()).total == 1
        scene.lapse()
        assert len(scene.saw(UP).notice_ids) == 1
        assert open_incidents(conn, scene.org.id) == 0

    await play(tmp_path, act)


async def test_resolved_by_hand_while_unknown_and_down_again(tmp_path: Path) -> None:
    """The engine's memory still has the incident; what is on disk decides."""

    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id, cooldown_seconds=0)
        scene.saw(DOWN)
        incident = scene.saw(DOWN).incident
        assert incident is not None
        with pytest.raises(StillDown):
            incidents.patch(
                conn, scene.org.id, incident.id, now=scene.at, status=IncidentStatus.RESOLVED
            )
        scene.lapse()
        memory = scene.watch
        by_hand = incidents.patch(
            conn, scene.org.id, incident.id, now=scene.at, status=IncidentStatus.RESOLVED
        )
        assert by_hand.resolution == "manual"
        with pytest.raises(AlreadyOver):
            incidents.patch(
                conn, scene.org.id, incident.id, now=scene.at, status=IncidentStatus.IDENTIFIED
            )
        scene.at += MINUTE
        watch, flip = rules.step(scene.monitor.spec, memory, check(DOWN, scene.at), now=scene.at)
        outcome = edges.record(conn, Edge(monitor=scene.monitor, watch=watch, flip=flip))
        assert outcome.incident is not None
        assert outcome.incident.id != incident.id
        assert len(outcome.notice_ids) == 1
        assert open_incidents(conn, scene.org.id) == 1

    await play(tmp_path, act)


async def test_a_clock_set_back_never_rewrites_what_lies_before(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        scene.saw(UP)
        began = scene.at
        scene.at -= 60 * MINUTE
        scene.saw(DOWN)
        outcome = scene.saw(DOWN)
        assert outcome.incident is not None
        assert outcome.incident.started_at == began
        assert outcome.watch is not None
        assert outcome.watch.since == began
        scene.at = began
        assert scene.spans() == [(0, Status.PENDING, None), (60_000, Status.DOWN, None)]

    await play(tmp_path, act)


async def test_a_held_problem_that_ends_is_told_to_nobody(tmp_path: Path) -> None:
    """Within the cooldown: problem and recovery are both suppressed, in the recovery's edge."""

    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id, cooldown_seconds=3600)
        scene.saw(DOWN)
        scene.saw(DOWN)
        scene.saw(UP)
        scene.saw(DOWN)
        held = scene.saw(DOWN)
        assert held.incident is not None
        assert held.notice_ids == ()
        assert scene.told()[-1] == (
            Event.MONITOR_DOWN,
            NoticeStatus.PENDING,
            Suppressed.COOLDOWN,
        )
        assert scene.saw(UP).notice_ids == ()
        assert scene.told() == [
            (Event.MONITOR_DOWN, NoticeStatus.PENDING, None),
            (Event.MONITOR_UP, NoticeStatus.PENDING, None),
            (Event.MONITOR_DOWN, NoticeStatus.SUPPRESSED, Suppressed.COOLDOWN),
            (Event.MONITOR_UP, NoticeStatus.SUPPRESSED, Suppressed.COOLDOWN),
        ]

    await play(tmp_path, act)


@pytest.mark.parametrize("wanted", ["down", "down or up"])
async def test_a_recovery_falls_away_with_the_problem_nobody_could_be_told_of(
    tmp_path: Path, wanted: str
) -> None:
    """The receiver refuses the first for good, with the second waiting behind it."""

    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id, wanted, cooldown_seconds=0)
        scene.saw(DOWN)
        (first,) = scene.saw(DOWN).notice_ids
        scene.saw(UP)
        refusal = Attempt(at=scene.at, ok=False, status_code=400)
        notices.failed(conn, first, refusal, "HTTP 400")
        behind = scene.told()[1]
        if wanted == "down":
            assert behind == (Event.MONITOR_UP, NoticeStatus.SUPPRESSED, Suppressed.COLLAPSED)
        else:
            assert behind == (Event.MONITOR_UP, NoticeStatus.PENDING, None), "asked for by itself"
        # The next outage is told whole, though its first attempt fails too.
        scene.saw(DOWN)
        (again,) = scene.saw(DOWN).notice_ids
        notices.retry(conn, again, refusal, scene.at, "HTTP 500")
        scene.saw(UP)
        assert [row[1] for row in scene.told()[2:]] == [NoticeStatus.PENDING] * 2

    await play(tmp_path, act)


async def test_degraded_has_its_recovery_and_no_incident(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        add_rule(conn, scene.org.id, channel.id, "degraded", cooldown_seconds=0)
        scene.saw(UP)
        scene.saw(SLOW)
        slow = scene.saw(SLOW)
        assert slow.incident is None
        assert len(slow.notice_ids) == 1
        up = scene.saw(UP)
        assert len(up.notice_ids) == 1
        for _ in range(2):
            scene.saw(SLOW)
        scene.saw(UP)
        assert [event for event, _, _ in scene.told()] == [
            Event.MONITOR_DEGRADED,
            Event.MONITOR_UP,
            Event.MONITOR_DEGRADED,
            Event.MONITOR_UP,
        ]
        row = notices.get(conn, scene.org.id, up.notice_ids[0])
        assert row is not None
        assert msgspec.json.decode(row.payload)["incident"] is None

    await play(tmp_path, act)


async def test_every_rule_leaves_a_trace(tmp_path: Path) -> None:
    """Two rules of one channel: one notice and a duplicate; an inactive channel: suppressed."""

    def act(conn: Conn) -> None:
        spec = HttpSpec(name="Shop", target="https://shop.example/", tags=("web",))
        scene = Scene(conn, spec)
        one, off = add_channel(conn, scene.org.id), add_channel(conn, scene.org.id, is_active=False)
        add_rule(conn, scene.org.id, one.id, tag="web", at=NOW)
        add_rule(conn, scene.org.id, one.id, monitor_id=scene.monitor.id, at=NOW + 1)
        add_rule(conn, scene.org.id, one.id, tag="mail", at=NOW + 2)
        add_rule(conn, scene.org.id, off.id, at=NOW + 3)
        add_rule(conn, scene.org.id, one.id, is_active=False, at=NOW + 4)
        other = add_org(conn, "Other")
        add_rule(conn, other.id, add_channel(conn, other.id).id)
        scene.saw(DOWN)
        assert len(scene.saw(DOWN).notice_ids) == 1
        assert scene.told() == [
            (Event.MONITOR_DOWN, NoticeStatus.PENDING, None),
            (Event.MONITOR_DOWN, NoticeStatus.SUPPRESSED, Suppressed.DUPLICATE),
            (Event.MONITOR_DOWN, NoticeStatus.SUPPRESSED, Suppressed.CHANNEL_INACTIVE),
        ]
        assert notices.recent(conn, other.id) == []

    await play(tmp_path, act)


async def test_a_rule_that_cannot_be_read_keeps_no_edge_from_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A condition of a newer version, or one written by hand, must not hide an outage."""

    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        broken = add_rule(conn, scene.org.id, channel.id, "moon_phase > 3 and")
        add_rule(conn, scene.org.id, channel.id, at=NOW + 1)
        scene.saw(DOWN)
        assert len(scene.saw(DOWN).notice_ids) == 1
        assert scene.watch.status is Status.DOWN
        assert scene.told() == [(Event.MONITOR_DOWN, NoticeStatus.PENDING, None)]
        assert broken.id in caplog.text

    await play(tmp_path, act)


async def test_an_edge_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        scene_box: list[Scene] = []
        await db.write(lambda conn: scene_box.append(Scene(conn)))
        scene = scene_box[0]

        def half(conn: Conn) -> None:
            scene.conn = conn
            scene.saw(DOWN)
            scene.saw(DOWN)
            raise LookupError("after the edge")

        with pytest.raises(LookupError):
            await db.write(half)

        def look(conn: Conn) -> tuple[object, ...]:
            return (
                watches.get(conn, scene.monitor.id),
                open_incidents(conn, scene.org.id),
                conn.all("SELECT 1 FROM transitions"),
                spans.between(conn, scene.monitor.id, NOW, NOW + 1),
            )

        assert await db.read(look) == (
            Watch(status=Status.PENDING, since=NOW),
            0,
            [],
            [Span(at=NOW, status=Status.PENDING)],
        )


async def test_replace_pauses_and_resumes(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        scene.saw(DOWN)
        scene.saw(DOWN)
        spec = replace(scene.monitor.spec, is_paused=True, name="Store")
        stored, outcome = edges.replace(conn, scene.org.id, scene.monitor.id, spec, 1, scene.at)
        assert stored.spec == spec
        assert outcome.incident is not None
        assert outcome.incident.resolution == "paused"
        spec = replace(spec, is_paused=False)
        stored, outcome = edges.replace(conn, scene.org.id, stored.id, spec, None, scene.at)
        assert stored.spec == spec
        assert outcome.watch is not None
        assert outcome.watch.status is Status.PENDING

    await play(tmp_path, act)


async def test_a_new_configuration_begins_its_confirmations_anew(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        scene.saw(DOWN)
        monitors.replace(conn, scene.org.id, scene.monitor.id, scene.monitor.spec, 1, now=scene.at)
        scene.reload()
        assert scene.watch.downs == 0
        assert scene.saw(DOWN).incident is None
        assert scene.saw(DOWN).incident is not None

    await play(tmp_path, act)


async def test_a_long_reason_makes_a_title_that_still_fits(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        spec = HttpSpec(name="S" * 200, target="https://shop.example/", confirmations=1)
        scene = Scene(conn, spec)
        seen = replace(check(DOWN, scene.at), message="x" * 500)
        watch, flip = rules.step(spec, scene.watch, seen, now=scene.at)
        outcome = edges.record(conn, Edge(monitor=scene.monitor, watch=watch, flip=flip))
        assert outcome.incident is not None
        assert len(outcome.incident.title) == 300
        assert outcome.incident.title.endswith("x…")
        assert outcome.incident.reason == "x" * 500

    await play(tmp_path, act)


async def test_a_thousand_edges_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:

        def fill(conn: Conn) -> list[Monitor]:
            org = add_org(conn)
            add_rule(conn, org.id, add_channel(conn, org.id).id)
            spec = HttpSpec(name="Shop", target="https://shop.example/", confirmations=1)
            return [add_monitor(conn, org.id, spec) for _ in range(1000)]

        fleet = await db.write(fill)
        seen = check(DOWN, NOW + MINUTE)

        async def fall(monitor: Monitor) -> Outcome:
            watch = Watch(status=Status.PENDING, since=NOW)
            after, flip = rules.step(monitor.spec, watch, seen, now=NOW + MINUTE)
            return await db.write(edges.record, Edge(monitor=monitor, watch=after, flip=flip))

        start = time.perf_counter()
        outcomes = await asyncio.gather(*map(fall, fleet))
        seconds = time.perf_counter() - start
        assert all(outcome.incident and outcome.notice_ids for outcome in outcomes)
        # Some 0.35 s on two idle cores; this only catches a lost index.
        assert seconds < 5


async def test_pending_notices_of_a_channel_switched_off(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        scene = Scene(conn)
        channel = add_channel(conn, scene.org.id)
        rule = add_rule(conn, scene.org.id, channel.id)
        scene.saw(DOWN)
        scene.saw(DOWN)
        channels.replace(conn, replace(channel, is_active=False), now=scene.at)
        expected = (Event.MONITOR_DOWN, NoticeStatus.SUPPRESSED, Suppressed.CHANNEL_INACTIVE)
        assert scene.told() == [expected]
        channels.delete(conn, scene.org.id, channel.id, now=scene.at)
        assert alert_rules.get(conn, scene.org.id, rule.id) is None
        found: list[Notice] = notices.recent(conn, scene.org.id)
        assert len(found) == 1, "what was told can still be read"

    await play(tmp_path, act)
