"""An organization: the tenant everything belongs to."""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Org(Struct, frozen=True, kw_only=True):
    """A tenant. `parent_id` names the MSP it is a client of."""

    id: Id
    name: str
    slug: str
    parent_id: Id | None = None
    timezone: str = "UTC"
    locale: str = "en"
    created_at: Millis
    version: int = 1
