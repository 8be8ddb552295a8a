"""What an organization may call itself, and whose clocks it goes by."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.rules import push
from netpulse.rules.monitors_problem import CONTROL, Problem

LOCALES = ("en",)
"""The languages that NetPulse speaks."""


def problems(name: str, timezone: str, locale: str) -> Iterable[Problem]:
    """Yield what is wrong with the settings of an organization."""
    if not name.strip():
        yield Problem("$.name", "the name is empty")
    elif CONTROL.search(name):
        yield Problem("$.name", "has a line break or another control character")
    try:
        push.zone(timezone)
    except push.ScheduleError as trouble:
        yield Problem("$.timezone", str(trouble))
    if locale not in LOCALES:
        yield Problem("$.locale", f"{locale!r} is none of {', '.join(LOCALES)}")
