"""Who is asking: a key, a bearer token or a page session becomes an OrgSession, each time anew.

Role, membership and whether the sign-in still stands are read from the database every time (one
read, some 0.1 ms): a changed role, a disabled user or an ended session counts at the next request,
also when another process (`netpulse user …`) changed it.
"""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.api_key import ApiKey
from netpulse.model.ids import Id, is_id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.user import Actor, Role, User
from netpulse.storage import api_keys, orgs, sessions, users
from netpulse.storage.db import Conn
from netpulse.storage.users import Reach
from netpulse.web import denials, scopes, tokens
from netpulse.web.call import actor_of
from netpulse.web.errors import ApiError, forbidden, unauthorized
from netpulse.web.house import House
from netpulse.web.proxies import networks, within
from netpulse.web.session import ENDED, NOT_FROM_HERE, OrgSession


class _Found(Struct, frozen=True):
    """What the database says of a sign-in."""

    user: User
    org: Org | None
    reach: Reach | None
    """None: nothing to do there."""
    via: Org | None = None
    """Where the user is no member of `org`: the organization that they act from."""
    row: sessions.SessionRow | None = None


async def identify(connection: ASGIConnection[Any, Any, Any, Any]) -> OrgSession:
    """Return who asks, in the organization that `X-Org-Id` names or else their home.

    A key wins over Authorization and that over a cookie; a wrong one is never made good by another.

    Raises:
        ApiError: 401 without a sign-in that stands, 403 for an organization they are not in.
    """
    house: House = connection.app.state.house
    org_id = connection.headers.get("x-org-id")
    key = connection.headers.get("x-api-key")
    if key is not None:
        return await _by_key(connection, house, key, org_id)
    authorization = connection.headers.get("authorization")
    if authorization is not None:
        return await _by_token(connection, house, authorization, org_id)
    origin = connection.scope["state"]["origin"]
    cookie = connection.cookies.get(tokens.session_cookie_name(origin.is_https))
    if cookie:
        return await _by_cookie(connection, house, cookie, org_id)
    raise unauthorized("Sign in first: send Authorization: Bearer <access token>, or X-API-Key")


async def of_browser(connection: ASGIConnection[Any, Any, Any, Any]) -> OrgSession | None:
    """Return the page session that the request's cookie stands for, whatever else signs it; None
    without one that stands."""
    origin = connection.scope["state"]["origin"]
    cookie = connection.cookies.get(tokens.session_cookie_name(origin.is_https))
    if not cookie:
        return None
    try:
        return await _by_cookie(connection, connection.app.state.house, cookie, None)
    except ApiError:
        return None


async def _by_token(
    connection: ASGIConnection[Any, Any, Any, Any],
    house: House,
    authorization: str,
    org_id: str | None,
) -> OrgSession:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized("Send Authorization: Bearer <access token>; other schemes are not taken")
    now = house.clock.now()
    claims = house.signer.read(token.strip(), now)
    if claims is None:
        raise unauthorized(
            "This access token is not valid or has expired; get a new one at /v1/auth/refresh"
        )

    def find(conn: Conn) -> _Found | None:
        if not sessions.family_stands(conn, claims.family_id):
            return None
        return _reach(conn, claims.user_id, org_id)

    found = await house.db.read(find)
    if found is None or not found.user.is_active:
        raise unauthorized(ENDED)
    ends_at = claims.expires_at
    return await _session(connection, house, found, now, ends_at, family_id=claims.family_id)


async def _by_key(
    connection: ASGIConnection[Any, Any, Any, Any],
    house: House,
    text: str,
    org_id: str | None,
) -> OrgSession:
    now = house.clock.now()
    prefix = scopes.prefix_of(text)

    def find(conn: Conn) -> tuple[ApiKey, _Found] | None:
        key = None if prefix is None else api_keys.find(conn, prefix)
        if key is None or not house.digester.matches(text, key.digest):
            return None
        found = _reach(conn, key.created_by, key.org_id)
        return None if found is None else (key, found)

    known = await house.db.read(find)
    if known is None or known[1].reach is None:
        raise unauthorized("There is no such API key, or it was revoked")
    key, found = known
    if key.expires_at is not None and key.expires_at <= now:
        raise unauthorized("This API key has expired; make another")
    if org_id is not None and org_id != key.org_id:
        denials.name_asker(connection.scope, key.org_id, _actor(connection, found, key))
        raise forbidden("An API key acts in its own organization only; leave X-Org-Id out")
    if key.last_used_at is None or abs(now - key.last_used_at) >= api_keys.TOUCH_MS:
        await house.db.write(api_keys.touch, key.id, now)
    return await _session(connection, house, found, now, key.expires_at, key=key)


