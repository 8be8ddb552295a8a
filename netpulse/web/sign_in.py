"""Signing in: the limits, the password, the code, and what the audit log says of them.

The API (`/v1/auth/login`) and the login page share it, and with it the counts of failures.

Who does not know the password learns nothing: an unknown address, a wrong password, a disabled
user, one without an organization, and one who may not come from this address get one answer after
the same work (ASVS 6.3.8). Who does know it is told what is wrong with the code.
"""

from __future__ import annotations

import asyncio
import logging
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.user import Actor, User
from netpulse.storage import audit, known_addresses, login_attempts, sessions, users
from netpulse.storage.db import Conn
from netpulse.web import codes, security_notes, tokens
from netpulse.web.accounts import normal_email
from netpulse.web.errors import too_many_until, unauthorized
from netpulse.web.house import House
from netpulse.web.proxies import bucket, networks, wide_bucket, within

log = logging.getLogger(__name__)

WRONG = "The email address or the password is wrong"
WRONG_CODE = "This code is wrong, or was used before; wait for the next one"
FROM_ELSEWHERE = (
    "Your account was signed in to from an address that it had not been used from before."
)
CODE_NEEDED = (
    "A one-time code is needed too: send totp_code, from your app or one of your recovery codes"
)


class _Facts(Struct, frozen=True):
    """What is known of an email address before the password is looked at."""

    user: User | None = None
    may_enter: bool = False
    is_known: bool = False
    """Whether this user has signed in from this address before."""
    pressed_until: Millis | None = None


async def check_password(
    house: House, actor: Actor, email: str, password: str, *, is_joining: bool = False
) -> User:
    """Return the user whose email address and password these are, and who may come in from here.

    `is_joining`: they need belong nowhere yet, for they are about to join an organization.

    Raises:
        ApiError: 401 `LOGIN_FAILED`; 429 after 5 failures within 10 minutes from this address, or
            when this address was wrong before about an account that is under pressure.
    """
    ip = actor.ip or ""
    address, network = bucket(ip), wide_bucket(ip)
    tried = normal_email(email)
    name = None if tried is None else house.sign_ins.digest(f"sign-in|{tried}")
    # Attempts of one address wait for each other: a burst must not all be the first failure.
    async with turn(house, address):
        await refuse_blocked(house, address)
        facts = await house.db.read(_facts, tried, name, address, network, house.clock.now())
        if facts.pressed_until is not None:
            raise too_many_until(
                facts.pressed_until,
                house.clock.now(),
                "Too many failed sign-ins for this account from all over; wait as long as "
                "Retry-After says, or sign in from where you did before",
            )
        user = facts.user
        right = await passwords.verify_password(user.password_hash if user else None, password)
        reason = _reason(facts, right, ip, is_joining=is_joining)
        if user is not None and reason is None:
            return user
        # Of an account that knows this address nothing counts as a stranger's failure.
        tried_from = None if facts.is_known or name is None else (name, network)
        await house.db.write(
            _failed, user, actor, reason, house.clock.now(), address, tried_from=tried_from
        )
    if user is None:
        log.warning("sign-in failed: unknown address", extra={"ip": actor.ip})
    raise unauthorized(WRONG, "LOGIN_FAILED")


def _facts(
    conn: Conn, email: str | None, name: str | None, address: str, network: str, now: Millis
) -> _Facts:
    if email is None or name is None:
        return _Facts()
    user = users.by_email(conn, email)
    is_known = user is not None and known_addresses.is_known(conn, user.id, address)
    return _Facts(
        user=user,
        may_enter=user is not None and users.landing(conn, user) is not None,
        is_known=is_known,
        pressed_until=(
            None if is_known else login_attempts.pressed_until(conn, name, network, now)
        ),
    )


def _reason(facts: _Facts, right: bool, ip: str, *, is_joining: bool) -> str | None:
    """Return why somebody is not let in, for the audit log alone; None: they are."""
    user = facts.user
    if user is None:
        return "unknown address"
    if not user.is_active:
        return "disabled"
    if not right:
        return "wrong password"
    if not facts.may_enter and not is_joining:
        return "no organization"
    return None if allowed(user, ip) else "address not allowed"


def allowed(user: User, ip: str) -> bool:
    """Tell whether the user's list of addresses lets them come from `ip`."""
    return not user.ip_whitelist or within(ip, networks(user.ip_whitelist))


def _failed(
    conn: Conn,
    user: User | None,
    actor: Actor,
    reason: str | None,
    now: Millis,
    address: str,
    *,
    tried_from: tuple[str, str] | None = None,
) -> None:
    """Count a failure for the address, and with `tried_from` (the account's name digest and the
    network) for the account; note it."""
    login_attempts.failed(conn, address, now, tried_from=tried_from)
    # What was typed as an address may be a password: of a stranger nothing is kept but the place.
    org_id = audit.INSTANCE if user is None else users.audited_in(conn, user)
    who = actor if user is None else replace(actor, label=user.email)
    user_id = None if user is None else user.id
    why = {"reason": reason}
    audit.append(conn, org_id, who, "auth.login_failed", "user", user_id, None, why, now)


