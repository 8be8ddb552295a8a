"""/v1/auth/me and /v1/auth/password: a person's own account."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.crypto import passwords
from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.time import rfc3339
from netpulse.model.user import Role, User
from netpulse.rules import allowlist
from netpulse.storage import known_addresses, orgs, second_factors, users
from netpulse.storage.db import Conn
from netpulse.web import own_account
from netpulse.web.api.auth import LongText
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, endpoint
from netpulse.web.envelope import NOTHING, One
from netpulse.web.errors import Problem, invalid
from netpulse.web.proxies import bucket, networks, within
from netpulse.web.reading import at_least_one
from netpulse.web.session import Deed

PASSWORD_CHANGED = "Your password was changed."  # noqa: S105 - what the letter says
ADDRESSES_CHANGED = "The addresses from which your account may be used were changed."


class MeUser(Struct, frozen=True, kw_only=True):
    """The person who asks."""

    id: Id
    email: str
    role: str
    """In the organization in which the request acts."""
    totp_enabled: bool
    recovery_codes_left: int
    ip_whitelist: tuple[str, ...]
    """Addresses and networks from which they may come; empty: from anywhere."""
    last_login_at: str | None
    password_changed_at: str | None
    created_at: str


class MeOrg(Struct, frozen=True, kw_only=True):
    """The organization in which the request acts."""

    id: Id
    name: str
    slug: str


class Enterable(Struct, frozen=True, kw_only=True):
    """An organization that X-Org-Id may name."""

    id: Id
    name: str
    slug: str
    role: str


class MeAnswer(Struct, frozen=True, kw_only=True):
    """Who asks, and where they may act."""

    user: MeUser
    organization: MeOrg
    organizations: list[Enterable]


class MePatch(Struct, frozen=True, kw_only=True):
    """What a person may change of their account."""

    ip_whitelist: list[Annotated[str, Meta(max_length=100)]]
    """At most 50; an empty list lets them come from anywhere."""
    current_password: LongText


class PasswordChange(Struct, frozen=True, kw_only=True):
    """Another password."""

    current_password: LongText
    new_password: LongText
    """At least 12 characters, at most 1,024 bytes, and not a common one."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the database says of a person."""

    user: User
    org: Org
    codes_left: int
    password_changed_at: int | None
    places: list[tuple[Org, Role]]


def facts(conn: Conn, org_id: Id, user: User) -> Facts:
    """Return what is told of `user`, who acts in the organization `org_id`."""
    org = orgs.get(conn, org_id)
    assert org is not None, "a membership refers to it"
    return Facts(
        user=user,
        org=org,
        codes_left=second_factors.codes_left(conn, user.id),
        password_changed_at=users.password_changed_at(conn, user.id),
        places=users.places(conn, user),
    )


@endpoint(
    "GET",
    "/v1/auth/me",
    access=VIEWER,
    tag="auth",
    summary="Say who asks, and in which organizations they may act",
    answer=MeAnswer,
)
async def me(call: Call) -> One[MeAnswer]:
    """Answer about the caller."""
    return One.of(await _answer(call))


@endpoint(
    "PATCH",
    "/v1/auth/me",
    access=VIEWER,
    tag="auth",
    summary="Change from which addresses one's own account may be used",
    body=MePatch,
    answer=MeAnswer,
    errors=(409, 429),
)
async def patch(call: Call) -> One[MeAnswer]:
    """Change the list of addresses."""
    given = await call.body(MePatch)
    await set_addresses(call, "$.ip_whitelist", given.ip_whitelist, given.current_password)
    return One.of(await _answer(call))


async def set_addresses(call: Call, path: str, texts: list[str], password: str) -> None:
    """Set the list of addresses from which the caller may come.

    Raises:
        ApiError: 400 for entries that are none, too many, a list that would lock the caller out,
            or a wrong password; 429.
    """
    entries, flaws = allowlist.read(texts)
    found = [Problem(f"{path}[{flaw.index}]", flaw.message) for flaw in flaws]
    if len(texts) > allowlist.MOST:
        found = [Problem(path, f"there are more than {allowlist.MOST} entries")]
    ip = call.origin.ip
    if not found and entries and not within(ip, networks(entries)):
        said = f"your own address {ip or '(none)'} is not in it, and you would be locked out"
        found = [Problem(path, said)]
    at_least_one(found)
    await own_account.check_password(call, "$.current_password", password)
    user = call.session.user

    def work(deed: Deed) -> None:
        users.set_ip_whitelist(deed.conn, user.id, entries, deed.now)
        deed.note(
            "user.addresses_changed",
            "user",
            user.id,
            before={"ip_whitelist": user.ip_whitelist},
            after={"ip_whitelist": entries},
        )

    await own_account.change(call, ADDRESSES_CHANGED, work)


@endpoint(
    "POST",
    "/v1/auth/password",
    access=VIEWER,
    tag="auth",
    summary="Change one's own password; other sessions end",
    body=PasswordChange,
    errors=(409, 429),
)
async def password(call: Call) -> One[None]:
    """Change it."""
    await set_password(call, await call.body(PasswordChange))
    return NOTHING


async def set_password(call: Call, given: PasswordChange) -> None:
    """Change the caller's password.

    Raises:
        ApiError: 400 for a wrong password, or one that cannot be used; 429.
    """
    user = call.session.user
    flaw = passwords.policy_problem(given.new_password, email=user.email)
    if flaw is None and given.new_password == given.current_password:
        flaw = "the new password is the one that you have"
    if flaw is not None:
        raise invalid([Problem("$.new_password", flaw)])
    await own_account.check_password(call, "$.current_password", given.current_password)
    hashed = await passwords.hash_password(given.new_password)

    def work(deed: Deed) -> None:
        users.set_password(deed.conn, user.id, hashed, deed.now)
        known_addresses.forget(deed.conn, user.id, keep=bucket(call.origin.ip))
        deed.note("user.password_changed", "user", user.id)

    await own_account.change(call, PASSWORD_CHANGED, work)


async def _answer(call: Call) -> MeAnswer:
    user = await call.house.db.read(users.get, call.session.user.id)
    assert user is not None, "they have just asked"
    found = await call.session.read(facts, user)
    return MeAnswer(
        user=MeUser(
            id=user.id,
            email=user.email,
            role=call.session.role.word,
            totp_enabled=user.totp_enabled,
            recovery_codes_left=found.codes_left,
            ip_whitelist=user.ip_whitelist,
            last_login_at=_time(user.last_login_at),
            password_changed_at=_time(found.password_changed_at),
            created_at=rfc3339(user.created_at),
        ),
        organization=MeOrg(id=found.org.id, name=found.org.name, slug=found.org.slug),
        organizations=[
            Enterable(id=org.id, name=org.name, slug=org.slug, role=role.word)
            for org, role in found.places
        ],
    )


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


ROUTES = (me, patch, password)
