"""A letter: mail from NetPulse itself to one person, about their account or an invitation, or with
the news of a status page that they subscribed to."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class LetterKind(StrEnum):
    """What a letter is about."""

    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the kind's name, not a secret
    SECURITY = "security"
    """Something about the account has changed."""
    SUBSCRIPTION = "subscription"
    """Whether somebody indeed wants the news of a status page."""
    STATUS_NEWS = "status_news"
    """News of a status page, for a subscriber."""


class LetterState(StrEnum):
    """What has become of a letter."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    """It was given up."""


class Letter(Struct, frozen=True, kw_only=True):
    """One letter. Its text is sealed at rest, for a link in it may be a capability."""

    id: Id
    kind: LetterKind
    org_id: Id | None = None
    user_id: Id | None = None
    subscriber_id: Id | None = None
    """Of a status page, whom it is written to: it says how that ends (RFC 8058)."""
    recipient: str
    """One email address."""
    subject: str
    text: str
    """Plain text; "" where it was not asked for, and once the letter was sent or given up: nothing
    of it is kept."""
    created_at: Millis
    expires_at: Millis
    """From when on it is of no use and is not sent any more."""
    next_attempt_at: Millis | None
    """When it is tried next; None: sent, or given up."""
    attempt_count: int = 0
    sent_at: Millis | None = None
    error: str | None = None
    """Why the last attempt failed, or why there is no other."""
    damage: str | None = None
    """Why its text cannot be read: it can never be sent then."""

    @property
    def state(self) -> LetterState:
        """What has become of it."""
        if self.sent_at is not None:
            return LetterState.SENT
        return LetterState.FAILED if self.next_attempt_at is None else LetterState.WAITING