async def check_code(house: House, actor: Actor, user: User, text: str) -> None:
    """Use up a one-time code or a recovery code of a user whose password was right.

    Raises:
        ApiError: 401 `LOGIN_FAILED` for a wrong one; 429 after 5 failures from this address within
            10 minutes, or 5 wrong codes for this account within 15.
    """
    address = bucket(actor.ip or "")
    async with turn(house, address):
        await refuse_blocked(house, address)
        now = house.clock.now()

        def write(conn: Conn) -> codes.Spent:
            spent = codes.spend(conn, house, user, text, actor, now)
            if spent.what is None and spent.blocked_until is None:
                _failed(conn, user, actor, "wrong code", now, address)
            if spent.what is codes.What.RECOVERY:
                sessions.end_all(conn, user.id, now)
            return spent

        spent = await codes.write(house, write)
    if spent.blocked_until is not None:
        raise codes.too_many_codes(spent.blocked_until, now)
    if spent.what is None:
        raise unauthorized(WRONG_CODE, "LOGIN_FAILED")


async def open_api_session(house: House, actor: Actor, user: User) -> tuple[str, str]:
    """Start a family of refresh tokens and return (access token, refresh token).

    Raises:
        ApiError: 401, if the account was changed since `user` was read.
    """
    now = house.clock.now()
    refresh = new_token()

    def write(conn: Conn) -> Id:
        _admit(conn, house, user, actor, "api", now)
        return sessions.start_family(
            conn,
            user.id,
            house.sign_ins.digest(refresh),
            now,
            now + tokens.REFRESH_MS,
            ip=actor.ip,
            user_agent=actor.user_agent,
        )

    family_id = await house.db.write(write)
    house.engine.letters_written()
    return house.signer.issue(user.id, family_id, now), refresh


async def open_page_session(
    house: House, actor: Actor, user: User, *, replacing: str | None = None
) -> str:
    """Start a page session and return the token for its cookie. The one whose token is
    `replacing`, which the browser had before, ends (ASVS 7.2.4).

    Raises:
        ApiError: 401, if the account was changed since `user` was read.
    """
    now = house.clock.now()
    token = new_token()

    def write(conn: Conn) -> None:
        org_id = _admit(conn, house, user, actor, "page", now)
        if replacing:
            _end_replaced(conn, house.sign_ins.digest(replacing), user, actor, now)
        sessions.create(
            conn,
            house.sign_ins.digest(token),
            user.id,
            org_id,
            now,
            now + tokens.SESSION_MS,
            actor.ip,
            actor.user_agent,
        )

    await house.db.write(write)
    house.engine.letters_written()
    return token


def _end_replaced(conn: Conn, digest: str, user: User, actor: Actor, now: Millis) -> None:
    """End the session that a browser had before; of somebody else's it is noted that it ended."""
    row = sessions.find(conn, digest, now)
    sessions.end(conn, digest)
    other = None if row is None or row.user_id == user.id else users.get(conn, row.user_id)
    if other is not None:
        who = replace(actor, user_id=other.id, label=other.email)
        org_id = users.audited_in(conn, other)
        audit.append(conn, org_id, who, "auth.logged_out", "user", other.id, None, None, now)


def _admit(conn: Conn, house: House, user: User, actor: Actor, via: str, now: Millis) -> Id:
    """Note that somebody comes in, and return the organization in which they begin. Whoever comes
    from where they never came from before is told by letter.

    Whoever changed the password meanwhile (hashing takes its time) has ended all sessions, and
    this one must not come to be after that.
    """
    current = users.get(conn, user.id)
    org_id = None if current is None else users.landing(conn, current)
    if (
        current is None
        or org_id is None
        or current.password_hash != user.password_hash
        or current.totp_enabled != user.totp_enabled
        or not allowed(current, actor.ip or "")
    ):
        raise unauthorized(WRONG, "LOGIN_FAILED")
    who = replace(actor, user_id=user.id, label=user.email)
    address = bucket(actor.ip or "")
    # The very first sign-in is from somewhere new by its nature.
    is_new = current.last_login_at is not None and not known_addresses.is_known(
        conn, user.id, address
    )
    # Without the encryption key no letter can be written: the next sign-in from there tells.
    if not (is_new and conn.vault.is_lost):
        if is_new:
            security_notes.tell(conn, house, user, FROM_ELSEWHERE, who, now)
        known_addresses.note(conn, user.id, address, now)
    users.touch_login(conn, user.id, now)
    after = {"via": via}
    audit.append(conn, org_id, who, "auth.logged_in", "user", user.id, None, after, now)
    return org_id


def turn(house: House, name: str) -> asyncio.Lock:
    """Return the lock under which attempts of `name` wait for each other."""
    return house.login_turns[crc32(name.encode()) % len(house.login_turns)]


async def refuse_blocked(house: House, address: str) -> None:
    """Refuse an address that has failed too often.

    Raises:
        ApiError: 429.
    """
    now = house.clock.now()
    until = await house.db.read(login_attempts.blocked_until, address, now)
    if until is not None:
        raise too_many_until(
            until,
            now,
            "Too many failed sign-ins from your address; wait as long as Retry-After says",
        )
