"""Which notices a certificate is worth while it runs out: one a threshold, and few of them."""

from __future__ import annotations

from netpulse.model.check import Certificate
from netpulse.model.time import DAY, SECOND, Millis, rfc3339

THRESHOLDS = (30, 14, 7, 3, 1, 0)
"""Days left at which a notice is due, below the number that a rule names; 0: it has expired."""

_PARTS = 3


def days_left(certificate: Certificate, at: Millis) -> int:
    """Return the whole days from `at` until the certificate ends, rounded down: below 0 it has."""
    return (certificate.not_after - at) // DAY


def thresholds(bound: int, certificate: Certificate) -> tuple[int, ...]:
    """Return the days at which a rule `certificate_days < bound` is told of, the first one first.

    None lies above a third of the validity period, which includes its last second (RFC 5280,
    4.1.2.5): a certificate of six days would else be told of on the day it was made.
    """
    validity = certificate.not_after - certificate.not_before + SECOND
    wanted = {bound, *(days for days in THRESHOLDS if days < bound)}
    return tuple(sorted((days for days in wanted if days * DAY * _PARTS <= validity), reverse=True))


def crossed(bound: int, certificate: Certificate, at: Millis) -> tuple[int, ...]:
    """Return those of its thresholds that lie behind a certificate at `at`; the last one is what
    is to be told."""
    left = days_left(certificate, at)
    return tuple(days for days in thresholds(bound, certificate) if left < days)


def expiring(certificate: Certificate, at: Millis) -> str:
    """Return the sentence that tells of a certificate running out, or run out."""
    ends = _date(certificate.not_after)
    left = certificate.not_after - at
    if left < 0:
        return f"certificate of {certificate.subject} has expired, on {ends}"
    return f"certificate of {certificate.subject} expires in {in_days(left)}, on {ends}"


def renewed(certificate: Certificate) -> str:
    """Return the sentence that tells of another certificate in the place of one that ran out."""
    return (
        f"certificate of {certificate.subject} renewed: valid until {_date(certificate.not_after)}"
    )


def in_days(left: Millis) -> str:
    """Return milliseconds (not below 0) in whole days, in words."""
    days = left // DAY
    return "less than a day" if days == 0 else "1 day" if days == 1 else f"{days:,} days"


def _date(at: Millis) -> str:
    return rfc3339(at - at % SECOND)[:10]
