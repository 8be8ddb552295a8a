"""/v1/auth: register, login, refresh, logout."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.ids import Id
from netpulse.model.org import Org
from netpulse.model.time import rfc3339
from netpulse.model.user import Actor, Role, User
from netpulse.storage import audit, sessions, users
from netpulse.storage.db import Conn
from netpulse.web import accounts, denials, sign_in, tokens
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, endpoint
from netpulse.web.envelope import NOTHING, One
from netpulse.web.errors import ApiError, Problem, conflict, forbidden, invalid, unauthorized
from netpulse.web.house import House
from netpulse.web.session import ENDED, NOT_FROM_HERE

LongText = Annotated[str, Meta(max_length=10_000)]


class Registration(Struct, frozen=True, kw_only=True):
    """A new organization and its administrator."""

    email: Annotated[str, Meta(max_length=254)]
    password: LongText
    """At least 12 characters, at most 1,024 bytes, and not a common one."""
    org_name: Annotated[str, Meta(min_length=1, max_length=accounts.MOST_ORG_NAME)]
    setup_token: Annotated[str, Meta(max_length=200)] | None = None
    """What the start printed; asked of the first registration, always."""


class Credentials(Struct, frozen=True, kw_only=True):
    """Who signs in."""

    email: LongText
    password: LongText
    totp_code: Annotated[str, Meta(max_length=200)] | None = None
    """Where the second factor is on: a code of the app, or a recovery code; each works once."""


class UserAnswer(Struct, frozen=True, kw_only=True):
    """A person."""

    id: Id
    email: str
    role: str
    created_at: str


class OrgAnswer(Struct, frozen=True, kw_only=True):
    """An organization."""

    id: Id
    name: str
    slug: str
    timezone: str
    created_at: str


class Registered(Struct, frozen=True, kw_only=True):
    """What a registration made."""

    user: UserAnswer
    organization: OrgAnswer


def registered(user: User, org: Org, role: Role) -> Registered:
    """Return somebody who has just come into an organization, as the API answers it."""
    return Registered(
        user=UserAnswer(
            id=user.id, email=user.email, role=role.word, created_at=rfc3339(user.created_at)
        ),
        organization=OrgAnswer(
            id=org.id,
            name=org.name,
            slug=org.slug,
            timezone=org.timezone,
            created_at=rfc3339(org.created_at),
        ),
    )


class Granted(Struct, frozen=True, kw_only=True):
    """An access token; the refresh token is in the cookie `np_refresh`."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme, not a secret
    expires_in: int = tokens.ACCESS_SECONDS
    """Seconds."""


@endpoint(
    "POST",
    "/v1/auth/register",
    access=PUBLIC,
    tag="auth",
    summary="Make an organization and its administrator",
    body=Registration,
    answer=Registered,
    status=201,
    errors=(409,),
)
async def register(call: Call) -> One[Registered]:
    """Make the first organization with the setup token, later ones where registration is open."""
    wanted = await call.body(Registration)
    user, org, role = await found(call.house, call.stranger, wanted)
    return One.of(registered(user, org, role))


async def found(house: House, actor: Actor, wanted: Registration) -> tuple[User, Org, Role]:
    """Make what `wanted` asks for; the setup page uses it too.

    Raises:
        ApiError: 403 `REGISTRATION_CLOSED` or a wrong setup token, 400 for what cannot be used,
            409 `EMAIL_TAKEN`.
    """
    first = await house.db.read(users.count) == 0
    if first and not house.setup_token.matches(wanted.setup_token):
        raise forbidden(
            "The setup token is missing or wrong; the start of NetPulse printed it, and it is in "
            "the file setup-token of the data directory"
        )
    if not first and house.config.auth.registration != "open":
        raise _closed()
    email = accounts.normal_email(wanted.email)
    org_name = wanted.org_name.strip()
    problems = []
    if email is None:
        problems.append(Problem("$.email", "this is no email address"))
    flaw = passwords.policy_problem(wanted.password, email=email or "")
    if flaw is not None:
        problems.append(Problem("$.password", flaw))
    flaw = accounts.org_name_problem(org_name)
    if flaw is not None:
        problems.append(Problem("$.org_name", flaw))
    if problems or email is None:
        raise invalid(problems)
    password_hash = await passwords.hash_password(wanted.password)
    now = house.clock.now()

    def write(conn: Conn) -> tuple[User, Org]:
        return accounts.found(
            conn,
            email=email,
            password_hash=password_hash,
            org_name=org_name,
            actor=actor,
            now=now,
            first=first,
        )

    try:
        user, org = await house.db.write(write)
    except accounts.NotFirst:
        raise _closed() from None
    except accounts.EmailTaken:
        raise conflict("EMAIL_TAKEN", "There is a user with this email address already") from None
    if first:
        house.setup_token.spend()
    return user, org, Role.SUPER_ADMIN if first else Role.ADMIN


def _closed() -> ApiError:
    return forbidden(
        "Registration is closed; ask an administrator of this NetPulse for an account",
        "REGISTRATION_CLOSED",
    )


