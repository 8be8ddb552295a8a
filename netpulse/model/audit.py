"""A row of the audit log: append-only, one hash chain per organization."""

from __future__ import annotations

from msgspec import Raw, Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class AuditRow(Struct, frozen=True, kw_only=True):
    """Who did what, when, from where, with the state before and after (secrets left out)."""

    id: Id
    org_id: Id
    seq: int
    """1, 2, 3 … within the organization, without a hole."""
    action: str
    """noun.verb in the past tense: monitor.created, auth.login_failed."""
    resource_type: str
    resource_id: Id | None
    actor_kind: str
    user_id: Id | None
    actor_label: str
    ip_address: str | None
    user_agent: str | None
    payload: Raw
    """JSON: {"before": …, "after": …}; with `actor_org` {id, name} where somebody acted from
    another organization: a provider's people, and super administrators."""
    created_at: Millis
    prev_hash: str
    hash: str
    """SHA-256, hex, over prev_hash and the row's own fields."""
