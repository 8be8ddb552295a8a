"""A person's changes to their own account: proved with the password, told by letter, and the end
of every other session.

The API and the profile pages share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from netpulse.crypto import one_time_codes, passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.time import MINUTE, Millis
from netpulse.model.user import Actor, User
from netpulse.storage import account_failures, audit, second_factors, sessions, users
from netpulse.storage.account_failures import Kind
from netpulse.storage.db import Conn
from netpulse.web import codes, security_notes, sign_in, tokens
from netpulse.web.call import Call
from netpulse.web.errors import ApiError, Problem, conflict, invalid, too_many_until
from netpulse.web.session import Deed

R = TypeVar("R")

FRESH_MS = 15 * MINUTE
"""How long after a program's sign-in it need not show the password again to begin 2FA."""

WRONG_PASSWORD = "this is not your password"  # noqa: S105 - what is said, not a secret
WRONG_CODE = "this code is wrong, or was used before"
WRONG_FIRST_CODE = "this is not the code that your app should show now"


async def check_password(call: Call, path: str, password: str) -> User:
    """Return the caller as the database has them, if this is their password.

    Raises:
        ApiError: 400 at `path` for a wrong one; 429 after 5 wrong ones for this account within 15
            minutes, whatever session they came from.
    """
    house, session = call.house, call.session
    async with sign_in.turn(house, session.user.id):
        until = await house.db.read(
            account_failures.blocked_until, session.user.id, Kind.PASSWORD, call.now
        )
        if until is not None:
            raise too_many_until(
                until,
                call.now,
                "Too many wrong passwords for your account; wait as long as Retry-After says",
            )
        if await passwords.verify_password(session.user.password_hash, password):
            return session.user
        await house.db.write(_wrong_password, call)
    raise invalid([Problem(path, WRONG_PASSWORD)])


async def check_code(call: Call, path: str, text: str) -> None:
    """Use up a one-time code or a recovery code of the caller's.

    Raises:
        ApiError: 400 at `path` for a wrong one, 429 after 5 wrong ones for this account within 15
            minutes.
    """
    user, actor = call.session.user, oneself(call)

    def write(conn: Conn) -> codes.Spent:
        call.session.refuse_ended(conn)
        spent = codes.spend(conn, call.house, user, text, actor, call.now)
        if spent.what is None and spent.blocked_until is None:
            _note_refusal(conn, call, "wrong code")
        return spent

    spent = await codes.write(call.house, write)
    if spent.blocked_until is not None:
        raise codes.too_many_codes(spent.blocked_until, call.now)
    if spent.what is None:
        raise invalid([Problem(path, WRONG_CODE)])


async def check_first_code(call: Call, path: str, text: str) -> int:
    """Return the step of a first code, with which the caller's second factor is to be turned on.

    Wrong ones count as wrong codes of the account: whoever found its session open must not turn on
    a factor that they do not have.

    Raises:
        ApiError: 400 at `path` for a wrong one, 429 after 5 wrong ones for this account within 15
            minutes; 409 `TOTP_ENABLED` or `TOTP_NOT_BEGUN`.
    """
    now = call.now

    def write(conn: Conn) -> tuple[int | None, Millis | None]:
        user = call.session.refuse_ended(conn)
        if user.totp_enabled:
            raise is_on()
        secret = second_factors.pending(conn, user.id, now)
        if secret is None:
            raise not_begun()
        until = account_failures.blocked_until(conn, user.id, Kind.TOTP, now)
        if until is not None:
            return None, until
        step = one_time_codes.matching_step(secret, text, now)
        if step is None:
            account_failures.failed(conn, user.id, Kind.TOTP, now)
            _note_refusal(conn, call, "wrong code")
        return step, None

    step, until = await codes.write(call.house, write)
    if until is not None:
        raise too_many_until(
            until,
            now,
            "Too many wrong codes for your account; wait as long as Retry-After says",
        )
    if step is None:
        raise invalid([Problem(path, WRONG_FIRST_CODE)])
    return step


def is_on() -> ApiError:
    """Return the 409 of a second factor that cannot be turned on again."""
    return conflict(
        "TOTP_ENABLED", "Your second factor is on already; turn it off before you set another up"
    )


def not_begun() -> ApiError:
    """Return the 409 of a second factor that was not begun, or too long ago."""
    return conflict("TOTP_NOT_BEGUN", "Get a secret with POST /v1/auth/2fa/setup first")


async def is_fresh(call: Call) -> bool:
    """Tell whether a program has shown the caller's password just now, in order to sign in. Of a
    browser it is never taken for granted: it is left open, and has a person to ask."""
    family_id = call.session.family_id
    if family_id is None:
        return False
    at = await call.house.db.read(sessions.family_began, family_id)
    return at is not None and 0 <= call.now - at < FRESH_MS


async def change(call: Call, told: str, work: Callable[[Deed], R]) -> R:
    """Run a change that matters for the account's safety, and return its result once durable.

    In the same transaction the caller's other sessions end, the page session that asked goes on
    under a new token (ASVS 7.2.4), and a letter says what was done: `told`, a whole sentence. The
    audit row, which `work` notes, goes where the person's sign-ins are noted.

    Raises:
        ApiError: 401 or 403 where the caller might not ask any more; 409 `ACCOUNT_CHANGED` where
            what they have proved is another by now.
    """
    session, house = call.session, call.house
    fresh = None if session.cookie_digest is None else new_token()

    def bound(deed: Deed) -> R:
        refuse_changed(deed, session.user)
        result = work(deed)
        sessions.end_all(
            deed.conn,
            session.user.id,
            deed.now,
            keep=session.cookie_digest,
            keep_family=session.family_id,
        )
        if session.cookie_digest is not None and fresh is not None:
            sessions.renew(deed.conn, session.cookie_digest, house.sign_ins.digest(fresh))
        security_notes.tell(deed.conn, house, session.user, told, deed.actor, deed.now)
        return result

    result = await quietly(call, bound)
    house.engine.letters_written()
    if fresh is not None:
        call.cookies.append(tokens.session_cookie(fresh, call.origin.is_https))
    return result


async def quietly(call: Call, work: Callable[[Deed], R]) -> R:
    """Run a change of the caller's own things with its audit row, and nothing else."""
    return await call.session.change(work, own=True)


def refuse_changed(deed: Deed, proved: User) -> None:
    """Refuse a change that was proved with a password or a second factor that is another by now.

    Raises:
        ApiError: 409 `ACCOUNT_CHANGED`.
    """
    user = users.get(deed.conn, proved.id)
    if (
        user is None
        or user.password_hash != proved.password_hash
        or user.totp_enabled != proved.totp_enabled
    ):
        raise conflict(
            "ACCOUNT_CHANGED",
            "Your password or your second factor was changed meanwhile, and nothing was done; "
            "look at your account, and begin again",
        )


def oneself(call: Call) -> Actor:
    """Return the caller as they are towards their own account, wherever they act just now."""
    return replace(call.session.actor, org_id=None, org_name=None)


def _wrong_password(conn: Conn, call: Call) -> None:
    call.session.refuse_ended(conn)
    account_failures.failed(conn, call.session.user.id, Kind.PASSWORD, call.now)
    _note_refusal(conn, call, "wrong password")


def _note_refusal(conn: Conn, call: Call, reason: str) -> None:
    session = call.session
    audit.append(
        conn,
        users.audited_in(conn, session.user),
        oneself(call),
        "auth.proof_refused",
        "user",
        session.user.id,
        None,
        {"reason": reason},
        call.now,
    )
