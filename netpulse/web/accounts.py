"""Founding an organization: its row, its first person and the audit row, all or nothing."""

from __future__ import annotations

import re
import unicodedata

from msgspec.structs import replace

from netpulse.egress.mail_form import has_name
from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.storage import audit, orgs, setup, users
from netpulse.storage.db import AlreadySetUp, Conn


class EmailTaken(Exception):
    """Somebody has this address already."""


class NotFirst(Exception):
    """There is a user already, and only the first one was to be made."""


def found(
    conn: Conn,
    *,
    email: str,
    password_hash: str,
    org_name: str,
    actor: Actor,
    now: Millis,
    first: bool,
) -> tuple[User, Org]:
    """Make an organization and its administrator in the caller's transaction.

    The `first` one on the instance is its super administrator and is made only while there is no
    user at all: of any number at once, one wins.

    Raises:
        NotFirst: `first`, and somebody was faster.
        EmailTaken: a user with this address exists.
    """
    if users.by_email(conn, email) is not None and not first:
        raise EmailTaken
    org = Org(id=new_id(now), name=org_name, slug=slug_for(conn, org_name), created_at=now)
    user = User(
        id=new_id(now),
        email=email,
        password_hash=password_hash,
        home_org_id=org.id,
        created_at=now,
    )
    who = actor if actor.kind != "user" else replace(actor, user_id=user.id, label=email)
    if first:
        try:
            return setup.first_owner(conn, org, user, who, now), org
        except AlreadySetUp:
            raise NotFirst from None
    orgs.insert(conn, org)
    member = Membership(user_id=user.id, org_id=org.id, role=Role.ADMIN, created_at=now)
    users.insert(conn, user, [member])
    made = {"name": org.name, "slug": org.slug}
    audit.append(conn, org.id, who, "org.created", "org", org.id, None, made, now)
    person = {"email": email, "role": Role.ADMIN.word}
    audit.append(conn, org.id, who, "user.created", "user", user.id, None, person, now)
    return user, org


MOST_ORG_NAME = 200


def org_name_problem(name: str) -> str | None:
    """Return what is wrong with the name of an organization, or None. It is trimmed before."""
    if not name or not name.isprintable():
        return "the organization needs a name in one line"
    return f"must have at most {MOST_ORG_NAME} characters" if len(name) > MOST_ORG_NAME else None


def normal_email(text: str) -> str | None:
    """Return an email address trimmed and in lower case, or None for what is none.

    It is not asked more than that there is something on both sides of the last @ and that nothing
    in it could break a line or a header, and that its domain can have a name: whether it works,
    only a letter could tell.
    """
    email = text.strip().lower()
    local, at, domain = email.rpartition("@")
    if not at or not local or not domain or len(email) > 254 or "@" in local:
        return None
    if any(char.isspace() or not char.isprintable() or char in '<>,;"' for char in email):
        return None
    if domain.startswith(".") or domain.endswith(".") or ".." in domain or not has_name(domain):
        return None
    return email


def slug_for(conn: Conn, name: str) -> str:
    """Return a slug that nobody has for an organization of this name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return orgs.free_slug(conn, base if len(base) >= 2 else "org")
