"""The language of a rule's condition: ``down or degraded``, ``response_time_ms > 800 for 5m``.

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "(" condition ")" | word | comparison
    comparison = measure operator number [ "%" ] [ ( "for" | "in" ) duration ]
    operator   = ">" | ">=" | "<" | "<=" | "=" | "!="
    duration   = whole number and a unit: s, m, h or d

The whole grammar is read, so that a mistake is answered with its column whatever the words; a
word that nothing feeds yet is refused rather than accepted and ignored.

What was read is kept as alternatives, each of them what must be so at once (the disjunctive
normal form): `(up or degraded) and response_time_ms > 800` is two of them. One that is a word
alone is told when the monitor changes to that state; one with a comparison (a `Term`) when it
becomes true.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from msgspec import Struct

from netpulse.model.alert import Event
from netpulse.model.time import DAY, Millis
from netpulse.rules.terms import (
    FED,
    MOST_ALTERNATIVES,
    OPERATORS,
    UNITS,
    Comparison,
    Term,
    both,
    distinct,
    never,
    number_text,
)

STATES = frozenset({"down", "up", "degraded"})
"""Words that name the state a monitor has changed to."""

AVAILABLE = STATES | {"system"}
"""The words that stand alone and that something feeds."""

MEASURES = FED | {"cpu_percent"}
"""Words that are compared with a number; so is every `log.NAME`."""

WORDS = AVAILABLE | MEASURES | {"agent_offline"}
"""All words of the language, apart from `log.NAME`."""

_EVENTS: dict[str, frozenset[Event]] = {
    "down": frozenset({Event.MONITOR_DOWN}),
    "up": frozenset({Event.MONITOR_UP}),
    "degraded": frozenset({Event.MONITOR_DEGRADED}),
    "system": frozenset({Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED}),
}
_KEYWORDS = frozenset({"and", "or", "for", "in"})
_DEEPEST = 50
_LONGEST_WINDOW = 30 * DAY
_LARGEST = 1e12


class ConditionError(ValueError):
    """The text is no condition. `column` counts characters from 1."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column
        self.message = message


class ConditionUnavailable(ValueError):
    """The condition is well formed, but nothing feeds one of its words yet."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word} cannot be used in a condition yet: nothing measures it here")
        self.word = word


class Condition(Struct, frozen=True):
    """A condition that was understood: it is told when any one of its words or terms comes true."""

    words: frozenset[str]
    """Those that suffice alone."""
    terms: tuple[Term, ...] = ()
    """Those with a measure; none of them says what a word of `words` says already."""

    @property
    def events(self) -> frozenset[Event]:
        """The events its words react to; a problem's recovery comes on top of them."""
        return frozenset().union(*(_EVENTS[word] for word in self.words))


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Condition:
    """Return the condition that `text` says.

    Raises:
        ConditionError: `text` is no condition, or one that can never be true.
        ConditionUnavailable: a word of it has no source yet.
    """
    reader = _Reader(text)
    found = reader.condition(0)
    token = reader.peek()
    if token.kind == ")":
        raise ConditionError(token.column, "there is no ( for this )")
    if token.kind != "end":
        raise ConditionError(token.column, f"expected and, or, or the end, not {token.text!r}")
    if reader.unavailable:
        raise ConditionUnavailable(reader.unavailable[0])
    words = frozenset(one.state for one in found if one.state and not one.comparisons)
    return Condition(words, tuple(one for one in found if one.comparisons))


class _Token(Struct, frozen=True):
    kind: str
    """word, number, operator, (, ), bad or end."""
    text: str
    column: int


def _tokens(text: str) -> list[_Token]:
    """Cut the text into tokens; ends with one of kind `end`."""
    found: list[_Token] = []
    at = 0
    while at < len(text):
        char, start = text[at], at
        if char in " \t\r\n":
            at += 1
            continue
        if char in "()":
            kind = char
            at += 1
        elif char in "<>=!":
            kind = "operator"
            at = _run(text, at, lambda c: c in "<>=!")
        elif char.isascii() and (char.isdigit() or char == "-"):
            kind = "number"
            at = _run(text, at + 1, lambda c: c.isascii() and (c.isalnum() or c in ".%"))
        elif char.isascii() and (char.isalpha() or char == "_"):
            kind = "word"
            at = _run(text, at, lambda c: c.isascii() and (c.isalnum() or c in "_.-"))
        else:
            kind = "bad"
            at += 1
        found.append(_Token(kind, text[start:at], start + 1))
    found.append(_Token("end", "the end", len(text) + 1))
    return found


def _run(text: str, at: int, belongs: Callable[[str], bool]) -> int:
    while at < len(text) and belongs(text[at]):
        at += 1
    return at


