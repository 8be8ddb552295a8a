"""Figures as a reader of this request's language writes them: durations, shares, milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.web.languages import SOURCE, current, mark, plural, say

NONE = "\N{EN DASH}"
_S, _MIN, _H, _D = mark("s"), mark("min"), mark("h"), mark("d")


def duration(seconds: float | None) -> str:
    """Return whole seconds in words, two units at most; static/time.js says the same."""
    if seconds is None:
        return NONE
    s = int(seconds)
    if s < 60:
        return _in(_S, s)
    if s < 3600:
        return _in(_MIN, s // 60) + (_rest(_S, s % 60) if s < 600 else "")
    if s < 86_400:
        return _in(_H, s // 3600) + _rest(_MIN, s % 3600 // 60)
    return _in(_D, s // 86_400) + _rest(_H, s % 86_400 // 3600)


def _in(unit: str, n: int) -> str:
    return f"{n} {say(unit)}"


def _rest(unit: str, n: int) -> str:
    return f" {n} {say(unit)}" if n else ""


def decimal(number: object) -> str:
    """Return a number with the language's sign in front of its decimals."""
    text, sign = str(number), current().decimal
    return text if sign == "." else text.replace(".", sign)


def many(n: int) -> str:
    """Return a whole number with a sign between the thousands."""
    return f"{n:,}" if current().decimal == "." else f"{n:,}".replace(",", ".")


def percent(value: float | None) -> str:
    """Return a share (0 to 100) rounded down: 99.9996 is not 100."""
    if value is None:
        return NONE
    if value >= 100:
        return say("%(number)s%%", number=100)
    return say("%(number)s%%", number=decimal(f"{int(value * 100 + 0.000001) / 100:.2f}"))


def ms(value: float | None) -> str:
    """Return milliseconds."""
    return NONE if value is None else f"{decimal(value)} ms"


def outages(n: int) -> str:
    """Return how many there were as what stands behind a duration: " (2 outages)"; "" for none."""
    return " (" + plural(n, "%(num)s outage", "%(num)s outages") + ")" if n else ""


def within(word: str) -> str:
    """Return a word as it stands within a sentence: where a language has capitals for nouns only
    it knows them, in English there are none."""
    return word.lower() if current().code == SOURCE else word


def listed(names: Iterable[str], more: int) -> str:
    """Return names with commas between, and how many more there are."""
    joined = ", ".join(names)
    return say("%(names)s and %(n)s more", names=joined, n=more) if more > 0 else joined
