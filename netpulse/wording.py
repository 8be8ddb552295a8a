"""What is wrong with a value, in words for people: msgspec's messages speak of types and lengths
as programmers do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def in_words(message: str, annotation: Any = None) -> str:
    """Return msgspec's `message` about a value, without its path, as what the value must be.

    `annotation` is the type that the value itself should have had; where it is a closed list of
    words, they are named.
    """
    for pattern, words in _RULES:
        found = pattern.fullmatch(message)
        if found is not None:
            return words(found)
    found = re.fullmatch(r"Invalid enum value (.*)", message, re.DOTALL)
    if found is not None:
        known = ", ".join(choices(annotation))
        return f"{found[1]} is none of {known}" if known else f"{found[1]} is not known here"
    return message[:1].lower() + message[1:]


def choices(annotation: Any) -> list[str]:
    """Return the words that a type is a closed list of, or nothing where it is none."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    origin = get_origin(annotation)
    if origin is Literal:
        return [str(value) for value in get_args(annotation)]
    if origin is Annotated:
        return choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [word for each in get_args(annotation) for word in choices(each)]
    return []


def _kinds(found: re.Match[str]) -> str:
    wanted = [_TYPES.get(word, word) for word in found[1].split(" | ")]
    either = ", ".join(wanted[:-1]) + " or " if len(wanted) > 1 else ""
    return f"must be {either}{wanted[-1]}, not {_TYPES.get(found[2], found[2])}"


def _bound(found: re.Match[str]) -> str:
    return f"must be at {'least' if found[1] == '>=' else 'most'} {found[2]}"


def _length(found: re.Match[str]) -> str:
    kind, sign, count = found[1], found[2], int(found[3])
    if sign == ">=" and count == 1:
        return "must not be empty"
    what = "character" if kind == "str" else "entry"
    if count != 1:
        what = "characters" if kind == "str" else "entries"
    return f"must have at {'least' if sign == '>=' else 'most'} {count:,} {what}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"Expected `([^`]*)`, got `([^`]*)`"), _kinds),
    (re.compile(r"Expected `(?:int|float)` (>=|<=) (\S+)"), _bound),
    (re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)"), _length),
    (
        re.compile(r"Expected `str` matching regex '(.*)'", re.DOTALL),
        lambda found: f"must have the form {found[1]}",
    ),
    (re.compile(r"Invalid value (.*)", re.DOTALL), lambda found: f"{found[1]} is not known here"),
    (re.compile(r"(?:Integer|Number) (?:value )?out of range"), lambda _: "is too large a number"),
)
