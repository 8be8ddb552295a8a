"""Whatever a monitor goes through, all that is written about it agrees."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpulse.crypto.vault import Vault
from netpulse.model.alert import Attempt, Event, Notice, NoticeStatus
from netpulse.model.check import Result
from netpulse.model.edge import Edge
from netpulse.model.incident import IncidentStatus
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.watch import Status, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.storage import edges, incident_list, incidents, monitors, notices, spans, watches
from netpulse.storage.adapter import wrapped
from netpulse.storage.conn import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.incidents import StillDown
from netpulse.storage.migrations import migrations
from tests.store import MASTER, NOW, SECOND, add_channel, add_monitor, add_org, add_rule, check

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            "up up down down down down degraded degraded inconclusive lapse lapse lapse pause resume"
            " replace send fail resolve resolve resolve".split()
        ),
        # Mostly forward, sometimes a clock that is set back.
        st.sampled_from([10, 10, 60, 400, -30]),
    ),
    min_size=25,
    max_size=60,
)
SPECS = st.builds(
    HttpSpec,
    name=st.just("Shop"),
    target=st.just("https://shop.example/"),
    confirmations=st.integers(1, 3),
    recoveries=st.integers(1, 2),
)
RULES = st.lists(
    st.tuples(
        st.sampled_from(["down", "down or degraded", "up", "degraded", "down or up"]),
        st.sampled_from([0, 300]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def conn() -> Iterator[Conn]:
    """A main file of its own, used by one thread; every example has its own organization."""
    with tempfile.TemporaryDirectory() as folder:
        raw = apsw.Connection(str(Path(folder) / "netpulse.db"))
        raw.execute("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON").fetchall()
        migrations().apply(wrapped(raw))
        yield Conn(raw, Vault(MASTER))
        raw.close()


class Life:
    """One monitor, and the engine's part."""

    def __init__(self, conn: Conn, spec: HttpSpec) -> None:
        self.conn = conn
        self.org = add_org(conn)
        self.monitor: Monitor = add_monitor(conn, self.org.id, spec)
        self.at = NOW
        self.latest = NOW
        self.memory: Watch = self.stored()

    def stored(self) -> Watch:
        found = watches.get(self.conn, self.monitor.id)
        assert found is not None
        return found

    def act(self, deed: str, seconds: int) -> None:
        self.at += seconds * SECOND
        self.latest = max(self.latest, self.at)
        if deed in {"send", "fail"}:
            self.settle(deed)
            return
        if deed == "resolve":
            self.resolve()
            return
        org_id, monitor_id = self.org.id, self.monitor.id
        if deed == "pause":
            edges.pause(self.conn, org_id, monitor_id, self.at)
        elif deed == "resume":
            edges.resume(self.conn, org_id, monitor_id, self.at)
        elif deed == "replace":
            spec = self.monitor.spec
            monitors.replace(self.conn, org_id, monitor_id, spec, None, now=self.at)
        else:
            self.check(deed)
            return
        found = monitors.get(self.conn, org_id, monitor_id)
        assert found is not None
        self.monitor, self.memory = found, self.stored()

    def check(self, deed: str) -> None:
        if deed == "lapse":
            reason = UnknownReason.STALE
            watch, flip = rules.lapse(self.memory, self.at, reason, now=self.at)
        else:
            seen = check(Result(deed), self.at)
            watch, flip = rules.step(self.monitor.spec, self.memory, seen, now=self.at)
        if flip is None and not rules.worth_saving(self.memory, watch):
            self.memory = watch
            return
        outcome = edges.record(self.conn, Edge(monitor=self.monitor, watch=watch, flip=flip))
        if outcome.dropped:
            assert self.monitor.spec.is_paused
        else:
            assert outcome.watch is not None
            self.memory = outcome.watch

    def resolve(self) -> None:
        """A person resolves the open incident, and the engine hears nothing of it."""
        for incident in incident_list.page(
            self.conn, self.org.id, IncidentFilter(is_open=True)
        ).rows:
            with contextlib.suppress(StillDown):
                resolved = IncidentStatus.RESOLVED
                incidents.patch(self.conn, self.org.id, incident.id, now=self.at, status=resolved)

    def settle(self, deed: str) -> None:
        ok = deed == "send"
        attempt = Attempt(at=self.at, ok=ok)
        for claim in notices.claim(self.conn, "w", self.at, limit=9, lease_ms=SECOND):
            if ok:
                notices.sent(self.conn, claim.notice.id, attempt, self.at)
            else:
                notices.failed(self.conn, claim.notice.id, attempt, "no")

    def agrees(self) -> None:
        """Check all that must hold between two steps."""
        watch = self.stored()
        kept = spans.between(self.conn, self.monitor.id, 0, self.latest + 1)
        assert kept[0].at == NOW
        assert all(a.at < b.at for a, b in pairwise(kept))
        assert (kept[-1].status, kept[-1].at) == (watch.status, watch.since)
        assert watch.status is not Status.PAUSED or self.monitor.spec.is_paused
        rows = self.conn.all(
            "SELECT before, after, at FROM transitions WHERE monitor_id = ? ORDER BY seq",
            (self.monitor.id,),
        )
        before = Status.PENDING
        for row in rows:
            assert row[0] == before
            assert row[1] != row[0], "flips alternate"
            before = Status(row[1])
        assert before is watch.status

        found = incident_list.page(self.conn, self.org.id, IncidentFilter(), limit=100).rows
        still_open = [incident for incident in found if incident.resolved_at is None]
        assert len(still_open) <= 1
        assert watch.incident_id == (still_open[0].id if still_open else None)
        if still_open:
            assert watch.settled is Status.DOWN
        assert still_open or watch.status is not Status.DOWN
        for incident in found:
            assert incident.resolved_at is None or incident.resolved_at >= incident.started_at
        self.notices_agree()

    def notices_agree(self) -> None:
        told: list[Notice] = list(reversed(notices.recent(self.conn, self.org.id, 1000)))
        for incident_id in {one.incident_id for one in told if one.incident_id is not None}:
            about = [one for one in told if one.incident_id == incident_id]
            for channel_id in {one.channel_id for one in about}:
                mine = [one for one in about if one.channel_id == channel_id]
                live = [one for one in mine if one.status is not NoticeStatus.SUPPRESSED]
                events = [one.event for one in live]
                assert events.count(Event.MONITOR_DOWN) <= 1, "one notice an incident and channel"
                assert events.count(Event.MONITOR_UP) <= 1
                if events == [Event.MONITOR_UP]:
                    assert self.asked_for_up
        for one in told:
            assert (one.status is NoticeStatus.SUPPRESSED) == (one.reason is not None)
            assert (one.status is NoticeStatus.PENDING) == (one.next_attempt_at is not None)

    asked_for_up = False


@given(spec=SPECS, wanted=RULES, steps=STEPS)
@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_agrees_after_every_step(
    conn: Conn, spec: HttpSpec, wanted: list[tuple[str, int, bool]], steps: list[tuple[str, int]]
) -> None:
    conn.execute("BEGIN")
    try:
        life = Life(conn, spec)
        channel = add_channel(conn, life.org.id)
        for number, (condition, cooldown, recovery) in enumerate(wanted):
            add_rule(
                conn,
                life.org.id,
                channel.id,
                condition,
                cooldown_seconds=cooldown,
                notify_recovery=recovery,
                at=NOW + number,
            )
            # A degraded that went down and came back up has its recovery in that outage.
            life.asked_for_up |= "up" in condition or "degraded" in condition
        for deed, seconds in steps:
            life.act(deed, seconds)
            life.agrees()
    finally:
        conn.execute("ROLLBACK")
