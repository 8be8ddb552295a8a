"""An organization: the tenant everything belongs to."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Quotas(Struct, frozen=True, kw_only=True, gc=False):
    """How much an organization may have. Of a client its MSP says so."""

    monitors: int | None = None
    """How many monitors; None: no limit."""
    users: int | None = None
    """How many members and open invitations; None: no limit."""
    retention_days: int | None = None
    """How far back raw results are shown, in days; None: as far as they are kept."""
    private_targets: bool = True
    """Whether private and loopback addresses may be reached."""


class Org(Struct, frozen=True, kw_only=True):
    """A tenant. `parent_id` names the MSP it is a client of."""

    id: Id
    name: str
    slug: str
    parent_id: Id | None = None
    timezone: str = "UTC"
    locale: str = "en"
    plan: str = "free"
    """The name of its quotas; nothing hangs on it."""
    quotas: Quotas = Quotas()
    created_at: Millis
    deleted_at: Millis | None = None
    """A deleted organization is no longer found by anybody; its audit log stays."""
    version: int = 1
