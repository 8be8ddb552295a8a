"""An outbox with channels and notices written by hand, for tests of what becomes of them."""

from __future__ import annotations

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from netpulse.model.alert import Attempt, Event, Notice, NoticeStatus, Suppressed
from netpulse.model.channel import Channel, SlackConfig
from netpulse.model.ids import Id, new_id
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.monitor import Monitor
from netpulse.model.time import SECOND, Millis
from netpulse.storage import channels, incidents, notice_list, notices
from netpulse.storage.conn import Conn
from netpulse.storage.notice_list import NoticeFilter
from netpulse.storage.notices import Claimed
from tests.store import NOW, add_channel, add_monitor, add_org

LEASE = 60 * SECOND
OK = Attempt(at=NOW, ok=True, status_code=204, latency_ms=12)
BAD = Attempt(at=NOW, ok=False, status_code=500, answer="oops")


class Outbox:
    """An organization with a webhook, and notices written by hand."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.org = add_org(conn)
        self.channel = add_channel(conn, self.org.id)
        self.shop = add_monitor(conn, self.org.id)
        self.mail = add_monitor(conn, self.org.id)

    def people(self, name: str = "Chat") -> Channel:
        """Add a channel that people read."""
        channel = Channel(
            id=new_id(NOW),
            org_id=self.org.id,
            name=name,
            type="slack",
            config=SlackConfig(webhook_url="https://chat.example/T0PSECRET"),
            created_at=NOW,
        )
        return channels.insert(self.conn, channel)

    def fleet(self, count: int) -> list[Monitor]:
        """Add monitors."""
        return [add_monitor(self.conn, self.org.id) for _ in range(count)]

    def add(
        self,
        monitor: Monitor | None = None,
        *,
        channel: Channel | None = None,
        at: Millis = NOW,
        due: Millis | None = None,
        held_for: Suppressed | None = None,
        incident_id: Id | None = None,
        event: Event = Event.MONITOR_DOWN,
        rule_id: Id | None = None,
        fallback_at: Millis | None = None,
        transition_id: Id | None = None,
    ) -> Id:
        """Write a notice that waits; returns its id."""
        notice_id = new_id(at)
        payload = {
            "id": notice_id,
            "event": event.value,
            "monitor": None if monitor is None else {"name": monitor.spec.name},
        }
        notice = Notice(
            id=notice_id,
            org_id=self.org.id,
            event=event,
            rule_id=rule_id,
            channel_id=(channel or self.channel).id,
            monitor_id=None if monitor is None else monitor.id,
            incident_id=incident_id,
            status=NoticeStatus.PENDING,
            held_for=held_for,
            payload=Raw(msgspec.json.encode(payload)),
            created_at=at,
            next_attempt_at=at if due is None else due,
            fallback_at=fallback_at,
        )
        notices.write(self.conn, notice, transition_id=transition_id)
        return notice.id

    def claims(
        self,
        worker: str = "one",
        *,
        now: Millis = NOW,
        limit: int = 100,
        busy: set[tuple[Id, Id | None]] | None = None,
    ) -> list[Claimed]:
        """Claim what is due."""
        return notices.claim(
            self.conn, worker, now, limit=limit, lease_ms=LEASE, busy=busy or set()
        )

    def claim(
        self,
        worker: str = "one",
        *,
        now: Millis = NOW,
        limit: int = 100,
        busy: set[tuple[Id, Id | None]] | None = None,
    ) -> list[Id]:
        """Claim what is due; returns the ids of the messages."""
        return [one.id for one in self.claims(worker, now=now, limit=limit, busy=busy)]

    def take(self, *, now: Millis = NOW) -> list[list[Id]]:
        """Claim what is due and have all of it accepted; returns what each message told."""
        claimed = self.claims(now=now)
        for one in claimed:
            for notice in one.notices:
                notices.sent(self.conn, notice.id, replace(OK, at=now), now)
        return [[notice.id for notice in one.notices] for one in claimed]

    def refuse(self, *, now: Millis, again_at: Millis) -> list[list[Id]]:
        """Claim what is due and have none of it accepted yet."""
        claimed = self.claims(now=now)
        for one in claimed:
            for notice in one.notices:
                notices.retry(self.conn, notice.id, replace(BAD, at=now), again_at, "oops")
        return [[notice.id for notice in one.notices] for one in claimed]

    def get(self, notice_id: Id) -> Notice:
        """Return a notice as it is now."""
        found = notices.get(self.conn, self.org.id, notice_id)
        assert found is not None
        return found

    def of(self, channel: Channel) -> list[Notice]:
        """Return what a channel was to be told, the oldest first."""
        found = notice_list.page(
            self.conn, self.org.id, NoticeFilter(channel_id=channel.id), limit=1_000
        )
        return found.rows[::-1]

    def incident(self, monitor: Monitor) -> Incident:
        """Add an open incident."""
        incident = Incident(
            id=new_id(NOW),
            org_id=self.org.id,
            title="Shop is down",
            status=IncidentStatus.INVESTIGATING,
            origin=Origin.CHECK,
            monitor_ids=(monitor.id,),
            started_at=NOW,
            created_at=NOW,
        )
        return incidents.insert(self.conn, incident, monitor.id)
