"""Messages of rules: a closed set of placeholders, replaced once; nothing else is ever run."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpulse.rules import templates
from netpulse.rules.templates import LONGEST_BYTES, PLACEHOLDERS, SAMPLES, fill, preview, problem

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


def test_every_placeholder_has_words_and_a_sample() -> None:
    assert PLACEHOLDERS.keys() == SAMPLES.keys()
    everything = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    assert problem(everything) is None
    assert fill(everything, VALUES) == " ".join(VALUES.values())
    assert all(sample in preview(everything) for sample in SAMPLES.values())


@pytest.mark.parametrize(
    "text",
    [
        "{{7*7}}",
        "{{monitor}}",
        "{{ monitor }}",
        '{% include "/etc/passwd" %}',
        "{{x.__class__}}",
        "{monitor.__class__}",
        "{monitor!r}",
        "{monitor:>1000000000}",
        "{0}",
        "{}",
        "{ monitor }",
        "${monitor:-x}".replace("{monitor", "{ monitor"),
        "%(monitor)s",
        "$monitor",
        "#{monitor }",
        "<%= monitor %>",
        "{{{monitor}}}",
        "\\{",
    ],
)
def test_what_is_no_placeholder_stays_as_it_is(text: str) -> None:
    assert fill(text, VALUES) == text


def test_what_was_put_in_is_not_read_again() -> None:
    values = {**VALUES, "monitor": "{target}{monitor}\\1", "target": "{{reason}}"}
    assert fill("{monitor}|{target}", values) == "{target}{monitor}\\1|{{reason}}"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{moniter} is down", "column 1: {moniter} is no placeholder"),
        ("It is {name}", "column 7: {name} is no placeholder"),
        ("Hello\nit is {name}", "line 2, column 7: {name} is no placeholder"),
        ("{Monitor}", "column 1: {Monitor} is no placeholder"),
    ],
)
def test_unknown_names_are_refused_with_their_place(text: str, where: str) -> None:
    said = problem(text)
    assert said is not None
    assert said.startswith(where)
    assert "{acknowledge_url}" in said


def test_output_has_an_end() -> None:
    filled = fill("{reason}" * 1000, {**VALUES, "reason": "ä" * 10_000})
    assert len(filled.encode()) <= LONGEST_BYTES
    assert problem("{reason}" * 2_000_000) is not None
    assert problem("x" * templates.LONGEST_TEMPLATE) is None
    assert problem("x" * (templates.LONGEST_TEMPLATE + 1)) is not None


def test_half_a_character_is_no_character() -> None:
    assert fill("\ud83d {monitor}", VALUES).endswith(" <monitor>")


def test_the_handbook_names_every_placeholder() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "channels.md").read_text()
    for name, words in PLACEHOLDERS.items():
        assert f"| `{{{name}}}` | {words} |" in text
