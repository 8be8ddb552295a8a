"""What is wrong with a value, said for people: against msgspec's own messages."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from netpulse.wording import in_words


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class One(Struct, tag_field="type", tag="one"):
    name: str


class Two(Struct, tag_field="type", tag="two"):
    name: str


SAID: list[tuple[Any, Any, str]] = [
    (int, "x", "must be a whole number, not text"),
    (int, 1.5, "must be a whole number, not a number"),
    (int, True, "must be a whole number, not true or false"),
    (int | None, "x", "must be a whole number or null, not text"),
    (int | str | None, [], "must be a whole number, text or null, not a list"),
    (list[int], {}, "must be a list, not an object"),
    (dict[str, int], None, "must be an object, not null"),
    (Annotated[int, Meta(ge=10)], 9, "must be at least 10"),
    (Annotated[int, Meta(le=100)], 101, "must be at most 100"),
    (Annotated[str, Meta(min_length=1)], "", "must not be empty"),
    (Annotated[str, Meta(min_length=3)], "", "must have at least 3 characters"),
    (Annotated[str, Meta(max_length=1)], "ab", "must have at most 1 character"),
    (Annotated[str, Meta(max_length=65_536)], "x" * 70_000, "must have at most 65,536 characters"),
    (Annotated[list[int], Meta(max_length=1)], [1, 2], "must have at most 1 entry"),
    (Annotated[dict[str, int], Meta(max_length=0)], {"a": 1}, "must have at most 0 entries"),
    (Annotated[str, Meta(pattern="^[A-Z]+$")], "get", "must have the form ^[A-Z]+$"),
    (Colour, "green", "'green' is none of red, blue"),
    (Colour | None, "green", "'green' is none of red, blue"),
    (Literal["a", "b"], "c", "'c' is none of a, b"),
    (Annotated[Literal["a", "b"] | None, Meta(description="x")], "c", "'c' is none of a, b"),
    (One | Two, {"type": "three"}, "'three' is not known here"),
    (One | Two, {"type": "x'y\nz"}, '"x\'y\\nz" is not known here'),
]


@pytest.mark.parametrize(("kind", "value", "said"), SAID)
def test_in_words(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(value, kind)
    assert in_words(str(error.value).partition(" - at `$")[0], kind) == said


def test_what_it_does_not_know_stays() -> None:
    assert in_words("Something else") == "something else"
    assert in_words("Invalid enum value 'x'") == "'x' is not known here"
