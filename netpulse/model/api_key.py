"""A key with which a program signs its requests."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis

RESOURCES = (
    "monitors",
    "incidents",
    "alerts",
    "status-pages",
    "maintenance",
    "org",
    "reports",
    "agents",
)
SCOPES = frozenset(
    {f"{resource}:{verb}" for resource in RESOURCES for verb in ("read", "write")}
    | {"audit:read", "metrics:read"}
)
"""What a key may be allowed; `write` of a resource includes reading it."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key, without itself: only its digest is stored."""

    id: Id
    org_id: Id
    """The one organization that it acts in."""
    created_by: Id
    """It may never do more than this person may at the moment."""
    name: str
    prefix: str
    """`np_` and eight characters: what tells keys apart in lists and logs."""
    digest: str
    """HMAC-SHA-256 of the whole key."""
    scopes: tuple[str, ...]
    last_used_at: Millis | None = None
    expires_at: Millis | None = None
    created_at: Millis
    version: int = 1

    def allows(self, scope: str) -> bool:
        """Tell whether it may do what needs `scope`."""
        resource, _, verb = scope.partition(":")
        return scope in self.scopes or (verb == "read" and f"{resource}:write" in self.scopes)
