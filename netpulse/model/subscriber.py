"""A subscriber of a status page: an address that wants to hear what the page tells."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import DAY, HOUR, Millis

CONFIRM_WITHIN: Millis = 2 * DAY
"""How long an address has to say that it was indeed its owner who asked."""
ASK_AGAIN: Millis = HOUR
"""How often the same address is asked at most."""


FORGIVEN: Millis = 14 * DAY
"""One that has taken nothing for so long is removed."""


class SubscriberKind(StrEnum):
    """How somebody is told."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class Subscriber(Struct, frozen=True, kw_only=True):
    """One subscriber of one page. The address is sealed at rest: a webhook's may be a secret."""

    id: Id
    page_id: Id
    kind: SubscriberKind
    address: str
    """An email address or a URL; "" where it does not open."""
    created_at: Millis
    asked_at: Millis
    """When it was asked last whether it wants this."""
    confirmed_at: Millis | None = None
    """Nothing is told before."""
    news_from: int = 0
    """The first issue that is on its way to it, or went last."""
    news_to: int = 0
    """The last one of the same; later ones are still to be written to it."""
    attempt_count: int = 0
    """Of a webhook: attempts at what is on its way."""
    next_attempt_at: Millis | None = None
    """Of a webhook: when it is tried next; None: nothing is on its way."""
    gives_up_at: Millis | None = None
    """From when on what is on its way is of no use any more."""
    failing_since: Millis | None = None
    """Since when it has taken nothing, or its mail server knows no such address."""
    error: str | None = None
    """Why the last attempt failed."""
    damage: str | None = None
    """Why its address cannot be read."""
