"""The words of verdicts: short, on one line, whatever a target sent."""

from __future__ import annotations

import json
from typing import Any

from netpulse.model.check import Failure, Result, Verdict

_LONGEST_QUOTE = 100


def down(failure: Failure, message: str, detail: str | None = None) -> Verdict:
    """Return that the target is down, and why."""
    return Verdict(Result.DOWN, failure, detail, message)


def nothing() -> Verdict:
    """Return that a reading without an answer and without a failure says nothing: no data is never
    up."""
    return Verdict(
        Result.INCONCLUSIVE,
        Failure.INTERNAL,
        None,
        "the probe brought back neither an answer nor a failure",
    )


def quoted(text: str) -> str:
    """Return a text in quotation marks, on one line and not too long."""
    return cut(json.dumps(text, ensure_ascii=False))


def shown(value: Any) -> str:
    """Return a JSON value, not too long."""
    try:
        return cut(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return "something too large to show"


def cut(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
