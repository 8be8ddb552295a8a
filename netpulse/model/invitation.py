"""An invitation: whoever holds its link may join an organization, once, for a week."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import DAY, Millis
from netpulse.model.user import Role

VALID = 7 * DAY
"""How long a link may be used."""
KEPT = 90 * DAY
"""How long it is known that there was one, after it was accepted or has expired."""


class Invitation(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody is asked into an organization. The link's token is stored as its digest alone."""

    id: Id
    org_id: Id
    email: str
    """Whom it is for, in lower case; only they may accept it."""
    role: Role
    """What they will be: viewer or admin."""
    invited_by: Id | None = None
    """The user who asked them; None: the command line."""
    created_at: Millis
    expires_at: Millis
    accepted_at: Millis | None = None
    accepted_by: Id | None = None
    version: int = 1
    """Counts the links: each makes the one before it worthless."""

    def is_open(self, now: Millis) -> bool:
        """Tell whether it may still be accepted."""
        return self.accepted_at is None and now < self.expires_at
