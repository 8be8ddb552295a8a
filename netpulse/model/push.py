"""What is known of a push monitor between two pings."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.time import Millis


class Beat(Struct, frozen=True, kw_only=True, gc=False):
    """Where a push monitor stands. Moments are Unix milliseconds."""

    base_at: Millis
    """What the next due time follows: the last ping, or what stands in for it (the making of the
    monitor, the due time of a ping that was missed)."""
    deadline_at: Millis
    """When it is missed: due time and grace, and later after a stretch in which nobody listened."""
    started_at: Millis | None = None
    """When the job that runs now said so."""
    last_at: Millis | None = None
    """The last ping that said how a job went."""


class PingKind(StrEnum):
    """What a ping says."""

    UP = "up"
    START = "start"
    FAIL = "fail"
    LOG = "log"


class Ping(Struct, frozen=True, kw_only=True):
    """One ping, read from whatever form it came in."""

    kind: PingKind = PingKind.UP
    exit_status: int | None = None
    """Of the job; above 0 it has failed."""
    text: str = ""
    """What it said, at most 4 KiB."""
    took_ms: float | None = None
    """How long the job ran, where the ping says so itself."""
