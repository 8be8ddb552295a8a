"""What people read: titles, moments, lateness, digests; and that no name gets out of its line."""

from __future__ import annotations

import pytest

from netpulse.model.alert import Cause, Event
from netpulse.model.time import HOUR, MINUTE, SECOND
from netpulse.rules import messages
from netpulse.rules.messages import digest, moment, one_line
from tests.noticed import ACKNOWLEDGE, AT, MESSAGES, PAGE, POLYGLOT, words


@pytest.mark.parametrize(
    ("event", "title", "level"),
    [
        (Event.MONITOR_DOWN, "Down: Shop (https://shop.example)", "problem"),
        (Event.MONITOR_UP, "Up again: Shop, it was down for 12 min", "recovery"),
        (Event.MONITOR_DEGRADED, "Degraded: Shop (https://shop.example)", "warning"),
        (Event.MONITOR_FLAPPING, "Flapping: Shop (https://shop.example)", "warning"),
        (Event.INCIDENT_ACKNOWLEDGED, "Acknowledged: Shop", "info"),
        (Event.SYSTEM_RECOVERED, "NetPulse watches again", "recovery"),
        (Event.TEST, "Test from NetPulse", "info"),
    ],
)
def test_titles(event: Event, title: str, level: str) -> None:
    said = words(event, seconds=720)
    assert (said.title, said.level) == (title, level)


@pytest.mark.parametrize("event", Event)
def test_every_event_has_words(event: Event) -> None:
    said = words(event)
    assert said.title
    assert said.lines
    assert event.value not in said.title


def test_the_usual_lines() -> None:
    said = words(seconds=720)
    assert said.lines == (
        "shop.example answered 503 Service Unavailable",
        "Since 2026-03-01 13:55:00 CET (12:55:00 UTC), for 12 min",
        "Organization: Acme",
    )
    assert said.links == (f"Details: {PAGE}", f"Acknowledge: {ACKNOWLEDGE}")
    assert said.text.splitlines()[0] == said.title


def test_a_recovery_says_from_when_to_when() -> None:
    said = words(Event.MONITOR_UP, seconds=720)
    assert (
        "Down from 2026-03-01 13:55:00 CET (12:55:00 UTC) to 2026-03-01 14:07:00 CET (13:07:00 UTC)"
    ) in said.lines
    assert said.acknowledge_url is None, "there is nothing left to acknowledge"


def test_what_a_reminder_and_a_threshold_say() -> None:
    assert words(cause=Cause.REMINDER).title == "Still down: Shop (https://shop.example)"
    over = words(Event.MONITOR_THRESHOLD)
    ended = words(Event.MONITOR_THRESHOLD, cause=Cause.RECOVERY)
    assert (over.level, ended.level) == ("warning", "recovery")
    assert ended.title == "Back to normal: Shop (https://shop.example)"


def test_lateness_is_said_from_a_minute_on() -> None:
    assert not any("delayed" in line for line in words(late=59 * SECOND).lines)
    assert words(late=60 * SECOND).lines[-1] == "This message was delayed 1 min."
    assert words(late=58 * MINUTE + 20 * SECOND).lines[-1] == "This message was delayed 58 min."
    assert words(late=26 * HOUR).lines[-1] == "This message was delayed 1 d 2 h."
    late = words(template="{monitor}", late=58 * MINUTE)
    assert late.lines == ("Shop", "This message was delayed 58 min.")
    assert not any("delayed" in line for line in words(late=-HOUR).lines)


def test_moments_by_the_clock_of_a_zone() -> None:
    summer = 1_782_900_000_000
    assert moment(AT, "Europe/Berlin") == "2026-03-01 14:07:00 CET (13:07:00 UTC)"
    assert moment(summer, "Europe/Berlin") == "2026-07-01 12:00:00 CEST (10:00:00 UTC)"
    assert moment(AT, "UTC") == "2026-03-01 13:07:00 UTC"
    assert moment(AT, "Europe/London") == "2026-03-01 13:07:00 UTC"
    tokyo = moment(AT + 4 * HOUR, "Asia/Tokyo")
    assert tokyo == "2026-03-02 02:07:00 JST (2026-03-01 17:07:00 UTC)"
    assert moment(AT, "Mars/Olympus_Mons") == "2026-03-01 13:07:00 UTC"
    assert moment(AT, "../../etc/passwd") == "2026-03-01 13:07:00 UTC"


def test_a_name_stays_in_its_line() -> None:
    said = words(name=POLYGLOT, target=POLYGLOT, reason=POLYGLOT, organization=POLYGLOT)
    assert len(said.title.splitlines()) == 1
    for line in (said.title, *said.lines):
        assert line.isprintable()
    assert one_line("a\r\n b\tc\x00d\u202e e") == "a b c d e"
    assert len(one_line("x" * 10_000)) == messages.LONGEST_NAME


def test_every_line_of_every_message_is_printable() -> None:
    for message in MESSAGES.values():
        for line in (message.words.title, *message.words.lines):
            assert line.isprintable(), repr(line)


def test_a_rules_own_message_takes_the_place_of_the_lines() -> None:
    said = words(template="{monitor} is sad.\n\nCall {organization}: {acknowledge_url}")
    assert said.title == "Down: Shop (https://shop.example)"
    assert said.lines == ("Shop is sad.", "", f"Call Acme: {ACKNOWLEDGE}")
    assert said.links == (f"Details: {PAGE}",), "a link that is in the text is not said twice"


def test_digests() -> None:
    down = [words(name=f"Shop {number}") for number in range(12)]
    up = [words(Event.MONITOR_UP, name=f"Mail {number}", seconds=60) for number in range(3)]
    said = digest(down + up, page_url=PAGE)
    assert said.title == "12 monitors down, 3 up again"
    assert said.lines[0] == "- Down: Shop 0 (https://shop.example)"
    assert len(said.lines) == 15
    assert (said.level, said.page_url, said.acknowledge_url) == ("problem", PAGE, None)
    many = digest(down * 5, page_url=None)
    assert many.title == "60 monitors down"
    assert many.lines[-1] == "and 40 more"
    assert digest(up[:1], page_url=None).title == "1 up again"
    assert digest(up, page_url=None).level == "recovery"
    mixed = digest([words(Event.MONITOR_DEGRADED), words(Event.TEST)], page_url=None)
    assert mixed.title == "1 warning, 1 other notice"


def test_a_digest_of_nothing() -> None:
    assert digest([], page_url=None).title == "No news"


def test_why_it_comes_here_or_again() -> None:
    assert "Nobody has acknowledged it yet." in words(cause=Cause.ESCALATION).lines
    instead = "Told here because another channel could not deliver it."
    assert instead in words(cause=Cause.FALLBACK).lines
