"""Signing in: the limiter, the password, and what the audit log says of both.

The API (`/v1/auth/login`) and the login page share it, and with it the count of failures.
"""

from __future__ import annotations

import logging
from zlib import crc32

from msgspec.structs import replace

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.ids import Id
from netpulse.model.time import SECOND
from netpulse.model.user import Actor, User
from netpulse.storage import audit, login_attempts, sessions, users
from netpulse.storage.db import Conn
from netpulse.web import tokens
from netpulse.web.accounts import normal_email
from netpulse.web.errors import ApiError, too_many
from netpulse.web.house import House
from netpulse.web.proxies import bucket

log = logging.getLogger(__name__)

WRONG = "The email address or the password is wrong"


async def check_password(house: House, actor: Actor, email: str, password: str) -> User:
    """Return the user whose email address and password these are.

    An unknown address, a wrong password and a disabled user are one answer after the same work.

    Raises:
        ApiError: 401 `LOGIN_FAILED`, or 429 after 5 failures within 10 minutes from this address.
    """
    address = bucket(actor.ip or "")
    turns = house.login_turns
    # Attempts of one address wait for each other: a burst must not all be the first failure.
    async with turns[crc32(address.encode()) % len(turns)]:
        now = house.clock.now()
        until = await house.db.read(login_attempts.blocked_until, address, now)
        if until is not None:
            raise too_many(
                -((now - until) // SECOND),
                "Too many failed sign-ins from your address; wait as long as Retry-After says",
            )
        user = await house.db.read(users.by_email, normal_email(email) or "")
        right = await passwords.verify_password(user.password_hash if user else None, password)
        if user is not None and right and user.is_active:
            return user
        await house.db.write(_failed, address, user, actor, house.clock.now())
    if user is None:
        # An unknown address belongs to no organization's audit log.
        log.warning("sign-in failed: unknown address", extra={"ip": actor.ip})
    raise ApiError(401, "LOGIN_FAILED", WRONG)


def _failed(conn: Conn, address: str, user: User | None, actor: Actor, now: int) -> None:
    login_attempts.failed(conn, address, now)
    if user is not None:
        who = replace(actor, label=user.email)
        reason = {"reason": "wrong password" if user.is_active else "disabled"}
        audit.append(
            conn,
            user.home_org_id,
            who,
            "auth.login_failed",
            "user",
            user.id,
            None,
            reason,
            now,
        )


async def open_api_session(house: House, actor: Actor, user: User) -> tuple[str, str]:
    """Start a family of refresh tokens and return (access token, refresh token)."""
    now = house.clock.now()
    refresh = new_token()

    def write(conn: Conn) -> Id:
        _logged_in(conn, user, actor, "api", now)
        return sessions.start_family(
            conn,
            user.id,
            house.digester.digest(refresh),
            now,
            now + tokens.REFRESH_MS,
            ip=actor.ip,
            user_agent=actor.user_agent,
        )

    family_id = await house.db.write(write)
    return house.signer.issue(user.id, family_id, now), refresh


async def open_page_session(house: House, actor: Actor, user: User) -> str:
    """Start a page session and return the token for its cookie."""
    now = house.clock.now()
    token = new_token()

    def write(conn: Conn) -> None:
        sessions.create(
            conn,
            house.digester.digest(token),
            user.id,
            user.home_org_id,
            now,
            now + tokens.SESSION_MS,
            actor.ip,
            actor.user_agent,
        )
        _logged_in(conn, user, actor, "page", now)

    await house.db.write(write)
    return token


def _logged_in(conn: Conn, user: User, actor: Actor, via: str, now: int) -> None:
    users.touch_login(conn, user.id, now)
    who = replace(actor, user_id=user.id, label=user.email)
    audit.append(
        conn,
        user.home_org_id,
        who,
        "auth.logged_in",
        "user",
        user.id,
        None,
        {"via": via},
        now,
    )
