"""When a check is due: a fixed grid per monitor, in Unix time, so that a restart continues it."""

from __future__ import annotations

import hashlib

from netpulse.model.ids import Id
from netpulse.model.time import Millis


def phase_ms(monitor_id: Id, interval_ms: int) -> int:
    """Return the offset in milliseconds, 0 to below `interval_ms`, of a monitor's grid.

    It comes from a hash of the id, so that ten thousand monitors made in one second (whose
    version-7 ids differ in their last bits only) do not fall due together.
    """
    digest = hashlib.blake2b(monitor_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % interval_ms


def slot_at_or_before(now: Millis, interval_ms: int, phase: int) -> Millis:
    """Return the last slot of the grid that is not after `now` (Unix milliseconds)."""
    return now - (now - phase) % interval_ms


def next_slot(now: Millis, interval_ms: int, phase: int) -> Millis:
    """Return the first slot strictly after `now`; it lies in (now, now + interval_ms]."""
    return now - (now - phase) % interval_ms + interval_ms


def vouched_until(due_at: Millis, interval_ms: int, phase: int, timeout_ms: int) -> Millis:
    """Return until when a verdict of the slot `due_at` speaks for the monitor.

    That is the next slot plus the timeout: by then the next check has an answer or has failed.
    """
    return due_at - (due_at - phase) % interval_ms + interval_ms + timeout_ms
