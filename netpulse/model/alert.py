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
    MONITOR_THRESHOLD = "monitor.threshold"
    MONITOR_FLAPPING = "monitor.flapping"
    CERTIFICATE_EXPIRING = "certificate.expiring"
    INCIDENT_ACKNOWLEDGED = "incident.acknowledged"
    SYSTEM_ISOLATED = "system.isolated"
    SYSTEM_RECOVERED = "system.recovered"
    CHANNEL_DISABLED = "channel.disabled"
    TEST = "test"


PROBLEMS = frozenset({Event.MONITOR_DOWN, Event.MONITOR_DEGRADED})
"""Events that say something is wrong with a monitor's state, and that have a recovery."""


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


class Cause(StrEnum):
    """What made a notice be written."""

    CHANGE = "change"
    """A monitor's confirmed state, or a measure, changed."""
    RECOVERY = "recovery"
    """What a rule's condition on a measure told of is over; a recovery of a monitor's state is a
    `change` to up."""
    ESCALATION = "escalation"
    """Nobody acknowledged an incident in time."""
    REMINDER = "reminder"
    """An incident goes on."""
    FALLBACK = "fallback"
    """Another channel could not deliver it."""
    ACKNOWLEDGEMENT = "acknowledgement"
    SYSTEM = "system"


class QuietHours(Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """The part of the week in which a rule keeps silent, by the clock of a time zone."""

    days: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """The days on which it begins."""
    start: str
    """HH:MM; `from` in JSON."""
    end: str
    """HH:MM, on the next day where it is not after `start`; `to` in JSON."""
    timezone: str = "UTC"
    """IANA name."""


class Considered(Struct, frozen=True, kw_only=True):
    """What a rule that covers a monitor made of one change: why somebody was told, or was not."""

    rule_id: Id
    rule_name: str
    channel_id: Id
    verdict: str
    """told, held, suppressed, later (an escalation waits), not_asked (its condition names other
    events) or inactive."""
    reason: str | None = None
    """The word of `Suppressed` that holds or suppresses it."""
    until: Millis | None = None
    """Until when it is held, or when an escalation speaks."""


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
    escalation_minutes: int | None = None
    """It speaks first that long after the start, unless acknowledged or over by then."""
    reminder_minutes: int | None = None
    """It speaks again that often while the incident is open and not acknowledged."""
    quiet_hours: QuietHours | None = None
    fallback_channel_id: Id | None = None
    """Told instead when the channel refuses for good, or has not taken it after 5 minutes."""
    message: str | None = None
    """A template for channels that people read; null: the usual words."""
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
    cause: Cause = Cause.CHANGE
    template: str | None = None
    """The rule's `message` when the notice was written."""
    digest_id: Id | None = None
    """Notices with the same one are told in one message."""
    fallback_at: Millis | None = None
    """When the rule's fallback channel is told, if this is not delivered by then."""
    fallback_of: Id | None = None
    """The notice that this one is told in place of."""
    first_attempt_at: Millis | None = None
    due_at: Millis | None = None
    """When it could first be told: one that was held, when it was released. None: not stored yet,
    then that is `next_attempt_at`."""
    shares: dict[str, str] = {}
    """Of several recipients those who are settled while others are tried again: "" who has it, or
    why they never will."""


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One try to deliver a notice, and what the far side said."""

    at: Millis
    ok: bool
    status_code: int | None = None
    answer: str | None = None
    """The first 4 KiB of the answer, or the error in words."""
    latency_ms: int | None = None
