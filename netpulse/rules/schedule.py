"""When a check is due: a fixed grid per monitor, in Unix time, so that a restart continues it."""

from __future__ import annotations

import hashlib

from netpulse.model.ids import Id
from netpulse.model.monitor import DnsSpec, IcmpSpec, MonitorSpec, TcpSpec
from netpulse.model.time import Millis

STEP_MS = 20
"""Slots lie on multiples of this in Unix time. So all that is due within a fiftieth of a second is
due at one moment, and begun on time in one wake-up: to be woken costs as much as several checks."""
LIGHT_STEP_MS = 5 * STEP_MS
"""The same for light checks, of which a hundred begun at once are over in a few milliseconds. Of
others so many would wait for each other."""


def step_ms(spec: MonitorSpec) -> int:
    """Return of how many milliseconds the slots of such a monitor are multiples.

    Light are one ping, a connection and nothing over it, and a question to a name server: what can
    be begun and taken without a task.
    """
    match spec:
        case IcmpSpec(packets=1) | TcpSpec(tls=False, send=None, expect=None) | DnsSpec():
            return LIGHT_STEP_MS
        case _:
            return STEP_MS


def phase_ms(monitor_id: Id, interval_ms: int, step: int = STEP_MS) -> int:
    """Return the offset in milliseconds, 0 to below `interval_ms`, of a monitor's grid: a multiple
    of `step`, see `step_ms`.

    It comes from a hash of the id, so that ten thousand monitors made in one second (whose
    version-7 ids differ in their last bits only) do not fall due together.
    """
    digest = hashlib.blake2b(monitor_id.encode(), digest_size=8).digest()
    offset = int.from_bytes(digest, "big") % interval_ms
    return offset - offset % step


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