async def _by_cookie(
    connection: ASGIConnection[Any, Any, Any, Any], house: House, token: str, org_id: str | None
) -> OrgSession:
    now = house.clock.now()
    digest = house.sign_ins.digest(token)

    def find(conn: Conn) -> _Found | None:
        row = sessions.find(conn, digest, now)
        if row is None or row.last_seen_at + tokens.SESSION_IDLE_MS <= now:
            return None
        found = _reach(conn, row.user_id, org_id or row.org_id, fall_back=org_id is None)
        return found and replace(found, row=row)

    found = await house.db.read(find)
    if found is None or found.row is None or not found.user.is_active:
        raise unauthorized(ENDED)
    if found.row.last_seen_at + tokens.TOUCH_MS <= now:
        await house.db.write(sessions.touch, digest, now)
    ends_at = min(found.row.expires_at, found.row.last_seen_at + tokens.SESSION_IDLE_MS)
    return await _session(connection, house, found, now, ends_at, cookie_digest=digest)


def _reach(
    conn: Conn, user_id: Id, org_id: str | None, *, fall_back: bool = False
) -> _Found | None:
    """Return the user and what they may do in the organization named, or else in their home.

    `fall_back`: where they may do nothing there (any more), the organization in which a fresh
    sign-in would begin counts; a page that shows a client who is gone must still lead home.
    """
    user = users.get(conn, user_id)
    if user is None:
        return None
    wanted = org_id or users.landing(conn, user) or user.home_org_id
    reach = users.reached(conn, user, wanted) if is_id(wanted) else None
    if reach is None and fall_back:
        wanted = users.landing(conn, user) or wanted
        reach = users.reached(conn, user, wanted)
    if reach is None:
        return _Found(user, None, None)
    via = None if reach.via is None else orgs.get(conn, reach.via)
    return _Found(user, orgs.get(conn, wanted), reach, via)


async def _session(
    connection: ASGIConnection[Any, Any, Any, Any],
    house: House,
    found: _Found,
    now: Millis,
    ends_at: Millis | None,
    *,
    family_id: Id | None = None,
    cookie_digest: str | None = None,
    key: ApiKey | None = None,
) -> OrgSession:
    origin = connection.scope["state"]["origin"]
    actor = _actor(connection, found, key)
    allowed = found.user.ip_whitelist
    if allowed and not within(origin.ip, networks(allowed)):
        await _name_own(connection, house, found, actor)
        raise forbidden(NOT_FROM_HERE)
    if found.org is None or found.reach is None:
        if "x-org-id" not in connection.headers:
            raise unauthorized(ENDED)
        await _name_own(connection, house, found, actor)
        raise forbidden("You are not a member of this organization; see X-Org-Id")
    if found.via is not None:
        actor = replace(actor, org_id=found.via.id, org_name=found.via.name)
    role = found.reach.role
    return OrgSession(
        db=house.db,
        org=found.org,
        # A key that somebody else finds must not be a way to the whole installation.
        role=role if key is None else min(role, Role.ADMIN),
        via=found.via,
        user=found.user,
        actor=actor,
        now=now,
        ends_at=ends_at,
        family_id=family_id,
        cookie_digest=cookie_digest,
        key=key,
    )


def _actor(
    connection: ASGIConnection[Any, Any, Any, Any], found: _Found, key: ApiKey | None
) -> Actor:
    actor = replace(actor_of(connection), user_id=found.user.id, label=found.user.email)
    if key is None:
        return actor
    return replace(actor, kind="api_key", label=f"{key.name} ({key.prefix})")


async def _name_own(
    connection: ASGIConnection[Any, Any, Any, Any], house: House, found: _Found, actor: Actor
) -> None:
    """Let the refusal be told where the person's own sign-ins are: they are not in the
    organization that they asked for, which must not hear of them."""
    org_id = await house.db.read(users.audited_in, found.user)
    denials.name_asker(connection.scope, org_id, actor)
