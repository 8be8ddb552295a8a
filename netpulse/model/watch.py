"""What is known of a monitor between two checks, and the change of it (Flip)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.check import Check
from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Status(StrEnum):
    """The confirmed state of a monitor, as it is shown."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    MAINTENANCE = "maintenance"
    PAUSED = "paused"
    UNKNOWN = "unknown"


class UnknownReason(StrEnum):
    """Why nobody vouches for a stretch of time."""

    PAUSED = "paused"
    STOPPED = "stopped"
    ISOLATED = "isolated"
    STARVED = "starved"
    STALE = "stale"


class Watch(Struct, frozen=True, kw_only=True, gc=False):
    """The memory of one monitor that the next verdict is held against. Saved on every edge and at
    the first failure of a streak, so that a restart does not forget a pending confirmation.
    """

    status: Status = Status.PENDING
    """Confirmed: pending, up, degraded, down, unknown or paused."""
    since: Millis
    """When `status` began (back-dated to the first check that showed it)."""
    settled: Status = Status.PENDING
    """The last confirmed pending, up, degraded or down: what `unknown` and a restart return to."""
    downs: int = 0
    """Consecutive down checks that are not confirmed yet."""
    first_down_at: Millis | None = None
    slows: int = 0
    """Consecutive checks that were down or degraded."""
    first_slow_at: Millis | None = None
    goods: int = 0
    """Consecutive better checks (not down while down; up while degraded)."""
    first_good_at: Millis | None = None
    incident_id: Id | None = None
    """The open automatic incident, if any."""
    vouched_until: Millis | None = None
    """Until when the last conclusive verdict speaks: its next slot + timeout. In memory only."""
    silent_since: Millis | None = None
    """Start of the first of the inconclusive checks in a row since the last conclusive one."""


class Flip(Struct, frozen=True, kw_only=True):
    """A change of a monitor's confirmed state: what everything else follows from."""

    before: Status
    after: Status
    at: Millis
    """When the new state began (back-dated to the first check that showed it)."""
    decided_at: Millis
    """When it became certain."""
    reason: UnknownReason | None = None
    """Set when `after` is unknown or paused."""
    check: Check | None = None
    """The deciding check; null where none decided (a pause, a stale monitor)."""
    settled: Status | None = None
    """`Watch.settled` before the flip: an unknown monitor that returns to it is no news."""
    opens: bool = False
    """This flip opens an incident."""
    closes: bool = False
    """This flip ends the open incident."""


class Span(Struct, frozen=True, gc=False):
    """A stretch of a monitor's time, from `at` to the next span's: its state and why."""

    at: Millis
    status: Status
    reason: UnknownReason | None = None
    incident_id: Id | None = None


class Gap(Struct, frozen=True, gc=False):
    """A stretch in which nobody was watched: process off, suspended, own network away."""

    start: Millis
    end: Millis
    reason: UnknownReason
