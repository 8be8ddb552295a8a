"""The part of engine and dispatcher that alerts need, by hand and without a clock.

    alarms = Alarms(conn)
    shop = alarms.monitor("Shop")
    alarms.rule(alarms.people("Chat"), condition="down")
    alarms.saw(shop, DOWN)
    alarms.wait(MINUTE)
    assert alarms.told() == ["Chat: monitor.down"]

Time passes in steps: at each the held notices and the timers that are due are looked at, and what
is due is delivered.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from netpulse.model.alert import Attempt, Considered, Notice, NoticeStatus, Rule
from netpulse.model.channel import Channel, NtfyConfig
from netpulse.model.check import Result
from netpulse.model.edge import Edge, Outcome
from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Incident
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.watch import UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.storage import (
    acknowledging,
    alert_rules,
    channels,
    edges,
    held,
    incidents,
    notices,
    settling,
    timers,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.parents import Heard
from tests.store import NOW, add_channel, add_monitor, add_org, check, play

UP, DOWN, SLOW = Result.UP, Result.DOWN, Result.DEGRADED


class Alarms:
    """An organization, its monitors, and what its channels heard."""

    def __init__(self, conn: Conn, at: Millis = NOW) -> None:
        self.conn = conn
        self.at = at
        self.org = add_org(conn)
        self.channels: dict[Id, str] = {}
        self.rules = 0

    def monitor(self, name: str = "Shop", **fields: Any) -> Monitor:
        """Add a monitor that is down at its first failing check, and up at the first good one."""
        fields = {"confirmations": 1, "target": f"https://{name.lower()}.example/"} | fields
        spec = HttpSpec(name=name, **fields)
        monitor = add_monitor(self.conn, self.org.id, spec, self.at)
        self.saw(monitor, UP, 0)
        return monitor

    def people(self, name: str = "Chat") -> Channel:
        """Add a channel that people read."""
        config = NtfyConfig(url="https://ntfy.example", topic=name)
        stored = channels.insert(
            self.conn,
            Channel(
                id=new_id(self.at),
                org_id=self.org.id,
                name=name,
                type="ntfy",
                config=config,
                created_at=self.at,
            ),
        )
        self.channels[stored.id] = name
        return stored

    def machine(self, name: str = "Hook") -> Channel:
        """Add a channel that gets every edge."""
        stored = add_channel(self.conn, self.org.id, name)
        self.channels[stored.id] = name
        return stored

    def rule(self, channel: Channel, **fields: Any) -> Rule:
        """Add a rule without a cooldown, for every monitor."""
        self.rules += 1
        fields = {"condition": "down", "cooldown_seconds": 0} | fields
        return alert_rules.insert(
            self.conn,
            Rule(
                id=new_id(self.at),
                org_id=self.org.id,
                name=f"rule {self.rules}",
                channel_id=channel.id,
                created_at=self.at + self.rules,
                **fields,
            ),
        )

    # What happens

    def watch(self, monitor: Monitor) -> Watch:
        """Return what is remembered of a monitor."""
        found = watches.get(self.conn, monitor.id)
        assert found is not None
        return found

    def saw(
        self,
        monitor: Monitor,
        result: Result,
        after: Millis = MINUTE,
        *,
        parent_good_at: Millis | None = None,
    ) -> Outcome:
        """Let a check come `after` milliseconds later, and record its edge."""
        self.pass_time(after)
        seen = check(result, self.at)
        watch, flip = rules.step(monitor.spec, self.watch(monitor), seen, now=self.at)
        edge = Edge(monitor=monitor, watch=watch, flip=flip, parent_good_at=parent_good_at)
        outcome = edges.record(self.conn, edge)
        self.deliver()
        return outcome

    def lapse(self, monitor: Monitor) -> None:
        """Turn a monitor unknown."""
        edges.lapse(self.conn, self.org.id, monitor.id, self.at, UnknownReason.STALE, self.at)
        self.deliver()

    def heard(self, monitor: Monitor, **what: Millis) -> bool:
        """Say what a check has said to what a child holds; True while it waits still."""
        still = held.hear(self.conn, [monitor.id], Heard(**what), self.at)
        self.deliver()
        return bool(still)

    def acknowledge(self, monitor: Monitor) -> None:
        """Acknowledge the open incident of a monitor."""
        incident = self.incident(monitor)
        acknowledging.acknowledge(
            self.conn, self.org.id, incident.id, by="alice@example.com", via="api", now=self.at
        )
        self.deliver()

    def incident(self, monitor: Monitor) -> Incident:
        """Return the open incident of a monitor."""
        found = incidents.open_of(self.conn, monitor.id)
        assert found is not None
        return found

    def wait(self, milliseconds: Millis, step: Millis = MINUTE) -> None:
        """Let time pass and everything happen that is due then."""
        end = self.at + milliseconds
        while self.at < end:
            self.pass_time(min(step, end - self.at))

    def pass_time(self, milliseconds: Millis) -> None:
        """Let time pass in one step."""
        self.at += milliseconds
        self.deliver()

    def deliver(self) -> None:
        """Look at what is held, ring, and deliver what is due."""
        held.resolve(self.conn, self.at)
        timers.ring(self.conn, self.at)
        for (notice_id,) in self.conn.all(
            "SELECT id FROM alert_events WHERE status = 'pending' AND held_for IS NULL"
            " AND next_attempt_at <= ? ORDER BY seq",
            (self.at,),
        ):
            settling.sent(self.conn, notice_id, Attempt(at=self.at, ok=True), self.at)

    # What came of it

    def all(self) -> list[Notice]:
        """Return every notice, the oldest first."""
        return list(reversed(notices.recent(self.conn, self.org.id, 1000)))

    def told(self) -> list[str]:
        """Return what was delivered, in the order in which that was: "Chat: monitor.down"."""
        rows = self.conn.all("SELECT a.notice_id FROM alert_attempts a WHERE a.ok ORDER BY a.id")
        by_id = {notice.id: notice for notice in self.all()}
        return [self._words(by_id[row[0]]) for row in rows]

    def untold(self) -> list[str]:
        """Return what was not: "Chat: monitor.down held quiet_hours", in the order written."""
        return [
            f"{self._words(one)} {'held' if one.held_for else 'not'} {one.held_for or one.reason}"
            for one in self.all()
            if one.status is not NoticeStatus.SENT
        ]

    def reasons(self) -> list[str | None]:
        """Return the sentences of what was delivered."""
        rows = self.conn.all(
            "SELECT e.payload FROM alert_attempts a JOIN alert_events e ON e.id = a.notice_id"
            " WHERE a.ok ORDER BY a.id"
        )
        return [msgspec.json.decode(row[0])["reason"] for row in rows]

    def considered(self) -> list[tuple[str, str, str | None]]:
        """Return what the rules made of the last transition: name, verdict, reason."""
        row = self.conn.one("SELECT considered FROM transitions ORDER BY seq DESC LIMIT 1")
        assert row is not None
        if row[0] is None:
            return []
        found = msgspec.json.decode(row[0], type=tuple[Considered, ...])
        return [(one.rule_name, one.verdict, one.reason) for one in found]

    def _words(self, notice: Notice) -> str:
        name = self.channels.get(notice.channel_id, "?")
        words = f"{name}: {notice.event.value}"
        return words if notice.cause == "change" else f"{words} ({notice.cause.value})"


def with_parent(conn: Conn, monitor: Monitor, parent: Monitor, at: Millis) -> Monitor:
    """Make a monitor depend on another."""
    spec = replace(monitor.spec, parent_id=parent.id)
    stored, _ = edges.replace(conn, monitor.org_id, monitor.id, spec, None, at)
    return stored


__all__ = ["DOWN", "MINUTE", "NOW", "SECOND", "SLOW", "UP", "Alarms", "play", "with_parent"]
