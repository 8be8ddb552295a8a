"""When which target is unwell: a piece of music, the same at every start.

Pure: what a target does at a moment follows from its rhythm, its name and the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

SEED = 2026
"""Another one plays another piece."""

Span = tuple[float, float]
"""The shortest and the longest, in seconds."""


class Mood(StrEnum):
    """What a target does."""

    WELL = "well"
    SLOW = "slow"
    """It answers, but late."""
    BROKEN = "broken"
    """It answers that it has failed: a status, a wrong record, a ping that says so."""
    WRONG = "wrong"
    """It answers well, with something else in it than what is expected."""
    SILENT = "silent"
    """It takes the connection, or the question, and says nothing."""
    AWAY = "away"
    """Nobody listens."""


class Stretch(Struct, frozen=True):
    """A time in which a target is unwell; seconds since the start."""

    begins: float
    ends: float
    mood: Mood


class Rhythm(Struct, frozen=True, kw_only=True):
    """How often a target is unwell, how long, and in which way."""

    mood: Mood = Mood.WELL
    """WELL: never, but for the opening."""
    quiet: Span = (600.0, 1500.0)
    """Between two times of it."""
    lasts: Span = (60.0, 180.0)
    times: int = 1
    """How often in a row, with pauses as long as it lasts: more than a few is flapping."""
    opening: tuple[Stretch, ...] = ()
    """What comes first, in its order."""


def stretches(name: str, rhythm: Rhythm, seed: int = SEED) -> Iterator[Stretch]:
    """Yield when the target `name` is unwell, in the order of time, without end unless it is
    always well after the opening."""
    dice = random.Random(f"{seed}/{name}")
    at = 0.0
    for first in rhythm.opening:
        yield first
        at = first.ends
    if rhythm.mood is Mood.WELL:
        return
    while True:
        at += dice.uniform(*rhythm.quiet)
        for time in range(rhythm.times):
            if time:
                at += dice.uniform(*rhythm.lasts)
            begins, at = at, at + dice.uniform(*rhythm.lasts)
            yield Stretch(begins, at, rhythm.mood)


class Part:
    """One target's part of the piece, played forwards."""

    def __init__(self, name: str, rhythm: Rhythm, seed: int = SEED) -> None:
        """Begin at the beginning."""
        self._coming = stretches(name, rhythm, seed)
        self._next: Stretch | None = next(self._coming, None)

    def mood(self, at: float) -> Mood:
        """Return what the target does `at` seconds after the start; never asked backwards."""
        while self._next is not None and self._next.ends <= at:
            self._next = next(self._coming, None)
        if self._next is None or at < self._next.begins:
            return Mood.WELL
        return self._next.mood