@endpoint(
    "POST",
    "/v1/auth/login",
    access=PUBLIC,
    tag="auth",
    summary="Sign in with email address and password, and a one-time code where one is needed",
    body=Credentials,
    answer=Granted,
    errors=(401, 429),
)
async def login(call: Call) -> One[Granted]:
    """Answer with an access token and set the refresh cookie.

    With the second factor on and no `totp_code`: 401 `TOTP_REQUIRED`, which is no failure.
    """
    given = await call.body(Credentials)
    user = await sign_in.check_password(call.house, call.stranger, given.email, given.password)
    if user.totp_enabled:
        if not given.totp_code:
            raise unauthorized(sign_in.CODE_NEEDED, "TOTP_REQUIRED")
        await sign_in.check_code(call.house, call.stranger, user, given.totp_code)
    access, refresh = await sign_in.open_api_session(call.house, call.stranger, user)
    call.cookies.append(tokens.refresh_cookie(refresh, call.origin.is_https))
    return One.of(Granted(access_token=access))


@endpoint(
    "POST",
    "/v1/auth/refresh",
    access=PUBLIC,
    tag="auth",
    summary="Trade the refresh cookie for a new access token and a new cookie",
    answer=Granted,
    errors=(401, 403),
)
async def refresh(call: Call) -> One[Granted]:
    """Rotate the refresh token; one that was used before revokes its whole family."""
    house, now = call.house, call.now
    old = call.request.cookies.get(tokens.refresh_cookie_name(call.origin.is_https))
    if not old:
        raise unauthorized("There is no refresh cookie; sign in again")
    new = new_token()
    actor = call.stranger

    def write(conn: Conn) -> tuple[sessions.Rotation, User | None]:
        digest = house.sign_ins.digest
        rotation = sessions.rotate(conn, digest(old), digest(new), now, now + tokens.REFRESH_MS)
        user = users.get(conn, rotation.user_id) if rotation.user_id is not None else None
        if rotation.revoked and user is not None:
            # Shown again and again it changes nothing, and fills no log.
            _note(conn, user, actor, "auth.refresh_reused", now)
        if rotation.outcome is sessions.Rotated.OK and user is not None:
            # Raised in here, so that the token is not used up: an address or a membership may
            # come back.
            if users.landing(conn, user) is None:
                raise unauthorized(ENDED)
            if not sign_in.allowed(user, actor.ip or ""):
                known = replace(actor, user_id=user.id, label=user.email)
                denials.name_asker(call.request.scope, users.audited_in(conn, user), known)
                raise forbidden(NOT_FROM_HERE)
        return rotation, user

    rotation, user = await house.db.write(write)
    if rotation.outcome is sessions.Rotated.OK and user is not None and user.is_active:
        assert rotation.family_id is not None
        call.cookies.append(tokens.refresh_cookie(new, call.origin.is_https))
        return One.of(Granted(access_token=house.signer.issue(user.id, rotation.family_id, now)))
    if rotation.outcome is sessions.Rotated.REUSED:
        raise unauthorized(
            "This refresh token was used before, so that all tokens of this sign-in are revoked; "
            "sign in again"
        )
    raise unauthorized(ENDED)


@endpoint(
    "POST",
    "/v1/auth/logout",
    access=PUBLIC,
    tag="auth",
    summary="End the sign-in that the request carries",
)
async def logout(call: Call) -> One[None]:
    """End whatever sign-in the request carries: refresh cookie, access token, page session."""
    await end_sign_in(call)
    return NOTHING


async def end_sign_in(call: Call) -> None:
    """End every sign-in that the request carries and take its cookies back."""
    house, now, actor = call.house, call.now, call.stranger
    is_https = call.origin.is_https
    cookies = call.request.cookies
    refresh_token = cookies.get(tokens.refresh_cookie_name(is_https))
    session_token = cookies.get(tokens.session_cookie_name(is_https))
    bearer = call.request.headers.get("authorization", "").partition(" ")[2].strip()
    claims = house.signer.read(bearer, now, may_be_over=True) if bearer else None

    def write(conn: Conn) -> None:
        ended: set[Id] = set()
        families = [claims.family_id] if claims is not None else []
        if refresh_token:
            of_cookie = sessions.family_of(conn, house.sign_ins.digest(refresh_token))
            families += [of_cookie] if of_cookie is not None else []
        for family in families:
            user_id = sessions.revoke_family(conn, family, now)
            ended |= {user_id} if user_id is not None else set()
        if session_token:
            digest = house.sign_ins.digest(session_token)
            row = sessions.find(conn, digest, now)
            sessions.end(conn, digest)
            ended |= {row.user_id} if row is not None else set()
        for user_id in ended:
            user = users.get(conn, user_id)
            if user is not None:
                _note(conn, user, actor, "auth.logged_out", now)

    if refresh_token or session_token or claims is not None:
        await house.db.write(write)
    if refresh_token:
        call.cookies.append(tokens.refresh_cookie(None, is_https))
    if session_token:
        call.cookies.append(tokens.session_cookie(None, is_https))


def _note(conn: Conn, user: User, actor: Actor, action: str, now: int) -> None:
    who = replace(actor, user_id=user.id, label=user.email)
    org_id = users.audited_in(conn, user)
    audit.append(conn, org_id, who, action, "user", user.id, None, None, now)


ROUTES = (register, login, refresh, logout)
