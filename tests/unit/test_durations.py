"""Durations in words."""

from __future__ import annotations

import pytest

from netpulse.model.time import DAY, HOUR, MINUTE, SECOND
from netpulse.rules.durations import lasted


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (45 * SECOND, "45 s"),
        (90 * SECOND, "1 min 30 s"),
        (5 * MINUTE, "5 min"),
        (12 * MINUTE + 4 * SECOND, "12 min"),
        (2 * HOUR + SECOND, "2 h"),
        (2 * HOUR + 5 * MINUTE, "2 h 5 min"),
        (3 * DAY + 4 * HOUR + MINUTE, "3 d 4 h"),
        (3 * DAY + MINUTE, "3 d"),
    ],
)
def test_durations_in_words(milliseconds: int, words: str) -> None:
    assert lasted(milliseconds) == words
