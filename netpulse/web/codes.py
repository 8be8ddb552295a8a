"""One-time codes and recovery codes, as a sign-in and the owner's own changes use them up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from netpulse.crypto import one_time_codes
from netpulse.crypto.vault import NoKey, SealBroken
from netpulse.model.time import Millis
from netpulse.model.user import Actor, User
from netpulse.storage import account_failures, audit, second_factors, users
from netpulse.storage.account_failures import Kind
from netpulse.storage.db import Conn
from netpulse.web import security_notes
from netpulse.web.errors import ApiError, too_many_until
from netpulse.web.house import House

R = TypeVar("R")

log = logging.getLogger(__name__)


GUESSED = "Wrong one-time codes were entered for your account, after the right password."
"""What its owner is told when the limit is reached: somebody may know their password."""


class What(Enum):
    """What was used up."""

    CODE = "code"
    RECOVERY = "recovery code"


class Spent(Struct, frozen=True):
    """What became of a code that was shown."""

    what: What | None = None
    """None: it was wrong, or was not looked at."""
    blocked_until: Millis | None = None
    """Until when no code is looked at; it was not either."""


def spend(conn: Conn, house: House, user: User, text: str, actor: Actor, now: Millis) -> Spent:
    """Use up a code of the user's in the caller's transaction, or count a wrong one.

    Wrong codes are counted by account, whoever shows them: after 5 within 15 minutes none is looked
    at. A right password in between resets nothing. Recovery codes are neither counted nor held up:
    nobody guesses 125 bits, and they are the owner's way in while somebody else burns the attempts.

    Raises:
        SealBroken: the stored secret does not open.
    """
    if is_recovery(text):
        return Spent(use(conn, house, user, text, actor, now))
    until = account_failures.blocked_until(conn, user.id, Kind.TOTP, now)
    if until is not None:
        return Spent(blocked_until=until)
    what = use(conn, house, user, text, actor, now)
    if what is None:
        count = account_failures.failed(conn, user.id, Kind.TOTP, now)
        if count >= account_failures.LIMIT:
            security_notes.tell(conn, house, user, GUESSED, actor, now)
    return Spent(what)


def use(conn: Conn, house: House, user: User, text: str, actor: Actor, now: Millis) -> What | None:
    """Use up a code of the user's in the caller's transaction; None for a wrong one, which is the
    caller's to count.

    Raises:
        SealBroken: the stored secret does not open.
    """
    recovery = one_time_codes.plain_recovery_code(text)
    if recovery is not None:
        if not second_factors.spend_code(conn, user.id, digest_of(house, recovery), now):
            return None
        left = second_factors.codes_left(conn, user.id)
        who = replace(actor, user_id=user.id, label=user.email)
        org_id, after = users.audited_in(conn, user), {"left": left}
        audit.append(
            conn, org_id, who, "auth.recovery_code_used", "user", user.id, None, after, now
        )
        said = f"A recovery code of your account was used; {left} of them are left."
        security_notes.tell(conn, house, user, said, who, now)
        return What.RECOVERY
    secret = second_factors.secret(conn, user.id)
    step = None if secret is None else one_time_codes.matching_step(secret, text, now)
    if step is not None and second_factors.spend_step(conn, user.id, step):
        return What.CODE
    return None


def is_recovery(text: str) -> bool:
    """Tell whether this has the shape of a recovery code."""
    return one_time_codes.plain_recovery_code(text) is not None


def digest_of(house: House, code: str) -> str:
    """Return what is stored of a recovery code, in whichever spelling."""
    plain = one_time_codes.plain_recovery_code(code)
    assert plain is not None, "only what has the shape of a recovery code is digested"
    return house.digester.digest(plain)


async def write(house: House, work: Callable[[Conn], R]) -> R:
    """Run `work`, which uses up a code, in one transaction.

    Raises:
        ApiError: 503, if the stored secret is damaged, or the encryption key is not here.
    """
    try:
        result = await house.db.write(work)
    except NoKey:
        raise ApiError(
            503,
            "ENCRYPTION_KEY_MISSING",
            "NetPulse runs without its encryption key and cannot check your code: it must be "
            "started with the right key first",
        ) from None
    except SealBroken:
        log.exception("one-time codes cannot be checked")
        raise ApiError(
            503,
            "UNAVAILABLE",
            "The stored secret of your one-time codes is damaged; use a recovery code, or have "
            "your second factor reset by an administrator or with netpulse user reset-2fa",
        ) from None
    house.engine.letters_written()
    return result


def too_many_codes(until: Millis, now: Millis) -> ApiError:
    """Return the 429 of an account for which too many wrong codes were entered."""
    return too_many_until(
        until,
        now,
        "Too many wrong codes for your account; wait as long as Retry-After says, or use a "
        "recovery code",
    )
