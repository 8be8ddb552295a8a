"""A forgotten password: a link by mail, and with it a new password.

The API and the pages share it. Whoever asks learns nothing of who has an account: a known address,
an unknown one, and one that was written to often enough get the same answer at the same moment
(ASVS 6.3.8).
"""

from __future__ import annotations

import asyncio
import logging

from msgspec import Struct
from msgspec.structs import replace

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.letter import LetterKind
from netpulse.model.time import MINUTE, Millis
from netpulse.model.user import Actor, User
from netpulse.rules import letters as words
from netpulse.rules.password_resets import LASTS, may_write
from netpulse.storage import (
    audit,
    known_addresses,
    letters,
    login_attempts,
    password_resets,
    sessions,
    users,
)
from netpulse.storage.db import Conn
from netpulse.web import codes, security_notes, sign_in
from netpulse.web.accounts import normal_email
from netpulse.web.errors import (
    ApiError,
    Problem,
    forbidden,
    invalid,
    too_many,
    too_many_until,
    unauthorized,
)
from netpulse.web.house import House
from netpulse.web.proxies import bucket
from netpulse.web.session import NOT_FROM_HERE

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.25
"""When the answer goes out, counted from the request: by then all is done, whoever was meant."""

INVALID = "RESET_TOKEN_INVALID"
"""The code of the error for a link that is none (any more)."""

GUESSED = (
    "Wrong one-time codes were entered for your account, with a link for a new password that was "
    "sent to this address."
)
"""What its owner is told when a link takes no further codes: somebody may read their mail."""

RESET = "Your password was set anew, with a link that was sent to this address."

TOO_MANY_CODES = "Too many wrong codes with this link; use a recovery code, or ask for another link"

NOT_POSSIBLE = (
    "This NetPulse cannot send you a link. Ask one of its administrators: on its machine, netpulse "
    "user password sets a new password"
)


def is_possible(house: House) -> bool:
    """Tell whether links can be sent: there are a mail server and the encryption key, and it is
    known what to link to.

    The address comes from the configuration alone. What a request says of the host it was sent to
    is anybody's word, and a link made of it would carry the token there.
    """
    is_set_up = house.carrier.mail is not None and house.links.page("/") is not None
    return is_set_up and not house.db.vault.is_lost


async def ask(house: House, actor: Actor, email: str) -> None:
    """Send whoever has this address a link, if anybody does. It is durable when this returns.

    Raises:
        ApiError: 503 `MAIL_NOT_CONFIGURED` where no links can be sent, to everybody alike; 429
            after 5 requests within 10 minutes from one address.
    """
    if not is_possible(house):
        raise ApiError(503, "MAIL_NOT_CONFIGURED", NOT_POSSIBLE)
    loop = asyncio.get_running_loop()
    answer_at = loop.time() + ANSWER_SECONDS
    now = house.clock.now()
    asked = await house.db.write(_ask, house, actor, normal_email(email), new_token(), now)
    if asked.blocked_until is not None:
        raise too_many_until(
            asked.blocked_until,
            now,
            "Too many requests from your address; wait as long as Retry-After says",
        )
    house.engine.letters_written()
    log.info("a new password was asked for: %s", asked.outcome, extra={"ip": actor.ip})
    await asyncio.sleep(answer_at - loop.time())


class _Asked(Struct, frozen=True):
    """What came of a request."""

    outcome: str = ""
    """For the log, which does not say who was meant."""
    blocked_until: Millis | None = None
    """Until when nothing is done for the address that asked."""


def _ask(
    conn: Conn, house: House, actor: Actor, email: str | None, token: str, now: Millis
) -> _Asked:
    """Count the request, and do all that is to be done, in the caller's transaction."""
    until = password_resets.asked(conn, bucket(actor.ip or ""), now)
    if until is not None:
        return _Asked(blocked_until=until)
    user = None if email is None else users.by_email(conn, email)
    org_id = None if user is None else users.landing(conn, user)
    if user is None or org_id is None:
        return _Asked("nobody has this address, or may come in")
    written = password_resets.written(conn, user.id, now)
    if not may_write(written, now, one_holds=password_resets.one_holds(conn, user.id, now)):
        return _Asked("enough letters were written")
    password_resets.begin(conn, user.id, house.digester.digest(token), now)
    _write_letter(conn, house, actor, user, token, now)
    who = replace(actor, label=user.email)
    audit.append(conn, org_id, who, "auth.password_reset_asked", "user", user.id, None, None, now)
    return _Asked("a letter is on its way")


