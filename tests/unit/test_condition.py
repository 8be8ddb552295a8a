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
        ("up or up and response_time_ms > 5", {"up"}),
        ("down or response_time_ms > 5", {"down"}),
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
    ("text", "terms"),
    [
        ("response_time_ms > 800 for 5m", ["response_time_ms > 800 for 5m"]),
        ("response_time_ms>800", ["response_time_ms > 800"]),
        ("response_time_ms >= 12.50 for 90s", ["response_time_ms >= 12.5 for 90s"]),
        ("response_time_ms != 0 for 120m", ["response_time_ms != 0 for 2h"]),
        ("certificate_days <= -1", ["certificate_days <= -1"]),
        ("certificate_days = -0", ["certificate_days = 0"]),
        ("down and certificate_days < 10", ["down and certificate_days < 10"]),
        ("certificate_days < 10 and down", ["down and certificate_days < 10"]),
        (
            "response_time_ms > 5 and certificate_days < 9",
            ["certificate_days < 9 and response_time_ms > 5"],
        ),
        (
            "down or up and response_time_ms > 5 or degraded and response_time_ms > 9",
            ["up and response_time_ms > 5", "degraded and response_time_ms > 9"],
        ),
        (
            "(up or degraded) and response_time_ms > 800 for 24h",
            ["up and response_time_ms > 800 for 1d", "degraded and response_time_ms > 800 for 1d"],
        ),
        # What another alternative says already is said once.
        ("response_time_ms > 5 or response_time_ms > 5 and down", ["response_time_ms > 5"]),
        ("response_time_ms > 5 or (response_time_ms > 5)", ["response_time_ms > 5"]),
        # A bound is needed twice where it differs, or is kept for another time.
        (
            "response_time_ms > 5 and response_time_ms < 9 and response_time_ms > 5 for 1m",
            ["response_time_ms < 9 and response_time_ms > 5 and response_time_ms > 5 for 1m"],
        ),
    ],
)
def test_terms_are_the_alternatives_with_a_measure(text: str, terms: list[str]) -> None:
    assert [term.text for term in parse(text).terms] == terms


def test_a_term_is_read_back_from_its_text() -> None:
    (term,) = parse("up and response_time_ms > 800.5 for 5m and certificate_days >= -3").terms

    assert parse(term.text).terms == (term,)
    assert term.state == "up"
    assert term.measures == {"response_time_ms", "certificate_days"}
    assert {one.window_ms for one in term.comparisons} == {0, 300_000}


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
        ("response_time_ms > 800 for 31d", 28, "nothing longer than 30d is kept in mind"),
        (
            "response_time_ms > 800 for 999999999999999d",
            28,
            "nothing longer than 30d is kept in mind",
        ),
        ("response_time_ms > 800 in 5m", 24, "behind response_time_ms it is for, not in"),
        ("log.errors > 5 for 5m", 16, "behind log.errors it is in, not for"),
        ("response_time_ms > 800 5m", 24, "expected and, or, or the end, not '5m'"),
        ("response_time_ms > 800ms", 20, "expected a number, not '800ms'"),
        ("response_time_ms > 80%", 20, "response_time_ms is no percentage: leave the % away"),
        ("response_time_ms > 9999999999999", 20, "this number is too large"),
        ("response_time_ms < 0", 20, "response_time_ms < 0 is never true"),
        ("down or response_time_ms = 1.5", 28, "response_time_ms = 1.5 is never true"),
        (
            "response_time_ms > 800 and response_time_ms < 801",
            24,
            "both sides of this and are never true at once",
        ),
        ("system and response_time_ms > 5", 8, "both sides of this and are never true at once"),
        (
            "up and response_time_ms > 5 and (down or degraded)",
            29,
            "both sides of this and are never true at once",
        ),
        (
            "("
            + " or ".join(f"response_time_ms = {n}" for n in range(9))
            + ") and ("
            + " or ".join(f"certificate_days = {n}" for n in range(9))
            + ")",
            216,
            "this makes more than 64 ways to be true; make it several rules",
        ),
        (
            " or ".join(f"response_time_ms = {n}" for n in range(1, 66)),
            1589,
            "this makes more than 64 ways to be true; make it several rules",
        ),
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
        ("cpu_percent >= 90% for 10m", "cpu_percent"),
        ("cpu_percent != 12.5", "cpu_percent"),
        ("cpu_percent = -1", "cpu_percent"),
        ("agent_offline", "agent_offline"),
        ("log.failed-login > 5 in 1m", "log.failed-login"),
        ("down or (cpu_percent > 90 and response_time_ms <= 5)", "cpu_percent"),
        ("down and cpu_percent > 5 and up", "cpu_percent"),
        ("response_time_ms > 5 or agent_offline", "agent_offline"),
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
    many = "(" + " or ".join(f"response_time_ms > {n}" for n in range(64)) + ")"
    with pytest.raises(ConditionError, match="more than 64 ways"):
        parse(" and ".join([many, many.replace("response_time_ms", "certificate_days")]))
    with pytest.raises(ConditionError, match="parentheses"):
        parse("(" * 100_000)