class _Reader:
    """One pass over the tokens. Every method returns the alternatives that make it true; none
    where a word of it is fed by nothing."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self.unavailable: list[str] = []

    def peek(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        token = self.peek()
        if token.kind == "word" and token.text == word:
            self._at += 1
            return True
        return False

    def condition(self, depth: int) -> tuple[Term, ...]:
        found = self._all(depth)
        while True:
            column = self.peek().column
            if not self._takes("or"):
                return found
            found = _bounded((*found, *self._all(depth)), column)

    def _all(self, depth: int) -> tuple[Term, ...]:
        found = self._one(depth)
        while True:
            column = self.peek().column
            if not self._takes("and"):
                return found
            other = self._one(depth)
            pairs = (both(left, right) for left in found for right in other)
            joined = _bounded((one for one in pairs if one is not None), column)
            # Where a measure without a source is involved nobody can say yet, and the condition
            # is refused as unavailable anyway.
            if not joined and not self.unavailable:
                raise ConditionError(column, "both sides of this and are never true at once")
            found = joined

    def _one(self, depth: int) -> tuple[Term, ...]:
        token = self._take()
        if token.kind == "(":
            if depth >= _DEEPEST:
                raise ConditionError(token.column, "too many parentheses inside each other")
            found = self.condition(depth + 1)
            close = self._take()
            if close.kind != ")":
                raise ConditionError(close.column, f"expected ), not {close.text!r}")
            return found
        if token.kind != "word" or token.text in _KEYWORDS:
            raise ConditionError(token.column, _expected_word(token))
        name = token.text
        if name in MEASURES or name.startswith("log."):
            return self._comparison(token)
        if name not in WORDS:
            raise ConditionError(token.column, _unknown(name))
        behind = self.peek()
        if behind.kind == "operator":
            raise ConditionError(behind.column, f"{name} stands alone: it is not compared")
        if behind.kind == "word" and behind.text in {"for", "in"}:
            raise ConditionError(behind.column, f"{behind.text} belongs behind a comparison")
        if name not in AVAILABLE:
            self.unavailable.append(name)
            return ()
        return (Term(name, ()),)

    def _comparison(self, measure: _Token) -> tuple[Term, ...]:
        name = measure.text
        if name == "log.":
            raise ConditionError(measure.column, "log. needs a name: log.NAME")
        sign = self._take()
        if sign.kind != "operator":
            raise ConditionError(sign.column, f"{name} is compared: expected >, >=, <, <=, = or !=")
        if sign.text not in OPERATORS:
            raise ConditionError(sign.column, f"{sign.text!r} is none of >, >=, <, <=, = and !=")
        number = self._take()
        if number.kind != "number" or not _is_number(number.text):
            raise ConditionError(number.column, f"expected a number, not {number.text!r}")
        if name in FED and number.text.endswith("%"):
            raise ConditionError(number.column, f"{name} is no percentage: leave the % away")
        value = float(number.text.removesuffix("%")) + 0.0  # there is one zero only
        if abs(value) > _LARGEST:
            raise ConditionError(number.column, "this number is too large")
        window_ms = self._window(name)
        if name not in FED:
            self.unavailable.append(name)
            return ()
        found = Comparison(name, sign.text, value, window_ms)
        if never([found]):
            raise ConditionError(
                number.column, f"{name} {sign.text} {number_text(value)} is never true"
            )
        return (Term(None, (found,)),)

    def _window(self, measure: str) -> Millis:
        """Return the milliseconds behind `for` or `in`, or 0 where there is neither."""
        word = self.peek()
        if not self._takes("for") and not self._takes("in"):
            return 0
        wanted = "in" if measure.startswith("log.") else "for"
        if word.text != wanted:
            raise ConditionError(word.column, f"behind {measure} it is {wanted}, not {word.text}")
        duration = self._take()
        if duration.kind != "number" or not _is_duration(duration.text):
            raise ConditionError(
                duration.column, f"expected a duration such as 5m, not {duration.text!r}"
            )
        window_ms = int(duration.text[:-1]) * UNITS[duration.text[-1]]
        if window_ms > _LONGEST_WINDOW:
            raise ConditionError(duration.column, "nothing longer than 30d is kept in mind")
        return window_ms


def _bounded(found: Iterable[Term], column: int) -> tuple[Term, ...]:
    kept = distinct(found)
    if len(kept) > MOST_ALTERNATIVES:
        raise ConditionError(
            column,
            f"this makes more than {MOST_ALTERNATIVES} ways to be true; make it several rules",
        )
    return kept


def _expected_word(token: _Token) -> str:
    if token.kind == "end":
        return "the condition ends here; expected a word such as down"
    return f"expected a word such as down, not {token.text!r}"


def _unknown(name: str) -> str:
    near = get_close_matches(name.lower(), sorted(WORDS), n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(WORDS))}"
    return f"unknown word {name}{hint}"


def _is_number(text: str) -> bool:
    whole, _, part = text.removesuffix("%").removeprefix("-").partition(".")
    return whole.isdigit() and (part.isdigit() or "." not in text)


def _is_duration(text: str) -> bool:
    # A longer number is no duration anybody means, and slow to read.
    return text[:-1].isdigit() and len(text) < 20 and int(text[:-1]) > 0 and text[-1] in UNITS
