"""A monitor's own badges: its state and figures as small pictures for pages of others."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.board import PublicStatus
from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Badge(Struct, frozen=True, kw_only=True, gc=False):
    """That a monitor has badges, and under which address."""

    monitor_id: Id
    token: str
    """In the address: whoever knows it may see the badges, and nothing else."""
    label: str | None = None
    """What the badges call the monitor; None: its name."""
    created_at: Millis
    """Of the address."""


class BadgeFacts(Struct, frozen=True, kw_only=True):
    """All that the badges of a monitor tell at one moment, in public words."""

    label: str
    status: PublicStatus
    since: Millis
    uptime: dict[str, float | None]
    """By period (PERIODS): percent of the time, rounded down at 4 decimals; None without data."""
    response_time_ms: int | None
    """The mean of the last 24 finished hours; None without."""
    at: Millis