def _write_letter(
    conn: Conn, house: House, actor: Actor, user: User, token: str, now: Millis
) -> None:
    url = house.links.page(f"/reset/{token}")
    assert url is not None, "without an address nobody gets this far"
    letters.recall(
        conn, None, LetterKind.PASSWORD_RESET, user.email, "a newer one has taken its place"
    )
    draft = words.password_reset(user.email, url, LASTS // MINUTE, actor.ip)
    letters.post(
        conn,
        LetterKind.PASSWORD_RESET,
        user.email,
        draft.subject,
        draft.text,
        now,
        expires_at=now + LASTS,
        user_id=user.id,
    )


async def holder(house: House, actor: Actor, token: str) -> User:
    """Return whose password this link may set; the link stays as good as it was.

    Raises:
        ApiError: 400 `RESET_TOKEN_INVALID`; 429 after too many links that are none from one
            address.
    """
    now = house.clock.now()
    user = await house.db.read(password_resets.find, house.digester.digest(token), now)
    if user is None:
        wait = house.rates.stray_links.wait(bucket(actor.ip or ""), house.clock.monotonic())
        if wait:
            raise too_many(wait, "Too many unknown links; wait as long as Retry-After says")
        raise _no_link()
    return user


async def reset(house: House, actor: Actor, token: str, password: str, code: str | None) -> None:
    """Set a new password with the token of a link, which is used up by that and by nothing less.

    All sign-ins of the account end. Nobody is signed in: with a link alone, which may have been
    found in a mailbox, one has set a password, and not passed a sign-in with all it asks for.

    Raises:
        ApiError: 400 for a link that is none (any more), or a password that is not taken; 401
            `TOTP_REQUIRED` without a code where the account asks for one, `LOGIN_FAILED` with a
            wrong one, which counts for the address as at a sign-in, and for the link; 403 from an
            address that the account does not allow; 429 after too many wrong codes.
    """
    user = await holder(house, actor, token)
    if not sign_in.allowed(user, actor.ip or ""):
        now = house.clock.now()
        await house.db.write(_note_refusal, user, actor, "address not allowed", now)
        raise forbidden(NOT_FROM_HERE)
    flaw = passwords.policy_problem(password, email=user.email)
    if flaw is not None:
        raise invalid([Problem("$.password", flaw)])
    if user.totp_enabled and not code:
        raise unauthorized(sign_in.CODE_NEEDED, "TOTP_REQUIRED")
    address = bucket(actor.ip or "")
    # Attempts of one address wait for each other, as at a sign-in: a burst of codes is counted.
    async with sign_in.turn(house, address):
        if user.totp_enabled:
            # Where no code is asked for there is nothing to guess: whoever has forgotten their
            # password has mostly tried what it might be.
            await sign_in.refuse_blocked(house, address)
        hashed = await passwords.hash_password(password)
        now = house.clock.now()

        def write(conn: Conn) -> ApiError | None:
            return _reset(conn, house, actor, token, hashed, code, now)

        refusal = await codes.write(house, write)
    if refusal is not None:
        raise refusal


def _reset(
    conn: Conn,
    house: House,
    actor: Actor,
    token: str,
    hashed: str,
    code: str | None,
    now: Millis,
) -> ApiError | None:
    """Set the password in the caller's transaction, or return why not: what is counted is kept."""
    digest = house.digester.digest(token)
    user = password_resets.find(conn, digest, now)
    if user is None:
        return _no_link()
    who = replace(actor, user_id=user.id, label=user.email)
    if user.totp_enabled:
        refusal = _refuse_code(conn, house, actor, user, digest, code, now)
        if refusal is not None:
            return refusal
    if not password_resets.use(conn, digest, now):
        return _no_link()
    users.set_password(conn, user.id, hashed, now)
    sessions.end_all(conn, user.id, now)
    known_addresses.forget(conn, user.id)
    org_id = users.audited_in(conn, user)
    audit.append(conn, org_id, who, "auth.password_reset", "user", user.id, None, None, now)
    security_notes.tell(conn, house, user, RESET, who, now)
    return None


def _refuse_code(
    conn: Conn,
    house: House,
    actor: Actor,
    user: User,
    digest: str,
    code: str | None,
    now: Millis,
) -> ApiError | None:
    """Use a code up, or count a wrong one and return why nothing is done.

    They are counted by link, apart from those of sign-ins: whoever reads the owner's mail must not
    hold up the codes of the owner, who has the password. Recovery codes are looked at all the same.
    """
    if not code:
        return unauthorized(sign_in.CODE_NEEDED, "TOTP_REQUIRED")
    is_recovery = codes.is_recovery(code)
    count, until = password_resets.wrong_codes(conn, digest)
    if count >= password_resets.MOST_WRONG_CODES and not is_recovery:
        return too_many_until(until, now, TOO_MANY_CODES)
    if codes.use(conn, house, user, code, actor, now) is not None:
        return None
    if not is_recovery and (
        password_resets.code_failed(conn, digest) >= password_resets.MOST_WRONG_CODES
    ):
        security_notes.tell(conn, house, user, GUESSED, actor, now)
    login_attempts.failed(conn, bucket(actor.ip or ""), now)
    _note_refusal(conn, user, actor, "wrong code", now)
    return unauthorized(sign_in.WRONG_CODE, "LOGIN_FAILED")


def _note_refusal(conn: Conn, user: User, actor: Actor, reason: str, now: Millis) -> None:
    org_id, action = users.audited_in(conn, user), "auth.password_reset_refused"
    # A stranger, as at a sign-in that failed: the label says whose account it was about.
    who = replace(actor, label=user.email)
    audit.append(conn, org_id, who, action, "user", user.id, None, {"reason": reason}, now)


def _no_link() -> ApiError:
    return ApiError(
        400,
        INVALID,
        "This link is not complete, was used, or has expired: it lasts 30 minutes, works once, and "
        "only the newest one works. Ask for another",
    )
