"""The first owner of an instance."""

from __future__ import annotations

from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.storage import audit, orgs, users
from netpulse.storage.conn import Conn
from netpulse.storage.errors import AlreadySetUp


def first_owner(conn: Conn, org: Org, user: User, actor: Actor, now: Millis) -> User:
    """Make the first organization and its super admin, with their audit rows; returns the user.

    All of it or nothing, and once only: of any number of calls at the same time one succeeds.

    Raises:
        AlreadySetUp: there is a user already.
    """
    if users.count(conn):
        raise AlreadySetUp("this instance has an owner already")
    orgs.insert(conn, org)
    owner = Membership(user_id=user.id, org_id=org.id, role=Role.SUPER_ADMIN, created_at=now)
    stored = users.insert(conn, user, [owner])
    made = {"name": org.name, "slug": org.slug}
    audit.append(conn, org.id, actor, "org.created", "org", org.id, None, made, now)
    person = {"email": stored.email, "role": Role.SUPER_ADMIN.word}
    audit.append(conn, org.id, actor, "user.created", "user", user.id, None, person, now)
    return stored
