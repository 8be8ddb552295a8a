"""What a client looks like to its provider."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.org import Quotas
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.model.watch import Status
from netpulse.storage.clients import Client
from netpulse.storage.quotas import Used
from netpulse.web.house import House
from netpulse.web.session import OrgSession

ClientRole = Literal["viewer", "admin"]


class Health(Struct, frozen=True, kw_only=True, gc=False):
    """How many monitors are in each state."""

    up: int
    degraded: int
    down: int
    unknown: int
    maintenance: int
    paused: int
    pending: int


class ClientAnswer(Struct, frozen=True, kw_only=True):
    """A client, as its provider sees it."""

    id: Id
    name: str
    slug: str
    plan: str
    quotas: Quotas
    timezone: str
    locale: str
    usage: Used
    health: Health | None
    """Null without a grant: nobody looks into a client by the way."""
    my_role: ClientRole | None
    """What you may do there; null: nothing."""
    created_at: str
    version: int


def role_in(session: OrgSession, client: Client) -> Role | None:
    """Return what the session's person may do in a client. A key acts in its own organization
    only, and a super administrator everywhere."""
    if session.key is not None:
        return None
    granted = client.grants.get(session.user.id)
    return Role.ADMIN if session.role is Role.SUPER_ADMIN else granted


def health_of(house: House, client_id: Id) -> Health:
    """Return how many of an organization's monitors are in each state; it costs nothing."""
    counts = house.engine.roster.counts(client_id)
    return Health(**{status.value: counts[status] for status in Status})


def shown(house: House, session: OrgSession, client: Client) -> ClientAnswer:
    """Return a client as the API answers it."""
    org, role = client.org, role_in(session, client)
    return ClientAnswer(
        id=org.id,
        name=org.name,
        slug=org.slug,
        plan=org.plan,
        quotas=org.quotas,
        timezone=org.timezone,
        locale=org.locale,
        usage=client.used,
        health=None if role is None else health_of(house, org.id),
        my_role=None if role is None else role.word,  # type: ignore[arg-type]  # one of the two
        created_at=rfc3339(org.created_at),
        version=org.version,
    )
