"""What the API says of a request (in English, whoever asks), as pages repeat it to a reader.

A page shows the API's own refusal at its form, so that both obey one law. Here its sentences are
marked; one that is not known stays English.
"""

from __future__ import annotations

import re
from functools import cache

from netpulse.web.languages import SOURCE, code, mark, say

PHRASES = (
    mark("must not be empty"),
    mark("must be at least %(least)s"),
)


def phrase(message: str) -> str:
    """Return a message of the API in the language of the request."""
    if code() == SOURCE:
        return message
    said = say(message)
    if said != message:
        return said
    for text, pieces in _forms():
        values = _filled(pieces, message)
        if values is not None:
            return say(text, **values)
    return message


@cache
def _forms() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return those with placeholders, each with its pieces: text, name, text, …, text."""
    return tuple((text, tuple(_PLACE.split(text))) for text in PHRASES if "%(" in text)


_PLACE = re.compile(r"%\((\w+)\)s")


def _filled(pieces: tuple[str, ...], message: str) -> dict[str, str] | None:
    """Return by name what stands in `message` at the places of a text, or None if it is another."""
    if not message.startswith(pieces[0]):
        return None
    values: dict[str, str] = {}
    at = len(pieces[0])
    last = len(pieces) - 1
    for i in range(1, last, 2):
        name, after = pieces[i], pieces[i + 1]
        if i + 1 == last:
            end = len(message) - len(after)
            if end <= at or not message.endswith(after):
                return None
        else:
            end = message.find(after, at + 1)
            if end < 0:
                return None
        values[name] = message[at:end]
        at = end + len(after)
    return values
