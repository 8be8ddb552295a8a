"""The outbox's rules: when an attempt is made again, when none is, and what is gathered into one
message for people.

A channel that people read gets its first five notices within 30 seconds singly. From the fifth on
what waits is gathered, and told in one message per window, until a window ends with nothing in
it. The window doubles with every message of that kind that the far side has not taken yet, as the
wait for another attempt does: a mail server that is back after an hour gets a few of them.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from netpulse.model.alert import Cause, Event, Notice
from netpulse.model.channel import MACHINES, Channel
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.rules.durations import lasted

LEAST_ATTEMPTS = 3
SINGLES = 5
"""Notices within a window that a channel gets singly."""
WINDOW = 30 * SECOND
LONGEST_WINDOW = 15 * MINUTE
DIGEST_MOST = 1000
"""Notices in one message: settling them is one transaction, which others wait for."""
FALLBACK_AFTER = 5 * MINUTE
"""Undelivered that long, a notice is told through its rule's fallback channel."""
REFUSALS = 5
"""Notices in a row that are refused for good, after which a channel is switched off."""
LATE = MINUTE
"""From here on a delay is said."""

_OF_THE_CHANNEL = frozenset({401, 403, 404, 410})
"""HTTP answers that speak of the address or the credentials, not of one message."""


class Backoff(Struct, frozen=True, kw_only=True):
    """How long to wait before the next attempt, in seconds."""

    first: float = 10.0
    longest: float = 900.0
    jitter: float = 0.2
    """Share by which a wait is made longer or shorter, so that receivers are not hit in step."""

    def wait(self, attempts: int, retry_after: float | None, chance: float) -> float:
        """Return the wait after `attempts` failed ones; `chance` in [0, 1) decides the jitter.

        A far side's Retry-After is honoured where it asks for more.
        """
        doubled = min(self.longest, self.first * 2.0 ** min(attempts - 1, 40))
        wait = doubled * (1 + self.jitter * (2 * chance - 1))
        return max(wait, retry_after or 0.0)


def gives_up(
    channel: Channel, notice: Notice, attempts: int, *, next_attempt_at: Millis
) -> str | None:
    """Return why there will be no further attempt after `attempts` failed ones, or None.

    At least three are made; then the channel's `max_attempts` and `retry_for_seconds` count, the
    latter from when the notice was due (one that was held back is due when it is released), or from
    the first attempt where nobody could make one before: NetPulse was off, or without its key.
    """
    if attempts < LEAST_ATTEMPTS:
        return None
    if channel.max_attempts is not None and attempts >= channel.max_attempts:
        return f"given up after {attempts} attempts"
    began = max(due_at(notice), notice.first_attempt_at or 0)
    if next_attempt_at > began + channel.retry_for_seconds * SECOND:
        return f"given up after {channel.retry_for_seconds} s and {attempts} attempts"
    return None


def due_at(notice: Notice) -> Millis:
    """Return when a notice could first be told."""
    return notice.created_at if notice.due_at is None else notice.due_at


def disables(status_code: int | None, *, permanent: bool, declared: bool) -> bool:
    """Tell whether a failure speaks of the channel itself, so that no other notice would fare
    better: refused credentials, an address that is gone or forbidden, a redirect.

    `declared` is what the channel's own code says of it.
    """
    if declared:
        return True
    if not permanent or status_code is None:
        return False
    return status_code in _OF_THE_CHANNEL or 300 <= status_code <= 399


class Pace(Struct, frozen=True):
    """How a channel that people read may speak now."""

    singles: int = 0
    """So many notices may go singly."""
    digest: bool = False
    """What waits may be told in one message."""
    is_gathering: bool = True
    """False outside a storm: then the last single notice begins one."""


def pace(*, gathering_until: Millis | None, begun: int, waits_since: Millis, now: Millis) -> Pace:
    """Return how a channel may speak.

    Args:
        gathering_until: when the present window ends, or the last one ended; None before the
            first.
        begun: messages whose first attempt began within the last 30 s.
        waits_since: when the oldest notice that was not tried yet became due.
        now: the moment, Unix milliseconds.
    """
    ends = _window_end(gathering_until, waits_since, now)
    if ends is None:
        return Pace(singles=max(0, SINGLES - begun), is_gathering=False)
    return Pace(digest=now >= ends)


def looks_at(due: Millis, *, gathering_until: Millis | None, now: Millis) -> Millis:
    """Return when a notice that was not tried yet, and is due at `due`, is to be looked at."""
    ends = _window_end(gathering_until, due, now)
    return due if ends is None else max(due, ends)


def _window_end(gathering_until: Millis | None, waits_since: Millis, now: Millis) -> Millis | None:
    """Return when the window ends, or ended, in which what waits was gathered; None outside a
    storm."""
    if gathering_until is None or gathering_until - now > LONGEST_WINDOW:
        return None  # the latter: the clock was set back
    if now >= gathering_until and waits_since > gathering_until:
        return None  # a window ended with nothing in it
    return gathering_until


def window(not_taken: int) -> Millis:
    """Return how long what waits is gathered while so many gathered messages are not taken yet."""
    return min(WINDOW << min(not_taken, 16), LONGEST_WINDOW)


def is_read_by_people(channel_type: str) -> bool:
    """Tell whether a channel's notices may be gathered, muted and collapsed."""
    return channel_type not in MACHINES


class _Named(Struct):
    name: str = ""


class _Said(Struct):
    """What a story needs of a payload."""

    event: str = ""
    monitor: _Named | None = None
    reason: str | None = None


_said = msgspec.json.Decoder(_Said)


def subject(payload: bytes, cause: Cause) -> str:
    """Return in a few words what a notice says, for an incident's story."""
    said = _said.decode(payload)
    name = "It" if said.monitor is None else said.monitor.name
    match said.event:
        case Event.MONITOR_DOWN:
            if cause is Cause.REMINDER:
                return f"{name} is still down"
            if cause is Cause.ESCALATION:
                return f"{name} is down and nobody has acknowledged it"
            return f"{name} is down"
        case Event.MONITOR_UP:
            return f"{name} is up again"
        case Event.MONITOR_DEGRADED:
            return f"{name} is degraded"
        case Event.MONITOR_FLAPPING:
            return f"{name} keeps changing"
        case _:
            return said.reason or name


def delay(milliseconds: int) -> str | None:
    """Return how late something is told ("delayed 58 min"), or None while that is in time."""
    if milliseconds < LATE:
        return None
    return f"delayed {lasted(milliseconds // MINUTE * MINUTE)}"
