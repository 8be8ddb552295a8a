"""The outbox's rules: attempts, windows, and the words of an incident's story."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from netpulse.model.alert import Cause, Event, Notice, NoticeStatus
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.time import HOUR, MINUTE, SECOND
from netpulse.rules import outbox
from netpulse.rules.outbox import Backoff, Pace

CHANNEL = Channel(
    id="c",
    org_id="o",
    name="Hook",
    type="webhook",
    config=WebhookConfig(url="http://127.0.0.1/"),
    retry_for_seconds=3_600,
    max_attempts=5,
    created_at=0,
)
NOTICE = Notice(
    id="n",
    org_id="o",
    event=Event.MONITOR_DOWN,
    rule_id=None,
    channel_id="c",
    monitor_id=None,
    incident_id=None,
    status=NoticeStatus.PENDING,
    payload=Raw(b"{}"),
    created_at=0,
)


def test_waits_double_to_a_quarter_of_an_hour() -> None:
    backoff = Backoff()
    assert [backoff.wait(n, None, 0.5) for n in range(1, 10)] == [
        10, 20, 40, 80, 160, 320, 640, 900, 900,
    ]  # fmt: skip
    assert backoff.wait(1, None, 0.0) == 8
    assert backoff.wait(1, None, 0.999) == pytest.approx(12, abs=0.01)
    assert backoff.wait(1, 600, 0.5) == 600
    assert backoff.wait(500, None, 0.5) == 900


def test_when_it_gives_up() -> None:
    assert outbox.gives_up(CHANNEL, NOTICE, 2, next_attempt_at=9_999_999) is None
    assert outbox.gives_up(CHANNEL, NOTICE, 3, next_attempt_at=3_600_000) is None
    assert outbox.gives_up(CHANNEL, NOTICE, 3, next_attempt_at=3_600_001) == (
        "given up after 3600 s and 3 attempts"
    )
    assert outbox.gives_up(CHANNEL, NOTICE, 5, next_attempt_at=1) == "given up after 5 attempts"


def test_what_was_held_counts_from_when_it_was_due() -> None:
    held = msgspec.structs.replace(NOTICE, due_at=8 * HOUR)
    assert outbox.gives_up(CHANNEL, held, 3, next_attempt_at=9 * HOUR) is None
    assert outbox.gives_up(CHANNEL, held, 3, next_attempt_at=9 * HOUR + 1) is not None


def test_what_nobody_could_try_counts_from_the_first_attempt() -> None:
    late = msgspec.structs.replace(NOTICE, first_attempt_at=48 * HOUR)
    assert outbox.gives_up(CHANNEL, late, 4, next_attempt_at=49 * HOUR) is None
    assert outbox.gives_up(CHANNEL, late, 4, next_attempt_at=49 * HOUR + 1) is not None
    # Tried before it was released: the time that it was held back for is not the receiver's.
    held = msgspec.structs.replace(NOTICE, first_attempt_at=HOUR, due_at=8 * HOUR)
    assert outbox.gives_up(CHANNEL, held, 4, next_attempt_at=9 * HOUR) is None


@pytest.mark.parametrize(
    ("status", "permanent", "declared", "disables"),
    [
        (401, True, False, True),
        (403, True, False, True),
        (404, True, False, True),
        (410, True, False, True),
        (301, True, False, True),
        (308, True, False, True),
        (400, True, False, False),
        (413, True, False, False),
        (404, False, False, False),
        (500, False, False, False),
        (None, True, False, False),
        (None, True, True, True),
    ],
)
def test_what_disables_a_channel(
    status: int | None, permanent: bool, declared: bool, disables: bool
) -> None:
    assert outbox.disables(status, permanent=permanent, declared=declared) is disables


def test_windows_double_to_a_quarter_of_an_hour() -> None:
    assert [outbox.window(n) // SECOND for n in range(7)] == [30, 60, 120, 240, 480, 900, 900]
    assert outbox.window(10_000) == 15 * MINUTE


@pytest.mark.parametrize(
    ("gathering_until", "begun", "waits_since", "pace"),
    [
        (None, 0, 1_000, Pace(singles=5, is_gathering=False)),
        (None, 4, 1_000, Pace(singles=1, is_gathering=False)),
        (None, 9, 1_000, Pace(is_gathering=False)),
        (1_001, 5, 900, Pace()),
        (1_000, 5, 900, Pace(digest=True)),
        (900, 5, 900, Pace(digest=True)),
        (900, 0, 901, Pace(singles=5, is_gathering=False)),
        (1_000 + 15 * MINUTE, 0, 900, Pace()),
        (1_001 + 15 * MINUTE, 0, 900, Pace(singles=5, is_gathering=False)),
    ],
)
def test_the_pace(gathering_until: int | None, begun: int, waits_since: int, pace: Pace) -> None:
    found = outbox.pace(
        gathering_until=gathering_until, begun=begun, waits_since=waits_since, now=1_000
    )
    assert found == pace


@pytest.mark.parametrize(
    ("event", "cause", "words"),
    [
        ("monitor.down", Cause.CHANGE, "Shop is down"),
        ("monitor.down", Cause.REMINDER, "Shop is still down"),
        ("monitor.down", Cause.ESCALATION, "Shop is down and nobody has acknowledged it"),
        ("monitor.up", Cause.CHANGE, "Shop is up again"),
        ("monitor.degraded", Cause.FALLBACK, "Shop is degraded"),
        ("monitor.flapping", Cause.CHANGE, "Shop keeps changing"),
        ("incident.acknowledged", Cause.ACKNOWLEDGEMENT, "Acknowledged by alice@example.com"),
    ],
)
def test_a_story_speaks_in_words(event: str, cause: Cause, words: str) -> None:
    payload = {
        "event": event,
        "monitor": {"id": "m", "name": "Shop"},
        "incident": None,
        "reason": "Acknowledged by alice@example.com" if "ack" in event else "refused",
    }
    assert outbox.subject(msgspec.json.encode(payload), cause) == words


def test_delays_are_said_from_a_minute_on() -> None:
    assert outbox.delay(59_999) is None
    assert outbox.delay(60_000) == "delayed 1 min"
    assert outbox.delay(58 * MINUTE + 59 * SECOND) == "delayed 58 min"
    assert outbox.delay(26 * HOUR) == "delayed 1 d 2 h"
