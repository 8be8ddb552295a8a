"""The language of conditions: what is understood, and where a mistake is."""

from __future__ import annotations

import pytest

from netpulse.model.alert import Event
from netpulse.rules.condition import ConditionError, ConditionUnavailable, parse


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("down", {"down"}),
        ("  up\t", {"up"}),
        ("degraded", {"degraded"}),
        ("system", {"system"}),
        ("down or degraded", {"down", "degraded"}),
        ("down or up or system", {"down", "up", "system"}),
        ("(down)", {"down"}),
        ("((down or degraded))", {"down", "degraded"}),
        ("(down or degraded) and down", {"down"}),
        ("up or down and down", {"up", "down"}),
        ("(up or down) and (down or degraded)", {"down"}),
    ],
)
def test_words_that_are_fed(text: str, words: set[str]) -> None:
    assert parse(text).words == words


def test_the_events_a_condition_reacts_to() -> None:
    assert parse("down or degraded").events == {Event.MONITOR_DOWN, Event.MONITOR_DEGRADED}
    assert parse("up").events == {Event.MONITOR_UP}
    assert parse("system").events == {Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED}


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the condition ends here; expected a word such as down"),
        ("   ", 4, "the condition ends here; expected a word such as down"),
        ("dwon", 1, "unknown word dwon; did you mean down?"),
        ("Down", 1, "unknown word Down; did you mean down?"),
        (
            "xyzzy",
            1,
            "unknown word xyzzy; known are agent_offline, certificate_days, cpu_percent, degraded, down, response_time_ms, system, up",
        ),
        ("down down", 6, "expected and, or, or the end, not 'down'"),
        ("down or", 8, "the condition ends here; expected a word such as down"),
        ("or down", 1, "expected a word such as down, not 'or'"),
        ("down and up", 6, "both sides of this and are never true at once"),
        ("system and down", 8, "both sides of this and are never true at once"),
        ("(down", 6, "expected ), not 'the end'"),
        ("down)", 5, "there is no ( for this )"),
        ("()", 2, "expected a word such as down, not ')'"),
        ("down > 5", 6, "down stands alone: it is not compared"),
        ("down for 5m", 6, "for belongs behind a comparison"),
        ("down; up", 5, "expected and, or, or the end, not ';'"),
        ("response_time_ms", 17, "response_time_ms is compared: expected >, >=, <, <=, = or !="),
        (
            "response_time_ms 800",
            18,
            "response_time_ms is compared: expected >, >=, <, <=, = or !=",
        ),
        ("response_time_ms => 800", 18, "'=>' is none of >, >=, <, <=, = and !="),
        ("response_time_ms > fast", 20, "expected a number, not 'fast'"),
        ("response_time_ms > 8oo", 20, "expected a number, not '8oo'"),
        ("response_time_ms > 800 for", 27, "expected a duration such as 5m, not 'the end'"),
        ("response_time_ms > 800 for 5", 28, "expected a duration such as 5m, not '5'"),
        ("response_time_ms > 800 for 0m", 28, "expected a duration such as 5m, not '0m'"),
        ("response_time_ms > 800 for 5 m", 28, "expected a duration such as 5m, not '5'"),
        ("log. > 5", 1, "log. needs a name: log.NAME"),
        ("down or ①", 9, "expected a word such as down, not '①'"),
        ("(" * 60 + "down" + ")" * 60, 51, "too many parentheses inside each other"),
        # A mistake is found before a word is called unavailable.
        ("cpu_percent > 90 for 10m or dwon", 29, "unknown word dwon; did you mean down?"),
    ],
)
def test_a_mistake_is_answered_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)

    assert (caught.value.column, caught.value.message) == (column, message)
    assert str(caught.value) == f"column {column}: {message}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("response_time_ms > 800 for 5m", "response_time_ms"),
        ("response_time_ms>800", "response_time_ms"),
        ("certificate_days < 14", "certificate_days"),
        ("cpu_percent >= 90% for 10m", "cpu_percent"),
        ("cpu_percent != 12.5", "cpu_percent"),
        ("cpu_percent = -1", "cpu_percent"),
        ("agent_offline", "agent_offline"),
        ("log.failed-login > 5 in 1m", "log.failed-login"),
        ("down or (cpu_percent > 90 and response_time_ms <= 5)", "cpu_percent"),
        ("down and certificate_days < 14", "certificate_days"),
    ],
)
def test_a_word_without_a_source_is_refused_by_name(text: str, word: str) -> None:
    with pytest.raises(ConditionUnavailable) as caught:
        parse(text)

    assert caught.value.word == word
    assert str(caught.value) == (
        f"{word} cannot be used in a condition yet: nothing measures it here"
    )


def test_a_long_text_does_not_take_long() -> None:
    assert parse(" or ".join(["down"] * 20_000)).words == {"down"}
    with pytest.raises(ConditionError, match="parentheses"):
        parse("(" * 100_000)
