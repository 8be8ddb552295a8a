"""More people than the cast: with one organization or several, and clients that speak for them."""

from __future__ import annotations

import httpx

from netpulse.model.ids import Id, new_id
from netpulse.model.org import Org
from netpulse.model.user import Membership, Role
from netpulse.storage import orgs, users
from netpulse.storage.db import Conn
from tests.cast import Person
from tests.clock import START
from tests.conftest import Stage


async def add(stage: Stage, name: str, role: Role, org: Org | None = None) -> Person:
    """Add somebody who is at home in `org` (Acme) and signed in."""
    person = Person(name, role, org or stage.cast.acme, START)
    await stage.house.db.write(person.enter, START)
    return person


async def join(
    stage: Stage,
    person: Person,
    org: Org,
    role: Role,
    *,
    is_grant: bool = False,
    at: int = START,
) -> None:
    """Make somebody a member of another organization too."""
    await stage.house.db.write(
        users.put_membership,
        Membership(user_id=person.id, org_id=org.id, role=role, is_grant=is_grant, created_at=at),
    )


async def add_org(stage: Stage, name: str, *, parent: Org | None = None) -> Org:
    """Add an organization, a client of `parent` if there is one."""
    return await stage.house.db.write(
        orgs.insert,
        Org(
            id=new_id(START),
            name=name,
            slug=name.lower(),
            parent_id=None if parent is None else parent.id,
            created_at=START,
        ),
    )


def client(stage: Stage, person: Person, **headers: str) -> httpx.AsyncClient:
    """Return somebody's client."""
    return stage.client(headers=person.headers | headers)


async def memberships(stage: Stage, user_id: Id) -> dict[Id, tuple[str, bool]]:
    """Return (role, is active) by organization."""

    def read(conn: Conn) -> dict[Id, tuple[str, bool]]:
        return {
            one.org_id: (one.role.word, one.is_active) for one in users.memberships(conn, user_id)
        }

    return await stage.house.db.read(read)
