"""Alert rules, and the notices they cause."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Raw, Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Event(StrEnum):
    """What a notice is about; the `event` of a webhook's payload."""

    MONITOR_DOWN = "monitor.down"
    MONITOR_UP = "monitor.up"
    MONITOR_DEGRADED = "monitor.degraded"
    SYSTEM_ISOLATED = "system.isolated"
    SYSTEM_RECOVERED = "system.recovered"
    TEST = "test"


class NoticeStatus(StrEnum):
    """Where a notice stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Suppressed(StrEnum):
    """Why a notice was not sent: a closed list."""

    COOLDOWN = "cooldown"
    MAINTENANCE = "maintenance"
    PARENT_DOWN = "parent_down"
    QUIET_HOURS = "quiet_hours"
    FLAPPING = "flapping"
    ACKNOWLEDGED = "acknowledged"
    CHANNEL_INACTIVE = "channel_inactive"
    DUPLICATE = "duplicate"
    COLLAPSED = "collapsed"


class Rule(Struct, frozen=True, kw_only=True):
    """Who is told about what. With neither `monitor_id` nor `tag` it covers the organization."""

    id: Id
    org_id: Id
    name: str
    is_active: bool = True
    monitor_id: Id | None = None
    tag: str | None = None
    channel_id: Id
    condition: str = "down"
    cooldown_seconds: int = 300
    notify_recovery: bool = True
    created_at: Millis
    version: int = 1


class Notice(Struct, frozen=True, kw_only=True):
    """A row of the outbox: one message for one channel, written with the edge it tells of."""

    id: Id
    """Also the `webhook-id`: the same at every attempt."""
    org_id: Id
    event: Event
    rule_id: Id | None
    channel_id: Id
    monitor_id: Id | None
    incident_id: Id | None
    status: NoticeStatus
    reason: Suppressed | None = None
    held_for: Suppressed | None = None
    """Set while a pending notice waits for that to end (a cooldown); then it is told if it still
    holds, else it becomes suppressed with this reason."""
    payload: Raw
    """The JSON that is sent, fixed when the notice was written."""
    created_at: Millis
    sent_at: Millis | None = None
    next_attempt_at: Millis | None = None
    attempt_count: int = 0
    error: str | None = None


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One try to deliver a notice, and what the far side said."""

    at: Millis
    ok: bool
    status_code: int | None = None
    answer: str | None = None
    """The first 4 KiB of the answer, or the error in words."""
    latency_ms: int | None = None
