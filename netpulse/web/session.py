"""OrgSession: one person in one organization for one request, the only way to the data.

The organization is in it, so that no handler can forget the filter; so is the audit row, which a
change cannot be made without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.api_key import ApiKey
from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Role, User
from netpulse.storage import api_keys, audit, orgs, sessions, users
from netpulse.storage.db import Conn, Database, QuotaReached
from netpulse.web import languages
from netpulse.web.errors import forbidden, quota_reached, unauthorized
from netpulse.web.proxies import networks, within

P = ParamSpec("P")
R = TypeVar("R")

ENDED = "This sign-in has ended; sign in again"
NOT_FROM_HERE = (
    "You may not come from this address: it is not on the list of addresses that you allowed for "
    "your account"
)
LOWERED = "Your role here was changed meanwhile, and nothing was done; look at the page again"


class Deed:
    """One change in the making: its transaction, and the audit row that must go into it."""

    __slots__ = ("actor", "conn", "noted", "now", "org_id")

    def __init__(self, conn: Conn, org_id: Id, actor: Actor, now: Millis) -> None:
        self.conn = conn
        self.org_id = org_id
        self.actor = actor
        self.now = now
        self.noted = False

    def note(
        self,
        action: str,
        resource_type: str,
        resource_id: Id | None,
        *,
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Write the audit row. `before` and `after` are plain values with the secrets left out."""
        audit.append(
            self.conn,
            self.org_id,
            self.actor,
            action,
            resource_type,
            resource_id,
            before,
            after,
            self.now,
        )
        self.noted = True

    def note_in(
        self,
        org_id: Id,
        action: str,
        resource_type: str,
        resource_id: Id | None,
        *,
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Write a row into another organization's log, about what was done to it from here."""
        actor = self.actor
        if actor.org_id is None:
            org = orgs.get(self.conn, self.org_id)
            assert org is not None, "somebody acts in it"
            actor = replace(actor, org_id=org.id, org_name=org.name)
        audit.append(
            self.conn,
            org_id,
            actor,
            action,
            resource_type,
            resource_id,
            before,
            after,
            self.now,
        )

    def nothing_changed(self) -> None:
        """Say that there is nothing to note, because nothing was changed."""
        self.noted = True


class OrgSession(Struct, frozen=True, kw_only=True):
    """Who asks, in which organization, with which role."""

    db: Database
    org: Org
    """As it is in the database at this request, and so is the role."""
    role: Role
    via: Org | None = None
    """Where they are no member of `org`: the organization that they act from."""
    user: User
    actor: Actor
    now: Millis
    family_id: Id | None = None
    """The family of refresh tokens of an API sign-in."""
    ends_at: Millis | None = None
    """When the token, the key or an unused session ends by itself."""
    cookie_digest: str | None = None
    """The stored digest of a page session."""
    key: ApiKey | None = None
    """The API key that signed the request; `user` made it then."""

    @property
    def org_id(self) -> Id:
        """The organization's id."""
        return self.org.id

    async def read(
        self, query: Callable[Concatenate[Conn, Id, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Return `query(conn, org_id, ...)` from a reader, where it may say something in the
        language of the request."""
        spoken = languages.code()

        def bound(conn: Conn) -> R:
            with languages.using(spoken):
                return query(conn, self.org_id, *args, **kwargs)

        return await self.db.read(bound)

    def refuse_ended(self, conn: Conn) -> User:
        """Return the person as the transaction sees them, if they might still ask.

        Between the guard and a change time goes by: a body arrives slowly, a password is hashed.
        Whoever ended the sign-in, lowered the role or removed the person meanwhile must not find
        the change done after that.

        Raises:
            ApiError: 401 for a sign-in that has ended, 403 with a lower role than the guard saw,
                or for an address that is not allowed any more.
        """
        user = users.get(conn, self.user.id)
        if user is None or not user.is_active or not self._stands(conn):
            raise unauthorized(ENDED)
        if user.ip_whitelist and not within(self.actor.ip or "", networks(user.ip_whitelist)):
            raise forbidden(NOT_FROM_HERE)
        role = users.reach(conn, user, self.org_id)
        if role is None and self.key is not None:
            raise unauthorized(ENDED)
        if role is None or (role if self.key is None else min(role, Role.ADMIN)) < self.role:
            raise forbidden(LOWERED)
        return user

    def _stands(self, conn: Conn) -> bool:
        if self.key is not None:
            key = api_keys.get(conn, self.key.org_id, self.key.id)
            if key is None or key.digest != self.key.digest:
                return False
            return key.expires_at is None or key.expires_at > self.now
        if self.cookie_digest is not None:
            return sessions.find(conn, self.cookie_digest, self.now) is not None
        return self.family_id is not None and sessions.family_stands(conn, self.family_id)

    async def change(self, work: Callable[[Deed], R], *, own: bool = False) -> R:
        """Run `work` in one transaction with its audit row, and return its result once durable.

        `own`: it is about the person's own account, wherever they act just now; the row goes where
        their sign-ins are noted.

        Raises:
            ApiError: 401 or 403 where they might not ask any more (`refuse_ended`), 409 where the
                organization has as much as it may.
            RuntimeError: `work` noted nothing; the transaction is undone.
        """

        def bound(conn: Conn) -> R:
            user = self.refuse_ended(conn)
            org_id, actor = self.org_id, self.actor
            if own:
                org_id = users.audited_in(conn, user)
                actor = replace(actor, org_id=None, org_name=None)
            deed = Deed(conn, org_id, actor, self.now)
            result = work(deed)
            if not deed.noted:
                raise RuntimeError("a change without an audit row")
            return result

        try:
            return await self.db.write(bound)
        except QuotaReached as reached:
            raise quota_reached(reached) from None
