"""/v1/auth/password: a link by mail for whoever has forgotten theirs, and a new one with it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.web import password_resets
from netpulse.web.api.auth import LongText
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, endpoint
from netpulse.web.envelope import NOTHING, One


class Forgotten(Struct, frozen=True, kw_only=True):
    """Whose password is forgotten."""

    email: LongText


class NewPassword(Struct, frozen=True, kw_only=True):
    """A new password, and the right to set it."""

    token: Annotated[str, Meta(max_length=200)]
    """What stands at the end of the link."""
    password: LongText
    """At least 12 characters, at most 1,024 bytes, and not a common one."""
    totp_code: Annotated[str, Meta(max_length=100)] | None = None
    """A one-time code or a recovery code, where the account asks for one at each sign-in."""


@endpoint(
    "POST",
    "/v1/auth/password/forgot",
    access=PUBLIC,
    tag="auth",
    summary="Send a link for a new password; the answer is the same whoever has an account",
    body=Forgotten,
    errors=(429,),
)
async def forgot(call: Call) -> One[None]:
    """Send a link, if anybody has this address."""
    wanted = await call.body(Forgotten)
    await password_resets.ask(call.house, call.stranger, wanted.email)
    return NOTHING


@endpoint(
    "POST",
    "/v1/auth/password/reset",
    access=PUBLIC,
    tag="auth",
    summary="Set a new password with a link's token, and end every sign-in",
    body=NewPassword,
    errors=(401, 403, 429),
)
async def reset(call: Call) -> One[None]:
    """Set it; nobody is signed in by that."""
    given = await call.body(NewPassword)
    await password_resets.reset(
        call.house, call.stranger, given.token, given.password, given.totp_code
    )
    return NOTHING


ROUTES = (forgot, reset)
