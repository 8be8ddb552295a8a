"""What changed between two states of a thing, field by field, for people to read."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

NOISE = frozenset({"version", "updated_at"})
"""Fields that change with every change, and say nothing of it."""
OWN = NOISE | {"id", "org_id", "created_at", "created_by"}
"""Fields that say nothing of what a thing was made as."""

LONGEST = 300
"""Characters of a value that are shown."""
DEEPEST = 4
"""Levels of fields within fields that are compared one by one; below, as a whole."""

NOTHING = "\u2013"
"""A dash."""
_SIMPLE = (str, int, float, bool, type(None))


class Difference(Struct, frozen=True):
    """One field: what it was and what it is, as text; None: there was or is no such field."""

    field: str
    """Fields within fields with a full stop: `auth.username`."""
    old: str | None
    new: str | None


def differences(before: Any, after: Any) -> list[Difference]:
    """Return what differs, by the order of the fields.

    Of a thing that was made (`before` is None) or removed (`after` is None) every field that has
    a value.
    """
    if before is None or after is None:
        hidden, known = OWN, before if after is None else after
        fields = _flat(known, hidden)
        kept = {name: value for name, value in fields.items() if not _is_empty(value)}
        if after is None:
            return [Difference(name, shown(value), None) for name, value in kept.items()]
        return [Difference(name, None, shown(value)) for name, value in kept.items()]
    old, new = _flat(before, NOISE), _flat(after, NOISE)
    found = []
    for name in dict.fromkeys((*old, *new)):
        was, is_now = old.get(name, _MISSING), new.get(name, _MISSING)
        if (was is _MISSING and _is_empty(is_now)) or (is_now is _MISSING and _is_empty(was)):
            continue
        # Python takes 1 and True for the same; they are not.
        if was != is_now or type(was) is not type(is_now):
            found.append(Difference(name, _or_none(was), _or_none(is_now)))
    return found


def shown(value: Any) -> str:
    """Return a value as people read it."""
    if _is_empty(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(each, _SIMPLE) for each in value):
        text = ", ".join(shown(each) for each in value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


class _Missing:
    """Stands for a field that is not there: null is a value."""


_MISSING = _Missing()


def _or_none(value: Any) -> str | None:
    return None if value is _MISSING else shown(value)


def _flat(value: Any, hidden: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a thing and of the things in it; what has no fields is its own one."""
    found: dict[str, Any] = {}
    if not isinstance(value, dict):
        return {"value": value}

    def take(fields: dict[str, Any], prefix: str, depth: int) -> None:
        for name, each in fields.items():
            if not prefix and name in hidden:
                continue
            if isinstance(each, dict) and each and depth < DEEPEST:
                take(each, f"{prefix}{name}.", depth + 1)
            else:
                found[f"{prefix}{name}"] = each

    take(value, "", 1)
    return found
