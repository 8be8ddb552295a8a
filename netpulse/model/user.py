"""People, their memberships, and what they may do."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import Millis


class Role(IntEnum):
    """What a person may do; a higher role may all that a lower one may."""

    VIEWER = 10
    ADMIN = 20
    SUPER_ADMIN = 30

    @property
    def word(self) -> str:
        """The role's name in the API and the database."""
        return self.name.lower()


class User(Struct, frozen=True, kw_only=True):
    """A person who may sign in."""

    id: Id
    email: str
    """Lower case, trimmed; unique on the instance."""
    password_hash: str
    """argon2id, in its PHC text form."""
    home_org_id: Id
    is_active: bool = True
    totp_enabled: bool = False
    """Whether a sign-in asks for a one-time code; the secret itself stays in storage."""
    ip_whitelist: tuple[str, ...] = ()
    """Networks (CIDR) from which they may come; empty: from anywhere."""
    last_login_at: Millis | None = None
    created_at: Millis


class Membership(Struct, frozen=True, kw_only=True, gc=False):
    """A user's role in one organization."""

    user_id: Id
    org_id: Id
    role: Role
    is_active: bool = True
    """An inactive one gives no right at all."""
    is_grant: bool = False
    """Given to somebody of the MSP, who is no member of the client."""
    granted_by: Id | None = None
    created_at: Millis = 0


class Actor(Struct, frozen=True, kw_only=True, gc=False):
    """Who does something, and from where: what an audit row says of them.

    `kind` is user, api_key, cli or system.
    """

    kind: str
    user_id: Id | None = None
    label: str = ""
    """An email address, the key's name, or the command."""
    ip: str | None = None
    user_agent: str | None = None
    org_id: Id | None = None
    """The organization that they act from, where they are no member of the one they act in: the
    provider of a client, or the home of a super administrator. None: they are at home."""
    org_name: str = ""
