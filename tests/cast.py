"""The people of the tests: Alice the admin, Bob the viewer, and Charlie of another organization,
who must see nothing of theirs.
"""

from __future__ import annotations

from netpulse.crypto.tokens import Digester
from netpulse.model.ids import Id, new_id
from netpulse.model.org import Org
from netpulse.model.time import DAY, Millis
from netpulse.model.user import Membership, Role, User
from netpulse.storage import orgs, sessions, users
from netpulse.storage.db import Conn
from netpulse.web.tokens import Signer

PASSWORD = "seven wandering otters"
PASSWORD_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$"
    "s184ZILSovgrHVXD7N+jLQ$3fBmJqyvNmAlaoNuAsbrekXYBodZqQIQ74mAvN/liRM"
)
"""Of PASSWORD: hashing it anew for everybody in every test would cost most of their time."""

SIGNER = Signer(b"a key for access tokens in tests")
DIGESTER = Digester(b"a key for stored tokens in tests")


class Person:
    """Somebody with a membership and an access token."""

    def __init__(self, name: str, role: Role, org: Org, at: Millis) -> None:
        self.name = name
        self.role = role
        self.org = org
        self.id: Id = new_id(at)
        self.email = f"{name}@{org.slug}.example"
        self.token = ""

    @property
    def headers(self) -> dict[str, str]:
        """Headers that sign a request."""
        return {"Authorization": f"Bearer {self.token}"}

    def enter(self, conn: Conn, at: Millis) -> None:
        """Store the person, and sign them in."""
        user = User(
            id=self.id,
            email=self.email,
            password_hash=PASSWORD_HASH,
            home_org_id=self.org.id,
            created_at=at,
        )
        here = Membership(user_id=self.id, org_id=self.org.id, role=self.role, created_at=at)
        users.insert(conn, user, [here])
        family = sessions.start_family(conn, self.id, f"refresh of {self.name}", at, at + 7 * DAY)
        self.token = SIGNER.issue(self.id, family, at)


class Cast:
    """Everybody."""

    def __init__(self, at: Millis) -> None:
        self.acme = Org(id=new_id(at), name="Acme", slug="acme", created_at=at)
        self.globex = Org(id=new_id(at), name="Globex", slug="globex", created_at=at)
        self.alice = Person("alice", Role.ADMIN, self.acme, at)
        self.bob = Person("bob", Role.VIEWER, self.acme, at)
        self.charlie = Person("charlie", Role.ADMIN, self.globex, at)

    def enter(self, conn: Conn, at: Millis) -> None:
        """Store the organizations and everybody in them."""
        for org in (self.acme, self.globex):
            orgs.insert(conn, org)
        for person in (self.alice, self.bob, self.charlie):
            person.enter(conn, at)
