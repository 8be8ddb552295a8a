"""At which days left a certificate is told of, and in which words."""

from __future__ import annotations

import pytest

from netpulse.model.check import Certificate
from netpulse.model.time import DAY, HOUR, SECOND, Millis, parse_rfc3339
from netpulse.rules import certificates

MADE = parse_rfc3339("2026-01-01T00:00:00Z")


def certificate(days: float, fingerprint: str = "aa", made: Millis = MADE) -> Certificate:
    """Return a certificate of that many days, as authorities make them: the last second counts."""
    return Certificate(
        subject="shop.example",
        issuer="Example CA",
        not_before=made,
        not_after=made + round(days * DAY) - SECOND,
        fingerprint=fingerprint,
    )


@pytest.mark.parametrize(
    ("days", "bound", "thresholds"),
    [
        (365, 30, (30, 14, 7, 3, 1, 0)),
        (365, 14, (14, 7, 3, 1, 0)),
        (365, 20, (20, 14, 7, 3, 1, 0)),
        (365, 60, (60, 30, 14, 7, 3, 1, 0)),
        # None above a third of the validity, and a third exactly is not above.
        (90, 60, (30, 14, 7, 3, 1, 0)),
        (90, 30, (30, 14, 7, 3, 1, 0)),
        (89, 30, (14, 7, 3, 1, 0)),
        (47, 30, (14, 7, 3, 1, 0)),
        (10, 14, (3, 1, 0)),
        (6, 14, (1, 0)),
        (6, 2, (2, 1, 0)),
        (1, 14, (0,)),
        (365, 1, (1, 0)),
        (365, 0, (0,)),
        (365, -5, (-5,)),
    ],
)
def test_the_thresholds_of_a_certificate(
    days: int, bound: int, thresholds: tuple[int, ...]
) -> None:
    assert certificates.thresholds(bound, certificate(days)) == thresholds


@pytest.mark.parametrize(
    ("left", "days", "crossed"),
    [
        (14 * DAY, 14, ()),
        (14 * DAY - 1, 13, (14,)),
        (7 * DAY, 7, (14,)),
        (7 * DAY - 1, 6, (14, 7)),
        (23 * HOUR, 0, (14, 7, 3, 1)),
        (0, 0, (14, 7, 3, 1)),
        (-1, -1, (14, 7, 3, 1, 0)),
        (-3 * DAY, -3, (14, 7, 3, 1, 0)),
    ],
)
def test_the_thresholds_behind_it(left: Millis, days: int, crossed: tuple[int, ...]) -> None:
    seen = certificate(365)
    at = seen.not_after - left

    assert certificates.days_left(seen, at) == days
    assert certificates.crossed(14, seen, at) == crossed


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (13 * DAY + 1, "expires in 13 days, on 2026-12-31"),
        (DAY, "expires in 1 day, on 2026-12-31"),
        (HOUR, "expires in less than a day, on 2026-12-31"),
        (-1, "has expired, on 2026-12-31"),
    ],
)
def test_the_words_of_a_notice(left: Millis, words: str) -> None:
    seen = certificate(365)

    assert certificates.expiring(seen, seen.not_after - left) == (
        f"certificate of shop.example {words}"
    )


def test_the_words_of_a_renewal() -> None:
    assert certificates.renewed(certificate(90)) == (
        "certificate of shop.example renewed: valid until 2026-03-31"
    )
