"""/v1/auth/2fa: turn the second factor on and off, and make recovery codes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.crypto import one_time_codes
from netpulse.storage import second_factors
from netpulse.web import codes, own_account
from netpulse.web.api.auth import LongText
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, endpoint
from netpulse.web.envelope import NOTHING, One
from netpulse.web.errors import Problem, conflict, invalid
from netpulse.web.session import Deed

ShortText = Annotated[str, Meta(max_length=200)]

TURNED_ON = "Two-factor authentication was turned on for your account."
TURNED_OFF = "Two-factor authentication was turned off for your account."
NEW_CODES = "New recovery codes were made for your account; the old ones work no more."
NEEDED = "the password is needed: this sign-in is more than 15 minutes old"


class SetupWanted(Struct, frozen=True, kw_only=True):
    """The beginning."""

    current_password: LongText | None = None
    """May be left out in the first 15 minutes after `POST /v1/auth/login`."""


class SetupAnswer(Struct, frozen=True, kw_only=True):
    """What an app needs; it is not asked for before it is verified."""

    secret: str
    """Base32, 160 bits."""
    otpauth_uri: str
    """The same for an app, mostly shown as a QR code."""


class CodeGiven(Struct, frozen=True, kw_only=True):
    """A code from the app."""

    code: ShortText


class Proof(Struct, frozen=True, kw_only=True):
    """Both factors."""

    password: LongText
    code: ShortText
    """From the app, or a recovery code."""


class RecoveryCodes(Struct, frozen=True, kw_only=True):
    """Each lets its owner in once in place of a code from the app. They are shown only here."""

    recovery_codes: list[str]


@endpoint(
    "POST",
    "/v1/auth/2fa/setup",
    access=VIEWER,
    tag="auth",
    summary="Begin to turn the second factor on: get a secret for an app",
    body=SetupWanted,
    body_required=False,
    answer=SetupAnswer,
    errors=(409, 429),
)
async def setup(call: Call) -> One[SetupAnswer]:
    """Make a secret that does not count before it is verified. Calling it again makes another."""
    given = await call.optional_body(SetupWanted)
    if given.current_password is not None:
        await own_account.check_password(call, "$.current_password", given.current_password)
    elif not await own_account.is_fresh(call):
        raise invalid([Problem("$.current_password", NEEDED)])
    return One.of(await begin(call))


async def begin(call: Call) -> SetupAnswer:
    """Make a secret for the caller, who has shown who they are.

    Raises:
        ApiError: 409 `TOTP_ENABLED`.
    """
    user = call.session.user
    secret = one_time_codes.new_secret()

    def work(deed: Deed) -> None:
        own_account.refuse_changed(deed, user)
        if not second_factors.begin(deed.conn, user.id, secret, deed.now):
            raise own_account.is_on()
        deed.note("auth.second_factor_begun", "user", user.id)

    await own_account.quietly(call, work)
    return answer_of(user.email, secret)


def answer_of(email: str, secret: str) -> SetupAnswer:
    """Return what an app needs of a secret."""
    return SetupAnswer(secret=secret, otpauth_uri=one_time_codes.uri(secret, email))


@endpoint(
    "POST",
    "/v1/auth/2fa/verify",
    access=VIEWER,
    tag="auth",
    summary="Turn the second factor on with a first code; other sessions end",
    body=CodeGiven,
    answer=RecoveryCodes,
    errors=(409, 429),
)
async def verify(call: Call) -> One[RecoveryCodes]:
    """Turn it on."""
    given = await call.body(CodeGiven)
    return One.of(RecoveryCodes(recovery_codes=await turn_on(call, "$.code", given.code)))


async def turn_on(call: Call, path: str, code: str) -> list[str]:
    """Let the secret that was begun count, and return the recovery codes.

    Raises:
        ApiError: 400 at `path` for a wrong code, 429 after 5 of them for this account within 15
            minutes; 409 `TOTP_ENABLED` or `TOTP_NOT_BEGUN`.
    """
    user = call.session.user
    step = await own_account.check_first_code(call, path, code)
    fresh, digests = _new_codes(call)

    def work(deed: Deed) -> None:
        secret = second_factors.pending(deed.conn, user.id, deed.now)
        if secret is None or one_time_codes.matching_step(secret, code, deed.now) != step:
            raise own_account.not_begun()
        if not second_factors.turn_on(deed.conn, user.id, step, deed.now):
            raise own_account.is_on()
        second_factors.put_codes(deed.conn, user.id, digests)
        deed.note("auth.second_factor_on", "user", user.id)

    await own_account.change(call, TURNED_ON, work)
    return fresh


@endpoint(
    "POST",
    "/v1/auth/2fa/disable",
    access=VIEWER,
    tag="auth",
    summary="Turn the second factor off; other sessions end",
    body=Proof,
    errors=(409, 429),
)
async def disable(call: Call) -> One[None]:
    """Turn it off."""
    given = await call.body(Proof)
    await turn_off(call, given)
    return NOTHING


async def turn_off(call: Call, given: Proof) -> None:
    """Turn the caller's second factor off.

    Raises:
        ApiError: 400 for a wrong password or code, 409 `TOTP_NOT_ENABLED`, 429.
    """
    await _prove(call, given)
    user = call.session.user

    def work(deed: Deed) -> None:
        second_factors.turn_off(deed.conn, user.id, deed.now)
        deed.note("auth.second_factor_off", "user", user.id)

    await own_account.change(call, TURNED_OFF, work)


@endpoint(
    "POST",
    "/v1/auth/2fa/recovery-codes",
    access=VIEWER,
    tag="auth",
    summary="Make new recovery codes in place of the old ones; other sessions end",
    body=Proof,
    answer=RecoveryCodes,
    errors=(409, 429),
)
async def recovery_codes(call: Call) -> One[RecoveryCodes]:
    """Make new ones."""
    given = await call.body(Proof)
    return One.of(RecoveryCodes(recovery_codes=await new_codes(call, given)))


async def new_codes(call: Call, given: Proof) -> list[str]:
    """Replace the caller's recovery codes, and return the new ones.

    Raises:
        ApiError: 400 for a wrong password or code, 409 `TOTP_NOT_ENABLED`, 429.
    """
    await _prove(call, given)
    user = call.session.user
    fresh, digests = _new_codes(call)

    def work(deed: Deed) -> None:
        second_factors.put_codes(deed.conn, user.id, digests)
        deed.note("auth.recovery_codes_made", "user", user.id)

    await own_account.change(call, NEW_CODES, work)
    return fresh


async def _prove(call: Call, given: Proof) -> None:
    if not call.session.user.totp_enabled:
        raise conflict("TOTP_NOT_ENABLED", "Your account has no second factor; turn it on first")
    await own_account.check_password(call, "$.password", given.password)
    await own_account.check_code(call, "$.code", given.code)


def _new_codes(call: Call) -> tuple[list[str], list[str]]:
    """Return fresh recovery codes, and what is stored of them."""
    fresh = one_time_codes.new_recovery_codes()
    return fresh, [codes.digest_of(call.house, code) for code in fresh]


ROUTES = (setup, verify, disable, recovery_codes)
