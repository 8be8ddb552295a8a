"""Rights in a client for the provider's people, and what the logs of both say of them."""

from __future__ import annotations

from typing import Any

from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.user import Membership, Role
from netpulse.storage import users
from netpulse.web.session import Deed


def give(
    deed: Deed,
    client: Org,
    user_id: Id,
    email: str,
    role: Role,
    before: Membership | None,
) -> None:
    """Give somebody of the provider rights in a client, noted in both logs."""
    users.put_membership(
        deed.conn,
        Membership(
            user_id=user_id,
            org_id=client.id,
            role=role,
            is_grant=True,
            granted_by=deed.actor.user_id,
            created_at=deed.now if before is None else before.created_at,
        ),
    )
    note_grant(
        deed,
        "grant.given" if before is None else "grant.changed",
        client,
        user_id,
        email,
        before=None if before is None else before.role,
        after=role,
    )


def note_grant(
    deed: Deed,
    action: str,
    client: Org,
    user_id: Id,
    email: str,
    *,
    before: Role | None,
    after: Role | None,
) -> None:
    """Write what became of a grant into the logs of the provider and of the client."""

    def shown_as(role: Role | None) -> dict[str, Any] | None:
        if role is None:
            return None
        return {"email": email, "role": role.word, "client": {"id": client.id, "name": client.name}}

    was, now = shown_as(before), shown_as(after)
    deed.note(action, "grant", user_id, before=was, after=now)
    deed.note_in(client.id, action, "grant", user_id, before=was, after=now)
